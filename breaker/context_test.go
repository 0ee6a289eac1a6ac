package breaker_test

import (
	"context"
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

func TestContextOfATimedCall(t *testing.T) {
	t.Run("values, deadline, admission", func(t *testing.T) {
		inTimedCall(t, func(ctx context.Context, _ context.CancelFunc) {
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
		inTimedCall(t, func(ctx context.Context, _ context.CancelFunc) {
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
		inTimedCall(t, func(ctx context.Context, _ context.CancelFunc) {
			time.Sleep(opTimeout - 1)
			require.NoError(t, ctx.Err())
			time.Sleep(1)
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
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, breaker.Config{})
				kept, _ := breaker.Do(t.Context(), b, func(ctx context.Context) (context.Context, error) {
					if waited {
						_ = ctx.Done()
					}
					return ctx, nil
				})
				assert.Equal(t, context.Canceled, kept.Err())
				<-kept.Done()
			})
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
			time.Sleep(1)
		}
		time.Sleep(time.Hour)
		assert.EqualValues(t, 10, b.Snapshot().Totals.Failed)
	})
}
