package routing_test

import (
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/routing"
)

// modelBalancers are those that the model may have. Each hub needs its own.
var modelBalancers = map[string]func() routing.Balancer{
	"least loaded":    routing.LeastLoaded,
	"round robin":     routing.RoundRobin,
	"random":          func() routing.Balancer { return routing.Random(1) },
	"power of two":    func() routing.Balancer { return routing.PowerOfTwo(1) },
	"consistent hash": func() routing.Balancer { return routing.ConsistentHash() },
	"wild":            func() routing.Balancer { return wild{} },
	"wild placer":     func() routing.Balancer { return &wildPlacer{} },
}

// wildPlacer is a placer that often does what it must not.
type wildPlacer struct {
	wild
	calls int
	seats []routing.Seat // also such that have gone
}

func (w *wildPlacer) Come(_ string, s routing.Seat) []routing.Seat {
	w.seats = append(w.seats, s)
	w.calls++
	switch w.calls % 3 {
	case 1:
		panic("wild")
	case 2:
		return append(w.seats, routing.Seat{})
	}
	return nil
}

func (w *wildPlacer) Go(string, routing.Seat) {
	w.calls++
	if w.calls%3 == 1 {
		panic("wild")
	}
}

func (w *wildPlacer) Place(string, string, int) routing.Seat {
	w.calls++
	switch w.calls % 4 {
	case 1:
		panic("wild")
	case 2:
		return routing.Seat{}
	}
	return w.seats[w.calls%len(w.seats)]
}

// keyed is what the model knows of keys that a balancer keeps together.
type keyed struct {
	keeps  bool
	turns  int
	owners map[[2]string]routing.SpokeID // by type and key: where its latest task was leased, as long as nothing excuses another spoke
}

func newKeyed() keyed { return keyed{owners: make(map[[2]string]routing.SpokeID)} }

func (s *story) strand() [2]string { return [2]string{s.kind, s.key} }

func (m *model) takesTurn(s *story) {
	m.turns++
	s.turn = m.turns
}

// pauses notes that a spoke takes nothing more for the moment.
func (m *model) pauses(s *modelSpoke) {
	s.paused = true
	m.losesKeys(s)
}

func (m *model) losesKeys(s *modelSpoke) {
	for key, owner := range m.owners {
		if owner == s.ID() {
			delete(m.owners, key)
		}
	}
}

// kept says whether the balancer keeps the task in order with others of its key.
func (m *model) kept(s *story) bool { return m.keeps && s.key != "" && !s.loose && !s.pinned() }

// heldAbove says whether a subtask has its key in common with an unsettled task above it, as far as the hub remembers those.
func (m *model) heldAbove(parent, kind, key string) bool {
	for key != "" && parent != "" {
		above := m.stories[parent]
		if above.strand() == [2]string{kind, key} && m.kept(above) && !above.state.Settled() {
			return true
		}
		if _, remembered := m.w.hub.Inspect(parent); !remembered {
			return false
		}
		parent = above.parent
	}
	return false
}

// mayWait says whether a subtask that would be behind others of its key may be what those wait for: one of them is above it, or has subtasks that wait for one that is.
func (m *model) mayWait(parent, kind, key string) bool {
	seen := map[[2]string]bool{}
	var waits func(strand [2]string) bool
	waits = func(strand [2]string) bool {
		if seen[strand] {
			return false
		}
		seen[strand] = true
		if m.heldAbove(parent, strand[0], strand[1]) {
			return true
		}
		inOrder := func(s *story) bool { return m.kept(s) && s.lives > 0 && !s.state.Settled() }
		for id, head := range m.stories {
			if !inOrder(head) || head.strand() != strand || !m.first(head) {
				continue
			}
			for _, sub := range m.stories {
				if inOrder(sub) && !m.first(sub) && m.tiedBelow(sub, id) && waits(sub.strand()) {
					return true
				}
			}
		}
		return false
	}
	return key != "" && parent != "" && waits([2]string{kind, key})
}

// tiedBelow says whether a task ends with another one.
func (m *model) tiedBelow(s *story, id string) bool {
	for s.tied {
		if s.parent == id {
			return true
		}
		s = m.stories[s.parent]
	}
	return false
}

// first says whether all tasks of its key that came before it are settled.
func (m *model) first(s *story) bool {
	for _, other := range m.stories {
		if m.kept(other) && other.strand() == s.strand() && other.lives > 0 && !other.state.Settled() && other.turn < s.turn {
			return false
		}
	}
	return true
}

// keptTogether checks that a task is leased when it is its turn, and where those before it were.
func (m *model) keptTogether(s *story, to routing.SpokeID, tell string) {
	if !m.kept(s) {
		return
	}
	require.True(m.t, m.first(s), "%s: out of order", tell)
	if owner, ok := m.owners[s.strand()]; ok {
		require.Equal(m.t, owner, to, "%s: its key has another owner", tell)
	}
	m.owners[s.strand()] = to
}

// keyRests forgets the owner of a key that has no unsettled task any more.
func (m *model) keyRests(s *story) {
	for _, other := range m.stories {
		if m.kept(other) && other.strand() == s.strand() && other.lives > 0 && !other.state.Settled() {
			return
		}
	}
	delete(m.owners, s.strand())
}

// keyIdle checks that a task whose turn it is doesn't wait if every spoke is free that could be its owner.
func (m *model) keyIdle(t *rapid.T, id string, task *story, joined map[string]*modelSpoke) {
	able, busy := 0, false
	for _, s := range joined {
		if (s.kind == task.kind || s.kind == "both") && !s.paused && !m.shelved[s.ID().Path] {
			able++
			busy = busy || m.active(s) >= s.credits || m.shut(s)
		}
	}
	if able > 0 && !busy && m.first(task) {
		t.Fatalf("task %s waits and all %d spokes are free", id, able)
	}
}
