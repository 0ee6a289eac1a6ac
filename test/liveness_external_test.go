package test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
)

// What stands before a call in an External has limits of its own, also where the call itself has none: a handler that waits for it doesn't hang.
func TestLivenessDoesNotJudgeTheWaitsOfAnExternal(t *testing.T) {
	unlimited := breaker.Config{OperationTimeout: breaker.NoTimeout}
	externals := map[string]breaker.ExternalConfig{
		"limiter":  {Breaker: unlimited, Limiter: breaker.LimiterConfig{Rate: 0.02, Burst: 1, MaxWait: time.Hour}},
		"bulkhead": {Breaker: unlimited, Bulkhead: breaker.BulkheadConfig{MaxConcurrent: 1, MaxWait: time.Hour}},
		"retry":    {Breaker: unlimited, Retry: breaker.Retry{Attempts: 3, Delay: 50 * time.Second, MaxDelay: time.Minute}},
	}
	guards := map[string]func(ctx context.Context, fn func() error) (int, error){
		"call": func(ctx context.Context, fn func() error) (int, error) {
			return actors.Guard(ctx, "svc", func(context.Context) (int, error) { return 0, fn() })
		},
		"stream": func(ctx context.Context, fn func() error) (int, error) {
			return actors.GuardStream(ctx, "svc", func(context.Context, func()) (int, error) { return 0, fn() })
		},
	}
	for name, external := range externals {
		for through, guard := range guards {
			t.Run(name+" of a "+through, func(t *testing.T) {
				inVirtualTime(t, func(t *testing.T) {
					events := silences()
					agent := actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						calls := 0
						return guard(ctx, func() error {
							for range 10 {
								time.Sleep(4 * time.Second)
								routing.Beat(ctx)
							}
							if calls++; calls == 1 && name == "retry" {
								return errBoom
							}
							return nil
						})
					}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 10 * time.Second}})
					tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
						actors.External{ID: "svc", Config: external, Stream: actors.Liveness{OnHung: actors.HungIgnore}},
						actors.Pool(2, agent),
					}}, actors.WithSubscription(events))
					var handles []*routing.Handle[int]
					for i := range 2 {
						h, err := job.Submit(t.Context(), tree, i, routing.MaxAttempts(1))
						require.NoError(t, err)
						handles = append(handles, h)
					}
					for _, h := range handles {
						_, err := h.Await(within(t, time.Hour))
						require.NoError(t, err)
					}
					stop(t, tree)
					require.Empty(t, drain(events))
				})
			})
		}
	}
}

// An attempt without a limit is judged while it runs, also after a wait.
func TestLivenessJudgesWhatAnExternalTriesAgain(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := silences()
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.External{ID: "svc", Config: breaker.ExternalConfig{
				Breaker: breaker.Config{OperationTimeout: breaker.NoTimeout},
				Retry:   breaker.Retry{Attempts: 2, Delay: time.Minute, MaxDelay: time.Minute},
			}},
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				calls := 0
				return actors.Guard(ctx, "svc", func(ctx context.Context) (int, error) {
					if calls++; calls == 1 {
						return 0, errBoom
					}
					<-ctx.Done()
					return 0, ctx.Err()
				})
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 10 * time.Second}}),
		}}, actors.WithSubscription(events))
		h, err := job.Submit(t.Context(), tree, 1, routing.MaxAttempts(1))
		require.NoError(t, err)
		_, err = h.Await(within(t, time.Hour))
		require.Error(t, err)
		stop(t, tree)
		hung := drain(events)
		require.Equal(t, []actors.EventKind{actors.Suspected, actors.Hung}, kindsOf(hung)[:2])
		require.InDelta(t, 10*time.Second, hung[1].Delay, float64(time.Second))
	})
}
