package breaker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestResetTimeoutGrows(t *testing.T) {
	const base = 10 * time.Second
	tests := []struct {
		name     string
		backoff  Backoff
		reopened uint32
		random   float64
		want     time.Duration
	}{
		{"off", Backoff{}, 7, 1, base},
		{"first", Backoff{Factor: 2, Max: time.Hour}, 0, 1, base},
		{"doubles", Backoff{Factor: 2, Max: time.Hour}, 3, 1, 8 * base},
		{"up to its bound", Backoff{Factor: 2, Max: 45 * time.Second}, 3, 1, 45 * time.Second},
		{"for ever, without overflow", Backoff{Factor: 100, Max: maxDuration}, 1<<32 - 1, 1, maxDuration},
		{"jitter adds nothing", Backoff{Jitter: 0.5}, 0, 0, base},
		{"jitter adds its part", Backoff{Jitter: 0.5}, 0, 1, 15 * time.Second},
		{"jitter on top of the bound", Backoff{Factor: 2, Max: 20 * time.Second, Jitter: 0.1}, 9, 0.5, 21 * time.Second},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, tt.backoff.reset(base, tt.reopened, tt.random), tt.name)
	}
}

func TestResetTimeoutGrowsWithEachFailedProbeAndStartsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := New(Config{FailureThreshold: 1, SuccessThreshold: 1, ResetTimeout: time.Second, Backoff: Backoff{Factor: 3}})
		require.NoError(t, err)
		defer b.Close()
		next := func(v Verdict) time.Duration {
			p, err := b.Acquire()
			require.NoError(t, err)
			p.Done(v)
			left := b.Snapshot().RetryAfter
			time.Sleep(left)
			return left
		}
		assert.Equal(t, 1*time.Second, next(Failure))
		assert.Equal(t, 3*time.Second, next(Failure))
		assert.Equal(t, 9*time.Second, next(Failure))
		assert.Equal(t, 2*time.Second, next(TripFor(2*time.Second)), "what was asked for, as it is")
		assert.Equal(t, 10*time.Second, next(Failure), "default bound: ten times")
		assert.EqualValues(t, 3, b.Snapshot().Reopened)
		assert.Zero(t, next(Success))
		assert.Zero(t, b.Snapshot().Reopened)
		assert.Equal(t, 1*time.Second, next(Failure), "closed in between")
	})
}

func TestJitterStaysInItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[time.Duration]bool{}
		for range 50 {
			b, err := New(Config{FailureThreshold: 1, ResetTimeout: time.Minute, Backoff: Backoff{Jitter: 0.2}})
			require.NoError(t, err)
			p, _ := b.Acquire()
			p.Done(Failure)
			left := b.Snapshot().RetryAfter
			assert.GreaterOrEqual(t, left, time.Minute)
			assert.LessOrEqual(t, left, 72*time.Second)
			seen[left] = true
			b.Close()
		}
		assert.Greater(t, len(seen), 10, "they don't come back together")
	})
}
