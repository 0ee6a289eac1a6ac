package test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// subtask submits a task to the tree that a handler runs in, and awaits it.
func subtask(ctx context.Context, n int) (int, error) {
	tree, ok := actors.TreeFromContext(ctx)
	if !ok {
		return 0, errBoom
	}
	return job.Do(ctx, tree, n)
}

func TestAnAgentAloneAwaitsSubtasksOfItsOwnToAnyDepth(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				if n == 0 {
					return 0, nil
				}
				out, err := subtask(ctx, n-1)
				return out + n, err
			}),
		}})
		got, err := job.Do(within(t, time.Hour), tree, 200)
		require.NoError(t, err)
		require.Equal(t, 200*201/2, got)
		stop(t, tree)
		requireNoGoroutines(t)
	})
}

func TestAParentIsTriedAgainAndItsSubtasksAreNotDoneTwice(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var leaves, parents atomic.Int64
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Pool(2, actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				if n < 100 {
					time.Sleep(time.Second)
					return int(leaves.Add(1)), nil
				}
				for i := range 3 {
					if _, err := subtask(ctx, i); err != nil {
						return 0, err
					}
				}
				if parents.Add(1) < 3 {
					panic(errBoom)
				}
				return n, nil
			})),
		}}, actors.WithHub(routing.Options{QuarantineAfter: 5}))
		_, err := job.Do(within(t, time.Hour), tree, 100)
		require.NoError(t, err)
		require.EqualValues(t, 3, parents.Load())
		require.EqualValues(t, 3, leaves.Load())
		require.EqualValues(t, 4, tree.Hub().Counts().Done)
		stop(t, tree)
	})
}

func TestAnAgentThatCrashesWhileAHandlerOfItsAwaitsChargesNotTheParent(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var crashes, leaves atomic.Int64
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) { // parent and subtask in one agent
				switch {
				case n == 1:
					return subtask(ctx, 0)
				case crashes.Add(1) < 3:
					panic(errBoom)
				}
				return int(leaves.Add(1)), nil
			}),
		}})
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		got, err := h.Await(within(t, time.Hour))
		require.NoError(t, err)
		require.Equal(t, 1, got)
		parent, _ := tree.Hub().Inspect(h.ID())
		require.Zero(t, parent.Strikes)
		require.Zero(t, parent.Errors)
		require.Equal(t, 3, parent.Attempt, "it went down with its agent twice")
		require.EqualValues(t, 2, tree.Hub().Counts().Accepted, "each attempt found the same subtask")
		stop(t, tree)
	})
}

func TestACancelReachesEveryHandlerBelow(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var ended atomic.Int64
		var told atomic.Bool
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				defer ended.Add(1)
				if n == 0 {
					<-ctx.Done()
					told.Store(errors.Is(context.Cause(ctx), errBoom))
					return 0, ctx.Err()
				}
				return subtask(ctx, n-1)
			}),
		}})
		h, err := job.Submit(t.Context(), tree, 3)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.EqualValues(t, 4, tree.Hub().Counts().Leased)
		h.Cancel(errBoom)
		synctest.Wait()
		require.EqualValues(t, 4, tree.Hub().Counts().Cancelled)
		require.EqualValues(t, 4, ended.Load())
		require.True(t, told.Load(), "it knows why")
		require.Zero(t, node(t, tree, "root/w").Restarts)
		stop(t, tree)
	})
}

func TestAHandlerThatIsDeafToACancelIsHung(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		letReturn(t)
		agent := actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
			if n == 0 {
				time.Sleep(time.Hour) // deaf
			}
			return n, nil
		}).With(actors.Lifecycle{Shutdown: time.Second})
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{agent}})
		h, err := job.Submit(t.Context(), tree, 0)
		require.NoError(t, err)
		next, err := job.Submit(t.Context(), tree, 7)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		h.Cancel(errBoom)
		require.Equal(t, routing.StateCancelled, h.Status(), "at once")
		time.Sleep(time.Second - 1)
		require.Equal(t, routing.StateWaiting, next.Status())
		got, err := next.Await(within(t, time.Second))
		require.NoError(t, err)
		require.Equal(t, 7, got)
		require.Equal(t, 1, node(t, tree, "root/w").Restarts)
		require.Len(t, tree.Abandoned(), 1)
		require.Equal(t, routing.StateCancelled, h.Status())
		require.Error(t, tree.Stop(t.Context()))
	})
}

func TestAFailureChargesOnlyTheTaskOfTheHandlerThatFailed(t *testing.T) {
	for name, fail := range map[string]func(){
		"panics": func() { panic(errBoom) },
		"exits":  goexit,
		"hangs":  func() { time.Sleep(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				letReturn(t)
				agent := actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
					info, _ := routing.FromContext(ctx)
					if n == 0 && info.Attempt == 1 {
						time.Sleep(time.Second)
						fail()
					}
					return nap(ctx, n)
				}).With(actors.Lifecycle{Shutdown: time.Second})
				agent.Credits = 4
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{agent}}, actors.WithHub(routing.Options{
					AttemptTimeout: 2 * time.Second, // the others are given longer below
				}))
				handles := []*routing.Handle[int]{}
				for i := range 4 {
					limit := routing.Timeout(time.Hour)
					if i == 0 {
						limit = routing.Timeout(2 * time.Second)
					}
					h, err := job.Submit(t.Context(), tree, i, limit)
					require.NoError(t, err)
					handles = append(handles, h)
				}
				time.Sleep(time.Millisecond)
				for _, l := range tree.Hub().Spokes() {
					require.Equal(t, 4, l.Leases)
				}
				awaitMany(t, handles)
				for i, h := range handles {
					task, _ := tree.Hub().Inspect(h.ID())
					require.Equal(t, i == 0, task.Strikes == 1, "task %d: %d strikes", i, task.Strikes)
					require.Zero(t, task.Errors)
				}
				_ = tree.Stop(t.Context()) // it tells of the handler that hangs
			})
		})
	}
}

// Agents crash, hang and are killed, tasks fail, are cancelled and run out of time, all with subtasks and inputs: each task settles once, none waits for
// what will not come.
func TestLaw3HoldsForSubtasksAndInputs(t *testing.T) {
	seeded(t, 15, func(t *testing.T, r *rand.Rand) {
		letReturn(t)
		d := newDice(r)
		heard := &settlements{counts: map[string]int{}, states: map[string]routing.State{}}
		agent := actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
			time.Sleep(time.Duration(d.IntN(100)) * time.Millisecond)
			switch d.IntN(15) {
			case 0:
				panic(errBoom)
			case 1:
				time.Sleep(time.Duration(d.IntN(30)) * time.Second)
			case 2:
				return 0, errBoom
			}
			total := n
			for i := range n {
				out, err := subtask(ctx, i)
				if err != nil {
					return 0, err
				}
				total += out
			}
			return total, nil
		})
		agent.Credits = 1 + r.IntN(2)
		agent.Shutdown = time.Duration(100+r.IntN(1000)) * time.Millisecond
		policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(50 * time.Millisecond))
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
			actors.Supervisor{ID: "pool", Strategy: strategies.OneForOne(policy), Children: []actors.Child{actors.Pool(3, agent)}},
		}}, actors.WithAbandonLimit(1<<20), actors.WithHub(routing.Options{OnEvent: heard.hear, AttemptTimeout: 20 * time.Second, Capacity: 30}))
		var handles []*routing.Handle[int]
		sizes := map[string]int{}
		for range 60 {
			n := r.IntN(4)
			var options []routing.SubmitOption
			if len(handles) > 0 && r.IntN(3) == 0 {
				options = append(options, routing.After(handles[r.IntN(len(handles))]))
			}
			if r.IntN(5) == 0 {
				options = append(options, routing.Deadline(time.Now().Add(time.Duration(1+r.IntN(20))*time.Second)))
			}
			h, err := job.Submit(within(t, time.Hour), tree, n, append(options, routing.Wait())...)
			if err != nil {
				require.ErrorIs(t, err, routing.ErrExpired)
				continue
			}
			handles = append(handles, h)
			sizes[h.ID()] = n
			switch r.IntN(8) {
			case 0:
				_ = tree.Kill([]string{"root/$hub", "root/pool", "root/pool/w-1"}[r.IntN(3)]) // it may be down just now
			case 1:
				time.AfterFunc(time.Duration(r.IntN(3000))*time.Millisecond, func() { h.Cancel(errBoom) })
			}
			time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond)
			require.True(t, tree.Hub().Counts().Balanced())
		}
		for _, h := range handles {
			got, err := h.Await(within(t, 24*time.Hour))
			if err != nil {
				var settled *routing.TaskError
				require.ErrorAs(t, err, &settled)
				continue
			}
			require.Equal(t, 1<<sizes[h.ID()]-1, got, "a subtask was lost, or counted twice")
		}
		time.Sleep(time.Hour)
		require.Zero(t, tree.Hub().Counts().Unsettled())
		require.Zero(t, tree.Hub().Counts().Blocked)
		if err := tree.Stop(within(t, time.Hour)); err != nil {
			var left *actors.AbandonedError
			require.ErrorAs(t, err, &left)
		}
		time.Sleep(time.Hour)
		require.True(t, tree.Hub().Counts().Balanced())
		require.EqualValues(t, len(heard.counts), tree.Hub().Counts().Accepted)
		for id, n := range heard.counts {
			require.Equal(t, 1, n, "%s was settled %d times", id, n)
		}
		requireNoGoroutines(t)
	})
}
