package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func TestFifthFailureInARowOpensNotTheSixth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		for range threshold - 1 {
			require.ErrorIs(t, fail(b), errDown)
		}
		assert.Equal(t, breaker.Closed, b.State())
		require.ErrorIs(t, fail(b), errDown)
		assert.Equal(t, breaker.Open, b.State())
	})
}

func TestSuccessInBetweenStartsTheCountAgain(t *testing.T) {
	b := newBreaker(t, breaker.Config{})
	for range 3 {
		for range threshold - 1 {
			_ = fail(b)
		}
		require.NoError(t, succeed(b))
	}
	assert.Equal(t, breaker.Closed, b.State())
	assert.Zero(t, b.Snapshot().Failures)
	_ = fail(b)
	assert.EqualValues(t, 1, b.Snapshot().Failures)
}

func TestOpenRefusesWithoutRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Name: "llm"})
		trip(t, b)
		time.Sleep(12 * time.Second)

		ran := false
		_, err := breaker.Do(t.Context(), b, func(context.Context) (int, error) { ran = true; return 0, nil })
		assert.False(t, ran)
		require.ErrorIs(t, err, breaker.ErrOpen)
		assert.NotErrorIs(t, err, breaker.ErrHalfOpenLimit)
		assert.NotErrorIs(t, err, errDown, "the cause is told, not wrapped: it is not what happened to this call")

		var open *breaker.OpenError
		require.ErrorAs(t, err, &open)
		assert.Equal(t, "llm", open.Name)
		assert.Equal(t, breaker.Open, open.State)
		assert.EqualValues(t, 1, open.Gen)
		assert.Equal(t, errDown, open.LastErr)
		assert.Equal(t, 18*time.Second, open.RetryAfter())
		assert.Equal(t, `breaker "llm" is open, retry in 18s (opened by: connection refused)`, err.Error())

		totals := b.Snapshot().Totals
		assert.EqualValues(t, 1, totals.Rejected)
		assert.EqualValues(t, threshold, totals.Failed, "a refusal is counted as nothing else")
		time.Sleep(reset)
		assert.Zero(t, open.RetryAfter(), "reckoned when asked")
	})
}

func TestOpenBecomesHalfOpenByItself(t *testing.T) { // case 23: nobody routes calls to it any more
	synctest.Test(t, func(t *testing.T) {
		var heard log
		b := newBreaker(t, breaker.Config{OnTransition: heard.add})
		trip(t, b)
		time.Sleep(reset + time.Nanosecond)
		synctest.Wait()
		events := heard.all()
		require.Len(t, events, 2)
		assert.Equal(t, breaker.HalfOpen, events[1].To)
		assert.Equal(t, reset, events[1].At.Sub(events[0].At))
	})
}

func TestCallAtTheVeryEndOfTheResetTimeoutIsAdmitted(t *testing.T) { // case 17: now == deadline, whoever is first
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{})
			trip(t, b)
			time.Sleep(reset - time.Nanosecond)
			refusedWith(t, b, breaker.ErrOpen)
			time.Sleep(time.Nanosecond)
			acquire(t, b).Done(breaker.Success) // no Wait: the timer of this instant may not have run
		})
	}
}

// Steps of the wall clock are harmless: the times that decide are those of the monotonic clock, which Go marks by "m=".
func TestTimesAreMonotonic(t *testing.T) { // case 17
	b := newBreaker(t, breaker.Config{})
	trip(t, b)
	assert.Contains(t, refusedWith(t, b, breaker.ErrOpen).Until.String(), "m=+")
	assert.Contains(t, b.Snapshot().Since.String(), "m=+")
}

func TestTinyResetTimeout(t *testing.T) {
	for _, d := range []time.Duration{1, 2, 3, time.Microsecond, 5 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{ResetTimeout: d})
			trip(t, b)
			time.Sleep(d)
			synctest.Wait()
			assert.Equal(t, breaker.HalfOpen, b.State())
		})
	}
}

func TestCallThatFindsTheTimeOverTakesSlotOne(t *testing.T) { // case 2: no N+1
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		trip(t, b)
		time.Sleep(reset)
		for range slots {
			acquire(t, b)
		}
		refusedWith(t, b, breaker.ErrHalfOpenLimit)
		assert.EqualValues(t, slots, b.Snapshot().InFlight)
	})
}

func TestThousandCallersAtTheHalfOpenInstant(t *testing.T) { // case 18
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		trip(t, b)
		var running, refused atomic.Int32
		release := make(chan struct{})
		var done sync.WaitGroup
		for range 1000 {
			done.Go(func() {
				time.Sleep(reset) // all wake in the instant in which the timer fires
				_, err := breaker.Do(context.Background(), b, func(context.Context) (int, error) {
					running.Add(1)
					<-release
					return 0, nil
				})
				if errors.Is(err, breaker.ErrHalfOpenLimit) {
					refused.Add(1)
				}
			})
		}
		time.Sleep(reset + time.Second)
		assert.EqualValues(t, slots, running.Load())
		assert.EqualValues(t, 1000-slots, refused.Load())
		close(release)
		done.Wait()
		assert.Equal(t, breaker.Closed, b.State())
	})
}

func TestHalfOpenCounterSurvivesRefusals(t *testing.T) { // case 3: it must not wrap
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{HalfOpenLease: time.Hour})
		halfOpen(t, b)
		var taken []breaker.Permit
		for range slots {
			taken = append(taken, acquire(t, b))
		}
		for range 100 {
			refusedWith(t, b, breaker.ErrHalfOpenLimit)
		}
		taken[0].Done(breaker.Ignore)
		acquire(t, b)
		refusedWith(t, b, breaker.ErrHalfOpenLimit)
	})
}

func TestHalfOpenRefusalSaysWhenToComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Name: "llm"})
		halfOpen(t, b)
		for range slots {
			acquire(t, b)
		}
		err := refusedWith(t, b, breaker.ErrHalfOpenLimit)
		assert.NotErrorIs(t, err, breaker.ErrOpen)
		assert.Equal(t, reset/10, err.RetryAfter())
		assert.Equal(t, `breaker "llm" is half-open and all its slots are taken, retry in 3s (opened by: connection refused)`, err.Error())
	})
}

func TestTwoSuccessesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		halfOpen(t, b)
		require.NoError(t, succeed(b))
		assert.Equal(t, breaker.HalfOpen, b.State())
		assert.EqualValues(t, 1, b.Snapshot().Successes)
		require.NoError(t, succeed(b))
		assert.Equal(t, breaker.Closed, b.State())
		assert.Zero(t, b.Snapshot().Failures)
		assert.NoError(t, b.Snapshot().LastErr)
	})
}

func TestMoreSuccessesThanSlotsAreReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{HalfOpenMaxCalls: 1, SuccessThreshold: 4})
		halfOpen(t, b)
		for range 4 {
			require.Equal(t, breaker.HalfOpen, b.State())
			require.NoError(t, succeed(b))
		}
		assert.Equal(t, breaker.Closed, b.State())
	})
}

func TestOneFailureReopensForAFullResetTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		halfOpen(t, b)
		time.Sleep(7 * time.Second)
		require.NoError(t, succeed(b))
		require.ErrorIs(t, fail(b), errDown)
		assert.Equal(t, breaker.Open, b.State())
		assert.Equal(t, reset, b.Snapshot().RetryAfter)

		time.Sleep(reset)
		assert.EqualValues(t, 0, b.Snapshot().Successes, "a new half-open period starts from nothing")
		for range slots {
			acquire(t, b)
		}
		refusedWith(t, b, breaker.ErrHalfOpenLimit)
	})
}

func TestLateResultsOfTheClosedPeriodChangeNothing(t *testing.T) { // cases 4, 5 and 6
	for _, late := range []breaker.Verdict{breaker.Success, breaker.Failure, breaker.Ignore, breaker.TripFor(time.Hour)} {
		t.Run(late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, breaker.Config{})
				var old []breaker.Permit
				for range 12 {
					old = append(old, acquire(t, b))
				}
				trip(t, b)

				time.Sleep(10 * time.Second)
				for _, p := range old[:4] {
					p.Done(late)
				}
				assert.Equal(t, breaker.Open, b.State())
				assert.Equal(t, 20*time.Second, b.Snapshot().RetryAfter, "the open time is not extended")

				time.Sleep(20 * time.Second)
				for _, p := range old[4:8] {
					p.Done(late)
				}
				assert.Equal(t, breaker.HalfOpen, b.State())
				assert.Zero(t, b.Snapshot().Successes)

				_ = succeed(b)
				_ = succeed(b)
				require.Equal(t, breaker.Closed, b.State())
				for range threshold - 1 {
					_ = fail(b)
				}
				for _, p := range old[8:] {
					p.Done(late)
				}
				assert.Equal(t, breaker.Closed, b.State(), "another closed period, another count")
				assert.EqualValues(t, threshold-1, b.Snapshot().Failures)
			})
		})
	}
}

func TestProbeOfOneHalfOpenPeriodSaysNothingInTheNext(t *testing.T) { // case 7
	for _, late := range []breaker.Verdict{breaker.Success, breaker.Failure} {
		t.Run(late.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, breaker.Config{HalfOpenLease: time.Hour, SuccessThreshold: 1})
				halfOpen(t, b)
				old := acquire(t, b)
				require.ErrorIs(t, fail(b), errDown)
				time.Sleep(reset)
				require.Equal(t, breaker.HalfOpen, b.State())
				gen := b.Snapshot().Gen

				old.Done(late)
				assert.Equal(t, breaker.HalfOpen, b.State())
				assert.Equal(t, gen, b.Snapshot().Gen)
			})
		})
	}
}

func TestThirdProbeFailingAfterTwoClosedIt(t *testing.T) { // case 8
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{FailureThreshold: 1})
		halfOpen(t, b)
		p1, p2, p3 := acquire(t, b), acquire(t, b), acquire(t, b)
		p1.Done(breaker.Success)
		p2.Done(breaker.Success)
		require.Equal(t, breaker.Closed, b.State())
		p3.Done(breaker.Failure)
		assert.Equal(t, breaker.Closed, b.State())
	})
}

func TestProbeThatNeverReturnsLosesItsLease(t *testing.T) { // case 9
	synctest.Test(t, func(t *testing.T) {
		var heard log
		b := newBreaker(t, breaker.Config{HalfOpenLease: 4 * time.Second, OnTransition: heard.add})
		halfOpen(t, b)
		time.Sleep(time.Hour)
		require.Equal(t, breaker.HalfOpen, b.State(), "nobody probes: it waits")

		first := acquire(t, b)
		time.Sleep(time.Second)
		hung := acquire(t, b)
		first.Done(breaker.Success)
		time.Sleep(4*time.Second - time.Nanosecond)
		require.Equal(t, breaker.HalfOpen, b.State(), "each probe has its own lease")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, breaker.Open, b.State())

		hung.Done(breaker.Success)
		time.Sleep(reset)
		_ = succeed(b)
		_ = succeed(b)
		assert.Equal(t, breaker.Closed, b.State())
		synctest.Wait()
		requireDense(t, heard.all())
	})
}

func TestLeaseDefaults(t *testing.T) {
	withTimeout := newBreaker(t, breaker.Config{OperationTimeout: 3 * time.Second})
	assert.Equal(t, 3*time.Second, withTimeout.Config().HalfOpenLease)
	without := newBreaker(t, breaker.Config{OperationTimeout: breaker.NoTimeout, ResetTimeout: 7 * time.Second})
	assert.Equal(t, 7*time.Second, without.Config().HalfOpenLease)
}

func TestIgnoredProbeFreesItsSlotAndDoesNotClose(t *testing.T) { // case 13
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		halfOpen(t, b)
		for range 10 * slots {
			acquire(t, b).Done(breaker.Ignore)
		}
		assert.Equal(t, breaker.HalfOpen, b.State())
		assert.Zero(t, b.Snapshot().InFlight)
		assert.Zero(t, b.Snapshot().Successes)
	})
}

func TestPermitDoneTwiceOrNever(t *testing.T) { // case 21
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		halfOpen(t, b)
		p := acquire(t, b)
		again := p
		p.Done(breaker.Success)
		again.Done(breaker.Success)
		p.Done(breaker.Failure)
		assert.Equal(t, breaker.HalfOpen, b.State(), "one slot, one verdict")
		assert.EqualValues(t, 1, b.Snapshot().Successes)
		assert.EqualValues(t, 1, b.Snapshot().Totals.Succeeded)

		breaker.Permit{}.Done(breaker.Failure)
		breaker.Permit{}.DoneErr(errDown)

		acquire(t, b) // never done: the lease sees to it
		time.Sleep(opTimeout)
		synctest.Wait()
		assert.Equal(t, breaker.Open, b.State())
	})
}

func TestTripForOpensAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := errors.New("429")
		b := newBreaker(t, breaker.Config{Classify: func(err error) breaker.Verdict {
			if errors.Is(err, busy) {
				return breaker.TripFor(90 * time.Second)
			}
			return breaker.Failure
		}})
		throttled := func() error {
			_, err := breaker.Do(t.Context(), b, func(context.Context) (int, error) { return 0, busy })
			return err
		}
		require.ErrorIs(t, throttled(), busy)
		err := refusedWith(t, b, breaker.ErrOpen)
		assert.Equal(t, 90*time.Second, err.RetryAfter())
		assert.Equal(t, busy, err.LastErr)

		time.Sleep(90 * time.Second)
		require.ErrorIs(t, throttled(), busy, "half-open: admitted")
		assert.Equal(t, 90*time.Second, b.Snapshot().RetryAfter)
	})
}

func TestTripForIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		acquire(t, b).Done(breaker.TripFor(365 * 24 * time.Hour))
		assert.Equal(t, 10*reset, b.Snapshot().RetryAfter)
	})
	assert.Equal(t, breaker.Failure, breaker.TripFor(0))
	assert.Equal(t, breaker.Failure, breaker.TripFor(-time.Second))
}

func TestCloseWithCallsInFlight(t *testing.T) { // case 22, as far as this breaker can be moved by hand
	synctest.Test(t, func(t *testing.T) {
		var heard log
		b := newBreaker(t, breaker.Config{FailureThreshold: 1, OnTransition: heard.add})
		inFlight := acquire(t, b)
		b.Close()
		b.Close()
		_, err := b.Acquire()
		assert.ErrorIs(t, err, breaker.ErrStopped)
		inFlight.Done(breaker.Failure)
		time.Sleep(time.Hour)
		assert.Equal(t, breaker.Stopped, b.State())
		events := heard.all()
		require.Len(t, events, 1)
		assert.Equal(t, breaker.Stopped, events[0].To)
	})
}

func TestCloseEndsTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard log
		b := newBreaker(t, breaker.Config{OnTransition: heard.add})
		trip(t, b)
		b.Close()
		time.Sleep(time.Hour)
		assert.Len(t, heard.all(), 2, "open, stopped, and nothing after that")
	})
}

func TestFiftySimultaneousTimeouts(t *testing.T) { // case 16: one trip, one event
	synctest.Test(t, func(t *testing.T) {
		var heard log
		b := newBreaker(t, breaker.Config{OnTransition: heard.add})
		var done sync.WaitGroup
		for range 50 {
			done.Go(func() {
				_, err := breaker.Do(context.Background(), b, func(ctx context.Context) (int, error) {
					<-ctx.Done()
					return 0, ctx.Err()
				})
				assert.ErrorIs(t, err, breaker.ErrTimeout)
			})
		}
		done.Wait()
		synctest.Wait()
		require.Len(t, heard.all(), 1)
		assert.EqualValues(t, 50, b.Snapshot().Totals.TimedOut)
		assert.EqualValues(t, 50, b.Snapshot().Totals.Failed)
		assert.EqualValues(t, 1, b.Snapshot().Totals.Opened)
	})
}

func TestRetrySevenTimesOverThresholdThree(t *testing.T) { // three runs, then refusals
	b := newBreaker(t, breaker.Config{FailureThreshold: 3})
	runs := 0
	for range 7 {
		_, _ = breaker.Do(t.Context(), b, func(context.Context) (int, error) { runs++; return 0, errDown })
	}
	assert.Equal(t, 3, runs)
	assert.EqualValues(t, 4, b.Snapshot().Totals.Rejected)
}

func TestStateNames(t *testing.T) {
	assert.Equal(t, "closed open half-open stopped unknown",
		fmt.Sprint(breaker.Closed, breaker.Open, breaker.HalfOpen, breaker.Stopped, breaker.State(9)))
	assert.Equal(t, "success failure ignore trip for 1m0s",
		fmt.Sprint(breaker.Success, breaker.Failure, breaker.Ignore, breaker.TripFor(time.Minute)))
}
