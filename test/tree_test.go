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

// ---- law 7: every wait is bounded

func TestLaw7InitHearsThatItsSupervisorMustStop(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		starts := 0
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{
			ID: "sup",
			Init: func(ctx context.Context) error {
				if starts++; starts == 1 {
					return nil
				}
				<-ctx.Done()
				return ctx.Err()
			},
			Children: []actors.Child{plain("a", hooks{})},
		}}})
		require.NoError(t, tree.Kill("root/sup"))
		synctest.Wait()
		require.Equal(t, 2, starts)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		held, err := stopTime(ctx, tree)
		require.NoError(t, err)
		require.Zero(t, held)
	})
}

func TestLaw7StartEndsWithItsContext(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var j journal
		g := newGate(t)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := actors.Start(ctx, actors.Supervisor{ID: "root", Children: []actors.Child{
			scripted("a", &j, hooks{}),
			scripted("b", &j, hooks{started: func(actor.Context) { g.wait() }}).With(actors.Lifecycle{StartTimeout: actors.NoLimit, Shutdown: 3 * time.Second}),
			scripted("c", &j, hooks{}),
		}})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 4*time.Second, time.Since(begun))
		require.Equal(t, []string{"start a", "up a", "start b", "stop a", "down a"}, j.take())
	})
}

func TestLaw7StopThatRunsOutOfTimeKills(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		var children []actors.Child
		for i := range 50 {
			children = append(children, plain(fmt.Sprintf("idle-%d", i), hooks{}))
		}
		children = append(children, plain("hung", hooks{stopping: func(actor.Context) { g.wait() }}).With(actors.Lifecycle{Shutdown: actors.NoLimit}))
		tree := start(t, actors.Supervisor{ID: "root", Children: children})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		held, err := stopTime(ctx, tree)
		require.GreaterOrEqual(t, held, time.Minute)
		require.LessOrEqual(t, held, time.Minute+busyGrace)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var left *actors.AbandonedError
		require.ErrorAs(t, err, &left)
		require.Len(t, left.Left, 1, "only what hangs was left behind")
	})
}

func TestLaw7CallsEndWithTheirContext(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("slow", hooks{stopping: func(actor.Context) { g.wait() }})}})
		timeout := func() context.Context {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			t.Cleanup(cancel)
			return ctx
		}
		require.ErrorIs(t, tree.TerminateChild(timeout(), "root/slow"), context.DeadlineExceeded)
		_, err := tree.Children(timeout(), "root")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = tree.StartChild(timeout(), "root", plain("new", hooks{}))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = actors.Ask[string](timeout(), tree, tree.PID("root/slow"), "hello?")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		infos, err := tree.Children(timeout(), "root")
		require.NoError(t, err)
		require.Len(t, infos, 1, "a call that nobody waits for isn't begun with")
		require.Equal(t, actors.ChildUndefined, infos[0].State, "and one that was begun goes on")
	})
}

func TestLaw7StopDuringTheStopOfAGroupDoesNotStartItAgain(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var j journal
		slow := func(actor.Context) { time.Sleep(time.Second) }
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{
			ID: "sup", Strategy: strategies.OneForAll(strategies.RestartPolicy{}),
			Children: []actors.Child{
				scripted("a", &j, hooks{started: slow}),
				scripted("b", &j, hooks{started: slow, stopping: slow}),
				scripted("c", &j, hooks{}),
			},
		}}})
		j.take()
		send(tree, "root/sup/c", do(crash))
		time.Sleep(500 * time.Millisecond)
		held, err := stopTime(context.Background(), tree)
		require.NoError(t, err)
		require.Equal(t, 500*time.Millisecond, held)
		require.Equal(t, []string{"stop c", "down c", "stop b", "down b", "stop a", "down a"}, j.take())
	})
}

// ---- law 5: nothing wedges

func TestLaw5PanicsAndGoexits(t *testing.T) {
	ends := map[string]func(){
		"panics":       func() { panic(errBoom) },
		"panics oddly": func() { panic(42) },
		"exits":        func() { goexit() },
	}
	// Each case makes an actor with code that ends badly whenever armed, and something that runs this code.
	type armed func()
	cases := []struct {
		name  string
		child func(end armed) actors.ActorSpec
		cause func(tree *actors.Tree)
	}{
		{"Receive", func(end armed) actors.ActorSpec { return plain("bad", hooks{receive: func(actor.Context) { end() }}) },
			func(tree *actors.Tree) { send(tree, "root/sup/bad", "go") }},
		{"Started", func(end armed) actors.ActorSpec { return plain("bad", hooks{started: func(actor.Context) { end() }}) },
			func(tree *actors.Tree) { send(tree, "root/sup/bad", do(crash)) }},
		{"Stopping", func(end armed) actors.ActorSpec { return plain("bad", hooks{stopping: func(actor.Context) { end() }}) },
			func(tree *actors.Tree) { send(tree, "root/sup/bad", do(crash)) }},
		{"Stopped", func(end armed) actors.ActorSpec { return plain("bad", hooks{stopped: func(actor.Context) { end() }}) },
			func(tree *actors.Tree) { send(tree, "root/sup/bad", do(crash)) }},
		{"all hooks", func(end armed) actors.ActorSpec {
			h := func(actor.Context) { end() }
			return plain("bad", hooks{started: h, stopping: h, stopped: h, receive: h})
		}, func(tree *actors.Tree) { send(tree, "root/sup/bad", do(crash)) }},
		{"producer", func(end armed) actors.ActorSpec { return plain("bad", hooks{produce: func(actor.Context) { end() }}) },
			func(tree *actors.Tree) { send(tree, "root/sup/bad", do(crash)) }},
		{"a continuation", func(end armed) actors.ActorSpec {
			return plain("bad", hooks{receive: func(ctx actor.Context) {
				f := actor.NewFuture(ctx.ActorSystem(), time.Minute)
				ctx.ReenterAfter(f, func(any, error) { end() })
				ctx.Send(f.PID(), "done")
			}})
		}, func(tree *actors.Tree) { send(tree, "root/sup/bad", "go") }},
		{"receiver middleware", func(end armed) actors.ActorSpec {
			s := plain("bad", hooks{})
			s.Options = []actor.PropsOption{actor.WithReceiverMiddleware(func(next actor.ReceiverFunc) actor.ReceiverFunc {
				return func(ctx actor.ReceiverContext, e *actor.MessageEnvelope) {
					if _, ok := e.Message.(string); ok {
						end()
					}
					next(ctx, e)
				}
			})}
			return s
		}, func(tree *actors.Tree) { send(tree, "root/sup/bad", "go") }},
		{"middleware that meets everything", func(end armed) actors.ActorSpec {
			s := plain("bad", hooks{})
			s.Options = []actor.PropsOption{actor.WithReceiverMiddleware(func(next actor.ReceiverFunc) actor.ReceiverFunc {
				return func(ctx actor.ReceiverContext, e *actor.MessageEnvelope) { end(); next(ctx, e) }
			})}
			return s
		}, func(tree *actors.Tree) { send(tree, "root/sup/bad", "go") }},
		{"an own child's Receive", func(end armed) actors.ActorSpec {
			return plain("bad", hooks{receive: func(ctx actor.Context) {
				ctx.Send(ctx.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
					if _, ok := ctx.Message().(string); ok {
						panic("child") // Goexit would wedge it: it is protoactor's, not ours
					}
				})), "go")
			}})
		}, func(tree *actors.Tree) { send(tree, "root/sup/bad", "go") }},
		{"stopping with children of its own", func(end armed) actors.ActorSpec {
			return plain("bad", hooks{
				started:  func(ctx actor.Context) { ctx.Spawn(actor.PropsFromFunc(func(actor.Context) {})) },
				stopping: func(actor.Context) { end() },
			})
		}, func(tree *actors.Tree) { send(tree, "root/sup/bad", do(crash)) }},
	}
	const hotLoop = 10_000
	patient := strategies.OneForOne(strategies.AlwaysRestart().WithBackoff(strategies.Fixed(time.Second)))
	for _, c := range cases {
		for name, end := range ends {
			t.Run(c.name+" "+name, func(t *testing.T) {
				inVirtualTime(t, func(t *testing.T) {
					var on atomic.Bool
					var ended atomic.Int64 // without an end, a hot loop would stop virtual time
					tree := start(t, actors.Supervisor{ID: "root", Strategy: patient, Children: []actors.Child{
						actors.Supervisor{ID: "sup", Children: []actors.Child{
							plain("first", hooks{}),
							c.child(func() {
								if on.Load() && ended.Add(1) < hotLoop {
									end()
								}
							}),
							plain("last", hooks{}),
						}},
						plain("bystander", hooks{}),
					}}, actors.WithSubscription(actors.NewSubscription(1)))
					on.Store(true)
					c.cause(tree)
					synctest.Wait()
					requireAlive(t, tree, "root/bystander")
					requireRunning(t, tree, "root/bystander", 1)
					send(tree, "root/sup/bad", do(func(ctx actor.Context) { actors.Exit(ctx, errBoom) }))
					synctest.Wait()
					on.Store(false)
					time.Sleep(time.Minute)
					synctest.Wait()
					requireAlive(t, tree, "root/sup/first")
					requireAlive(t, tree, "root/sup/last")
					requireAlive(t, tree, "root/sup/bad")
					on.Store(true)
					ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
					defer cancel()
					held, err := stopTime(ctx, tree)
					require.NoError(t, err)
					require.Zero(t, held)
					require.Less(t, ended.Load(), int64(hotLoop), "a hot loop")
				})
			})
		}
	}
}

func TestLaw5PropsOptions(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		spec := plain("bad", hooks{})
		spec.Options = []actor.PropsOption{actor.WithOnInit(func(actor.Context) { panic(errBoom) })}
		_, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Children: []actors.Child{spec}})
		require.ErrorIs(t, err, errBoom)
	})
}

func TestLaw5BrutallyKilledActorThatCrashesIsNotAbandoned(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		abandoned := actors.NewSubscription(1000, actors.Abandoned)
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			plain("a", hooks{stopping: func(actor.Context) { time.Sleep(time.Millisecond) }}).With(actors.Lifecycle{Shutdown: actors.BrutalKill}),
		}}, actors.WithSubscription(abandoned))
		for range 20 {
			send(tree, "root/a", do(crash))
			time.Sleep(time.Second)
		}
		requireAlive(t, tree, "root/a")
		stop(t, tree)
		require.Empty(t, drain(abandoned), "it returned by itself")
	})
}

// ---- names, watching and stopping

func TestWatchersOfALogicalPIDHearOfItsEndButNotOfRestarts(t *testing.T) {
	ends := []struct {
		name    string
		restart actors.Restart
		end     func(t *testing.T, tree *actors.Tree)
		told    bool
	}{
		{"crash", actors.Permanent, func(t *testing.T, tree *actors.Tree) { send(tree, "root/sup/a", do(crash)) }, false},
		{"kill", actors.Permanent, func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root/sup/a")) }, false},
		{"kill of its supervisor", actors.Permanent, func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root/sup")) }, false},
		{"terminate", actors.Permanent, func(t *testing.T, tree *actors.Tree) {
			require.NoError(t, tree.TerminateChild(context.Background(), "root/sup/a"))
		}, true},
		{"terminate and delete", actors.Permanent, func(t *testing.T, tree *actors.Tree) {
			require.NoError(t, tree.TerminateChild(context.Background(), "root/sup/a"))
			require.NoError(t, tree.DeleteChild(context.Background(), "root/sup/a"))
		}, true},
		{"stop from outside", actors.Permanent, func(t *testing.T, tree *actors.Tree) { tree.ActorSystem().Root.Stop(tree.PID("root/sup/a")) }, true},
		{"poison from outside", actors.Permanent, func(t *testing.T, tree *actors.Tree) { tree.ActorSystem().Root.Poison(tree.PID("root/sup/a")) }, true},
		{"normal end of a transient", actors.Transient, func(t *testing.T, tree *actors.Tree) {
			send(tree, "root/sup/a", do(func(ctx actor.Context) { ctx.Stop(ctx.Self()) }))
		}, true},
		{"crash of a temporary", actors.Temporary, func(t *testing.T, tree *actors.Tree) { send(tree, "root/sup/a", do(crash)) }, true},
	}
	for _, tt := range ends {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				var j journal
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					plain("watcher", hooks{receive: func(ctx actor.Context) {
						if m, ok := ctx.Message().(*actor.Terminated); ok {
							j.add("%s terminated", m.Who.Id)
						}
					}}),
					actors.Supervisor{ID: "sup", Children: []actors.Child{plain("a", hooks{}).With(actors.Lifecycle{Restart: tt.restart})}},
				}})
				watched := tree.PID("root/sup/a")
				send(tree, "root/watcher", do(func(ctx actor.Context) { ctx.Watch(watched) }))
				synctest.Wait()
				tt.end(t, tree)
				synctest.Wait()
				var want []string
				if tt.told {
					want = []string{"root/sup/a terminated"}
				}
				require.Equal(t, want, j.take())

				send(tree, "root/watcher", do(func(ctx actor.Context) { ctx.Watch(watched) }))
				synctest.Wait()
				require.Equal(t, want, j.take(), "who begins to watch then is told at once, if there is nothing to wait for")
				if tt.name == "terminate" {
					_, err := tree.RestartChild(t.Context(), "root/sup/a")
					require.NoError(t, err)
					send(tree, "root/watcher", do(func(ctx actor.Context) { ctx.Watch(watched) }))
					synctest.Wait()
					require.Empty(t, j.take(), "it is up again")
				}
			})
		})
	}
}

func TestStopFutureOfALogicalPIDResolves(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{}), plain("b", hooks{})}})
		require.NoError(t, tree.ActorSystem().Root.StopFuture(tree.PID("root/a")).Wait())
		require.NoError(t, tree.ActorSystem().Root.PoisonFuture(tree.PID("root/b")).Wait())
	})
}

// ---- law 3 is in integration_test.go; here is what refuses bad specs

func TestTaskTypesAreValidatedWithTheSpec(t *testing.T) {
	bad := routing.NewType[int, int]("two words")
	handle := func(context.Context, int) (int, error) { return 0, nil }
	_, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Children: []actors.Child{
		actors.Agent("a", bad, handle),
		actors.ActorSpec{ID: "b"},
	}})
	var spec *actors.SpecError
	require.True(t, errors.As(err, &spec), "%v", err)
	require.Len(t, spec.Faults, 2)
	require.Equal(t, "root/a", spec.Faults[0].Path)
	require.Equal(t, "root/b", spec.Faults[1].Path)
}
