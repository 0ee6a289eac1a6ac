package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

func TestValueAndErrorComeBackUnchanged(t *testing.T) {
	b := newBreaker(t, breaker.Config{})
	cause := fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	v, err := breaker.Do(t.Context(), b, func(context.Context) (string, error) { return "half an answer", cause })
	assert.Equal(t, "half an answer", v)
	assert.Equal(t, cause, err)
}

func TestClassifierDecides(t *testing.T) {
	errMissing, errBusy := errors.New("404"), errors.New("busy")
	b := newBreaker(t, breaker.Config{FailureThreshold: 2, Classify: func(err error) breaker.Verdict {
		switch {
		case errors.Is(err, errMissing):
			return breaker.Success
		case errors.Is(err, errBusy):
			return breaker.Ignore
		}
		return breaker.Failure
	}})
	call := func(err error) {
		_, got := breaker.Do(t.Context(), b, func(context.Context) (int, error) { return 0, err })
		require.Equal(t, err, got)
	}
	call(errDown)
	call(errBusy)
	assert.EqualValues(t, 1, b.Snapshot().Failures, "ignored: the count neither grows nor ends")
	call(errMissing)
	assert.Zero(t, b.Snapshot().Failures, "a success, though an error")
	call(errDown)
	call(errBusy)
	call(errDown)
	assert.Equal(t, breaker.Open, b.State())
	assert.Equal(t, breaker.Totals{Succeeded: 1, Failed: 3, Ignored: 2, Opened: 1}, b.Snapshot().Totals)
}

func TestVerdictOfOneCallByHand(t *testing.T) {
	b := newBreaker(t, breaker.Config{FailureThreshold: 1})
	p := acquire(t, b)
	p.Done(breaker.Success) // whatever the error of this call was
	p = acquire(t, b)
	p.DoneErr(context.Canceled)
	assert.Equal(t, breaker.Closed, b.State())
	acquire(t, b).DoneErr(errDown)
	assert.Equal(t, breaker.Open, b.State())
	assert.Equal(t, errDown, b.Snapshot().LastErr)
}

func TestDoneContextTakesNoPermit(t *testing.T) { // case 14
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{HalfOpenMaxCalls: 1})
		trip(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		run := func() error {
			_, err := breaker.Do(ctx, b, func(context.Context) (int, error) { panic("ran") })
			return err
		}
		rejected := b.Snapshot().Totals.Rejected
		require.ErrorIs(t, run(), context.Canceled, "the caller's end comes before the breaker's refusal")
		assert.Equal(t, rejected, b.Snapshot().Totals.Rejected)
		time.Sleep(reset)
		require.ErrorIs(t, run(), context.Canceled)
		assert.Zero(t, b.Snapshot().InFlight)
	})
}

func TestOwnTimeoutCallersDeadlineCallersCancel(t *testing.T) { // case 14
	wait := func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 7, fmt.Errorf("get: %w", ctx.Err())
	}
	tests := map[string]struct {
		config  breaker.Config
		caller  func(context.Context) (context.Context, context.CancelFunc)
		fn      func(context.Context) (int, error)
		is      error
		isNot   error
		failed  uint64
		ignored uint64
		after   time.Duration
	}{
		"own timeout": {
			caller: func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
			fn:     wait, is: breaker.ErrTimeout, failed: 1, after: opTimeout,
		},
		"own timeout is a failure whatever the classifier says": {
			config: breaker.Config{Classify: func(error) breaker.Verdict { return breaker.Ignore }},
			caller: func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
			fn:     wait, is: context.DeadlineExceeded, failed: 1, after: opTimeout,
		},
		"caller's deadline": {
			caller: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 2*time.Second)
			},
			fn: wait, is: context.DeadlineExceeded, isNot: breaker.ErrTimeout, failed: 1, after: 2 * time.Second,
		},
		"caller's deadline, ignored by the classifier": {
			config: breaker.Config{Classify: func(err error) breaker.Verdict {
				if errors.Is(err, context.DeadlineExceeded) {
					return breaker.Ignore
				}
				return breaker.Failure
			}},
			caller: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 2*time.Second)
			},
			fn: wait, is: context.DeadlineExceeded, isNot: breaker.ErrTimeout, ignored: 1, after: 2 * time.Second,
		},
		"caller's cancel": {
			caller: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(3*time.Second, cancel)
				return ctx, cancel
			},
			fn: wait, is: context.Canceled, isNot: breaker.ErrTimeout, ignored: 1, after: 3 * time.Second,
		},
		"a cancel that is not the caller's": {
			caller: func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} },
			fn:     func(context.Context) (int, error) { return 7, context.Canceled },
			is:     context.Canceled, failed: 1,
		},
		"caller's deadline without own timeout": {
			config: breaker.Config{OperationTimeout: breaker.NoTimeout},
			caller: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 2*time.Hour)
			},
			fn: wait, is: context.DeadlineExceeded, isNot: breaker.ErrTimeout, failed: 1, after: 2 * time.Hour,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, tt.config)
				start := time.Now()
				ctx, cancel := tt.caller(t.Context())
				defer cancel()
				v, err := breaker.Do(ctx, b, tt.fn)
				require.ErrorIs(t, err, tt.is)
				assert.Equal(t, tt.after, time.Since(start))
				if errors.Is(err, breaker.ErrTimeout) {
					assert.Zero(t, v, "a late result is dropped")
				} else {
					assert.Equal(t, 7, v)
				}
				if tt.isNot != nil {
					assert.NotErrorIs(t, err, tt.isNot)
				}
				totals := b.Snapshot().Totals
				assert.Equal(t, tt.failed, totals.Failed)
				assert.Equal(t, tt.ignored, totals.Ignored)
			})
		})
	}
}

func TestTimeoutErrorIsTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{Name: "llm", OperationTimeout: time.Second})
		_, err := breaker.Do(t.Context(), b, func(ctx context.Context) (int, error) {
			deadline, ok := ctx.Deadline()
			assert.True(t, ok)
			assert.Equal(t, time.Second, time.Until(deadline))
			<-ctx.Done()
			assert.Equal(t, context.DeadlineExceeded, ctx.Err())
			return 0, ctx.Err()
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var timeout *breaker.TimeoutError
		require.ErrorAs(t, err, &timeout)
		assert.Equal(t, time.Second, timeout.Limit)
		assert.True(t, timeout.Timeout())
		assert.Equal(t, `breaker "llm": call timed out after 1s`, err.Error())
	})
}

func TestTimeoutCountsWhenItFiresAndOnce(t *testing.T) { // case 15: the function is deaf and comes back much later
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{FailureThreshold: 1})
		var result error
		var value int
		go func() {
			value, result = breaker.Do(context.Background(), b, func(context.Context) (int, error) {
				time.Sleep(time.Minute)
				return 7, errDown
			})
		}()
		time.Sleep(opTimeout)
		synctest.Wait()
		assert.Equal(t, breaker.Open, b.State(), "before the body ends")
		assert.ErrorIs(t, b.Snapshot().LastErr, breaker.ErrTimeout)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.ErrorIs(t, result, breaker.ErrTimeout, "not the later error")
		assert.NotErrorIs(t, result, errDown)
		assert.Zero(t, value)
		totals := b.Snapshot().Totals
		assert.EqualValues(t, 1, totals.Failed)
		assert.EqualValues(t, 1, totals.TimedOut)
	})
}

func TestHungDependencyUnderShortCallerDeadlinesTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{})
		for range threshold {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_, _ = breaker.Do(ctx, b, func(context.Context) (int, error) { time.Sleep(time.Hour); return 0, nil })
			}()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, breaker.Open, b.State(), "though no function has returned")
		time.Sleep(time.Hour)
	})
}

func TestPanicIsCountedAndGoesOn(t *testing.T) { // case 10
	for name, timeout := range map[string]time.Duration{"timed": 0, "untimed": breaker.NoTimeout} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, breaker.Config{OperationTimeout: timeout})
				boom := errors.New("boom")
				crash := func() {
					defer func() { assert.Equal(t, boom, recover()) }()
					_, _ = breaker.Do(t.Context(), b, func(context.Context) (int, error) { panic(boom) })
					t.Error("the panic was swallowed")
				}
				for range threshold {
					crash()
				}
				assert.Equal(t, breaker.Open, b.State())
				assert.ErrorContains(t, b.Snapshot().LastErr, "panicked")
				time.Sleep(reset)
				crash()
				assert.Equal(t, breaker.Open, b.State(), "a probe that panics")
				assert.Zero(t, b.Snapshot().InFlight)
			})
		})
	}
}

func explode() { panic("deep") }

func TestPanicKeepsItsStack(t *testing.T) { // case 10
	b := newBreaker(t, breaker.Config{})
	defer func() {
		require.Equal(t, "deep", recover())
		var frames [64]uintptr
		names := ""
		all := runtime.CallersFrames(frames[:runtime.Callers(0, frames[:])])
		for {
			f, more := all.Next()
			names += f.Function + "\n"
			if !more {
				break
			}
		}
		assert.Contains(t, names, "breaker_test.explode")
	}()
	_, _ = breaker.Do(t.Context(), b, func(context.Context) (int, error) { explode(); return 0, nil })
}

func TestGoexitIsCountedAndFreesItsSlot(t *testing.T) { // case 10
	for name, timeout := range map[string]time.Duration{"timed": 0, "untimed": breaker.NoTimeout} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, breaker.Config{OperationTimeout: timeout})
				leave := func() {
					done := make(chan struct{})
					go func() {
						defer close(done)
						_, _ = breaker.Do(context.Background(), b, func(context.Context) (int, error) { runtime.Goexit(); return 0, nil })
						t.Error("Goexit was swallowed")
					}()
					<-done
				}
				for range threshold {
					leave()
				}
				require.Equal(t, breaker.Open, b.State())
				time.Sleep(reset)
				leave()
				assert.Equal(t, breaker.Open, b.State())
				assert.EqualValues(t, threshold+1, b.Snapshot().Totals.Failed)
			})
		})
	}
}

func TestClassifierThatPanicsLeavesOrCallsBack(t *testing.T) { // case 11
	t.Run("panics", func(t *testing.T) {
		var reported *breaker.PanicError
		b := newBreaker(t, breaker.Config{
			FailureThreshold: 1,
			Classify:         func(error) breaker.Verdict { panic("bad classifier") },
			OnPanic:          func(p *breaker.PanicError) { reported = p; panic("worse") },
		})
		require.ErrorIs(t, fail(b), errDown)
		assert.Equal(t, breaker.Open, b.State(), "the default verdict")
		require.NotNil(t, reported)
		assert.Equal(t, "breaker: panic in Classify: bad classifier", reported.Error())
		assert.Contains(t, string(reported.Stack), "do_test.go")
		assert.EqualValues(t, 1, b.Snapshot().Totals.Panics)
	})
	t.Run("ends the goroutine", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			leave := false
			b := newBreaker(t, breaker.Config{Classify: func(error) breaker.Verdict {
				if leave {
					runtime.Goexit()
				}
				return breaker.Failure
			}})
			halfOpen(t, b)
			leave = true
			go func() { _ = fail(b) }()
			synctest.Wait()
			assert.Equal(t, breaker.Open, b.State())
		})
	})
	t.Run("calls back", func(t *testing.T) {
		var b *breaker.Breaker
		b = newBreaker(t, breaker.Config{FailureThreshold: 1, Classify: func(error) breaker.Verdict {
			_ = b.Snapshot()
			_ = succeed(b)
			return breaker.Failure
		}})
		require.ErrorIs(t, fail(b), errDown)
		assert.Equal(t, breaker.Open, b.State())
	})
	t.Run("blocks its own call only", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{Classify: func(error) breaker.Verdict { time.Sleep(time.Hour); return breaker.Ignore }})
			go func() { _ = fail(b) }()
			synctest.Wait()
			start := time.Now()
			require.NoError(t, succeed(b))
			assert.Zero(t, time.Since(start))
			time.Sleep(time.Hour)
		})
	})
}

func TestRefusalsOfBreakersBelowAreNoFailures(t *testing.T) { // case 19
	for _, below := range []error{breaker.ErrOpen, breaker.ErrHalfOpenLimit, breaker.ErrSaturated, breaker.ErrStopped} {
		synctest.Test(t, func(t *testing.T) {
			b := newBreaker(t, breaker.Config{Classify: func(error) breaker.Verdict { return breaker.Failure }})
			refused := func() {
				_, err := breaker.Do(t.Context(), b, func(context.Context) (int, error) { return 0, fmt.Errorf("via proxy: %w", below) })
				require.ErrorIs(t, err, below)
			}
			for range 2 * threshold {
				refused()
			}
			require.Equal(t, breaker.Closed, b.State())
			halfOpen(t, b)
			for range 2 * slots {
				refused()
			}
			assert.Equal(t, breaker.HalfOpen, b.State())
			assert.Zero(t, b.Snapshot().InFlight)
		})
	}
}

func TestNestedBreakers(t *testing.T) { // case 19
	outer, inner := newBreaker(t, breaker.Config{Name: "outer"}), newBreaker(t, breaker.Config{Name: "inner", FailureThreshold: 1})
	for range 20 {
		_, err := breaker.Do(t.Context(), outer, func(ctx context.Context) (int, error) {
			return breaker.Do(ctx, inner, func(context.Context) (int, error) { return 0, errDown })
		})
		require.Error(t, err)
	}
	assert.Equal(t, breaker.Open, inner.State())
	assert.Equal(t, breaker.Closed, outer.State())
	assert.EqualValues(t, 1, outer.Snapshot().Totals.Failed)
}

func TestVerdictIsRecordedBeforeTheReply(t *testing.T) { // case 20
	b := newBreaker(t, breaker.Config{FailureThreshold: 1})
	require.ErrorIs(t, fail(b), errDown)
	require.ErrorIs(t, fail(b), breaker.ErrOpen)

	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, breaker.Config{FailureThreshold: 1})
		_, err := breaker.Do(t.Context(), b, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, nil })
		require.ErrorIs(t, err, breaker.ErrTimeout)
		require.ErrorIs(t, fail(b), breaker.ErrOpen)
	})
}

func TestWithTimeoutNoGoroutineIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the bubble itself fails if one is
		b := newBreaker(t, breaker.Config{})
		for range 100 {
			require.NoError(t, succeed(b))
		}
		trip(t, b)
	})
}
