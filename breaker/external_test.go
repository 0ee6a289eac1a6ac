package breaker_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func newExternal(t testing.TB, cfg breaker.ExternalConfig) *breaker.External {
	t.Helper()
	e, err := breaker.NewExternal(cfg)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

// server stands for an external service: it counts, and answers with the next of its errors.
type server struct {
	mu    sync.Mutex
	calls int
	at    []time.Time
	next  []error
}

func (s *server) call(context.Context) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.at = append(s.at, time.Now())
	if len(s.next) == 0 {
		return s.calls, nil
	}
	err := s.next[0]
	s.next = s.next[1:]
	return s.calls, err
}

func alwaysDown() []error {
	return []error{errDown, errDown, errDown, errDown, errDown, errDown, errDown}
}

func TestExternalTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{})
		s := &server{next: []error{errDown, errDown}}
		start := time.Now()
		v, err := breaker.DoExternal(t.Context(), e, s.call)
		require.NoError(t, err)
		assert.Equal(t, 3, v)
		assert.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)
		assert.LessOrEqual(t, time.Since(start), 600*time.Millisecond, "200 and 400 ms, the upper half at random")
		assert.Equal(t, breaker.Totals{Succeeded: 1, Failed: 2}, e.Breaker().Snapshot().Totals, "each attempt is one verdict")
	})
}

func TestExternalGivesUp(t *testing.T) {
	tests := map[string]struct {
		config breaker.ExternalConfig
		next   []error
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		calls  int
		want   error
	}{
		"after its attempts": {next: alwaysDown(), calls: 3, want: errDown},
		"retry(7) over breaker(3): three runs": {
			config: breaker.ExternalConfig{Retry: breaker.Retry{Attempts: 7}, Breaker: breaker.Config{FailureThreshold: 3}},
			next:   alwaysDown(), calls: 3, want: errDown,
		},
		"without retry": {config: breaker.ExternalConfig{Retry: breaker.Retry{Attempts: 1}}, next: alwaysDown(), calls: 1, want: errDown},
		"somebody above tries again": {next: alwaysDown(), calls: 1, want: errDown,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return breaker.WithoutRetry(ctx), func() {}
			}},
		"what is not retryable": {
			config: breaker.ExternalConfig{Retry: breaker.Retry{Retryable: func(error) bool { return false }}},
			next:   alwaysDown(), calls: 1, want: errDown,
		},
		"an answer, if not a welcome one": {next: []error{&breaker.StatusError{Code: 404}}, calls: 1, want: &breaker.StatusError{Code: 404}},
		"no time for another": {next: alwaysDown(), calls: 1, want: errDown,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 50*time.Millisecond)
			}},
		"asked to wait for too long": {
			next: []error{&breaker.StatusError{Code: 429, After: time.Minute}}, calls: 1, want: &breaker.StatusError{Code: 429, After: time.Minute},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newExternal(t, tt.config)
				ctx, cancel := t.Context(), func() {}
				if tt.ctx != nil {
					ctx, cancel = tt.ctx(ctx)
				}
				defer cancel()
				s := &server{next: tt.next}
				_, err := breaker.DoExternal(ctx, e, s.call)
				assert.Equal(t, tt.want, err)
				assert.Equal(t, tt.calls, s.calls)
			})
		})
	}
}

func TestRetryAfterIsKeptByAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{Retry: breaker.Retry{Attempts: 2}})
		s := &server{next: []error{&breaker.StatusError{Code: 429, After: 3 * time.Second}}}
		start := time.Now()
		var callers sync.WaitGroup
		callers.Go(func() {
			_, err := breaker.DoExternal(context.Background(), e, s.call)
			assert.NoError(t, err)
		})
		synctest.Wait()
		_, err := breaker.DoExternal(t.Context(), e, s.call)
		assert.ErrorIs(t, err, breaker.ErrOpen, "refused, not queued")
		assert.Equal(t, 3*time.Second, e.Limiter().Held())
		callers.Wait()
		require.Len(t, s.at, 2)
		assert.GreaterOrEqual(t, s.at[1].Sub(start), 3*time.Second)
	})
}

func TestRetryAfterHoldsTheLimiterEvenIfTheBreakerIgnoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{Breaker: breaker.Config{Classify: func(error) breaker.Verdict { return breaker.Ignore }}})
		s := &server{next: []error{&breaker.StatusError{Code: 529, After: 2 * time.Second}}}
		_, err := breaker.DoExternal(t.Context(), e, s.call)
		require.Error(t, err, "ignored: not tried again")
		_, err = breaker.DoExternal(t.Context(), e, s.call)
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, s.at[1].Sub(s.at[0]))
	})
}

func TestNothingIsSentWhileOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{Limiter: breaker.LimiterConfig{Rate: 1, Burst: 6}, Bulkhead: breaker.BulkheadConfig{MaxConcurrent: 1}})
		trip(t, e.Breaker())
		s := &server{}
		start := time.Now()
		for range 50 {
			_, err := breaker.DoExternal(t.Context(), e, s.call)
			require.ErrorIs(t, err, breaker.ErrOpen)
		}
		assert.Zero(t, s.calls)
		assert.Zero(t, time.Since(start), "nobody queues for a call that won't be made, or takes a token")
	})
}

func TestQueuesHoldNoHalfOpenSlot(t *testing.T) { // case 19
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{Bulkhead: breaker.BulkheadConfig{MaxConcurrent: 1, MaxWait: time.Hour}})
		halfOpen(t, e.Breaker())
		release, err := e.Bulkhead().Acquire(t.Context())
		require.NoError(t, err)
		go func() { _, _ = breaker.DoExternal(context.Background(), e, (&server{}).call) }()
		time.Sleep(30 * time.Minute)
		assert.Zero(t, e.Breaker().Snapshot().InFlight)
		assert.Equal(t, breaker.HalfOpen, e.Breaker().State(), "no lease runs in a queue")
		release()
		synctest.Wait()
		assert.EqualValues(t, 1, e.Breaker().Snapshot().Successes)
	})
}

func TestFullQueuesAreNoFailuresAndNotRetried(t *testing.T) { // case 19
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{Name: "llm",
			Bulkhead: breaker.BulkheadConfig{MaxConcurrent: 1, MaxWaiting: breaker.NoWaiting},
			Limiter:  breaker.LimiterConfig{Rate: 1, MaxWaiting: breaker.NoWaiting},
		})
		s := &server{}
		release, _ := e.Bulkhead().Acquire(t.Context())
		for range 20 {
			_, err := breaker.DoExternal(t.Context(), e, s.call)
			require.ErrorIs(t, err, breaker.ErrSaturated)
		}
		release()
		_, err := breaker.DoExternal(t.Context(), e, s.call)
		require.NoError(t, err)
		_, err = breaker.DoExternal(t.Context(), e, s.call)
		require.ErrorIs(t, err, breaker.ErrRateLimited)
		assert.Equal(t, breaker.Totals{Succeeded: 1}, e.Breaker().Snapshot().Totals)
		running, _ := e.Bulkhead().Load()
		assert.Zero(t, running, "the place is given back")
	})
}

func TestTimeoutMeasuresTheServiceNotOurQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{Bulkhead: breaker.BulkheadConfig{MaxConcurrent: 1, MaxWaiting: 5, MaxWait: time.Hour}})
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() {
				_, err := breaker.DoExternal(context.Background(), e, func(context.Context) (int, error) { time.Sleep(9 * time.Second); return 1, nil })
				assert.NoError(t, err)
			})
		}
		callers.Wait()
		assert.Zero(t, e.Breaker().Snapshot().Totals.Failed)
	})
}

func TestOneRetryLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outer, inner := newExternal(t, breaker.ExternalConfig{Name: "outer"}), newExternal(t, breaker.ExternalConfig{Name: "inner"})
		s := &server{next: alwaysDown()}
		_, err := breaker.DoExternal(t.Context(), outer, func(ctx context.Context) (int, error) {
			return breaker.DoExternal(ctx, inner, s.call)
		})
		assert.Equal(t, errDown, err)
		assert.Equal(t, 3, s.calls, "three, not nine")

		once := newExternal(t, breaker.ExternalConfig{Name: "once", Retry: breaker.Retry{Attempts: 1}})
		s = &server{next: []error{errDown}}
		_, err = breaker.DoExternal(t.Context(), once, func(ctx context.Context) (int, error) {
			return breaker.DoExternal(ctx, inner, s.call)
		})
		assert.NoError(t, err)
		assert.Equal(t, 2, s.calls, "one that doesn't retry leaves it to the other")
	})
}

func TestExternalVia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{Retry: breaker.Retry{Attempts: 2}})
		var runs atomic.Int32
		detached := func(ctx context.Context, fn func(context.Context) (int, error)) (int, error) {
			return breaker.DoDetached(ctx, e.Breaker(), fn)
		}
		start := time.Now()
		_, err := breaker.DoExternalVia(t.Context(), e, detached, func(context.Context) (int, error) { runs.Add(1); time.Sleep(time.Hour); return 0, nil })
		assert.ErrorIs(t, err, breaker.ErrTimeout)
		assert.EqualValues(t, 2, runs.Load(), "a timeout is tried again")
		assert.Less(t, time.Since(start), 21*time.Second)
		_, err = breaker.DoExternalVia(t.Context(), e, detached, func(context.Context) (int, error) { runs.Add(1); panic("bug") })
		var crashed *breaker.PanicError
		require.ErrorAs(t, err, &crashed)
		assert.EqualValues(t, 3, runs.Load(), "a bug is not")
		time.Sleep(time.Hour)
	})
}

func TestExternalWhosePanicGoesOnLeavesNothingBehind(t *testing.T) {
	e := newExternal(t, breaker.ExternalConfig{})
	assert.PanicsWithValue(t, "bug", func() {
		_, _ = breaker.DoExternal(t.Context(), e, func(context.Context) (int, error) { panic("bug") })
	})
	running, _ := e.Bulkhead().Load()
	assert.Zero(t, running)
	assert.EqualValues(t, 1, e.Breaker().Snapshot().Totals.Failed)
}

func TestCallerThatGivesUpDuringTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newExternal(t, breaker.ExternalConfig{Retry: breaker.Retry{Delay: time.Second}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		s := &server{next: alwaysDown()}
		_, err := breaker.DoExternal(ctx, e, s.call)
		assert.Equal(t, errDown, err, "what happened to the last attempt")
		assert.Equal(t, 1, s.calls)
		_, err = breaker.DoExternal(ctx, e, s.call)
		assert.Equal(t, context.Canceled, err)
	})
}

func TestExternalConfigIsChecked(t *testing.T) {
	_, err := breaker.NewExternal(breaker.ExternalConfig{
		Name: "llm", Breaker: breaker.Config{ResetTimeout: -1}, Bulkhead: breaker.BulkheadConfig{MaxConcurrent: -1},
		Limiter: breaker.LimiterConfig{Burst: -1}, Retry: breaker.Retry{Attempts: -1, Delay: -1, Factor: 0.5, MaxDelay: -1},
	})
	for _, field := range []string{`external "llm"`, "ResetTimeout", "MaxConcurrent", "Burst", "Retry.Attempts", "Retry.Delay", "Retry.Factor", "Retry.MaxDelay"} {
		assert.ErrorContains(t, err, field)
	}
}

// FuzzExternalConfig: a config is refused, or an External made of it lets a call through.
func FuzzExternalConfig(f *testing.F) {
	f.Add(0, 0, int64(0), 0.0, 0, 0, int64(0), int64(0), 0, int64(0), 0.0, int64(0))
	f.Add(1, -1, int64(1), 1e300, 1, -1, int64(1), int64(1), 100, int64(1), 100.0, int64(1))
	f.Add(-1, -2, int64(-1), -1.0, -1, -2, int64(-1), int64(-1), -1, int64(-1), 0.5, int64(-1))
	f.Add(1<<40, 1<<40, int64(1<<62), math.NaN(), 1<<40, 1<<40, int64(1<<62), int64(1<<62), 1<<40, int64(1<<62), math.Inf(1), int64(1<<62))
	f.Fuzz(func(t *testing.T, concurrent, waiting int, wait int64, rate float64, burst, limiterWaiting int, limiterWait, hold int64,
		attempts int, delay int64, factor float64, maxDelay int64) {
		e, err := breaker.NewExternal(breaker.ExternalConfig{
			Bulkhead: breaker.BulkheadConfig{MaxConcurrent: concurrent, MaxWaiting: waiting, MaxWait: time.Duration(wait)},
			Limiter: breaker.LimiterConfig{Rate: rate, Burst: burst, MaxWaiting: limiterWaiting, MaxWait: time.Duration(limiterWait),
				MaxHold: time.Duration(hold)},
			Retry: breaker.Retry{Attempts: attempts, Delay: time.Duration(delay), Factor: factor, MaxDelay: time.Duration(maxDelay)},
		})
		if err != nil {
			assert.Nil(t, e)
			return
		}
		defer e.Close()
		got, err := breaker.DoExternal(t.Context(), e, func(context.Context) (int, error) { return 7, nil })
		assert.NoError(t, err)
		assert.Equal(t, 7, got)
		running, queued := e.Bulkhead().Load()
		assert.Zero(t, running+queued)
		e.Limiter().Hold(math.MaxInt64)
		bound := time.Duration(hold)
		if hold == 0 {
			bound = breaker.DefaultMaxHold
		}
		assert.LessOrEqual(t, e.Limiter().Held(), bound)
	})
}

func TestClassifyExternal(t *testing.T) {
	tests := map[error]breaker.Verdict{
		errDown:                         breaker.Failure,
		&breaker.StatusError{Code: 404}: breaker.Success,
		&breaker.StatusError{Code: 500, After: time.Minute}: breaker.Failure,
		&breaker.StatusError{Code: 503, After: time.Minute}: breaker.TripFor(time.Minute),
		&breaker.StatusError{Code: 429}:                     breaker.Failure,
		errors.Join(errDown, busyFor(time.Second)):          breaker.TripFor(time.Second),
	}
	for err, want := range tests {
		assert.Equal(t, want, breaker.ClassifyExternal(err), "%v", err)
	}
}

type busyFor time.Duration

func (b busyFor) Error() string             { return "busy" }
func (b busyFor) RetryAfter() time.Duration { return time.Duration(b) }
