package actors_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// answering is an actor that answers every request with the same text, and crashes on an error.
func answering(id, text string) actors.ActorSpec {
	return actors.Actor(id, func() actor.Actor {
		return actor.ReceiveFunc(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case string:
				ctx.Respond(text)
			case error:
				actors.Exit(ctx, m)
			}
		})
	})
}

// sick can't be started.
func sick(id string, err error) actors.ActorSpec {
	return actors.Actor(id, func() actor.Actor {
		return actor.ReceiveFunc(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Started); ok {
				actors.Exit(ctx, err)
			}
		})
	})
}

func ask(t *testing.T, tree *actors.Tree, path string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got, err := actors.Ask[string](ctx, tree, tree.PID(path), "?")
	require.NoError(t, err)
	return got
}

// begin starts a tree that is stopped at the end of the test.
func begin(t *testing.T, root actors.Supervisor, opts ...actors.Option) *actors.Tree {
	t.Helper()
	tree, err := actors.Start(t.Context(), root, opts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = tree.Stop(ctx)
		time.Sleep(2 * time.Hour) // for what hangs, and protoactor's dead letter throttle
	})
	return tree
}

// childStates says "a up, b undefined" in start order.
func childStates(t *testing.T, tree *actors.Tree, supervisor string) string {
	t.Helper()
	infos, err := tree.Children(t.Context(), supervisor)
	require.NoError(t, err)
	var s string
	for i, c := range infos {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %s", c.ID, c.State)
	}
	return s
}

func TestReconfigureIsInForceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "old"), answering("b", "old"), answering("c", "old")}})
		require.NoError(t, tree.Reconfigure(t.Context(), "root", actors.Supervisor{
			Strategy: strategies.OneForAll(strategies.AlwaysRestart()),
			Children: []actors.Child{answering("c", "new"), answering("a", "new").With(actors.Lifecycle{Restart: actors.Transient}), answering("d", "new")},
		}))
		require.Equal(t, "c up, a up, d undefined, b up", childStates(t, tree, "root"), "what isn't in the spec stays, after the others")
		require.Equal(t, "old", ask(t, tree, "root/a"), "no restart")
		require.Equal(t, "one_for_all", tree.Snapshot().Strategy)
		var order []string
		for _, n := range tree.Snapshot().Children {
			order = append(order, n.ID)
		}
		require.Equal(t, []string{"c", "a", "d", "b"}, order)

		tree.ActorSystem().Root.Send(tree.PID("root/a"), fmt.Errorf("crash"))
		synctest.Wait()
		require.Equal(t, "c up, a up, d up, b up", childStates(t, tree, "root"), "a group restart starts what isn't running")
		require.Equal(t, "new", ask(t, tree, "root/a"))
		require.Equal(t, "new", ask(t, tree, "root/d"))
		require.Equal(t, "old", ask(t, tree, "root/b"))
	})
}

func TestReconfigureIsAllOrNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", "old"), actors.Breaker{ID: "b"}, actors.Supervisor{ID: "s", Children: []actors.Child{answering("x", "old")}}}}
		tree := begin(t, spec)
		err := tree.Reconfigure(t.Context(), "root", actors.Supervisor{
			Strategy: strategies.OneForAll(strategies.RestartPolicy{MaxRestarts: -7}),
			Children: []actors.Child{
				answering("a", "new"),
				answering("b", "new"), // was a breaker
				actors.Supervisor{ID: "s", Children: []actors.Child{actors.Breaker{ID: "x"}}}, // x was an actor
				answering("a", "twice"),
				nil,
			},
		})
		var faults *actors.SpecError
		require.ErrorAs(t, err, &faults)
		var at []string
		for _, f := range faults.Faults {
			at = append(at, f.Path)
		}
		require.ElementsMatch(t, []string{"root", "root", "root/a", "root/b", "root/s/x"}, at, "%v", err)
		require.Equal(t, "a up, b up, s up", childStates(t, tree, "root"))
		require.Equal(t, "one_for_one", tree.Snapshot().Strategy)
		got, err := tree.ChildSpec(t.Context(), "root/b")
		require.NoError(t, err)
		require.IsType(t, actors.Breaker{}, got)
	})
}

func TestReconfigureRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{answering("a", ""), actors.Supervisor{ID: "d", Template: answering("t", "")}}})
		require.ErrorIs(t, tree.Reconfigure(t.Context(), "root/none", actors.Supervisor{}), actors.ErrNotFound)
		require.ErrorIs(t, tree.Reconfigure(t.Context(), "root/a", actors.Supervisor{}), actors.ErrNotSupervisor)
		require.ErrorContains(t, tree.Reconfigure(t.Context(), "root/d", actors.Supervisor{}), actors.ErrKindChange.Error(), "a dynamic supervisor stays one")
		require.ErrorContains(t, tree.Reconfigure(t.Context(), "root", actors.Supervisor{Template: answering("t", "")}), actors.ErrKindChange.Error())
		require.ErrorIs(t, tree.Reconfigure(t.Context(), "root/d", actors.Supervisor{}), actors.ErrKindChange)
		require.NoError(t, tree.TerminateChild(t.Context(), "root/d"))
		require.ErrorIs(t, tree.Reconfigure(t.Context(), "root/d", actors.Supervisor{Template: answering("t", "")}), actors.ErrStopped)
	})
}

// A supervisor further down has its new children from its next start.
func TestReconfigureOfNestedSupervisors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := func(children ...actors.Child) actors.Supervisor {
			return actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "inner", Children: children}}}
		}
		tree := begin(t, inner(answering("a", "old"), answering("b", "old")))
		require.NoError(t, tree.Reconfigure(t.Context(), "root", inner(answering("c", "new"), answering("a", "new"))))
		require.Equal(t, "a up, b up", childStates(t, tree, "root/inner"), "not yet")
		require.NoError(t, tree.Kill("root/inner"))
		synctest.Wait()
		require.Equal(t, "c up, a up", childStates(t, tree, "root/inner"))
		require.Equal(t, "new", ask(t, tree, "root/inner/c"))
		require.Equal(t, "new", ask(t, tree, "root/inner/a"), "the spec of its last start")
		var ids []string
		for _, n := range tree.Snapshot().Children[0].Children {
			ids = append(ids, n.ID)
		}
		require.Equal(t, []string{"c", "a"}, ids)

		// c is static: its queue survives the next restart.
		require.NoError(t, tree.TerminateChild(t.Context(), "root/inner/c"))
		got := make(chan string, 1)
		go func() {
			reply, err := actors.Ask[string](context.Background(), tree, tree.PID("root/inner/c"), "?")
			got <- fmt.Sprint(reply, err)
		}()
		synctest.Wait()
		require.NoError(t, tree.Kill("root/inner"))
		require.Equal(t, "new<nil>", <-got)
	})
}

func TestReconfigureOfADynamicSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "d", Template: answering("t", "old")}}})
		_, err := tree.StartInstance(t.Context(), "root/d", "x")
		require.NoError(t, err)
		require.NoError(t, tree.Reconfigure(t.Context(), "root/d", actors.Supervisor{Template: answering("t", "new").With(actors.Lifecycle{Restart: actors.Temporary})}))
		_, err = tree.StartInstance(t.Context(), "root/d", "y")
		require.NoError(t, err)
		require.Equal(t, "old", ask(t, tree, "root/d/x"))
		require.Equal(t, "new", ask(t, tree, "root/d/y"))
		tree.ActorSystem().Root.Send(tree.PID("root/d/x"), fmt.Errorf("crash"))
		synctest.Wait()
		require.Equal(t, "y up", childStates(t, tree, "root/d"), "instances have the lifecycle of the new template")
	})
}

func TestReconfigureKeepsTheRestartHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := actors.Supervisor{Strategy: strategies.OneForOne(strategies.MaxRestarts(2, time.Minute)), Children: []actors.Child{answering("a", "")}}
		outer := spec
		outer.ID = "s"
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{outer}})
		escalated := tree.Subscribe(10, actors.Escalated)
		for i := range 3 {
			require.Empty(t, escalated.Events(), "after %d", i)
			tree.ActorSystem().Root.Send(tree.PID("root/s/a"), fmt.Errorf("crash"))
			synctest.Wait()
			require.NoError(t, tree.Reconfigure(t.Context(), "root/s", spec))
		}
		require.Len(t, escalated.Events(), 1)
	})
}

// What was given later holds, whichever way it came.
func TestReconfigureFromAboveDoesNotUndoALaterOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := func(text string) actors.Supervisor {
			return actors.Supervisor{ID: "inner", Children: []actors.Child{answering("a", text)}}
		}
		middle := func(text string) actors.Supervisor {
			return actors.Supervisor{ID: "middle", Children: []actors.Child{inner(text)}}
		}
		root := func(text string) actors.Supervisor {
			return actors.Supervisor{ID: "root", Children: []actors.Child{middle(text)}, Strategy: strategies.OneForOne(strategies.AlwaysRestart())}
		}
		tree := begin(t, root("first"))
		require.NoError(t, tree.Reconfigure(t.Context(), "root", root("second")))
		require.NoError(t, tree.Reconfigure(t.Context(), "root/middle/inner", inner("third")))
		require.NoError(t, tree.Kill("root/middle"))
		synctest.Wait()
		require.Equal(t, "third", ask(t, tree, "root/middle/inner/a"))
		require.NoError(t, tree.Reconfigure(t.Context(), "root/middle", middle("fourth")))
		require.Equal(t, "third", ask(t, tree, "root/middle/inner/a"), "not yet")
		require.NoError(t, tree.Kill("root/middle/inner"))
		synctest.Wait()
		require.Equal(t, "fourth", ask(t, tree, "root/middle/inner/a"))
		require.NoError(t, tree.Kill("root/middle"))
		synctest.Wait()
		require.Equal(t, "fourth", ask(t, tree, "root/middle/inner/a"))
	})
}
