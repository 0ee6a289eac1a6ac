package routing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// CircuitState says how many tasks a circuit lets through.
type CircuitState uint8

const (
	// CircuitClosed: any number. It is the state of a circuit that nobody has set.
	CircuitClosed CircuitState = iota
	// CircuitOpen: none.
	CircuitOpen
	// CircuitProbing: a few at once, to see whether what is behind the circuit works again.
	CircuitProbing

	circuitStates
)

var circuitStateNames = [circuitStates]string{"closed", "open", "probing"}

func (s CircuitState) String() string {
	if s < circuitStates {
		return circuitStateNames[s]
	}
	return fmt.Sprintf("CircuitState(%d)", uint8(s))
}

// Circuit is what a hub is told of something that spokes depend on: see [Hub.SetCircuit]. The zero value is a closed one.
type Circuit struct {
	State CircuitState
	// Until is when an open circuit is expected to be probed. It is told to those who ask and to nobody else: the hub has no timer for it.
	// The zero time is: not known.
	Until time.Time
	// Probes is how many leases all spokes behind a probing circuit may hold at once, 1 or more. Leases from before don't count, nor those whose
	// handlers await something.
	Probes int
}

// CircuitSnapshot is a circuit at one moment.
type CircuitSnapshot struct {
	Name string
	Circuit
	// Spokes is how many spokes are behind it, Leases how many probes they hold.
	Spokes, Leases int
}

// CircuitOpenError says that every spoke that may have a task is behind a circuit that lets nothing through: a submit with [FailFast] is refused with it,
// and it is in the snapshot of a task that waits for that reason. Returned from a handler it delays that handler's task, uncharged, as any error
// with RetryAfter does.
type CircuitOpenError struct {
	Type string
	// Circuits are the names of those that are in the way, sorted.
	Circuits []string
	// After is how long the first of the spokes will be out of rotation: a guess, where nobody knows.
	After time.Duration
}

func (e *CircuitOpenError) Error() string {
	return fmt.Sprintf("circuit open: every spoke for this task of type %q is behind one (%s): try again in about %v", e.Type, strings.Join(e.Circuits, ", "),
		e.After.Round(time.Millisecond))
}

// RetryAfter returns After.
func (e *CircuitOpenError) RetryAfter() time.Duration { return e.After }

// unknownUntil is the guess for an open circuit of which nobody knows when it will be probed.
const unknownUntil = time.Second

// FailFast refuses the task with a [*CircuitOpenError] if every spoke that may have it is behind an open circuit: those of its type, or the one of
// its [Key] with a [Placer], or that of a part of a broadcast. With [Wait] it is also refused if that comes to be so while it waits for room. Without
// FailFast the task is accepted, and waits. It doesn't matter for a task that is known by its [ID].
func FailFast() SubmitOption {
	return func(s *submission) { s.failFast = true }
}

// circuit is guarded by the hub's mutex.
type circuit struct {
	name   string
	now    Circuit
	since  uint64   // the hub's count of leases when it was set
	leases int      // probes: given since then and not returned
	shut   bool     // lets nothing through
	spokes []*Spoke // behind it
}

// SetCircuit tells the hub how it stands with something outside that spokes depend on (SpokeSpec.Circuits): whoever watches it calls this at every
// change. While a circuit is open no spoke behind it is given a lease; while it is probing they are given Circuit.Probes at a time, all of them together.
// Tasks that only such spokes handle wait meanwhile, uncharged; deadlines and cancels go on. Leases that are out stay out.
//
// Setting a probing circuit to probing again begins a new round: leases of the round before don't count any more. A probe that
// hangs would shut the circuit for ever otherwise.
//
// A name that no spoke has named yet is remembered for the spokes to come, until it is set to the zero Circuit.
func (h *Hub) SetCircuit(name string, c Circuit) error {
	if err := c.faults(name); err != nil {
		return fmt.Errorf("set circuit %q: %w", name, err)
	}
	h.mu.Lock()
	defer h.release(0) // callbacks don't hold up who watches the outside
	at := h.circuit(name)
	at.now, at.since, at.leases = c, h.picks, 0
	h.adjust(at)
	h.forgetCircuit(at)
	return nil
}

func (c Circuit) faults(name string) error {
	var faults []error
	if err := validCircuit(name); err != nil {
		faults = append(faults, err)
	}
	if c.State >= circuitStates {
		faults = append(faults, fmt.Errorf("field State is %d: it must be CircuitClosed, CircuitOpen or CircuitProbing", c.State))
	}
	if c.State == CircuitProbing && c.Probes < 1 {
		faults = append(faults, fmt.Errorf("field Probes is %d: a probing circuit needs at least 1", c.Probes))
	}
	return errors.Join(faults...)
}

func validCircuit(name string) error {
	if name == "" {
		return errors.New("circuit name is empty")
	}
	return nil
}

// Circuits returns the circuits that are not closed, or have spokes behind them, by name.
func (h *Hub) Circuits() []CircuitSnapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]CircuitSnapshot, 0, len(h.circuits))
	for _, c := range h.circuits {
		all = append(all, CircuitSnapshot{Name: c.name, Circuit: c.now, Spokes: len(c.spokes), Leases: c.leases})
	}
	slices.SortFunc(all, func(a, b CircuitSnapshot) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// circuit returns the circuit of a name, making it known.
func (h *Hub) circuit(name string) *circuit {
	c := h.circuits[name]
	if c == nil {
		c = &circuit{name: name}
		if h.circuits == nil {
			h.circuits = make(map[string]*circuit)
		}
		h.circuits[name] = c
	}
	return c
}

// forgetCircuit drops a circuit about which there is nothing to know.
func (h *Hub) forgetCircuit(c *circuit) {
	if c.now.State == CircuitClosed && len(c.spokes) == 0 {
		delete(h.circuits, c.name)
	}
}

// connect puts a spoke that has just joined behind its circuits.
func (h *Hub) connect(s *Spoke, names []string) {
	for _, name := range names {
		c := h.circuit(name)
		s.circuits = append(s.circuits, c)
		c.spokes = append(c.spokes, s)
		if c.shut {
			s.shutBy(+1)
			h.reviewHasty()
		}
	}
}

// disconnect undoes connect, for a spoke that leaves.
func (h *Hub) disconnect(s *Spoke) {
	for _, c := range s.circuits {
		c.spokes = slices.DeleteFunc(c.spokes, func(other *Spoke) bool { return other == s })
		if c.shut {
			s.shutBy(-1)
		}
		h.forgetCircuit(c)
	}
}

// occupy counts a lease that has just been given, or whose handler goes on after awaiting something.
func (h *Hub) occupy(l *Lease) { h.countProbe(l, +1) }

// vacate undoes occupy: the lease was returned, its spoke has left, or its handler awaits something.
func (h *Hub) vacate(l *Lease) { h.countProbe(l, -1) }

func (h *Hub) countProbe(l *Lease, by int) {
	for _, c := range l.spoke.circuits {
		if c.now.State == CircuitProbing && l.number > c.since {
			c.leases += by
			h.adjust(c)
		}
	}
}

// adjust takes the spokes behind a circuit out of rotation, or puts them back.
func (h *Hub) adjust(c *circuit) {
	shut := c.now.State == CircuitOpen || c.now.State == CircuitProbing && c.leases >= c.now.Probes
	if shut == c.shut {
		return
	}
	c.shut = shut
	by := -1
	if shut {
		by = +1
		h.reviewHasty()
	}
	for _, s := range c.spokes {
		s.shutBy(by)
		h.reseat(s)
	}
}

// shutBy counts the circuits that keep leases from a spoke, and for each of its lanes the spokes that are kept so.
func (s *Spoke) shutBy(n int) {
	was := s.shut > 0
	s.shut += n
	is := s.shut > 0
	if was == is {
		return
	}
	by := -1
	if is {
		by = +1
	}
	for i := range s.seats {
		s.seats[i].lane.shut += by
	}
}

// behindOpen reports whether one of the spoke's circuits is open: not for want of a free probe.
func (s *Spoke) behindOpen() bool {
	return slices.ContainsFunc(s.circuits, func(c *circuit) bool { return c.now.State == CircuitOpen })
}

// shutsOut reports whether a task waits for circuits: those of the only spoke that may have it, or of all spokes of the lane if that is nil.
func (l *lane) shutsOut(only *Spoke) bool {
	if only != nil {
		return only.shut > 0
	}
	return l.spokes > 0 && l.shut == l.spokes
}

// shutOut counts the lane's ready tasks that wait for circuits.
func (l *lane) shutOut() (n int) {
	if l.shutsOut(nil) {
		return l.queue.size + l.hold.size + l.ownReady
	}
	if l.shut == 0 || l.ownReady == 0 {
		return 0
	}
	for _, s := range l.able {
		if s.spoke.shut > 0 && s.own != nil {
			n += s.own.size
		}
	}
	return n
}

// ownSpoke returns the only spoke that may have a task now, or nil. A key whose owner takes no tasks is about to have another one.
func (t *task) ownSpoke() *Spoke {
	switch pin := t.pin(); {
	case pin != nil:
		return pin.spoke
	case t.strand != nil && t.strand.owner.able:
		return t.strand.owner.spoke
	default:
		return nil
	}
}

// ownSpokeToBe is ownSpoke for a task that isn't accepted yet.
func (h *Hub) ownSpokeToBe(t *task) *Spoke {
	switch st := t.lane.strands[t.key]; {
	case t.pin() != nil:
		return t.pin().spoke
	case h.placer == nil || t.key == "" || len(t.lane.able) == 0:
		return nil
	case st != nil && h.below(t, st):
		return nil
	case st == nil || !st.owner.able:
		s, fault := h.askPlacerFor(t.lane, t.key, t.lane.threaded)
		if fault != nil || s == nil || s.lane != t.lane || !s.able {
			return nil
		}
		return s.spoke
	default:
		return st.owner.spoke
	}
}

// wouldBeShutOut says why a task that isn't accepted yet would wait for circuits. It is nil if it wouldn't.
func (h *Hub) wouldBeShutOut(t *task) error {
	if t.lane.shut == 0 {
		return nil
	}
	if only := h.ownSpokeToBe(t); t.lane.shutsOut(only) {
		return h.circuitsOpen(t.lane, only)
	}
	return nil
}

// reviewHasty looks, once the lock is given up, who waits for a place with FailFast and has come to be shut out.
func (h *Hub) reviewHasty() {
	if h.hasty > 0 {
		h.after = append(h.after, h.refuseShutOut)
	}
}

func (h *Hub) refuseShutOut() {
	h.mu.Lock()
	defer h.release(0)
	gates := make([]*gate, 0, len(h.lanes)+1)
	for _, l := range h.lanes {
		gates = append(gates, &l.gate)
	}
	for _, g := range append(gates, &h.gate) { // that last: who leaves it lets another go on to it from the line of its type
		for w := g.line.head; w != nil && h.hasty > 0; {
			next := w.next
			if w.hasty {
				if err := h.wouldBeShutOut(w.task); err != nil {
					h.leaveLine(w)
					h.answer(w, nil, err)
				}
			}
			w = next
		}
	}
	h.admitWaiting(h.clock.now())
}

// circuitsOpen says why a task is shut out. only is the only spoke that may have it; nil if every spoke of the lane may.
func (h *Hub) circuitsOpen(l *lane, only *Spoke) *CircuitOpenError {
	e := &CircuitOpenError{Type: l.name}
	now, first := time.Now(), true
	for _, s := range h.spokes {
		if s.seatIn(l) == nil || only != nil && s != only {
			continue
		}
		after := h.pace.retryAfter()
		for _, c := range s.circuits {
			if !c.shut {
				continue
			}
			switch {
			case c.now.State == CircuitOpen && c.now.Until.IsZero():
				after = max(after, unknownUntil)
			default:
				after = max(after, c.now.Until.Sub(now))
			}
			if !slices.Contains(e.Circuits, c.name) {
				e.Circuits = append(e.Circuits, c.name)
			}
		}
		if first || after < e.After {
			e.After, first = after, false
		}
	}
	slices.Sort(e.Circuits)
	return e
}
