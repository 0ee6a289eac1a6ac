package routing

import (
	"errors"
	"iter"
	"math"
	"slices"
)

// ErrCircular refuses to await a task that can't end before one's own: that itself, one whose subtask it is, or one that waits for it in turn, however many
// tasks are in between, because of its inputs ([After]) or because its handler awaits it. What counts is how it is at that moment, also if one of the waits would end by its
// context. Waits outside of [Handle.Await], [Type.Do] and [Type.Broadcast], without the context of a handler, for a task of another hub, or by another
// handler for a place in a full hub ([Wait]), aren't known of: they wait until a deadline or a cancel ends it.
var ErrCircular = errors.New("a task can't await itself, the task that it is a subtask of, or one that waits for it")

// mayAwait lets the handler of a lease await a task (nil is a place for one that it submits), unless that would wait in turn for the handler's. If in a circle of
// tasks that wait for each other one just waits for others of its key, it needs not wait for its turn any more. Every circle is closed here, or when a lease is taken back, see takeBack:
// no other wait begins when somebody waits already for who waits, but for that for a place, see letInSubtask.
func (h *Hub) mayAwait(l *Lease, awaited *task) error {
	for t := l.task; t != nil && awaited != nil; t = h.above(t) {
		if t == awaited && !t.state.Settled() {
			return ErrCircular
		}
	}
	switch {
	case l.task.lease != l: // its task doesn't wait for what it does any more, and the next of its key need not either
		h.wasTaken(l)
	case !l.task.isWaitedFor():
	case awaited == nil:
		h.disentanglePlace(l.task)
	case awaited.lane.hub == h:
		if _, circular := circle(awaited, l.task.is, false); circular {
			return ErrCircular
		}
		h.disentangle(awaited, l.task)
	}
	return nil
}

// disentanglePlace sees to it that the subtask whose end a task waits for next, with another for which there is no place, doesn't wait for that task.
func (h *Hub) disentanglePlace(t *task) {
	if sub := t.inPlace(); sub != nil {
		h.disentangle(sub, t)
	}
}

// disentangle sees to it that a task doesn't wait for another one because of an order of keys.
func (h *Hub) disentangle(from, to *task) {
	for h.placer != nil {
		late, _ := circle(from, to.is, true)
		if late == nil {
			return
		}
		h.loosen(late)
	}
}

// is reports whether it is that task.
func (t *task) is(other *task) bool { return t == other }

// isWaitedFor reports whether another task may wait for this one. It is there so that most handlers await what they like at no cost.
func (t *task) isWaitedFor() bool {
	if t.awaiters > 0 || t.strand != nil && t.strand.behind.size > 0 {
		return true
	}
	if f := t.fan(); f != nil && f.dependants.size > 0 {
		return true
	}
	parent := t.parent()
	return parent != nil && parent.inPlace() == t
}

// circle reports whether a task waits for one of others, by whatever is in between. By default that is what will only end with the task that is waited for; with
// all waits, late is the first on the way that waits for its turn among those of its key, or nil.
func circle(from *task, to func(*task) bool, all bool) (late *task, found bool) {
	type step struct{ task, late *task }
	steps := []step{{task: from}}
	seen := map[*task]struct{}{from: {}}
	for i := 0; i < len(steps); i++ {
		at := steps[i]
		for next, how := range at.task.needs() {
			if how != forGood && !all {
				continue
			}
			late := at.late
			if late == nil && how == forTurn {
				late = at.task
			}
			if to(next) {
				return late, true
			}
			if _, known := seen[next]; !known {
				seen[next] = struct{}{}
				steps = append(steps, step{next, late})
			}
		}
	}
	return nil, false
}

// wait is how a task waits for another one.
type wait uint8

const (
	forGood  wait = iota // it needs what comes of it, or its handler awaits that
	forTurn              // that is before it in its strand
	forPlace             // see inPlace
)

// inPlace returns the subtask of a task whose end is to make place for another one that its handler waits to submit, or nil.
func (t *task) inPlace() *task {
	k := t.kinship()
	if k == nil || len(k.submitted) == 0 || k.subtasks.size == 0 {
		return nil
	}
	return k.subtasks.head.task
}

// needs iterates over what a task waits for now.
func (t *task) needs() iter.Seq2[*task, wait] {
	return func(yield func(*task, wait) bool) {
		if t.state == StateLeased {
			for _, awaited := range t.lease.awaited() {
				if !yield(awaited, forGood) {
					return
				}
			}
			if sub := t.inPlace(); sub != nil && !yield(sub, forPlace) {
				return
			}
		}
		if t.place == blocked {
			for i := range t.extra.fan.inputs {
				if in := &t.extra.fan.inputs[i]; in.linked && !yield(in.input, forGood) {
					return
				}
			}
		}
		if before := t.predecessor(); before != nil {
			yield(before, forTurn)
		} else if taken := t.takenBefore(); taken != nil {
			for _, awaited := range taken.awaited() {
				if !yield(awaited, forTurn) {
					return
				}
			}
		}
	}
}

// awaits notes that the handler awaits a task of its hub.
func (l *Lease) awaits(awaited *task) {
	if awaited == nil || awaited.lane.hub != l.hub {
		return
	}
	l.ctxMu.Lock()
	defer l.ctxMu.Unlock()
	e := l.more()
	e.awaited = append(e.awaited, awaited)
	if awaited.awaiters < math.MaxUint16 {
		awaited.awaiters++
	}
}

// awaitsNoMore undoes awaits.
func (l *Lease) awaitsNoMore(awaited *task) {
	l.ctxMu.Lock()
	defer l.ctxMu.Unlock()
	if l.extra == nil {
		return
	}
	if i := slices.Index(l.extra.awaited, awaited); i >= 0 {
		l.extra.awaited = slices.Delete(l.extra.awaited, i, i+1)
		if awaited.awaiters < math.MaxUint16 {
			awaited.awaiters--
		}
	}
}

// awaited returns the tasks that the handler awaits. The hub's mutex is held: they don't change.
func (l *Lease) awaited() []*task {
	l.ctxMu.Lock()
	defer l.ctxMu.Unlock()
	if l.extra == nil {
		return nil
	}
	return l.extra.awaited
}
