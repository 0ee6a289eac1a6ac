package routing_test

import (
	"maps"
	"slices"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/routing"
)

// modelCircuitNames are what a spoke of the model may be behind.
var modelCircuitNames = [][]string{nil, nil, {"x"}, {"y"}, {"x", "y"}}

// modelCircuit is what the model knows of a circuit.
type modelCircuit struct {
	routing.Circuit
	before map[*routing.Lease]bool // given before it was set
	excess int                     // probes beyond those that it lets through, because their handlers have gone on
}

func newModelCircuits() map[string]*modelCircuit {
	return map[string]*modelCircuit{"x": {}, "y": {}}
}

func (m *model) setCircuit(t *rapid.T) {
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.circuits))).Draw(t, "circuit")
	c := rapid.SampledFrom([]routing.Circuit{closed, closed, open, probing(1), probing(1), probing(2)}).Draw(t, "state")
	m.read()
	before := make(map[*routing.Lease]bool)
	for _, s := range m.spokes {
		for _, l := range s.leases() {
			before[l] = true
		}
	}
	m.circuits[name] = &modelCircuit{Circuit: c, before: before}
	m.w.set(name, c)
}

// probes counts the leases that are probes of a circuit: given since it was set, not returned, and with handlers that await nothing.
func (m *model) probes(name string) (n int) {
	for _, s := range m.spokes {
		if s.left || !slices.Contains(s.circuits, name) {
			continue
		}
		for _, l := range s.leases() {
			m.awaitMu.Lock()
			a := m.awaits[l]
			resting := a != nil && a.open > 0
			m.awaitMu.Unlock()
			if !m.circuits[name].before[l] && !resting {
				n++
			}
		}
	}
	return n
}

// shut says whether a circuit keeps leases from the spoke.
func (m *model) shut(s *modelSpoke) bool {
	return slices.ContainsFunc(s.circuits, func(name string) bool {
		c := m.circuits[name]
		return c.State == routing.CircuitOpen || c.State == routing.CircuitProbing && m.probes(name) >= c.Probes
	})
}

// shutOut says whether every spoke of a type is shut.
func (m *model) shutOut(kind string) bool {
	spokes := 0
	for _, s := range m.spokes {
		if !s.left && (s.kind == kind || s.kind == "both") {
			if !m.shut(s) {
				return false
			}
			spokes++
		}
	}
	return spokes > 0
}

// letThrough checks that a spoke that was given a lease is behind no open circuit.
func (m *model) letThrough(to routing.SpokeID, tell string) {
	for _, s := range m.spokes {
		for _, name := range s.circuits {
			require.False(m.t, s.ID() == to && m.circuits[name].State == routing.CircuitOpen, "%s: circuit %s is open", tell, name)
		}
	}
}

// refusedByCircuit checks a refusal that isn't for want of room: only FailFast may be the reason, and only if who may have the task is shut.
func (m *model) refusedByCircuit(t *rapid.T, err error, kind, key string, failFast bool) {
	var shut *routing.CircuitOpenError
	require.ErrorAs(t, err, &shut)
	require.True(t, failFast)
	require.NotEmpty(t, shut.Circuits)
	if m.keeps && key != "" { // it goes by the owner of the key
		return
	}
	require.True(t, m.shutOut(kind))
}

// checkShutOut checks the count of tasks that are ready and shut out, and returns it.
func (m *model) checkShutOut(t *rapid.T, got uint64) uint64 {
	var atLeast, atMost uint64
	for id, s := range m.stories {
		if s.state != routing.StateWaiting {
			continue
		}
		snapshot, _ := m.w.hub.Inspect(id)
		if !m.kept(s) && !s.pinned() {
			require.Equal(t, m.shutOut(s.kind), snapshot.ShutOut != nil, id)
		}
		if snapshot.ShutOut == nil {
			continue
		}
		atMost++
		if s.lives == 1 && s.attempts == 0 && !m.blocked(s) && (!m.kept(s) || m.first(s) && !m.taken(s)) && !s.pinned() {
			atLeast++
		}
	}
	require.LessOrEqual(t, got, atMost)
	require.GreaterOrEqual(t, got, atLeast)
	return got
}

// checkCircuits holds the hub's count of probes against the leases that the spokes have.
func (m *model) checkCircuits(t *rapid.T) {
	snapshots := make(map[string]routing.CircuitSnapshot)
	for _, c := range m.w.hub.Circuits() {
		snapshots[c.Name] = c
	}
	for name, c := range m.circuits {
		if c.State != routing.CircuitProbing {
			require.Zero(t, snapshots[name].Leases)
			continue
		}
		probes := m.probes(name)
		require.Equal(t, probes, snapshots[name].Leases, "probes of %s", name)
		if !slices.ContainsFunc(m.spokes, func(s *modelSpoke) bool { return m.ended[s] && slices.Contains(s.circuits, name) }) {
			require.LessOrEqual(t, probes, max(c.Probes, c.excess), "circuit %s", name)
		}
		c.excess = probes
	}
}
