package breaker_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func hang(d time.Duration) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { time.Sleep(d); return 7, errDown }
}

func TestDetachedValueAndError(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"timed": 0, "untimed": breaker.NoTimeout} {
		t.Run(name, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{OperationTimeout: timeout, FailureThreshold: 1})
			v, err := breaker.DoDetached(context.WithValue(t.Context(), key{}, "task 7"), b, func(ctx context.Context) (string, error) {
				a, ok := breaker.Admitted(ctx)
				return fmt.Sprintf("%v %v %v", ctx.Value(key{}), a.State, ok), nil
			})
			require.NoError(t, err)
			assert.Equal(t, "task 7 closed true", v)
			n, err := breaker.DoDetached(t.Context(), b, hang(0))
			assert.Equal(t, errDown, err)
			assert.Equal(t, 7, n)
			assert.Equal(t, breaker.Open, b.State(), "the verdict is recorded before the reply")
			_, err = breaker.DoDetached(t.Context(), b, hang(0))
			assert.ErrorIs(t, err, breaker.ErrOpen)
			assert.Zero(t, b.Snapshot().Detached)
		})
	}
}

func TestDetachedCallerIsFreedAtTheDeadlineEvenIfTheFunctionIsDeaf(t *testing.T) { // case 15
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Name: "llm", FailureThreshold: 1})
		start := time.Now()
		v, err := breaker.DoDetached(t.Context(), b, hang(time.Hour))
		assert.ErrorIs(t, err, breaker.ErrTimeout)
		assert.Zero(t, v)
		assert.Equal(t, opTimeout, time.Since(start))
		assert.Equal(t, breaker.Open, b.State())
		assert.Equal(t, breaker.Load{Orphans: 1}, b.Snapshot().Detached)
		time.Sleep(time.Hour)
		assert.Zero(t, b.Snapshot().Detached)
		assert.Equal(t, breaker.Totals{Failed: 1, TimedOut: 1, Opened: 1}, b.Snapshot().Totals, "the late result is dropped")
	})
}

func TestDetachedCallerIsFreedWhenItsContextEnds(t *testing.T) { // case 14
	for name, tt := range map[string]struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
		then breaker.Totals
	}{
		"deadline: a failure": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 2*time.Second)
		}, context.DeadlineExceeded, breaker.Totals{Failed: 1}},
		"cancel: says nothing": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, context.Canceled, breaker.Totals{Ignored: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, breaker.Config{})
				ctx, cancel := tt.end(t.Context())
				defer cancel()
				start := time.Now()
				_, err := breaker.DoDetached(ctx, b, hang(time.Hour))
				assert.Equal(t, tt.want, err)
				assert.Equal(t, 2*time.Second, time.Since(start))
				time.Sleep(2 * time.Hour)
				assert.Equal(t, tt.then, b.Snapshot().Totals)
				assert.Zero(t, b.Snapshot().Detached)
			})
		})
	}
}

func TestDetachedOrphansAreBounded(t *testing.T) { // case 24
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{MaxInFlight: 4, FailureThreshold: 1000})
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() { _, _ = breaker.DoDetached(context.Background(), b, hang(time.Hour)) })
		}
		synctest.Wait()
		assert.Equal(t, breaker.Load{InFlight: 4}, b.Snapshot().Detached)
		callers.Wait()
		before := b.Snapshot().Totals
		_, err := breaker.DoDetached(t.Context(), b, hang(0))
		assert.ErrorIs(t, err, breaker.ErrSaturated)
		assert.Equal(t, before, b.Snapshot().Totals, "no permit, no verdict")
		time.Sleep(time.Hour)
		_, err = breaker.DoDetached(t.Context(), b, hang(0))
		assert.Equal(t, errDown, err)
	})
}

func TestDetachedPanicAndGoexit(t *testing.T) { // case 10
	synctest.Test(t, func(t *testing.T) {
		var reported []*breaker.PanicError
		b := newBreaker(t, breaker.Config{FailureThreshold: 2, OnPanic: func(p *breaker.PanicError) { reported = append(reported, p) }})
		_, err := breaker.DoDetached(t.Context(), b, func(context.Context) (int, error) { explode(); return 0, nil })
		var crashed *breaker.PanicError
		require.ErrorAs(t, err, &crashed)
		assert.Equal(t, "deep", crashed.Value)
		assert.Contains(t, string(crashed.Stack), "breaker_test.explode")
		_, err = breaker.DoDetached(t.Context(), b, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
		require.ErrorAs(t, err, &crashed)
		assert.Equal(t, "runtime.Goexit", crashed.Value)
		assert.Equal(t, breaker.Open, b.State())
		assert.Empty(t, reported, "the caller has it")

		b.Reset()
		_, err = breaker.DoDetached(t.Context(), b, func(context.Context) (int, error) { time.Sleep(time.Hour); panic("late") })
		require.ErrorIs(t, err, breaker.ErrTimeout)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, reported, 1, "nobody waits for an orphan")
		assert.Equal(t, "late", reported[0].Value)
		assert.Zero(t, b.Snapshot().Detached)
	})
}

func TestDetachedDoneContextTakesNoPermit(t *testing.T) {
	b := newBreaker(t, breaker.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := breaker.DoDetached(ctx, b, func(context.Context) (int, error) { panic("ran") })
	assert.Equal(t, context.Canceled, err)
	assert.Zero(t, b.Snapshot().Totals)
}

// Everything may happen in the same instant: the function's return, the timeout, the caller's end.
func TestManyDetachedCallsAtOnce(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{FailureThreshold: 1_000_000, OperationTimeout: 5, MaxInFlight: 20})
			var callers sync.WaitGroup
			var mu sync.Mutex
			ran := uint64(0)
			for c := range uint64(16) {
				callers.Go(func() {
					random := rand.New(rand.NewPCG(seed, c))
					for range 50 {
						ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(12)))
						took, deaf := time.Duration(random.IntN(9)), random.IntN(2) == 0
						start := time.Now()
						_, _ = breaker.DoDetached(ctx, b, func(ctx context.Context) (int, error) {
							mu.Lock()
							ran++
							mu.Unlock()
							if deaf {
								time.Sleep(took)
								return 1, nil
							}
							select {
							case <-ctx.Done():
								return 0, ctx.Err()
							case <-time.After(took):
								return 1, nil
							}
						})
						assert.LessOrEqual(t, time.Since(start), time.Duration(5))
						cancel()
					}
				})
			}
			callers.Wait()
			time.Sleep(time.Second)
			totals := b.Snapshot().Totals
			assert.Equal(t, ran, totals.Succeeded+totals.Failed+totals.Ignored, "one verdict a call")
			assert.Zero(t, b.Snapshot().Detached)
		})
	}
}
