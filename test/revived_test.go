package test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// A supervisor that was forgotten with the one above it before it was ever started has its children when it starts for the first time.
func TestSupervisorForgottenBeforeItsFirstStart(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var broken atomic.Bool
		broken.Store(true)
		first := actors.Actor("first", func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*actor.Started); ok && broken.Load() {
					actors.Exit(ctx, actors.ErrIgnore)
				}
			})
		})
		gate := actors.Supervisor{ID: "gone", Lifecycle: actors.Lifecycle{Restart: actors.Temporary}, Strategy: strategies.OneForOne(strategies.NeverRestart()),
			Init: func(context.Context) error {
				if broken.Load() {
					return actors.ErrIgnore // temporary and ignored: its spec is dropped, and what is below it was never started
				}
				return nil
			},
			Children: []actors.Child{first, actors.Supervisor{ID: "below", Children: []actors.Child{plain("leaf", hooks{})}}},
		}
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "outer", Children: []actors.Child{gate}},
		}})
		require.Nil(t, tree.PID("root/outer/gone/below/leaf"))
		broken.Store(false)
		failures := tree.Subscribe(100, actors.StartFailed)
		require.NoError(t, tree.Kill("root/outer"))
		synctest.Wait()
		require.NotNil(t, tree.PID("root/outer/gone/below/leaf"))
		require.Empty(t, failures.Events(), "it starts at the first attempt")
		leaf, ok := tree.Node("root/outer/gone/below/leaf")
		require.True(t, ok)
		require.Equal(t, actors.StatusRunning, leaf.Status)
		stop(t, tree)
	})
}
