package detector_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/detector"
)

const ms = time.Millisecond

func newAccrual(t testing.TB, cfg detector.Config) *detector.Accrual {
	t.Helper()
	d, err := detector.NewAccrual(cfg)
	require.NoError(t, err)
	return d
}

func beats(d detector.Detector, at ...int) {
	for _, t := range at {
		d.Heartbeat(time.Duration(t) * ms)
	}
}

// both runs a sequence with either curve.
func both(t *testing.T, cfg detector.Config, test func(t *testing.T, d *detector.Accrual, pick func(normal, logistic float64) float64)) {
	t.Run("normal", func(t *testing.T) {
		test(t, newAccrual(t, cfg), func(normal, _ float64) float64 { return normal })
	})
	cfg.Curve = detector.Logistic
	t.Run("logistic", func(t *testing.T) {
		test(t, newAccrual(t, cfg), func(_, logistic float64) float64 { return logistic })
	})
}

type pick = func(normal, logistic float64) float64

func TestSequence1NothingHeard(t *testing.T) {
	both(t, detector.Config{}, func(t *testing.T, d *detector.Accrual, _ pick) {
		for _, now := range []time.Duration{0, time.Second, 1000 * time.Hour, math.MaxInt64 - 1} {
			assert.Zero(t, d.Phi(now))
			assert.True(t, d.Available(now))
		}
		assert.False(t, d.Monitoring())
		assert.Equal(t, detector.Stats{}, d.Stats())
	})
}

func TestSequence2OneHeartbeat(t *testing.T) {
	both(t, detector.Config{}, func(t *testing.T, d *detector.Accrual, pick pick) {
		beats(d, 0)
		assert.True(t, d.Monitoring())
		assert.InDelta(t, .3, d.Phi(1000*ms), .2)
		assert.InDelta(t, pick(4.499, 4.737), d.Phi(2000*ms), 1e-3)
		assert.InDelta(t, pick(15.21, 21.24), d.Phi(3000*ms), 1e-2)
	})
}

func TestSequence3Learning(t *testing.T) {
	both(t, detector.Config{}, func(t *testing.T, d *detector.Accrual, pick pick) {
		beats(d, 0)
		assert.InDelta(t, pick(6.9e-5, 6.9e-5), d.Phi(100*ms), pick(1e-6, 1e-3))
		assert.Positive(t, d.Phi(100*ms))
		beats(d, 200)
		assert.Positive(t, d.Phi(300*ms))
		assert.InDelta(t, .0314, d.Phi(300*ms), pick(1e-4, 1e-2))
		assert.InDelta(t, 733.33, d.Stats().Mean.Seconds()*1000, .01)
		assert.InDelta(t, 428.82, d.Stats().StdDev.Seconds()*1000, .01)
	})
}

func TestSequence4AvailableThenNot(t *testing.T) {
	both(t, detector.Config{Threshold: 3}, func(t *testing.T, d *detector.Accrual, pick pick) {
		beats(d, 0, 1000, 1100)
		assert.True(t, d.Available(1200*ms))
		assert.InDelta(t, .0257, d.Phi(1200*ms), pick(1e-4, 1e-2))
		assert.False(t, d.Available(8200*ms))
		assert.InDelta(t, pick(49.0, 109.2), d.Phi(8200*ms), .1)
	})
}

func TestSequence5LongPausesAreNotLearnedFrom(t *testing.T) {
	both(t, detector.Config{AcceptablePause: 3000 * ms}, func(t *testing.T, d *detector.Accrual, pick pick) {
		now := 0
		beats(d, now)
		for range 999 {
			now += 1000
			beats(d, now)
		}
		assert.InDelta(t, 7.90, d.Stats().StdDev.Seconds()*1000, .01, "half of the first estimate is still in the window")

		sequence5(t, d, now)
		samples := d.Stats()
		assert.Equal(t, time.Second, samples.Mean, "neither pause is in it")

		d2 := newAccrual(t, d.Config())
		for i := range 1000 {
			beats(d2, i*1000)
		}
		assert.InDelta(t, pick(197.3, 848.3), d2.Phi(999*1000*ms+7000*ms), pick(.1, .5))
	})
}

// sequence5 begins with the clock at the last heartbeat.
func sequence5(t *testing.T, d detector.Detector, now int) {
	t.Helper()
	for _, step := range []struct {
		wait int
		beat bool
		want bool
	}{{300_000, false, false}, {100, true, true}, {900, false, true}, {100, true, true}, {7000, false, false}, {100, true, true},
		{900, false, true}, {100, true, true}, {900, false, true}} {
		now += step.wait
		if step.beat {
			beats(d, now)
		}
		assert.Equal(t, step.want, d.Available(time.Duration(now)*ms), "at %d, after %+v", now, step)
	}
}

func TestSequence6PauseWithinWhatIsAcceptable(t *testing.T) {
	both(t, detector.Config{AcceptablePause: 3000 * ms}, func(t *testing.T, d *detector.Accrual, _ pick) {
		beats(d, 0, 1000, 2000, 3000)
		assert.True(t, d.Available(7000*ms))
		assert.InDelta(t, .301, d.Phi(7000*ms), 1e-3)
		beats(d, 8000)
		assert.True(t, d.Available(9000*ms))
		assert.InDelta(t, 158.1, d.Stats().StdDev.Seconds()*1000, .1)
	})
}

func TestSequence7PauseBeyondWhatIsAcceptable(t *testing.T) {
	both(t, detector.Config{AcceptablePause: 3000 * ms}, func(t *testing.T, d *detector.Accrual, pick pick) {
		beats(d, 0, 1000, 2000, 3000, 4000, 5000)
		assert.True(t, d.Available(5500*ms))
		beats(d, 6000)
		assert.False(t, d.Available(11000*ms))
		assert.InDelta(t, pick(15.21, 21.24), d.Phi(11000*ms), 1e-2)
	})
}

func TestSequence8TheWindowForgets(t *testing.T) {
	both(t, detector.Config{Window: 3}, func(t *testing.T, d *detector.Accrual, _ pick) {
		beats(d, 0, 100, 200, 300)
		before := d.Phi(400 * ms)
		beats(d, 1000, 1500, 2000, 2500)
		assert.InDelta(t, .30103, before, 5e-6)
		assert.Equal(t, before, d.Phi(3000*ms))
	})
}

func TestSequence10Deadline(t *testing.T) {
	fresh := func() *detector.Deadline {
		d, err := detector.NewDeadline(time.Second, 4*time.Second)
		require.NoError(t, err)
		return d
	}
	d := fresh()
	assert.False(t, d.Monitoring())
	assert.True(t, d.Available(1000*time.Hour))
	assert.Zero(t, d.Phi(1000*time.Hour))
	beats(d, 0, 1000, 1100)
	assert.True(t, d.Monitoring())
	assert.True(t, d.Available(1200*ms))
	assert.False(t, d.Available(8200*ms))
	assert.True(t, d.Available(6100*ms-1), "last + 5000 > now")
	assert.False(t, d.Available(6100*ms))
	assert.Zero(t, d.Phi(1200*ms))
	assert.Greater(t, d.Phi(8200*ms), 1e9)
	beats(d, 500)
	assert.False(t, d.Available(6100*ms), "an older heartbeat changes nothing")

	t.Run("as 5", func(t *testing.T) {
		d := fresh()
		for i := range 1000 {
			beats(d, i*1000)
		}
		sequence5(t, d, 999_000)
	})
	t.Run("as 6", func(t *testing.T) {
		d := fresh()
		beats(d, 0, 1000, 2000, 3000)
		assert.True(t, d.Available(7000*ms))
		beats(d, 8000)
		assert.True(t, d.Available(9000*ms))
	})
}

func TestSequence11AcceptablePauseOfOneSecond(t *testing.T) {
	both(t, detector.Config{Threshold: 1, AcceptablePause: 1000 * ms, FirstEstimate: 100 * ms}, func(t *testing.T, d *detector.Accrual, _ pick) {
		beats(d, 4711)
		assert.True(t, d.Available(5211*ms))
		assert.False(t, d.Available(6711*ms))
	})
}

func TestSequence12SkippedHeartbeats(t *testing.T) {
	both(t, detector.Config{Threshold: 16, Window: 200, MinStdDev: 500 * ms, FirstEstimate: 500 * ms}, func(t *testing.T, d *detector.Accrual, pick pick) {
		for i := range 291 {
			if i > 200 && i%5 == 0 {
				assert.True(t, d.Available(time.Duration(i)*time.Second))
			} else {
				beats(d, i*1000)
			}
		}
		// The bands hold for the logistic curve only.
		bands := []struct{ above, below float64 }{{1, 3}, {3, 8}, {8, 16}, {16, 30}, {30, 50}, {50, 70}, {70, 100}, {100, math.Inf(1)}}
		for i, band := range bands {
			phi := d.Phi(time.Duration(291+i) * time.Second)
			if d.Config().Curve == detector.Logistic {
				assert.True(t, phi > band.above && phi < band.below, "phi at %d s is %v: must be within %+v", 291+i, phi, band)
			}
		}
		assert.InDelta(t, pick(14.61, 20), d.Phi(294*time.Second), pick(.01, 4))
	})
}

func TestAvailableIsPhiBelowTheThreshold(t *testing.T) {
	both(t, detector.Config{AcceptablePause: 700 * ms}, func(t *testing.T, d *detector.Accrual, _ pick) {
		now := time.Duration(0)
		for i := range 300 {
			now += time.Duration(700+(i*i*7919)%600) * ms
			d.Heartbeat(now)
			low, high := now, now+time.Hour
			for low+1 < high {
				if middle := low + (high-low)/2; d.Available(middle) {
					low = middle
				} else {
					high = middle
				}
			}
			assert.Less(t, d.Phi(low-1), 8.0, "the last available nanosecond but one")
			assert.GreaterOrEqual(t, d.Phi(high+1), 8.0)
			assert.InDelta(t, 8, d.Phi(high), 1e-6)
		}
	})
}

func TestClockThatStandsOrGoesBack(t *testing.T) {
	d := newAccrual(t, detector.Config{})
	beats(d, 1000, 2000)
	want := d.Stats()
	beats(d, 2000, 1500, 0, -5000)
	assert.Equal(t, want, d.Stats())
	assert.True(t, d.Available(-1000*time.Hour))
	assert.Zero(t, d.Phi(-1000*time.Hour))
}

func TestAnyClockReading(t *testing.T) {
	readings := []time.Duration{math.MinInt64, math.MinInt64 + 1, -1, 0, 1, time.Hour, math.MaxInt64 - 1, math.MaxInt64}
	for _, first := range readings {
		for _, second := range readings {
			d := newAccrual(t, detector.Config{Window: 2, AcceptablePause: 24 * time.Hour})
			d.Heartbeat(first)
			d.Heartbeat(second)
			for _, now := range readings {
				phi := d.Phi(now)
				require.False(t, math.IsNaN(phi) || math.IsInf(phi, 0) || phi < 0, "%v %v %v: %v", first, second, now, phi)
			}
			require.True(t, d.Monitoring())
		}
	}
}

func TestWithTheRealClockOfABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		d := newAccrual(t, detector.Config{})
		for range 20 {
			d.Heartbeat(time.Since(start))
			time.Sleep(time.Second)
		}
		assert.True(t, d.Available(time.Since(start)))
		time.Sleep(2 * time.Second)
		assert.False(t, d.Available(time.Since(start)))
		d.Heartbeat(time.Since(start))
		assert.True(t, d.Available(time.Since(start)), "back again")
	})
}

func TestManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newAccrual(t, detector.Config{})
		for g := range 4 {
			go func() {
				for i := range 2000 {
					now := time.Duration(i*4+g) * 250 * ms
					d.Heartbeat(now)
					assert.False(t, math.IsNaN(d.Phi(now)))
					_ = d.Available(now)
				}
			}()
		}
		synctest.Wait()
		assert.Equal(t, time.Duration(1999*4+3)*250*ms, d.Stats().Last)
	})
}
