package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

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
