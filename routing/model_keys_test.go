package routing_test

import (
	"slices"

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

// needs lists what a task waits for: what its handler awaits, its inputs, and, if turns count, those of its key that came before it.
func (m *model) needs(id string, turns bool) (ids []string) {
	s := m.stories[id]
	m.awaitMu.Lock()
	for l, a := range m.awaits {
		if l.ID() == id && s.state == routing.StateLeased && s.attempts == l.Attempt() {
			ids = append(ids, a.on...)
		}
	}
	m.awaitMu.Unlock()
	if m.blocked(s) {
		ids = append(ids, slices.DeleteFunc(slices.Clone(s.inputs), func(id string) bool { return m.stories[id].state.Settled() })...)
	}
	for other, o := range m.stories {
		if turns && m.kept(s) && !s.state.Settled() && m.isBefore(o, s) {
			ids = append(ids, other)
		}
	}
	return ids
}

// waitsFor says whether a task waits for another one, by whatever is in between.
func (m *model) waitsFor(id, other string, turns bool) bool {
	seen := map[string]bool{}
	var reaches func(string) bool
	reaches = func(id string) bool {
		if seen[id] {
			return false
		}
		seen[id] = true
		return slices.ContainsFunc(m.needs(id, turns), func(next string) bool { return next == other || reaches(next) })
	}
	return reaches(id)
}

// loosened marks the tasks that don't wait for their turn any more, and says whether there are any.
func (m *model) loosened() (any bool) {
	for _, s := range m.stories {
		if !s.loose && !s.state.Settled() && s.handle.Loose() {
			s.loose, any = true, true
		}
	}
	return any
}

// first says whether all tasks of its key that came before it are settled.
func (m *model) first(s *story) bool {
	for _, other := range m.stories {
		if m.isBefore(other, s) {
			return false
		}
	}
	return true
}

func (m *model) isBefore(other, s *story) bool {
	return m.kept(other) && other.strand() == s.strand() && other.lives > 0 && !other.state.Settled() && other.turn < s.turn
}

// keptTogether checks that a task is leased when it is its turn, and where those before it were.
func (m *model) keptTogether(s *story, to routing.SpokeID, tell string) {
	if !m.kept(s) {
		return
	}
	require.True(m.t, m.first(s), "%s: out of order", tell)
	require.False(m.t, m.taken(s), "%s: the handler of the last of its key has not returned", tell)
	if owner, ok := m.owners[s.strand()]; ok {
		require.Equal(m.t, owner, to, "%s: its key has another owner", tell)
	}
	m.owners[s.strand()] = to
}

// taken says whether a handler hasn't returned from which a task was taken that has its key in common with this one.
func (m *model) taken(s *story) bool {
	for _, spoke := range m.spokes {
		for _, l := range spoke.leases() {
			other := m.stories[l.ID()]
			gone := l.Attempt() < other.attempts || l.Attempt() == other.attempts && other.state != routing.StateLeased
			if gone && !spoke.left && m.kept(other) && other.strand() == s.strand() {
				return true
			}
		}
	}
	return false
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
	if able > 0 && !busy && m.first(task) && !m.taken(task) {
		t.Fatalf("task %s waits and all %d spokes are free", id, able)
	}
}
