package breaker

import (
	"sync"
	"time"
)

// maxPending bounds the transitions that wait for a slow observer. Transitions are seconds apart, so this is hours.
const maxPending = 1024

// Transition is one step of the state machine.
type Transition struct {
	Name     string
	From, To State
	Gen      uint64        // generation of the new period: 1 for the first transition, and no gap after it
	At       time.Time     // when
	OpenFor  time.Duration // to Open: for how long
	Cause    error         // to Open: the error that opened it, nil if its verdict came without one
	Totals   Totals        // at that moment
}

// Observe calls fn for every transition from now on, in order of Gen, one at a time, on a goroutine that exists only
// while there is something to deliver. fn may call the breaker, block and panic: other observers and callers don't
// notice. An observer more than 1,024 transitions behind loses the oldest (Totals.Missed, and a gap in Gen).
// After cancel no call of fn begins; one that has begun may still run. Any goroutine may call Observe and cancel.
//
// To follow the state from the start, observe first, then take a Snapshot, and skip transitions up to its Gen.
func (b *Breaker) Observe(fn func(Transition)) (cancel func()) {
	o := &observer{breaker: b, fn: fn}
	b.mu.Lock()
	b.observers[o] = struct{}{}
	b.mu.Unlock()
	return func() {
		b.mu.Lock()
		delete(b.observers, o)
		b.mu.Unlock()
		o.cancel()
	}
}

// observer is a callback with its own bounded queue.
type observer struct {
	breaker *Breaker
	fn      func(Transition)

	mu         sync.Mutex // guards what follows; taken under Breaker.mu by post, and never the other way round
	pending    []Transition
	delivering bool
	cancelled  bool
}

// post queues a transition. The caller holds Breaker.mu, which makes the order.
func (o *observer) post(t Transition) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cancelled {
		return
	}
	if len(o.pending) == maxPending {
		o.pending = o.pending[1:]
		o.breaker.counters.missed.Add(1)
	}
	o.pending = append(o.pending, t)
	if !o.delivering {
		o.delivering = true
		go o.deliver()
	}
}

func (o *observer) cancel() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cancelled = true
	o.pending = nil
}

// next takes the oldest transition, or ends the delivery.
func (o *observer) next() (t Transition, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) == 0 {
		o.pending, o.delivering = nil, false
		return Transition{}, false
	}
	t, o.pending = o.pending[0], o.pending[1:]
	return t, true
}

// deliver runs until the queue is empty. If the callback ends this goroutine (runtime.Goexit), another carries on.
func (o *observer) deliver() {
	drained := false
	defer func() {
		if !drained {
			go o.deliver()
		}
	}()
	for {
		t, ok := o.next()
		if !ok {
			drained = true
			return
		}
		o.call(t)
	}
}

func (o *observer) call(t Transition) {
	defer func() {
		if value := recover(); value != nil {
			o.breaker.report(newPanicError("OnTransition", value))
		}
	}()
	o.fn(t)
}
