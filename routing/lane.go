package routing

// lane is everything of one task type: the tasks that wait and the spokes that are free. All of it is guarded by the hub's mutex.
type lane struct {
	hub  *Hub
	name string
	policy
	gate   gate
	queue  readyQueue         // ready, in the order in which they are given out
	hold   list[*task]        // ready, but kept a while from their last spoke
	free   indexedHeap[*seat] // spokes with a free credit, in the balancer's order
	spokes int                // joined
	able   []*seat            // of spokes that are neither paused nor gone
	paused bool               // by PauseType
	shut   int                // of those: kept from leases by circuits
	dirty  bool               // in the hub's list of lanes to look at

	strands  map[string]*strand // by key
	homeless *seat              // of no spoke: owns the keys while there is none
	taken    map[string]*Lease  // by key: it was taken back, and its handler has not returned yet
	threaded int                // unsettled tasks in strands
	ownReady int                // of those in the queues of seats, and pinned ones
	unknown  bool               // it has tasks from a store, but nobody has named its type since
	suspect  *task              // the only one that is tried of those that may kill the process
	suspects []*task            // the others
}

// seat is a spoke's place in one lane.
type seat struct {
	spoke *Spoke
	lane  *lane
	rank  float64
	at    int32 // position among the free

	able    bool
	index   int32       // among the lane's able seats
	waiting bool        // in the hub's list of seats to look at
	own     *readyQueue // ready tasks that only this spoke may have

	strands  list[*strand] // whose owner it is
	owned    int           // unsettled tasks in them
	toReview int           // how many of the strands may have to go elsewhere, from the head of the list on
	inReview bool          // in the hub's list of such seats
}

func (s *seat) position() *int32 { return &s.at }

func (s *seat) before(other *seat) bool {
	if s.rank != other.rank {
		return s.rank < other.rank
	}
	return s.spoke.picked < other.spoke.picked
}

// holdScan is how many held tasks are looked at for one that a spoke may have; the others' holds run out soon enough.
const holdScan = 8

// lane returns the lane of a type, making it known.
func (h *Hub) lane(name string) *lane {
	l := h.lanes[name]
	if l == nil {
		l = &lane{hub: h, name: name, policy: h.options.policyOf(name)}
		l.gate.limit = l.capacity
		h.lanes[name] = l
	}
	l.unknown = false
	return l
}

// others reports whether a spoke other than the one at path handles the lane's type.
func (h *Hub) others(l *lane, path string) bool {
	n := l.spokes
	if s := h.spokes[path]; s != nil && s.seatIn(l) != nil {
		n--
	}
	return n > 0
}

// enqueue makes a waiting task ready.
func (h *Hub) enqueue(t *task, front bool) {
	h.thread(t)
	if t.strand != nil || t.pin() != nil {
		h.enqueueOwned(t, front)
		return
	}
	t.place = queued
	if front {
		t.lane.queue.pushFront(t)
	} else {
		t.lane.queue.pushBack(t)
	}
	h.plan(t)
	h.touch(t.lane)
}

// holdBack keeps a ready task for a while from its last spoke, which is the only one free.
func (h *Hub) holdBack(t *task, now int64) {
	t.lane.queue.remove(t)
	t.place = held
	t.readyAt = now + int64(h.options.PreferOther)
	t.lane.hold.pushBack(t)
	h.plan(t)
	h.touch(t.lane)
}

// takeOut removes a waiting task from wherever it waits.
func (h *Hub) takeOut(t *task) {
	switch t.place {
	case queued:
		t.lane.queue.remove(t)
	case held:
		t.lane.hold.remove(t)
	case owned:
		t.seat().own.remove(t)
		t.lane.ownReady--
	case blocked:
		h.letGo(t)
	}
	t.place, t.readyAt = nowhere, 0
}

// touch asks the actor to look at the lane, if there may be something to match.
func (h *Hub) touch(l *lane) {
	if l.free.len() == 0 || l.queue.size+l.hold.size == 0 || h.stopped(l) {
		return
	}
	if !l.dirty {
		l.dirty = true
		h.dirty = append(h.dirty, l)
	}
	h.kick()
}

// plan reschedules a task, and asks the actor to wake up earlier if need be.
func (h *Hub) plan(t *task) {
	h.reschedule(t)
	if t.due != 0 && (h.armed == 0 || t.due < h.armed) {
		h.kick()
	}
}

// kick has the actor woken when the lock is given up, unless it is awake or will be.
func (h *Hub) kick() {
	if h.pumping || h.kicked || h.wake == nil {
		return
	}
	h.kicked, h.wanted = true, true
}
