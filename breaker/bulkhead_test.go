package breaker_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func newBulkhead(t testing.TB, cfg breaker.BulkheadConfig) *breaker.Bulkhead {
	t.Helper()
	b, err := breaker.NewBulkhead(cfg)
	require.NoError(t, err)
	return b
}

func TestBulkheadGivesPlacesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBulkhead(t, breaker.BulkheadConfig{Name: "llm", MaxConcurrent: 1, MaxWaiting: 3})
		release, err := b.Acquire(t.Context())
		require.NoError(t, err)
		order := make(chan int, 3)
		for i := range 3 {
			go func() {
				release, err := b.Acquire(context.Background())
				assert.NoError(t, err)
				order <- i
				release()
				release() // once, however often
			}()
			synctest.Wait()
		}
		_, err = b.Acquire(t.Context())
		var full *breaker.SaturatedError
		require.ErrorAs(t, err, &full)
		assert.ErrorIs(t, err, breaker.ErrSaturated)
		assert.Equal(t, breaker.SaturatedError{Name: "llm", Running: 1, Waiting: 3}, *full)
		assert.Equal(t, `"llm" is saturated: 1 calls run, 3 wait`, err.Error())
		assert.Positive(t, full.RetryAfter())
		release()
		for want := range 3 {
			assert.Equal(t, want, <-order)
		}
		synctest.Wait()
		running, waiting := b.Load()
		assert.Zero(t, running+waiting)
	})
}

func TestBulkheadWaitsNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBulkhead(t, breaker.BulkheadConfig{MaxConcurrent: 1, MaxWait: 3 * time.Second})
		release, _ := b.Acquire(t.Context())
		start := time.Now()
		_, err := b.Acquire(t.Context())
		assert.ErrorIs(t, err, breaker.ErrSaturated)
		assert.Equal(t, 3*time.Second, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = b.Acquire(ctx)
		assert.Equal(t, context.DeadlineExceeded, err)
		_, err = b.Acquire(ctx)
		assert.Equal(t, context.DeadlineExceeded, err, "done before")

		_, waiting := b.Load()
		assert.Zero(t, waiting, "those who gave up are gone")
		release()
		release, err = b.Acquire(t.Context())
		require.NoError(t, err)
		release()
	})
}

func TestBulkheadWithoutAQueue(t *testing.T) {
	b := newBulkhead(t, breaker.BulkheadConfig{MaxConcurrent: 1, MaxWaiting: breaker.NoWaiting})
	_, err := b.Acquire(t.Context())
	require.NoError(t, err)
	_, err = b.Acquire(t.Context())
	assert.ErrorIs(t, err, breaker.ErrSaturated)
}

func TestBulkheadUnderLoad(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			b := newBulkhead(t, breaker.BulkheadConfig{MaxConcurrent: 3, MaxWaiting: 5, MaxWait: 4})
			var all sync.WaitGroup
			for c := range uint64(20) {
				all.Go(func() {
					random := rand.New(rand.NewPCG(seed, c))
					for range 40 {
						ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(8)))
						if release, err := b.Acquire(ctx); err == nil {
							running, waiting := b.Load()
							assert.LessOrEqual(t, running, 3)
							assert.LessOrEqual(t, waiting, 5)
							time.Sleep(time.Duration(random.IntN(6)))
							release()
						} else {
							time.Sleep(time.Nanosecond)
						}
						cancel()
					}
				})
			}
			all.Wait()
			running, waiting := b.Load()
			assert.Zero(t, running, "no place is lost")
			assert.Zero(t, waiting)
		})
	}
}

func TestBulkheadConfigIsChecked(t *testing.T) {
	_, err := breaker.NewBulkhead(breaker.BulkheadConfig{MaxConcurrent: -1, MaxWaiting: -2, MaxWait: -1})
	for _, field := range []string{"MaxConcurrent", "MaxWaiting", "MaxWait is"} {
		assert.ErrorContains(t, err, field)
	}
}
