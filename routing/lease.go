package routing

import (
	"context"
	"math"
	"sync"
	"time"
)

// Lease is one attempt at a task by one spoke. The spoke runs the task and calls [Lease.Settle], once, whatever happened.
type Lease struct {
	hub     *Hub
	task    *task
	spoke   *Spoke
	input   any
	attempt int
	number  uint64 // the hub's count of leases
	expires int64  // end of the attempt's time limit on the hub's clock; 0 is none; written under the hub's mutex and ctxMu

	observer Observer // the spoke's; nil for none

	node[*Lease]       // leases of the spoke; guarded by the hub's mutex
	returned     bool  // the spoke has settled it; guarded by the hub's mutex
	held         bool  // see Hold; guarded by the hub's mutex
	pulled       bool  // it was returned by Settle; not written after that
	waits        int32 // goroutines of the handler that await something; guarded by the hub's mutex

	parent   context.Context // of the attempt's; set before anybody has that
	ctxMu    sync.Mutex      // guards the rest; not held while calling onRevoke, or cancel once the context is known
	onRevoke func(*Lease)
	gone     error // the lease was revoked, or returned
	extra    *leaseExtra
}

// leaseExtra is what most leases do without. It is guarded by ctxMu.
type leaseExtra struct {
	ctx      context.Context // behind the attempt's, once it was needed
	cancel   func(cause error)
	timer    *time.Timer      // of the time limit, if its context was made
	restedAt int64            // since when that stands still, on the hub's clock; 0 if it doesn't
	named    map[uint64]int32 // subtasks of the attempt, by the hash of their derived id
	awaited  []*task          // what the handler awaits; written under the hub's mutex too
}

// more returns the lease's extra, making it if there is none. The caller holds ctxMu.
func (l *Lease) more() *leaseExtra {
	if l.extra == nil {
		l.extra = &leaseExtra{}
	}
	return l.extra
}

func (l *Lease) links() *node[*Lease] { return &l.node }

// ID returns the task's id.
func (l *Lease) ID() string { return l.hub.index.id(l.task) }

// Type returns the name of the task's type.
func (l *Lease) Type() string { return l.task.lane.name }

// Attempt returns the number of this lease among all leases of the task, from 1.
func (l *Lease) Attempt() int { return l.attempt }

// Limited reports whether the attempt has a time limit of its own, or its task a deadline.
func (l *Lease) Limited() bool {
	l.ctxMu.Lock()
	defer l.ctxMu.Unlock()
	return l.expires != 0 || l.task.deadline != 0
}

// Input returns the payload, as the submitter gave it, or as [Stored] if it comes from a store.
func (l *Lease) Input() any { return l.input }

// Info returns what a handler may know of its task.
func (l *Lease) Info() TaskInfo {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	return l.hub.info(l.task, l.attempt)
}

// Settle reports how the attempt ended and gives the credit back. If the lease is still the current one of its task, the outcome
// is recorded (accepted is true); if it was revoked, timed out, cancelled or settled before, the outcome changes nothing and is
// counted as late, except that the release of a lease that is gone is no news.
//
// Under the same lock the spoke gets its next lease, if a task waits for it: it is not delivered, but returned (with a store, delivered: when it is recorded). After Done and
// Error the spoke goes on. A spoke that reports Crashed or Hung, or releases a lease that it still holds, is on its way out: it
// gets nothing more before [Spoke.Resume].
//
// It may be called from any goroutine.
func (l *Lease) Settle(o Outcome) (next *Lease, accepted bool) {
	defer l.releaseContext()
	var blank *Lease
	if l.pulled { // there is likely to be another; it is made before the hub's mutex is taken
		blank = &Lease{}
	}
	return l.hub.settleLease(l, o, blank, inlineEvents)
}

// SettleHung is Settle with Hung(reason), for whoever watches over handlers: callbacks, such as OnEvent, don't hold that up.
func (l *Lease) SettleHung(reason error) {
	defer l.releaseContext()
	l.hub.settleLease(l, Hung(reason), nil, 0)
}

// settleLease settles a lease, with a blank one for the next, and hands out so many events itself.
func (h *Hub) settleLease(l *Lease, o Outcome, blank *Lease, events int) (next *Lease, accepted bool) {
	if h.journal != nil {
		o.store(l)
	}
	h.mu.Lock()
	defer h.release(events)
	t, s, now := l.task, l.spoke, h.clock.now()
	if o.kind == OutcomePending {
		o.kind = OutcomeReleased
	}
	if l.returned {
		h.refuseLate(l, o, now)
		return nil, false
	}
	l.returned = true
	if !s.left {
		s.leases.remove(l)
		l.stopResting()
		s.wakeDrain()
		if l.waits == 0 {
			h.vacate(l)
		}
	}
	o.forCircuit = o.refused && s.behindOpen()
	h.pulling = s
	h.expireIfDue(t, now)
	accepted = t.lease == l
	if accepted {
		if o.snapshot != nil && !s.left {
			_, _ = h.save(s, *o.snapshot) // if the store has failed, that is known
		}
		h.conclude(t, o, now)
	} else {
		if o.kind != OutcomeReleased {
			h.refuseLate(l, o, now)
		}
		h.wasTaken(l)
	}
	if o.kind.fatal() || o.kind == OutcomeReleased && accepted {
		s.paused = true
	}
	h.blank = blank
	if next = h.pull(s, now); next != nil {
		next.pulled = true
	}
	h.blank = nil
	h.pulling = nil
	if h.journal.deliver(next) {
		next = nil
	}
	h.reseat(s)
	return next, accepted
}

func (h *Hub) refuseLate(l *Lease, o Outcome, now int64) {
	h.books.Late++
	h.emit(Event{Kind: EventLateResult, Spoke: l.spoke.id, Attempt: l.attempt, Outcome: o.kind, Err: o.err}, l.task, now)
}

// fatal reports whether the agent does not live on after this outcome.
func (k OutcomeKind) fatal() bool { return k == OutcomeCrashed || k == OutcomeHung }

// clock counts nanoseconds since the hub was made, on the monotonic clock.
type clock struct {
	epoch time.Time
}

func (c clock) now() int64            { return int64(time.Since(c.epoch)) + 1 }
func (c clock) at(ns int64) time.Time { return c.epoch.Add(time.Duration(ns - 1)) }

// from never returns 0, which is none.
func (c clock) from(t time.Time) int64 {
	ns := int64(min(t.Sub(c.epoch), forever))
	if ns >= 0 {
		ns++
	}
	return ns
}

// forever bounds all times and delays, so that sums of a few don't overflow.
const forever = time.Duration(math.MaxInt64 / 4)
