package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

// Who cuts a run short waits for what agents are working on, for a while, but not for one that awaits subtasks: with a store the next process goes on with it.
func TestNobodyWaitsForSubtasksThatAreKept(t *testing.T) {
	outer, inner := routing.NewType[bool, string]("outer"), routing.NewType[string, string]("inner")
	for name, c := range map[string]struct {
		awaits bool
		want   time.Duration
	}{"it awaits a subtask": {true, 0}, "it works itself": {false, drainTimeout}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				goOn := newOnce()
				tree, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{
					actors.Agent("outer", outer, func(ctx context.Context, awaits bool) (string, error) {
						<-goOn.c
						if tree, _ := actors.TreeFromContext(ctx); awaits {
							return inner.Do(ctx, tree, "x")
						}
						<-ctx.Done()
						return "", context.Cause(ctx)
					}),
					actors.Agent("inner", inner, func(_ context.Context, in string) (string, error) { return in, nil }),
				}})
				require.NoError(t, err)
				h, err := outer.Submit(t.Context(), tree, c.awaits)
				require.NoError(t, err)
				synctest.Wait()
				tree.Hub().Pause()
				goOn.give()
				synctest.Wait()

				began := time.Now()
				keepWaiting(&job{tree: tree, durable: true}, errOutOfTime)
				require.Equal(t, c.want, time.Since(began))
				<-h.Done()
				require.NoError(t, tree.Stop(t.Context()))
				time.Sleep(time.Second) // protoactor's dead letter throttle lives on for a moment
			})
		})
	}
}

// Whoever takes too long to stop hasn't hung if it returns after all.
func TestWhoReturnsAfterAllHasStopped(t *testing.T) {
	for name, c := range map[string]struct {
		takes time.Duration
		hangs bool
	}{"soon": {time.Second, false}, "late": {2 * actors.DefaultShutdown, false}, "never": {time.Hour, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tree, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{
					actors.Actor("a", func() actor.Actor {
						return actor.ReceiveFunc(func(ctx actor.Context) {
							if _, stops := ctx.Message().(*actor.Stopping); stops {
								time.Sleep(c.takes)
							}
						})
					}),
				}})
				require.NoError(t, err)
				var left *actors.AbandonedError
				require.Equal(t, c.hangs, errors.As(stopTree(tree), &left))
				time.Sleep(time.Hour)
			})
		})
	}
}
