package routing

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// gate is a bounded number of places and the line of those who wait for one. Places given up go to the head of the line, so
// whoever finds a place free has overtaken nobody.
type gate struct {
	limit int // 0 is no limit
	used  int
	line  list[*waiter]
}

func (g *gate) full() bool { return g.limit > 0 && g.used >= g.limit }

// waiter is a blocked submit. It waits for a place of its type first, and then, keeping that, for one of the hub.
type waiter struct {
	node[*waiter]
	task  *task
	at    *gate         // where it stands in line; nil once it is answered
	fresh bool          // it was accepted, and not an older task with the same id
	err   error         // it was refused
	done  chan struct{} // closed when it is answered
}

func (w *waiter) links() *node[*waiter] { return &w.node }

// submit accepts a task, finds the one that is known by its id (fresh is false), or refuses.
func (h *Hub) submit(ctx context.Context, typeName string, in any, opts []SubmitOption) (_ *task, fresh bool, err error) {
	var s submission
	s.check(validName("task type", typeName))
	for _, option := range opts {
		option(&s)
	}
	if len(s.faults) > 0 {
		return nil, false, fmt.Errorf("submit task of type %q: %w", typeName, errors.Join(s.faults...))
	}
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	if h.journal != nil {
		raw, err := encode(in)
		if err != nil {
			return nil, false, fmt.Errorf("submit task of type %q: its input can't be recorded: %w", typeName, err)
		}
		s.saved = &saved{in: raw}
	}
	t, fresh, w, err := h.admit(typeName, in, &s)
	if w == nil {
		return h.recorded(t, fresh, err)
	}
	if !s.deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, s.deadline, ErrExpired)
		defer stop()
	}
	return h.recorded(h.awaitAdmission(ctx, w))
}

// admit is submit as far as it needs no waiting; it returns a waiter if it does.
func (h *Hub) admit(typeName string, in any, s *submission) (t *task, fresh bool, w *waiter, err error) {
	h.mu.Lock()
	defer h.unlock()
	now := h.clock.now()
	known, err := h.known(s.id, typeName)
	if known != nil || err != nil {
		return known, false, nil, err
	}
	t, err = h.prepare(typeName, in, s, now)
	if err != nil {
		h.books.Refused++
		return nil, false, nil, err
	}
	full := h.fullGate(t.lane)
	switch {
	case full == nil:
		t.lane.gate.used++
		h.gate.used++
		h.accept(t, now)
		return t, true, nil, nil
	case s.wait:
		return nil, false, h.standInLine(t), nil
	}
	h.books.Refused++
	return nil, false, nil, h.queueFull(t.lane, full)
}

// known finds the task of an id, if the hub remembers one.
func (h *Hub) known(id, typeName string) (*task, error) {
	t := h.records[id]
	if t != nil && t.lane.name != typeName {
		return nil, &ConflictError{ID: id, Type: typeName, Known: t.lane.name}
	}
	return t, nil
}

// prepare makes the record of a new task, or refuses it for good.
func (h *Hub) prepare(typeName string, in any, s *submission, now int64) (*task, error) {
	if h.closed != nil {
		return nil, h.closed
	}
	lane := h.lanes[typeName]
	if lane == nil || lane.unknown {
		return nil, &UnknownTypeError{Type: typeName}
	}
	t := &task{id: s.id, key: s.key, lane: lane, in: in, saved: s.saved, maxAttempts: uint16(h.options.MaxAttempts), timeout: int64(h.options.AttemptTimeout)}
	if s.maxAttempts > 0 {
		t.maxAttempts = uint16(s.maxAttempts)
	}
	if s.timeout > 0 {
		t.timeout = int64(min(s.timeout, forever))
	}
	if !s.deadline.IsZero() {
		t.deadline = h.clock.from(s.deadline)
		if t.deadline <= now {
			return nil, fmt.Errorf("submit task of type %q: %w", typeName, ErrExpired)
		}
	}
	return t, nil
}

// accept enters a task that has its places.
func (h *Hub) accept(t *task, now int64) {
	t.submitted = now
	h.record(t)
	h.emit(Event{Kind: EventSubmitted}, t, now)
	h.enqueue(t, false)
}

// fullGate returns the gate that a task of this lane cannot pass now, or nil.
func (h *Hub) fullGate(l *lane) *gate {
	switch {
	case l.gate.full():
		return &l.gate
	case h.gate.full():
		return &h.gate
	}
	return nil
}

func (h *Hub) queueFull(l *lane, full *gate) error {
	err := &QueueFullError{Limit: full.limit, After: h.pace.retryAfter()}
	if full == &l.gate {
		err.Type = l.name
	}
	return err
}

func (h *Hub) standInLine(t *task) *waiter {
	w := &waiter{task: t, done: make(chan struct{})}
	if t.lane.gate.full() {
		w.at = &t.lane.gate
	} else {
		t.lane.gate.used++
		w.at = &h.gate
	}
	w.at.line.pushBack(w)
	return w
}

func (h *Hub) awaitAdmission(ctx context.Context, w *waiter) (*task, bool, error) {
	select {
	case <-w.done:
	case <-ctx.Done():
		h.mu.Lock()
		if w.at != nil {
			h.leaveLine(w)
			h.answer(w, nil, context.Cause(ctx))
			h.admitWaiting(h.clock.now())
		}
		h.unlock()
	}
	if w.err != nil {
		return nil, false, w.err
	}
	return w.task, w.fresh, nil
}

// leaveLine takes a waiter out of line; a place of its type that it had goes on to the next.
func (h *Hub) leaveLine(w *waiter) {
	w.at.line.remove(w)
	if w.at == &h.gate {
		h.leaveLane(w.task.lane)
	}
	w.at = nil
}

// answer ends a waiter's wait: with a task, or with an error.
func (h *Hub) answer(w *waiter, t *task, err error) {
	w.at, w.task, w.err = nil, t, err
	if err != nil {
		h.books.Refused++
	}
	close(w.done)
}

// leaveLane gives up one place of the lane. The first in its line has it then, and goes on to the line of the hub.
func (h *Hub) leaveLane(l *lane) {
	l.gate.used--
	if w := l.gate.line.head; w != nil && !l.gate.full() {
		l.gate.line.remove(w)
		l.gate.used++
		w.at = &h.gate
		h.gate.line.pushBack(w)
	}
}

// leave gives up the places of a task that was settled.
func (h *Hub) leave(t *task, now int64) {
	h.pace.settled(now)
	h.leaveLane(t.lane)
	h.gate.used--
	h.admitWaiting(now)
}

// admitWaiting lets in from the line of the hub as many as there is room for.
func (h *Hub) admitWaiting(now int64) {
	for !h.gate.full() {
		w := h.gate.line.head
		if w == nil {
			return
		}
		t := w.task
		known, err := h.known(t.id, t.lane.name)
		if err == nil && t.overdue(now) {
			err = ErrExpired
		}
		if known != nil || err != nil {
			h.leaveLine(w)
			h.answer(w, known, err)
			continue
		}
		h.gate.line.remove(w)
		h.gate.used++
		w.fresh = true
		h.accept(t, now)
		h.answer(w, t, nil)
	}
}

// turnAway refuses all who stand in line.
func (h *Hub) turnAway(reason error) {
	for _, l := range h.lanes {
		for w := l.gate.line.head; w != nil; w = l.gate.line.head {
			h.leaveLine(w)
			h.answer(w, nil, reason)
		}
	}
	for w := h.gate.line.head; w != nil; w = h.gate.line.head {
		h.leaveLine(w)
		h.answer(w, nil, reason)
	}
}

// pace is the mean time between settlements, the latest 16 or so weighing most.
type pace struct {
	last, mean int64
}

func (p *pace) settled(now int64) {
	if p.last != 0 {
		p.mean += (now - p.last - p.mean) / 16
	}
	p.last = now
}

// retryAfter guesses when a few places will be free.
func (p *pace) retryAfter() time.Duration {
	return min(max(time.Duration(p.mean*8), 10*time.Millisecond), 10*time.Second)
}
