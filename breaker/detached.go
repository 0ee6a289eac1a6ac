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
		places:    &b.detached,
		answered:  make(chan struct{}),
	}
	d.start()
	select {
	case <-d.answered:
	case <-ctx.Done():
		d.giveUp()
		<-d.answered
	}
	return d.value, d.err
}

// detachedCall is a timedCall on a goroutine of its own. Whoever claims it records the verdict and then answers.
type detachedCall[T any] struct {
	timedCall
	fn     func(context.Context) (T, error)
	places *places

	value    T // the answer, for those who wait until answered is closed
	err      error
	answered chan struct{}
	deliver  func(T, error) // gets the answer instead, if answered is nil
	over     func()         // called last, once the function has returned; may be nil
}

// start begins the call. It has a place among the places.
func (d *detachedCall[T]) start() {
	d.places.waiting.Add(1)
	if d.breaker.timed && !d.watched {
		d.free = d.timedOut
		d.deadline = d.breaker.age() + d.breaker.cfg.OperationTimeout
		d.breaker.deadlines.add(&d.timedCall)
	}
	go d.run()
}

// answer is for whoever claimed the call.
func (d *detachedCall[T]) answer(value T, err error) {
	if d.answered == nil {
		d.deliver(value, err)
		return
	}
	d.value, d.err = value, err
	close(d.answered)
}

func (d *detachedCall[T]) run() {
	if d.over != nil {
		defer d.over()
	}
	returned := false
	defer func() {
		if !returned {
			d.crashed(recover())
		}
	}()
	value, err := d.fn(d)
	late, mine, told := d.finish(err)
	returned = true
	d.leave(mine)
	if !mine {
		return
	}
	if late {
		var zero T
		value = zero
	}
	d.answer(value, told)
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
	var zero T
	d.answer(zero, err)
}

// leave gives the place back, before the caller hears of the result.
func (d *detachedCall[T]) leave(mine bool) {
	if mine {
		d.places.waiting.Add(-1)
	}
	d.places.leave()
}

// timedOut frees the caller while the function runs on. The verdict is recorded.
func (d *detachedCall[T]) timedOut() { d.orphan(d.breaker.errTimeout) }

// giveUp frees the caller, whose context has ended, while the function runs on.
func (d *detachedCall[T]) giveUp() {
	if !d.claim(0) {
		return
	}
	if late := d.timeout(); late != nil {
		d.recordTimeout(late)
		d.orphan(late)
		return
	}
	if stall := stalled(d.caller, d.watched); stall != nil {
		d.record(Failure, stall)
		d.orphan(stall)
		return
	}
	err := d.caller.Err()
	d.record(d.breaker.verdict(err, true), err)
	d.orphan(err)
}

func (d *detachedCall[T]) orphan(err error) {
	d.places.waiting.Add(-1)
	var zero T
	d.answer(zero, err)
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
