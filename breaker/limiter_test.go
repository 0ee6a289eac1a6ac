package breaker_test

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func newLimiter(t testing.TB, cfg breaker.LimiterConfig) *breaker.Limiter {
	t.Helper()
	l, err := breaker.NewLimiter(cfg)
	require.NoError(t, err)
	return l
}

func TestLimiterKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, breaker.LimiterConfig{Rate: 2, Burst: 3})
		start := time.Now()
		for i := range 9 {
			require.NoError(t, l.Wait(t.Context()))
			assert.Equal(t, time.Duration(max(0, i-2))*time.Second/2, time.Since(start).Round(time.Millisecond))
		}
	})
}

func TestLimiterRefusesAtOnceWhatWouldTakeTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, breaker.LimiterConfig{Name: "llm", Rate: 0.1})
		require.NoError(t, l.Wait(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := l.Wait(ctx)
		assert.Zero(t, time.Since(start))
		var limited *breaker.RateLimitError
		require.ErrorAs(t, err, &limited)
		assert.ErrorIs(t, err, breaker.ErrRateLimited)
		assert.Equal(t, 10*time.Second, limited.RetryAfter())
		assert.Equal(t, `"llm" is rate limited, retry in 10s`, err.Error())
		require.NoError(t, l.Wait(t.Context()), "the refused one took no token")
		assert.Equal(t, 10*time.Second, time.Since(start))
		l.Hold(time.Minute)
		assert.ErrorIs(t, l.Wait(t.Context()), breaker.ErrRateLimited)
	})
}

func TestHoldHoldsEverybodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, breaker.LimiterConfig{})
		require.NoError(t, l.Wait(t.Context()), "no rate, no hold")
		start := time.Now()
		l.Hold(5 * time.Second)
		l.Hold(time.Second)
		l.Hold(-time.Second)
		assert.Equal(t, 5*time.Second, l.Held(), "never made shorter")
		require.NoError(t, l.Wait(t.Context()))
		assert.Equal(t, 5*time.Second, time.Since(start))
		l.Hold(1000 * time.Hour)
		assert.Equal(t, 5*time.Minute, l.Held(), "bounded")
	})
}

func TestHoldReachesThoseWhoWaitAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, breaker.LimiterConfig{Rate: 1})
		require.NoError(t, l.Wait(t.Context()))
		var mu sync.Mutex
		var went []time.Duration
		start := time.Now()
		for range 3 {
			go func() {
				if l.Wait(context.Background()) == nil {
					mu.Lock()
					defer mu.Unlock()
					went = append(went, time.Since(start).Round(time.Second))
				}
			}()
		}
		time.Sleep(500 * time.Millisecond)
		l.Hold(4500 * time.Millisecond)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, went, 3)
		assert.GreaterOrEqual(t, went[0], 5*time.Second, "not before the hold is over")
		assert.NotEqual(t, went[0], went[1], "and not all at once")
		assert.NotEqual(t, went[1], went[2])
	})
}

func TestLimiterBoundsItsQueueAndHeedsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, breaker.LimiterConfig{MaxWaiting: 1})
		l.Hold(8 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error)
		go func() { result <- l.Wait(ctx) }()
		synctest.Wait()
		assert.ErrorIs(t, l.Wait(t.Context()), breaker.ErrSaturated)
		cancel()
		assert.Equal(t, context.Canceled, <-result)
		assert.Equal(t, context.Canceled, l.Wait(ctx))

		none := newLimiter(t, breaker.LimiterConfig{Rate: 1, MaxWaiting: breaker.NoWaiting})
		require.NoError(t, none.Wait(t.Context()))
		var limited *breaker.RateLimitError
		require.ErrorAs(t, none.Wait(t.Context()), &limited)
		assert.Equal(t, time.Second, limited.After)
		time.Sleep(time.Second)
		require.NoError(t, none.Wait(t.Context()))
	})
}

func TestLimiterConfigIsChecked(t *testing.T) {
	_, err := breaker.NewLimiter(breaker.LimiterConfig{Rate: math.NaN(), Burst: -1, MaxWaiting: -2, MaxWait: -1, MaxHold: -1})
	for _, field := range []string{"Rate is NaN", "Burst", "MaxWaiting", "MaxWait is", "MaxHold"} {
		assert.ErrorContains(t, err, field)
	}
}
