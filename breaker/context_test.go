package breaker_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

// do runs fn in a breaker with the default timeout, in a bubble.
func inTimedCall(t *testing.T, fn func(ctx context.Context, cancelCaller context.CancelFunc)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		caller, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "task 7"))
		defer cancel()
		_, _ = breaker.Do(caller, b, func(ctx context.Context) (int, error) { fn(ctx, cancel); return 0, nil })
	})
}

// withAndWithoutCallersEnd does so for a caller whose context may end, and for one whose can't.
func withAndWithoutCallersEnd(t *testing.T, fn func(ctx context.Context)) {
	inTimedCall(t, func(ctx context.Context, _ context.CancelFunc) { fn(ctx) })
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		caller := context.WithValue(context.Background(), key{}, "task 7")
		_, _ = breaker.Do(caller, b, func(ctx context.Context) (int, error) { fn(ctx); return 0, nil })
	})
}

func TestContextOfATimedCall(t *testing.T) {
	t.Run("values, deadline, admission", func(t *testing.T) {
		withAndWithoutCallersEnd(t, func(ctx context.Context) {
			for range 2 { // before and after somebody waits for it
				assert.Equal(t, "task 7", ctx.Value(key{}))
				at, ok := ctx.Deadline()
				assert.True(t, ok)
				assert.Equal(t, opTimeout, time.Until(at))
				a, ok := breaker.Admitted(ctx)
				assert.True(t, ok)
				assert.Equal(t, breaker.Closed, a.State)
				assert.NoError(t, ctx.Err())
				assert.NoError(t, context.Cause(ctx))
				_ = ctx.Done()
			}
		})
	})
	t.Run("ends at the timeout, for children and callbacks, too", func(t *testing.T) {
		withAndWithoutCallersEnd(t, func(ctx context.Context) {
			child, cancel := context.WithCancel(context.WithValue(ctx, key{}, "child"))
			defer cancel()
			called := make(chan struct{})
			context.AfterFunc(child, func() { close(called) })
			<-called
			assert.Equal(t, context.DeadlineExceeded, child.Err())
			assert.Equal(t, context.DeadlineExceeded, ctx.Err())
			assert.ErrorIs(t, context.Cause(child), breaker.ErrTimeout)
			assert.ErrorIs(t, context.Cause(ctx), breaker.ErrTimeout)
		})
	})
	t.Run("polled instead of waited for", func(t *testing.T) {
		withAndWithoutCallersEnd(t, func(ctx context.Context) {
			time.Sleep(opTimeout - 1)
			require.NoError(t, ctx.Err())
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			assert.Equal(t, context.DeadlineExceeded, ctx.Err())
			assert.ErrorIs(t, context.Cause(ctx), breaker.ErrTimeout)
			<-ctx.Done()
		})
	})
	t.Run("ends with the caller's", func(t *testing.T) {
		inTimedCall(t, func(ctx context.Context, cancelCaller context.CancelFunc) {
			done := ctx.Done()
			cancelCaller()
			<-done
			assert.Equal(t, context.Canceled, ctx.Err())
		})
		inTimedCall(t, func(ctx context.Context, cancelCaller context.CancelFunc) {
			cancelCaller()
			assert.Equal(t, context.Canceled, ctx.Err(), "without waiting")
			assert.Equal(t, context.Canceled, context.Cause(ctx))
		})
	})
	t.Run("is over when the call is", func(t *testing.T) {
		for _, waited := range []bool{false, true} {
			for _, alone := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					caller := t.Context()
					if alone {
						caller = context.Background()
					}
					b := newBreaker(t, breaker.Config{})
					var called, stopped atomic.Bool
					kept, _ := breaker.Do(caller, b, func(ctx context.Context) (context.Context, error) {
						if waited {
							_ = ctx.Done()
							context.AfterFunc(ctx, func() { called.Store(true) })
							assert.True(t, context.AfterFunc(ctx, func() { stopped.Store(true) })())
						}
						return ctx, nil
					})
					assert.Equal(t, context.Canceled, kept.Err())
					assert.Equal(t, context.Canceled, context.Cause(kept))
					<-kept.Done()
					synctest.Wait()
					assert.Equal(t, waited, called.Load())
					assert.False(t, stopped.Load())
					late := make(chan struct{})
					assert.NotNil(t, context.AfterFunc(kept, func() { close(late) }))
					<-late
				})
			}
		}
	})
}

func TestCallsThatOverlapEndEachAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{FailureThreshold: 1000})
		for i := range 40 {
			go func() {
				time.Sleep(time.Duration(i) * 700 * time.Millisecond)
				start := time.Now()
				_, err := breaker.Do(context.Background(), b, func(ctx context.Context) (int, error) {
					if i%3 == 0 {
						return 1, nil
					}
					<-ctx.Done()
					return 0, ctx.Err()
				})
				if i%3 == 0 {
					assert.NoError(t, err)
					return
				}
				assert.ErrorIs(t, err, breaker.ErrTimeout)
				assert.Equal(t, opTimeout, time.Since(start))
			}()
		}
		time.Sleep(time.Hour)
		assert.EqualValues(t, 14, b.Snapshot().Totals.Succeeded)
		assert.EqualValues(t, 26, b.Snapshot().Totals.TimedOut)
	})
}

func TestDeafCallsAreCountedEachAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{FailureThreshold: 1000})
		for range 10 {
			go func() { _, _ = breaker.Do(context.Background(), b, hang(time.Hour)) }()
			time.Sleep(time.Second)
		}
		for i := range 10 { // the first one's time is over now
			synctest.Wait()
			assert.EqualValues(t, i+1, b.Snapshot().Totals.TimedOut)
			time.Sleep(time.Second - 1)
			assert.EqualValues(t, i+1, b.Snapshot().Totals.TimedOut)
			time.Sleep(time.Nanosecond)
		}
		time.Sleep(time.Hour)
		assert.EqualValues(t, 10, b.Snapshot().Totals.Failed)
	})
}

func TestContextUnderACallersEarlierDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		caller, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		kept, err := breaker.Do(caller, b, func(ctx context.Context) (context.Context, error) {
			at, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, 2*time.Second, time.Until(at))
			assert.NoError(t, ctx.Err())
			called := make(chan struct{})
			context.AfterFunc(ctx, func() { close(called) })
			<-called
			<-ctx.Done()
			return ctx, ctx.Err()
		})
		assert.Equal(t, context.DeadlineExceeded, err)
		assert.Equal(t, context.DeadlineExceeded, kept.Err())
		assert.EqualValues(t, 1, b.Snapshot().Totals.Failed, "once")

		caller, cancel = context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		kept, err = breaker.Do(caller, b, func(ctx context.Context) (context.Context, error) { return ctx, nil })
		assert.NoError(t, err)
		assert.Equal(t, context.Canceled, kept.Err(), "over with the call, though nobody asked before")
		<-kept.Done()
	})
}

func TestConfigIsACopy(t *testing.T) {
	mine := breaker.Window{Calls: 10}
	b := newBreaker(t, breaker.Config{Window: &mine})
	mine.Calls = 99
	b.Config().Window.MinCalls = 1
	assert.Equal(t, 10, b.Config().Window.Calls)
	assert.Equal(t, 10, b.Config().Window.MinCalls)
}
