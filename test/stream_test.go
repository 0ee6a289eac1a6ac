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
