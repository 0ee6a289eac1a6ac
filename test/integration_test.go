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

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var job = routing.NewType[int, int]("job")

// ---- law 3: an accepted task settles exactly once

// settlements counts how often each task was settled, by the events of its hub.
type settlements struct {
	mu     sync.Mutex
	counts map[string]int
	states map[string]routing.State
}

func (s *settlements) hear(e routing.Event) {
	if e.Kind != routing.EventSettled {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[e.Task]++
	s.states[e.Task] = e.State
}

func TestLaw3AcceptedTasksSettleExactlyOnce(t *testing.T) {
	seeded(t, 15, func(t *testing.T, r *rand.Rand) {
		letReturn(t)
		d := newDice(r)
		heard := &settlements{counts: map[string]int{}, states: map[string]routing.State{}}
		handle := func(ctx context.Context, n int) (int, error) {
			switch d.IntN(12) {
			case 0:
				panic(errBoom)
			case 1:
				goexit()
			case 2: // hangs, deaf
				time.Sleep(time.Duration(d.IntN(30)) * time.Second)
			case 3: // hangs, but listens
				select {
				case <-ctx.Done():
					return 0, ctx.Err()
				case <-time.After(time.Duration(d.IntN(30)) * time.Second):
				}
			case 4:
				return 0, errBoom
			case 5:
				return 0, routing.Permanent(errBoom)
			default:
				time.Sleep(time.Duration(d.IntN(200)) * time.Millisecond)
			}
			return 2 * n, nil
		}
		policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(50 * time.Millisecond))
		agent := actors.Agent("w", job, handle)
		agent.Credits = 1 + r.IntN(3)
		agent.Shutdown = time.Duration(100+r.IntN(3000)) * time.Millisecond
		if r.IntN(4) == 0 {
			agent.Shutdown = actors.BrutalKill
		}
		groups := []strategies.Strategy{strategies.OneForOne(policy), strategies.OneForAll(policy), strategies.RestForOne(policy)}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
			actors.Supervisor{ID: "pool", Strategy: groups[r.IntN(3)], Children: []actors.Child{actors.Pool(3, agent)}},
			actors.Supervisor{ID: "more", Strategy: groups[r.IntN(3)], Children: []actors.Child{actors.Pool(2, agent)}},
		}}, actors.WithAbandonLimit(1<<20), actors.WithHub(routing.Options{OnEvent: heard.hear, AttemptTimeout: 20 * time.Second}))
		var handles []*routing.Handle[int]
		var cancelled, deadlines int
		for i := range 120 {
			options := []routing.SubmitOption{routing.ID(fmt.Sprint("t", i))}
			switch r.IntN(6) {
			case 0:
				options = append(options, routing.Deadline(time.Now().Add(time.Duration(1+r.IntN(5000))*time.Millisecond)))
				deadlines++
			case 1:
				options = append(options, routing.Timeout(time.Duration(1+r.IntN(3000))*time.Millisecond))
			}
			h, err := job.Submit(context.Background(), tree, i, options...)
			require.NoError(t, err)
			handles = append(handles, h)
			if r.IntN(8) == 0 {
				time.AfterFunc(time.Duration(r.IntN(3000))*time.Millisecond, func() { h.Cancel(errBoom) })
				cancelled++
			}
			switch r.IntN(10) {
			case 0:
				_ = tree.Kill([]string{"root/$hub", "root/pool", "root/more", "root/pool/w-1", "root/pool/w-2", "root/more/w-1"}[r.IntN(6)])
			case 1:
				go func() {
					path := []string{"root/more", "root/pool"}[d.IntN(2)]
					_ = tree.TerminateChild(context.Background(), path)
					time.Sleep(time.Duration(d.IntN(1000)) * time.Millisecond)
					_, _ = tree.RestartChild(context.Background(), path)
				}()
			}
			time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
			require.True(t, tree.Hub().Counts().Balanced())
		}
		if early := r.IntN(3) == 0; !early {
			for _, h := range handles {
				_, err := h.Await(within(t, 24*time.Hour))
				var settled *routing.TaskError
				if err != nil {
					require.ErrorAs(t, err, &settled, "a task that nobody works on")
				}
			}
			require.Equal(t, "up", pool(t, tree, "root/pool"))
			require.Equal(t, "up", pool(t, tree, "root/more"))
		}
		if err := tree.Stop(within(t, time.Hour)); err != nil {
			var left *actors.AbandonedError
			require.ErrorAs(t, err, &left)
		}
		time.Sleep(time.Minute) // what hung returns, and reports results that nobody wants
		counts := tree.Hub().Counts()
		require.True(t, counts.Balanced())
		require.Zero(t, counts.Unsettled())
		require.Equal(t, uint64(len(handles)), counts.Accepted)
		for _, h := range handles {
			require.Equal(t, 1, heard.counts[h.ID()], "%s was settled %d times", h.ID(), heard.counts[h.ID()])
			require.Equal(t, heard.states[h.ID()], h.Status(), "a late result changed %s", h.ID())
			got, err := h.Await(context.Background())
			require.Equal(t, h.Status() == routing.StateDone, err == nil)
			if err == nil {
				var n int
				_, _ = fmt.Sscanf(h.ID(), "t%d", &n)
				require.Equal(t, 2*n, got)
			}
		}
		requireNoGoroutines(t)
	})
}

// pool waits until all agents of a supervisor are up.
func pool(t *testing.T, tree *actors.Tree, path string) string {
	t.Helper()
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	for _, c := range node(t, tree, path).Children {
		if c.Status != actors.StatusRunning {
			return fmt.Sprintf("%s is %s", c.Path, c.Status)
		}
	}
	return "up"
}

// ---- agents, hub and supervisors together

func TestPoisonIsQuarantinedAfterThreeAgents(t *testing.T) {
	poisons := map[string]func(ctx context.Context){
		"panics": func(context.Context) { panic(errBoom) },
		"exits":  func(context.Context) { goexit() },
		"hangs":  func(context.Context) { time.Sleep(time.Hour) },
	}
	for name, poison := range poisons {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.MaxRestarts(10, time.Hour)), Children: []actors.Child{
					actors.Pool(4, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
						if n < 0 {
							poison(ctx)
						}
						return n, nil
					}).With(actors.Lifecycle{Shutdown: time.Second})),
				}}, actors.WithHub(routing.Options{AttemptTimeout: time.Minute}))
				_, err := job.Do(within(t, time.Hour), tree, -1, routing.ID("poison"))
				require.ErrorIs(t, err, routing.ErrQuarantined)
				got, err := job.Do(within(t, time.Hour), tree, 7)
				require.NoError(t, err)
				require.Equal(t, 7, got)
				in := tree.Hub().Quarantined()
				require.Len(t, in, 1)
				require.Len(t, in[0].Attempts, 3)
				last := ""
				for _, a := range in[0].Attempts {
					require.NotEqual(t, last, a.Spoke.Path, "the next attempt goes elsewhere")
					last = a.Spoke.Path
					if name == "panics" {
						require.Contains(t, a.Stack(), "TestPoisonIsQuarantinedAfterThreeAgents")
					}
				}
				time.Sleep(2 * time.Hour)
				restarts := 0
				for _, n := range tree.Snapshot().Children {
					restarts += n.Restarts
					require.Equal(t, actors.StatusRunning, n.Status)
				}
				require.Equal(t, 3, restarts)
				stop(t, tree)
			})
		})
	}
}

func TestHubIsKilledUnderLoad(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Pool(3, actors.Agent("w", job, func(_ context.Context, n int) (int, error) { time.Sleep(10 * time.Millisecond); return n, nil })),
		}})
		var handles []*routing.Handle[int]
		for i := range 300 {
			h, err := job.Submit(t.Context(), tree, i)
			require.NoError(t, err)
			handles = append(handles, h)
			if i%10 == 0 {
				_ = tree.Kill("root/$hub") // it may be waiting for its restart
			}
			time.Sleep(3 * time.Millisecond)
		}
		for i, h := range handles {
			got, err := h.Await(within(t, time.Hour))
			require.NoError(t, err)
			require.Equal(t, i, got)
		}
		for _, n := range tree.Snapshot().Children {
			require.Zero(t, n.Restarts, "agents don't notice")
		}
		time.Sleep(time.Minute)
		require.Equal(t, actors.StatusRunning, node(t, tree, "root/$hub").Status)
		require.Equal(t, uint64(300), tree.Hub().Counts().Attempts)
		stop(t, tree)
	})
}

func TestSupervisorsRestartUnderLoadAndChargeNoTask(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Supervisor{ID: "sup", Strategy: strategies.OneForAll(strategies.AlwaysRestart()), Children: []actors.Child{
				plain("sibling", hooks{}),
				actors.Pool(3, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
					select {
					case <-ctx.Done():
						return 0, ctx.Err()
					case <-time.After(100 * time.Millisecond):
						return n, nil
					}
				})),
			}},
		}}, actors.WithHub(routing.Options{QuarantineAfter: 1, MaxAttempts: 1})) // nothing may be charged
		var handles []*routing.Handle[int]
		for i := range 60 {
			h, err := job.Submit(t.Context(), tree, i)
			require.NoError(t, err)
			handles = append(handles, h)
			time.Sleep(20 * time.Millisecond)
			switch i % 10 {
			case 3:
				send(tree, "root/sup/sibling", do(crash))
			case 6:
				require.NoError(t, tree.Kill("root/sup"))
			case 9:
				require.NoError(t, tree.Kill("root/sup/w-2"))
			}
		}
		for i, h := range handles {
			got, err := h.Await(within(t, time.Hour))
			require.NoError(t, err, "%d", i)
			require.Equal(t, i, got)
		}
		stop(t, tree)
	})
}

func TestTasksWaitForAgentsThatAreDown(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Agent("w", job, func(_ context.Context, n int) (int, error) { return n, nil })}})
		require.NoError(t, tree.TerminateChild(t.Context(), "root/w"))
		h, err := job.Submit(t.Context(), tree, 5)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Equal(t, routing.StateWaiting, h.Status())
		_, err = tree.RestartChild(t.Context(), "root/w")
		require.NoError(t, err)
		got, err := h.Await(within(t, time.Hour))
		require.NoError(t, err)
		require.Equal(t, 5, got)
		stop(t, tree)
	})
}

func TestStopCancelsWhatIsNotSettled(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, _ int) (int, error) { <-ctx.Done(); return 0, ctx.Err() })}})
		running, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		waiting, err := job.Submit(t.Context(), tree, 2)
		require.NoError(t, err)
		synctest.Wait()
		stop(t, tree)
		for _, h := range []*routing.Handle[int]{running, waiting} {
			_, err := h.Await(t.Context())
			require.ErrorIs(t, err, routing.ErrCancelled)
			require.ErrorIs(t, err, actors.ErrShutdown)
		}
		_, err = job.Submit(t.Context(), tree, 3)
		require.ErrorIs(t, err, routing.ErrClosed)
	})
}

// ---- agents with state

// clerk counts what one incarnation does.
type clerk struct {
	j      *journal
	number int64
	tasks  int
	fail   error
	nap    time.Duration
}

func (c *clerk) Start(ctx context.Context) error {
	c.j.add("start %d", c.number)
	select {
	case <-time.After(c.nap):
	case <-ctx.Done():
		return ctx.Err()
	}
	return c.fail
}

func (c *clerk) Stop(context.Context) { c.j.add("stop %d after %d", c.number, c.tasks) }

func (c *clerk) Handle(_ context.Context, n int) (int, error) {
	c.tasks++
	if n < 0 && c.number < 3 {
		panic(errBoom)
	}
	return c.tasks, nil
}

func TestStatefulAgentsHaveAStateForEachIncarnation(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var j journal
		var made atomic.Int64
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Stateful("clerk", job, func() *clerk { return &clerk{j: &j, number: made.Add(1)} })}})
		for want := 1; want <= 3; want++ {
			got, err := job.Do(within(t, time.Hour), tree, 1)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		got, err := job.Do(within(t, time.Hour), tree, -1) // crashes two clerks
		require.NoError(t, err)
		require.Equal(t, 1, got)
		stop(t, tree)
		require.Equal(t, []string{"start 1", "start 2", "start 3", "stop 3 after 1"}, j.take(), "no Stop after a failure")
	})
}

func TestStatefulAgentsThatDoNotStart(t *testing.T) {
	tests := []struct {
		name string
		make func(j *journal) *clerk
		err  error
		took time.Duration
	}{
		{"an error", func(j *journal) *clerk { return &clerk{j: j, fail: errBoom} }, errBoom, 0},
		{"a panic in the constructor", func(*journal) *clerk { panic(errBoom) }, errBoom, 0},
		{"Goexit in the constructor", func(*journal) *clerk { goexit(); return nil }, actors.ErrGoexit, 0},
		{"it takes too long", func(j *journal) *clerk { return &clerk{j: j, nap: time.Hour} }, actors.ErrStartTimeout, 30 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				var j journal
				var err error
				held := took(func() {
					_, err = actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{
						actors.Stateful("clerk", job, func() *clerk { return tt.make(&j) })}})
				})
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, tt.took, held)
				requireNoGoroutines(t)
			})
		})
	}
	t.Run("ignore", func(t *testing.T) {
		inVirtualTime(t, func(t *testing.T) {
			var j journal
			tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
				actors.Stateful("clerk", job, func() *clerk { return &clerk{j: &j, fail: actors.ErrIgnore} })}})
			require.Equal(t, actors.StatusStopped, node(t, tree, "root/clerk").Status)
			require.Zero(t, node(t, tree, "root/clerk").Failures)
			stop(t, tree)
		})
	})
}

// ---- agents and a breaker

func TestGuardDelaysTasksWhileTheBreakerIsOpenAndChargesNone(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var down atomic.Bool
		var calls atomic.Int64
		changes := actors.NewSubscription(100, actors.BreakerChanged)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm", Config: breaker.Config{FailureThreshold: 5, ResetTimeout: 10 * time.Second, SuccessThreshold: 1}},
			actors.Supervisor{ID: "research", Children: []actors.Child{
				actors.Pool(3, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
					return actors.Guard(ctx, "llm", func(context.Context) (int, error) {
						calls.Add(1)
						if down.Load() {
							return 0, errBoom
						}
						return n, nil
					})
				})),
			}},
		}}, actors.WithSubscription(changes), actors.WithHub(routing.Options{MaxAttempts: 8}))
		down.Store(true)
		handles := submitMany(t, tree, 20)
		time.Sleep(5 * time.Second)
		require.Equal(t, breaker.Open, node(t, tree, "root/llm").Breaker.State)
		sent := calls.Load()
		require.LessOrEqual(t, sent, int64(5+3), "the ones in flight when it opened")
		time.Sleep(4 * time.Second)
		require.Equal(t, sent, calls.Load(), "nothing is sent while it is open")
		down.Store(false)
		for i, h := range handles {
			got, err := h.Await(within(t, time.Hour))
			require.NoError(t, err)
			require.Equal(t, i, got)
		}
		synctest.Wait() // the last call's caller may hear of it before the subscription does
		var states []breaker.State
		for _, e := range pending(changes) {
			require.Equal(t, "root/llm", e.Path)
			states = append(states, e.Breaker.To)
		}
		require.Equal(t, []breaker.State{breaker.Open, breaker.HalfOpen, breaker.Closed}, states)
		for _, n := range node(t, tree, "root/research").Children {
			require.Zero(t, n.Restarts, "failures of the outside world spend no budget")
		}
		stop(t, tree)
	})
}

func TestGuardFindsTheNearestBreaker(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		guarded := func(name string) func(context.Context, int) (int, error) {
			return func(ctx context.Context, n int) (int, error) {
				v, err := actors.Guard(ctx, name, func(context.Context) (int, error) { return n, nil })
				return v, routing.Permanent(err)
			}
		}
		near, far, path, none, other := routing.NewType[int, int]("near"), routing.NewType[int, int]("far"), routing.NewType[int, int]("path"), routing.NewType[int, int]("none"), routing.NewType[int, int]("other")
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "x"}, actors.Breaker{ID: "y"},
			actors.Supervisor{ID: "s", Children: []actors.Child{
				actors.Breaker{ID: "x"},
				actors.Agent("near", near, guarded("x")), actors.Agent("far", far, guarded("y")), actors.Agent("path", path, guarded("root/x")),
				actors.Agent("none", none, guarded("z")), actors.Agent("other", other, guarded("none")),
			}},
		}})
		count := func(path string) uint64 { return node(t, tree, path).Breaker.Totals.Succeeded }
		_, err := near.Do(t.Context(), tree, 1)
		require.NoError(t, err)
		require.Equal(t, uint64(1), count("root/s/x"))
		_, err = far.Do(t.Context(), tree, 1)
		require.NoError(t, err)
		require.Equal(t, uint64(1), count("root/y"))
		_, err = path.Do(t.Context(), tree, 1)
		require.NoError(t, err)
		require.Equal(t, uint64(1), count("root/x"))
		for _, k := range []routing.Type[int, int]{none, other} {
			_, err = k.Do(t.Context(), tree, 1)
			require.ErrorIs(t, err, actors.ErrNoBreaker)
		}
		_, err = actors.Guard(t.Context(), "x", func(context.Context) (int, error) { return 0, nil })
		require.Error(t, err, "not the context of a handler")
		stop(t, tree)
	})
}
