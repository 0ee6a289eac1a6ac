package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// service is something outside: it counts who asks, and when.
type service struct {
	down atomic.Bool
	nap  time.Duration // how long an answer takes

	mu     sync.Mutex
	calls  []time.Time
	inside int
	most   int // at once
}

func (s *service) answer(ctx context.Context, n int) (int, error) {
	s.mu.Lock()
	s.calls = append(s.calls, time.Now())
	s.inside++
	s.most = max(s.most, s.inside)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inside--
	}()
	select {
	case <-time.After(s.nap):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if s.down.Load() {
		return 0, errOutside
	}
	return 2 * n, nil
}

func (s *service) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// atMost returns how many calls there were at once since the last time.
func (s *service) atMost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.most
	s.most = s.inside
	return most
}

// caller is an agent that calls the service through a breaker, and says so.
func (s *service) caller(id, breakerName string) actors.AgentSpec {
	return actors.Agent(id, job, func(ctx context.Context, n int) (int, error) {
		return actors.Guard(ctx, breakerName, func(ctx context.Context) (int, error) { return s.answer(ctx, n) })
	}).GuardedBy(breakerName)
}

func submitted(t *testing.T, tree *actors.Tree, n int, opts ...routing.SubmitOption) []*routing.Handle[int] {
	t.Helper()
	handles := make([]*routing.Handle[int], n)
	for i := range n {
		var err error
		handles[i], err = job.Submit(t.Context(), tree, i, opts...)
		require.NoError(t, err)
	}
	synctest.Wait()
	return handles
}

// requireDone waits for tasks that must all succeed.
func requireDone(t *testing.T, handles []*routing.Handle[int]) {
	t.Helper()
	for i, h := range handles {
		got, err := h.Await(within(t, time.Hour))
		require.NoError(t, err)
		require.Equal(t, 2*i, got)
	}
}

func TestAgentsBehindAnOpenBreakerAreOutOfRotation(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		s := &service{nap: time.Second}
		s.down.Store(true)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm", Config: breaker.Config{FailureThreshold: 1, ResetTimeout: 30 * time.Second, HalfOpenMaxCalls: 2, SuccessThreshold: 3}},
			actors.Pool(6, s.caller("w", "llm")),
		}})
		handles := submitted(t, tree, 20)
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, breaker.Open, breakerState(t, tree, "root/llm"))
		sent, attempts := s.asked(), tree.Hub().Counts().Attempts
		require.EqualValues(t, 6, attempts, "each of the pool had one")

		time.Sleep(25 * time.Second)
		require.Equal(t, attempts, tree.Hub().Counts().Attempts, "nobody was given anything")
		require.Equal(t, sent, s.asked())
		require.EqualValues(t, 20, tree.Hub().Counts().ShutOut, "those that failed are through with their backoff")
		_, err := job.Submit(t.Context(), tree, 1, routing.FailFast())
		var shut *routing.CircuitOpenError
		require.ErrorAs(t, err, &shut)
		require.Equal(t, []string{"root/llm"}, shut.Circuits)
		require.InDelta(t, 4.5, shut.After.Seconds(), 0.5)
		require.Zero(t, node(t, tree, "root/llm").Breaker.Totals.Rejected, "nor did anybody have to be refused")

		s.atMost()
		time.Sleep(6 * time.Second) // it is half-open, and fails again: one round of two
		require.Equal(t, 2, s.atMost())
		require.Equal(t, sent+2, s.asked())
		require.Equal(t, breaker.Open, breakerState(t, tree, "root/llm"))

		s.down.Store(false)
		time.Sleep(30 * time.Second)
		require.LessOrEqual(t, s.atMost(), 2+6, "two at a time until three have succeeded")
		requireDone(t, handles)
		require.Equal(t, breaker.Closed, breakerState(t, tree, "root/llm"))
		for _, h := range handles {
			snap, ok := tree.Hub().Inspect(h.ID())
			require.True(t, ok)
			require.LessOrEqual(t, snap.Errors, 2, "only what was sent and failed is charged")
		}
		stop(t, tree)
	})
}

// However a breaker and its node are treated, tasks come through in the end, and none is charged for it.
func TestCircuitsNeverStayShut(t *testing.T) {
	const path = "root/sup/llm"
	tests := []struct {
		name  string
		treat func(t *testing.T, tree *actors.Tree, b *breaker.Breaker) // a breaker that was opened for a minute, with tasks waiting
		limit time.Duration                                             // until they are through
	}{
		{"its time is over", func(*testing.T, *actors.Tree, *breaker.Breaker) {}, time.Minute},
		{"reset", func(_ *testing.T, _ *actors.Tree, b *breaker.Breaker) { b.Reset() }, 0},
		{"disabled", func(_ *testing.T, _ *actors.Tree, b *breaker.Breaker) { b.Disable() }, 0},
		{"tripped for longer", func(_ *testing.T, _ *actors.Tree, b *breaker.Breaker) { b.TripFor(2 * time.Minute) }, 2 * time.Minute},
		{"restored as closed", func(t *testing.T, _ *actors.Tree, b *breaker.Breaker) {
			require.NoError(t, b.Restore(breaker.Snapshot{}))
		}, 0},
		{"restored as half-open", func(t *testing.T, _ *actors.Tree, b *breaker.Breaker) {
			require.NoError(t, b.Restore(breaker.Snapshot{State: breaker.HalfOpen}))
		}, 0},
		{"forced open, and reset a day later", func(t *testing.T, tree *actors.Tree, b *breaker.Breaker) {
			b.ForceOpen()
			time.Sleep(24 * time.Hour)
			require.EqualValues(t, 5, tree.Hub().Counts().ShutOut)
			b.Reset()
		}, 0},
		{"the node is killed", func(t *testing.T, tree *actors.Tree, _ *breaker.Breaker) { require.NoError(t, tree.Kill(path)) }, time.Minute},
		{"its supervisor is killed", func(t *testing.T, tree *actors.Tree, _ *breaker.Breaker) { require.NoError(t, tree.Kill("root/sup")) }, time.Minute},
		{"the node is down for a while", func(t *testing.T, tree *actors.Tree, _ *breaker.Breaker) {
			require.NoError(t, tree.TerminateChild(t.Context(), path))
			time.Sleep(10 * time.Minute)
			_, err := tree.RestartChild(t.Context(), path)
			require.NoError(t, err)
		}, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				s := &service{}
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
					actors.Supervisor{ID: "sup", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{actors.Breaker{ID: "llm"}}},
					actors.Pool(2, s.caller("w", path)),
				}})
				b, ok := tree.Breaker(path)
				require.True(t, ok)
				b.TripFor(time.Minute)
				synctest.Wait()
				handles := submitted(t, tree, 5)
				require.EqualValues(t, 5, tree.Hub().Counts().ShutOut)
				require.Zero(t, tree.Hub().Counts().Attempts)

				tt.treat(t, tree, b)
				treated := time.Now()
				requireDone(t, handles)
				require.LessOrEqual(t, time.Since(treated), tt.limit)
				for _, h := range handles {
					snap, _ := tree.Hub().Inspect(h.ID())
					require.Zero(t, snap.Errors)
				}
				stop(t, tree)
			})
		})
	}
}

// A breaker that isn't there keeps nobody waiting, and one that was put in its place has the say from then on.
func TestCircuitOfABreakerThatIsRemoved(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		s := &service{}
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "sup"}}})
		add := func() *breaker.Breaker {
			_, err := tree.StartChild(t.Context(), "root/sup", actors.Breaker{ID: "llm"})
			require.NoError(t, err)
			b, ok := tree.Breaker("root/sup/llm")
			require.True(t, ok)
			return b
		}
		first := add()
		_, err := tree.StartChild(t.Context(), "root", s.caller("w", "root/sup/llm"))
		require.NoError(t, err)
		first.ForceOpen()
		synctest.Wait()
		handles := submitted(t, tree, 2, routing.MaxAttempts(1))
		require.EqualValues(t, 2, tree.Hub().Counts().ShutOut)

		require.NoError(t, tree.TerminateChild(t.Context(), "root/sup/llm"))
		require.NoError(t, tree.DeleteChild(t.Context(), "root/sup/llm"))
		for _, h := range handles {
			_, err := h.Await(within(t, time.Second))
			require.ErrorIs(t, err, actors.ErrNoBreaker)
		}
		_, ok := tree.Breaker("root/sup/llm")
		require.False(t, ok)

		second := add()
		second.TripFor(time.Minute)
		synctest.Wait()
		first.Reset() // the old one is closed, and has nothing to say
		synctest.Wait()
		handles = submitted(t, tree, 2)
		require.EqualValues(t, 2, tree.Hub().Counts().ShutOut)
		second.Reset()
		requireDone(t, handles)

		second.Close() // not its owner's doing: calls are refused, but their agents stay in rotation
		synctest.Wait()
		require.Equal(t, routing.CircuitClosed, tree.Hub().Circuits()[0].State)
		stop(t, tree)
	})
}

// A breaker that is in its supervisor's spec comes again with it, as it was.
func TestCircuitOfABreakerThatComesAgain(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		s := &service{}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Supervisor{ID: "sup", Children: []actors.Child{actors.Breaker{ID: "llm"}}}, s.caller("w", "root/sup/llm"),
		}})
		b, _ := tree.Breaker("root/sup/llm")
		b.TripFor(time.Minute)
		synctest.Wait()
		require.NoError(t, tree.TerminateChild(t.Context(), "root/sup/llm"))
		require.NoError(t, tree.DeleteChild(t.Context(), "root/sup/llm"))
		require.Equal(t, routing.CircuitClosed, tree.Hub().Circuits()[0].State)
		require.NoError(t, tree.Kill("root/sup"))
		synctest.Wait()
		require.Equal(t, routing.CircuitOpen, tree.Hub().Circuits()[0].State)
		handles := submitted(t, tree, 3)
		require.Zero(t, s.asked())
		requireDone(t, handles)
		stop(t, tree)
	})
}

// Handlers that were given a probe and hang before they make their call don't keep all others waiting.
func TestProbesThatMakeNoCallLoseTheirTurn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		s := &service{}
		var stuck atomic.Int32
		hang := make(chan struct{})
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm", Config: breaker.Config{ResetTimeout: time.Minute, HalfOpenLease: 20 * time.Second, HalfOpenMaxCalls: 2}},
			actors.Pool(6, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				if stuck.Add(1) <= 2 {
					<-hang
				}
				return actors.Guard(ctx, "llm", func(ctx context.Context) (int, error) { return s.answer(ctx, n) })
			}).GuardedBy("llm")),
		}})
		b, _ := tree.Breaker("root/llm")
		b.TripFor(time.Minute)
		synctest.Wait()
		handles := submitted(t, tree, 6)
		time.Sleep(time.Minute + 19*time.Second)
		require.EqualValues(t, 2, stuck.Load())
		require.EqualValues(t, 4, tree.Hub().Counts().ShutOut)
		time.Sleep(2 * time.Second)
		require.Equal(t, breaker.Closed, b.State())
		close(hang)
		requireDone(t, handles)
		stop(t, tree)
	})
}

// What a handler was refused waits for the breaker, not for the time that the refusal named.
func TestRefusedCallIsMadeAsSoonAsTheBreakerIsClosed(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		s := &service{}
		ready := make(chan struct{})
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Pool(3, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				<-ready
				return actors.Guard(ctx, "llm", func(ctx context.Context) (int, error) { return s.answer(ctx, n) })
			}).GuardedBy("llm")),
		}}, actors.WithHub(routing.Options{MaxAttempts: 1}))
		handles := submitted(t, tree, 5)
		b, _ := tree.Breaker("root/llm")
		b.TripFor(5 * time.Minute)
		close(ready)
		synctest.Wait()
		require.EqualValues(t, 3, tree.Hub().Counts().Attempts)
		require.EqualValues(t, 5, tree.Hub().Counts().ShutOut)
		require.Zero(t, s.asked())
		b.Reset()
		begun := time.Now()
		requireDone(t, handles)
		require.Zero(t, time.Since(begun))
		stop(t, tree)
	})
}

// An open breaker whose agents are all out of rotation finds out by itself that the service is back.
func TestOpenBreakerIsProbedWithoutACall(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		s := &service{}
		s.down.Store(true)
		probe := func(ctx context.Context) error {
			_, err := s.answer(ctx, 0)
			return err
		}
		events := actors.NewSubscription(100, actors.BreakerChanged)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm", Config: breaker.Config{FailureThreshold: 1, ResetTimeout: 10 * time.Second, Probe: probe}},
			s.caller("w", "llm"),
		}}, actors.WithSubscription(events))
		require.Error(t, through(t.Context(), tree, "root/llm", errOutside))
		time.Sleep(35 * time.Second)
		require.Equal(t, 3, s.asked(), "by its own timer, each time")
		s.down.Store(false)
		time.Sleep(10 * time.Second)
		require.Equal(t, breaker.Closed, breakerState(t, tree, "root/llm"), "and nobody has called")
		require.Zero(t, tree.Hub().Counts().Attempts)

		var states []breaker.State
		for i, e := range pending(events) {
			require.Equal(t, "root/llm", e.Path)
			require.EqualValues(t, i+1, e.Breaker.Gen, "none missing, none out of order")
			states = append(states, e.Breaker.To)
		}
		require.Equal(t, []breaker.State{breaker.Open, breaker.HalfOpen, breaker.Open, breaker.HalfOpen, breaker.Open, breaker.HalfOpen, breaker.Open,
			breaker.HalfOpen, breaker.Closed}, states)
		stop(t, tree)
	})
}

func TestGuardsAreResolvedAndChecked(t *testing.T) {
	s := &service{}
	agent := func(id string, guards ...string) actors.Child { return s.caller(id, "").GuardedBy(guards...) }
	sup := func(id string, children ...actors.Child) actors.Supervisor {
		return actors.Supervisor{ID: id, Children: children}
	}
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, sup("root",
			actors.Breaker{ID: "llm"}, actors.External{ID: "db"},
			sup("a", actors.Breaker{ID: "llm"}, agent("near", "llm"), sup("b", agent("far", "llm", "db", "root/llm"))),
			sup("c", plain("llm", hooks{}), agent("passes a namesake", "llm")),
			actors.Supervisor{ID: "d", Template: agent("template", "db")},
		))
		_, err := tree.StartInstance(t.Context(), "root/d", "i-1")
		require.NoError(t, err)
		_, err = tree.StartChild(t.Context(), "root/a/b", agent("later", "llm"))
		require.NoError(t, err)
		spokes := map[string]int{}
		for _, c := range tree.Hub().Circuits() {
			spokes[c.Name] = c.Spokes
		}
		require.Equal(t, map[string]int{"root/a/llm": 3, "root/llm": 2, "root/db": 2}, spokes)

		const fault = `is no breaker: it must be the ID of one that hangs below a supervisor above the agent, or the path of any`
		var faults *actors.SpecError
		_, err = tree.StartChild(t.Context(), "root/c", agent("x", "nope"))
		require.ErrorAs(t, err, &faults)
		require.Equal(t, []actors.Fault{{Path: "root/c/x", Problem: `Guards: "nope" ` + fault}}, faults.Faults)
		err = tree.Reconfigure(t.Context(), "root/c", sup("c", agent("y", "root/a/near", "llm", "llm")))
		require.ErrorAs(t, err, &faults)
		require.Equal(t, []actors.Fault{{Path: "root/c/y", Problem: `Guards: "root/a/near" ` + fault}, {Path: "root/c/y", Problem: `Guards has "llm" twice`}}, faults.Faults)
		require.NoError(t, tree.Reconfigure(t.Context(), "root/c", sup("c", actors.Breaker{ID: "own"}, agent("y", "own", "llm"))))
		stop(t, tree)
	})
	_, err := actors.Start(t.Context(), sup("root", sup("a", actors.Breaker{ID: "llm"}), agent("w", "llm", "root/a/llm"), actors.Pool(2, s.caller("p", "gone")),
		actors.External{ID: "api", Config: breaker.ExternalConfig{Retry: breaker.Retry{Attempts: -1}, Bulkhead: breaker.BulkheadConfig{MaxConcurrent: -1}}}))
	var faults *actors.SpecError
	require.ErrorAs(t, err, &faults)
	var paths []string
	for _, f := range faults.Faults {
		paths = append(paths, f.Path)
	}
	require.Equal(t, []string{"root/api", "root/w", "root/p-1", "root/p-2"}, paths, "all of them at once: %v", err)
	require.ErrorContains(t, err, "Retry.Attempts is -1")
	require.ErrorContains(t, err, "MaxConcurrent is -1")
}

// The guards of an External stand in their order: calls wait on their own goroutines for a place, not in the node's queue.
func TestExternalNodeBoundsAndHolds(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		s := &service{nap: time.Second}
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.External{ID: "llm", Lifecycle: actors.Lifecycle{Queue: 2}, Config: breaker.ExternalConfig{
				Bulkhead: breaker.BulkheadConfig{MaxConcurrent: 2, MaxWaiting: 100},
				Limiter:  breaker.LimiterConfig{Rate: 1, Burst: 5},
			}},
			actors.Pool(10, s.caller("w", "llm")),
		}}, actors.WithHub(routing.Options{MaxAttempts: 1}))
		handles := submitted(t, tree, 10)
		begun := time.Now()
		requireDone(t, handles)
		require.Equal(t, 2, s.atMost())
		require.Equal(t, 6*time.Second, time.Since(begun), "two at a time, and beyond the first five no more than one a second")
		require.Zero(t, node(t, tree, "root/llm").Dropped)
		stop(t, tree)
	})
}

// Retry-After, as one call heard it, is kept by all agents and by the hub, and nothing is charged.
func TestExternalNodeKeepsRetryAfter(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var mu sync.Mutex
		var said, until time.Time
		early, sent := 0, 0
		call := func(_ context.Context, n int) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			sent++
			switch {
			case time.Now().After(said) && time.Now().Before(until): // those of the same moment were on their way
				early++
			case sent%7 == 0:
				said, until = time.Now(), time.Now().Add(20*time.Second)
				return 0, &breaker.StatusError{Code: 429, After: 20 * time.Second}
			}
			return 2 * n, nil
		}
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.External{ID: "llm"},
			actors.Pool(4, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				time.Sleep(time.Duration(n%3) * time.Millisecond)
				return actors.Guard(ctx, "llm", func(ctx context.Context) (int, error) { return call(ctx, n) })
			}).GuardedBy("llm")),
		}}, actors.WithHub(routing.Options{MaxAttempts: 1}))
		handles := submitted(t, tree, 40)
		requireDone(t, handles)
		require.Zero(t, early)
		require.Greater(t, sent, 40)
		stop(t, tree)
	})
}

// A call is tried again by one layer: the hub, or, where the hub doesn't, the External.
func TestOneRetryLayer(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		s := &service{}
		s.down.Store(true)
		config := breaker.ExternalConfig{Breaker: breaker.Config{FailureThreshold: 1000}, Retry: breaker.Retry{Attempts: 4}}
		plain := config
		plain.Retry = breaker.Retry{}
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.External{ID: "patient", Config: config}, actors.External{ID: "plain", Config: plain},
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				return actors.Guard(ctx, []string{"patient", "plain"}[n], func(ctx context.Context) (int, error) { return s.answer(ctx, n) })
			}),
		}})
		sent := func(n int, opts ...routing.SubmitOption) (calls, attempts int) {
			before := s.asked()
			h, err := job.Submit(t.Context(), tree, n, opts...)
			require.NoError(t, err)
			_, err = h.Await(within(t, time.Hour))
			require.ErrorIs(t, err, errOutside)
			snap, _ := tree.Hub().Inspect(h.ID())
			return s.asked() - before, len(snap.Attempts)
		}
		for _, tt := range []struct {
			name            string
			which           int
			opts            []routing.SubmitOption
			calls, attempts int
		}{
			{"the hub", 0, nil, 3, 3},
			{"the hub, as often as it is told", 0, []routing.SubmitOption{routing.MaxAttempts(2)}, 2, 2},
			{"the node, because the hub doesn't", 0, []routing.SubmitOption{routing.MaxAttempts(1)}, 4, 1},
			{"the hub; the node has no retry by default", 1, nil, 3, 3},
			{"nobody", 1, []routing.SubmitOption{routing.MaxAttempts(1)}, 1, 1},
		} {
			calls, attempts := sent(tt.which, tt.opts...)
			require.Equal(t, [2]int{tt.calls, tt.attempts}, [2]int{calls, attempts}, tt.name)
		}
		stop(t, tree)
	})
}

func TestBreakerNodeBoundsItsCallsInFlight(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm", Config: breaker.Config{MaxInFlight: 2, OperationTimeout: time.Second}},
		}})
		deaf := func() error {
			_, err := breaker.Through(t.Context(), tree.ActorSystem(), tree.PID("root/llm"), func(context.Context) (int, error) { g.wait(); return 1, nil })
			return err
		}
		results := make(chan error, 2)
		for range 2 {
			go func() { results <- deaf() }()
		}
		synctest.Wait()
		require.ErrorIs(t, deaf(), breaker.ErrSaturated)
		require.ErrorIs(t, <-results, breaker.ErrTimeout)
		require.ErrorIs(t, <-results, breaker.ErrTimeout)
		require.NoError(t, tree.Kill("root/llm"))
		synctest.Wait()
		require.ErrorIs(t, deaf(), breaker.ErrSaturated, "orphans keep their places, also in the node's next life")
		g.open()
		synctest.Wait()
		require.NoError(t, deaf())
		stop(t, tree)
	})
}

// However a tree ends, calls in flight and calls in the queue are answered.
func TestCallsAreAnsweredWhenTheTreeEnds(t *testing.T) {
	ends := map[string]func(t *testing.T, tree *actors.Tree){
		"stop": func(t *testing.T, tree *actors.Tree) { stop(t, tree) },
		"kill": func(_ *testing.T, tree *actors.Tree) { kill(tree) },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Breaker{ID: "llm"}, actors.Breaker{ID: "idle"}}})
				require.NoError(t, tree.TerminateChild(t.Context(), "root/idle"))
				results := make(chan error, 2)
				go func() {
					_, err := breaker.Through(context.Background(), tree.ActorSystem(), tree.PID("root/llm"), func(ctx context.Context) (int, error) {
						<-ctx.Done()
						return 0, ctx.Err()
					})
					results <- err
				}()
				answers := make(chan any, 2)
				counter := tree.ActorSystem().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
					switch m := ctx.Message().(type) {
					case *breaker.Result, *actor.DeadLetterResponse:
						answers <- m
					}
				}))
				tree.ActorSystem().Root.RequestWithCustomSender(tree.PID("root/idle"), &breaker.Call{Fn: func(context.Context) (any, error) { return 1, nil }}, counter)
				synctest.Wait()
				require.Empty(t, answers, "it waits in the queue of a node that is down")
				end(t, tree)
				synctest.Wait()
				require.ErrorIs(t, <-results, breaker.ErrStopped)
				require.IsType(t, &actor.DeadLetterResponse{}, <-answers)
				require.Empty(t, answers)
			})
		})
	}
}

// At random: a service that comes and goes, agents that crash, breakers that are killed and moved by hand. Nothing is sent past an open breaker, no
// task is lost, and what the hub knows of the circuit is what the breaker says.
func TestCircuitsUnderStress(t *testing.T) {
	seeded(t, 10, func(t *testing.T, r *rand.Rand) {
		s := &service{nap: 200 * time.Millisecond}
		d := newDice(r)
		config := breaker.Config{FailureThreshold: 3, ResetTimeout: 5 * time.Second, HalfOpenMaxCalls: 2}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.External{ID: "llm", Config: breaker.ExternalConfig{Breaker: config}},
			actors.Pool(5, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				if d.IntN(30) == 0 {
					panic(errBoom)
				}
				return actors.Guard(ctx, "llm", func(ctx context.Context) (int, error) { return s.answer(ctx, n) })
			}).GuardedBy("llm")),
		}}, actors.WithHub(routing.Options{MaxAttempts: 1000, QuarantineAfter: 1000, RetryBackoff: routing.Backoff{Min: time.Second, Max: time.Second}}))
		b, _ := tree.Breaker("root/llm")
		var periods []breaker.Transition
		b.Observe(func(t breaker.Transition) { periods = append(periods, t) })
		var handles []*routing.Handle[int]
		for i := range 150 {
			h, err := job.Submit(t.Context(), tree, i)
			require.NoError(t, err)
			handles = append(handles, h)
			switch r.IntN(12) {
			case 0, 1:
				s.down.Store(true)
			case 2:
				s.down.Store(false)
			case 3:
				_ = tree.Kill("root/llm")
			case 4:
				b.TripFor(time.Duration(r.IntN(20)) * time.Second)
			case 5:
				b.Reset()
			case 6:
				_ = tree.Kill(fmt.Sprintf("root/w-%d", 1+r.IntN(5)))
			}
			time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
			synctest.Wait()
			want := map[breaker.State]routing.CircuitState{breaker.Open: routing.CircuitOpen, breaker.HalfOpen: routing.CircuitProbing}[b.State()]
			for _, c := range tree.Hub().Circuits() {
				require.Equal(t, want, c.State)
				require.True(t, c.State != routing.CircuitProbing || c.Leases <= 2)
			}
		}
		s.down.Store(false)
		requireDone(t, handles)
		synctest.Wait()
		opened := 0
		for i, p := range periods {
			if p.To != breaker.Open || i+1 == len(periods) {
				continue
			}
			opened++
			for _, at := range s.calls {
				require.False(t, at.After(p.At) && at.Before(periods[i+1].At), "a call was sent while the breaker was open, from %v to %v", p.At, periods[i+1].At)
			}
		}
		require.Positive(t, opened)
		stop(t, tree)
	})
}
