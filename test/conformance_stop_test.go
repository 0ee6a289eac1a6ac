package test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// unwilling doesn't stop before the gate is opened.
func unwilling(g *gate, l actors.Lifecycle) actors.ActorSpec {
	return plain("a", hooks{stopping: func(actor.Context) { g.wait() }}).With(l)
}

// stopLate stops a tree that leaves code behind, and returns how long that took and the paths of what was left.
func stopLate(t *testing.T, tree *actors.Tree) (time.Duration, []string) {
	t.Helper()
	held, err := stopTime(context.Background(), tree)
	var left *actors.AbandonedError
	require.ErrorAs(t, err, &left)
	var paths []string
	for _, l := range left.Left {
		paths = append(paths, l.Path)
	}
	slices.Sort(paths)
	return held, paths
}

// requireComesBack opens a gate and checks that what was left behind is gone.
func requireComesBack(t *testing.T, tree *actors.Tree, g *gate) {
	t.Helper()
	g.open()
	synctest.Wait()
	require.Empty(t, tree.Abandoned())
}

func lateChildIsAbandoned(t *testing.T) {
	g := newGate(t)
	events := actors.NewSubscription(100, actors.Abandoned, actors.Exited, actors.Failed)
	tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("b", hooks{}), unwilling(g, actors.Lifecycle{Shutdown: 3 * time.Second})}}, actors.WithSubscription(events))
	held, left := stopLate(t, tree)
	require.Equal(t, 3*time.Second, held)
	require.Equal(t, []string{"root/a"}, left)
	var lines []string
	for _, e := range drain(events) {
		lines = append(lines, fmt.Sprintf("%s %s %s", e.Path, e.Kind, e.Class))
		if e.Path == "root/a" {
			require.ErrorIs(t, e.Err, actors.ErrKilled)
		}
	}
	require.Equal(t, []string{"root/a abandoned normal", "root/a exited killed", "root/a failed killed", "root/b exited shutdown", "root exited shutdown", "root/$hub exited shutdown"}, lines)
	requireComesBack(t, tree, g)
}

func lateInstancesAreAbandoned(t *testing.T) {
	g := newGate(t)
	tree := begin(t, dynamic(unwilling(g, actors.Lifecycle{Shutdown: 3 * time.Second})))
	startInstances(t, tree, "x", "y", "z")
	held, left := stopLate(t, tree)
	require.Equal(t, 3*time.Second, held.Truncate(time.Microsecond), "all in the same time")
	require.Equal(t, []string{"root/d/x", "root/d/y", "root/d/z"}, left)
	requireComesBack(t, tree, g)
}

func brutalKillAsksNobody(t *testing.T) {
	g := newGate(t)
	tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("b", hooks{}), unwilling(g, actors.Lifecycle{Shutdown: actors.BrutalKill})}})
	exited := tree.Subscribe(10, actors.Exited, actors.Failed)
	require.Zero(t, took(func() { require.NoError(t, tree.TerminateChild(t.Context(), "root/a")) }))
	events := pending(exited)
	require.Len(t, events, 1, "to be killed is what was expected of it")
	require.Equal(t, actors.Killed, events[0].Class)
	requireAlive(t, tree, "root/b")
	requireComesBack(t, tree, g)
}

func brutalKillOfInstancesAsksNobody(t *testing.T) {
	g := newGate(t)
	tree := begin(t, dynamic(unwilling(g, actors.Lifecycle{Shutdown: actors.BrutalKill})))
	startInstances(t, tree, numbered(10)...)
	exited := tree.Subscribe(100, actors.Exited, actors.Failed)
	require.Zero(t, took(func() { require.NoError(t, tree.TerminateChild(t.Context(), "root/d")) }))
	killed := 0
	for _, e := range pending(exited) {
		require.Equal(t, actors.Exited, e.Kind)
		if e.Class == actors.Killed {
			killed++
		}
	}
	require.Equal(t, 10, killed)
	requireComesBack(t, tree, g)
}

// exitsDuringShutdownDoNotDisturbIt lets children end by themselves after their supervisor was told to stop: while it stops another one, and
// before it has heard of it.
func exitsDuringShutdownDoNotDisturbIt(t *testing.T) {
	reasons := []error{nil, errBoom, actors.ErrShutdown, errShutTerm}
	for _, s := range []strategies.Strategy{strategies.OneForOne(strategies.AlwaysRestart()), strategies.OneForAll(strategies.AlwaysRestart()), strategies.RestForOne(strategies.AlwaysRestart())} {
		j := &journal{}
		var tree *actors.Tree
		root := actors.Supervisor{ID: "root", Strategy: s}
		for i := range reasons {
			root.Children = append(root.Children, scripted(fmt.Sprint(i), j, hooks{}))
		}
		root.Children = append(root.Children, scripted("last", j, hooks{stopping: func(actor.Context) {
			for i, reason := range reasons {
				send(tree, fmt.Sprintf("root/%d", i), exit(reason))
			}
			time.Sleep(time.Second)
		}}))
		reports := actors.NewSubscription(100, actors.Failed)
		tree = begin(t, root, actors.WithSubscription(reports))
		j.take()
		held, err := stopTime(t.Context(), tree)
		require.NoError(t, err)
		require.NoError(t, tree.Err())
		require.Equal(t, time.Second, held)
		requireEndedOnce(t, j, len(root.Children))
		var lines []string
		for _, e := range drain(reports) {
			lines = append(lines, fmt.Sprintf("%s %s %s", e.Path, e.Context, e.Class))
		}
		require.Equal(t, []string{"root/3 shutdown_error shutdown_term", "root/1 shutdown_error crash", "root/0 shutdown_error normal"}, lines,
			"each is judged by its own end, though nobody told it to")
	}

	j := &journal{}
	reports := actors.NewSubscription(100, actors.Failed)
	tree := begin(t, dynamic(scripted("a", j, hooks{})), actors.WithSubscription(reports))
	ids := numbered(100)
	startInstances(t, tree, ids...)
	j.take()
	release := holdStill(tree, "root/d")
	for i, id := range ids[:50] {
		send(tree, "root/d/"+id, exit(reasons[i%len(reasons)]))
	}
	ended := make(chan error)
	go func() { ended <- tree.Stop(context.Background()) }()
	synctest.Wait()
	release()
	require.NoError(t, <-ended)
	require.NoError(t, tree.Err())
	requireEndedOnce(t, j, len(ids))
	unexpected := map[actors.Class]int{}
	for _, e := range drain(reports) {
		require.Equal(t, actors.ContextShutdownError, e.Context)
		unexpected[e.Class] = e.Group
	}
	require.Equal(t, map[actors.Class]int{actors.Normal: 13, actors.Crash: 13, actors.ShutdownWith: 12}, unexpected, "of those that had ended before, too")
}

// requireEndedOnce checks that n actors have stopped once, and none was started again.
func requireEndedOnce(t *testing.T, j *journal, n int) {
	t.Helper()
	lines := j.take()
	require.Len(t, lines, 2*n, "%v", lines)
	for _, line := range lines {
		require.Regexp(t, "^(stop|down) ", line)
	}
}

// anyExitIsGoodEnoughInABulkStop stops instances that end otherwise than they were told to. They are reported by their kind.
func anyExitIsGoodEnoughInABulkStop(t *testing.T) {
	for restart, reported := range map[actors.Restart]map[actors.Class]int{
		actors.Permanent: {actors.Normal: 2, actors.ShutdownWith: 2, actors.Crash: 4},
		actors.Transient: {actors.Crash: 4},
		actors.Temporary: {actors.Crash: 4},
	} {
		var ends []func(actor.Context)
		for range 2 {
			ends = append(ends, func(actor.Context) {}, exit(nil), exit(errShutTerm), exit(errBoom), crash)
		}
		next := 0
		template := actors.Actor("t", func() actor.Actor {
			end := ends[next%len(ends)]
			next++
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*actor.Stopping); ok {
					end(ctx)
				}
			})
		}).With(actors.Lifecycle{Restart: restart})
		tree := begin(t, dynamic(template))
		startInstances(t, tree, numbered(len(ends))...)
		reports := tree.Subscribe(100, actors.Failed)
		stop(t, tree)
		got := make(map[actors.Class]int)
		for _, e := range drain(reports) {
			require.Equal(t, actors.ContextShutdownError, e.Context)
			got[e.Class] += e.Group
		}
		require.Equal(t, reported, got, "restart type %d", restart)
	}
}

func instancesStopTogetherUnderOneTimer(t *testing.T) {
	g := newGate(t)
	for _, c := range []struct {
		stopping func(i int)
		want     time.Duration
		left     int
	}{
		{func(int) {}, 0, 0},
		{func(int) { time.Sleep(2 * time.Second) }, 2 * time.Second, 0},
		{func(i int) { time.Sleep(time.Duration(i) * 10 * time.Millisecond) }, 490 * time.Millisecond, 0},
		{func(i int) {
			if time.Sleep(time.Duration(i) * 100 * time.Millisecond); i%2 == 1 {
				g.wait()
			}
		}, 5 * time.Second, 25},
		{func(int) { g.wait() }, 5 * time.Second, 50},
	} {
		n := 0
		template := actors.Actor("t", func() actor.Actor {
			i := n
			n++
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*actor.Stopping); ok {
					c.stopping(i)
				}
			})
		}).With(actors.Lifecycle{Shutdown: 5 * time.Second})
		tree := begin(t, dynamic(template), actors.WithAbandonLimit(100))
		startInstances(t, tree, numbered(50)...)
		began := time.Now()
		require.NoError(t, tree.TerminateChild(t.Context(), "root/d"))
		require.Equal(t, c.want, time.Since(began).Truncate(time.Microsecond))
		require.Len(t, tree.Abandoned(), c.left)
	}
}

// childThatHidesCannotHangTerminate: what OTP's child does by unlinking itself, an actor does by leaving the registry, or by never coming to an end.
func childThatHidesCannotHangTerminate(t *testing.T) {
	tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{obedient(actors.Lifecycle{}), plain("b", hooks{})}})
	send(tree, "root/a", do(func(ctx actor.Context) { ctx.ActorSystem().ProcessRegistry.Remove(ctx.Self()) }))
	synctest.Wait()
	require.Zero(t, took(func() { require.NoError(t, tree.TerminateChild(t.Context(), "root/a")) }))
	require.Equal(t, "a undefined, b up", states(t, tree, "root"))

	g := newGate(t)
	_, err := tree.StartChild(t.Context(), "root", plain("c", hooks{}).With(actors.Lifecycle{Shutdown: time.Minute}))
	require.NoError(t, err)
	send(tree, "root/c", do(func(actor.Context) { g.wait() }))
	synctest.Wait()
	require.Equal(t, time.Minute, took(func() { require.NoError(t, tree.TerminateChild(t.Context(), "root/c")) }))
	require.Equal(t, "a undefined, b up, c undefined", states(t, tree, "root"))
	requireComesBack(t, tree, g)
}
