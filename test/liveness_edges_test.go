package test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

// What a handler leaves running when it returns says nothing about the tasks that its agent handles after it.
func TestLivenessIsNotDeceivedByWhatAnEarlierHandlerLeft(t *testing.T) {
	tests := map[string]func(ctx context.Context, over <-chan struct{}){
		"a guarded call": func(ctx context.Context, _ <-chan struct{}) {
			_, _ = actors.Guard(ctx, "slow", func(context.Context) (int, error) { time.Sleep(time.Second); return 1, nil })
		},
		"a ticker that beats": func(ctx context.Context, over <-chan struct{}) {
			for {
				select {
				case <-time.After(50 * time.Millisecond):
					routing.Beat(ctx)
				case <-over:
					return
				}
			}
		},
	}
	for name, leaves := range tests {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				over := make(chan struct{})
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Breaker{ID: "slow"},
					actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						info, _ := routing.FromContext(ctx)
						switch {
						case n == 0:
							go leaves(ctx, over)
							time.Sleep(10 * time.Millisecond)
						case info.Attempt == 1:
							<-ctx.Done()
						}
						return n, nil
					}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}}),
				}})
				first, err := job.Submit(t.Context(), tree, 0)
				require.NoError(t, err)
				second, err := job.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				_, err = first.Await(t.Context())
				require.NoError(t, err)
				took := took(func() {
					_, err = second.Await(within(t, time.Hour))
				})
				close(over)
				require.NoError(t, err)
				require.Less(t, took, 6*time.Second)
				stop(t, tree)
			})
		})
	}
}

// Whoever ends one wait twice has ended one.
func TestLivenessWaitingIsOverOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				done := routing.Waiting(ctx)
				defer done()
				time.Sleep(time.Minute)
				done()
				if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
					done()
					<-ctx.Done()
				}
				return n, nil
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}}),
		}})
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		_, err = h.Await(within(t, time.Hour))
		require.NoError(t, err)
		info, _ := tree.Hub().Inspect(h.ID())
		require.Equal(t, routing.OutcomeHung, info.Attempts[0].Outcome)
		stop(t, tree)
	})
}
