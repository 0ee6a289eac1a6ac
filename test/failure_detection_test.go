package test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// hang returns a hook that hangs at the gate when it is called for the nth time.
func hang(g *gate, nth int64) func(actor.Context) {
	var calls atomic.Int64
	return func(actor.Context) {
		if calls.Add(1) == nth {
			g.wait()
		}
	}
}

func TestLaw4HungChildHoldsItsSupervisorForItsTimeAndNoLonger(t *testing.T) {
	const shutdown, startTime = 3 * time.Second, 7 * time.Second
	life := actors.Lifecycle{Shutdown: shutdown, StartTimeout: startTime}
	crashed := func(tree *actors.Tree, _ *gate) { send(tree, "root/hung", do(crash)) }
	siblingCrashed := func(tree *actors.Tree, _ *gate) { send(tree, "root/other", do(crash)) }
	tests := []struct {
		name  string
		hooks func(*gate) hooks
		cause func(*actors.Tree, *gate) // what makes the child end
		held  time.Duration             // until its replacement is up
	}{
		{"in Receive, stopped with its group", func(*gate) hooks { return hooks{} }, func(tree *actors.Tree, g *gate) {
			send(tree, "root/hung", do(func(actor.Context) { g.wait() }))
			synctest.Wait()
			send(tree, "root/other", do(crash))
		}, shutdown},
		{"in Stopping, stopped with its group", func(g *gate) hooks { return hooks{stopping: hang(g, 1)} }, siblingCrashed, shutdown},
		{"in Stopped, stopped with its group", func(g *gate) hooks { return hooks{stopped: hang(g, 1)} }, siblingCrashed, shutdown},
		{"in Stopping, after a crash of its own", func(g *gate) hooks { return hooks{stopping: hang(g, 1)} }, crashed, shutdown},
		{"in Stopped, after a crash of its own", func(g *gate) hooks { return hooks{stopped: hang(g, 1)} }, crashed, shutdown},
		{"in Stopping, after a normal exit", func(g *gate) hooks { return hooks{stopping: hang(g, 1)} }, func(tree *actors.Tree, _ *gate) {
			send(tree, "root/hung", do(func(ctx actor.Context) { ctx.Stop(ctx.Self()) }))
		}, shutdown},
		{"in the Started of its second incarnation", func(g *gate) hooks { return hooks{started: hang(g, 2)} }, crashed, startTime + shutdown},
		{"in the producer of its second incarnation", func(g *gate) hooks { return hooks{produce: hang(g, 2)} }, crashed, startTime},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForAll(strategies.RestartPolicy{}), Children: []actors.Child{
					plain("hung", tt.hooks(g)).With(life),
					plain("other", hooks{}),
				}})
				events := tree.Subscribe(100, actors.Abandoned, actors.Returned)
				held := took(func() {
					tt.cause(tree, g)
					synctest.Wait()
					requireAlive(t, tree, "root/hung")
				})
				require.Equal(t, tt.held, held)
				require.Len(t, tree.Abandoned(), 1)
				require.Equal(t, "root/hung", tree.Abandoned()[0].Path)
				requireAlive(t, tree, "root/other")

				g.open()
				synctest.Wait()
				require.Empty(t, tree.Abandoned())
				requireAlive(t, tree, "root/hung")
				requireAlive(t, tree, "root/other")
				stop(t, tree)
				var kinds []actors.EventKind
				for _, e := range drain(events) {
					kinds = append(kinds, e.Kind)
				}
				require.Equal(t, []actors.EventKind{actors.Abandoned, actors.Returned}, kinds)
			})
		})
	}
}

func TestLaw4HungChildrenAreAbandonedOneAfterTheOther(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		var children []actors.Child
		for i := range 4 {
			children = append(children, plain(fmt.Sprintf("c%d", i), hooks{}).With(actors.Lifecycle{Shutdown: time.Duration(i+1) * time.Second}))
		}
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "sup", Children: children}}})
		for i := range children {
			send(tree, fmt.Sprintf("root/sup/c%d", i), do(func(actor.Context) { g.wait() }))
		}
		synctest.Wait()
		held, err := stopTime(context.Background(), tree)
		require.Equal(t, 10*time.Second, held)
		var left *actors.AbandonedError
		require.ErrorAs(t, err, &left)
		require.Len(t, left.Left, 4)
		g.open()
		synctest.Wait()
		require.Empty(t, tree.Abandoned())
	})
}

func TestLaw4BrutalKillHoldsNobodyUp(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("hung", hooks{}).With(actors.Lifecycle{Shutdown: actors.BrutalKill})}})
		send(tree, "root/hung", do(func(actor.Context) { g.wait() }))
		synctest.Wait()
		held, err := stopTime(context.Background(), tree)
		require.LessOrEqual(t, held, busyGrace)
		var left *actors.AbandonedError
		require.ErrorAs(t, err, &left)
		g.open()
	})
}

// A zombie is an incarnation that was left behind while it hung, and wakes up when another has its name.
func TestLaw4ZombieHarmsNothing(t *testing.T) {
	tests := []struct {
		name  string
		wake  func(ctx actor.Context, other *actor.PID)
		heard []string
	}{
		{"sends", func(ctx actor.Context, other *actor.PID) { ctx.Send(other, "stray"); ctx.Send(ctx.Self(), "stray") }, nil},
		{"requests", func(ctx actor.Context, other *actor.PID) {
			ctx.Request(other, "stray")
			ctx.Request(ctx.Self(), "stray")
		}, nil},
		{"requests with a sender", func(ctx actor.Context, other *actor.PID) { ctx.RequestWithCustomSender(other, "stray", ctx.Self()) }, nil},
		{"requests a future", func(ctx actor.Context, other *actor.PID) { ctx.RequestFuture(other, "stray", time.Second) }, nil},
		{"forwards", func(ctx actor.Context, other *actor.PID) { ctx.Forward(other) }, []string{"other got *actor.DeadLetterResponse"}},
		{"responds", func(ctx actor.Context, other *actor.PID) { ctx.Respond("stray") }, nil},
		{"stops itself", func(ctx actor.Context, other *actor.PID) { ctx.Stop(ctx.Self()) }, nil},
		{"stops another", func(ctx actor.Context, other *actor.PID) { ctx.Stop(other) }, nil},
		{"poisons itself", func(ctx actor.Context, other *actor.PID) { ctx.Poison(ctx.Self()) }, nil},
		{"poisons another", func(ctx actor.Context, other *actor.PID) { ctx.Poison(other) }, nil},
		{"stops itself with a future", func(ctx actor.Context, other *actor.PID) { ctx.StopFuture(ctx.Self()) }, nil},
		{"stops another with a future", func(ctx actor.Context, other *actor.PID) { ctx.StopFuture(other) }, nil},
		{"poisons itself with a future", func(ctx actor.Context, other *actor.PID) { ctx.PoisonFuture(ctx.Self()) }, nil},
		{"exits", func(ctx actor.Context, other *actor.PID) { actors.Exit(ctx, errBoom) }, nil},
		{"panics", func(ctx actor.Context, other *actor.PID) { panic("zombie") }, nil},
		{"spawns", func(ctx actor.Context, other *actor.PID) {
			ctx.Spawn(actor.PropsFromFunc(func(actor.Context) {}))
		}, nil},
		{"spawns by name", func(ctx actor.Context, other *actor.PID) {
			_, _ = ctx.SpawnNamed(actor.PropsFromFunc(func(actor.Context) {}), "zombie-child")
		}, nil},
		{"sets a receive timeout", func(ctx actor.Context, other *actor.PID) { ctx.SetReceiveTimeout(time.Second) }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				var strays, childStops journal
				receive := func(id string) func(ctx actor.Context) {
					return func(ctx actor.Context) {
						if _, ok := ctx.Message().(*actor.Terminated); !ok { // of its own child, as it goes down
							strays.add("%s got %T", id, ctx.Message())
						}
					}
				}
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					plain("zombie", hooks{receive: receive("zombie")}),
					plain("other", hooks{receive: receive("other")}),
				}})
				other := tree.PID("root/other")
				tree.ActorSystem().Root.RequestWithCustomSender(tree.PID("root/zombie"), do(func(ctx actor.Context) {
					ctx.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
						if _, ok := ctx.Message().(*actor.Stopped); ok {
							childStops.add("stopped")
						}
					}))
					g.wait()
					tt.wake(ctx, other)
				}), other)
				synctest.Wait()
				require.NoError(t, tree.Kill("root/zombie"))
				requireAlive(t, tree, "root/zombie")
				synctest.Wait()
				require.Equal(t, []string{"stopped"}, childStops.take(), "its children are stopped")
				require.Len(t, tree.Abandoned(), 1)

				g.open()
				synctest.Wait()
				time.Sleep(2 * time.Minute)
				requireRunning(t, tree, "root/zombie", 2)
				requireRunning(t, tree, "root/other", 1)
				requireAlive(t, tree, "root/zombie")
				requireAlive(t, tree, "root/other")
				require.Equal(t, tt.heard, strays.take())
				require.Empty(t, tree.Abandoned())
				stop(t, tree)
			})
		})
	}
}

func TestLaw4TooManyAbandonedEndTheTree(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			plain("hung", hooks{}),
		}}, actors.WithAbandonLimit(2))
		for i := range 3 {
			send(tree, "root/hung", do(func(actor.Context) { g.wait() }))
			synctest.Wait()
			require.NoError(t, tree.Kill("root/hung"))
			synctest.Wait()
			require.Len(t, tree.Abandoned(), i+1)
			time.Sleep(time.Hour)
			synctest.Wait()
			select {
			case <-tree.Done():
				require.Equal(t, 2, i, "it bears as many as its limit")
			default:
				require.Less(t, i, 2)
			}
		}
		require.ErrorIs(t, tree.Err(), actors.ErrAbandoned)
		g.open()
	})
}

func TestLaw4AgentWithADeafHandler(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		sleep := routing.NewType[int, int]("sleep")
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("deaf", sleep, func(ctx context.Context, n int) (int, error) {
				if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
					g.wait()
				}
				return n, nil
			}).With(actors.Lifecycle{Shutdown: 4 * time.Second}),
		}})
		var err error
		held := took(func() { _, err = sleep.Do(context.Background(), tree, 1, routing.Timeout(10*time.Second)) })
		require.NoError(t, err, "the second attempt succeeds")
		require.GreaterOrEqual(t, held, 14*time.Second)
		require.Less(t, held, 16*time.Second)
		requireRunning(t, tree, "root/deaf", 2)
		require.ErrorIs(t, node(t, tree, "root/deaf").History[0].Err, actors.ErrHung)
		require.Len(t, tree.Abandoned(), 1)
		g.open()
		synctest.Wait()
		require.Empty(t, tree.Abandoned())
		stop(t, tree)
	})
}

func TestLaw4AgentThatStopsHoldsItsSupervisorForItsShutdownTime(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		work := routing.NewType[int, int]("work")
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("deaf", work, func(context.Context, int) (int, error) { g.wait(); return 0, nil }).With(actors.Lifecycle{Shutdown: 4 * time.Second}),
			actors.Agent("polite", work, func(ctx context.Context, _ int) (int, error) { <-ctx.Done(); return 0, ctx.Err() }),
		}})
		a, err := work.Submit(context.Background(), tree, 1)
		require.NoError(t, err)
		b, err := work.Submit(context.Background(), tree, 2)
		require.NoError(t, err)
		synctest.Wait()
		held, err := stopTime(context.Background(), tree)
		require.Equal(t, 4*time.Second, held)
		var left *actors.AbandonedError
		require.ErrorAs(t, err, &left)
		for _, h := range []*routing.Handle[int]{a, b} {
			_, err := h.Await(context.Background())
			require.ErrorIs(t, err, routing.ErrCancelled)
			require.True(t, errors.Is(err, actors.ErrShutdown))
		}
		g.open()
	})
}
