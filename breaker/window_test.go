package breaker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

// play runs calls one after the other: S succeeds, F fails, i is ignored, s is a slow success, f a slow failure.
func play(t testing.TB, b *breaker.Breaker, calls string) {
	t.Helper()
	for i, c := range calls {
		p, err := b.Acquire()
		require.NoError(t, err, "call %d of %s", i, calls)
		switch c {
		case 'S':
			p.Done(breaker.Success)
		case 'F':
			p.Done(breaker.Failure)
		case 'i':
			p.Done(breaker.Ignore)
		case 's', 'f':
			time.Sleep(b.Config().Window.SlowCall)
			p.Done(map[rune]breaker.Verdict{'s': breaker.Success, 'f': breaker.Failure}[c])
		}
	}
}

func TestCountWindowTrips(t *testing.T) {
	tests := map[string]struct {
		window breaker.Window
		calls  string
		last   string // opens it; "" stays closed
	}{
		"half of ten":                       {breaker.Window{Calls: 10}, "SSSSSFFFF", "F"},
		"one below half":                    {breaker.Window{Calls: 10}, "SSSSSSFFFF", ""},
		"not before there are enough calls": {breaker.Window{Calls: 10, MinCalls: 6}, "FFFFF", "F"},
		"a success never opens":             {breaker.Window{Calls: 10, MinCalls: 6}, "FFFFFS", "F"},
		"old ones leave the window":         {breaker.Window{Calls: 4, MinCalls: 4, FailureRatio: 0.75}, "FFSSSFSSFS", ""},
		"the window slides, call by call":   {breaker.Window{Calls: 4, MinCalls: 4, FailureRatio: 0.75}, "SSFF", "F"},
		"ignored calls are not in it":       {breaker.Window{Calls: 4, MinCalls: 4}, "FiiiiiFSi", "F"},
		"a ratio met exactly, 7 of 100":     {breaker.Window{Calls: 100, MinCalls: 100, FailureRatio: 0.07}, repeat("S", 93) + "FFFFFF", "F"},
		"all must fail":                     {breaker.Window{Calls: 3, MinCalls: 3, FailureRatio: 1}, "SFF", "F"},
		"slow successes":                    {breaker.Window{Calls: 4, MinCalls: 4, SlowCall: time.Second, SlowRatio: 0.5}, "SSs", "s"},
		"slow below the ratio":              {breaker.Window{Calls: 4, MinCalls: 4, SlowCall: time.Second, SlowRatio: 0.75}, "SsSsSsSs", ""},
		"slow failures count as both":       {breaker.Window{Calls: 4, MinCalls: 4, SlowCall: time.Second}, "SSf", "f"},
		"thousands of calls, then failing":  {breaker.Window{Calls: 2, MinCalls: 2, FailureRatio: 1}, repeat("SF", 1000) + "S" + "F", "F"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, breaker.Config{Window: &tt.window})
				play(t, b, tt.calls)
				require.Equal(t, breaker.Closed, b.State())
				play(t, b, tt.last)
				if tt.last != "" {
					assert.Equal(t, breaker.Open, b.State())
				}
			})
		})
	}
}

func repeat(s string, n int) (all string) {
	for range n {
		all += s
	}
	return all
}

func TestWindowReplacesTheCountInARowUnlessBothAreGiven(t *testing.T) {
	b := newBreaker(t, breaker.Config{Window: &breaker.Window{Calls: 100, MinCalls: 100}})
	play(t, b, repeat("F", 99))
	assert.Equal(t, breaker.Closed, b.State())
	assert.Equal(t, breaker.WindowTally{Calls: 99, Failed: 99}, b.Snapshot().Window)

	both := newBreaker(t, breaker.Config{FailureThreshold: 3, Window: &breaker.Window{Calls: 100, MinCalls: 100}})
	play(t, both, "FFSFF")
	require.Equal(t, breaker.Closed, both.State())
	play(t, both, "F")
	assert.Equal(t, breaker.Open, both.State())
}

func timeWindow(t testing.TB) *breaker.Breaker {
	return newBreaker(t, breaker.Config{Window: &breaker.Window{Span: 10 * time.Second, MinCalls: 4}})
}

func TestTimeWindowForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := timeWindow(t)
		play(t, b, "FFF")
		time.Sleep(10 * time.Second)
		assert.Zero(t, b.Snapshot().Window)
		play(t, b, "FFF")
		assert.Equal(t, breaker.Closed, b.State(), "three and three, but never six at once")
		time.Sleep(9 * time.Second)
		play(t, b, "F")
		assert.Equal(t, breaker.Open, b.State(), "the three of nine seconds ago still count")
	})
}

func TestTimeWindowMovesOnInSteps(t *testing.T) { // the boundary: a call is in the window for 9 to 10 s
	synctest.Test(t, func(t *testing.T) {
		b := timeWindow(t)
		time.Sleep(999 * time.Millisecond)
		play(t, b, "S")
		time.Sleep(9*time.Second - time.Nanosecond)
		assert.EqualValues(t, 1, b.Snapshot().Window.Calls)
		time.Sleep(time.Millisecond + time.Nanosecond)
		assert.Zero(t, b.Snapshot().Window.Calls)
	})
}

func TestTimeWindowAfterALongIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := timeWindow(t)
		for range 50 {
			play(t, b, "FFF")
			time.Sleep(1000 * time.Hour)
		}
		assert.Equal(t, breaker.Closed, b.State())
		assert.EqualValues(t, 150, b.Snapshot().Totals.Failed)
	})
}

func TestManySuccessesAreNoFailures(t *testing.T) { // case 25: a counter that carries into its neighbour
	for name, w := range map[string]breaker.Window{"calls": {Calls: 1000}, "time": {Span: time.Hour, Buckets: 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, breaker.Config{Window: &w})
				for range 1<<17 + 5 {
					p, _ := b.Acquire()
					p.Done(breaker.Success)
				}
				play(t, b, "F")
				assert.Equal(t, breaker.Closed, b.State())
				assert.EqualValues(t, 1, b.Snapshot().Window.Failed)
			})
		})
	}
}

func TestEachClosedPeriodHasItsOwnWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Window: &breaker.Window{Calls: 4, MinCalls: 2}})
		late := acquire(t, b)
		play(t, b, "FF")
		require.Equal(t, breaker.Open, b.State())
		time.Sleep(reset)
		play(t, b, "SS")
		require.Equal(t, breaker.Closed, b.State())
		late.Done(breaker.Failure)
		assert.Zero(t, b.Snapshot().Window)
		play(t, b, "F")
		assert.Equal(t, breaker.Closed, b.State())
	})
}

func TestSlowProbeReopens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Window: &breaker.Window{Calls: 2, MinCalls: 2, SlowCall: time.Second}})
		play(t, b, "ss")
		require.Equal(t, breaker.Open, b.State())
		time.Sleep(reset)
		play(t, b, "s")
		assert.Equal(t, breaker.Open, b.State())
		assert.EqualValues(t, 3, b.Snapshot().Totals.Succeeded, "the call did succeed")
	})
}

func TestSlowCallsOfDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Window: &breaker.Window{Calls: 2, MinCalls: 2, SlowCall: time.Second}})
		for range 2 {
			_, err := breaker.Do(t.Context(), b, func(context.Context) (int, error) { time.Sleep(time.Second); return 1, nil })
			require.NoError(t, err)
		}
		assert.Equal(t, breaker.Open, b.State())
		assert.NoError(t, b.Snapshot().LastErr, "no error opened it")
	})
}

func TestNothingIsLostInAWindowUnderLoad(t *testing.T) {
	for name, w := range map[string]breaker.Window{
		"calls": {Calls: 10_000, MinCalls: 10_000, FailureRatio: 1}, "time": {Span: time.Hour, MinCalls: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{Window: &w})
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() { play(t, b, repeat("SFSSi", 200)) })
			}
			all.Wait()
			assert.Equal(t, breaker.WindowTally{Calls: 6400, Failed: 1600}, b.Snapshot().Window)
			assert.Equal(t, breaker.Totals{Succeeded: 4800, Failed: 1600, Ignored: 1600}, b.Snapshot().Totals)
		})
	}
}

func TestTripForPassesTheWindowBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Window: &breaker.Window{}})
		acquire(t, b).Done(breaker.TripFor(time.Minute))
		assert.Equal(t, time.Minute, b.Snapshot().RetryAfter)
		assert.False(t, errors.Is(b.Snapshot().LastErr, errDown))
	})
}
