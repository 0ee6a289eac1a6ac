package actors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

var errSick = errors.New("sick")

func TestDynamicCallsAndTheirRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			answering("up", ""), answering("down", ""),
			actors.Supervisor{ID: "d", Template: answering("t", "")},
			actors.Supervisor{ID: "waits", Strategy: strategies.OneForOne(strategies.AlwaysRestart().WithBackoff(strategies.Fixed(time.Hour))), Children: []actors.Child{answering("a", "")}},
		}})
		ctx := t.Context()
		require.NoError(t, tree.TerminateChild(ctx, "root/down"))
		tree.ActorSystem().Root.Send(tree.PID("root/waits/a"), errSick)
		synctest.Wait()
		child := func(_ *actor.PID, err error) error { return err }
		tests := []struct {
			name string
			err  error
			want error
		}{
			{"start: running", child(tree.StartChild(ctx, "root", answering("up", ""))), actors.ErrAlreadyStarted},
			{"start: down", child(tree.StartChild(ctx, "root", answering("down", ""))), actors.ErrAlreadyPresent},
			{"start: waits", child(tree.StartChild(ctx, "root/waits", answering("a", ""))), actors.ErrAlreadyPresent},
			{"start below nobody", child(tree.StartChild(ctx, "root/z", answering("a", ""))), actors.ErrNotFound},
			{"start below an actor", child(tree.StartChild(ctx, "root/up", answering("a", ""))), actors.ErrNotSupervisor},
			{"start below a dynamic supervisor", child(tree.StartChild(ctx, "root/d", answering("a", ""))), actors.ErrDynamic},
			{"start that fails", child(tree.StartChild(ctx, "root", sick("sick", errSick))), errSick},
			{"restart: running", child(tree.RestartChild(ctx, "root/up")), actors.ErrRunning},
			{"restart: waits", child(tree.RestartChild(ctx, "root/waits/a")), actors.ErrRestarting},
			{"restart: nobody", child(tree.RestartChild(ctx, "root/z")), actors.ErrNotFound},
			{"restart: root", child(tree.RestartChild(ctx, "root")), actors.ErrIsRoot},
			{"restart: hub", child(tree.RestartChild(ctx, "root/$hub")), actors.ErrNotFound},
			{"restart: instance", child(tree.RestartChild(ctx, "root/d/x")), actors.ErrDynamic},
			{"delete: running", tree.DeleteChild(ctx, "root/up"), actors.ErrRunning},
			{"delete: waits", tree.DeleteChild(ctx, "root/waits/a"), actors.ErrRestarting},
			{"delete: nobody", tree.DeleteChild(ctx, "root/z"), actors.ErrNotFound},
			{"terminate: nobody", tree.TerminateChild(ctx, "root/z"), actors.ErrNotFound},
			{"terminate: root", tree.TerminateChild(ctx, "root"), actors.ErrIsRoot},
			{"terminate: hub", tree.TerminateChild(ctx, "root/$hub"), actors.ErrNotFound},
			{"terminate: below nobody", tree.TerminateChild(ctx, "root/z/a"), actors.ErrNotFound},
			{"terminate: down", tree.TerminateChild(ctx, "root/down"), nil},
			{"terminate: instance that never was", tree.TerminateChild(ctx, "root/d/x"), nil},
			{"kill: nobody", tree.Kill("root/z"), actors.ErrNotFound},
			{"kill: down", tree.Kill("root/down"), actors.ErrStopped},
			{"kill: what nobody sees", tree.Kill("root/$tree"), actors.ErrNotFound},
		}
		for _, tt := range tests {
			if tt.want == nil {
				require.NoError(t, tt.err, tt.name)
				continue
			}
			require.ErrorIs(t, tt.err, tt.want, tt.name)
			require.ErrorContains(t, tt.err, "root", tt.name)
		}
		require.Equal(t, "up up, down undefined, d up, waits up", childStates(t, tree, "root"))
		require.Nil(t, tree.PID("root/sick"))
	})
}

func TestLifeOfADynamicChild(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "")}})
		pid, err := tree.StartChild(t.Context(), "root", answering("b", "hello"))
		require.NoError(t, err)
		require.Equal(t, tree.PID("root/b"), pid)
		require.Equal(t, "hello", ask(t, tree, "root/b"))
		spec, err := tree.ChildSpec(t.Context(), "root/b")
		require.NoError(t, err)
		require.Equal(t, "b", spec.(actors.ActorSpec).ID)
		require.NoError(t, tree.TerminateChild(t.Context(), "root/b"))
		again, err := tree.RestartChild(t.Context(), "root/b")
		require.NoError(t, err)
		require.Equal(t, pid, again)
		require.NoError(t, tree.TerminateChild(t.Context(), "root/b"))
		require.NoError(t, tree.DeleteChild(t.Context(), "root/b"))
		require.Nil(t, tree.PID("root/b"))
		_, found := tree.Node("root/b")
		require.False(t, found)
		require.Equal(t, "a up", childStates(t, tree, "root"))

		_, err = tree.StartChild(t.Context(), "root", answering("c", "").With(actors.Lifecycle{Restart: actors.Temporary}))
		require.NoError(t, err)
		require.NoError(t, tree.TerminateChild(t.Context(), "root/c"))
		require.Equal(t, "a up", childStates(t, tree, "root"), "the spec of a temporary child goes with it")
	})
}

func TestChildrenThatAskToBeIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ignored := actors.NewSubscription(10, actors.Ignored, actors.StartFailed, actors.Failed)
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			sick("static", actors.ErrIgnore),
			sick("temporary", actors.ErrIgnore).With(actors.Lifecycle{Restart: actors.Temporary}),
			actors.Supervisor{ID: "sup", Init: func(context.Context) error { return actors.ErrIgnore }, Children: []actors.Child{answering("a", "")}},
		}}, actors.WithSubscription(ignored))
		require.Equal(t, "static undefined, sup undefined", childStates(t, tree, "root"))
		pid, err := tree.StartChild(t.Context(), "root", sick("late", fmt.Errorf("wrapped: %w", actors.ErrIgnore)))
		require.NoError(t, err)
		require.Nil(t, pid)
		for _, path := range []string{"root/static", "root/temporary", "root/sup", "root/late"} {
			e := <-ignored.Events()
			require.Equal(t, actors.Ignored, e.Kind)
			require.Equal(t, path, e.Path)
		}
		for _, path := range []string{"root/static", "root/sup", "root/late"} {
			n, _ := tree.Node(path)
			require.Zero(t, n.Failures, path)
			require.Equal(t, actors.StatusStopped, n.Status, path)
		}
	})
}

func TestCallsOnATreeThatHasStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "")}})
		require.NoError(t, tree.Stop(t.Context()))
		require.NoError(t, tree.Stop(t.Context()), "again")
		_, err := tree.StartChild(t.Context(), "root", answering("b", ""))
		require.ErrorIs(t, err, actors.ErrStopped)
		require.ErrorIs(t, tree.TerminateChild(t.Context(), "root/a"), actors.ErrStopped)
		_, err = tree.Children(t.Context(), "root")
		require.ErrorIs(t, err, actors.ErrStopped)
		require.ErrorIs(t, tree.Kill("root/a"), actors.ErrStopped)
		require.NoError(t, tree.Err())
	})
}
