package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// mechanisms are those that a run exercises, and how often at least under mild and under wild.
var mechanisms = map[string][2]int{
	"hung": {2, 6}, "hung_replaced": {2, 6}, "abandoned": {1, 3}, "abandoned_return": {1, 3},
	"stream_stalls": {1, 3},
	"rest_for_one":  {1, 3}, "one_for_all": {1, 3}, "escalations": {2, 4}, "hub_crash": {1, 1},
	"breaker_opens": {1, 1}, "breaker_rejects": {1, 1}, "breaker_probes": {1, 1}, "breaker_closes": {1, 1},
	"snapshot_restored": {1, 1}, "queue_full": {1, 1}, "cancelled": {1, 3}, "expired": {2, 4}, "subtasks": {6, 12}, "poison": {6, 9},
}

func drillsOf(level chaos.Level) []drill {
	plan := chaos.Plan{Seed: 1, Level: level}
	return newDrills(plan.Drills(), &crew{plan: plan, seen: newSightings()})
}

func TestEveryMechanismIsOwed(t *testing.T) {
	for i, level := range []chaos.Level{chaos.Mild, chaos.Wild} {
		want := map[string]int{}
		for mechanism, n := range mechanisms {
			want[mechanism] = n[i]
		}
		require.Equal(t, want, owed(drillsOf(level), nil))
	}
	require.Empty(t, owed(drillsOf(chaos.Off), nil))
}

// A run in which a planned mechanism was seen once too seldom has failed, and says which it was.
func TestAMechanismThatIsNotSeenFailsTheRun(t *testing.T) {
	owed := owed(drillsOf(chaos.Wild), nil)
	judged := func(missing string) summary.Summary {
		seen := newSightings()
		for mechanism, n := range owed {
			if mechanism == missing {
				n--
			}
			seen.add(mechanism, n)
		}
		s := summary.Summary{Drills: seen.summary(owed)}
		s.Judge(summary.Facts{})
		return s
	}
	require.Equal(t, summary.ExitOK, judged("").ExitCode)
	for mechanism, n := range owed {
		s := judged(mechanism)
		assert.Equal(t, summary.ExitBroken, s.ExitCode, mechanism)
		assert.Equal(t, []string{fmt.Sprintf("planned and not seen: %s (%d of %d)", mechanism, n-1, n)}, s.Problems)
	}
}

// What happens elsewhere in the tree isn't a drill's doing.
func TestOnlyItsOwnSubtreeCountsForADrill(t *testing.T) {
	seen := newSightings()
	watch := seen.watcher(drillsOf(chaos.Wild))
	stall := &breaker.StalledError{Phi: 20}
	for _, path := range []string{"root/code/metrics-1", "root/llm", "root/research", "root", "root/drills", "root/drillsx/hang/dreamer-1"} {
		for kind := range actors.EventKind(64) {
			for _, strategy := range []string{"one_for_all", "rest_for_one"} {
				for _, to := range []breaker.State{breaker.Open, breaker.HalfOpen, breaker.Closed} {
					watch(actors.Event{Kind: kind, Path: path, Incarnation: 2, Group: groupSize + 2, Strategy: strategy, Err: stall, Breaker: &breaker.Transition{To: to}})
				}
			}
		}
	}
	require.Empty(t, slices.Collect(maps.Keys(seen.n)))
}

// A run that goes on owes nothing more of what an earlier process has begun with, but for what the store has recorded of it.
func TestWhatWasBegunIsNotOwedAgain(t *testing.T) {
	begun := map[string]bool{"drill:hang-1": true, "drill:poison-1": true}
	all := owed(drillsOf(chaos.Mild), begun)
	for mechanism, n := range mechanisms {
		want := n[0]
		if slices.Contains([]string{"hung", "hung_replaced", "abandoned", "abandoned_return"}, mechanism) {
			want = 0
		}
		require.Equal(t, want, all[mechanism], mechanism)
	}
}

// What a machine that stalls takes away doesn't count: what is waited for has its time all the same.
func TestPatienceOutlastsAStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stalled bool
		var happens time.Time
		until(t.Context(), sightTimeout, func() bool {
			if !stalled {
				stalled = true
				time.Sleep(2 * sightTimeout)
				happens = time.Now().Add(hangShutdown)
			}
			return !time.Now().Before(happens)
		})
		require.WithinDuration(t, happens, time.Now(), lookEvery)

		began := time.Now()
		until(t.Context(), sightTimeout, func() bool { return false })
		require.InDelta(t, sightTimeout, time.Since(began), float64(lookEvery))
		over, end := context.WithCancel(t.Context())
		end()
		until(over, sightTimeout, func() bool { return false })
	})
}
