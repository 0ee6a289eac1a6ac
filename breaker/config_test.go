package breaker_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func TestZeroConfigHasTheDefaults(t *testing.T) {
	cfg := newBreaker(t, breaker.Config{}).Config()
	assert.Equal(t, breaker.Config{
		Name: "breaker", FailureThreshold: threshold, ResetTimeout: reset, HalfOpenMaxCalls: slots, SuccessThreshold: toClose,
		OperationTimeout: opTimeout, HalfOpenLease: opTimeout, MaxTrip: 10 * reset, MaxInFlight: 256,
	}, cfg)
}

func TestInvalidConfigIsRefused(t *testing.T) {
	tests := map[string]breaker.Config{
		"FailureThreshold is 1000001: must be at most 1000000":                              {FailureThreshold: 1_000_001},
		"SuccessThreshold is 4294967295: must be at most 1000000":                           {SuccessThreshold: 1<<32 - 1},
		"HalfOpenMaxCalls is 1001: must be at most 1000":                                    {HalfOpenMaxCalls: 1001},
		"ResetTimeout is -1ns: must be between 0 (default) and 720h0m0s":                    {ResetTimeout: -1},
		"ResetTimeout is 720h0m0.000000001s: must be between 0 (default) and 720h0m0s":      {ResetTimeout: 30*24*time.Hour + 1},
		"OperationTimeout is -1s: must be between 0 (default) and 720h0m0s":                 {OperationTimeout: -time.Second},
		"OperationTimeout is 2562047h47m16.854775807s: must be between 0 (default) and 720": {OperationTimeout: 1<<63 - 1},
		"HalfOpenLease is -1ns: must be between 0 (default) and 720h0m0s":                   {HalfOpenLease: -1},
		"MaxTrip is -1ns: must be between 0 (default) and 720h0m0s":                         {MaxTrip: -1},
		"MaxInFlight is -1: must be between 0 (default) and 1000000":                        {MaxInFlight: -1},
		"MaxInFlight is 1000001: must be between 0 (default) and 1000000":                   {MaxInFlight: 1_000_001},
		"Window.Calls is 10 and Window.Span is 1s: one of them must be 0":                   {Window: &breaker.Window{Calls: 10, Span: time.Second}},
		"Window.Calls is -1: must be between 0 (default) and 100000":                        {Window: &breaker.Window{Calls: -1}},
		"Window.Span is -1ns: must be between 0 (count calls) and 720h0m0s":                 {Window: &breaker.Window{Span: -1}},
		"Window.Span is 9µs: must be at least 1µs for each of the 10 buckets":               {Window: &breaker.Window{Span: 9 * time.Microsecond}},
		"Window.Buckets is 3: must be 0 without a Span":                                     {Window: &breaker.Window{Buckets: 3}},
		"Window.Buckets is 1001: must be between 0 (default) and 1000":                      {Window: &breaker.Window{Span: time.Hour, Buckets: 1001}},
		"Window.MinCalls is 11: must be between 0 (default) and Calls, 10":                  {Window: &breaker.Window{Calls: 10, MinCalls: 11}},
		"Window.FailureRatio is 1.1: must be above 0 and at most 1":                         {Window: &breaker.Window{FailureRatio: 1.1}},
		"Window.FailureRatio is NaN":                                                        {Window: &breaker.Window{FailureRatio: math.NaN()}},
		"Window.SlowCall is -1ns":                                                           {Window: &breaker.Window{SlowCall: -1}},
		"Window.SlowRatio is 0.5: must be 0 without a SlowCall":                             {Window: &breaker.Window{SlowRatio: 0.5}},
		"Backoff.Factor is 0.5: must be 0 (off), or between 1 and 100":                      {Backoff: breaker.Backoff{Factor: 0.5}},
		"Backoff.Factor is NaN":                                                          {Backoff: breaker.Backoff{Factor: math.NaN()}},
		"Backoff.Jitter is 2: must be between 0 and 1":                                   {Backoff: breaker.Backoff{Jitter: 2}},
		"Backoff.Max is 1s: must be 0 (default), or between ResetTimeout, 30s, and 720h": {Backoff: breaker.Backoff{Factor: 2, Max: time.Second}},
	}
	for want, cfg := range tests {
		t.Run(want, func(t *testing.T) {
			b, err := breaker.New(cfg)
			assert.Nil(t, b)
			assert.ErrorContains(t, err, want)
		})
	}
}

func TestEveryFaultIsNamedAtOnce(t *testing.T) {
	_, err := breaker.New(breaker.Config{
		Name: "llm", FailureThreshold: 2_000_000, ResetTimeout: -1, HalfOpenMaxCalls: 2000, SuccessThreshold: 2_000_000,
		OperationTimeout: -5, HalfOpenLease: -1, MaxTrip: -1, MaxInFlight: -1,
	})
	require.Error(t, err)
	for _, field := range []string{`breaker "llm"`, "FailureThreshold", "ResetTimeout", "HalfOpenMaxCalls", "SuccessThreshold",
		"OperationTimeout", "HalfOpenLease", "MaxTrip", "MaxInFlight"} {
		assert.ErrorContains(t, err, field)
	}
}

// FuzzConfig: a config is refused or it works, from closed through open.
func FuzzConfig(f *testing.F) {
	f.Add(uint32(0), int64(0), uint32(0), uint32(0), int64(0), int64(0), int64(0), 0)
	f.Add(uint32(5), int64(30e9), uint32(3), uint32(2), int64(-1), int64(1), int64(1), 1)
	f.Add(uint32(1<<31), int64(-1<<63), uint32(1<<31), uint32(1<<31), int64(1<<62), int64(-5), int64(1<<62), -1)
	f.Fuzz(func(t *testing.T, failures uint32, reset int64, half, successes uint32, op, lease, trip int64, inFlight int) {
		cfg, ok := works(t, breaker.Config{
			FailureThreshold: failures, ResetTimeout: time.Duration(reset), HalfOpenMaxCalls: half, SuccessThreshold: successes,
			OperationTimeout: time.Duration(op), HalfOpenLease: time.Duration(lease), MaxTrip: time.Duration(trip), MaxInFlight: inFlight,
		})
		if ok {
			assert.Positive(t, cfg.FailureThreshold)
		}
	})
}

// FuzzWindowAndBackoff does so for the parts that are off by default.
func FuzzWindowAndBackoff(f *testing.F) {
	f.Add(0, int64(0), 0, 0, 0.0, int64(0), 0.0, int64(0), 0.0, int64(0), 0.0)
	f.Add(10, int64(0), 0, 10, 0.5, int64(1e9), 0.5, int64(30e9), 2.0, int64(60e9), 0.2)
	f.Add(0, int64(10e9), 10, 20, 1.0, int64(0), 0.0, int64(1), 100.0, int64(0), 1.0)
	f.Add(-1, int64(-1), -1, -1, math.NaN(), int64(-1), math.Inf(1), int64(1<<62), math.NaN(), int64(1), -0.1)
	f.Add(0, int64(1), 1000, 1<<62, math.SmallestNonzeroFloat64, int64(1), 2.0, int64(1), 0.5, int64(1), math.Inf(-1))
	f.Fuzz(func(t *testing.T, calls int, span int64, buckets, minCalls int, failureRatio float64, slowCall int64, slowRatio float64,
		reset int64, factor float64, maxReset int64, jitter float64) {
		cfg, ok := works(t, breaker.Config{
			Window: &breaker.Window{Calls: calls, Span: time.Duration(span), Buckets: buckets, MinCalls: minCalls,
				FailureRatio: failureRatio, SlowCall: time.Duration(slowCall), SlowRatio: slowRatio},
			ResetTimeout: time.Duration(reset),
			Backoff:      breaker.Backoff{Factor: factor, Max: time.Duration(maxReset), Jitter: jitter},
		})
		if ok {
			assert.Positive(t, cfg.Window.MinCalls)
			assert.Positive(t, cfg.Window.FailureRatio)
		}
	})
}

// works drives a breaker through its states, if there is one for the config.
func works(t *testing.T, cfg breaker.Config) (inForce breaker.Config, ok bool) {
	b, err := breaker.New(cfg)
	if err != nil {
		assert.Nil(t, b)
		return breaker.Config{}, false
	}
	defer b.Close()
	cfg = b.Config()
	assert.Positive(t, cfg.ResetTimeout)
	assert.Positive(t, cfg.HalfOpenLease)
	assert.Positive(t, cfg.MaxTrip)
	assert.Positive(t, cfg.MaxInFlight)
	require.NoError(t, cfg.Validate(), "what is in force is valid itself")
	for i := 0; i < 2000 && b.State() == breaker.Closed; i++ {
		if p, err := b.Acquire(); err == nil {
			p.Done(breaker.Failure)
		}
	}
	if s := b.Snapshot(); s.State == breaker.Open {
		assert.LessOrEqual(t, s.RetryAfter, 2*max(cfg.ResetTimeout, cfg.Backoff.Max))
	}
	b.Reset()
	acquire(t, b).Done(breaker.TripFor(cfg.MaxTrip))
	s := b.Snapshot()
	assert.LessOrEqual(t, s.RetryAfter, cfg.MaxTrip)
	assert.NotEqual(t, breaker.Closed, s.State)
	return cfg, true
}
