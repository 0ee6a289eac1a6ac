package test

import (
	"context"
	"slices"
	"sync"
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

// hangsIn is a stateful agent that hangs once in one of its methods, in its second incarnation.
type hangsIn struct {
	what   string
	second bool
	g      *gate
}

func (h *hangsIn) at(what string) {
	if h.second && h.what == what {
		h.g.wait()
	}
}

func (h *hangsIn) Handle(_ context.Context, n int) (int, error) {
	if n < 0 {
		panic(errBoom)
	}
	return n, nil
}
func (h *hangsIn) Start(context.Context) error      { h.at("Start"); return nil }
func (h *hangsIn) Stop(context.Context)             { h.at("Stop") }
func (h *hangsIn) Snapshot() (int, error)           { h.at("Snapshot"); return 1, nil }
func (h *hangsIn) Restore(s actors.Saved) error     { h.at("Restore"); return nil }
func (h *hangsIn) Health(ctx context.Context) error { return nil }

// What hangs on its way up or down isn't judged by its silence: the start timeout and the shutdown time end that, and no task is charged.
func TestLivenessWhatHangsInAHookHasThatHooksTime(t *testing.T) {
	for _, what := range []string{"New", "Start", "Restore", "Stop"} {
		t.Run(what, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				var made atomic.Int64
				events := silences()
				policy := strategies.OneForOne(strategies.MaxRestarts(10, time.Hour))
				tree := start(t, actors.Supervisor{ID: "root", Strategy: policy, Children: []actors.Child{
					actors.Stateful("w", add, func() *hangsIn {
						h := &hangsIn{what: what, second: made.Add(1) == 2, g: g}
						h.at("New")
						return h
					}).With(actors.Lifecycle{StartTimeout: 20 * time.Second, Shutdown: 10 * time.Second, Liveness: &actors.Liveness{Max: 2 * time.Second}}),
				}}, actors.WithSubscription(events))
				_, err := add.Do(t.Context(), tree, 1)
				require.NoError(t, err)
				require.NoError(t, tree.Fail("root/w", errBoom))
				if what == "Stop" {
					time.Sleep(time.Second)
					require.Equal(t, 10*time.Second, took(func() { require.NoError(t, tree.TerminateChild(t.Context(), "root/w")) }))
					_, err := tree.RestartChild(t.Context(), "root/w")
					require.NoError(t, err)
				}
				h, err := add.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				_, err = h.Await(within(t, time.Hour))
				require.NoError(t, err)
				info, _ := tree.Hub().Inspect(h.ID())
				require.Zero(t, info.Strikes+info.Errors)
				time.Sleep(time.Minute)
				g.open()
				synctest.Wait()
				stop(t, tree)
				require.Equal(t, []actors.EventKind{actors.Abandoned, actors.Returned}, kindsOf(drain(events)))
			})
		})
	}
}

// Two siblings that hang in the same moment, and go down with each other, come up again; each task is charged once, and what another's end has cut short not at all.
func TestLivenessTwoSiblingsHangAtOnce(t *testing.T) {
	for name, strategy := range map[string]func(strategies.RestartPolicy) strategies.Strategy{
		"one for one": strategies.OneForOne, "one for all": strategies.OneForAll, "rest for one": strategies.RestForOne,
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				life := actors.Lifecycle{Shutdown: 3 * time.Second, Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: 10 * time.Second}}
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategy(strategies.MaxRestarts(10, time.Hour)), Children: []actors.Child{
					plain("a", hooks{}).With(life), plain("b", hooks{}).With(life), plain("idle", hooks{}).With(life),
					actors.Pool(2, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
							g.wait()
						}
						return n, nil
					}).With(life)),
				}})
				send(tree, "root/a", do(func(actor.Context) { g.wait() }))
				send(tree, "root/b", do(func(actor.Context) { g.wait() }))
				for _, h := range submitMany(t, tree, 2) {
					_, err := h.Await(within(t, time.Hour))
					require.NoError(t, err)
					info, _ := tree.Hub().Inspect(h.ID())
					require.LessOrEqual(t, info.Strikes, 1)
					own := slices.DeleteFunc(info.Attempts, func(a routing.Attempt) bool { return a.Outcome == routing.OutcomeReleased })
					require.LessOrEqual(t, len(own), 2)
					require.Equal(t, routing.OutcomeDone, own[len(own)-1].Outcome)
				}
				time.Sleep(time.Minute)
				for _, id := range []string{"a", "b"} {
					requireAlive(t, tree, "root/"+id)
					require.LessOrEqual(t, node(t, tree, "root/"+id).Restarts, 4)
				}
				requireAlive(t, tree, "root/idle")
				g.open()
				synctest.Wait()
				stop(t, tree)
			})
		})
	}
}

// What hangs, unnoticed so far, holds a group restart up for its shutdown time, and isn't taken for hung meanwhile. A sibling whose turn to stop hasn't come is: then that is
// the end of it.
func TestLivenessAHungSiblingInAGroupRestart(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		events := silences()
		life := actors.Lifecycle{Shutdown: 20 * time.Second, Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: 10 * time.Second}}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForAll(strategies.MaxRestarts(1, time.Hour)), Children: []actors.Child{
			plain("crashes", hooks{}).With(life), plain("hangs", hooks{}).With(life),
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
					g.wait()
				}
				return n, nil
			}).With(life),
		}}, actors.WithSubscription(events))
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		send(tree, "root/hangs", do(func(actor.Context) { g.wait() }))
		time.Sleep(2 * time.Second)
		send(tree, "root/crashes", do(crash))
		_, err = h.Await(within(t, time.Hour))
		require.NoError(t, err)
		for _, id := range []string{"crashes", "hangs", "w"} {
			requireRunning(t, tree, "root/"+id, 2)
		}
		info, _ := tree.Hub().Inspect(h.ID())
		require.Zero(t, info.Strikes)
		time.Sleep(time.Minute)
		g.open()
		synctest.Wait()
		stop(t, tree)
		all := drain(events)
		require.Equal(t, []actors.EventKind{actors.Suspected, actors.Hung, actors.Abandoned, actors.Abandoned, actors.Returned, actors.Returned}, kindsOf(all))
		require.Equal(t, "root/hangs", all[1].Path)
	})
}

// A hub that takes nothing more, or a spoke that gets nothing more, changes nothing about who hangs.
func TestLivenessWhileTheHubDrainsOrPauses(t *testing.T) {
	tests := map[string]func(t *testing.T, tree *actors.Tree) (end func()){
		"the hub drains": func(t *testing.T, tree *actors.Tree) func() {
			drained := make(chan error, 1)
			go func() { drained <- tree.Hub().Drain(context.Background()) }()
			return func() { require.NoError(t, <-drained) }
		},
		"all spokes are paused": func(t *testing.T, tree *actors.Tree) func() {
			for _, path := range []string{"root/w-1", "root/w-2"} {
				require.NoError(t, tree.Hub().PauseSpoke(path))
			}
			time.AfterFunc(time.Minute, func() { _ = tree.Hub().ResumeSpoke("root/w-1") })
			return func() {}
		},
		"its spoke is drained": func(t *testing.T, tree *actors.Tree) func() {
			drained := make(chan error, 2)
			for _, path := range []string{"root/w-1", "root/w-2"} {
				go func() { drained <- tree.Hub().DrainSpoke(context.Background(), path) }()
			}
			time.AfterFunc(time.Minute, func() { _ = tree.Hub().ResumeSpoke("root/w-1") })
			return func() { <-drained; <-drained }
		},
	}
	for name, does := range tests {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Pool(2, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
							<-ctx.Done()
						}
						return n, ctx.Err()
					}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 10 * time.Second}})),
				}})
				h, err := job.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				synctest.Wait()
				end := does(t, tree)
				_, err = h.Await(within(t, time.Hour))
				require.NoError(t, err)
				end()
				info, _ := tree.Hub().Inspect(h.ID())
				require.Equal(t, routing.OutcomeHung, info.Attempts[0].Outcome)
				require.InDelta(t, 10*time.Second, info.Attempts[0].End.Sub(info.Attempts[0].Start), float64(500*time.Millisecond))
				stop(t, tree)
			})
		})
	}
}

// An answer that goes on for ever is ended by the time limit of its task: that is the task's failure, and no hang of anybody.
func TestLivenessAStreamThatNeverEnds(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := silences()
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
					for info, _ := routing.FromContext(ctx); info.Attempt == 1 && ctx.Err() == nil; {
						time.Sleep(100 * time.Millisecond)
						beat()
					}
					return n, ctx.Err()
				})
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}}),
		}}, actors.WithSubscription(events))
		h, err := job.Submit(t.Context(), tree, 1, routing.Timeout(time.Minute))
		require.NoError(t, err)
		_, err = h.Await(within(t, time.Hour))
		require.NoError(t, err)
		info, _ := tree.Hub().Inspect(h.ID())
		require.Equal(t, routing.OutcomeTimedOut, info.Attempts[0].Outcome)
		requireRunning(t, tree, "root/w", 1)
		time.Sleep(time.Minute)
		stop(t, tree)
		require.Empty(t, drain(events))
	})
}

// Of two answers at the same time only the one that stalls is ended.
func TestLivenessTwoStreamsOfOneHandler(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Breaker{ID: "llm", Stream: actors.Liveness{Max: 10 * time.Second}},
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				answers := make([]error, 2)
				var all sync.WaitGroup
				for i := range answers {
					all.Go(func() {
						_, answers[i] = actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
							for range 60 {
								time.Sleep(time.Second)
								beat()
							}
							if i == 1 {
								<-ctx.Done()
							}
							return n, ctx.Err()
						})
					})
				}
				all.Wait()
				if answers[0] != nil || answers[1] == nil {
					return 0, routing.Permanent(errBoom)
				}
				return n, nil
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}}),
		}})
		_, err := job.Do(within(t, time.Hour), tree, 1)
		require.NoError(t, err)
		requireRunning(t, tree, "root/w", 1)
		stop(t, tree)
	})
}

// A goroutine that a handler has left, and which goes on reporting progress, speaks for its own task only, also if that is tried again by the same agent.
func TestLivenessAReporterThatOutlivesItsTask(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		stopped := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				info, _ := routing.FromContext(ctx)
				switch info.Attempt {
				case 1:
					go func() {
						for {
							select {
							case <-stopped.opened:
								return
							case <-time.After(time.Second):
								routing.Progress(ctx, "still there")
								routing.Beat(ctx)
								routing.Waiting(ctx)
							}
						}
					}()
					return 0, errBoom
				case 2:
					<-ctx.Done()
				}
				return n, ctx.Err()
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 20 * time.Second}}),
		}})
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		_, err = h.Await(within(t, time.Hour))
		require.NoError(t, err)
		info, _ := tree.Hub().Inspect(h.ID())
		require.Equal(t, routing.OutcomeHung, info.Attempts[1].Outcome)
		stopped.open()
		stop(t, tree)
	})
}

// A handler may await subtasks for hours, one after the other or several at once; what it does in between is judged.
func TestLivenessAHandlerThatAwaitsForHours(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Agent("parent", job, func(ctx context.Context, n int) (int, error) {
				tree, _ := actors.TreeFromContext(ctx)
				for range 3 {
					var all sync.WaitGroup
					for i := range 2 {
						all.Go(func() { _, _ = longType.Do(ctx, tree, i+1) })
					}
					all.Wait()
				}
				if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
					<-ctx.Done()
				}
				return n, ctx.Err()
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 30 * time.Second}}),
			actors.Pool(2, actors.Agent("long", longType, func(ctx context.Context, halfHours int) (int, error) {
				for range halfHours * 1800 / 20 {
					time.Sleep(20 * time.Second)
					routing.Beat(ctx)
				}
				return halfHours, nil
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 30 * time.Second}})),
		}})
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		held := took(func() { _, err = h.Await(within(t, 24*time.Hour)) })
		require.NoError(t, err)
		require.InDelta(t, 3*time.Hour, held, float64(2*time.Minute), "three hours, and what its subtasks have done isn't done again")
		info, _ := tree.Hub().Inspect(h.ID())
		require.Equal(t, routing.OutcomeHung, info.Attempts[0].Outcome)
		require.Equal(t, 1, node(t, tree, "root/parent").Restarts)
		require.Zero(t, node(t, tree, "root/long-1").Failures+node(t, tree, "root/long-2").Failures)
		stop(t, tree)
	})
}

// A hung node whose spec is changed meanwhile is judged by the new one, and comes up with it.
func TestLivenessAHungAgentIsReconfigured(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		spec := func(of actors.Liveness, answer int) actors.Supervisor {
			return actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
				actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
					if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
						g.wait()
					}
					return answer, nil
				}).With(actors.Lifecycle{Shutdown: time.Second, Liveness: &of}),
			}}
		}
		events := silences()
		tree := start(t, spec(actors.Liveness{Max: 20 * time.Second}, 1), actors.WithSubscription(events))
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		time.Sleep(15 * time.Second)
		require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(actors.Liveness{OnHung: actors.HungIgnore}, 2)))
		time.Sleep(time.Hour)
		requireRunning(t, tree, "root/w", 1)
		require.Equal(t, []actors.EventKind{actors.Suspected}, kindsOf(pending(events)))
		require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(actors.Liveness{OnHung: actors.HungReport, Max: time.Minute}, 3)))
		time.Sleep(time.Second)
		require.Equal(t, []actors.EventKind{actors.Hung}, kindsOf(pending(events)))
		require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(actors.Liveness{Max: time.Minute}, 4)))
		got, err := h.Await(within(t, time.Hour))
		require.NoError(t, err)
		require.Equal(t, 4, got)
		time.Sleep(time.Minute)
		g.open()
		synctest.Wait()
		stop(t, tree)
		require.Equal(t, []actors.EventKind{actors.Hung, actors.Abandoned, actors.Returned}, kindsOf(drain(events)))
	})
}

// An actor that hangs in what isn't a message of its queue hangs as well: a continuation, its receive timeout, the end of what it watches.
func TestLivenessOfAnActorThatHangsInSomethingElse(t *testing.T) {
	tests := map[string]func(ctx actor.Context){
		"a continuation": func(ctx actor.Context) {
			f := actor.NewFuture(ctx.ActorSystem(), time.Second)
			ctx.ReenterAfter(f, func(any, error) { ctx.Send(ctx.Self(), "hang here") })
		},
		"a message to itself": func(ctx actor.Context) { ctx.Send(ctx.Self(), "hang here") },
	}
	for name, prepares := range tests {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					plain("a", hooks{receive: func(ctx actor.Context) {
						if _, ok := ctx.Message().(string); ok {
							g.wait()
						}
					}}).With(actors.Lifecycle{Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: 5 * time.Second}}),
				}})
				send(tree, "root/a", do(prepares))
				time.Sleep(7 * time.Second)
				requireRunning(t, tree, "root/a", 2)
				g.open()
				synctest.Wait()
				stop(t, tree)
			})
		})
	}
}

// An actor whose messages are mostly quick is given the time for one that isn't once it was ended for it, though nothing but its failures is left of that. What truly hangs is
// found each time within the most that a silence may be; and quickly again the day after.
func TestLivenessOfAnActorWithMixedMessages(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		const most = 5 * time.Minute
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			plain("a", hooks{receive: func(ctx actor.Context) {
				switch d := ctx.Message().(type) {
				case time.Duration:
					time.Sleep(d)
				case string:
					g.wait()
				}
			}}).With(actors.Lifecycle{Queue: 2000, Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: most}}),
		}})
		quick := func(n int) {
			for range n {
				send(tree, "root/a", 50*time.Millisecond)
			}
			requireAlive(t, tree, "root/a")
		}
		for range 20 {
			quick(100)
			send(tree, "root/a", 5*time.Second)
		}
		requireAlive(t, tree, "root/a")
		require.Equal(t, 1, node(t, tree, "root/a").Failures)

		time.Sleep(25 * time.Hour)
		quick(1000)
		quick(1000)
		var silences []time.Duration
		for i := range 4 {
			send(tree, "root/a", "hang")
			time.Sleep(most + time.Second)
			history := node(t, tree, "root/a").History
			require.Len(t, history, 2+i)
			var reason *actors.HungError
			require.ErrorAs(t, history[1+i].Err, &reason)
			silences = append(silences, reason.Silence)
		}
		require.Less(t, silences[0], 10*time.Second)
		for i := range 3 {
			require.InEpsilon(t, min(4*silences[i], most), silences[i+1], 0.05)
		}
		g.open()
		synctest.Wait()
		stop(t, tree)
	})
}
