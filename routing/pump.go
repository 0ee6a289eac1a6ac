package routing

import (
	"fmt"
	"slices"
	"time"
)

// pumpBatch bounds what the pump does in one go under the lock.
const pumpBatch = 64

// pump does what is due and leases waiting tasks to free spokes, until there is nothing left to do. It returns when it must be called
// again, if it must.
func (h *Hub) pump() (next time.Time, ok bool) {
	for more := true; more; {
		more = h.pumpOnce()
		for l := h.nextDelivery(); l != nil; l = h.nextDelivery() {
			l.deliver()
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.armed == 0 {
		return time.Time{}, false
	}
	return h.clock.at(h.armed), true
}

// nextDelivery takes a lease out of the outbox. An actor that dies between two leaves the rest to the next.
func (h *Hub) nextDelivery() *Lease {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.outbox) == 0 {
		return nil
	}
	l := h.outbox[0]
	h.outbox = slices.Delete(h.outbox, 0, 1) // at most a batch
	return l
}

func (h *Hub) pumpOnce() (more bool) {
	h.mu.Lock()
	defer h.release(0)
	h.kicked = false // before the work: what comes from now on asks anew
	h.pumping = true
	defer func() { h.pumping = false }()
	now := h.clock.now()
	for range pumpBatch {
		if h.schedule.len() == 0 || h.schedule.items[0].due > now {
			break
		}
		h.fallDue(h.schedule.items[0], now)
	}
	h.review()
	h.serveSeats(now)
	for len(h.dirty) > 0 && len(h.outbox) < pumpBatch {
		l, floor := h.nextLane()
		h.match(l, floor, now)
	}
	for _, l := range h.outbox {
		h.journal.deliver(l)
	}
	if h.journal != nil {
		h.outbox = h.outbox[:0]
	}
	h.armed = 0
	due := false
	if h.schedule.len() > 0 {
		h.armed = h.schedule.items[0].due
		due = h.armed <= now
	}
	return due || len(h.dirty) > 0 || len(h.eager) > 0 || len(h.reviewed) > 0
}

// nextLane takes the lane with the most urgent task off the list of those to look at, and returns how urgent the others' are.
func (h *Hub) nextLane() (l *lane, floor uint8) {
	best := len(h.dirty) - 1
	urgent := h.dirty[best].urgency()
	for i := best - 1; i >= 0; i-- {
		if u := h.dirty[i].urgency(); u > urgent {
			best, urgent, floor = i, u, urgent
		} else {
			floor = max(floor, u)
		}
	}
	l = h.dirty[best]
	h.dirty = slices.Delete(h.dirty, best, best+1)
	l.dirty = false
	return l, floor
}

// urgency is the level of the lane's first task.
func (l *lane) urgency() uint8 {
	if t := l.queue.first(); t != nil {
		return t.level
	}
	return 0
}

// match leases the lane's waiting tasks, down to a level, to its free spokes, until one or the other is used up or the batch is full.
func (h *Hub) match(l *lane, floor uint8, now int64) {
	give := func(t *task, to *seat) {
		h.outbox = append(h.outbox, h.lease(t, to.spoke, now))
		h.reseat(to.spoke)
	}
	for l.free.len() > 0 && !h.stopped(l) {
		t := l.queue.first()
		if len(h.outbox) >= pumpBatch || t != nil && t.level < floor {
			h.touch(l)
			return
		}
		if held, to := h.chooseHeld(l, t, now); held != nil {
			give(held, to)
			continue
		}
		if t == nil {
			return
		}
		if t.overdue(now) {
			h.expireIfDue(t, now)
			continue
		}
		if to := h.choose(t); to != nil {
			give(t, to)
		} else {
			h.holdBack(t, now)
		}
	}
}

// chooseHeld finds a task on hold, at least as urgent as first, that a free spoke may have.
func (h *Hub) chooseHeld(l *lane, first *task, now int64) (*task, *seat) {
	for i, t := 0, l.hold.head; t != nil && i < holdScan; i, t = i+1, t.next {
		if t.overdue(now) || first != nil && t.level < first.level {
			continue
		}
		if to := h.choose(t); to != nil {
			return t, to
		}
	}
	return nil, nil
}

// choose picks a free seat of the task's lane, which has one; nil if only the one to avoid is free and another may become so.
func (h *Hub) choose(t *task) *seat {
	free := &t.lane.free
	if t.avoid == nil || h.options.PreferOther == 0 {
		return h.pick(t)
	}
	var last *seat
	if s := h.spokes[t.avoid.Path]; s != nil {
		last = s.seatIn(t.lane)
	}
	switch {
	case last == nil || !free.has(last):
		return h.pick(t)
	case free.len() > 1:
		free.remove(last)
		defer free.update(last)
		return h.pick(t)
	case h.others(t.lane, t.avoid.Path):
		return nil
	default:
		return last
	}
}

// pick asks the balancer, if there is a choice.
func (h *Hub) pick(t *task) *seat {
	seats := t.lane.free.items
	if len(seats) == 1 {
		return seats[0]
	}
	i, fault := h.askBalancer(h.info(t, int(t.attempt)+1), Candidates{seats: seats})
	if fault == nil && (i < 0 || i >= len(seats)) {
		fault = fmt.Errorf("balancer picked candidate %d of %d", i, len(seats))
	}
	if fault != nil {
		h.emit(Event{Kind: EventBalancerFault, Err: fault}, t, h.clock.now())
		i = 0
	}
	return seats[i]
}

func (h *Hub) askBalancer(info TaskInfo, candidates Candidates) (i int, fault error) {
	defer func() {
		if r := recover(); r != nil {
			fault = fmt.Errorf("balancer panicked: %v", r)
		}
	}()
	return h.balancer.Pick(info, candidates), nil
}

func (h *Hub) rank(s *Spoke) (rank float64) {
	if h.ranker == nil {
		return 0
	}
	defer func() {
		if r := recover(); r != nil {
			rank = 0
			h.emit(Event{Kind: EventBalancerFault, Spoke: s.id, Err: fmt.Errorf("balancer panicked in Rank: %v", r)}, nil, h.clock.now())
		}
	}()
	rank = h.ranker.Rank(s.candidate())
	if rank != rank { // not a number: it would have no place in any order
		return 0
	}
	return rank
}

// pull gives a spoke that has just settled a lease the next one: the most urgent task that waits for it, among equals the oldest.
func (h *Hub) pull(s *Spoke, now int64) *Lease {
	for s.free() {
		t := h.nextFor(s, now)
		if t == nil {
			return nil
		}
		if !t.overdue(now) {
			return h.lease(t, s, now)
		}
		h.expireIfDue(t, now)
	}
	return nil
}

func (h *Hub) nextFor(s *Spoke, now int64) *task {
	var next *task
	for i := range s.seats {
		l := s.seats[i].lane
		if h.stopped(l) {
			continue
		}
		if t := h.nextIn(l, s, now); t != nil && (next == nil || t.goesBefore(next)) {
			next = t
		}
		if t := s.seats[i].own.first(); t != nil && (next == nil || t.goesBefore(next)) {
			next = t
		}
	}
	return next
}

// avoids reports whether the spoke had the task's last charged attempt, in this incarnation or another.
func (t *task) avoids(s *Spoke) bool { return t.avoid != nil && t.avoid.Path == s.id.Path }

// nextIn returns the first task of the lane that the spoke may have; those that should rather go elsewhere it holds back.
func (h *Hub) nextIn(l *lane, s *Spoke, now int64) *task {
	t := l.queue.first()
	for t != nil && t.avoids(s) && h.options.PreferOther > 0 && h.others(l, s.id.Path) {
		h.holdBack(t, now)
		t = l.queue.first()
	}
	for i, held := 0, l.hold.head; held != nil && i < holdScan; i, held = i+1, held.next {
		if !held.avoids(s) && (t == nil || held.level >= t.level) {
			return held
		}
	}
	return t
}

// deliver hands the lease to its spoke. The hub's mutex must not be held.
func (l *Lease) deliver() {
	defer func() {
		if r := recover(); r != nil {
			l.spoke.Leave(fmt.Errorf("delivery of a lease panicked: %v", r))
		}
	}()
	l.spoke.deliver(l)
}

// attach makes wake the way to the actor. The actor pumps next.
func (h *Hub) attach(wake func()) (session uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session++
	h.wake, h.kicked, h.armed = wake, false, 0
	return h.session
}

// detach undoes attach, unless another actor has attached since.
func (h *Hub) detach(session uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if session == h.session {
		h.wake, h.kicked, h.armed = nil, false, 0
	}
}
