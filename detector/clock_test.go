package detector_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/detector"
)

func newClock(t testing.TB, cfg detector.ClockConfig) *detector.Clock {
	t.Helper()
	c, err := detector.NewClock(cfg)
	require.NoError(t, err)
	return c
}

func TestTheClockFollowsRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(t, detector.ClockConfig{})
		assert.Zero(t, c.Now())
		c.Start()
		c.Start()
		defer c.Stop()
		time.Sleep(time.Minute + ms)
		synctest.Wait()
		assert.Equal(t, time.Minute, c.Now())
		assert.Zero(t, c.Lag())
	})
}

func TestAStoppedClockStandsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(t, detector.ClockConfig{})
		c.Stop()
		for i := range 3 {
			c.Start()
			time.Sleep(time.Second + ms)
			c.Stop()
			assert.Equal(t, time.Duration(i+1)*time.Second, c.Now())
			c.Stop()
			time.Sleep(time.Hour)
		}
	})
}

func TestTheClockLeavesOutStalls(t *testing.T) {
	c := newClock(t, detector.ClockConfig{})
	c.Tick(25 * ms)
	assert.Equal(t, 25*ms, c.Now(), "within MaxStep")
	c.Tick(1025 * ms)
	assert.Equal(t, 50*ms, c.Now())
	assert.Equal(t, 975*ms, c.Lag())
	c.Tick(1000 * ms)
	assert.Equal(t, 50*ms, c.Now(), "a clock that goes back is ignored")
	c.Tick(1045 * ms)
	assert.Equal(t, 70*ms, c.Now())
	assert.Equal(t, 973*ms, c.Lag(), "a tenth of the time is forgiven")
	c.Tick(1045*ms + time.Hour)
	assert.Equal(t, 95*ms, c.Now(), "as when the machine was asleep")
	assert.Equal(t, time.Minute, c.Lag())
	c.Tick(2045*ms + time.Hour)
	assert.Equal(t, 1095*ms, c.Now(), "the allowance is spent")
}

// A process that never gets enough of the processor: its clock is slow at first, and then as fast as real time, so that a crash is seen
// within the ceiling.
func TestStarvationCannotHideACrashForEver(t *testing.T) {
	for _, late := range []time.Duration{100 * ms, time.Second} {
		c := newClock(t, detector.ClockConfig{MaxLag: 10 * time.Second})
		d, err := detector.NewAdaptive(detector.AdaptiveConfig{})
		require.NoError(t, err)
		real := time.Duration(0)
		for range 50 {
			for range 200 {
				real += 5 * ms
				c.Tick(real)
			}
			d.Heartbeat(c.Now())
		}
		crash, patience := real, time.Duration(0)
		for limit := c.Now(); d.Available(limit); limit += ms {
			patience += ms
		}
		for d.Available(c.Now()) {
			real += late
			c.Tick(real)
		}
		took := real - crash
		assert.Greater(t, took, patience+3*time.Second, "late by %v: it does leave something out", late)
		assert.LessOrEqual(t, took, (patience+10*time.Second)*10/9+2*late, "late by %v", late)
	}
}

func TestTheClockKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := detector.ClockConfig{
			Tick:   5 * ms,
			MaxLag: time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "lag")),
		}
		c, err := detector.NewClock(cfg)
		require.NoError(t, err)
		real, worst := time.Duration(0), time.Duration(0)
		step := rapid.OneOf(rapid.Int64Range(0, int64(50*ms)), rapid.Int64Range(0, int64(20*time.Second)))
		for _, d := range rapid.SliceOfN(step, 1, 300).Draw(t, "steps") {
			before := c.Now()
			real += time.Duration(d)
			worst = max(worst, time.Duration(d))
			c.Tick(real)
			if c.Now() < before || c.Now()-before > time.Duration(d) {
				t.Fatalf("moved from %v to %v in %v", before, c.Now(), time.Duration(d))
			}
			if d <= int64(25*ms) && c.Now()-before != time.Duration(d) {
				t.Fatalf("left something out of %v", time.Duration(d))
			}
			if least := real*9/10 - cfg.MaxLag - worst; c.Now() < least && worst <= cfg.MaxLag {
				t.Fatalf("at %v after %v: must be at least %v", c.Now(), real, least)
			}
			if c.Lag() > 2*cfg.MaxLag {
				t.Fatalf("lag %v", c.Lag())
			}
		}
	})
}

func TestAClockDrivenByHandLeavesOutWhatNobodyWantedToKnow(t *testing.T) {
	c := newClock(t, detector.ClockConfig{Tick: time.Second, MaxStep: 2 * time.Second})
	c.Tick(time.Second)
	c.Tick(time.Minute)
	require.Equal(t, 3*time.Second, c.Now())
	require.Equal(t, 57*time.Second, c.Lag())
	c.Skip(time.Hour)
	require.Equal(t, 3*time.Second, c.Now())
	require.Zero(t, c.Lag())
	c.Skip(time.Minute) // is over
	c.Tick(time.Hour + time.Second)
	require.Equal(t, 4*time.Second, c.Now())
}

func TestAClockOnDemandSleepsWhileNobodyHoldsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(t, detector.ClockConfig{OnDemand: true})
		c.Start()
		defer c.Stop()
		time.Sleep(1000 * time.Hour) // would take minutes if it ticked
		synctest.Wait()
		start := c.Now()
		assert.Less(t, start, time.Second)
		c.Hold()
		c.Hold()
		c.Release()
		time.Sleep(time.Second + ms)
		synctest.Wait()
		assert.Equal(t, time.Second, c.Now()-start, "the time asleep is left out, and is no lag")
		assert.Zero(t, c.Lag())
		c.Release()
		time.Sleep(1000 * time.Hour)
		assert.Less(t, c.Now()-start, 2*time.Second)
		assert.Panics(t, c.Release)
	})
}

func TestInvalidClocksAreRefused(t *testing.T) {
	_, err := detector.NewClock(detector.ClockConfig{Tick: 1, MaxStep: 1, MaxLag: -1})
	assert.ErrorContains(t, err, "Tick is 1ns: must be 0 (default), or between 100µs and 10s")
	assert.ErrorContains(t, err, "MaxLag is -1ns")
	_, err = detector.NewClock(detector.ClockConfig{MaxStep: ms})
	assert.ErrorContains(t, err, "MaxStep is 1ms: must be 0 (default), or between Tick, 5ms, and 24h0m0s")
	assert.Equal(t, detector.ClockConfig{Tick: 5 * ms, MaxStep: 25 * ms, MaxLag: 30 * time.Second}, newClock(t, detector.ClockConfig{}).Config())
}

func TestStamps(t *testing.T) {
	var s detector.Stamp
	assert.Zero(t, s.Last())
	s.Touch(5)
	s.Touch(5)
	assert.Equal(t, time.Duration(5), s.Last())
	s.Touch(7)
	assert.Equal(t, time.Duration(7), s.Last())
}

func TestASweeperTellsWhatHappens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan detector.Event, 10)
		r, err := detector.NewRegistry(detector.RegistryConfig{Default: steady, Subscriber: func(e detector.Event) { events <- e }})
		require.NoError(t, err)
		c := newClock(t, detector.ClockConfig{OnDemand: true})
		s, err := detector.NewSweeper(r, c, 0)
		require.NoError(t, err)
		c.Start()
		s.Start()
		s.Start()
		defer c.Stop()
		time.Sleep(1000 * time.Hour) // nothing is watched: nothing wakes up

		w, err := r.Watch(c.Now(), detector.Thing{Name: "a"})
		require.NoError(t, err)
		for range 30 {
			time.Sleep(time.Second)
			w.Beat(c.Now())
		}
		synctest.Wait()
		assert.Empty(t, events)
		start := time.Now()
		assert.Equal(t, detector.Suspected, (<-events).Verdict)
		assert.Equal(t, detector.Failed, (<-events).Verdict)
		assert.InDelta(t, 1.6, time.Since(start).Seconds(), .15)
		w.Close()
		time.Sleep(1000 * time.Hour)
		s.Stop()
		s.Stop()
		s.Start()
		s.Stop()
		time.Sleep(1000 * time.Hour)
	})
}

func TestASubscriberThatBlocksHoldsUpNoClockAndNoHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told atomic.Int32
		release := make(chan struct{})
		r, err := detector.NewRegistry(detector.RegistryConfig{Default: steady, Subscriber: func(detector.Event) {
			told.Add(1)
			<-release
		}})
		require.NoError(t, err)
		c := newClock(t, detector.ClockConfig{})
		s, err := detector.NewSweeper(r, c, 0)
		require.NoError(t, err)
		c.Start()
		s.Start()
		defer c.Stop()
		defer s.Stop()
		w, err := r.Watch(c.Now(), detector.Thing{Name: "a", First: time.Second})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, int32(1), told.Load())
		assert.InDelta(t, time.Minute, c.Now(), float64(5*ms))
		w.Beat(c.Now())
		_, err = r.Watch(c.Now(), detector.Thing{Name: "b"})
		require.NoError(t, err)
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, int32(2), told.Load(), "suspected, healthy: it was not seen in between")
	})
}

func TestInvalidSweepersAreRefused(t *testing.T) {
	r, err := detector.NewRegistry(detector.RegistryConfig{})
	require.NoError(t, err)
	_, err = detector.NewSweeper(r, newClock(t, detector.ClockConfig{}), -1)
	assert.ErrorContains(t, err, "sweeping every -1ns: must be 0 (default), or between 1ms and 24h")
}
