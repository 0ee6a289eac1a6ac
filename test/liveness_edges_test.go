package test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
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
		var handles []*routing.Handle[int]
		for i := range 4 {
			h, err := job.Submit(t.Context(), tree, i)
			require.NoError(t, err)
			handles = append(handles, h)
		}
		for i, h := range handles {
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

// A stream that isn't ended when it stalls leaves the judgement to its handler's agent.
func TestLivenessOfAStreamThatIsOnlyReported(t *testing.T) {
	for _, on := range []actors.OnHung{actors.HungReport, actors.HungIgnore} {
		inVirtualTime(t, func(t *testing.T) {
			tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
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
			}})
			h, err := job.Submit(t.Context(), tree, 1)
			require.NoError(t, err)
			_, err = h.Await(within(t, time.Hour))
			require.NoError(t, err)
			info, _ := tree.Hub().Inspect(h.ID())
			require.Len(t, info.Attempts, 2)
			require.Equal(t, routing.OutcomeHung, info.Attempts[0].Outcome)
			stop(t, tree)
		})
	}
}
