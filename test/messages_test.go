package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
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

// ---- law 1: a message accepted by a ref is handled by one incarnation or comes out as a dead letter

func TestLaw1NoMessageIsLostOrReordered(t *testing.T) {
	backoff := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(20 * time.Millisecond))
	groups := []strategies.Strategy{strategies.OneForOne(strategies.AlwaysRestart()), strategies.OneForOne(backoff),
		strategies.OneForAll(backoff), strategies.RestForOne(backoff)}
	seeded(t, 12, func(t *testing.T, r *rand.Rand) {
		letReturn(t)
		tr := newTraffic()
		ids := []string{"a", "b", "c"}
		overflow := []actors.Overflow{actors.Reject, actors.DropOldest}[r.IntN(2)]
		life := actors.Lifecycle{Shutdown: time.Second, Queue: 1 + r.IntN(40), Overflow: overflow}
		if r.IntN(4) == 0 {
			life.Shutdown = actors.BrutalKill
		}
		var children []actors.Child
		for _, id := range ids {
			children = append(children, plain(id, hooks{receive: tr.receive}).With(life))
		}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(backoff), Children: []actors.Child{
			actors.Supervisor{ID: "sup", Strategy: groups[r.IntN(len(groups))], Children: children},
		}}, actors.WithSubscription(tr.events), actors.WithAbandonLimit(1<<20))
		tr.listen(tree)
		var senders sync.WaitGroup
		for _, id := range ids {
			path := "root/sup/" + id
			pid := tree.PID(path)
			for k := range 2 {
				s := rand.New(rand.NewPCG(r.Uint64(), 2))
				senders.Go(func() {
					from := fmt.Sprint("sender-", k)
					for range 150 {
						crashes, act := false, (func(actor.Context))(nil)
						switch n := s.IntN(60); {
						case n < 4:
							crashes = true
						case n == 4:
							act = func(actor.Context) { time.Sleep(5 * time.Second) } // longer than it may take to stop
						case n == 5:
							act = func(ctx actor.Context) { actors.Exit(ctx, errBoom) }
						case n == 6:
							act = func(ctx actor.Context) { ctx.Stop(ctx.Self()) }
						case n < 20:
							act = func(actor.Context) { time.Sleep(time.Millisecond) }
						}
						p := tr.make(from, path, crashes, act)
						if k == 0 {
							tr.post(tree, pid, p)
						} else {
							ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
							if err := actors.Send(ctx, tree, pid, p); err != nil {
								tr.takeBack(p)
							}
							cancel()
						}
						time.Sleep(time.Duration(s.IntN(4000)) * time.Microsecond)
					}
				})
			}
		}
		for range 5 {
			time.Sleep(time.Duration(r.IntN(200))*time.Millisecond + 7*time.Nanosecond)
			victim := []string{"root/sup", "root/sup/a", "root/sup/b", "root/sup/c"}[r.IntN(4)]
			if err := tree.Kill(victim); err != nil && !errors.Is(err, actors.ErrStopped) {
				t.Fatal(err)
			}
		}
		senders.Wait()
		if r.IntN(2) == 0 {
			time.Sleep(time.Hour)
		}
		if err := tree.Stop(within(t, time.Hour)); err != nil { // what sleeps may be left behind
			var left *actors.AbandonedError
			require.ErrorAs(t, err, &left)
		}
		time.Sleep(time.Minute)
		tr.check(t)
		requireNoGoroutines(t)
	})
}

func TestLaw1QueueOutlivesEveryWayToEnd(t *testing.T) {
	ends := map[string]func(tree *actors.Tree, g *gate){
		"crash": func(tree *actors.Tree, _ *gate) { send(tree, "root/sup/a", do(crash)) },
		"normal exit": func(tree *actors.Tree, _ *gate) {
			send(tree, "root/sup/a", do(func(ctx actor.Context) { ctx.Stop(ctx.Self()) }))
		},
		"exit as shutdown": func(tree *actors.Tree, _ *gate) {
			send(tree, "root/sup/a", do(func(ctx actor.Context) { actors.Exit(ctx, actors.ErrShutdown) }))
		},
		"sibling's crash":      func(tree *actors.Tree, _ *gate) { send(tree, "root/sup/b", do(crash)) },
		"kill":                 func(tree *actors.Tree, _ *gate) { _ = tree.Kill("root/sup/a") },
		"kill of a supervisor": func(tree *actors.Tree, _ *gate) { _ = tree.Kill("root/sup") },
		"terminate and restart": func(tree *actors.Tree, _ *gate) {
			_ = tree.TerminateChild(context.Background(), "root/sup/a")
			go func() { time.Sleep(time.Second); _, _ = tree.RestartChild(context.Background(), "root/sup/a") }()
		},
		"hang in a group restart": func(tree *actors.Tree, g *gate) {
			send(tree, "root/sup/a", do(func(actor.Context) { g.wait() }))
			synctest.Wait()
			send(tree, "root/sup/b", do(crash))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				tr := newTraffic()
				policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(3 * time.Second))
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					actors.Supervisor{ID: "sup", Strategy: strategies.OneForAll(policy), Children: []actors.Child{
						plain("a", hooks{receive: tr.receive}), plain("b", hooks{}),
					}},
				}}, actors.WithSubscription(tr.events))
				tr.listen(tree)
				end(tree, g)
				for range 100 {
					tr.post(tree, tree.PID("root/sup/a"), tr.make("me", "a", false, nil))
				}
				time.Sleep(time.Minute)
				g.open()
				synctest.Wait()
				require.Zero(t, node(t, tree, "root/sup/a").Queue)
				stop(t, tree)
				handled, dead := tr.check(t)
				require.Equal(t, 100, handled)
				require.Zero(t, dead)
			})
		})
	}
}

func TestLaw1FullQueueRejects(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tr := newTraffic()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{receive: tr.receive}).With(actors.Lifecycle{Queue: 3})}},
			actors.WithSubscription(tr.events))
		tr.listen(tree)
		pid := tree.PID("root/a")
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		synctest.Wait()
		var parcels []*parcel
		for range 5 {
			p := tr.make("me", "a", false, nil)
			parcels = append(parcels, p)
			tr.post(tree, pid, p)
		}
		held := took(func() {
			_, err := actors.Ask[string](within(t, time.Hour), tree, pid, "hello?")
			require.ErrorIs(t, err, actors.ErrDeadLetter)
			_, err = tree.ActorSystem().Root.RequestFuture(pid, "hello?", time.Hour).Result()
			require.ErrorIs(t, err, actor.ErrDeadLetter)
		})
		require.Zero(t, held, "a request fails at once")
		n := node(t, tree, "root/a")
		require.Equal(t, 3, n.Queue)
		require.Equal(t, uint64(4), n.Dropped)
		g.open()
		synctest.Wait()
		stop(t, tree)
		tr.check(t)
		for i, p := range parcels {
			require.Equal(t, i >= 3, tr.dead[p] == 1, "%d", i)
		}
	})
}

func TestLaw1FullQueueDropsTheOldest(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tr := newTraffic()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			plain("a", hooks{receive: tr.receive}).With(actors.Lifecycle{Queue: 3, Overflow: actors.DropOldest})}}, actors.WithSubscription(tr.events))
		tr.listen(tree)
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		synctest.Wait()
		var parcels []*parcel
		for range 5 {
			p := tr.make("me", "a", false, nil)
			parcels = append(parcels, p)
			tr.post(tree, tree.PID("root/a"), p)
		}
		require.Equal(t, uint64(2), node(t, tree, "root/a").Dropped)
		g.open()
		synctest.Wait()
		stop(t, tree)
		tr.check(t)
		for i, p := range parcels {
			require.Equal(t, i < 2, tr.dead[p] == 1, "%d", i)
		}
	})
}

// A full queue must not keep what rules the node from it.
func TestLaw1FullQueueHoldsNoControlMessage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tr := newTraffic()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{receive: tr.receive}).With(actors.Lifecycle{Queue: 2})}},
			actors.WithSubscription(tr.events))
		tr.listen(tree)
		g := newGate(t)
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		synctest.Wait()
		for range 10 {
			tr.post(tree, tree.PID("root/a"), tr.make("me", "a", false, nil))
		}
		done := make(chan error, 1)
		go func() { done <- tree.TerminateChild(within(t, time.Hour), "root/a") }()
		synctest.Wait()
		g.open()
		require.NoError(t, <-done)
		require.Equal(t, 2, node(t, tree, "root/a").Queue)
		stop(t, tree)
		handled, dead := tr.check(t)
		require.Zero(t, handled)
		require.Equal(t, 10, dead)
	})
}

func TestLaw1SendWaitsForRoomFirstComeFirstServed(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tr := newTraffic()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{receive: tr.receive}).With(actors.Lifecycle{Queue: 1})}},
			actors.WithSubscription(tr.events))
		tr.listen(tree)
		pid := tree.PID("root/a")
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		synctest.Wait()
		tr.post(tree, pid, tr.make("me", "a", false, nil)) // the queue is full
		var senders sync.WaitGroup
		for i := range 10 {
			p := tr.make("me", "a", false, nil)
			senders.Go(func() {
				ctx := context.Background()
				if i%3 == 2 { // gives up
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				err := actors.Send(ctx, tree, pid, p)
				if i%3 == 2 {
					tr.takeBack(p)
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("send %d: %v", i, err)
					}
				} else if err != nil {
					t.Errorf("send %d: %v", i, err)
				}
			})
			synctest.Wait() // they come one after the other
		}
		time.Sleep(time.Minute)
		require.NoError(t, tree.Kill("root/a"), "they wait through a restart")
		senders.Wait()
		g.open()
		synctest.Wait()
		stop(t, tree)
		handled, _ := tr.check(t)
		require.Equal(t, 8, handled)
	})
}

func TestLaw1SendEndsWithTheNode(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tr := newTraffic()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{receive: tr.receive}).With(actors.Lifecycle{Queue: 1})}},
			actors.WithSubscription(tr.events))
		tr.listen(tree)
		pid := tree.PID("root/a")
		require.NoError(t, tree.TerminateChild(t.Context(), "root/a"))
		require.NoError(t, actors.Send(t.Context(), tree, pid, tr.make("me", "a", false, nil)), "there is room for one")
		result := make(chan error, 1)
		go func() { result <- actors.Send(context.Background(), tree, pid, "refused") }()
		synctest.Wait()
		require.NoError(t, tree.DeleteChild(t.Context(), "root/a"))
		require.ErrorIs(t, <-result, actors.ErrQueueClosed)
		require.ErrorIs(t, actors.Send(t.Context(), tree, pid, "refused"), actors.ErrQueueClosed)
		stop(t, tree)
		_, dead := tr.check(t)
		require.Equal(t, 1, dead)
	})
}

// Whoever tries again and again with a time limit must not fill the memory of a queue that doesn't move.
func TestLaw6SendersThatGaveUpAreForgotten(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{}).With(actors.Lifecycle{Queue: 1})}})
		pid := tree.PID("root/a")
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		synctest.Wait()
		require.NoError(t, actors.Send(t.Context(), tree, pid, "fills the queue"))
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		var freed atomic.Int64
		for range 100 {
			m := &struct{ big [1 << 10]byte }{}
			runtime.AddCleanup(m, func(int) { freed.Add(1) }, 0)
			require.ErrorIs(t, actors.Send(ended, tree, pid, m), context.Canceled)
		}
		for n := 0; n < 1000 && freed.Load() < 50; n++ { // cleanups have a goroutine of their own
			runtime.GC()
			runtime.Gosched()
		}
		require.GreaterOrEqual(t, freed.Load(), int64(50), "messages of senders that gave up are kept")
	})
}

func TestLaw1CrashedMessageIsInTheEvent(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		exits := actors.NewSubscription(100, actors.Exited)
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			plain("a", hooks{receive: func(ctx actor.Context) {
				if ctx.Message() == "crash" {
					panic(errBoom)
				}
			}}),
		}}, actors.WithSubscription(exits))
		tree.ActorSystem().Root.RequestWithCustomSender(tree.PID("root/a"), "crash", tree.PID("root/a")) // in an envelope
		synctest.Wait()
		send(tree, "root/a", "crash")
		synctest.Wait()
		require.NoError(t, tree.Kill("root/a"))
		synctest.Wait()
		stop(t, tree)
		var messages []any
		for _, e := range drain(exits) {
			if e.Path == "root/a" {
				messages = append(messages, e.Message)
			}
		}
		require.Equal(t, []any{"crash", "crash", nil, nil}, messages)
	})
}

// A node that was resumed goes on; the message it failed on is in the event that says so, and in no other.
func TestLaw1ResumedMessageIsInTheEvent(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := actors.NewSubscription(100, actors.Exited, actors.Resumed)
		resume := strategies.RestartPolicy{Decider: func(error) actor.Directive { return actor.ResumeDirective }}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(resume), Children: []actors.Child{
			plain("a", hooks{receive: func(ctx actor.Context) {
				if ctx.Message() == "crash" {
					panic(errBoom)
				}
			}}),
		}}, actors.WithSubscription(events))
		send(tree, "root/a", "crash")
		requireAlive(t, tree, "root/a")
		requireRunning(t, tree, "root/a", 1)
		stop(t, tree)
		got := drain(events)
		require.GreaterOrEqual(t, len(got), 2)
		require.Equal(t, actors.Resumed, got[0].Kind)
		require.ErrorIs(t, got[0].Err, errBoom)
		require.Equal(t, actors.Exited, got[1].Kind)
		require.Equal(t, actors.Shutdown, got[1].Class)
		require.Nil(t, got[1].Message, "it ended in peace, long after")
		require.Equal(t, "crash", got[0].Message)
	})
}

func TestLaw1QueueOfADroppedDynamicChildBecomesDeadLetters(t *testing.T) {
	drops := map[string]func(t *testing.T, tree *actors.Tree){
		"its supervisor is killed": func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root/sup")) },
		"its supervisor is terminated": func(t *testing.T, tree *actors.Tree) {
			require.NoError(t, tree.TerminateChild(t.Context(), "root/sup"))
		},
		"its supervisor gives up": func(t *testing.T, tree *actors.Tree) { send(tree, "root/sup/static", do(crash)) },
		"it is deleted": func(t *testing.T, tree *actors.Tree) {
			require.NoError(t, tree.DeleteChild(t.Context(), "root/sup/dynamic"))
		},
		"the supervisor above is killed": func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root")) },
		"the tree stops":                 func(t *testing.T, tree *actors.Tree) { stop(t, tree) },
	}
	for name, drop := range drops {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tr := newTraffic()
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					actors.Supervisor{ID: "sup", Strategy: strategies.OneForOne(strategies.NeverRestart()), Children: []actors.Child{plain("static", hooks{})}},
				}}, actors.WithSubscription(tr.events))
				tr.listen(tree)
				pid, err := tree.StartChild(t.Context(), "root/sup", plain("dynamic", hooks{receive: tr.receive}))
				require.NoError(t, err)
				require.NoError(t, tree.TerminateChild(t.Context(), "root/sup/dynamic"))
				for range 10 {
					tr.post(tree, pid, tr.make("me", "dynamic", false, nil))
				}
				drop(t, tree)
				synctest.Wait()
				tr.post(tree, pid, tr.make("me", "dynamic", false, nil))
				require.Len(t, tr.dead, 11)
				_ = tree.Stop(context.Background())
				tr.check(t)
			})
		})
	}
}

// A PID goes to the present holder of its name.
func TestLaw1ClosedRefForwardsToThePresentHolderOfItsName(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tr := newTraffic()
		tree := start(t, actors.Supervisor{ID: "root"}, actors.WithSubscription(tr.events))
		tr.listen(tree)
		var pid *actor.PID
		for i := range 3 {
			p, err := tree.StartChild(t.Context(), "root", plain("a", hooks{receive: tr.receive}))
			require.NoError(t, err)
			if i == 0 {
				pid = p
			}
			for range 5 {
				tr.post(tree, pid, tr.make("me", "a", false, nil))
			}
			synctest.Wait()
			require.NoError(t, tree.TerminateChild(t.Context(), "root/a"))
			require.NoError(t, tree.DeleteChild(t.Context(), "root/a"))
		}
		tr.post(tree, pid, tr.make("me", "a", false, nil))
		stop(t, tree)
		handled, dead := tr.check(t)
		require.Equal(t, 15, handled)
		require.Equal(t, 1, dead)
	})
}

// More room by a new spec is room for those who wait.
func TestSendersGoOnWhenTheQueueIsMadeLonger(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		spec := func(queue int) actors.Supervisor {
			return actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{}).With(actors.Lifecycle{Queue: queue})}}
		}
		tree := start(t, spec(1))
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		synctest.Wait()
		send(tree, "root/a", "fills the queue")
		result := make(chan error, 1)
		go func() { result <- actors.Send(within(t, time.Minute), tree, tree.PID("root/a"), "waits") }()
		synctest.Wait()
		require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(10)))
		require.NoError(t, <-result)
	})
}
