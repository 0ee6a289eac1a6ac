package routing

import (
	"errors"
	"fmt"
	"slices"
)

// SpokeID names one incarnation of an agent.
type SpokeID struct {
	Path        string
	Incarnation uint64
}

func (id SpokeID) String() string { return fmt.Sprintf("%s@%d", id.Path, id.Incarnation) }

// SpokeSpec registers a spoke.
type SpokeSpec struct {
	ID SpokeID
	// Types are the names of the task types it handles, at least one.
	Types []string
	// Credits is how many leases it may hold at a time, beside those whose handlers await subtasks. Default 1.
	Credits int
	// Circuits are the names of what its tasks need from outside: the spoke is given no lease that one of them doesn't let through. See [Hub.SetCircuit].
	Circuits []string
	// Deliver hands it a lease. It is called outside of the hub's lock, on any goroutine, possibly after the lease was revoked or the
	// spoke has left, and must not block. If it panics, the spoke leaves.
	Deliver func(*Lease)
}

// Spoke is an agent's registration with a hub, from Join to Leave.
type Spoke struct {
	hub     *Hub
	id      SpokeID
	shared  *SpokeID // the same, for the records of its attempts: they keep that, and not the spoke
	credits int
	deliver func(*Lease)
	seats   []seat

	circuits []*circuit // what it is behind

	// Guarded by the hub's mutex.
	leases   list[*Lease] // given and not returned
	resting  int          // of them, with handlers that await something
	picked   uint64       // the hub's count of leases at the last one
	shut     int          // how many circuits keep leases from it
	paused   bool
	shelved  bool // paused by PauseSpoke
	left     bool
	snapshot uint64             // the highest number of those that were kept
	idle     chan struct{}      // closed when it holds nothing; made by who drains it
	pinned   map[*task]struct{} // unsettled, and for no other spoke
}

// Join registers a spoke: from now on it is delivered leases. An earlier incarnation with the same path leaves first.
func (h *Hub) Join(spec SpokeSpec) (*Spoke, error) {
	if err := spec.faults(); err != nil {
		return nil, fmt.Errorf("join spoke %v: %w", spec.ID, err)
	}
	h.mu.Lock()
	defer h.unlock()
	if h.shut {
		return nil, fmt.Errorf("join spoke %v: %w", spec.ID, h.closed)
	}
	now := h.clock.now()
	if older := h.spokes[spec.ID.Path]; older != nil {
		if older.id.Incarnation >= spec.ID.Incarnation {
			return nil, &StaleSpokeError{ID: spec.ID, Joined: older.id.Incarnation}
		}
		h.leaveSpoke(older, fmt.Errorf("incarnation %d has joined", spec.ID.Incarnation), now)
	}
	id := spec.ID
	s := &Spoke{hub: h, id: id, shared: &id, credits: max(spec.Credits, 1), deliver: spec.Deliver, seats: make([]seat, len(spec.Types))}
	for i, name := range spec.Types {
		l := h.lane(name)
		l.spokes++
		s.seats[i] = seat{spoke: s, lane: l}
	}
	_, s.shelved = h.shelved[s.id.Path]
	h.connect(s, spec.Circuits)
	h.spokes[s.id.Path] = s
	h.snapshots.joined(s.id.Path)
	h.emit(Event{Kind: EventSpokeJoined, Spoke: s.id}, nil, now)
	h.reseat(s)
	return s, nil
}

func (spec SpokeSpec) faults() error {
	var faults []error
	if err := ValidatePath(spec.ID.Path); err != nil {
		faults = append(faults, fmt.Errorf("field ID.Path: %w", err))
	}
	if len(spec.Types) == 0 {
		faults = append(faults, errors.New("field Types is empty: name at least one task type"))
	}
	faults = append(faults, validNames("task type", spec.Types))
	for i, name := range spec.Types {
		if slices.Contains(spec.Types[:i], name) {
			faults = append(faults, fmt.Errorf("field Types has %q twice", name))
		}
	}
	if spec.Credits < 0 {
		faults = append(faults, fmt.Errorf("field Credits is %d: it must not be negative", spec.Credits))
	}
	for i, name := range spec.Circuits {
		if err := validCircuit(name); err != nil {
			faults = append(faults, fmt.Errorf("field Circuits: %w", err))
		}
		if slices.Contains(spec.Circuits[:i], name) {
			faults = append(faults, fmt.Errorf("field Circuits has %q twice", name))
		}
	}
	if spec.Deliver == nil {
		faults = append(faults, errors.New("field Deliver is nil"))
	}
	return errors.Join(faults...)
}

// ID returns the spoke's path and incarnation.
func (s *Spoke) ID() SpokeID { return s.id }

// Leave ends the registration. The leases that the spoke still holds are revoked and their tasks wait again, uncharged and at the
// head of their queue. Leaving again does nothing.
func (s *Spoke) Leave(cause error) {
	h := s.hub
	h.mu.Lock()
	defer h.unlock()
	h.leaveSpoke(s, cause, h.clock.now())
}

// Pause keeps new leases from the spoke; those it has go on. See also [Hub.PauseSpoke], which outlasts the registration.
func (s *Spoke) Pause() { s.setPaused(true) }

// Resume undoes Pause.
func (s *Spoke) Resume() { s.setPaused(false) }

func (s *Spoke) setPaused(paused bool) {
	s.hub.mu.Lock()
	defer s.hub.unlock()
	s.paused = paused
	s.hub.reseat(s)
}

func (h *Hub) leaveSpoke(s *Spoke, cause error, now int64) {
	if s.left {
		return
	}
	s.left = true
	delete(h.spokes, s.id.Path)
	h.snapshots.left(s.id.Path)
	for i := range s.seats {
		s.seats[i].lane.spokes--
	}
	h.reseat(s)
	for l := s.leases.tail; l != nil; l = s.leases.tail { // backwards: each goes to the head of its queue
		s.leases.remove(l)
		if l.waits == 0 {
			h.vacate(l)
		}
		if l.task.lease == l {
			h.conclude(l.task, Released(cause), now)
		} else {
			h.wasTaken(l)
		}
	}
	h.failPinned(s, cause, now)
	s.wakeDrain()
	h.disconnect(s)
	h.reviewHasty()
	h.emit(Event{Kind: EventSpokeLeft, Spoke: s.id, Err: cause}, nil, now)
}

// able reports whether the spoke takes leases at all.
func (s *Spoke) able() bool { return !s.left && !s.paused && !s.shelved }

// free reports whether the spoke may have another lease.
func (s *Spoke) free() bool { return s.able() && s.shut == 0 && s.busy() < s.credits }

// busy returns how many credits are in use; for a while it may be more than there are.
func (s *Spoke) busy() int { return s.leases.size - s.resting }

func (s *Spoke) candidate() Candidate {
	return Candidate{ID: s.id, Load: s.busy(), Credits: s.credits, Picked: s.picked}
}

func (s *Spoke) seatIn(l *lane) *seat {
	for i := range s.seats {
		if s.seats[i].lane == l {
			return &s.seats[i]
		}
	}
	return nil
}

// reseat puts the spoke where it belongs among the free, after anything about it has changed.
func (h *Hub) reseat(s *Spoke) {
	h.setAble(s)
	if !s.free() {
		for i := range s.seats {
			s.seats[i].lane.free.remove(&s.seats[i])
		}
		return
	}
	rank := h.rank(s)
	for i := range s.seats {
		s.seats[i].rank = rank
		s.seats[i].lane.free.update(&s.seats[i])
		h.touch(s.seats[i].lane)
		h.touchSeat(&s.seats[i])
	}
}
