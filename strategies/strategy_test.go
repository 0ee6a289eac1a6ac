package strategies_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/strategies"
)

func TestGroup(t *testing.T) {
	const n = 4
	tests := []struct {
		strategy strategies.Strategy
		name     string
		groups   [n][2]int // by failed child
	}{
		{strategies.OneForOne(strategies.RestartPolicy{}), "one_for_one", [n][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 4}}},
		{strategies.OneForAll(strategies.RestartPolicy{}), "one_for_all", [n][2]int{{0, 4}, {0, 4}, {0, 4}, {0, 4}}},
		{strategies.RestForOne(strategies.RestartPolicy{}), "rest_for_one", [n][2]int{{0, 4}, {1, 4}, {2, 4}, {3, 4}}},
		{strategies.Escalate(), "escalate", [n][2]int{{0, 1}, {1, 2}, {2, 3}, {3, 4}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.name, tt.strategy.String())
			for failed, want := range tt.groups {
				from, to := tt.strategy.Group(failed, n)
				assert.Equal(t, want, [2]int{from, to}, "child %d failed", failed)
			}
			for _, none := range [][2]int{{-1, n}, {n, n}, {0, 0}, {5, 0}, {0, -1}} {
				from, to := tt.strategy.Group(none[0], none[1])
				assert.Equal(t, from, to, "group of child %d of %d", none[0], none[1])
			}
		})
	}
}

func TestGroupHoldsTheFailedChildAndOnlyChildren(t *testing.T) {
	all := []strategies.Strategy{
		strategies.OneForOne(strategies.RestartPolicy{}), strategies.OneForAll(strategies.RestartPolicy{}),
		strategies.RestForOne(strategies.RestartPolicy{}), strategies.Escalate(),
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(all).Draw(t, "strategy")
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		failed := rapid.IntRange(0, n-1).Draw(t, "failed")
		from, to := s.Group(failed, n)
		if from < 0 || from > failed || failed >= to || to > n {
			t.Fatalf("%v: child %d of %d failed, group is [%d, %d)", s, failed, n, from, to)
		}
	})
}

func TestWithPolicy(t *testing.T) {
	other := strategies.MaxRestarts(7, time.Minute)
	for _, s := range []strategies.Strategy{
		strategies.OneForOne(strategies.RestartPolicy{}),
		strategies.OneForAll(strategies.RestartPolicy{}),
		strategies.RestForOne(strategies.RestartPolicy{}),
	} {
		t.Run(s.String(), func(t *testing.T) {
			copied := s.WithPolicy(other)
			assert.Equal(t, other, copied.Policy())
			assert.Equal(t, s.String(), copied.String())
			assert.True(t, s.Policy().IsZero(), "the original is as it was, and its zero policy not defaulted")
		})
	}
	t.Run("escalate", func(t *testing.T) {
		s := strategies.Escalate().WithPolicy(other)
		assert.Equal(t, "escalate", s.String())
		assert.Equal(t, strategies.NeverRestart(), s.Policy(), "its policy can't be replaced")
	})
}

func TestStrategiesCanBeMapKeys(t *testing.T) {
	decided := strategies.RestartPolicy{}.WithDecider(alwaysStop)
	guardians := map[any]bool{} // as protoactor keeps them
	for _, s := range []strategies.Strategy{
		strategies.OneForOne(decided), strategies.OneForAll(decided), strategies.RestForOne(decided), strategies.Escalate(),
	} {
		assert.NotPanics(t, func() { guardians[s] = true }, fmt.Sprint(s))
	}
	assert.Len(t, guardians, 4)
}
