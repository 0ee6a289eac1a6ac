package test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/internal/hold"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// longType is a type of tasks that take long, and have a time limit of their own.
var longType = routing.NewType[int, int]("long")

// lenient is a policy that a few replaced agents don't exhaust.
var lenient = strategies.OneForOne(strategies.MaxRestarts(100, time.Hour))

// silences collects the events about liveness.
func silences() *actors.Subscription {
	return actors.NewSubscription(1000, actors.Suspected, actors.Hung, actors.Recovered, actors.Abandoned, actors.Returned)
}

func kindsOf(events []actors.Event) []actors.EventKind {
	var kinds []actors.EventKind
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// Of agents that all take their time, only those that hang are replaced, within their limit, and another does their task.
func TestLivenessOnlyWhatHangsIsReplaced(t *testing.T) {
	const limit, look = 10 * time.Second, 100 * time.Millisecond
	stalledStream := func(ctx context.Context, wait func(context.Context)) (int, error) {
		return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
			for range 20 {
				time.Sleep(50 * time.Millisecond)
				beat()
			}
			wait(ctx)
			return 1, ctx.Err()
		})
	}
	tests := []struct {
		name     string
		handle   func(ctx context.Context, g *gate, attempt int) (int, error)
		takes    time.Duration // of the whole task, at most
		replaced bool          // the agent of the first attempt
		outcome  routing.OutcomeKind
	}{
		{"hangs, deaf to its context", func(ctx context.Context, g *gate, attempt int) (int, error) {
			if attempt == 1 {
				g.wait()
			}
			return 1, nil
		}, limit + 5*look, true, routing.OutcomeHung},
		{"hangs, but heeds its context", func(ctx context.Context, g *gate, attempt int) (int, error) {
			if attempt == 1 {
				<-ctx.Done()
			}
			return 1, ctx.Err()
		}, limit + 5*look, true, routing.OutcomeHung},
		{"hangs after some progress", func(ctx context.Context, g *gate, attempt int) (int, error) {
			for range 5 {
				time.Sleep(8 * time.Second)
				routing.Progress(ctx, "on")
			}
			if attempt == 1 {
				<-ctx.Done()
			}
			return 1, ctx.Err()
		}, 2*(40*time.Second) + limit + 5*look, true, routing.OutcomeHung},
		{"is slow, but reports progress", func(ctx context.Context, g *gate, _ int) (int, error) {
			for range 100 {
				time.Sleep(8 * time.Second)
				routing.Progress(ctx, "on")
			}
			return 1, nil
		}, 800 * time.Second, false, routing.OutcomeDone},
		{"is slow, but beats", func(ctx context.Context, g *gate, _ int) (int, error) {
			for range 100 {
				time.Sleep(8 * time.Second)
				routing.Beat(ctx)
			}
			return 1, nil
		}, 800 * time.Second, false, routing.OutcomeDone},
		{"is in a long guarded call", func(ctx context.Context, g *gate, _ int) (int, error) {
			return actors.Guard(ctx, "slow", func(context.Context) (int, error) {
				time.Sleep(time.Hour)
				return 1, nil
			})
		}, time.Hour, false, routing.OutcomeDone},
		{"is in a guarded call without a limit", func(ctx context.Context, g *gate, attempt int) (int, error) {
			if attempt > 1 {
				return 1, nil
			}
			return actors.Guard(ctx, "unlimited", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		}, limit + 5*look, true, routing.OutcomeHung},
		{"awaits a subtask that takes long", func(ctx context.Context, g *gate, _ int) (int, error) {
			tree, _ := actors.TreeFromContext(ctx)
			return longType.Do(ctx, tree, 1)
		}, time.Hour, false, routing.OutcomeDone},
		{"behind a stream that goes on", func(ctx context.Context, g *gate, _ int) (int, error) {
			return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
				for range 1000 {
					time.Sleep(500 * time.Millisecond)
					beat()
				}
				return 1, nil
			})
		}, 500 * time.Second, false, routing.OutcomeDone},
		{"behind a stream that stalls", func(ctx context.Context, g *gate, attempt int) (int, error) {
			return stalledStream(ctx, func(ctx context.Context) {
				if attempt == 1 {
					<-ctx.Done()
				}
			})
		}, 6 * time.Second, false, routing.OutcomeError},
		{"behind a stream that stalls and is deaf to it", func(ctx context.Context, g *gate, attempt int) (int, error) {
			return stalledStream(ctx, func(ctx context.Context) {
				if attempt == 1 {
					g.wait()
				}
			})
		}, 6 * time.Second, false, routing.OutcomeError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				events := silences()
				limits := actors.Lifecycle{Liveness: &actors.Liveness{Max: limit}}
				work := routing.NewType[int, int]("work")
				long := actors.Agent("long", longType, func(context.Context, int) (int, error) {
					time.Sleep(time.Hour)
					return 1, nil
				})
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Breaker{ID: "llm"},
					long.With(actors.Lifecycle{Liveness: &actors.Liveness{OnHung: actors.HungIgnore}}),
					actors.Breaker{ID: "slow", Config: breaker.Config{OperationTimeout: 2 * time.Hour}},
					actors.Breaker{ID: "unlimited", Config: breaker.Config{OperationTimeout: breaker.NoTimeout}},
					actors.Pool(2, actors.Agent("w", work, func(ctx context.Context, _ int) (int, error) {
						info, _ := routing.FromContext(ctx)
						return tt.handle(ctx, g, info.Attempt)
					}).With(limits)),
				}}, actors.WithSubscription(events))

				var h *routing.Handle[int]
				took := took(func() {
					var err error
					h, err = work.Submit(t.Context(), tree, 1)
					require.NoError(t, err)
					got, err := h.Await(within(t, 24*time.Hour))
					require.NoError(t, err)
					require.Equal(t, 1, got)
				})
				require.LessOrEqual(t, took, tt.takes)
				info, ok := tree.Hub().Inspect(h.ID())
				require.True(t, ok)
				first := info.Attempts[0]
				require.Equal(t, tt.outcome, first.Outcome)
				if len(info.Attempts) > 1 && tt.replaced {
					require.NotEqual(t, first.Spoke.Path, info.Attempts[1].Spoke.Path, "another agent does it")
				}
				time.Sleep(time.Minute)
				g.open()
				synctest.Wait()
				restarts := node(t, tree, "root/w-1").Restarts + node(t, tree, "root/w-2").Restarts
				if !tt.replaced {
					require.Zero(t, restarts)
					stop(t, tree)
					return
				}
				require.Equal(t, 1, restarts)
				n := node(t, tree, first.Spoke.Path)
				require.Len(t, n.History, 1)
				var reason *actors.HungError
				require.ErrorAs(t, n.History[0].Err, &reason)
				require.ErrorIs(t, reason, actors.ErrHung)
				require.Equal(t, h.ID(), reason.Task)
				require.GreaterOrEqual(t, reason.Silence, limit)
				require.ErrorAs(t, first.Err, &reason)
				stop(t, tree)
				kinds := kindsOf(drain(events))
				require.Equal(t, 1, count(kinds, actors.Hung))
				require.GreaterOrEqual(t, count(kinds, actors.Suspected), 1)
				abandoned := 0
				if strings.HasPrefix(tt.name, "hangs, deaf") {
					abandoned = 1
				}
				require.Equal(t, abandoned, count(kinds, actors.Abandoned))
				require.Equal(t, count(kinds, actors.Abandoned), count(kinds, actors.Returned), "what heeds its context isn't abandoned; the deaf come back when the gate opens")
			})
		})
	}
}

func count(kinds []actors.EventKind, k actors.EventKind) int {
	return len(slices.DeleteFunc(slices.Clone(kinds), func(other actors.EventKind) bool { return other != k }))
}

func TestLivenessIdleIsHealthy(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := silences()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("w", job, func(_ context.Context, n int) (int, error) { return n, nil }).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: time.Second}}),
			plain("a", hooks{}).With(actors.Lifecycle{Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: time.Second}}),
		}}, actors.WithSubscription(events))
		for range 3 {
			_, err := job.Do(t.Context(), tree, 1)
			require.NoError(t, err)
			requireAlive(t, tree, "root/a")
			time.Sleep(24 * time.Hour)
		}
		requireRunning(t, tree, "root/w", 1)
		requireRunning(t, tree, "root/a", 1)
		stop(t, tree)
		require.Empty(t, drain(events))
	})
}

// Tasks of one type that usually take a moment make a long silence suspicious long before the most that it may be.
func TestLivenessLearnsHowLongTasksTake(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var hang atomic.Bool
		events := silences()
		work := routing.NewType[time.Duration, int]("work")
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Pool(2, actors.Agent("w", work, func(ctx context.Context, d time.Duration) (int, error) {
				if hang.CompareAndSwap(true, false) {
					<-ctx.Done()
				}
				time.Sleep(d)
				return 1, nil
			})),
		}}, actors.WithSubscription(events))
		for i := range 50 {
			_, err := work.Do(t.Context(), tree, time.Second+time.Duration(i%5)*200*time.Millisecond)
			require.NoError(t, err)
		}
		_, err := work.Do(t.Context(), tree, 12*time.Second)
		require.NoError(t, err, "ten times as long as usual isn't hung yet")
		require.Zero(t, node(t, tree, "root/w-1").Failures+node(t, tree, "root/w-2").Failures)

		hang.Store(true)
		held := took(func() {
			_, err := work.Do(t.Context(), tree, time.Second)
			require.NoError(t, err)
		})
		require.Greater(t, held, 12*time.Second)
		require.Less(t, held, 3*time.Minute, "the most that a silence may be is 10 minutes")
		history := append(node(t, tree, "root/w-1").History, node(t, tree, "root/w-2").History...)
		stop(t, tree)
		hung := slices.DeleteFunc(drain(events), func(e actors.Event) bool { return e.Kind != actors.Hung })
		require.Len(t, hung, 1)
		require.GreaterOrEqual(t, hung[0].Phi, actors.DefaultHungPhi)
		require.Contains(t, hung[0].String(), "no progress in task")
		require.Len(t, history, 1)
		var reason *actors.HungError
		require.ErrorAs(t, history[0].Err, &reason)
		require.Equal(t, hung[0].Err, history[0].Err)
		require.Equal(t, hung[0].Phi, reason.Phi)
		require.Equal(t, hung[0].Delay, reason.Silence)
		require.False(t, reason.Max)
		require.WithinDuration(t, hung[0].Time.Add(-reason.Silence), reason.Last, time.Millisecond, "its last sign of life")
	})
}

func TestLivenessRespectsATasksOwnLimit(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("w", job, func(_ context.Context, n int) (int, error) {
				time.Sleep(time.Hour)
				return n, nil
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: time.Second}}),
		}})
		_, err := job.Do(t.Context(), tree, 1, routing.Timeout(2*time.Hour))
		require.NoError(t, err)
		_, err = job.Do(t.Context(), tree, 1, routing.Deadline(time.Now().Add(2*time.Hour)))
		require.NoError(t, err)
		requireRunning(t, tree, "root/w", 1)
		stop(t, tree)
	})
}

// An agent that is replaced because one of its handlers hangs gives the tasks of the others back, and only the one that hung is charged.
func TestLivenessChargesOnlyTheTaskThatHung(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var first atomic.Bool
		agent := actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
			if n == 0 && first.CompareAndSwap(false, true) {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			for range 8 {
				select {
				case <-time.After(time.Second):
					routing.Beat(ctx)
				case <-ctx.Done():
					return 0, ctx.Err()
				}
			}
			return n, nil
		}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}})
		agent.Credits = 4
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{agent}})
		for i, h := range submitMany(t, tree, 4) {
			got, err := h.Await(within(t, time.Hour))
			require.NoError(t, err)
			require.Equal(t, i, got)
			info, _ := tree.Hub().Inspect(h.ID())
			require.Equal(t, map[bool]int{true: 1}[i == 0], info.Strikes, "task %d", i)
			require.Len(t, info.Attempts, 2)
		}
		requireRunning(t, tree, "root/w", 2)
		stop(t, tree)
	})
}

// A plain actor that blocks is reported, and that is all, unless its spec says that it fails.
func TestLivenessOfAPlainActor(t *testing.T) {
	for _, fails := range []bool{false, true} {
		inVirtualTime(t, func(t *testing.T) {
			g := newGate(t)
			events := silences()
			liveness := &actors.Liveness{Max: 20 * time.Second}
			if fails {
				liveness.OnHung = actors.HungFail
			}
			tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
				plain("a", hooks{}).With(actors.Lifecycle{Liveness: liveness}),
				plain("b", hooks{}),
			}}, actors.WithSubscription(events))
			send(tree, "root/a", do(func(actor.Context) { g.wait() }))
			time.Sleep(15 * time.Second)
			synctest.Wait()
			got := pending(events)
			require.Equal(t, []actors.EventKind{actors.Suspected}, kindsOf(got))
			require.Equal(t, "root/a", got[0].Path)
			require.InDelta(t, 10*time.Second, got[0].Delay, float64(300*time.Millisecond))
			time.Sleep(6 * time.Second)
			synctest.Wait()
			if fails {
				requireAlive(t, tree, "root/a")
				requireRunning(t, tree, "root/a", 2)
				time.Sleep(5 * time.Second)
			}
			g.open()
			time.Sleep(time.Second)
			requireAlive(t, tree, "root/a")
			rest := pending(events)
			requireRunning(t, tree, "root/b", 1)
			stop(t, tree)
			if !fails {
				require.Equal(t, []actors.EventKind{actors.Hung, actors.Recovered}, kindsOf(rest))
				require.Equal(t, 0, node(t, tree, "root/a").Failures)
				return
			}
			require.Equal(t, []actors.EventKind{actors.Hung, actors.Abandoned, actors.Returned}, kindsOf(rest))
			history := node(t, tree, "root/a").History
			require.Len(t, history, 1)
			var reason *actors.HungError
			require.ErrorAs(t, history[0].Err, &reason)
			require.True(t, reason.Max)
			require.GreaterOrEqual(t, reason.Silence, 20*time.Second)
			require.WithinDuration(t, rest[0].Time.Add(-reason.Silence), reason.Last, time.Millisecond)
		})
	}
}

// A message that takes long isn't suspicious if the actor's messages usually do.
func TestLivenessLearnsHowLongMessagesTake(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := silences()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{}), plain("b", hooks{})}}, actors.WithSubscription(events))
		takes := func(path string, n int, d time.Duration) {
			for range n {
				send(tree, path, do(func(actor.Context) { time.Sleep(d) }))
			}
			time.Sleep(time.Duration(n)*d + time.Minute)
		}
		takes("root/a", 100, 10*time.Second)
		takes("root/b", 1000, time.Millisecond)
		takes("root/b", 1000, time.Millisecond)
		for range 10 {
			takes("root/b", 1, time.Millisecond)
		}
		require.Empty(t, pending(events))
		takes("root/a", 1, 20*time.Second)
		require.Empty(t, pending(events))
		takes("root/b", 1, 20*time.Second)
		require.Equal(t, []actors.EventKind{actors.Suspected, actors.Hung, actors.Recovered}, kindsOf(pending(events)))
		stop(t, tree)
	})
}

// A node that is suspended, starting, backing off or stopping isn't judged.
func TestLivenessJudgesOnlyWhatIsUp(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := silences()
		life := actors.Lifecycle{StartTimeout: time.Hour, Shutdown: time.Hour, Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: time.Second}}
		slow := func(actor.Context) { time.Sleep(time.Minute) }
		policy := strategies.MaxRestarts(10, time.Hour).WithBackoff(strategies.Fixed(time.Minute))
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
			plain("slow", hooks{started: slow, stopping: slow}).With(life),
			plain("crashes", hooks{}).With(life),
		}}, actors.WithSubscription(events))
		send(tree, "root/crashes", do(crash))
		send(tree, "root/crashes", "waits for the backoff")
		time.Sleep(2 * time.Minute)
		requireRunning(t, tree, "root/crashes", 2)
		requireRunning(t, tree, "root/slow", 1)
		stop(t, tree)
		require.Empty(t, drain(events))
	})
}

// A node that has failed, and waits until its supervisor has decided whether it goes on, isn't judged either.
func TestLivenessDoesNotJudgeTheSuspended(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := silences()
		policy := always()
		policy.Decider = func(error) actor.Directive { return actor.ResumeDirective }
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
			plain("a", hooks{}).With(actors.Lifecycle{Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: 2 * time.Second}}),
		}}, actors.WithSubscription(events))
		held, release := make(chan struct{}), make(chan struct{})
		send(tree, "root", hold.Order{Held: held, Release: release})
		<-held
		send(tree, "root/a", do(crash))
		send(tree, "root/a", "waits")
		time.Sleep(time.Hour)
		close(release)
		requireAlive(t, tree, "root/a")
		requireRunning(t, tree, "root/a", 1)
		stop(t, tree)
		require.Empty(t, drain(events))
	})
}

// All at once in one tree: of those that are busy, idle, waiting and hanging, only what hangs is replaced.
func TestLivenessTellsThemApart(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		const limit = time.Minute
		g := newGate(t)
		events := silences()
		handlers := map[string]func(ctx context.Context, first bool) error{
			"deaf": func(_ context.Context, first bool) error {
				if first {
					g.wait()
				}
				return nil
			},
			"listens": func(ctx context.Context, first bool) error {
				if first {
					<-ctx.Done()
				}
				return ctx.Err()
			},
			"slow": func(ctx context.Context, _ bool) error {
				for i := range 100 {
					time.Sleep(50 * time.Second)
					routing.Progress(ctx, i)
				}
				return nil
			},
			"idle": func(context.Context, bool) error { return nil },
			"calls": func(ctx context.Context, _ bool) error {
				_, err := actors.Guard(ctx, "outside", func(context.Context) (int, error) { time.Sleep(time.Hour); return 0, nil })
				return err
			},
			"streams": func(ctx context.Context, first bool) error {
				_, err := actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
					for range 100 {
						time.Sleep(100 * time.Millisecond)
						beat()
					}
					if first {
						<-ctx.Done()
					}
					return 0, ctx.Err()
				})
				return err
			},
		}
		kinds := make(map[string]routing.Type[int, int])
		root := actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Breaker{ID: "outside", Config: breaker.Config{OperationTimeout: 90 * time.Minute}},
		}}
		for name, handle := range handlers {
			kinds[name] = routing.NewType[int, int](name)
			root.Children = append(root.Children, actors.Pool(2, actors.Agent(name, kinds[name], func(ctx context.Context, n int) (int, error) {
				info, _ := routing.FromContext(ctx)
				return n, handle(ctx, info.Attempt == 1)
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: limit}})))
		}
		tree := start(t, root, actors.WithSubscription(events))
		handles := make(map[string]*routing.Handle[int])
		for name, kind := range kinds {
			h, err := kind.Submit(t.Context(), tree, 1)
			require.NoError(t, err)
			handles[name] = h
		}
		time.Sleep(24 * time.Hour)
		g.open()
		synctest.Wait()
		for name, h := range handles {
			_, err := h.Await(within(t, time.Second))
			require.NoError(t, err, name)
			info, _ := tree.Hub().Inspect(h.ID())
			restarts := node(t, tree, "root/"+name+"-1").Restarts + node(t, tree, "root/"+name+"-2").Restarts
			hangs := name == "deaf" || name == "listens"
			require.Equal(t, hangs, restarts == 1, "%s: %d", name, restarts)
			if !hangs {
				require.Zero(t, restarts, name)
				continue
			}
			require.Len(t, info.Attempts, 2)
			require.Equal(t, routing.OutcomeHung, info.Attempts[0].Outcome)
			require.Less(t, info.Attempts[0].End.Sub(info.Attempts[0].Start), limit+time.Second)
			require.NotEqual(t, info.Attempts[0].Spoke.Path, info.Attempts[1].Spoke.Path)
		}
		stop(t, tree)
		for _, e := range drain(events) {
			if e.Kind == actors.Hung {
				require.Contains(t, []string{"root/deaf", "root/listens", "root/llm"}, strings.TrimRight(e.Path, "-12"))
			}
		}
	})
}

// The chain of events: hung, exited, failed, started again.
func TestLivenessFailureEntersTheStrategyAsAPanicDoes(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		all := actors.NewSubscription(1000)
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForAll(strategies.MaxRestarts(3, time.Hour)), Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
					<-ctx.Done()
				}
				return n, nil
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}}),
			plain("sibling", hooks{}),
		}}, actors.WithSubscription(all))
		_, err := job.Do(t.Context(), tree, 1)
		require.NoError(t, err)
		requireRunning(t, tree, "root/sibling", 2)
		stop(t, tree)
		bySeq := make(map[uint64]actors.Event)
		var up actors.Event
		for _, e := range drain(all) {
			bySeq[e.Seq] = e
			if e.Kind == actors.Started && e.Path == "root/w" && e.Incarnation == 2 {
				up = e
			}
		}
		var chain []actors.EventKind
		for e := up; e.Seq != 0; e = bySeq[e.Cause] {
			chain = append(chain, e.Kind)
		}
		require.Equal(t, []actors.EventKind{actors.Started, actors.Failed, actors.Exited, actors.Hung}, chain)
	})
}

func TestLivenessIsChangedWhileTheTreeRuns(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		events := silences()
		spec := func(longest time.Duration) actors.Supervisor {
			return actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
				plain("a", hooks{}).With(actors.Lifecycle{Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: longest}}),
			}}
		}
		tree := start(t, spec(time.Hour), actors.WithSubscription(events))
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		time.Sleep(10 * time.Minute)
		require.Empty(t, pending(events))
		require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(time.Minute)))
		time.Sleep(time.Second)
		requireRunning(t, tree, "root/a", 2)
		g.open()
		synctest.Wait() // it returns
		stop(t, tree)
	})
}

// Both thresholds, and what bounds them.
func TestLivenessThresholdsAreChangedWhileTheTreeRuns(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		events := silences()
		spec := func(l actors.Liveness) actors.Supervisor {
			return actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{plain("a", hooks{}).With(actors.Lifecycle{Liveness: &l})}}
		}
		tree := start(t, spec(actors.Liveness{}), actors.WithSubscription(events))
		happens := func(l actors.Liveness, kinds ...actors.EventKind) {
			t.Helper()
			require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(l)))
			time.Sleep(time.Second)
			synctest.Wait()
			require.Equal(t, kinds, kindsOf(pending(events)))
		}
		for range 50 {
			send(tree, "root/a", do(func(actor.Context) { time.Sleep(time.Second) }))
		}
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		time.Sleep(55 * time.Second)
		require.Empty(t, pending(events))
		happens(actors.Liveness{Phi: 200, Suspect: 100, Max: time.Hour})
		time.Sleep(4 * time.Minute)
		require.Empty(t, pending(events))
		happens(actors.Liveness{Phi: 200, Suspect: 5, Min: 20 * time.Minute, Max: time.Hour})
		happens(actors.Liveness{Phi: 200, Suspect: 5, Max: time.Hour}, actors.Suspected)
		happens(actors.Liveness{Phi: 12, Min: 10 * time.Minute, Max: time.Hour}, actors.Recovered)
		happens(actors.Liveness{Phi: 12, Max: time.Hour}, actors.Hung)
		g.open()
		time.Sleep(time.Second)
		require.Equal(t, []actors.EventKind{actors.Recovered}, kindsOf(pending(events)))
		stop(t, tree)
	})
}

func TestLivenessDefaultsPerKind(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			plain("a", hooks{}),
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
					<-ctx.Done()
				}
				return n, nil
			}),
		}}, actors.WithLiveness(actors.KindActor, actors.Liveness{OnHung: actors.HungFail, Max: 3 * time.Second}),
			actors.WithLiveness(actors.KindAgent, actors.Liveness{OnHung: actors.HungReport, Max: 3 * time.Second}), actors.WithLivenessLook(10*time.Millisecond))
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		time.Sleep(3*time.Second + 30*time.Millisecond)
		requireRunning(t, tree, "root/a", 2)
		time.Sleep(time.Hour)
		requireRunning(t, tree, "root/w", 1)
		require.True(t, h.Cancel(errors.New("enough")))
		g.open()
		time.Sleep(time.Second)
		stop(t, tree)
	})
}

func TestTreeFailIsTheDoorForDetectors(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{plain("a", hooks{}), plain("b", hooks{})}})
		reason := errors.New("no heartbeat from the other side")
		require.NoError(t, tree.Fail("root/a", reason))
		synctest.Wait()
		requireRunning(t, tree, "root/a", 2)
		requireRunning(t, tree, "root/b", 1)
		require.ErrorIs(t, node(t, tree, "root/a").History[0].Err, reason)
		require.ErrorIs(t, tree.Fail("root/none", reason), actors.ErrNotFound)
		require.Error(t, tree.Fail("root/a", nil))
		require.NoError(t, tree.TerminateChild(t.Context(), "root/a"))
		require.ErrorIs(t, tree.Fail("root/a", reason), actors.ErrNotUp)
		stop(t, tree)
	})
}

func TestLivenessFaultsAreAllNamed(t *testing.T) {
	bad := &actors.Liveness{OnHung: 9, Phi: -1, Suspect: -2, Min: -time.Second, Max: -time.Second}
	_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Lifecycle: actors.Lifecycle{Liveness: &actors.Liveness{}}, Children: []actors.Child{
		plain("a", hooks{}).With(actors.Lifecycle{Liveness: bad}),
		plain("b", hooks{}).With(actors.Lifecycle{Liveness: &actors.Liveness{Min: time.Hour, Max: time.Minute}}),
		actors.Breaker{ID: "c", Stream: actors.Liveness{Phi: 1000}},
		plain("d", hooks{}).With(actors.Lifecycle{Liveness: &actors.Liveness{Suspect: 9, Phi: 8}}),
	}}, actors.WithLiveness(actors.KindRoot, actors.Liveness{}), actors.WithLiveness(actors.KindAgent, *bad), actors.WithLivenessLook(-1))
	var faults *actors.SpecError
	require.ErrorAs(t, err, &faults)
	for _, want := range []string{"root: Liveness isn't for supervisors", "root/a: Liveness.OnHung is 9", "root/a: Liveness.Phi is -1", "root/a: Liveness.Suspect is -2", "root/d: Liveness.Suspect is 9, must not be above Phi, 8",
		"root/a: Liveness.Min is -1s",
		"root/a: Liveness.Max is -1s", "root/b: Liveness.Min is 1h0m0s, must not be above Max, 1m0s", "root/c: Stream: Liveness.Phi is 1000",
		"WithLiveness(root)", "WithLiveness(agent): Liveness.Phi", "WithLivenessLook: -1ns"} {
		require.Contains(t, err.Error(), want)
	}
}
