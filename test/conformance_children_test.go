package test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// ---- counts and lists

func countChildren(t *testing.T) {
	tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
		plain("a", hooks{}),
		plain("gone", hooks{}).With(actors.Lifecycle{Restart: actors.Temporary}),
		plain("ended", hooks{}).With(actors.Lifecycle{Restart: actors.Transient}),
	}})
	requireCount(t, tree, "root", actors.ChildCount{Specs: 3, Active: 3, Workers: 3})
	send(tree, "root/gone", exit(nil))
	send(tree, "root/ended", exit(nil))
	synctest.Wait()
	requireCount(t, tree, "root", actors.ChildCount{Specs: 2, Active: 1, Workers: 2})
	require.NoError(t, tree.TerminateChild(t.Context(), "root/a"))
	requireCount(t, tree, "root", actors.ChildCount{Specs: 2, Workers: 2})
	require.NoError(t, tree.DeleteChild(t.Context(), "root/a"))
	requireCount(t, tree, "root", actors.ChildCount{Specs: 1, Workers: 1})

	_, err := tree.CountChildren(t.Context(), "root/none")
	require.ErrorIs(t, err, actors.ErrNotFound)
	_, err = tree.CountChildren(t.Context(), "root/ended")
	require.ErrorIs(t, err, actors.ErrNotSupervisor)
}

func supervisorsAreCountedApart(t *testing.T) {
	tree := begin(t, dynamic(actors.Supervisor{ID: "t", Children: []actors.Child{plain("a", hooks{})}}))
	startInstances(t, tree, "x", "y")
	_, err := tree.StartChild(t.Context(), "root", plain("w", hooks{}))
	require.NoError(t, err)
	requireCount(t, tree, "root", actors.ChildCount{Specs: 2, Active: 2, Supervisors: 1, Workers: 1})
	requireCount(t, tree, "root/d", actors.ChildCount{Specs: 1, Active: 2, Supervisors: 2})
	requireCount(t, tree, "root/d/x", actors.ChildCount{Specs: 1, Active: 1, Workers: 1})
	require.NoError(t, tree.TerminateChild(t.Context(), "root/d"))
	requireCount(t, tree, "root", actors.ChildCount{Specs: 2, Active: 1, Supervisors: 1, Workers: 1})
}

// whichChild looks one child up in the list of its siblings, and by itself: both say the same.
func whichChild(t *testing.T) {
	policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(time.Minute))
	tree := begin(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
		plain("up", hooks{}), plain("down", hooks{}), plain("waits", hooks{}), actors.Supervisor{ID: "s"}}})
	require.NoError(t, tree.TerminateChild(t.Context(), "root/down"))
	send(tree, "root/waits", do(crash))
	synctest.Wait()

	children, err := tree.Children(t.Context(), "root")
	require.NoError(t, err)
	require.Len(t, children, 4)
	for i, want := range []struct {
		id          string
		kind        actors.Kind
		state       actors.ChildState
		incarnation uint64
		status      actors.Status
	}{
		{"up", actors.KindActor, actors.ChildUp, 1, actors.StatusRunning},
		{"down", actors.KindActor, actors.ChildUndefined, 0, actors.StatusStopped},
		{"waits", actors.KindActor, actors.ChildRestarting, 0, actors.StatusBackingOff},
		{"s", actors.KindSupervisor, actors.ChildUp, 1, actors.StatusRunning},
	} {
		path := "root/" + want.id
		require.Equal(t, actors.ChildInfo{ID: want.id, PID: tree.PID(path), Kind: want.kind, State: want.state, Incarnation: want.incarnation, Restart: actors.Permanent}, children[i])
		n := node(t, tree, path)
		require.Equal(t, want.status, n.Status, want.id)
		require.Equal(t, want.kind, n.Kind)
		require.Equal(t, children[i].PID, n.PID)
		spec, err := tree.ChildSpec(t.Context(), path)
		require.NoError(t, err)
		if want.kind == actors.KindSupervisor {
			require.Equal(t, want.id, spec.(actors.Supervisor).ID)
		} else {
			require.Equal(t, want.id, spec.(actors.ActorSpec).ID)
		}
	}
	_, ok := tree.Node("root/none")
	require.False(t, ok)
	_, err = tree.ChildSpec(t.Context(), "root/none")
	require.ErrorIs(t, err, actors.ErrNotFound)
}

func whichInstance(t *testing.T) {
	tree := begin(t, dynamic(obedient(actors.Lifecycle{})))
	require.Empty(t, states(t, tree, "root/d"))
	startInstances(t, tree, "x", "y")
	require.Equal(t, "x up, y up", states(t, tree, "root/d"))
	requireRunning(t, tree, "root/d/y", 1)
	require.NoError(t, tree.TerminateChild(t.Context(), "root/d/x"))
	require.Equal(t, "y up", states(t, tree, "root/d"))
	_, ok := tree.Node("root/d/x")
	require.False(t, ok)
	_, err := tree.ChildSpec(t.Context(), "root/d/x")
	require.ErrorIs(t, err, actors.ErrNotFound)
}

func specOfAnInstanceByItsPID(t *testing.T) {
	tree := begin(t, dynamic(obedient(actors.Lifecycle{Restart: actors.Transient, Shutdown: time.Second})))
	pid, err := tree.StartInstance(t.Context(), "root/d", "x")
	require.NoError(t, err)
	for _, path := range []string{pid.Id, "root/d/a"} {
		spec, err := tree.ChildSpec(t.Context(), path)
		require.NoError(t, err)
		require.Equal(t, "a", spec.(actors.ActorSpec).ID, "that of the template")
		require.Equal(t, actors.Lifecycle{Restart: actors.Transient, Shutdown: time.Second}, spec.(actors.ActorSpec).Lifecycle)
	}
	_, err = tree.ChildSpec(t.Context(), "root/d/none")
	require.ErrorIs(t, err, actors.ErrNotFound)
}

// ---- restarts of instances

func argumentsAreKeptForRestarts(t *testing.T) {
	j := &journal{}
	tree := begin(t, dynamic(actors.Actor("t", func() actor.Actor {
		return actor.ReceiveFunc(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case *actor.Started:
				j.add("%s %v", ctx.Self().Id, actors.Args(ctx))
			case do:
				m(ctx)
			}
		})
	})))
	_, err := tree.StartInstance(t.Context(), "root/d", "x", "one", 2)
	require.NoError(t, err)
	_, err = tree.StartInstance(t.Context(), "root/d", "y")
	require.NoError(t, err)
	send(tree, "root/d/x", do(crash))
	send(tree, "root/d/y", do(crash))
	synctest.Wait()
	require.ElementsMatch(t, []string{"root/d/x [one 2]", "root/d/y []", "root/d/x [one 2]", "root/d/y []"}, j.take())
	requireRunning(t, tree, "root/d/x", 2)

	ids := numbered(20)
	held := loadInstances(t, tree, ids)
	for _, id := range ids {
		require.NoError(t, tree.TerminateChild(t.Context(), "root/d/"+id))
	}
	require.Equal(t, "x up, y up", states(t, tree, "root/d"))
	requireDropped(t, held, "after their instances are gone")
}

// failingRestarts is a template whose instance "x" fails to start, or is ignored, after its first start, so many times.
func failingRestarts(times int32, reason error) actors.ActorSpec {
	var starts atomic.Int32
	return plain("t", hooks{started: func(ctx actor.Context) {
		if instance(ctx) != "x" {
			return
		}
		if n := starts.Add(1); n > 1 && n <= times+1 {
			actors.Exit(ctx, reason)
		}
	}})
}

func ignoreOnRestartDropsTheInstance(t *testing.T) {
	tree := begin(t, dynamic(failingRestarts(1, actors.ErrIgnore)))
	startInstances(t, tree, "x", "y")
	send(tree, "root/d/x", do(crash))
	synctest.Wait()
	require.Equal(t, "y up", states(t, tree, "root/d"))
	requireCount(t, tree, "root/d", actors.ChildCount{Specs: 1, Active: 1, Workers: 1})
	require.Nil(t, tree.PID("root/d/x"))
	startInstances(t, tree, "x")
	require.Equal(t, "y up, x up", states(t, tree, "root/d"), "its name is free")
	send(tree, "root/d/y", do(crash))
	synctest.Wait()
	requireRunning(t, tree, "root/d/y", 2)
}

// callsAreServedWhileAnInstanceKeepsFailing queues calls behind the exit of an instance that can't be started again: they are answered between the attempts.
func callsAreServedWhileAnInstanceKeepsFailing(t *testing.T) {
	for _, cancel := range []bool{false, true} {
		root := dynamic(failingRestarts(3, errBoom))
		d := root.Children[0].(actors.Supervisor)
		d.Strategy = strategies.OneForOne(strategies.MaxRestarts(4, time.Minute))
		root.Children[0] = d
		tree := begin(t, root)
		startInstances(t, tree, "x", "y")
		failed := tree.Subscribe(10, actors.StartFailed)

		release := holdStill(tree, "root/d")
		send(tree, "root/d/x", do(crash))
		synctest.Wait()

		var listed string
		var count actors.ChildCount
		var errs [5]error
		var calls sync.WaitGroup
		ctx := context.Background()
		for i, call := range []func() error{
			func() (err error) {
				children, err := tree.Children(ctx, "root/d")
				for _, c := range children {
					listed += c.ID + " " + c.State.String() + ";"
				}
				return err
			},
			func() (err error) { count, err = tree.CountChildren(ctx, "root/d"); return err },
			func() error { _, err := tree.StartInstance(ctx, "root/d", "x"); return err },
			func() error { _, err := tree.StartInstance(ctx, "root/d", "z"); return err },
			func() error {
				if cancel {
					return tree.TerminateChild(ctx, "root/d/x")
				}
				return nil
			},
		} {
			calls.Go(func() { errs[i] = call() })
			synctest.Wait() // it is queued
		}
		release()
		calls.Wait()
		synctest.Wait()

		require.Equal(t, "x restarting;y up;", listed)
		require.Equal(t, actors.ChildCount{Specs: 1, Active: 1, Workers: 2}, count)
		require.ErrorIs(t, errs[2], actors.ErrAlreadyPresent)
		for _, i := range []int{0, 1, 3, 4} {
			require.NoError(t, errs[i])
		}
		if cancel {
			require.Equal(t, "y up, z up", states(t, tree, "root/d"))
			require.Len(t, pending(failed), 1, "no further attempt")
		} else {
			require.Equal(t, "x up, y up, z up", states(t, tree, "root/d"))
			require.Len(t, pending(failed), 3)
		}
	}
}

// namesAreHeldWhenTheirSupervisorIsKilled: OTP's supervisor comes back under its registered name; here every node does, under its path.
func namesAreHeldWhenTheirSupervisorIsKilled(t *testing.T) {
	tree := begin(t, dynamic(obedient(actors.Lifecycle{})))
	startInstances(t, tree, "x")
	supervisor, former := tree.PID("root/d"), tree.PID("root/d/x")
	require.NoError(t, tree.Kill("root/d"))
	synctest.Wait()
	require.Equal(t, supervisor, tree.PID("root/d"))
	requireRunning(t, tree, "root/d", 2)
	require.Empty(t, states(t, tree, "root/d"), "instances live as long as this incarnation of their supervisor")
	startInstances(t, tree, "x")
	require.Equal(t, former, tree.PID("root/d/x"))
	got, err := actors.Ask[string](t.Context(), tree, former, do(func(ctx actor.Context) { ctx.Respond("here") }))
	require.NoError(t, err)
	require.Equal(t, "here", got, "the PID of the former one leads to the present holder of its name")
}
