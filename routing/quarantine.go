package routing

import (
	"errors"
	"fmt"
	"time"
)

// Quarantined returns the tasks in quarantine, oldest first, with the stacks of their attempts.
func (h *Hub) Quarantined() []TaskSnapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	tasks := make([]TaskSnapshot, 0, h.quarantine.size)
	for t := h.quarantine.head; t != nil; t = t.next {
		tasks = append(tasks, h.snapshot(t))
	}
	return tasks
}

// Requeue takes a task out of quarantine and lets it wait again, with nothing charged; its attempts go on counting. Handles from
// before keep their outcome; submitting the id again returns a handle of the new life. A subtask ends with its parent again, if that is
// unsettled. A part of a broadcast runs on the spoke that has the path of its spoke now. Requeue needs room as a submit does, and fails with [ErrNotQuarantined], [ErrClosed],
// [ErrExpired] if the task's deadline has passed meanwhile (that of a [Deadline] or a Lifetime; see [Hub.RequeueUntil]), a [*QueueFullError], [ErrSpokeGone] if there is no such
// spoke, or a [*StoreError]; the task stays in quarantine then, but for the last.
func (h *Hub) Requeue(id string) error { return h.requeueTask(id, nil) }

// RequeueUntil is Requeue with another deadline than the task has had so far; the zero time is none.
func (h *Hub) RequeueUntil(id string, deadline time.Time) error {
	return h.requeueTask(id, &deadline)
}

func (h *Hub) requeueTask(id string, deadline *time.Time) error {
	recorded, err := h.requeue(id, deadline)
	if err == nil {
		err = recorded.wait()
	}
	if err != nil {
		return fmt.Errorf("requeue task %q: %w", id, err)
	}
	return nil
}

// requeue lets the task go on with a deadline, or its own if that is nil.
func (h *Hub) requeue(id string, deadline *time.Time) (recorded *batch, err error) {
	h.mu.Lock()
	defer h.unlock()
	t, err := h.inQuarantine(id)
	if err == nil && h.closed != nil {
		err = h.closed
	}
	now, end := h.clock.now(), int64(0)
	if err == nil {
		switch {
		case deadline == nil:
			end = t.deadline
		case !deadline.IsZero():
			end = h.clock.from(*deadline)
		}
		if end != 0 && end <= now {
			err = ErrExpired
		}
	}
	if err == nil {
		if full := h.fullGate(t.lane); full != nil {
			err = h.queueFull(t.lane, full)
		}
	}
	var pin *seat
	if err == nil && t.pin() != nil {
		pin, err = h.successor(t.pin())
	}
	if err != nil {
		return nil, err
	}
	h.quarantine.remove(t)
	t.place = nowhere
	again := &task{
		id: t.id, key: t.key, lane: t.lane, seq: t.seq, value: t.value, maxAttempts: t.maxAttempts,
		history: t.history.clone(), last: t.last, attempt: t.attempt,
		submitted: t.submitted, deadline: end, extra: t.nextLife(),
		state: StateQuarantined, level: t.level, loose: t.loose,
	}
	if t.saved != nil {
		h.seq++
		again.saved = t.saved.again(h.seq)
		t.saved.in = nil
	}
	if pin != nil {
		again.more().pin = pin
		again.notePinned()
	}
	t.value = nil
	if parent := h.above(again); parent != nil && !parent.state.Settled() {
		again.kin().parent = parent
		again.joinFamily()
	}
	h.index.put(again)
	h.move(again, StateWaiting)
	again.lane.gate.used++
	h.gate.used++
	h.emit(Event{Kind: EventRequeued}, again, now)
	h.enqueue(again, false)
	return again.pending(), nil
}

// Discard gives a task in quarantine up for good: its input is dropped, its record goes to the settled ones. It fails with
// [ErrNotQuarantined], or with a store, [ErrClosed] or a [*StoreError]; the task stays in quarantine then.
func (h *Hub) Discard(id string) error {
	recorded, err := h.discardByID(id)
	if err == nil {
		err = recorded.wait()
	}
	if err != nil {
		return fmt.Errorf("discard task %q: %w", id, err)
	}
	return nil
}

func (h *Hub) discardByID(id string) (recorded *batch, err error) {
	h.mu.Lock()
	defer h.unlock()
	t, err := h.inQuarantine(id)
	if err == nil && h.sealed() {
		err = h.closed
	}
	if err != nil {
		return nil, err
	}
	h.discard(t, nil, h.clock.now())
	return t.pending(), nil
}

func (h *Hub) inQuarantine(id string) (*task, error) {
	t := h.index.find(id)
	if t == nil || t.state != StateQuarantined || t.place != aside {
		return nil, ErrNotQuarantined
	}
	return t, nil
}

// setAside puts a task into quarantine, discarding the oldest there if it is full.
func (h *Hub) setAside(t *task, now int64) {
	t.place = aside
	h.quarantine.pushBack(t)
	if h.quarantine.size > h.keptQuarantine {
		h.discard(h.quarantine.head, errQuarantineFull, now)
	}
}

var errQuarantineFull = errors.New("the quarantine is full and this is the oldest task in it")

func (h *Hub) discard(t *task, cause error, now int64) {
	h.quarantine.remove(t)
	t.place = nowhere
	h.emit(Event{Kind: EventDiscarded, Err: cause}, t, now)
	h.retire(t)
}
