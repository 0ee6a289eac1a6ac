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
			{"fail: what nobody sees", tree.Fail("root/$tree", errors.New("dark")), actors.ErrNotFound},
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

// stuck is an actor that doesn't stop before it may.
func stuck(id string, may <-chan struct{}) actors.ActorSpec {
	return actors.Actor(id, func() actor.Actor {
		return actor.ReceiveFunc(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Stopping); ok {
				<-may
			}
		})
	}).With(actors.Lifecycle{Shutdown: actors.NoLimit})
}

// Law 6: what waits for a supervisor is bounded, and what nobody waits for any more doesn't count.
func TestCallsToABusySupervisorAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		may := make(chan struct{})
		busy := actors.Supervisor{ID: "busy", Children: []actors.Child{stuck("a", may)}, Lifecycle: actors.Lifecycle{Queue: 3}}
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{busy}})
		results := make(chan error, 10)
		begun := func(call func(ctx context.Context) error) context.CancelFunc {
			ctx, cancel := context.WithCancel(t.Context())
			go func() { results <- call(ctx) }()
			synctest.Wait()
			return cancel
		}
		newcomer := func(id string) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := tree.StartChild(ctx, "root/busy", answering(id, id))
				return err
			}
		}
		terminate := begun(func(ctx context.Context) error { return tree.TerminateChild(ctx, "root/busy/a") })
		withdraw := begun(newcomer("b"))
		keep := begun(newcomer("c"))
		defer keep()
		_, err := tree.CountChildren(t.Context(), "root/busy")
		require.ErrorIs(t, err, actors.ErrBusy)
		require.ErrorContains(t, err, "root/busy: ")

		withdraw()
		require.ErrorIs(t, <-results, context.Canceled)
		synctest.Wait()
		last := begun(newcomer("d")) // in the place of b
		defer last()
		terminate() // it is being carried out: too late
		require.ErrorIs(t, <-results, context.Canceled)
		a := tree.PID("root/busy/a")
		tree.ActorSystem().Root.Stop(a)
		require.Zero(t, testing.AllocsPerRun(100, func() { tree.ActorSystem().Root.Stop(a) }), "nobody waits for these, and all are one: nothing is kept")
		require.Empty(t, results)
		_, err = tree.CountChildren(t.Context(), "root/busy")
		require.ErrorIs(t, err, actors.ErrBusy)

		close(may)
		require.NoError(t, <-results)
		require.NoError(t, <-results)
		synctest.Wait()
		require.Equal(t, "a undefined, c up, d up", childStates(t, tree, "root/busy"), "b was taken back before its turn came")
	})
}

// A call that is withdrawn while the supervisor's own code keeps its goroutine isn't carried out either.
func TestACallIsWithdrawnBeforeTheSupervisorHasSeenIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := false
		sup := actors.Supervisor{ID: "s", Init: func(context.Context) error {
			if slow {
				time.Sleep(time.Minute)
			}
			return nil
		}, Children: []actors.Child{answering("a", "")}}
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{sup}})
		slow = true
		require.NoError(t, tree.Kill("root/s"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := tree.StartChild(ctx, "root/s", answering("b", ""))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, "a up", childStates(t, tree, "root/s"))
	})
}

// Stopping by PID what is being stopped asks for nothing more, however often; after that it does.
func TestStopByPIDAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "a")}})
		for range 3 {
			for range 10 {
				tree.ActorSystem().Root.Stop(tree.PID("root/a"))
			}
			synctest.Wait()
			require.Equal(t, "a undefined", childStates(t, tree, "root"))
			_, err := tree.RestartChild(t.Context(), "root/a")
			require.NoError(t, err)
			require.Equal(t, "a", ask(t, tree, "root/a"))
		}
	})
}
