package detector

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Of two who report the first sign of life of the same thing at the same time, one begins to watch it and the other is refused. If it was the other who
// found the registry empty, the sweeper wakes all the same.
func TestASweeperWakesThoughWhoWasFirstIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := 0
		r, err := NewRegistry(RegistryConfig{Subscriber: func(e Event) {
			if e.Verdict == Failed {
				failed++
			}
		}})
		require.NoError(t, err)
		clock, err := NewClock(ClockConfig{OnDemand: true})
		require.NoError(t, err)
		clock.Start()
		defer clock.Stop()
		sweeper, err := NewSweeper(r, clock, 0)
		require.NoError(t, err)
		sweeper.Start()
		defer sweeper.Stop()
		time.Sleep(time.Second) // it has fallen asleep
		r.things.Add(1)         // the one who will be refused has come as far as this
		require.NoError(t, r.Heartbeat("node", clock.Now()))
		r.things.Add(-1)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, failed)
	})
}
