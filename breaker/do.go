package breaker

import (
	"context"
	"sync"
)

// Do runs fn on the caller's goroutine if the breaker admits it, and records its verdict before it returns.
//
// The error is fn's own, unchanged and with fn's value; or *OpenError or ErrStopped if fn did not run; or a
// *TimeoutError with a zero value if fn outlived OperationTimeout, whatever it returned afterwards; or ctx.Err() if ctx
// was done before. A panic or runtime.Goexit in fn counts as a failure and goes on.
//
// fn gets a context that ends with ctx and at the operation timeout, whichever is first. At that moment the verdict is
// recorded, but Do returns only when fn does: pass the context on.
func Do[T any](ctx context.Context, b *Breaker, fn func(context.Context) (T, error)) (T, error) {
	if err := ctx.Err(); err != nil {
		var zero T
		return zero, err
	}
	permit, err := b.Acquire()
	if err != nil {
		var zero T
		return zero, err
	}
	if b.cfg.OperationTimeout == NoTimeout {
		return doUntimed(ctx, b, permit, fn)
	}
	return doTimed(ctx, b, permit, fn)
}

func doUntimed[T any](ctx context.Context, b *Breaker, permit Permit, fn func(context.Context) (T, error)) (T, error) {
	settled := false
	defer func() { // no recover: a panic keeps its stack, a Goexit its way
		if !settled {
			permit.settle(Failure, errPanicked)
		}
	}()
	v, err := fn(ctx)
	verdict := Success
	if err != nil {
		verdict = b.verdict(err, ctx.Err() == context.Canceled)
	}
	settled = true
	permit.settle(verdict, err)
	return v, err
}

func doTimed[T any](ctx context.Context, b *Breaker, permit Permit, fn func(context.Context) (T, error)) (T, error) {
	call := timedCall{permit: permit, caller: ctx}
	opCtx, cancel := context.WithTimeoutCause(ctx, b.cfg.OperationTimeout, b.errTimeout)
	call.op = opCtx
	stop := context.AfterFunc(opCtx, call.expire)
	defer cancel()
	defer func() {
		stop()
		call.settle(Failure, errPanicked)
	}()
	v, err := fn(opCtx)
	if call.timedOut() || !call.settle(b.verdict(err, ctx.Err() == context.Canceled), err) && call.timedOut() {
		call.expire()
		var zero T
		return zero, b.errTimeout
	}
	return v, err // even if its verdict was recorded before, at the caller's own deadline
}

// timedCall is a permit that the return of a call and the end of its context race to settle. The first wins.
type timedCall struct {
	permit Permit
	caller context.Context
	op     context.Context // caller with the operation timeout

	mu      sync.Mutex // held while the verdict is recorded, so that the loser returns after it
	settled bool
}

// settle says whether it was the first.
func (c *timedCall) settle(v Verdict, cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settled {
		return false
	}
	c.settled = true
	c.permit.settle(v, cause)
	return true
}

// timedOut says whether the operation timeout, and not the caller, ended the call's context.
func (c *timedCall) timedOut() bool {
	return context.Cause(c.op) == error(c.permit.period.breaker.errTimeout)
}

// expire records the verdict of a call whose time is over, while its function may still be running.
// A cancelled one is left to its return: until then its slot is in use.
func (c *timedCall) expire() {
	b := c.permit.period.breaker
	if c.timedOut() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.settled {
			c.settled = true
			b.counters.timedOut.Add(1)
			c.permit.settle(Failure, b.errTimeout)
		}
		return
	}
	if err := c.caller.Err(); err == context.DeadlineExceeded {
		if v := b.verdict(err, false); v != Ignore {
			c.settle(v, err)
		}
	}
}
