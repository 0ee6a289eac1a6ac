package routing

import (
	"context"
	"time"
)

// givesUp reports whether a task is to be cancelled as the wait for it has ended, after a submit with the attempt's context (nil is none) that found it or, if it is fresh,
// was accepted. A subtask is its parent's, whichever attempt has submitted it; as long as there may be another attempt, which finds it, or somebody else awaits it, it is left to that.
func (l *Lease) givesUp(t *task, fresh bool) bool {
	if l == nil || t.lane.hub != l.hub {
		return fresh
	}
	l.hub.mu.Lock()
	subtask, awaited := t.parentID() == l.hub.index.id(l.task), t.awaiters > 0
	l.hub.mu.Unlock()
	if subtask {
		return !l.over() && (fresh || !awaited)
	}
	return fresh
}

// await is a wait of a handler for a task (nil is a place for one), or of somebody else: then it is nothing.
type await struct {
	lease  *Lease
	within *part
	task   *task
}

// beginAwait begins one with the context that it is made with. If there is no error, it must be ended.
func beginAwait(ctx context.Context, awaited *task) (await, error) {
	a := await{leaseOf(ctx), partOf(ctx), awaited}
	if err := a.lease.rest(awaited); err != nil {
		return await{}, err
	}
	a.within.wait(true)
	return a, nil
}

func (a await) end() {
	a.within.wait(false)
	a.lease.goOn(a.task)
}

// leaseOf returns the lease of the attempt that ctx belongs to, or nil.
func leaseOf(ctx context.Context) *Lease {
	l, _ := ctx.Value(leaseKey{}).(*Lease)
	return l
}

// over reports whether the attempt has ended, or is about to: its context has.
func (l *Lease) over() bool { return (*jobContext)(l).Err() != nil }

// rest lends the credit and the probe of a lease to others while its handler awaits a task (nil is any). Afterwards the handler must call goOn.
// Several goroutines of a handler may await; it rests until all have what they await.
func (l *Lease) rest(awaited *task) error {
	if l == nil {
		return nil
	}
	h := l.hub
	h.mu.Lock()
	if err := h.mayAwait(l, awaited); err != nil {
		h.unlock()
		return err
	}
	l.awaits(awaited)
	var next *Lease
	if l.waits++; l.waits == 1 && !l.returned {
		now := h.clock.now()
		l.pauseClock(now)
		l.spoke.resting++
		if !l.spoke.left {
			h.vacate(l)
		}
		if l.task.lease == l {
			h.nextSuspect(l.task, now)
		}
		if next = h.pull(l.spoke, now); h.journal.deliver(next) {
			next = nil
		}
		h.reseat(l.spoke)
		if l.task.lease == l {
			h.plan(l.task)
		}
	}
	h.unlock()
	l.observe(true)
	if next != nil {
		next.deliver()
	}
	return nil
}

// goOn undoes one rest for a task. The handler goes on even if its credit and its probe are in use.
func (l *Lease) goOn(awaited *task) {
	if l == nil {
		return
	}
	l.observe(false)
	h := l.hub
	h.mu.Lock()
	defer h.unlock()
	l.awaitsNoMore(awaited)
	if l.waits--; l.waits > 0 || l.returned {
		return
	}
	l.resumeClock(h.clock.now())
	l.spoke.resting--
	if !l.spoke.left {
		h.occupy(l)
	}
	h.reseat(l.spoke)
	if l.task.lease == l {
		h.plan(l.task)
	}
}

// stopResting ends the rest of a lease that is given back though some goroutine of its handler still awaits something.
func (l *Lease) stopResting() {
	if l.waits > 0 {
		l.spoke.resting--
	}
}

// overtime reports whether the attempt has outlived its time limit.
func (l *Lease) overtime(now int64) bool {
	return l.expires != 0 && !l.standsStill() && l.expires <= now
}

// standsStill reports whether the attempt's time limit does.
func (l *Lease) standsStill() bool { return l.waits > 0 || l.held }

// Hold is for a spoke that isn't ready for the lease yet: until it calls goOn, once, the attempt's time limit stands still, and nobody expects progress. Its
// credit stays in use. It must be over before the handler runs.
func (l *Lease) Hold() (goOn func()) {
	l.hold(true)
	return func() { l.hold(false) }
}

func (l *Lease) hold(held bool) {
	l.observe(held)
	h := l.hub
	h.mu.Lock()
	defer h.unlock()
	if l.returned {
		return
	}
	l.held = held
	if held {
		l.pauseClock(h.clock.now())
	} else {
		l.resumeClock(h.clock.now())
	}
	if l.task.lease == l {
		h.plan(l.task)
	}
}

// pauseClock stops the clock of the attempt's time limit. The hub's mutex is held.
func (l *Lease) pauseClock(now int64) {
	l.ctxMu.Lock()
	defer l.ctxMu.Unlock()
	e := l.more()
	e.restedAt = now
	if e.timer != nil {
		e.timer.Stop()
	}
}

// resumeClock lets it go on. The hub's mutex is held.
func (l *Lease) resumeClock(now int64) {
	l.ctxMu.Lock()
	defer l.ctxMu.Unlock()
	e := l.extra
	if l.expires != 0 {
		l.expires += now - e.restedAt
	}
	e.restedAt = 0
	if e.timer != nil && l.gone == nil {
		e.timer.Reset(time.Duration(l.expires - now))
	}
}
