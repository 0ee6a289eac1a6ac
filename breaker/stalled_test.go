package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/breaker"
)

// An answer that somebody else found stalled is the dependency's failure, whether its function heeds that or not; any other cancel isn't.
func TestStalledCallCountsAsAFailure(t *testing.T) {
	for _, tt := range []struct {
		name     string
		deaf     bool
		cause    error
		failures uint64
	}{
		{"stalled", false, &breaker.StalledError{Name: "llm", Chunks: 3, Silence: time.Second, Phi: 9}, 1},
		{"stalled and deaf", true, &breaker.StalledError{Name: "llm", Chunks: 3, Silence: time.Second, Phi: 9}, 1},
		{"cancelled", false, errors.New("not wanted any more"), 0},
		{"cancelled and deaf", true, errors.New("not wanted any more"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			withRig(t, breaker.Config{OperationTimeout: time.Minute}, func(r *rig) {
				ctx, cancel := context.WithCancelCause(context.Background())
				go func() {
					time.Sleep(time.Hour) // far beyond the operation timeout
					cancel(tt.cause)
				}()
				_, err := breaker.ThroughWatched(ctx, r.system, r.pid, func(ctx context.Context) (int, error) {
					if tt.deaf {
						time.Sleep(90 * time.Minute)
						return 1, nil
					}
					<-ctx.Done()
					return 0, ctx.Err()
				})
				synctest.Wait()
				require.Equal(t, tt.failures, r.breaker.Snapshot().Totals.Failed)
				var stalled *breaker.StalledError
				require.Equal(t, tt.failures == 1, errors.As(err, &stalled))
				if stalled != nil {
					require.Same(t, tt.cause, stalled)
					require.True(t, stalled.Timeout())
					require.Contains(t, stalled.Error(), "stalled after 3 chunks")
				} else {
					require.ErrorIs(t, err, context.Canceled)
				}
				require.Zero(t, r.breaker.Snapshot().Totals.Succeeded)
			})
		})
	}
}

func TestAStallSaysWhyItIsOne(t *testing.T) {
	for want, e := range map[string]breaker.StalledError{
		"(phi 9.0)":                     {Phi: 9},
		"(the most it may be, phi 7.5)": {Phi: 7.5, Max: true},
		"(the most it may be; what is usual isn't known yet)": {Max: true},
	} {
		e.Name, e.Chunks, e.Silence = "llm", 3, time.Second
		require.EqualError(t, &e, "breaker llm: answer stalled after 3 chunks: silent for 1s "+want)
	}
}

func TestWatchedCallIsNotBoundByTheOperationTimeout(t *testing.T) {
	withRig(t, breaker.Config{OperationTimeout: time.Second}, func(r *rig) {
		got, err := breaker.ThroughWatched(context.Background(), r.system, r.pid, func(context.Context) (int, error) {
			time.Sleep(time.Hour)
			return 7, nil
		})
		require.NoError(t, err)
		require.Equal(t, 7, got)
		require.EqualValues(t, 1, r.breaker.Snapshot().Totals.Succeeded)
	})
}

// What a stalled answer was waiting for inside is cancelled with it. That is nothing that its own dependency did.
func TestAStallIsNotChargedToTheCallsInside(t *testing.T) {
	through := map[string]func(context.Context, *rig, func(context.Context) (int, error)) (int, error){
		"bound": func(ctx context.Context, r *rig, fn func(context.Context) (int, error)) (int, error) {
			return breaker.Through(ctx, r.system, r.pid, fn)
		},
		"watched": func(ctx context.Context, r *rig, fn func(context.Context) (int, error)) (int, error) {
			return breaker.ThroughWatched(ctx, r.system, r.pid, fn)
		},
		"detached": func(ctx context.Context, r *rig, fn func(context.Context) (int, error)) (int, error) {
			return breaker.DoDetached(ctx, r.breaker, fn)
		},
		"on the spot": func(ctx context.Context, r *rig, fn func(context.Context) (int, error)) (int, error) {
			return breaker.Do(ctx, r.breaker, fn)
		},
	}
	for name, inside := range through {
		for _, deaf := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, deaf %t", name, deaf), func(t *testing.T) {
				withRig(t, breaker.Config{OperationTimeout: 2 * time.Hour}, func(r *rig) {
					ctx, cancel := context.WithCancelCause(context.Background())
					stall := &breaker.StalledError{Name: "llm"}
					time.AfterFunc(time.Hour, func() { cancel(stall) })
					var told error
					_, err := breaker.ThroughWatched(ctx, r.system, r.pid, func(ctx context.Context) (int, error) {
						_, told = inside(ctx, r, func(ctx context.Context) (int, error) {
							if deaf {
								time.Sleep(90 * time.Minute)
							} else {
								<-ctx.Done()
							}
							return 0, ctx.Err()
						})
						return 0, told
					})
					require.Same(t, stall, err)
					time.Sleep(time.Hour)
					synctest.Wait()
					require.ErrorIs(t, told, context.Canceled)
					totals := r.breaker.Snapshot().Totals
					require.EqualValues(t, 1, totals.Failed)
					require.EqualValues(t, 1, totals.Ignored)
				})
			})
		}
	}
}
