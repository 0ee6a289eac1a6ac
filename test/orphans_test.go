package test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/internal/hold"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// The supervisors below one that was killed take their children down in order, while the killed one, and with it new incarnations of
// the same nodes, may be up again already: two lives of a node overlap.

// slowOnce stops slowly in its first incarnation.
func slowOnce(d time.Duration) hooks {
	stops := 0
	return hooks{stopping: func(actor.Context) {
		if stops++; stops == 1 {
			time.Sleep(d)
		}
	}}
}

func TestEndOfAnOrphanDoesNotHideTheEndOfItsSuccessor(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Supervisor{ID: "sup", Children: []actors.Child{
				actors.Supervisor{ID: "inner", Children: []actors.Child{plain("a", slowOnce(time.Second))}},
			}},
		}})
		require.NoError(t, tree.Kill("root/sup"))
		synctest.Wait()
		requireRunning(t, tree, "root/sup/inner/a", 2)

		order := hold.Order{Held: make(chan struct{}), Release: make(chan struct{})}
		held, release := make(chan struct{}), make(chan struct{})
		order.Held, order.Release = held, release
		send(tree, "root/sup/inner", order)
		<-held
		send(tree, "root/sup/inner/a", do(crash)) // the second life ends, and nobody has dealt with that yet …
		time.Sleep(2 * time.Second)               // … when the first one is down at last
		close(release)
		synctest.Wait()
		requireRunning(t, tree, "root/sup/inner/a", 3)
		requireAlive(t, tree, "root/sup/inner/a")
		stop(t, tree)
	})
}

func TestEndOfAnOrphanIsNotTheStatusOfItsNode(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Supervisor{ID: "sup", Children: []actors.Child{
				actors.Supervisor{ID: "inner", Children: []actors.Child{plain("a", slowOnce(time.Second)).With(actors.Lifecycle{Restart: actors.Transient})}},
			}},
		}})
		require.NoError(t, tree.Kill("root/sup"))
		synctest.Wait()
		send(tree, "root/sup/inner/a", do(func(ctx actor.Context) { actors.Exit(ctx, nil) }))
		time.Sleep(2 * time.Second)
		n := node(t, tree, "root/sup/inner/a")
		require.Equal(t, actors.StatusStopped, n.Status)
		require.Zero(t, n.Failures)
		stop(t, tree)
	})
}

// An agent whose earlier life is still finishing its task may be started anew under its name.
func TestAgentJoinsWhileAnOrphanOfItsNameIsStillThere(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		letReturn(t)
		work := routing.NewType[int, int]("work")
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Supervisor{ID: "sup", Children: []actors.Child{
				actors.Supervisor{ID: "dynamic", Template: actors.Agent("worker", work, func(ctx context.Context, n int) (int, error) {
					if n > 0 {
						<-ctx.Done()
						time.Sleep(time.Duration(n)) // it takes its time
					}
					return n, nil
				})},
			}},
		}})
		_, err := tree.StartInstance(t.Context(), "root/sup/dynamic", "x")
		require.NoError(t, err)
		require.NoError(t, tree.Kill("root/sup/dynamic/x")) // so it is in its second life
		synctest.Wait()
		requireRunning(t, tree, "root/sup/dynamic/x", 2)
		h, err := work.Submit(t.Context(), tree, int(3*time.Second))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, tree.Kill("root/sup"))
		synctest.Wait()
		_, err = tree.StartInstance(t.Context(), "root/sup/dynamic", "x")
		require.NoError(t, err)
		h.Cancel(nil)
		got, err := work.Do(within(t, time.Hour), tree, 0)
		require.NoError(t, err)
		require.Zero(t, got)
		time.Sleep(time.Minute)
		stop(t, tree)
	})
}

// Whoever watches a node far below hears that it is gone with the supervisor above it.
func TestWatchersHearOfTheEndOfASupervisorAbove(t *testing.T) {
	ends := map[string]func(t *testing.T, tree *actors.Tree){
		"terminate": func(t *testing.T, tree *actors.Tree) {
			require.NoError(t, tree.TerminateChild(t.Context(), "root/sup"))
		},
		"it gives up, and isn't restarted": func(t *testing.T, tree *actors.Tree) {
			for range 4 {
				send(tree, "root/sup/inner/a", do(crash))
				synctest.Wait()
			}
		},
		"terminate and delete": func(t *testing.T, tree *actors.Tree) {
			require.NoError(t, tree.TerminateChild(t.Context(), "root/sup"))
			require.NoError(t, tree.DeleteChild(t.Context(), "root/sup"))
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				var j journal
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					plain("watcher", hooks{receive: func(ctx actor.Context) {
						if m, ok := ctx.Message().(*actor.Terminated); ok {
							j.add("%s terminated", m.Who.Id)
						}
					}}),
					actors.Supervisor{ID: "sup", Lifecycle: actors.Lifecycle{Restart: actors.Transient}, Strategy: strategies.Escalate(), Children: []actors.Child{
						actors.Supervisor{ID: "inner", Children: []actors.Child{plain("a", hooks{})}},
					}},
				}})
				watched := tree.PID("root/sup/inner/a")
				send(tree, "root/watcher", do(func(ctx actor.Context) { ctx.Watch(watched) }))
				synctest.Wait()
				end(t, tree)
				synctest.Wait()
				require.Equal(t, []string{"root/sup/inner/a terminated"}, j.take())
				stop(t, tree)
			})
		})
	}
}

// A call through a breaker whose supervisor was terminated has nobody to wait for.
func TestGuardDoesNotWaitForABreakerThatIsDownForGood(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		call := routing.NewType[int, int]("call")
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "outside", Children: []actors.Child{actors.Breaker{ID: "llm"}}},
			actors.Agent("caller", call, func(ctx context.Context, n int) (int, error) {
				v, err := actors.Guard(ctx, "root/outside/llm", func(context.Context) (int, error) { return n, nil })
				return v, routing.Permanent(err)
			}),
		}})
		require.NoError(t, tree.TerminateChild(t.Context(), "root/outside"))
		var err error
		held := took(func() { _, err = call.Do(within(t, time.Hour), tree, 1) })
		require.ErrorIs(t, err, routing.ErrFailed)
		require.Less(t, held, time.Minute)
		stop(t, tree)
	})
}

// The dynamic children of a supervisor go with its incarnation, not with the next one's start.
func TestDynamicChildrenOfAKilledSupervisorAreGoneAtOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		slow := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(time.Hour))
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(slow), Children: []actors.Child{
			actors.Supervisor{ID: "sup", Children: []actors.Child{plain("static", hooks{})}},
			actors.Supervisor{ID: "many", Template: plain("any", hooks{})},
		}})
		_, err := tree.StartChild(t.Context(), "root/sup", plain("dynamic", hooks{}))
		require.NoError(t, err)
		_, err = tree.StartInstance(t.Context(), "root/many", "one")
		require.NoError(t, err)
		gone := []*actor.PID{tree.PID("root/sup/dynamic"), tree.PID("root/many/one")}
		require.NoError(t, tree.Kill("root/sup"))
		require.NoError(t, tree.Kill("root/many"))
		synctest.Wait()
		require.Equal(t, actors.StatusBackingOff, node(t, tree, "root/sup").Status)
		require.NotNil(t, tree.PID("root/sup/static"))
		for _, pid := range gone {
			require.Nil(t, tree.PID(pid.Id), "%s has no node any more", pid.Id)
			_, err := actors.Ask[string](within(t, time.Minute), tree, pid, "hello?")
			require.ErrorIs(t, err, actors.ErrDeadLetter, pid.Id)
		}
		stop(t, tree)
	})
}

// What is two levels below a killed supervisor is stopped in its turn, also if by then its node has the next incarnation, or isn't there any more.
func TestOrphansBelowAnOrphanAreStoppedThoughTheirNodesGoOn(t *testing.T) {
	for _, dynamic := range []bool{false, true} {
		inVirtualTime(t, func(t *testing.T) {
			j := &journal{}
			lives := 0
			worker := actors.Actor("w", func() actor.Actor {
				lives++
				life := lives
				return actor.ReceiveFunc(func(ctx actor.Context) {
					switch ctx.Message().(type) {
					case *actor.Stopping:
						j.add("stop %d", life)
					case *actor.Stopped:
						j.add("down %d", life)
					}
				})
			})
			deep := actors.Supervisor{ID: "deep", Children: []actors.Child{worker}}
			if dynamic {
				deep.Children = nil
			}
			tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
				actors.Supervisor{ID: "sup", Children: []actors.Child{
					actors.Supervisor{ID: "inner", Children: []actors.Child{deep, plain("slow", slowOnce(time.Second))}},
				}},
			}})
			if dynamic {
				_, err := tree.StartChild(t.Context(), "root/sup/inner/deep", worker)
				require.NoError(t, err)
			}
			require.NoError(t, tree.Kill("root/sup"))
			synctest.Wait()
			if !dynamic {
				requireRunning(t, tree, "root/sup/inner/deep/w", 2)
			}
			require.Empty(t, j.take(), "those behind it come first")
			time.Sleep(2 * time.Second)
			synctest.Wait()
			require.Equal(t, []string{"stop 1", "down 1"}, j.take())
			stop(t, tree)
			require.Empty(t, tree.Abandoned())
		})
	}
}
