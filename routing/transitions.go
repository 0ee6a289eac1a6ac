package routing

import "time"

// This file holds every way from one state of a task to another. All of it runs under the hub's mutex.

// charge says what an attempt costs the task.
type charge uint8

const (
	uncharged charge = iota
	asError
	asStrike
)

// verdict is what becomes of a task after an attempt.
type verdict struct {
	next   State // StateWaiting is "again"
	charge charge
	wait   time.Duration // how long it was asked to wait, if it was not charged
}

// judge decides what becomes of a task, given the outcome of an attempt and what was charged to it before.
func judge(o Outcome, errors, strikes, maxAttempts, quarantineAfter int) verdict {
	switch o.kind {
	case OutcomeDone:
		return verdict{next: StateDone}
	case OutcomeError:
		switch {
		case o.permanent:
			return verdict{next: StateFailed, charge: asError}
		case o.notNow:
			return verdict{next: StateWaiting, wait: o.wait}
		case errors+1 >= maxAttempts:
			return verdict{next: StateFailed, charge: asError}
		}
		return verdict{next: StateWaiting, charge: asError}
	case OutcomeCrashed, OutcomeHung, OutcomeTimedOut:
		if strikes+1 >= quarantineAfter {
			return verdict{next: StateQuarantined, charge: asStrike}
		}
		return verdict{next: StateWaiting, charge: asStrike}
	default:
		return verdict{next: StateWaiting}
	}
}

// lease gives a waiting task to a free spoke.
func (h *Hub) lease(t *task, s *Spoke, now int64) *Lease {
	h.takeOut(t)
	h.move(t, StateLeased)
	if t.strand != nil {
		t.strand.begun = true
	}
	t.attempt++
	l := h.blank
	if l == nil {
		l = &Lease{}
	}
	h.blank = nil
	l.hub, l.task, l.spoke, l.input, l.attempt = h, t, s, t.value, int(t.attempt)
	if timeout := t.timeout(); timeout > 0 && h.journal == nil {
		l.expires = now + timeout
	}
	t.lease = l
	t.begin(attempt{spoke: s.shared, start: now, number: t.attempt})
	s.leases.pushBack(l)
	h.picks++
	s.picked, l.number = h.picks, h.picks
	h.occupy(l)
	h.books.Attempts++
	h.plan(t)
	if h.heard() {
		h.emit(Event{Kind: EventLeased, Attempt: l.attempt, Spoke: s.id}, t, now)
	}
	return l
}

// conclude ends the current attempt of a task with an outcome.
func (h *Hub) conclude(t *task, o Outcome, now int64) {
	l := t.lease
	t.end(now, o)
	if !l.returned {
		h.takeBack(l, revocationCause(o))
	}
	v := judge(o, int(t.errors), int(t.strikes), int(t.maxAttempts), t.lane.quarantineAfter)
	switch v.charge {
	case asError:
		t.errors++
		t.avoid = l.spoke.shared
	case asStrike:
		t.strikes++
		t.avoid = l.spoke.shared
	}
	if v.next != StateWaiting {
		h.settle(t, v.next, o, now)
		return
	}
	if o.kind != OutcomeReleased {
		h.acquit(t, now)
	}
	h.move(t, StateWaiting)
	t.lease = nil
	after := h.redeliver(t, v, o, now)
	h.emit(Event{Kind: EventRetried, Attempt: l.attempt, Spoke: l.spoke.id, Outcome: o.kind, After: after, Err: o.err}, t, now)
}

// redeliver lets a task wait for its next attempt, and returns for how long at least.
func (h *Hub) redeliver(t *task, v verdict, o Outcome, now int64) time.Duration {
	var after time.Duration
	switch {
	case v.charge != uncharged:
		after = t.backoff().delay(int(t.errors)+int(t.strikes), h.index.id(t), int(t.attempt))
	case o.kind == OutcomeError && !o.forCircuit:
		after = min(max(v.wait, t.backoff().Min), maxRetryAfter)
	default:
		h.enqueue(t, true)
		return 0
	}
	t.place = delayed
	t.readyAt = now + int64(after)
	h.plan(t)
	return after
}

// maxRetryAfter bounds how long an error from outside may put a task off.
const maxRetryAfter = 24 * time.Hour

func revocationCause(o Outcome) error {
	switch {
	case o.kind == OutcomeTimedOut:
		return ErrAttemptTimeout
	case o.err != nil:
		return &causedError{ErrRevoked, o.err}
	}
	return ErrRevoked
}

// settle ends a task's life.
func (h *Hub) settle(t *task, state State, o Outcome, now int64) {
	ended := t.lease
	h.takeOut(t)
	h.unthread(t)
	t.unpin()
	h.move(t, state)
	t.lease = nil
	h.plan(t)
	switch state {
	case StateDone:
		t.value = o.value
		if t.saved != nil {
			t.saved.out = o.stored
		}
	default:
		t.err = &TaskError{ID: h.index.id(t), Type: t.lane.name, State: state, Attempts: h.attemptsOf(t), Err: o.err}
	}
	h.announce(t, now)
	if h.heard() {
		e := Event{Kind: EventSettled, Outcome: o.kind, Err: o.err}
		if ended != nil {
			e.Attempt, e.Spoke = ended.attempt, ended.spoke.id
		}
		h.emit(e, t, now)
	}
	if state == StateQuarantined {
		h.setAside(t, now)
	} else {
		h.retire(t)
	}
	if t.extra != nil {
		h.tellDependants(t)
		h.leaveFamily(t, now)
	}
	h.leave(t, now)
	h.settleDoomed(now)
	h.finishDrain()
}

// announce tells those who wait for a task that it is settled. With a store that has to be recorded first.
func (h *Hub) announce(t *task, now int64) {
	if t.saved != nil {
		t.saved.settled = now
		h.acquit(t, now)
		return
	}
	h.finish(t)
}

// finish lets all go who wait for a task.
func (h *Hub) finish(t *task) {
	t.over.Store(true)
	if t.done != nil {
		close(t.done)
		t.done = nil
	}
	h.endUpdates(t)
}

// cancel settles an unsettled task as cancelled.
func (h *Hub) cancel(t *task, cause error, now int64) {
	h.cutShort(t, StateCancelled, Outcome{kind: OutcomeCancelled, err: cause}, cause, now)
}

// expireIfDue settles an unsettled task whose deadline has passed, and ends an attempt whose time limit has.
func (h *Hub) expireIfDue(t *task, now int64) {
	switch {
	case t.state.Settled() || t.over.Load(): // or it is kept
	case t.overdue(now):
		h.cutShort(t, StateExpired, Outcome{kind: OutcomeExpired}, ErrExpired, now)
	case t.state == StateLeased && t.lease.overtime(now):
		h.conclude(t, Outcome{kind: OutcomeTimedOut, err: ErrAttemptTimeout}, now)
	}
}

// cutShort settles an unsettled task from outside, taking it from a spoke that has it.
func (h *Hub) cutShort(t *task, state State, o Outcome, cause error, now int64) {
	if l := t.lease; l != nil {
		t.end(now, o)
		if !l.returned {
			h.takeBack(l, cause)
		}
	}
	h.settle(t, state, o, now)
}

// fallDue does what is due for a task whose time in the schedule has come.
func (h *Hub) fallDue(t *task, now int64) {
	h.expireIfDue(t, now)
	if t.state == StateWaiting && t.readyAt != 0 && t.readyAt <= now {
		wasHeld := t.place == held
		h.takeOut(t)
		if wasHeld {
			t.avoid = nil
		}
		h.enqueue(t, wasHeld)
	}
}
