package actors_test

import (
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

func read(s *actors.Subscription) (events []actors.Event) {
	for {
		select {
		case e, ok := <-s.Events():
			if !ok {
				return events
			}
			events = append(events, e)
		default:
			return events
		}
	}
}

// One failure's whole consequence can be listed by following the causes.
func TestEventsFollowACause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := actors.NewSubscription(1000)
		policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(time.Second))
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "s", Strategy: strategies.OneForAll(policy), Children: []actors.Child{answering("a", ""), answering("b", "")}},
			answering("other", ""),
		}}, actors.WithSubscription(all))
		boot := read(all)
		for i, e := range boot {
			require.Equal(t, uint64(i+1), e.Seq, "without gaps")
		}
		tree.ActorSystem().Root.Send(tree.PID("root/other"), errors.New("unrelated"))
		tree.ActorSystem().Root.Send(tree.PID("root/s/b"), errors.New("first"))
		time.Sleep(time.Minute)
		events := read(all)
		require.Equal(t, uint64(len(boot)+1), events[0].Seq)
		known := map[uint64]bool{}
		var lines []string
		for _, e := range events {
			if e.Kind == actors.Exited && e.Path == "root/s/b" && e.Cause == 0 || known[e.Cause] {
				known[e.Seq] = true
				lines = append(lines, fmt.Sprint(e.Path, " ", e.Kind))
			}
		}
		require.Equal(t, []string{"root/s/b exited", "root/s/b failed", "root/s/b group restart", "root/s/a exited", "root/s/b backing off", "root/s/a started", "root/s/b started"}, lines)
		for _, e := range events {
			require.NotEmpty(t, e.String())
			require.Less(t, e.Cause, e.Seq, "a cause comes first")
		}
	})
}

func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{answering("a", "")}})
		small, some := tree.Subscribe(2), tree.Subscribe(100, actors.Started)
		for range 5 {
			tree.ActorSystem().Root.Send(tree.PID("root/a"), errors.New("crash"))
			synctest.Wait()
		}
		require.Len(t, small.Events(), 2)
		require.Equal(t, uint64(5*3-2), small.Missed(), "exited, failed and started, each time")
		got := read(some)
		require.Len(t, got, 5)
		require.Zero(t, some.Missed())
		for i, e := range got {
			require.Equal(t, actors.Started, e.Kind)
			require.Equal(t, uint64(i+2), e.Incarnation)
		}
		some.Close()
		some.Close()
		_, open := <-some.Events()
		require.False(t, open)
		require.NoError(t, tree.Stop(t.Context()))
		<-small.Events()
		<-small.Events()
		_, open = <-small.Events()
		require.False(t, open, "closed with the tree")
		_, open = <-tree.Subscribe(1).Events()
		require.False(t, open)
		actors.NewSubscription(1).Close() // of no tree
	})
}

func TestSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(time.Second))
		slow := actors.Actor("slow", func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(int); ok {
					time.Sleep(time.Hour)
				}
			})
		}).With(actors.Lifecycle{Queue: 3, Shutdown: actors.BrutalKill})
		tree := begin(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
			answering("a", ""), slow, actors.Breaker{ID: "b"}, actors.Supervisor{ID: "s", Strategy: strategies.RestForOne(policy)}}})
		send := tree.ActorSystem().Root.Send
		for range 8 {
			send(tree.PID("root/slow"), 1)
			synctest.Wait()
		}
		n, _ := tree.Node("root/slow")
		require.Equal(t, 3, n.Queue)
		require.Equal(t, uint64(4), n.Dropped)
		for i := range 120 {
			send(tree.PID("root/a"), fmt.Errorf("crash %d", i))
			synctest.Wait()
			n, _ = tree.Node("root/a")
			require.Equal(t, actors.StatusBackingOff, n.Status)
			time.Sleep(time.Second)
			synctest.Wait()
		}
		n, _ = tree.Node("root/a")
		require.Equal(t, actors.StatusRunning, n.Status)
		require.Equal(t, 120, n.Restarts)
		require.Equal(t, 120, n.Failures)
		require.Equal(t, uint64(121), n.Incarnation)
		require.Equal(t, time.Second, n.Recovery)
		require.Len(t, n.History, 100)
		require.EqualError(t, n.History[0].Err, "crash 20")
		require.EqualError(t, n.History[99].Err, "crash 119")
		require.Equal(t, uint64(120), n.History[99].Incarnation)
		require.Equal(t, actors.Crash, n.History[99].Class)

		root := tree.Snapshot()
		require.Equal(t, actors.KindRoot, root.Kind)
		require.Len(t, root.Children, 4, "the tree's own nodes are in no list")
		require.Equal(t, "rest_for_one", root.Children[3].Strategy)
		require.NotNil(t, root.Children[2].Breaker)
		_, found := tree.Node("root/none")
		require.False(t, found)
		require.NoError(t, tree.Kill("root/slow"))
		time.Sleep(2 * time.Hour)
	})
}

// What was left behind and came back isn't abandoned any more.
func TestStatusOfANodeWhoseCodeCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Actor("a", func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(int); ok {
					time.Sleep(time.Hour)
				}
			})
		})}})
		tree.ActorSystem().Root.Send(tree.PID("root/a"), 1)
		synctest.Wait()
		require.NoError(t, tree.TerminateChild(t.Context(), "root/a"))
		n, _ := tree.Node("root/a")
		require.Equal(t, actors.StatusAbandoned, n.Status)
		require.Len(t, tree.Abandoned(), 1)
		time.Sleep(2 * time.Hour)
		require.Empty(t, tree.Abandoned())
		n, _ = tree.Node("root/a")
		require.NotEqual(t, actors.StatusAbandoned, n.Status)
	})
}

// A node whose restart came to nothing doesn't wait for one.
func TestStatusAfterABackoffThatEndedInIgnore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		starts := 0
		policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(time.Second))
		tree := begin(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{actors.Actor("a", func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				switch m := ctx.Message().(type) {
				case *actor.Started:
					if starts++; starts == 2 {
						actors.Exit(ctx, actors.ErrIgnore)
					}
				case error:
					actors.Exit(ctx, m)
				}
			})
		})}})
		tree.ActorSystem().Root.Send(tree.PID("root/a"), errSick)
		time.Sleep(time.Minute)
		require.Equal(t, "a undefined", childStates(t, tree, "root"))
		n, _ := tree.Node("root/a")
		require.NotEqual(t, actors.StatusBackingOff, n.Status)
	})
}
