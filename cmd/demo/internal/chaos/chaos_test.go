package chaos

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

func manyFiles(n int) []string {
	paths := make([]string, n)
	for i := range paths {
		paths[i] = fmt.Sprintf("dir/file%d.go", i)
	}
	return paths
}

func TestOffPlansNothing(t *testing.T) {
	p := Plan{Seed: 1}
	assert.Empty(t, p.Events(append(task.ForFiles(manyFiles(200)), task.Poison.ID(1), task.Breaker.ID(1))))
	assert.Equal(t, Drills{}, p.Drills())
	assert.Empty(t, p.Drills().All())
}

func TestTheSamePlanAlwaysDecidesTheSame(t *testing.T) {
	ids := task.ForFiles(manyFiles(200))
	assert.Equal(t, Plan{Seed: 5, Level: Mild}.Events(ids), Plan{Seed: 5, Level: Mild}.Events(ids))
	assert.NotEqual(t, Plan{Seed: 5, Level: Mild}.Events(ids), Plan{Seed: 6, Level: Mild}.Events(ids))
}

// A decision is part of what a seed means: this test fails when the hash changes.
func TestTheHashIsPinned(t *testing.T) {
	p := Plan{Seed: 4, Level: Mild}
	var got []string
	for _, e := range p.Events(task.ForFiles([]string{"client.go", "server.go", "transport.go", "cookie.go", "fs.go", "h2_bundle.go"})) {
		got = append(got, fmt.Sprintf("%s#%d panics=%t fault=%s", e.Task, e.Attempt, e.Panics, e.Fault))
	}
	assert.Equal(t, pinned, got)
}

// An event comes back from JSON as it was.
func TestEventsAreWritten(t *testing.T) {
	events := Plan{Seed: 5, Level: Wild}.Events(task.ForFiles(manyFiles(50)))
	data, err := json.Marshal(events)
	require.NoError(t, err)
	var back []Event
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, events, back)
	require.ErrorContains(t, json.Unmarshal([]byte(`[{"task":"a","attempt":1,"fault":"boredom"}]`), &back), `fault "boredom" is unknown, there are: none, error`)
	for f := None; f <= Stall; f++ {
		assert.NotContains(t, f.String(), "Fault(")
	}
	assert.Equal(t, "Fault(9)", Fault(9).String())
}

func TestNothingIsPlannedAfterTheSecondAttempt(t *testing.T) {
	for seed := range uint64(20) {
		p := Plan{Seed: seed, Level: Mild}
		for _, id := range append(task.ForFiles(manyFiles(50)), p.Drills()[task.Breaker]...) {
			for _, attempt := range []int{-1, 0, 3, 4, 100} {
				require.False(t, p.Panics(id, attempt), "%s attempt %d", id, attempt)
				require.Equal(t, None, p.ModelFault(id, attempt), "%s attempt %d", id, attempt)
			}
		}
	}
}

func TestPoisonCrashesEveryAttempt(t *testing.T) {
	p := Plan{Seed: 3, Level: Mild}
	require.NotEmpty(t, p.Drills()[task.Poison])
	for _, id := range p.Drills()[task.Poison] {
		for attempt := 1; attempt < 50; attempt++ {
			assert.True(t, p.Panics(id, attempt))
		}
		assert.False(t, Plan{Seed: 3}.Panics(id, 1))
	}
}

func TestOnlySummariesHaveModelFaults(t *testing.T) {
	p := Plan{Seed: 3, Level: Mild}
	for _, path := range manyFiles(300) {
		for attempt := 1; attempt <= LastAttempt; attempt++ {
			require.Equal(t, None, p.ModelFault(task.MetricsID(path), attempt))
			require.Equal(t, None, p.ModelFault(task.ReviewID(path), attempt))
		}
	}
}

func TestTheFirstAnswerToAStallDrillStalls(t *testing.T) {
	id := task.Stall.ID(2)
	for _, level := range []Level{Mild, Wild} {
		p := Plan{Seed: 3, Level: level}
		require.Equal(t, []Fault{Stall, None, None}, []Fault{p.ModelFault(id, 1), p.ModelFault(id, 2), p.ModelFault(id, 3)})
	}
	require.Equal(t, None, Plan{Seed: 3}.ModelFault(id, 1))
}

func TestRatesAreMet(t *testing.T) {
	for _, level := range []Level{Mild, Wild} {
		t.Run(level.String(), func(t *testing.T) { ratesAreMet(t, level) })
	}
}

func ratesAreMet(t *testing.T, level Level) {
	const n = 20_000
	p, rates := Plan{Seed: 11, Level: level}, level.Rates()
	panics, faults, bursts := 0, map[Fault]int{}, 0
	for _, path := range manyFiles(n) {
		id := task.SummarizeID(path)
		if p.Panics(id, 1) {
			panics++
		}
		faults[p.ModelFault(id, 1)]++
		if p.ModelFault(id, 1) == Error && p.ModelFault(id, 2) == Error {
			bursts++
		}
	}
	within := func(name string, want float64, got int) {
		t.Helper()
		assert.InEpsilon(t, want*n/1000, float64(got), 0.12, name)
	}
	outside := 1 - float64(rates.Burst)/1000
	within("panic", float64(rates.Panic), panics)
	within("error", float64(rates.Burst)+float64(rates.Error)*outside, faults[Error])
	within("overload", float64(rates.Overload)*outside, faults[Overload])
	within("cut", float64(rates.Cut)*outside, faults[Cut])
	within("garbage", float64(rates.Garbage)*outside, faults[Garbage])
	within("burst", float64(rates.Burst)+float64(rates.Error)*float64(rates.Error)/1000*outside, bursts)
}

func TestLevelsAreReadByName(t *testing.T) {
	for i := range levels {
		level, err := ParseLevel(Level(i).String())
		require.NoError(t, err)
		assert.Equal(t, Level(i), level)
	}
	_, err := ParseLevel("loud")
	assert.EqualError(t, err, `chaos level "loud" is unknown, there are: off, mild, wild`)
	assert.Equal(t, "Level(99)", Level(99).String())
	assert.Equal(t, Rates{}, Level(99).Rates())
	assert.Empty(t, Plan{Level: 99}.Drills().All())
}

// Every kind of drill is in every level but off, in wild at least as often as in mild, and what a drill task submits is planned as well.
func TestEveryMechanismIsDrilled(t *testing.T) {
	mild, wild := Plan{Level: Mild}.Drills(), Plan{Level: Wild}.Drills()
	for _, d := range task.AllDrills {
		assert.NotEmpty(t, mild[d], d)
		assert.GreaterOrEqual(t, len(wild[d]), len(mild[d]), d)
	}
	for _, drills := range []Drills{mild, wild} {
		assert.Len(t, drills, len(task.AllDrills))
		var subtasks []string
		for _, id := range drills.All() {
			subtasks = append(subtasks, task.Subtasks(id)...)
		}
		assert.ElementsMatch(t, append(append([]string{}, drills[task.Branch]...), drills[task.Leaf]...), subtasks)
	}
}

func TestWildIsWilder(t *testing.T) {
	mild, wild := Mild.Rates(), Wild.Rates()
	assert.Greater(t, wild.Panic, mild.Panic)
	assert.Greater(t, wild.Burst, mild.Burst)
	assert.Greater(t, wild.Error, mild.Error)
	assert.Greater(t, wild.Overload, mild.Overload)
	assert.Greater(t, wild.Cut, mild.Cut)
	assert.Greater(t, wild.Garbage, mild.Garbage)
}

func ExamplePlan_Drills() {
	fmt.Println(Plan{Seed: 1, Level: Mild}.Drills()[task.Poison])
	// Output: [drill:poison-1 drill:poison-2]
}

var pinned = []string{
	"review:server.go#1 panics=true fault=none",
	"summarize:client.go#1 panics=false fault=error",
	"summarize:client.go#2 panics=true fault=error",
	"summarize:fs.go#1 panics=true fault=none",
	"summarize:transport.go#1 panics=false fault=error",
	"summarize:transport.go#2 panics=false fault=error",
}
