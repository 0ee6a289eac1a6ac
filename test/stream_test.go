package test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
)

// The pieces of an answer come in bursts: a network brings several at once. That says nothing about how long a silence may be.
func TestAStalledStreamIsFoundHoweverItsPiecesCameBunched(t *testing.T) {
	for name, gaps := range map[string][]time.Duration{
		"evenly":             {20 * time.Millisecond},
		"in pairs":           {10 * time.Microsecond, 40 * time.Millisecond},
		"in bunches of five": {time.Microsecond, time.Microsecond, 10 * time.Microsecond, time.Microsecond, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				var silentSince time.Time
				call := func(ctx context.Context) (int, error) {
					return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
						for i := range 100 {
							time.Sleep(gaps[i%len(gaps)])
							beat()
						}
						silentSince = time.Now()
						<-ctx.Done()
						return 0, context.Cause(ctx)
					})
				}
				failed := make(chan error, 1)
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Breaker{ID: "llm"},
					actors.Agent("asker", longType, func(ctx context.Context, _ int) (int, error) {
						_, err := call(ctx)
						failed <- err
						return 1, nil
					}),
				}})
				_, err := longType.Do(context.Background(), tree, 1)
				require.NoError(t, err)
				var stall *breaker.StalledError
				require.ErrorAs(t, <-failed, &stall)
				require.Equal(t, 100, stall.Chunks)
				require.GreaterOrEqual(t, stall.Phi, actors.DefaultStreamPhi)
				require.Less(t, time.Since(silentSince), 5*time.Second)
			})
		})
	}
}

// Of an answer that pauses longer than any before it, nobody knows whether it hangs. Each attempt of its task waits four times as long, and what that finds out holds for all.
func TestAStreamHasMoreTimeEachTime(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		answer := func(ctx context.Context, beat func(), pause time.Duration) (int, error) {
			for i := range 200 {
				gap := 20 * time.Millisecond
				if i == 100 {
					gap = pause
				}
				select {
				case <-time.After(gap):
					beat()
				case <-ctx.Done():
					return 0, context.Cause(ctx)
				}
			}
			return 1, nil
		}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Agent("asker", longType, func(ctx context.Context, seconds int) (int, error) {
				return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
					return answer(ctx, beat, time.Duration(seconds)*time.Second)
				})
			}),
		}})
		attempts := func(seconds int) (n int) {
			t.Helper()
			h, err := longType.Submit(t.Context(), tree, seconds)
			require.NoError(t, err)
			_, err = h.Await(within(t, time.Hour))
			require.NoError(t, err)
			info, _ := tree.Hub().Inspect(h.ID())
			for _, a := range info.Attempts[:len(info.Attempts)-1] {
				var stall *breaker.StalledError
				require.ErrorAs(t, a.Err, &stall)
			}
			return len(info.Attempts)
		}
		require.Equal(t, 1, attempts(0))
		require.Equal(t, 3, attempts(15))
		require.Equal(t, 1, attempts(15))
		stop(t, tree)
	})
}
