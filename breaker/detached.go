package breaker

import (
	"context"
	"sync/atomic"
)

// DoDetached is [Do] for functions that may be deaf to their context: fn runs on a goroutine of its own, and the caller is
// free at the operation timeout, or when ctx ends, even if fn runs on. Such an orphan keeps its place among
// Config.MaxInFlight until it returns; what it returns is dropped, what it panics with goes to Config.OnPanic.
//
// The errors are those of Do, and ErrSaturated without a verdict if MaxInFlight functions are running, and ctx.Err() if
// ctx ended while fn ran. A panic or runtime.Goexit in fn comes back as a *PanicError, for it was on another goroutine.
func DoDetached[T any](ctx context.Context, b *Breaker, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	if !b.detached.take() { // before the permit: being full is not the dependency's fault
		return zero, ErrSaturated
	}
	permit, err := b.Acquire()
	if err != nil {
		b.detached.leave()
		return zero, err
	}
	d := &detachedCall[T]{
		timedCall: timedCall{caller: ctx, breaker: b, permit: permit},
		fn:        fn,
		answered:  make(chan struct{}),
	}
	b.detached.waiting.Add(1)
	if b.timed {
		d.free = d.timedOut
		d.deadline = b.age() + b.cfg.OperationTimeout
		b.deadlines.add(&d.timedCall)
	}
	go d.run()

	select {
	case <-d.answered:
	case <-ctx.Done():
		if d.claim(0) {
			b.detached.waiting.Add(-1)
			d.record(b.verdict(ctx.Err(), true), ctx.Err())
			return zero, ctx.Err()
		}
		<-d.answered
	}
	return d.value, d.err
}

// detachedCall is a timedCall on a goroutine of its own. Whoever claims it sets value and err and closes answered.
type detachedCall[T any] struct {
	timedCall
	fn       func(context.Context) (T, error)
	value    T
	err      error
	answered chan struct{}
}

func (d *detachedCall[T]) run() {
	returned := false
	defer func() {
		if !returned {
			d.crashed(recover())
		}
	}()
	value, err := d.fn(d)
	told, mine := d.finish(err)
	returned = true
	d.leave(mine)
	if !mine {
		return
	}
	if d.err = told; told != error(d.breaker.errTimeout) {
		d.value = value
	}
	close(d.answered)
}

// crashed is called by the deferred function that recovered.
func (d *detachedCall[T]) crashed(value any) {
	if value == nil {
		value = "runtime.Goexit"
	}
	err := newPanicError("call", value)
	mine := d.abort(err)
	d.leave(mine)
	if !mine {
		d.breaker.report(err)
		return
	}
	d.err = err
	close(d.answered)
}

// leave gives the place back, before the caller hears of the result.
func (d *detachedCall[T]) leave(mine bool) {
	if mine {
		d.breaker.detached.waiting.Add(-1)
	}
	d.breaker.detached.leave()
}

// timedOut frees the caller while the function runs on.
func (d *detachedCall[T]) timedOut() {
	d.breaker.detached.waiting.Add(-1)
	d.err = d.breaker.errTimeout
	close(d.answered)
}

// places bounds what runs at once.
type places struct {
	limit   int64
	running atomic.Int64 // functions that have not returned
	waiting atomic.Int64 // of those, the ones whose caller waits
}

func (p *places) take() bool {
	for {
		n := p.running.Load()
		if n >= p.limit {
			return false
		}
		if p.running.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (p *places) leave() { p.running.Add(-1) }

func (p *places) load() Load {
	waiting := p.waiting.Load()
	return Load{InFlight: int(waiting), Orphans: int(max(0, p.running.Load()-waiting))}
}
