package routing

import "fmt"

// strand is the unsettled tasks of one key of one type, in the order in which they were accepted, those that wait for inputs too. Only the first is ever ready or
// leased, by the strand's owner; the others wait behind it. All of it is guarded by the hub's mutex.
type strand struct {
	node[*strand] // the owner's strands
	key           string
	owner         *seat
	begun         bool // the owner was given a lease of it: as long as it is able, it stays the owner
	head          *task
	behind        list[*task]
	blocked       int // tasks that wait for inputs
}

func (st *strand) links() *node[*strand] { return &st.node }
func (st *strand) size() int             { return 1 + st.behind.size }

// thread enters a task in the strand of its key, if the balancer keeps keys together. It does nothing if the task is in it.
func (h *Hub) thread(t *task) {
	if h.placer == nil || t.key == "" || t.strand != nil || t.loose || t.pin() != nil {
		return
	}
	l := t.lane
	st := l.strands[t.key]
	if st != nil && h.below(t, st) {
		t.loose = true // that may be waiting for it
		return
	}
	l.threaded++
	if st != nil {
		t.strand = st
		st.behind.pushBack(t)
		st.owner.owned++
		return
	}
	st = &strand{key: t.key, head: t}
	t.strand = st
	if l.strands == nil {
		l.strands = make(map[string]*strand)
		l.homeless = &seat{lane: l}
	}
	l.strands[t.key] = st
	st.own(h.place(l, st))
}

// below reports whether a task above this one is in the strand. It goes by ids and past settled tasks: the new life of one that was requeued isn't
// tied to what the old one had submitted, but finds that; and what a task leaves behind when it is done, those above it may await.
func (h *Hub) below(t *task, st *strand) bool {
	for a := h.above(t); a != nil; a = h.above(a) {
		if a.strand == st {
			return true
		}
	}
	return false
}

// above returns the present life of the task that submitted this one, if the hub remembers it.
func (h *Hub) above(t *task) *task {
	if parent := t.parent(); parent != nil {
		return parent
	}
	id := t.parentID()
	if id == "" {
		return nil
	}
	a := h.index.find(id)
	if a == nil || a.depth() != t.depth()-1 { // another one has the id now
		return nil
	}
	return a
}

// unthread takes a task out of its strand. The one behind it is ready now.
func (h *Hub) unthread(t *task) {
	st, l := t.strand, t.lane
	if st == nil {
		return
	}
	if t.place == blocked {
		st.blocked--
	}
	t.strand = nil
	l.threaded--
	st.owner.owned--
	if st.head != t {
		st.behind.remove(t)
		return
	}
	st.head = st.behind.head
	if st.head == nil {
		delete(l.strands, st.key)
		st.owner.strands.remove(st)
		return
	}
	st.behind.remove(st.head)
	if st.head.place == behind {
		h.enqueueOwned(st.head, false)
	}
}

// loosen lets a task that isn't the first of its strand go on before its turn.
func (h *Hub) loosen(t *task) {
	h.unthread(t)
	t.loose = true
	h.journal.mark(t)
	if t.place == behind {
		h.takeOut(t)
		h.enqueue(t, false)
	}
}

// predecessor returns a task that this one waits for because it isn't its turn, by which all others that keep it from that are found, if they wait for something
// themselves; nil if it is its turn.
func (t *task) predecessor() *task {
	st := t.strand
	switch {
	case st == nil || st.head == t:
		return nil
	case st.blocked == 0 || t.prev == nil: // those in between only wait for the first
		return st.head
	default:
		return t.prev
	}
}

// isNext reports whether a task in a strand may begin: all before it are settled, and the handler of the last has returned.
func (t *task) isNext() bool { return t.strand.head == t && t.lane.taken[t.key] == nil }

// takenBefore returns the lease whose handler has not returned yet, for which alone a task that is the first of its strand waits, or nil.
func (t *task) takenBefore() *Lease {
	if t.strand == nil || t.strand.head != t {
		return nil
	}
	return t.lane.taken[t.key]
}

// takeBack takes a lease back that its spoke has not returned. Until it does, or leaves, or its handler begins to await something, no other task in the strand begins; nor is the
// handler waited for if it awaits one of those already.
func (h *Hub) takeBack(l *Lease, cause error) {
	h.revoked = append(h.revoked, revocation{l, cause})
	t := l.task
	if t.strand == nil || l.spoke.left || l.awaitsAny(t.strand) {
		return
	}
	if t.lane.taken == nil {
		t.lane.taken = make(map[string]*Lease)
	}
	t.lane.taken[t.key] = l
}

// awaitsAny reports whether the handler awaits a task in a strand, by whatever is in between.
func (l *Lease) awaitsAny(st *strand) bool {
	in := func(t *task) bool { return t.strand == st }
	for _, awaited := range l.awaited() {
		if in(awaited) {
			return true
		}
		if _, found := circle(awaited, in, true); found {
			return true
		}
	}
	return false
}

// wasTaken lets the strand of a lease go on that was taken back: its handler has returned, or will not be waited for.
func (h *Hub) wasTaken(l *Lease) {
	lane, key := l.task.lane, l.task.key
	if lane.taken[key] != l {
		return
	}
	delete(lane.taken, key)
	if st := lane.strands[key]; st != nil && st.head.place == behind {
		h.enqueueOwned(st.head, false)
	}
}

// own makes a seat the strand's owner.
func (st *strand) own(s *seat) {
	if st.owner != nil {
		st.owner.strands.remove(st)
		st.owner.owned -= st.size()
	}
	st.owner, st.begun = s, false
	s.strands.pushBack(st)
	s.owned += st.size()
}

// place asks the balancer for the owner of a strand, which has none at the moment.
func (h *Hub) place(l *lane, st *strand) *seat {
	if len(l.able) == 0 {
		return l.homeless
	}
	s, fault := h.askPlacerFor(l, st.key, l.threaded-st.size())
	if fault == nil && (s == nil || s.lane != l || !s.able) {
		fault = fmt.Errorf("balancer placed key %q of type %q with a spoke that is not there", st.key, l.name)
	}
	if fault != nil {
		h.emit(Event{Kind: EventBalancerFault, Err: fault}, st.head, h.clock.now())
		return l.able[0]
	}
	return s
}

func (h *Hub) askPlacerFor(l *lane, key string, unsettled int) (s *seat, fault error) {
	defer func() {
		if r := recover(); r != nil {
			fault = fmt.Errorf("balancer panicked in Place: %v", r)
		}
	}()
	return h.placer.Place(l.name, key, unsettled).seat, nil
}

// pin returns the only seat that may have the task, or nil.
func (t *task) pin() *seat {
	if t.extra == nil {
		return nil
	}
	return t.extra.pin
}

// seat returns the one seat that may have the task now. It must have a strand or be pinned.
func (t *task) seat() *seat {
	if t.strand != nil {
		return t.strand.owner
	}
	return t.extra.pin
}

// enqueueOwned makes a task ready for the one seat that may have it, if it is its turn.
func (h *Hub) enqueueOwned(t *task, front bool) {
	if st := t.strand; st != nil {
		if !t.isNext() {
			t.place = behind
			h.plan(t)
			return
		}
		if !st.owner.able {
			st.own(h.placeAnew(t.lane, st))
		}
	}
	s := t.seat()
	if s.own == nil {
		s.own = &readyQueue{}
	}
	t.place = owned
	t.lane.ownReady++
	if front {
		s.own.pushFront(t)
	} else {
		s.own.pushBack(t)
	}
	h.plan(t)
	h.touchSeat(s)
}

// placeAnew places a strand without regard to where it is.
func (h *Hub) placeAnew(l *lane, st *strand) *seat {
	st.owner.owned -= st.size()
	defer func() { st.owner.owned += st.size() }()
	return h.place(l, st)
}

// setAble tells the lanes and the balancer if the spoke has begun or ceased to take leases.
func (h *Hub) setAble(s *Spoke) {
	able := s.able()
	for i := range s.seats {
		seat := &s.seats[i]
		if seat.able == able {
			continue
		}
		seat.able = able
		l := seat.lane
		if !able {
			last := l.able[len(l.able)-1]
			l.able[seat.index], last.index = last, seat.index
			l.able = l.able[:len(l.able)-1]
			h.tellPlacer(seat)
			h.reviewLater(seat)
			continue
		}
		seat.index = int32(len(l.able))
		l.able = append(l.able, seat)
		for _, from := range h.tellPlacer(seat) {
			h.reviewLater(from.seat)
		}
		h.reviewLater(l.homeless)
	}
}

// tellPlacer lets the balancer know that a seat has come or gone.
func (h *Hub) tellPlacer(s *seat) (takesFrom []Seat) {
	if h.placer == nil {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			takesFrom = nil
			h.emit(Event{Kind: EventBalancerFault, Spoke: s.spoke.id, Err: fmt.Errorf("balancer panicked in Come or Go: %v", r)}, nil, h.clock.now())
		}
	}()
	if s.able {
		return h.placer.Come(s.lane.name, Seat{s})
	}
	h.placer.Go(s.lane.name, Seat{s})
	return nil
}

// reviewLater has the actor look whether the strands of a seat should go elsewhere.
func (h *Hub) reviewLater(s *seat) {
	if s == nil || s.strands.size == 0 {
		return
	}
	s.toReview = s.strands.size
	if !s.inReview {
		s.inReview = true
		h.reviewed = append(h.reviewed, s)
	}
	h.kick()
}

// review looks at a batch of strands.
func (h *Hub) review() {
	for range pumpBatch {
		if len(h.reviewed) == 0 {
			return
		}
		s := h.reviewed[len(h.reviewed)-1]
		if s.toReview == 0 || s.strands.size == 0 {
			s.toReview, s.inReview = 0, false
			h.reviewed = h.reviewed[:len(h.reviewed)-1]
			continue
		}
		s.toReview--
		st := s.strands.head
		s.strands.remove(st)
		s.strands.pushBack(st)
		h.reviewStrand(st)
	}
}

func (h *Hub) reviewStrand(st *strand) {
	t := st.head
	if t.state == StateLeased || st.begun && st.owner.able {
		return
	}
	to := h.placeAnew(t.lane, st)
	if to == st.owner {
		return
	}
	ready := t.place == owned
	if ready {
		h.takeOut(t)
	}
	st.own(to)
	if ready {
		h.enqueueOwned(t, false)
	}
}

// touchSeat asks the actor to look at a seat, if it has something to do that only it may do.
func (h *Hub) touchSeat(s *seat) {
	if s.own.first() == nil || s.spoke == nil || !s.spoke.free() || s.spoke == h.pulling || h.stopped(s.lane) {
		return
	}
	if !s.waiting {
		s.waiting = true
		h.eager = append(h.eager, s)
	}
	h.kick()
}

// touchAll touches a lane and all its seats.
func (h *Hub) touchAll(l *lane) {
	h.touch(l)
	for _, s := range l.able {
		h.touchSeat(s)
	}
}

// serveSeats leases tasks to the seats that have some of their own, until they are used up or the batch is full.
func (h *Hub) serveSeats(now int64) {
	for len(h.eager) > 0 && len(h.outbox) < pumpBatch {
		s := h.eager[len(h.eager)-1]
		h.eager = h.eager[:len(h.eager)-1]
		s.waiting = false
		if l := h.pull(s.spoke, now); l != nil {
			h.outbox = append(h.outbox, l)
			h.reseat(s.spoke) // which touches the seat again
		}
	}
}
