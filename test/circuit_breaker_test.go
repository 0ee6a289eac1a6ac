package test

import (
	"context"
	"errors"
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

var errOutside = errors.New("outside")

// through makes a call through the breaker node at a path.
func through(ctx context.Context, tree *actors.Tree, path string, err error) error {
	_, got := breaker.Through(ctx, tree.ActorSystem(), tree.PID(path), func(context.Context) (int, error) { return 1, err })
	return got
}

func breakerState(t *testing.T, tree *actors.Tree, path string) breaker.State {
	t.Helper()
	return node(t, tree, path).Breaker.State
}

func TestBreakerStateSurvivesItsNode(t *testing.T) {
	ends := map[string]func(t *testing.T, tree *actors.Tree){
		"kill":                   func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root/sup/llm")) },
		"kill of the supervisor": func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root/sup")) },
		"sibling's crash":        func(_ *testing.T, tree *actors.Tree) { send(tree, "root/sup/a", do(crash)) },
		"terminate and restart": func(t *testing.T, tree *actors.Tree) {
			require.NoError(t, tree.TerminateChild(t.Context(), "root/sup/llm"))
			_, err := tree.RestartChild(t.Context(), "root/sup/llm")
			require.NoError(t, err)
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
					actors.Supervisor{ID: "sup", Strategy: strategies.OneForAll(strategies.AlwaysRestart()), Children: []actors.Child{
						plain("a", hooks{}), actors.Breaker{ID: "llm", Config: breaker.Config{FailureThreshold: 3, ResetTimeout: time.Minute}},
					}},
				}})
				const path = "root/sup/llm"
				for i := range 3 { // the failures are counted across the lives of the node
					require.ErrorIs(t, through(t.Context(), tree, path, errOutside), errOutside)
					end(t, tree)
					synctest.Wait()
					want := breaker.Closed
					if i == 2 {
						want = breaker.Open
					}
					require.Equal(t, want, breakerState(t, tree, path), "after %d", i+1)
				}
				begun := time.Now()
				for time.Since(begun) < 50*time.Second {
					require.ErrorIs(t, through(t.Context(), tree, path, nil), breaker.ErrOpen)
					time.Sleep(10 * time.Second)
					end(t, tree)
					synctest.Wait()
				}
				time.Sleep(15 * time.Second)
				require.NoError(t, through(t.Context(), tree, path, nil))
				require.NoError(t, through(t.Context(), tree, path, nil))
				require.Equal(t, breaker.Closed, breakerState(t, tree, path))
				stop(t, tree)
				require.ErrorIs(t, through(context.Background(), tree, path, nil), breaker.ErrSaturated, "nobody is there")
			})
		})
	}
}

func TestBreakerNodeRefusesByItsQueue(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		slow := func(actor.Context) { g.wait() }
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForAll(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Breaker{ID: "llm", Lifecycle: actors.Lifecycle{Queue: 2}},
			plain("slow", hooks{stopping: slow}).With(actors.Lifecycle{Shutdown: actors.NoLimit}),
			plain("b", hooks{}),
		}})
		send(tree, "root/b", do(crash)) // the group goes down, but for the slow one
		synctest.Wait()
		require.NoError(t, tree.Kill("root/llm"))
		synctest.Wait()
		results := make(chan error, 5)
		for range 5 {
			go func() { results <- through(context.Background(), tree, "root/llm", nil) }()
			synctest.Wait()
		}
		for range 3 {
			require.ErrorIs(t, <-results, breaker.ErrSaturated)
		}
		var later interface{ RetryAfter() time.Duration }
		require.ErrorAs(t, through(t.Context(), tree, "root/llm", nil), &later, "an agent's task is delayed, not charged")
		require.Empty(t, results)
		g.open()
		for range 2 {
			require.NoError(t, <-results, "what was in the queue waits for the next life")
		}
		stop(t, tree)
	})
}

func TestBreakerNodeAnswersEveryCallOnce(t *testing.T) {
	seeded(t, 10, func(t *testing.T, r *rand.Rand) {
		letReturn(t)
		d := newDice(r)
		policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(100 * time.Millisecond))
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
			actors.Breaker{ID: "llm", Config: breaker.Config{FailureThreshold: 10, ResetTimeout: time.Second, OperationTimeout: 3 * time.Second, MaxInFlight: 20},
				Lifecycle: actors.Lifecycle{Queue: 5}},
		}})
		pid := tree.PID("root/llm")
		var mu sync.Mutex
		answers := map[uint64]int{}
		refused := 0
		// A process that counts all answers, not the first one.
		counter := tree.ActorSystem().Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			mu.Lock()
			defer mu.Unlock()
			switch m := ctx.Message().(type) {
			case *breaker.Result:
				answers[m.ID]++
			case *actor.DeadLetterResponse:
				refused++
			}
		}))
		const calls = 300
		for i := range uint64(calls) {
			nap, how := time.Duration(r.IntN(5000))*time.Millisecond, r.IntN(8)
			tree.ActorSystem().Root.RequestWithCustomSender(pid, &breaker.Call{ID: i, Fn: func(ctx context.Context) (any, error) {
				switch how {
				case 0:
					panic(errBoom)
				case 1:
					goexit()
				case 2:
					time.Sleep(nap) // deaf
				case 3:
					<-ctx.Done()
					return nil, ctx.Err()
				case 4:
					return nil, errOutside
				}
				return "done", nil
			}}, counter)
			if r.IntN(20) == 0 {
				_ = tree.Kill("root/llm")
			}
			time.Sleep(time.Duration(d.IntN(60)) * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		sum := refused
		for id, n := range answers {
			require.Equal(t, 1, n, "call %d was answered %d times", id, n)
			sum += n
		}
		mu.Unlock()
		require.Equal(t, calls, sum)
		tree.ActorSystem().Root.Stop(counter)
		stop(t, tree)
		time.Sleep(time.Minute)
		requireNoGoroutines(t)
	})
}

func TestKilledBreakerNodeCancelsItsCalls(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Breaker{ID: "llm"}}})
		var cause atomic.Value
		result := make(chan error, 1)
		go func() {
			_, err := breaker.Through(context.Background(), tree.ActorSystem(), tree.PID("root/llm"), func(ctx context.Context) (int, error) {
				<-ctx.Done()
				cause.Store(context.Cause(ctx))
				return 0, nil
			})
			result <- err
		}()
		synctest.Wait()
		require.NoError(t, tree.Kill("root/llm"))
		require.ErrorIs(t, <-result, breaker.ErrStopped)
		synctest.Wait()
		require.ErrorIs(t, cause.Load().(error), breaker.ErrStopped)
		require.Equal(t, breaker.Closed, breakerState(t, tree, "root/llm"), "that is no verdict")
		require.NoError(t, through(t.Context(), tree, "root/llm", nil))
		stop(t, tree)
	})
}

func TestBreakerNodeTakesSpecFaults(t *testing.T) {
	_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{
		actors.Breaker{ID: "llm", Config: breaker.Config{ResetTimeout: -1, HalfOpenMaxCalls: 1_000_000}},
	}})
	var faults *actors.SpecError
	require.True(t, errors.As(err, &faults))
	require.Equal(t, "root/llm", faults.Faults[0].Path)
	require.Contains(t, err.Error(), "ResetTimeout")
	require.Contains(t, err.Error(), "HalfOpenMaxCalls")
}

func TestCallsOfAgentsEndWithTheirBreakerNode(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Breaker{ID: "llm", Config: breaker.Config{OperationTimeout: breaker.NoTimeout}},
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				info, _ := routing.FromContext(ctx)
				return actors.Guard(ctx, "llm", func(ctx context.Context) (int, error) {
					if info.Attempt == 1 {
						<-ctx.Done()
						return 0, ctx.Err()
					}
					return n, nil
				})
			}),
		}}, actors.WithHub(routing.Options{MaxAttempts: 1}))
		h, err := job.Submit(t.Context(), tree, 3)
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, tree.Kill("root/llm"))
		got, err := h.Await(within(t, time.Hour))
		require.NoError(t, err, "a restarting breaker is no failure of the task")
		require.Equal(t, 3, got)
		stop(t, tree)
	})
}
