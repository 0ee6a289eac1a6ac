package breaker_test

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

// cycle goes once through open, half-open and closed.
func cycle(t testing.TB, b *breaker.Breaker) {
	t.Helper()
	halfOpen(t, b)
	require.NoError(t, succeed(b))
	require.NoError(t, succeed(b))
	require.Equal(t, breaker.Closed, b.State())
}

func TestTransitionsAreDenseAndInOrder(t *testing.T) { // case 12
	synctest.Test(t, func(t *testing.T) {
		var configured, observed log
		b := newBreaker(t, breaker.Config{Name: "llm", OnTransition: configured.add})
		cancel := b.Observe(observed.add)
		for range 20 {
			cycle(t, b)
		}
		synctest.Wait()
		events := configured.all()
		require.Len(t, events, 60)
		requireDense(t, events)
		assert.Equal(t, events, observed.all())

		first := events[0]
		assert.Equal(t, "llm", first.Name)
		assert.Equal(t, errDown, first.Cause)
		assert.Equal(t, reset, first.OpenFor)
		assert.EqualValues(t, threshold, first.Totals.Failed)
		assert.EqualValues(t, 1, first.Totals.Opened)
		assert.NoError(t, events[2].Cause)

		cancel()
		cancel()
		cycle(t, b)
		synctest.Wait()
		assert.Len(t, observed.all(), 60, "cancelled")
		assert.Len(t, configured.all(), 63)
	})
}

func TestObserverThatPanicsOrLeaves(t *testing.T) { // case 12
	synctest.Test(t, func(t *testing.T) {
		var good, bad log
		b := newBreaker(t, breaker.Config{OnTransition: good.add})
		b.Observe(func(tr breaker.Transition) {
			bad.add(tr)
			switch tr.To {
			case breaker.Open:
				panic("no")
			case breaker.HalfOpen:
				runtime.Goexit()
			}
		})
		cycle(t, b)
		cycle(t, b)
		synctest.Wait()
		assert.Equal(t, good.all(), bad.all(), "each event once, whatever became of the one before")
		assert.EqualValues(t, 2, b.Snapshot().Totals.Panics)
	})
}

func TestObserverThatBlocksHoldsUpItselfAlone(t *testing.T) { // case 12
	synctest.Test(t, func(t *testing.T) {
		var good, slow log
		release := make(chan struct{})
		b := newBreaker(t, breaker.Config{OnTransition: good.add})
		b.Observe(func(tr breaker.Transition) { <-release; slow.add(tr) })
		start := time.Now()
		for range 10 {
			cycle(t, b)
		}
		assert.Equal(t, 10*reset, time.Since(start), "no caller waited")
		synctest.Wait()
		assert.Len(t, good.all(), 30)
		assert.Empty(t, slow.all())
		close(release)
		synctest.Wait()
		assert.Equal(t, good.all(), slow.all())
	})
}

func TestObserverThatIsFarBehindLosesTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard log
		release := make(chan struct{})
		b := newBreaker(t, breaker.Config{FailureThreshold: 1, SuccessThreshold: 1})
		b.Observe(func(tr breaker.Transition) { <-release; heard.add(tr) })
		for range 400 {
			halfOpen(t, b)
			require.NoError(t, succeed(b))
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		events := heard.all()
		missed := b.Snapshot().Totals.Missed
		assert.Positive(t, missed)
		assert.EqualValues(t, 1200, uint64(len(events))+missed)
		assert.EqualValues(t, 1200, events[len(events)-1].Gen, "the present state is always heard of")
	})
}

func TestObserverThatCallsBack(t *testing.T) { // case 12
	synctest.Test(t, func(t *testing.T) {
		var b *breaker.Breaker
		var seen []breaker.State
		b = newBreaker(t, breaker.Config{OnTransition: func(tr breaker.Transition) {
			seen = append(seen, b.State())
			_ = b.Snapshot()
			if p, err := b.Acquire(); err == nil {
				p.Done(breaker.Success) // from inside half-open's own event: drives the machine on
			}
			b.Observe(func(breaker.Transition) {})()
		}})
		halfOpen(t, b)
		synctest.Wait()
		require.NoError(t, succeed(b))
		synctest.Wait()
		assert.Equal(t, []breaker.State{breaker.Open, breaker.HalfOpen, breaker.Closed}, seen)
	})
}
