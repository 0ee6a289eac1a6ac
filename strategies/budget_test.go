package strategies_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/strategies"
)

// naiveBudget keeps every attempt for ever and follows OTP's rule word by word.
type naiveBudget struct {
	max     int
	window  time.Duration
	entered []time.Time
}

func (n *naiveBudget) within(now time.Time) (count int) {
	for _, at := range n.entered {
		if now.Sub(at) <= n.window {
			count++
		}
	}
	return count
}

func (n *naiveBudget) spend(now time.Time) bool {
	n.entered = append(n.entered, now)
	return n.within(now) <= n.max
}

func TestBudgetAgainstNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawMax := rapid.OneOf(rapid.IntRange(0, 4), rapid.IntRange(0, 100))
		drawWindow := rapid.Int64Range(1, 50)
		max := drawMax.Draw(t, "max")
		window := time.Duration(drawWindow.Draw(t, "window"))

		model := &naiveBudget{max: max, window: window}
		budget := strategies.NewBudget(orNone(max), window)
		now := time.Unix(0, 0)
		t.Repeat(map[string]func(*rapid.T){
			"spend": func(t *rapid.T) {
				if got, want := budget.Spend(now), model.spend(now); got != want {
					t.Fatalf("Spend = %v, want %v", got, want)
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, 60).Draw(t, "wait")))
			},
			"": func(t *rapid.T) {
				if got, want := budget.Spent(now), min(model.within(now), max+1); got != want {
					t.Fatalf("Spent = %d, want %d", got, want)
				}
			},
		})
	})
}

// Limits that change under way judge the same history. A window never grows here: what has left the old one is forgotten.
func TestBudgetReconfiguredAgainstNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := &naiveBudget{max: 3, window: 100}
		budget := strategies.NewBudget(3, 100)
		now := time.Unix(0, 0)
		t.Repeat(map[string]func(*rapid.T){
			"spend": func(t *rapid.T) {
				got, want := budget.Spend(now), model.spend(now)
				if got != want {
					t.Fatalf("Spend = %v, want %v", got, want)
				}
				if !got { // a supervisor that was refused ends, and its history with it
					model.entered = nil
					budget = strategies.NewBudget(orNone(model.max), model.window)
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, 60).Draw(t, "wait")))
			},
			"reconfigure": func(t *rapid.T) {
				model.max = rapid.IntRange(0, 10).Draw(t, "max")
				model.window = time.Duration(rapid.Int64Range(1, int64(model.window)).Draw(t, "window"))
				budget.Reconfigure(orNone(model.max), model.window)
			},
			"": func(t *rapid.T) {
				if got, want := budget.Spent(now), model.within(now); got != want {
					t.Fatalf("Spent = %d, want %d", got, want)
				}
			},
		})
	})
}

func orNone(max int) int {
	if max == 0 {
		return strategies.NoRestarts
	}
	return max
}

func TestBudgetConventions(t *testing.T) {
	tests := []struct {
		max        int
		window     time.Duration
		wantMax    int
		wantWindow time.Duration
	}{
		{0, 0, 3, 5 * time.Second},
		{strategies.NoRestarts, time.Second, 0, time.Second},
		{math.MinInt, -time.Second, 0, 5 * time.Second},
		{7, time.Minute, 7, time.Minute},
		{strategies.Unlimited, time.Minute, math.MaxInt, time.Minute},
	}
	for _, tt := range tests {
		b := strategies.NewBudget(tt.max, tt.window)
		assert.Equal(t, tt.wantMax, b.Max())
		assert.Equal(t, tt.wantWindow, b.Window())
	}
}

func TestBudgetAtTheEdgeOfItsWindow(t *testing.T) {
	start := time.Unix(0, 0)
	b := strategies.NewBudget(1, time.Second)
	assert.True(t, b.Spend(start))
	assert.Equal(t, 1, b.Spent(start.Add(time.Second)), "an attempt exactly one window ago counts")
	assert.Equal(t, 0, b.Spent(start.Add(time.Second+1)), "an older one doesn't")
	assert.True(t, b.Spend(start.Add(time.Second+1)))
	assert.False(t, b.Spend(start.Add(2*time.Second+1)))
	assert.False(t, b.Spend(start.Add(3*time.Second+1)), "the refused attempt counts, too")
}

func TestBudgetOfNoneRefusesAtOnce(t *testing.T) {
	assert.False(t, strategies.NewBudget(strategies.NoRestarts, time.Second).Spend(time.Unix(0, 0)))
}

func TestUnlimitedBudgetNeverRefusesAndKeepsNothing(t *testing.T) {
	b, now := strategies.NewBudget(strategies.Unlimited, time.Hour), time.Unix(0, 0)
	allocs := testing.AllocsPerRun(1000, func() {
		if !b.Spend(now) {
			t.Error("refused")
		}
	})
	assert.Zero(t, allocs)
	assert.Zero(t, b.Spent(now))
}

func TestBudgetGrowsOnlyAsAttemptsCome(t *testing.T) {
	b, now := strategies.NewBudget(math.MaxInt-1, time.Hour), time.Unix(0, 0)
	for range 100 {
		assert.True(t, b.Spend(now)) // a ring made in full would be larger than any memory
	}
	assert.Equal(t, 100, b.Spent(now))
}

func TestBudgetSpendsWithoutAllocationOnceGrown(t *testing.T) {
	b, now := strategies.NewBudget(1000, time.Hour), time.Unix(0, 0)
	for range 2000 {
		b.Spend(now)
	}
	assert.Zero(t, testing.AllocsPerRun(1000, func() { b.Spend(now) }))
	assert.Equal(t, 1001, b.Spent(now))
}

func BenchmarkBudgetSpend(b *testing.B) {
	budget, now := strategies.NewBudget(1_000_000, time.Second), time.Unix(0, 0)
	for b.Loop() {
		now = now.Add(time.Microsecond)
		budget.Spend(now)
	}
}
