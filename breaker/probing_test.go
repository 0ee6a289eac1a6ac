package breaker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/mistersmith/mistersmith/breaker"
)

func TestProbeClosesTheBreakerWithoutACall(t *testing.T) { // case 23: nobody routes calls to it any more
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		var asked atomic.Int32
		var heard log
		b := newBreaker(t, breaker.Config{OnTransition: heard.add, Probe: func(context.Context) error {
			asked.Add(1)
			if !up.Load() {
				return errDown
			}
			return nil
		}})
		trip(t, b)
		time.Sleep(3*reset + time.Second)
		synctest.Wait()
		assert.Equal(t, breaker.Open, b.State(), "still down")
		assert.EqualValues(t, 3, asked.Load(), "once a half-open period")
		up.Store(true)
		time.Sleep(reset)
		synctest.Wait()
		assert.Equal(t, breaker.Closed, b.State())
		assert.EqualValues(t, 3+toClose, asked.Load())
		requireDense(t, heard.all())
	})
}

func TestProbeThatIsDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{MaxInFlight: 3, Probe: func(context.Context) error { time.Sleep(24 * time.Hour); return nil }})
		trip(t, b)
		time.Sleep(10 * (reset + opTimeout))
		assert.LessOrEqual(t, b.Snapshot().Detached.Orphans, 3, "bounded")
		assert.Positive(t, b.Snapshot().Detached.Orphans)
		b.Close()
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		assert.Zero(t, b.Snapshot().Detached)
	})
}

func TestCloseEndsAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended error
		b := newBreaker(t, breaker.Config{OperationTimeout: breaker.NoTimeout, Probe: func(ctx context.Context) error {
			<-ctx.Done()
			ended = ctx.Err()
			return ended
		}})
		halfOpen(t, b)
		synctest.Wait()
		assert.EqualValues(t, 1, b.Snapshot().InFlight)
		b.Close()
		synctest.Wait()
		assert.Equal(t, context.Canceled, ended)
	})
}

func TestProbeLeavesTheOtherSlotsToCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Probe: func(context.Context) error { time.Sleep(time.Second); return nil }})
		halfOpen(t, b)
		synctest.Wait()
		play(t, b, "SS")
		assert.Equal(t, breaker.Closed, b.State(), "calls were quicker")
		time.Sleep(time.Minute)
		assert.Equal(t, breaker.Closed, b.State())
	})
}
