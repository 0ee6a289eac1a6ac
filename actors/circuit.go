package actors

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
)

// circuits keeps the hub informed of the tree's breakers: for each breaker node the hub has a circuit with its path, behind which are the
// agents whose Guards name it.
type circuits struct {
	mu    sync.Mutex // guards what follows. Taken before the locks of breakers and of the hub
	told  map[string]*told
	ended bool
}

// told is what the hub was told last of one path.
type told struct {
	node  *node
	gen   uint64      // of the breaker's period
	round *time.Timer // of a half-open breaker: until the next round of probes
}

// tellHub tells the hub how it stands with the breaker at a path, if that is news. It looks for itself: late news of a breaker that was
// replaced, or has moved on, do no harm. A path without a breaker is a closed circuit, so that nobody waits for what isn't there.
func (t *Tree) tellHub(path string) { t.tellHubAgain(path, nil) }

// tellHubAgain is tellHub; when a half-open breaker's round is over, the hub is told again.
func (t *Tree) tellHubAgain(path string, over *told) {
	t.circuits.mu.Lock()
	defer t.circuits.mu.Unlock()
	last, n := t.circuits.told[path], t.lookup(path)
	if t.circuits.ended || over != nil && over != last {
		return
	}
	isBreaker := n != nil && n.guard != nil
	if !isBreaker && last == nil {
		return
	}
	var state breaker.Snapshot
	if isBreaker {
		state = n.guard.Breaker().Snapshot()
		if last != nil && last.node == n && last.gen == state.Gen && over == nil {
			return
		}
	}
	if last != nil {
		last.end()
		delete(t.circuits.told, path)
	}
	circuit := routing.Circuit{}
	if isBreaker {
		config := n.guard.Breaker().Config()
		circuit = circuitOf(state, config, time.Now())
		now := &told{node: n, gen: state.Gen}
		if circuit.State == routing.CircuitProbing {
			// Probes that never make their call would keep all others waiting: after as long as a call may keep its slot there is another round.
			now.round = time.AfterFunc(config.HalfOpenLease, func() { t.tellHubAgain(path, now) })
		}
		t.circuits.put(path, now)
	}
	_ = t.hub.SetCircuit(path, circuit) // valid by construction: a breaker's HalfOpenMaxCalls is at least 1
}

// circuitOf says what a breaker's state means to the hub. A stopped breaker, as a disabled one, keeps nobody waiting.
func circuitOf(s breaker.Snapshot, c breaker.Config, now time.Time) routing.Circuit {
	switch s.State {
	case breaker.Open:
		return routing.Circuit{State: routing.CircuitOpen, Until: now.Add(s.RetryAfter)}
	case breaker.ForcedOpen:
		return routing.Circuit{State: routing.CircuitOpen}
	case breaker.HalfOpen:
		return routing.Circuit{State: routing.CircuitProbing, Probes: int(c.HalfOpenMaxCalls)}
	default:
		return routing.Circuit{}
	}
}

func (c *circuits) put(path string, now *told) {
	if c.told == nil {
		c.told = make(map[string]*told)
	}
	c.told[path] = now
}

// end ends all timers, with the tree.
func (c *circuits) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for _, last := range c.told {
		last.end()
	}
}

func (l *told) end() {
	if l.round != nil {
		l.round.Stop()
	}
}

// resolveGuards finds the breakers that the agents of a compiled spec name, among those of the spec and, if the tree is there already, its nodes.
func (c *compiler) resolveGuards(t *Tree) {
	isBreaker := make(map[string]bool)
	var agents []*nodeSpec
	for _, s := range c.out {
		s.each(func(s *nodeSpec) {
			switch {
			case s.kind == KindBreaker:
				isBreaker[s.path] = true
			case s.agent != nil && len(s.agent.Guards) > 0:
				agents = append(agents, s)
			}
		})
	}
	for _, s := range agents {
		var circuits []string
		for i, name := range s.agent.Guards {
			if slices.Contains(s.agent.Guards[:i], name) {
				c.fault(s.path, "Guards has %q twice", name)
				continue
			}
			path := nearest(s.path, name, func(path string) bool {
				if isBreaker[path] || t == nil {
					return isBreaker[path]
				}
				n := t.lookup(path)
				return n != nil && n.guard != nil
			})
			switch {
			case path == "":
				c.fault(s.path, "Guards: %q is no breaker: it must be the ID of one that hangs below a supervisor above the agent, or the path of any", name)
			case !slices.Contains(circuits, path):
				circuits = append(circuits, path)
			}
		}
		s.rare = &rareSpec{circuits: circuits}
	}
}

// each calls f for a spec and all below it.
func (s *nodeSpec) each(f func(*nodeSpec)) {
	f(s)
	if s.supervisor == nil {
		return
	}
	for _, child := range s.supervisor.children {
		child.each(f)
	}
	if t := s.supervisor.template; t != nil {
		t.each(f)
	}
}

// nearest resolves the name that a node at a path has for a breaker: the path of any, or the ID of one below one of the supervisors above it, the nearest
// first. It is empty if there is none.
func nearest(from, name string, isBreaker func(path string) bool) string {
	if strings.Contains(name, "/") {
		if isBreaker(name) {
			return name
		}
		return ""
	}
	for {
		up := strings.LastIndexByte(from, '/')
		if up < 0 {
			return ""
		}
		from = from[:up]
		if path := from + "/" + name; isBreaker(path) {
			return path
		}
	}
}
