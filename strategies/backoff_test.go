package strategies_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/strategies"
)

const ms = time.Millisecond

func TestDelay(t *testing.T) {
	tests := []struct {
		name    string
		backoff strategies.Backoff
		random  float64
		want    []time.Duration // of attempts 1, 2, 3 …
	}{
		{"none", strategies.NoBackoff(), 0.5, []time.Duration{0, 0, 0}},
		{"none, whatever else is set", strategies.Backoff{Factor: 2, Max: time.Second, Jitter: 1}, 0.5, []time.Duration{0, 0, 0}},
		{"fixed", strategies.Fixed(20 * ms), 0, []time.Duration{20 * ms, 20 * ms, 20 * ms}},
		{"fixed above the default cap", strategies.Fixed(time.Hour), 0, []time.Duration{time.Hour, time.Hour}},
		{"linear", strategies.Linear(10*ms, 35*ms), 0, []time.Duration{10 * ms, 20 * ms, 30 * ms, 35 * ms, 35 * ms}},
		{"exponential", strategies.Exponential(100*ms, time.Second), 0, []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, time.Second, time.Second}},
		{"exponential by three", strategies.Backoff{Initial: ms, Factor: 3}, 0, []time.Duration{ms, 3 * ms, 9 * ms, 27 * ms}},
		{"steps without an initial delay", strategies.Backoff{Step: ms}, 0, []time.Duration{0, ms, 2 * ms}},
		{"literal with the default cap", strategies.Backoff{Initial: 20 * time.Second, Factor: 2}, 0, []time.Duration{20 * time.Second, 30 * time.Second}},
		{"literal above the default cap", strategies.Backoff{Initial: time.Minute, Factor: 2}, 0, []time.Duration{time.Minute, time.Minute}},
		{"half of the jitter", strategies.Backoff{Initial: 100 * ms, Jitter: 0.2}, 0.5, []time.Duration{90 * ms, 90 * ms}},
		{"jitter at the cap", strategies.Backoff{Initial: time.Second, Max: time.Second, Factor: 2, Jitter: 0.5}, 0.5, []time.Duration{750 * ms, 750 * ms}},
		{"random out of range", strategies.Backoff{Initial: 100 * ms, Jitter: 1}, 7, []time.Duration{0}},
		{"random below range", strategies.Backoff{Initial: 100 * ms, Jitter: 1}, -7, []time.Duration{100 * ms}},
		{"random not a number", strategies.Backoff{Initial: 100 * ms, Jitter: 1}, math.NaN(), []time.Duration{100 * ms}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, want := range tt.want {
				assert.Equal(t, want, tt.backoff.Delay(i+1, tt.random), "attempt %d", i+1)
			}
		})
	}
}

func TestDelayBeforeTheFirstAttemptIsThatOfTheFirst(t *testing.T) {
	b := strategies.Exponential(ms, time.Second)
	for _, attempt := range []int{0, -1, math.MinInt} {
		assert.Equal(t, ms, b.Delay(attempt, 0))
	}
}

func drawBackoff(t *rapid.T) strategies.Backoff {
	duration := rapid.OneOf(
		rapid.Int64Range(0, int64(time.Minute)),
		rapid.Int64Range(0, math.MaxInt64),
		rapid.SampledFrom([]int64{0, 1, math.MaxInt64 - 1, math.MaxInt64}),
	)
	b := strategies.Backoff{
		Initial: time.Duration(duration.Draw(t, "initial")),
		Step:    time.Duration(duration.Draw(t, "step")),
		Factor:  rapid.OneOf(rapid.SampledFrom([]float64{0, 1, 1.5, 2, 100}), rapid.Float64Range(1.01, 100)).Draw(t, "factor"),
	}
	if rapid.Bool().Draw(t, "capped") {
		b.Max = max(b.Initial, time.Duration(duration.Draw(t, "max")))
	}
	return b
}

var drawAttempt = rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, math.MaxInt), rapid.SampledFrom([]int{1e9, math.MaxInt - 1}))

func TestDelayIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBackoff(t)
		b.Jitter = rapid.Float64Range(0, 1).Draw(t, "jitter")
		if err := b.Validate(); err != nil {
			t.Fatalf("%+v: %v", b, err)
		}
		attempt, random := drawAttempt.Draw(t, "attempt"), rapid.Float64Range(0, 1).Draw(t, "random")
		got, limit := b.Delay(attempt, random), b.WithDefaults().Max
		if got < 0 || got > limit {
			t.Fatalf("%+v: attempt %d waits %d, cap %d", b, attempt, got, limit)
		}
		whole := b
		whole.Jitter = 0
		least, most := (1-b.Jitter)*float64(whole.Delay(attempt, 0)), whole.Delay(attempt, 0)
		if got > most || float64(got) < least*(1-1e-9)-1 {
			t.Fatalf("%+v: attempt %d waits %d, outside [%v, %d]", b, attempt, got, least, most)
		}
	})
}

func TestDelayNeverFallsWithoutJitter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, attempt := drawBackoff(t), drawAttempt.Draw(t, "attempt")
		now, next := b.Delay(attempt, 0.5), b.Delay(attempt+1, 0.5)
		if attempt < math.MaxInt && next < now {
			t.Fatalf("%+v: attempt %d waits %d, the next only %d", b, attempt, now, next)
		}
	})
}

func TestDelayToleratesAnything(t *testing.T) {
	anyFloat := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1)}))
	rapid.Check(t, func(t *rapid.T) {
		b := strategies.Backoff{
			Initial: time.Duration(rapid.Int64().Draw(t, "initial")), Step: time.Duration(rapid.Int64().Draw(t, "step")),
			Factor: anyFloat.Draw(t, "factor"), Max: time.Duration(rapid.Int64().Draw(t, "max")), Jitter: anyFloat.Draw(t, "jitter"),
		}
		got := b.Delay(rapid.Int().Draw(t, "attempt"), anyFloat.Draw(t, "random"))
		if got < 0 || b.Max > 0 && got > b.Max {
			t.Fatalf("%+v waits %d", b, got)
		}
		if b.QuietTime() <= 0 {
			t.Fatalf("%+v has quiet time %d", b, b.QuietTime())
		}
		_ = b.String()
	})
}

func TestDelayOfAttemptABillion(t *testing.T) {
	for _, b := range []strategies.Backoff{
		strategies.Exponential(1, math.MaxInt64),
		strategies.Linear(math.MaxInt64, math.MaxInt64),
		strategies.Fixed(math.MaxInt64),
		{Initial: math.MaxInt64, Step: math.MaxInt64, Factor: 100, Max: math.MaxInt64},
	} {
		assert.Equal(t, time.Duration(math.MaxInt64), b.Delay(1e9, 0), "%+v", b)
	}
	assert.Equal(t, 30*time.Second, strategies.Backoff{Initial: ms, Factor: 2}.Delay(1e9, 0))
}

func TestQuietTime(t *testing.T) {
	tests := []struct {
		backoff strategies.Backoff
		want    time.Duration
	}{
		{strategies.NoBackoff(), time.Minute},
		{strategies.Fixed(ms), 5 * time.Second},
		{strategies.Exponential(ms, 10*time.Second), 20 * time.Second},
		{strategies.Backoff{Initial: ms, ResetAfter: time.Second}, time.Second},
		{strategies.Fixed(math.MaxInt64), math.MaxInt64},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, tt.backoff.QuietTime(), "%+v", tt.backoff)
	}
}

func TestBackoffWithDefaults(t *testing.T) {
	assert.Equal(t, strategies.NoBackoff(), strategies.NoBackoff().WithDefaults())
	assert.Equal(t,
		strategies.Backoff{Initial: ms, Factor: 1, Max: 30 * time.Second, ResetAfter: time.Minute},
		strategies.Backoff{Initial: ms}.WithDefaults())
}

func TestBackoffString(t *testing.T) {
	jittered := strategies.Exponential(100*ms, 30*time.Second)
	jittered.Jitter = 0.2
	for want, b := range map[string]strategies.Backoff{
		"none":                  strategies.NoBackoff(),
		"fixed 2s":              strategies.Fixed(2 * time.Second),
		"linear 100ms up to 1s": strategies.Linear(100*ms, time.Second),
		"exponential 100ms up to 30s, jitter 0.2": jittered,
	} {
		assert.Equal(t, want, b.String())
	}
}
