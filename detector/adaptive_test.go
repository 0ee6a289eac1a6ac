package detector_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/detector"
)

func newAdaptive(t testing.TB, cfg detector.AdaptiveConfig) *detector.Adaptive {
	t.Helper()
	d, err := detector.NewAdaptive(cfg)
	require.NoError(t, err)
	return d
}

// regular makes n heartbeats, each so long after the one before, give or take a tenth, and returns the clock reading of the last.
func regular(d *detector.Adaptive, now time.Duration, n int, interval time.Duration) time.Duration {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	for range n {
		now += time.Duration(float64(interval) * (0.95 + 0.1*r.Float64()))
		d.Heartbeat(now)
	}
	return now
}

// patience is how long after now the detector gives up.
func patience(d detector.Detector, now time.Duration) time.Duration { return d.AvailableUntil() - now }

func TestAdaptiveDefaults(t *testing.T) {
	assert.Equal(t, detector.AdaptiveConfig{
		Threshold: 8, Interval: time.Second, MinStdDev: 100 * ms, Pause: 3 * time.Second, MinPause: time.Second, MaxPause: 10 * time.Second,
		MistakeEvery: 24 * time.Hour, MaxLateness: 14 * time.Second, Curve: detector.Normal,
	}, newAdaptive(t, detector.AdaptiveConfig{}).Config())
	fixed := newAdaptive(t, detector.AdaptiveConfig{Pause: detector.NoPause}).Config()
	assert.Equal(t, detector.NoPause, fixed.MinPause)
	assert.Equal(t, detector.NoPause, fixed.MaxPause)
	long := newAdaptive(t, detector.AdaptiveConfig{Interval: time.Minute, Pause: time.Hour}).Config()
	assert.Equal(t, time.Minute, long.MinPause)
	assert.Equal(t, time.Hour, long.MaxPause)
	assert.Equal(t, time.Hour+4*time.Minute, long.MaxLateness)
}

func TestInvalidAdaptiveConfigIsRefused(t *testing.T) {
	for want, cfg := range map[string]detector.AdaptiveConfig{
		"Threshold is -1: must be between 0 (default) and 1000":                       {Threshold: -1},
		"Interval is -1ns: must be between 0 (default) and 24h0m0s":                   {Interval: -1},
		"MinStdDev is -1s: must be between 0 (default) and 24h0m0s":                   {MinStdDev: -time.Second},
		"Pause is -2ns: must be between 0 (default) and 24h0m0s":                      {Pause: -2},
		"MinPause is 2s: must be at most Pause, 1s":                                   {Pause: time.Second, MinPause: 2 * time.Second},
		"MaxPause is 1s: must be at least Pause, 2s":                                  {Pause: 2 * time.Second, MaxPause: time.Second},
		"MistakeEvery is 1ns: must be 0 (default), or between 1s and 10000h0m0s":      {MistakeEvery: 1},
		"MaxLateness is -1ns: must be between 0 (default) and 1000h0m0s":              {MaxLateness: -1},
		"Curve is 3: must be Normal or Logistic":                                      {Curve: 3},
		"Threshold is NaN: must be between 0 (default) and 1000\nMistakeEvery is -1s": {Threshold: math.NaN(), MistakeEvery: -time.Second},
	} {
		t.Run(want, func(t *testing.T) {
			d, err := detector.NewAdaptive(cfg)
			assert.Nil(t, d)
			assert.ErrorContains(t, err, want)
			running := newAdaptive(t, detector.AdaptiveConfig{})
			assert.ErrorContains(t, running.Configure(cfg), want)
			assert.Equal(t, time.Second, running.Config().Interval)
		})
	}
}

// The sequences of the original detector's specification hold where they don't speak of a window.
func TestAdaptiveSequences(t *testing.T) {
	without := detector.AdaptiveConfig{Pause: detector.NoPause}
	paused := detector.AdaptiveConfig{Pause: 3 * time.Second, MinPause: 3 * time.Second, MaxPause: 3 * time.Second}
	t.Run("1", func(t *testing.T) {
		d := newAdaptive(t, without)
		for _, now := range []time.Duration{0, time.Second, 1000 * time.Hour, math.MaxInt64 - 1} {
			assert.Zero(t, d.Phi(now))
			assert.True(t, d.Available(now))
		}
		assert.False(t, d.Monitoring())
		assert.Zero(t, d.Stats())
	})
	t.Run("2", func(t *testing.T) {
		d := newAdaptive(t, without)
		beats(d, 0)
		assert.True(t, d.Monitoring())
		assert.InDelta(t, .30103, d.Phi(1000*ms), 1e-5)
		assert.InDelta(t, 4.499, d.Phi(2000*ms), 1e-3)
		assert.InDelta(t, 15.21, d.Phi(3000*ms), 1e-2)
	})
	t.Run("3", func(t *testing.T) {
		d := newAdaptive(t, without)
		beats(d, 0)
		assert.Positive(t, d.Phi(100*ms))
		beats(d, 200)
		assert.Positive(t, d.Phi(300*ms))
	})
	t.Run("4", func(t *testing.T) {
		d := newAdaptive(t, detector.AdaptiveConfig{Threshold: 3, Pause: detector.NoPause})
		beats(d, 0, 1000, 1100)
		assert.True(t, d.Available(1200*ms))
		assert.False(t, d.Available(8200*ms))
	})
	t.Run("5", func(t *testing.T) {
		d := newAdaptive(t, paused)
		for i := range 1000 {
			beats(d, i*1000)
		}
		sequence5(t, d, 999_000)
	})
	t.Run("6", func(t *testing.T) {
		d := newAdaptive(t, paused)
		beats(d, 0, 1000, 2000, 3000)
		assert.True(t, d.Available(7000*ms))
		beats(d, 8000)
		assert.True(t, d.Available(9000*ms))
	})
	t.Run("7", func(t *testing.T) {
		d := newAdaptive(t, paused)
		beats(d, 0, 1000, 2000, 3000, 4000, 5000)
		assert.True(t, d.Available(5500*ms))
		beats(d, 6000)
		assert.False(t, d.Available(11000*ms))
	})
	t.Run("8", func(t *testing.T) {
		d := newAdaptive(t, without)
		now := regular(d, regular(d, 0, 1000, 100*ms), 3000, 500*ms)
		assert.InDelta(t, .30103, d.Phi(now+d.Stats().Mean), 1e-6, "it has forgotten")
		assert.InDelta(t, 500*ms, d.Stats().Mean, float64(15*ms))
	})
}

func TestAnOutlierDoesNotMakeItBlind(t *testing.T) {
	d := newAdaptive(t, detector.AdaptiveConfig{Pause: detector.NoPause})
	now := regular(d, 0, 2000, time.Second)
	before := patience(d, now)
	now += time.Minute
	d.Heartbeat(now)
	assert.Less(t, patience(d, now), before+before/2)
	now = regular(d, now, 100, time.Second)
	assert.InDelta(t, before, patience(d, now), float64(50*ms))
}

func TestAChangeOfRhythmIsFollowedAfterEightHeartbeats(t *testing.T) {
	for _, to := range []time.Duration{100 * ms, 5 * time.Second} {
		d := newAdaptive(t, detector.AdaptiveConfig{Pause: detector.NoPause, MaxLateness: time.Hour})
		now := regular(d, 0, 2000, time.Second)
		for range 8 {
			now += to
			d.Heartbeat(now)
		}
		assert.InDelta(t, to, d.Stats().Mean, float64(10*ms))
		now = regular(d, now, 300, to)
		assert.InDelta(t, to, d.Stats().Mean, float64(to/20))
		assert.Less(t, patience(d, now), 2*to+600*ms)
	}
}

func TestASenderThatDeclaresItsPeriodIsNeverSurprising(t *testing.T) {
	d := newAdaptive(t, detector.AdaptiveConfig{Pause: detector.NoPause, MinStdDev: 20 * ms})
	periods := []time.Duration{100 * ms, 200 * ms, 400 * ms, 10 * time.Second, 50 * ms}
	now := time.Duration(0)
	for i := range 3000 {
		period := periods[i/7%len(periods)]
		d.HeartbeatEvery(now, period)
		require.InDelta(t, period, d.Stats().Mean, float64(5*ms), "beat %d", i)
		if i > 500 {
			require.InDelta(t, period+112*ms, patience(d, now), float64(60*ms))
		}
		now += period
	}
}

func TestLatenessHasALimit(t *testing.T) {
	d := newAdaptive(t, detector.AdaptiveConfig{MaxLateness: 2 * time.Second})
	now := regular(d, 0, 100, time.Second)
	assert.InDelta(t, 3*time.Second, patience(d, now), 2)
	assert.GreaterOrEqual(t, d.Phi(now+3*time.Second+1), 8.0)
	assert.Less(t, d.Phi(now+3*time.Second-1), 8.0)
	d.HeartbeatEvery(now+1, time.Minute)
	assert.InDelta(t, 62*time.Second, patience(d, now+1), float64(5*time.Microsecond), "a period is kept to 24 bits")
}

// Mistakes are made as often as the user says they may be.
func TestThePauseSettlesWhereMistakesAreAsRareAsWanted(t *testing.T) {
	for _, every := range []time.Duration{5 * time.Minute, 20 * time.Minute} {
		r := rand.New(rand.NewPCG(3, uint64(every)))
		d := newAdaptive(t, detector.AdaptiveConfig{MistakeEvery: every, MinPause: 10 * ms, MaxPause: time.Hour, MaxLateness: 2 * time.Hour})
		mistakes, now, settled := 0, time.Duration(0), 150*every
		for now < 2*settled {
			now += time.Second + time.Duration(r.NormFloat64()*float64(20*ms))
			if r.IntN(200) == 0 {
				now += time.Duration(r.ExpFloat64() * float64(2*time.Second)) // a pause, every 200 s
			}
			if !d.Available(now) && now > settled {
				mistakes++
			}
			d.Heartbeat(now)
		}
		assert.InDelta(t, 150, mistakes, 40, "one in %v", every)
	}
}

func TestSuspensionCostsNoPause(t *testing.T) {
	d := newAdaptive(t, detector.AdaptiveConfig{MistakeEvery: time.Hour})
	now := regular(d, 0, 100, time.Second)
	want := d.Stats()
	d.Suspend()
	assert.True(t, d.Stats().Suspended)
	d.Heartbeat(now + time.Second)
	now += 1000 * time.Hour
	assert.True(t, d.Available(now))
	assert.Zero(t, d.Phi(now))
	d.Resume(now)
	assert.InDelta(t, want.Pause, d.Stats().Pause, float64(time.Microsecond))
	want.Last, want.Pause = now, d.Stats().Pause
	assert.Equal(t, want, d.Stats())
	d.Resume(now + time.Hour)
	assert.Equal(t, want, d.Stats(), "it isn't suspended")
	silent := newAdaptive(t, detector.AdaptiveConfig{})
	silent.Suspend()
	silent.Resume(now)
	assert.False(t, silent.Monitoring(), "nothing has been heard yet")
	assert.True(t, silent.Available(now+time.Hour))
}

func TestConfigureJudgesTheSilenceAnew(t *testing.T) {
	d := newAdaptive(t, detector.AdaptiveConfig{Pause: detector.NoPause})
	now := regular(d, 0, 2000, time.Second)
	before := patience(d, now)
	require.NoError(t, d.Configure(detector.AdaptiveConfig{Pause: detector.NoPause, Threshold: 16}))
	assert.Equal(t, 16.0, d.Config().Threshold)
	assert.InDelta(t, 261.01*float64(ms), patience(d, now)-before, float64(ms))
	require.NoError(t, d.Configure(detector.AdaptiveConfig{Pause: 2 * time.Second, MinPause: 2 * time.Second, MaxPause: 2 * time.Second}))
	assert.InDelta(t, 2*time.Second, patience(d, now)-before, float64(ms))
	require.NoError(t, d.Configure(detector.AdaptiveConfig{Pause: detector.NoPause, Interval: 3 * time.Second, MinStdDev: 100 * ms}))
	assert.InDelta(t, 2*time.Second, patience(d, now)-before, float64(ms), "the sender is expected to beat every 3 s from now on")
}

// Silence makes phi rise, whatever has been heard before; and availability is phi below the threshold.
func TestPhiRisesWhileTheSilenceLasts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threshold := rapid.Float64Range(.5, 20).Draw(t, "threshold")
		curve := rapid.SampledFrom([]detector.Curve{detector.Normal, detector.Logistic}).Draw(t, "curve")
		adaptive, err := detector.NewAdaptive(detector.AdaptiveConfig{Threshold: threshold, Curve: curve})
		require.NoError(t, err)
		window, err := detector.NewAccrual(detector.Config{Threshold: threshold, Curve: curve, Window: 20})
		require.NoError(t, err)
		deadline, err := detector.NewDeadline(time.Second, time.Second)
		require.NoError(t, err)
		interval := rapid.OneOf(rapid.Int64Range(0, int64(3*time.Second)), rapid.Int64Range(0, int64(time.Hour)), rapid.Int64Range(9e8, 11e8))
		now := time.Duration(0)
		for _, d := range rapid.SliceOfN(interval, 1, 60).Draw(t, "beats") {
			now += time.Duration(d)
			adaptive.Heartbeat(now)
			window.Heartbeat(now)
			deadline.Heartbeat(now)
		}
		silences := rapid.SliceOfN(interval, 1, 60).Draw(t, "silences")
		for _, d := range []detector.Detector{adaptive, window, deadline} {
			at, last := now, d.Phi(now)
			if until := d.AvailableUntil(); d.Available(until) || !d.Available(until-1) {
				t.Fatalf("%T: available until %v", d, until)
			}
			for _, s := range silences {
				at += time.Duration(s)
				phi := d.Phi(at)
				if phi < last || math.IsNaN(phi) || math.IsInf(phi, 0) {
					t.Fatalf("%T: phi was %v, and is %v at %v", d, last, phi, at)
				}
				if (phi < threshold) != d.Available(at) && math.Abs(phi-threshold) > 1e-6 {
					t.Fatalf("%T: phi %v, available %v", d, phi, d.Available(at))
				}
				last = phi
			}
		}
	})
}

// Whatever the readings and periods, the figures stay finite and within their bounds.
func FuzzAdaptive(f *testing.F) {
	f.Add(int64(0), int64(1e9), int64(2e9), int64(0), int64(1e9), uint8(3))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), int64(-1), int64(math.MaxInt64), int64(math.MinInt64), uint8(255))
	f.Fuzz(func(t *testing.T, a, b, step, period, query int64, n uint8) {
		d := newAdaptive(t, detector.AdaptiveConfig{})
		d.Heartbeat(time.Duration(a))
		d.HeartbeatEvery(time.Duration(b), time.Duration(period))
		for i := range int64(n) {
			d.HeartbeatEvery(time.Duration(b+(i+1)*step), time.Duration(period))
			if i == 100 {
				d.Suspend()
				d.Resume(time.Duration(query))
			}
		}
		cfg, s := d.Config(), d.Stats()
		if s.Pause < cfg.MinPause-1 || s.Pause > cfg.MaxPause+1 || s.StdDev < cfg.MinStdDev-1 || s.Heartbeats < 1 {
			t.Fatalf("%+v", s)
		}
		for _, now := range []int64{a, b, step, period, query, math.MinInt64, math.MaxInt64} {
			if phi := d.Phi(time.Duration(now)); math.IsNaN(phi) || math.IsInf(phi, 0) || phi < 0 {
				t.Fatalf("phi %v at %v", phi, now)
			}
		}
	})
}
