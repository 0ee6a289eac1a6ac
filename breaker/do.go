package breaker

import "context"

// Do runs fn on the caller's goroutine if the breaker admits it, and records its verdict before it returns.
//
// The error is fn's own, unchanged and with fn's value; or *OpenError or ErrStopped if fn did not run; or a
// *TimeoutError with a zero value if fn outlived OperationTimeout, whatever it returned afterwards; or ctx.Err() if ctx
// was done before. A panic or runtime.Goexit in fn counts as a failure and goes on.
//
// fn gets a context that ends with ctx and at the operation timeout, whichever is first. At that moment the verdict is
// recorded, but Do returns only when fn does: pass the context on, or use [DoDetached].
func Do[T any](ctx context.Context, b *Breaker, fn func(context.Context) (T, error)) (T, error) {
	if err := ctx.Err(); err != nil {
		var zero T
		return zero, err
	}
	p := b.current.Load()
	if !p.plain || b.timed {
		return doOtherwise(ctx, b, p, fn)
	}
	// The way that nearly every call takes: closed, without an operation timeout.
	settled := false
	defer func() { // no recover: a panic keeps its stack, a Goexit its way
		if !settled {
			Permit{period: p}.settle(Failure, errPanicked)
		}
	}()
	v, err := fn(ctx)
	switch {
	case err == nil && p.failures.Load() == 0:
		settled = true
		b.counters.stripe().succeeded.Add(1)
		if p.window != nil {
			p.window.add(markOf(Success, false), b.age())
		}
	case err != nil && p.window == nil && b.isPlainFailure(ctx, err) && p.count(b.cfg.FailureThreshold):
		settled = true
		b.counters.stripe().failed.Add(1)
	default:
		verdict := b.verdict(err, ctx.Err() == context.Canceled)
		settled = true
		Permit{period: p}.settle(verdict, err)
	}
	return v, err
}

func doOtherwise[T any](ctx context.Context, b *Breaker, p *period, fn func(context.Context) (T, error)) (T, error) {
	if p.state == Open && !p.near.Load() {
		b.counters.stripe().rejected.Add(1)
		var zero T
		return zero, p.reject
	}
	return doAdmitted(ctx, b, fn)
}

func doAdmitted[T any](ctx context.Context, b *Breaker, fn func(context.Context) (T, error)) (T, error) {
	permit, err := b.Acquire()
	switch {
	case err != nil:
		var zero T
		return zero, err
	case b.timed:
		return doTimed(ctx, b, permit, fn)
	default:
		return doUntimed(ctx, b, permit, fn)
	}
}

func doUntimed[T any](ctx context.Context, b *Breaker, permit Permit, fn func(context.Context) (T, error)) (T, error) {
	settled := false
	defer func() {
		if !settled {
			permit.settle(Failure, errPanicked)
		}
	}()
	v, err := fn(ctx)
	verdict := b.verdict(err, ctx.Err() == context.Canceled)
	settled = true
	permit.settle(verdict, err)
	return v, err
}

func doTimed[T any](ctx context.Context, b *Breaker, permit Permit, fn func(context.Context) (T, error)) (T, error) {
	call := &timedCall{caller: ctx, breaker: b, permit: permit}
	call.begin()
	defer func() {
		if !call.recorded {
			call.abort(errPanicked)
		}
	}()
	v, err := fn(call)
	late, _, told := call.finish(err)
	if late {
		var zero T
		return zero, told
	}
	return v, told // even if its verdict was recorded before, at the caller's own deadline
}
