package routing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// Reply is what one spoke made of a task that all got.
type Reply[Out any] struct {
	Spoke SpokeID
	Out   Out
	// Err is nil, or why there is no Out: a [*TaskError], or why the spoke's part was not accepted. [ErrSpokeGone] is in its chain if the
	// spoke has left before it was done.
	Err error
}

// ErrSpokeGone says that a task could run on one spoke only, and that spoke has left.
var ErrSpokeGone = errors.New("the spoke has left")

// Broadcast gives a task to each spoke that is joined for its type at this moment, paused ones too, and gathers what becomes of it, ordered
// by the paths of the spokes. No balancer has a say in that. It is an error if the type is unknown; if it has no spokes there are no replies.
//
// The ledger holds a task for each spoke, a part, with all that belongs to a task: it takes a place in the queue, is tried again after an error,
// settles once. But it runs on its spoke or nowhere: if the spoke leaves before its part is settled, that has failed. So a part that
// crashes or hangs its agent isn't tried again, unless it went into quarantine for it and is requeued: see [Hub.Requeue]. The options are those of each part; with [ID] the id of a part is that id and the path of
// its spoke, and a broadcast with the same id has the same parts. In a handler, parts are subtasks.
//
// When ctx ends first, the parts that are unsettled are cancelled with its cause, but for subtasks that the next attempt finds, as with Do.
func (t Type[In, Out]) Broadcast(ctx context.Context, to Submitter, in In, opts ...SubmitOption) ([]Reply[Out], error) {
	hub := to.Hub()
	if hub == nil {
		return nil, fmt.Errorf("broadcast task of type %q: the submitter has no hub: %w", t.name, ErrClosed)
	}
	spokes, err := hub.spokesFor(t.name, leaseOf(ctx))
	if err != nil {
		return nil, fmt.Errorf("broadcast task of type %q: %w", t.name, err)
	}
	replies := make([]Reply[Out], len(spokes))
	parts := make([]*Handle[Out], len(spokes))
	fresh := make([]bool, len(spokes))
	for i, id := range spokes {
		replies[i].Spoke = id
		parts[i], fresh[i], replies[i].Err = t.submit(ctx, to, in, append(slices.Clip(opts), pinned(id)))
	}
	for i, part := range parts {
		if part == nil {
			continue
		}
		out, err := part.Await(ctx)
		if err != nil && !part.task().over.Load() {
			for i, p := range parts {
				if p != nil && leaseOf(ctx).givesUp(p.task(), fresh[i]) {
					p.Cancel(context.Cause(ctx))
				}
			}
			if part.task().over.Load() {
				out, err = part.result()
			}
		}
		replies[i].Out, replies[i].Err = out, err
	}
	return replies, nil
}

// spokesFor lists the spokes that are joined for a type, by path, for a handler or, without a lease, for others.
func (h *Hub) spokesFor(typeName string, submitter *Lease) ([]SpokeID, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lanes[typeName]
	switch err := h.closedTo(submitter); {
	case err != nil:
		return nil, err
	case l == nil || l.unknown:
		return nil, &UnknownTypeError{Type: typeName}
	}
	var ids []SpokeID
	for _, s := range h.spokes {
		if s.seatIn(l) != nil {
			ids = append(ids, s.id)
		}
	}
	slices.SortFunc(ids, func(a, b SpokeID) int { return cmp.Compare(a.Path, b.Path) })
	return ids, nil
}

// pinned makes a submission the part of one spoke. It is the last option.
func pinned(to SpokeID) SubmitOption {
	return func(s *submission) {
		s.pin = to
		if s.id != "" {
			s.id = partID(s.id, to)
			s.check(validID(s.id))
		}
	}
}

func partID(id string, spoke SpokeID) string { return id + "@" + spoke.Path }

// pinTo binds a task that is about to be accepted to a spoke.
func (h *Hub) pinTo(t *task, to SpokeID) error {
	s := h.spokes[to.Path]
	if s == nil || s.id != to {
		return fmt.Errorf("%w: %v", ErrSpokeGone, to)
	}
	seat := s.seatIn(t.lane)
	if seat == nil {
		return fmt.Errorf("%w: %v doesn't take tasks of this type any more", ErrSpokeGone, to)
	}
	t.more().pin = seat
	return nil
}

// notePinned has an accepted task settled if its spoke leaves.
func (t *task) notePinned() {
	seat := t.pin()
	if seat == nil {
		return
	}
	if seat.spoke.pinned == nil {
		seat.spoke.pinned = make(map[*task]struct{})
	}
	seat.spoke.pinned[t] = struct{}{}
}

// unpin undoes notePinned, when the task is settled. Which spoke it was is remembered, but not the spoke itself.
func (t *task) unpin() {
	if seat := t.pin(); seat != nil {
		delete(seat.spoke.pinned, t)
		t.extra.pin = goneSeat(t.lane, seat.spoke.id)
	}
}

// goneSeat stands for the seat of a spoke that isn't there any more.
func goneSeat(l *lane, id SpokeID) *seat {
	return &seat{lane: l, spoke: &Spoke{id: id, left: true}}
}

// successor returns the seat that the spoke which is joined at the path of another's now has in its place.
func (h *Hub) successor(s *seat) (*seat, error) {
	var now *seat
	if joined := h.spokes[s.spoke.id.Path]; joined != nil {
		now = joined.seatIn(s.lane)
	}
	if now == nil {
		return nil, fmt.Errorf("%w: it is a part of a broadcast for %q, where no spoke of its type is joined", ErrSpokeGone, s.spoke.id.Path)
	}
	return now, nil
}

// failPinned settles what can run nowhere, since its spoke has left.
func (h *Hub) failPinned(s *Spoke, cause error, now int64) {
	tasks := make([]*task, 0, len(s.pinned))
	for t := range s.pinned {
		tasks = append(tasks, t)
	}
	slices.SortFunc(tasks, func(a, b *task) int { return cmp.Compare(a.seq, b.seq) })
	err := fmt.Errorf("%w: %v", ErrSpokeGone, s.id)
	if cause != nil {
		err = &causedError{err, cause}
	}
	for _, t := range tasks {
		if !t.state.Settled() && !t.over.Load() { // one may end others; or it is kept
			h.settle(t, StateFailed, Outcome{err: err}, now)
		}
	}
}
