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
	hasty bool          // it came with FailFast
	at    *gate         // where it stands in line; nil once it is answered
	fresh bool          // it was accepted, and not an older task with the same id
	err   error         // it was refused
	done  chan struct{} // closed when it is answered
}

func (w *waiter) links() *node[*waiter] { return &w.node }

// noOptions is a submission without options. Nobody writes to it.
var noOptions submission

// submit accepts a task, finds the one that is known by its id (fresh is false), or refuses.
func (h *Hub) submit(ctx context.Context, typeName string, in any, opts []SubmitOption) (_ *task, fresh bool, err error) {
	s := &noOptions
	if len(opts) > 0 {
		s = &submission{}
		for _, option := range opts {
			option(s)
		}
	}
	if len(s.faults) > 0 {
		return nil, false, fmt.Errorf("submit task of type %q: %w", typeName, errors.Join(append(s.faults, validName("task type", typeName))...))
	}
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	if lease := leaseOf(ctx); lease != nil && !s.detached {
		own := *s
		s = &own
		if err := h.beSubtask(s, lease, typeName, in); err != nil {
			return nil, false, fmt.Errorf("submit task of type %q: %w", typeName, err)
		}
	}
	record := &task{id: s.id, key: s.key, value: in}
	if err := h.keepInput(record); err != nil {
		return nil, false, fmt.Errorf("submit task of type %q: %w", typeName, err)
	}
	t, fresh, w, given, err := h.admit(record, typeName, s)
	if given != nil {
		given.deliver()
	}
	if w == nil {
		return h.recorded(t, fresh, err)
	}
	if record.deadline != 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, h.clock.at(record.deadline), ErrExpired)
		defer stop()
	}
	await, err := beginAwait(ctx, nil)
	if err != nil {
		return nil, false, err
	}
	defer await.end()
	return h.recorded(h.awaitAdmission(ctx, w))
}

// admit is submit as far as it needs no waiting; it returns a waiter if it does. If a spoke is free for the task, it comes with its first
// lease, which is to be delivered.
func (h *Hub) admit(t *task, typeName string, s *submission) (_ *task, fresh bool, w *waiter, given *Lease, err error) {
	h.mu.Lock()
	defer h.unlock()
	now := h.clock.now()
	known, err := h.known(s.id, typeName)
	if known != nil || err != nil {
		return known, false, nil, nil, err
	}
	if err := h.prepare(t, typeName, s, now); err != nil {
		h.books.Refused++
		return nil, false, nil, nil, err
	}
	full := h.fullGate(t.lane)
	switch {
	case full == nil || t.mayExceed():
		t.lane.gate.used++
		h.gate.used++
		h.accept(t, now)
		return t, true, nil, h.start(t, now), nil
	case s.wait:
		return nil, false, h.standInLine(t, s.failFast), nil, nil
	}
	h.books.Refused++
	return nil, false, nil, nil, h.queueFull(t.lane, full)
}

// known finds the task of an id, if the hub remembers one.
func (h *Hub) known(id, typeName string) (*task, error) {
	if id == "" {
		return nil, nil
	}
	t := h.index.find(id)
	if t != nil && t.lane.name != typeName {
		return nil, &ConflictError{ID: id, Type: typeName, Known: t.lane.name}
	}
	return t, nil
}

// prepare completes the record of a new task, or refuses it for good.
func (h *Hub) prepare(t *task, typeName string, s *submission, now int64) error {
	if err := h.closedTo(s.parent); err != nil {
		return err
	}
	lane := h.lanes[typeName]
	if lane == nil || lane.unknown {
		if err := validName("task type", typeName); err != nil {
			return fmt.Errorf("submit task of type %q: %w", typeName, err)
		}
		return &UnknownTypeError{Type: typeName}
	}
	t.lane, t.maxAttempts, t.level = lane, lane.maxAttempts, levelOf(s.priority, s.parent != nil)
	if s.carried != nil {
		t.more().carried = s.carried
	}
	if s.maxAttempts > 0 {
		t.maxAttempts = uint16(s.maxAttempts)
	}
	if s.timeout > 0 {
		t.more().timeout = int64(min(s.timeout, forever))
	}
	if s.backoff != nil {
		t.more().backoff = s.backoff
	}
	if lane.lifetime > 0 && s.deadline.IsZero() {
		t.deadline = now + int64(lane.lifetime)
	}
	if at := s.end(); !at.IsZero() {
		if end := h.clock.from(at); t.deadline == 0 || end < t.deadline {
			t.deadline = end
		}
	}
	var err error
	switch {
	case t.overdue(now):
		err = ErrExpired
	case s.parent != nil && s.parent.hub == h:
		err = h.bear(t, s.parent.task)
	}
	if err == nil {
		err = h.resolve(s.inputs, t)
	}
	if err == nil && s.pin != (SpokeID{}) {
		err = h.pinTo(t, s.pin)
	}
	if err != nil {
		return fmt.Errorf("submit task of type %q: %w", typeName, err)
	}
	if s.failFast {
		return h.wouldBeShutOut(t)
	}
	return nil
}

// accept enters a task that has its places.
func (h *Hub) accept(t *task, now int64) {
	t.submitted = now
	h.record(t)
	t.joinFamily()
	h.thread(t)
	t.notePinned()
	if h.heard() {
		h.emit(Event{Kind: EventSubmitted}, t, now)
	}
}

// enter lets an accepted task wait: for its inputs, or for a spoke.
func (h *Hub) enter(t *task, now int64) {
	if pin := t.pin(); pin != nil && pin.spoke.left { // while it waited for its place
		h.settle(t, StateFailed, Outcome{err: fmt.Errorf("%w: %v", ErrSpokeGone, pin.spoke.id)}, now)
		return
	}
	if !h.awaitInputs(t) {
		h.enqueue(t, false)
	}
	h.settleDoomed(now)
}

// start leases a task that was just accepted to a spoke, if one is free and no other task is before it; else it waits.
func (h *Hub) start(t *task, now int64) *Lease {
	s := h.freeFor(t)
	if s == nil || h.nextFor(s, now) != nil {
		h.enter(t, now)
		return nil
	}
	given := h.lease(t, s, now)
	h.reseat(s)
	if h.journal.deliver(given) {
		return nil
	}
	return given
}

// freeFor returns the spoke that may have a task that was just accepted at once, or nil.
func (h *Hub) freeFor(t *task) *Spoke {
	l := t.lane
	switch {
	case h.stopped(l) || t.hasInputs():
		return nil
	case t.strand != nil && !t.isNext():
		return nil
	case t.strand != nil || t.pin() != nil:
		if seat := t.seat(); seat.able && seat.spoke.free() {
			return seat.spoke
		}
		return nil
	case l.free.len() == 0 || l.queue.size+l.hold.size > 0:
		return nil
	}
	return h.pick(t).spoke
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

func (h *Hub) standInLine(t *task, hasty bool) *waiter {
	w := &waiter{task: t, hasty: hasty, done: make(chan struct{})}
	if hasty {
		h.hasty++
	}
	if t.lane.gate.full() {
		w.at = &t.lane.gate
	} else {
		t.lane.gate.used++
		w.at = &h.gate
	}
	w.at.line.pushBack(w)
	if parent := t.parent(); parent != nil {
		k := parent.kin()
		k.submitted = append(k.submitted, w)
	}
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
	w.leaveParent()
	if w.hasty {
		h.hasty--
	}
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
		if !h.turnedAway(w, now) {
			h.gate.line.remove(w)
			h.letIn(w, now)
		}
	}
}

// turnedAway answers a waiter whose turn it is, if its task isn't to be accepted any more.
func (h *Hub) turnedAway(w *waiter, now int64) bool {
	t := w.task
	known, err := h.known(t.id, t.lane.name)
	if err == nil && t.overdue(now) {
		err = ErrExpired
	}
	if known == nil && err == nil && w.hasty {
		err = h.wouldBeShutOut(t)
	}
	if known == nil && err == nil {
		return false
	}
	h.leaveLine(w)
	h.answer(w, known, err)
	return true
}

// letIn accepts the task of a waiter that has left its line, and has a place of its type.
func (h *Hub) letIn(w *waiter, now int64) {
	h.gate.used++
	w.fresh = true
	w.leaveParent()
	h.accept(w.task, now)
	h.enter(w.task, now)
	h.answer(w, w.task, nil)
}

// turnAway refuses those who stand in line and aren't wanted.
func (h *Hub) turnAway(reason error, unwanted func(*waiter) bool) {
	var refused []*waiter
	note := func(g *gate) {
		for w := g.line.head; w != nil; w = w.next {
			if unwanted(w) {
				refused = append(refused, w)
			}
		}
	}
	for _, l := range h.lanes {
		note(&l.gate)
	}
	note(&h.gate)
	for _, w := range refused {
		h.leaveLine(w)
		h.answer(w, nil, reason)
	}
}

func anyone(*waiter) bool { return true }

// pace is the mean time between settlements, the latest 16 or so weighing most.
type pace struct {
	last, mean int64
}

func (p *pace) settled(now int64) {
	if p.last != 0 {
		p.mean += (min(now-p.last, longestGap) - p.mean) / 16
	}
	p.last = now
}

const (
	fewPlaces    = 8
	maxFullAfter = 10 * time.Second
	// longestGap is all that an idle time counts: more would make no difference to retryAfter, but would be remembered for long.
	longestGap = int64(maxFullAfter / fewPlaces)
)

// retryAfter guesses when a few places will be free.
func (p *pace) retryAfter() time.Duration {
	return min(max(time.Duration(p.mean*fewPlaces), 10*time.Millisecond), maxFullAfter)
}
