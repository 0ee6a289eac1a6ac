package task

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestADrillsIDTellsWhatItIs(t *testing.T) {
	assert.True(t, slices.IsSorted(AllDrills))
	for _, d := range AllDrills {
		for n, id := range d.IDs(12) {
			got, number, ok := DrillOf(id)
			assert.True(t, ok)
			assert.Equal(t, d, got)
			assert.Equal(t, n+1, number)
		}
	}
	for _, id := range []string{"", "poison-1", "drill:poison", "drill:poison-1-2", "drill:poison-+1", "drill:-1", "drill:nothing-1", "metrics:drill:poison-1"} {
		_, _, ok := DrillOf(id)
		assert.False(t, ok, id)
	}
}

func TestFewDrillsAimAtSomethingElseThanAResult(t *testing.T) {
	want := map[Drill]Ending{Poison: Quarantined, Cancel: Cancelled, Expire: Expired}
	for _, d := range AllDrills {
		ending, aims := want[d]
		if !aims {
			ending = Done
		}
		assert.Equal(t, ending, EndingOf(d.ID(2)), d)
		_, yields := ExpectedResult(d.ID(2))
		assert.Equal(t, ending == Done && d != Breaker && d != Stall, yields, d)
	}
	assert.Equal(t, Done, EndingOf(MetricsID("a.go")))
	_, yields := ExpectedResult(MetricsID("a.go"))
	assert.False(t, yields)
}

func TestDrillsAddUp(t *testing.T) {
	for id, want := range map[string]int{
		Sum.ID(1): 1, Sum.ID(4): 10, Leaf.ID(3): 9, Rest.ID(2): 4, All.ID(3): 9,
		Branch.ID(2): 9 + 16, Trunk.ID(1): 1 + 4 + 9 + 16, Trunk.ID(2): 25 + 36 + 49 + 64,
	} {
		got, ok := ExpectedResult(id)
		assert.True(t, ok)
		assert.Equal(t, DrillResult{Sum: want}, got, id)
	}
	assert.Equal(t, []string{"drill:branch-3", "drill:branch-4"}, Subtasks(Trunk.ID(2)))
	assert.Equal(t, []string{"drill:leaf-5", "drill:leaf-6"}, Subtasks(Branch.ID(3)))
	assert.Empty(t, Subtasks(Leaf.ID(1)))
}
