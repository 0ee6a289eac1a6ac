package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
)

// What a handler leaves running when it returns says nothing about the tasks that its agent handles after it.
func TestLivenessIsNotDeceivedByWhatAnEarlierHandlerLeft(t *testing.T) {
	tests := map[string]func(ctx context.Context, over <-chan struct{}){
		"a guarded call": func(ctx context.Context, _ <-chan struct{}) {
			_, _ = actors.Guard(ctx, "slow", func(context.Context) (int, error) { time.Sleep(time.Second); return 1, nil })
		},
		"a ticker that beats": func(ctx context.Context, over <-chan struct{}) {
			for {
				select {
				case <-time.After(50 * time.Millisecond):
					routing.Beat(ctx)
				case <-over:
					return
				}
			}
		},
	}
	for name, leaves := range tests {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				over := make(chan struct{})
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Breaker{ID: "slow"},
					actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						info, _ := routing.FromContext(ctx)
						switch {
						case n == 0:
							go leaves(ctx, over)
							time.Sleep(10 * time.Millisecond)
						case info.Attempt == 1:
							<-ctx.Done()
						}
						return n, nil
					}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}}),
				}})
				first, err := job.Submit(t.Context(), tree, 0)
				require.NoError(t, err)
				second, err := job.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				_, err = first.Await(t.Context())
				require.NoError(t, err)
				took := took(func() {
					_, err = second.Await(within(t, time.Hour))
				})
				close(over)
				require.NoError(t, err)
				require.Less(t, took, 6*time.Second)
				stop(t, tree)
			})
		})
	}
}

// Whoever ends one wait twice has ended one.
func TestLivenessWaitingIsOverOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				done := routing.Waiting(ctx)
				defer done()
				time.Sleep(time.Minute)
				done()
				if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
					done()
					<-ctx.Done()
				}
				return n, nil
			}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}}),
		}})
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		_, err = h.Await(within(t, time.Hour))
		require.NoError(t, err)
		info, _ := tree.Hub().Inspect(h.ID())
		require.Equal(t, routing.OutcomeHung, info.Attempts[0].Outcome)
		stop(t, tree)
	})
}

// The other tasks of an agent that is replaced aren't charged, even if their handlers return why their contexts ended.
func TestLivenessChargesNobodyForTheCause(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		agent := actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
			info, _ := routing.FromContext(ctx)
			switch {
			case info.Attempt > 1:
			case n == 0:
				<-ctx.Done()
			default:
				for ctx.Err() == nil {
					select {
					case <-ctx.Done():
					case <-time.After(time.Second):
						routing.Beat(ctx)
					}
				}
			}
			return n, context.Cause(ctx)
		}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 5 * time.Second}})
		agent.Credits = 4
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{agent}})
		for i, h := range submitMany(t, tree, 4) {
			_, err := h.Await(within(t, time.Hour))
			require.NoError(t, err)
			info, _ := tree.Hub().Inspect(h.ID())
			require.Equal(t, i != 0, info.Attempts[0].Outcome == routing.OutcomeReleased, "task %d: %v", i, info.Attempts[0])
		}
		stop(t, tree)
	})
}

// What was suspected and then killed, or given up, hasn't recovered.
func TestLivenessTheDeadDoNotRecover(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		events := silences()
		life := actors.Lifecycle{Shutdown: time.Second, Liveness: &actors.Liveness{OnHung: actors.HungReport, Max: 20 * time.Second}}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			plain("a", hooks{}).With(life),
			actors.Agent("w", job, func(_ context.Context, n int) (int, error) { g.wait(); return n, nil }).With(life),
		}}, actors.WithSubscription(events))
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		h, err := job.Submit(t.Context(), tree, 1, routing.MaxAttempts(1))
		require.NoError(t, err)
		time.Sleep(15 * time.Second)
		require.NoError(t, tree.Kill("root/a"))
		require.True(t, h.Cancel(nil))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Zero(t, count(kindsOf(pending(events)), actors.Recovered))
		g.open()
		synctest.Wait()
		stop(t, tree)
	})
}

// What was only reported fails once its Liveness says so.
func TestLivenessFailsWhatWasReported(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		spec := func(on actors.OnHung) actors.Supervisor {
			return actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
				plain("a", hooks{}).With(actors.Lifecycle{Liveness: &actors.Liveness{OnHung: on, Max: time.Minute}}),
			}}
		}
		events := silences()
		tree := start(t, spec(actors.HungReport), actors.WithSubscription(events))
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		time.Sleep(10 * time.Minute)
		require.Equal(t, 1, count(kindsOf(pending(events)), actors.Hung))
		require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(actors.HungFail)))
		time.Sleep(time.Second)
		requireRunning(t, tree, "root/a", 2)
		g.open()
		synctest.Wait()
		stop(t, tree)
	})
}

// An actor that was told to stop in the midst of a message has its shutdown time to finish that.
func TestLivenessLeavesWhatIsToldToStopToItsShutdownTime(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		events := silences()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			plain("a", hooks{}).With(actors.Lifecycle{Shutdown: time.Hour, Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: time.Minute}}),
		}}, actors.WithSubscription(events))
		send(tree, "root/a", do(func(actor.Context) { time.Sleep(10 * time.Minute) }))
		time.Sleep(time.Second)
		stop(t, tree)
		require.Empty(t, drain(events))
	})
}

// A stream that isn't ended when it stalls leaves the judgement to its handler's agent, also if that is said only while it goes on.
func TestLivenessOfAStreamThatIsOnlyReported(t *testing.T) {
	for _, says := range [][2]actors.OnHung{
		{actors.HungReport, actors.HungReport}, {actors.HungIgnore, actors.HungIgnore},
		{actors.HungFail, actors.HungReport}, {actors.HungFail, actors.HungIgnore},
	} {
		inVirtualTime(t, func(t *testing.T) {
			spec := func(on actors.OnHung) actors.Supervisor {
				return actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Breaker{ID: "llm", Stream: actors.Liveness{OnHung: on}},
					actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
							for range 20 {
								time.Sleep(4 * time.Second)
								beat()
							}
							if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
								<-ctx.Done()
							}
							return n, ctx.Err()
						})
					}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: 10 * time.Second}}),
				}}
			}
			tree := start(t, spec(says[0]))
			h, err := job.Submit(t.Context(), tree, 1)
			require.NoError(t, err)
			time.Sleep(time.Minute)
			require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(says[1])))
			_, err = h.Await(within(t, time.Hour))
			require.NoError(t, err)
			info, _ := tree.Hub().Inspect(h.ID())
			require.Len(t, info.Attempts, 2)
			require.Equal(t, routing.OutcomeHung, info.Attempts[0].Outcome)
			stop(t, tree)
		})
	}
}

// A stream that isn't ended for a while leaves its handler to the agent's Liveness only for that while.
func TestLivenessOfAStreamThatIsOnlyReportedForAWhile(t *testing.T) {
	for _, meanwhile := range []actors.OnHung{actors.HungReport, actors.HungIgnore} {
		t.Run(meanwhile.String(), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				events := silences()
				spec := func(on actors.OnHung) actors.Supervisor {
					return actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
						actors.Breaker{ID: "llm", Stream: actors.Liveness{OnHung: on, Max: time.Hour}},
						actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
							return actors.GuardStream(ctx, "llm", func(context.Context, func()) (int, error) {
								time.Sleep(20 * time.Minute)
								return n, nil
							})
						}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: time.Minute}}),
					}}
				}
				tree := start(t, spec(actors.HungFail), actors.WithSubscription(events))
				h, err := job.Submit(t.Context(), tree, 1, routing.MaxAttempts(1))
				require.NoError(t, err)
				for range 10 {
					for _, on := range []actors.OnHung{meanwhile, actors.HungFail} {
						time.Sleep(10 * time.Second)
						require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(on)))
					}
				}
				_, err = h.Await(within(t, time.Hour))
				require.NoError(t, err)
				stop(t, tree)
				require.Empty(t, drain(events))
			})
		})
	}
}

// An External tries a stalled answer again, as it does what else fails.
func TestLivenessAStalledStreamIsTriedAgainByItsExternal(t *testing.T) {
	for name, stalls := range map[string]func(ctx context.Context, g *gate, beat func()){
		"and heeds its context": func(ctx context.Context, _ *gate, _ func()) { <-ctx.Done() },
		"and is deaf to it":     func(_ context.Context, g *gate, _ func()) { g.wait() },
		"and beats once it is over": func(ctx context.Context, g *gate, beat func()) {
			<-ctx.Done()
			for range 100 {
				time.Sleep(time.Second)
				beat()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				var calls atomic.Int64
				events := silences()
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					actors.External{ID: "llm", Stream: actors.Liveness{Max: 10 * time.Second}, Config: breaker.ExternalConfig{Retry: breaker.Retry{Attempts: 3}}},
					actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						return actors.GuardStream(ctx, "llm", func(ctx context.Context, beat func()) (int, error) {
							call := calls.Add(1)
							beat()
							if call < 3 {
								stalls(ctx, g, beat)
							}
							return n, ctx.Err()
						})
					}),
				}}, actors.WithSubscription(events))
				took := took(func() {
					_, err := job.Do(t.Context(), tree, 1, routing.MaxAttempts(1))
					require.NoError(t, err)
				})
				require.EqualValues(t, 3, calls.Load())
				require.Less(t, took, 25*time.Second)
				g.open()
				time.Sleep(3 * time.Minute)
				stop(t, tree)
				hung := slices.DeleteFunc(drain(events), func(e actors.Event) bool { return e.Kind != actors.Hung })
				require.Len(t, hung, 2)
				for _, e := range hung {
					var stall *breaker.StalledError
					require.ErrorAs(t, e.Err, &stall)
					require.Equal(t, 1, stall.Chunks)
				}
			})
		})
	}
}

// The last attempt of a stream that stalls again and again says so.
func TestLivenessOfAStreamThatNoRetryHelps(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var calls atomic.Int64
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.External{ID: "llm", Stream: actors.Liveness{Max: 10 * time.Second}, Config: breaker.ExternalConfig{Retry: breaker.Retry{Attempts: 2}}},
			actors.Agent("w", job, func(ctx context.Context, _ int) (int, error) {
				return actors.GuardStream(ctx, "llm", func(ctx context.Context, _ func()) (int, error) {
					calls.Add(1)
					<-ctx.Done()
					return 0, ctx.Err()
				})
			}),
		}})
		_, err := job.Do(t.Context(), tree, 1, routing.MaxAttempts(1))
		var stall *breaker.StalledError
		require.ErrorAs(t, err, &stall)
		require.EqualValues(t, 2, calls.Load())
		_, err = job.Do(t.Context(), tree, 1, routing.MaxAttempts(2))
		require.ErrorAs(t, err, &stall)
		require.EqualValues(t, 4, calls.Load(), "the hub is the one that tries again")
		time.Sleep(time.Second)
		stop(t, tree)
	})
}

// Work that is mostly quick and now and then takes long is given the time once a few were ended too early, and none of it gets into quarantine. What truly hangs
// is found each time within the most that a silence may be.
func TestLivenessMixedWorkIsNotQuarantined(t *testing.T) {
	const most = 5 * time.Minute
	tests := map[string]struct {
		long    time.Duration
		oneIn   int
		strikes int // of all tasks, at most
	}{
		"one in twenty takes 3 s":       {3 * time.Second, 20, 0},
		"one in twenty takes 10 s":      {10 * time.Second, 20, 3},
		"one in a hundred takes 30 s":   {30 * time.Second, 100, 4},
		"one in a thousand takes 4 min": {4 * time.Minute, 1000, 6},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				const tasks, steps = 10, 1000
				work := routing.NewType[int, int]("work")
				r := rand.New(rand.NewPCG(1, 2))
				var plans [tasks][steps]time.Duration
				for i := range plans {
					for j := range plans[i] {
						plans[i][j] = 50 * time.Millisecond
						if r.IntN(tt.oneIn) == 0 {
							plans[i][j] = tt.long
						}
					}
				}
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Pool(2, actors.Agent("w", work, func(ctx context.Context, n int) (int, error) {
						if n < 0 {
							<-ctx.Done()
							return 0, ctx.Err()
						}
						for _, d := range plans[n] {
							select {
							case <-time.After(d):
								routing.Beat(ctx)
							case <-ctx.Done():
								return 0, ctx.Err()
							}
						}
						return n, nil
					}).With(actors.Lifecycle{Liveness: &actors.Liveness{Max: most}})),
				}})
				strikes := 0
				for i := range tasks {
					h, err := work.Submit(t.Context(), tree, i)
					require.NoError(t, err)
					_, err = h.Await(within(t, 24*time.Hour))
					require.NoError(t, err)
					info, _ := tree.Hub().Inspect(h.ID())
					strikes += info.Strikes
				}
				require.LessOrEqual(t, strikes, tt.strikes)

				h, err := work.Submit(t.Context(), tree, -1)
				require.NoError(t, err)
				_, err = h.Await(within(t, 24*time.Hour))
				require.ErrorIs(t, err, routing.ErrQuarantined)
				info, _ := tree.Hub().Inspect(h.ID())
				require.Len(t, info.Attempts, 3)
				for i, a := range info.Attempts {
					require.Equal(t, routing.OutcomeHung, a.Outcome)
					var reason *actors.HungError
					require.ErrorAs(t, a.Err, &reason)
					require.LessOrEqual(t, reason.Silence, most+time.Second)
					require.True(t, i < 2 || reason.Max, "the last one is no guess: %v", reason)
				}
				time.Sleep(time.Second)
				stop(t, tree)
			})
		})
	}
}

// Where work is always quick, what hangs is found fast at first. Each time more is waited, and before the task is put aside, as long as it may be silent at most.
func TestLivenessIsSureBeforeQuarantine(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Pool(2, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				if n < 0 {
					<-ctx.Done()
				}
				time.Sleep(50 * time.Millisecond)
				return n, ctx.Err()
			})),
		}})
		for i := range 100 {
			_, err := job.Do(t.Context(), tree, i)
			require.NoError(t, err)
		}
		h, err := job.Submit(t.Context(), tree, -1)
		require.NoError(t, err)
		_, err = h.Await(within(t, time.Hour))
		require.ErrorIs(t, err, routing.ErrQuarantined)
		info, _ := tree.Hub().Inspect(h.ID())
		var silences []time.Duration
		for _, a := range info.Attempts {
			var reason *actors.HungError
			require.ErrorAs(t, a.Err, &reason)
			require.Greater(t, reason.Phi, actors.DefaultHungPhi)
			silences = append(silences, reason.Silence)
		}
		require.Len(t, silences, 3)
		require.Less(t, silences[0], 4*time.Second)
		require.InEpsilon(t, 4*silences[0], silences[1], 0.05)
		require.InEpsilon(t, actors.DefaultMaxSilence, silences[2], 0.01)
		time.Sleep(time.Second)
		stop(t, tree)
	})
}

// Who is told of a hang and blocks, or calls back, holds up neither the looks nor the end of the tree.
func TestLivenessGoesOnWhileACallbackBlocks(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		events := silences()
		life := actors.Lifecycle{Shutdown: time.Second, Liveness: &actors.Liveness{OnHung: actors.HungFail, Max: 10 * time.Second}}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) { <-ctx.Done(); return n, ctx.Err() }).With(life),
			plain("a", hooks{}).With(life),
		}}, actors.WithSubscription(events), actors.WithHub(routing.Options{OnEvent: func(e routing.Event) {
			if e.Outcome == routing.OutcomeHung {
				g.wait()
			}
		}}))
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		time.Sleep(6 * time.Second)
		require.True(t, h.Cancel(nil))
		time.Sleep(time.Minute)
		requireRunning(t, tree, "root/w", 2)
		requireRunning(t, tree, "root/a", 2)
		require.Equal(t, 2, count(kindsOf(pending(events)), actors.Hung))
		var left *actors.AbandonedError
		require.ErrorAs(t, tree.Stop(within(t, time.Minute)), &left)
		require.Len(t, left.Left, 1, "the actor's")
		g.open()
		time.Sleep(time.Second)
	})
}

// What a handler returns of its own accord counts, also when its agent is about to end; what it returns because of that doesn't.
func TestAnErrorOfAHandlerCountsWhileItsAgentStops(t *testing.T) {
	tests := map[string]struct {
		returns func(ctx context.Context) error
		outcome routing.OutcomeKind
	}{
		"an error":           {func(context.Context) error { return errBoom }, routing.OutcomeError},
		"a permanent error":  {func(context.Context) error { return routing.Permanent(errBoom) }, routing.OutcomeError},
		"its context's end":  {func(ctx context.Context) error { return fmt.Errorf("call: %w", ctx.Err()) }, routing.OutcomeReleased},
		"why its context is": {func(ctx context.Context) error { return fmt.Errorf("call: %w", context.Cause(ctx)) }, routing.OutcomeReleased},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
					actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						if info, _ := routing.FromContext(ctx); info.Attempt > 1 {
							return n, nil
						}
						<-ctx.Done()
						return 0, tt.returns(ctx)
					}),
				}})
				h, err := job.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				synctest.Wait()
				require.NoError(t, tree.TerminateChild(t.Context(), "root/w"))
				_, err = tree.RestartChild(t.Context(), "root/w")
				require.NoError(t, err)
				_, err = h.Await(within(t, time.Hour))
				if name == "a permanent error" {
					require.ErrorIs(t, err, errBoom)
					require.Equal(t, routing.StateFailed, h.Status())
				} else {
					require.NoError(t, err)
				}
				info, _ := tree.Hub().Inspect(h.ID())
				require.Equal(t, tt.outcome, info.Attempts[0].Outcome)
				require.Equal(t, tt.outcome == routing.OutcomeError, info.Errors == 1)
				stop(t, tree)
			})
		})
	}
}

// What is judged by new terms is suspected, or hangs, by these: what the old ones said is taken back, and what the new ones say is told.
func TestLivenessIsJudgedAnewByNewTerms(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		events := silences()
		spec := func(l actors.Liveness) actors.Supervisor {
			return actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
				plain("a", hooks{}).With(actors.Lifecycle{Liveness: &l}),
			}}
		}
		tree := start(t, spec(actors.Liveness{Max: 10 * time.Second}), actors.WithSubscription(events))
		after := func(d time.Duration, kinds ...actors.EventKind) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			require.Equal(t, kinds, kindsOf(pending(events)))
		}
		change := func(l actors.Liveness) {
			t.Helper()
			require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(l)))
		}
		send(tree, "root/a", do(func(actor.Context) { g.wait() }))
		after(20*time.Second, actors.Suspected, actors.Hung)
		change(actors.Liveness{Max: time.Hour})
		after(time.Minute, actors.Recovered)
		after(time.Hour, actors.Suspected, actors.Hung)
		change(actors.Liveness{Max: 100 * time.Minute})
		after(time.Minute, actors.Recovered, actors.Suspected)
		change(actors.Liveness{Max: 110 * time.Minute})
		after(time.Minute)
		after(time.Hour, actors.Hung)
		change(actors.Liveness{OnHung: actors.HungIgnore})
		after(time.Minute)
		change(actors.Liveness{Max: time.Hour})
		after(time.Minute)
		g.open()
		after(time.Minute, actors.Recovered)
		stop(t, tree)
	})
}
