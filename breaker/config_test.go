package breaker_test

import (
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
		b, err := breaker.New(breaker.Config{
			FailureThreshold: failures, ResetTimeout: time.Duration(reset), HalfOpenMaxCalls: half, SuccessThreshold: successes,
			OperationTimeout: time.Duration(op), HalfOpenLease: time.Duration(lease), MaxTrip: time.Duration(trip), MaxInFlight: inFlight,
		})
		if err != nil {
			return
		}
		defer b.Close()
		cfg := b.Config()
		assert.Positive(t, cfg.FailureThreshold)
		assert.Positive(t, cfg.ResetTimeout)
		assert.Positive(t, cfg.HalfOpenLease)
		assert.Positive(t, cfg.MaxTrip)
		assert.Positive(t, cfg.MaxInFlight)
		require.NoError(t, cfg.Validate(), "what is in force is valid itself")
		acquire(t, b).Done(breaker.TripFor(cfg.MaxTrip))
		s := b.Snapshot()
		assert.LessOrEqual(t, s.RetryAfter, cfg.MaxTrip)
		assert.NotEqual(t, breaker.Closed, s.State)
	})
}
