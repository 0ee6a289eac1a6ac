package actors_test

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

// greeter answers with the first argument that it was started with.
func greeter(id string) actors.ActorSpec {
	return actors.Actor(id, func() actor.Actor {
		return actor.ReceiveFunc(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case *actor.Started:
				if args := actors.Args(ctx); len(args) > 0 {
					if err, ok := args[0].(error); ok {
						actors.Exit(ctx, err)
					}
				}
			case string:
				ctx.Respond(actors.Args(ctx)[0])
			case error:
				actors.Exit(ctx, m)
			}
		})
	})
}

func TestInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "d", Template: greeter("g")}, actors.Supervisor{ID: "s"}, answering("a", "")}})
		ctx := t.Context()
		_, err := tree.StartInstance(ctx, "root/d", "x", "hello")
		require.NoError(t, err)
		pid, err := tree.StartInstance(ctx, "root/d", "", "made up")
		require.NoError(t, err)
		require.Equal(t, "root/d/g-1", pid.Id)
		require.Equal(t, "hello", ask(t, tree, "root/d/x"))
		require.Equal(t, "made up", ask(t, tree, "root/d/g-1"))
		tree.ActorSystem().Root.Send(tree.PID("root/d/x"), errSick)
		synctest.Wait()
		require.Equal(t, "hello", ask(t, tree, "root/d/x"), "arguments are kept for restarts")

		_, err = tree.StartInstance(ctx, "root/d", "x")
		require.ErrorIs(t, err, actors.ErrAlreadyStarted)
		_, err = tree.StartInstance(ctx, "root/d", "bad", errSick)
		require.ErrorIs(t, err, errSick)
		none, err := tree.StartInstance(ctx, "root/d", "ignored", actors.ErrIgnore)
		require.NoError(t, err)
		require.Nil(t, none)
		_, err = tree.StartInstance(ctx, "root/d", "a/b")
		var faults *actors.SpecError
		require.ErrorAs(t, err, &faults)
		_, err = tree.StartInstance(ctx, "root/s", "x")
		require.ErrorContains(t, err, "not a dynamic supervisor")
		_, err = tree.StartInstance(ctx, "root/a", "x")
		require.ErrorIs(t, err, actors.ErrNotSupervisor)
		_, err = tree.StartInstance(ctx, "root/z", "x")
		require.ErrorIs(t, err, actors.ErrNotFound)
		require.Equal(t, "x up, g-1 up", childStates(t, tree, "root/d"))
		count, err := tree.CountChildren(ctx, "root/d")
		require.NoError(t, err)
		require.Equal(t, actors.ChildCount{Specs: 1, Active: 2, Workers: 2}, count)

		require.NoError(t, tree.TerminateChild(ctx, "root/d/x"))
		require.Equal(t, "g-1 up", childStates(t, tree, "root/d"))
		require.Nil(t, tree.PID("root/d/x"))
		require.NoError(t, tree.Kill("root/d"))
		synctest.Wait()
		require.Empty(t, childStates(t, tree, "root/d"), "instances live as long as their supervisor's incarnation")
	})
}

func TestArgumentsOfAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		greet := routing.NewType[string, string]("greet")
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "d", Template: actors.Agent("greeter", greet, func(ctx context.Context, name string) (string, error) {
				return actors.ArgsFromContext(ctx)[0].(string) + " " + name, nil
			})}}})
		_, err := tree.StartInstance(t.Context(), "root/d", "", "hello")
		require.NoError(t, err)
		got, err := greet.Do(t.Context(), tree, "world")
		require.NoError(t, err)
		require.Equal(t, "hello world", got)
		require.Nil(t, actors.ArgsFromContext(t.Context()))
	})
}

// Instances are stopped all at once, under one time limit.
func TestInstancesStopTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := actors.Actor("t", func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*actor.Stopping); ok {
					time.Sleep(actors.Args(ctx)[0].(time.Duration))
				}
			})
		}).With(actors.Lifecycle{Shutdown: 4 * time.Second})
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "d", Template: slow}}})
		for range 20 {
			_, err := tree.StartInstance(t.Context(), "root/d", "", 3*time.Second)
			require.NoError(t, err)
		}
		begun := time.Now()
		require.NoError(t, tree.TerminateChild(t.Context(), "root/d"))
		require.Equal(t, 3*time.Second, time.Since(begun))
		_, err := tree.RestartChild(t.Context(), "root/d")
		require.NoError(t, err)
		for i := range 20 {
			_, err := tree.StartInstance(t.Context(), "root/d", "", time.Duration(i%2)*time.Minute)
			require.NoError(t, err)
		}
		errs := tree.Subscribe(10, actors.Failed)
		begun = time.Now()
		require.NoError(t, tree.TerminateChild(t.Context(), "root/d"))
		require.InDelta(t, 4*time.Second, time.Since(begun), float64(time.Microsecond), "one time limit for all")
		e := <-errs.Events()
		require.Equal(t, actors.ContextShutdownError, e.Context)
		require.Equal(t, actors.Killed, e.Class)
		require.Equal(t, 10, e.Group, "reported by kind, not one by one")
		time.Sleep(time.Hour)
		require.Empty(t, errors.Join(tree.Stop(t.Context())))
	})
}
