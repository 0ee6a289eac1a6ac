package breaker_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

var hands = map[string]func(*breaker.Breaker){
	"reset":      (*breaker.Breaker).Reset,
	"force open": (*breaker.Breaker).ForceOpen,
	"disable":    (*breaker.Breaker).Disable,
	"trip":       func(b *breaker.Breaker) { b.TripFor(time.Minute) },
	"trip short": func(b *breaker.Breaker) { b.TripFor(time.Second) },
	"trip never": func(b *breaker.Breaker) { b.TripFor(-time.Second) },
	"close":      (*breaker.Breaker).Close,
}

// bring makes a breaker that is in a state.
func bring(t testing.TB, state breaker.State, cfg breaker.Config) *breaker.Breaker {
	b := newBreaker(t, cfg)
	switch state {
	case breaker.Open:
		trip(t, b)
	case breaker.HalfOpen:
		halfOpen(t, b)
	case breaker.ForcedOpen:
		b.ForceOpen()
	case breaker.Disabled:
		b.Disable()
	case breaker.Stopped:
		b.Close()
	}
	require.Equal(t, state, b.State())
	return b
}

func TestWhatAHandDoesInEachState(t *testing.T) {
	const (
		closed, open, half  = breaker.Closed, breaker.Open, breaker.HalfOpen
		stopped, forced, no = breaker.Stopped, breaker.ForcedOpen, breaker.Disabled
	)
	states := []breaker.State{closed, open, half, forced, no, stopped}
	tests := map[string][]breaker.State{ // the state after it, by the state before
		"reset":      {closed, closed, closed, closed, closed, stopped},
		"force open": {forced, forced, forced, forced, forced, stopped},
		"disable":    {no, no, no, no, no, stopped},
		"trip":       {open, open, open, forced, no, stopped},
		"trip short": {open, open, open, forced, no, stopped},
		"trip never": {closed, open, half, forced, no, stopped},
		"close":      {stopped, stopped, stopped, stopped, stopped, stopped},
	}
	for hand, after := range tests {
		for i, before := range states {
			synctest.Test(t, func(t *testing.T) {
				var heard log
				b := bring(t, before, breaker.Config{OnTransition: heard.add})
				gen := b.Snapshot().Gen
				hands[hand](b)
				assert.Equal(t, after[i], b.State(), "%s when %v", hand, before)
				synctest.Wait()
				events := heard.all()
				for i, e := range events {
					assert.EqualValues(t, i+1, e.Gen, "no gap")
				}
				assert.EqualValues(t, len(events), b.Snapshot().Gen)
				assert.LessOrEqual(t, b.Snapshot().Gen, gen+1)
			})
		}
	}
}

func TestHandsWithCallsInFlight(t *testing.T) { // case 22: their results change nothing
	for hand, move := range hands {
		for _, late := range []breaker.Verdict{breaker.Success, breaker.Failure, breaker.TripFor(time.Hour)} {
			for _, before := range []breaker.State{breaker.Closed, breaker.HalfOpen} {
				synctest.Test(t, func(t *testing.T) {
					b := bring(t, before, breaker.Config{FailureThreshold: 1, SuccessThreshold: 1})
					inFlight := acquire(t, b)
					gen := b.Snapshot().Gen
					move(b)
					s := b.Snapshot()
					if s.Gen == gen {
						return // that hand did nothing
					}
					inFlight.Done(late)
					after := b.Snapshot()
					after.Totals, s.Totals = breaker.Totals{}, breaker.Totals{}
					assert.Equal(t, s, after, "%s, then %v from %v", hand, late, before)
				})
			}
		}
	}
}

func TestResetOfAClosedBreakerStartsItsCountAgain(t *testing.T) {
	b := newBreaker(t, breaker.Config{})
	play(t, b, "FFFF")
	b.Reset()
	assert.Zero(t, b.Snapshot().Failures)
	play(t, b, "FFFF")
	assert.Equal(t, breaker.Closed, b.State())
}

func TestForcedOpenStaysUntilSaidOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Name: "llm"})
		b.ForceOpen()
		time.Sleep(1000 * time.Hour)
		err := refusedWith(t, b, breaker.ErrOpen)
		assert.Equal(t, breaker.ForcedOpen, err.State)
		assert.Equal(t, reset, err.RetryAfter())
		assert.Equal(t, `breaker "llm" is forced-open, retry in 30s`, err.Error())
		assert.EqualValues(t, 1, b.Snapshot().Totals.Rejected)
		b.Reset()
		require.NoError(t, succeed(b))
	})
}

func TestDisabledOnlyCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		b.Disable()
		for range 100 {
			require.ErrorIs(t, fail(b), errDown)
		}
		require.NoError(t, succeed(b))
		assert.Equal(t, breaker.Disabled, b.State())
		assert.Equal(t, breaker.Totals{Succeeded: 1, Failed: 100}, b.Snapshot().Totals)
	})
}

func TestTripForByHandNeverShortens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		b.TripFor(2 * time.Minute)
		b.TripFor(time.Minute)
		assert.Equal(t, 2*time.Minute, b.Snapshot().RetryAfter)
		b.TripFor(3 * time.Minute)
		assert.Equal(t, 3*time.Minute, b.Snapshot().RetryAfter)
		b.TripFor(1000 * time.Hour)
		assert.Equal(t, 10*reset, b.Snapshot().RetryAfter, "MaxTrip")
		time.Sleep(10 * reset)
		assert.Equal(t, breaker.HalfOpen, b.State())
	})
}

func TestStoredAndRestored(t *testing.T) {
	for _, state := range []breaker.State{breaker.Closed, breaker.Open, breaker.HalfOpen, breaker.ForcedOpen, breaker.Disabled} {
		t.Run(state.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := bring(t, state, breaker.Config{})
				switch state {
				case breaker.Closed:
					play(t, old, "FFF")
				case breaker.Open:
					time.Sleep(12 * time.Second)
				case breaker.HalfOpen:
					play(t, old, "S")
					acquire(t, old)
				}
				stored, err := json.Marshal(old.Snapshot())
				require.NoError(t, err)

				time.Sleep(time.Hour) // the process was away: remaining time counts, not the wall clock
				var s breaker.Snapshot
				require.NoError(t, json.Unmarshal(stored, &s))
				b := newBreaker(t, breaker.Config{})
				require.NoError(t, b.Restore(s))
				got := b.Snapshot()
				assert.Equal(t, state, got.State)
				assert.Equal(t, s.Failures, got.Failures)
				assert.Equal(t, s.Successes, got.Successes)
				assert.Equal(t, s.RetryAfter, got.RetryAfter)
				assert.Zero(t, got.InFlight)
				switch state {
				case breaker.Closed:
					play(t, b, "FF")
					assert.Equal(t, breaker.Open, b.State())
				case breaker.Open:
					time.Sleep(18 * time.Second)
					assert.Equal(t, breaker.HalfOpen, b.State())
				case breaker.HalfOpen:
					play(t, b, "S")
					assert.Equal(t, breaker.Closed, b.State())
				}
			})
		})
	}
}

func TestRestoreRefusesOrBoundsWhatMakesNoSense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		assert.ErrorContains(t, b.Restore(breaker.Snapshot{State: breaker.Stopped}), "stopped: must be closed, open")
		assert.ErrorContains(t, b.Restore(breaker.Snapshot{State: 77}), "unknown")
		assert.ErrorContains(t, b.Restore(breaker.Snapshot{State: breaker.Open, RetryAfter: -1}), "negative")
		assert.Zero(t, b.Snapshot().Gen, "nothing has happened")

		require.NoError(t, b.Restore(breaker.Snapshot{State: breaker.Open, RetryAfter: 1 << 62}))
		assert.Equal(t, 10*reset, b.Snapshot().RetryAfter)
		require.NoError(t, b.Restore(breaker.Snapshot{State: breaker.Open}))
		synctest.Wait()
		assert.Equal(t, breaker.HalfOpen, b.State(), "its time was over")
		require.NoError(t, b.Restore(breaker.Snapshot{State: breaker.Closed, Failures: 1 << 31}))
		play(t, b, "F")
		assert.Equal(t, breaker.Open, b.State())
		require.NoError(t, b.Restore(breaker.Snapshot{State: breaker.HalfOpen, Successes: 1 << 31}))
		assert.Equal(t, breaker.HalfOpen, b.State())
		play(t, b, "S")
		assert.Equal(t, breaker.Closed, b.State())

		b.Close()
		assert.Equal(t, breaker.ErrStopped, b.Restore(breaker.Snapshot{}))
	})
	var s breaker.State
	assert.ErrorContains(t, s.UnmarshalText([]byte("ajar")), `"ajar" is no state`)
}
