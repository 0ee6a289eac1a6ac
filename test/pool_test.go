package test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// nap is an agent's function that takes a second, unless its context ends.
func nap(ctx context.Context, n int) (int, error) {
	select {
	case <-time.After(time.Second):
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// children lists the ids of a supervisor's children.
func children(t *testing.T, tree *actors.Tree, path string) (ids []string) {
	t.Helper()
	infos, err := tree.Children(t.Context(), path)
	require.NoError(t, err)
	for _, c := range infos {
		ids = append(ids, c.ID)
	}
	return ids
}

func awaitMany(t *testing.T, handles []*routing.Handle[int]) {
	t.Helper()
	for i, h := range handles {
		got, err := h.Await(within(t, 24*time.Hour))
		require.NoError(t, err, "%d", i)
		require.Equal(t, i, got)
	}
}

func TestAPoolGrowsAndShrinksWhileItRuns(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			plain("before", hooks{}),
			actors.Pool(1, actors.Agent("w", job, nap)),
			plain("after", hooks{}),
		}})
		handles := submitMany(t, tree, 40)
		require.NoError(t, tree.Resize(t.Context(), "root/w", 4))
		require.Equal(t, []string{"before", "w-1", "w-2", "w-3", "w-4", "after"}, children(t, tree, "root"))
		synctest.Wait()
		require.EqualValues(t, 4, tree.Hub().Counts().Leased)
		time.Sleep(5*time.Second + time.Second/2)
		require.EqualValues(t, 20, tree.Hub().Counts().Done)

		require.NoError(t, tree.Resize(t.Context(), "root/w", 2)) // takes until the two have done what they have
		synctest.Wait()                                           // for the other two, which do so at the same moment
		require.EqualValues(t, 24, tree.Hub().Counts().Done)
		require.Equal(t, []string{"before", "w-1", "w-2", "after"}, children(t, tree, "root"))
		require.Nil(t, tree.PID("root/w-3"))
		require.Len(t, tree.Hub().Spokes(), 2)
		awaitMany(t, handles)
		require.EqualValues(t, 40, tree.Hub().Counts().Attempts, "none was interrupted")

		require.NoError(t, tree.Resize(t.Context(), "root/w", 3), "the names can be used again")
		handles = submitMany(t, tree, 3)
		synctest.Wait()
		require.EqualValues(t, 3, tree.Hub().Counts().Leased)
		awaitMany(t, handles)
		stop(t, tree)
		requireNoGoroutines(t)
	})
}

func TestAPoolKeepsItsSizeThroughTheRestartsOfItsSupervisors(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Supervisor{ID: "up", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
				actors.Supervisor{ID: "sup", Children: []actors.Child{actors.Pool(2, actors.Agent("w", job, nap))}},
				actors.Pool(1, actors.Agent("v", job, nap)),
			}},
		}})
		require.NoError(t, tree.Resize(t.Context(), "root/up/sup/w", 3))
		require.NoError(t, tree.Resize(t.Context(), "root/up/v", 2), "this leaves the other pool as it is")
		for _, path := range []string{"root/up/sup", "root/up"} {
			require.NoError(t, tree.Kill(path))
			time.Sleep(time.Minute)
			require.Equal(t, []string{"w-1", "w-2", "w-3"}, children(t, tree, "root/up/sup"))
			require.Equal(t, []string{"sup", "v-1", "v-2"}, children(t, tree, "root/up"))
			require.Equal(t, "up", pool(t, tree, "root/up/sup"))
		}
		require.NoError(t, tree.Resize(t.Context(), "root/up/sup/w", 1))
		require.NoError(t, tree.Kill("root/up"))
		time.Sleep(time.Minute)
		require.Equal(t, []string{"w-1"}, children(t, tree, "root/up/sup"))
		stop(t, tree)
	})
}

func TestAResizeThatIsGivenUpGoesOnWithTheNext(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Pool(3, actors.Agent("w", job, nap))}})
		handles := submitMany(t, tree, 9)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		err := tree.Resize(ctx, "root/w", 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "drain spoke root/w-3@1: it still holds 1 leases")
		require.Len(t, children(t, tree, "root"), 3)
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 1, tree.Hub().Counts().Leased, "who is on the way out takes nothing new")

		require.NoError(t, tree.Resize(t.Context(), "root/w", 2))
		require.Equal(t, []string{"w-1", "w-2"}, children(t, tree, "root"))
		synctest.Wait()
		require.EqualValues(t, 2, tree.Hub().Counts().Leased, "the one that is wanted after all goes on")
		awaitMany(t, handles)
		require.EqualValues(t, 9, tree.Hub().Counts().Attempts)
		stop(t, tree)
	})
}

func TestResizesThatCannotBe(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Pool(1, actors.Agent("w", job, nap)),
			actors.Agent("single", job, nap),
			actors.Agent("w-3", job, nap), // has nothing to do with the pool
		}})
		for pool, want := range map[string]error{
			"root/single": actors.ErrNoPool, "root/unheard-of": actors.ErrNoPool, "root/single/w": actors.ErrNotSupervisor,
			"root/nobody/w": actors.ErrNotFound, "w": actors.ErrNotFound,
		} {
			require.ErrorIs(t, tree.Resize(t.Context(), pool, 2), want, pool)
		}
		var spec *actors.SpecError
		require.ErrorAs(t, tree.Resize(t.Context(), "root/w", 0), &spec)
		require.ErrorContains(t, spec, "root/w: pool of 0, must be at least 1")
		require.ErrorAs(t, tree.Resize(t.Context(), "root/w", 3), &spec)
		require.ErrorContains(t, spec, "root/w-3: ID is used twice")
		require.NoError(t, tree.Resize(t.Context(), "root/w", 2))
		require.NoError(t, tree.Resize(t.Context(), "root/w", 1))
		require.Equal(t, []string{"w-1", "single", "w-3"}, children(t, tree, "root"))
		stop(t, tree)
		require.ErrorIs(t, tree.Resize(t.Context(), "root/w", 2), actors.ErrStopped)
	})
}

func TestAMemberThatCannotStartIsReported(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		made := 0
		agent := actors.Agent("w", job, nap)
		agent.New = func() actors.AgentCode {
			return actors.AgentCode{Handlers: []routing.Handler{routing.HandlerOf(job, nap)}, Start: func(context.Context) error {
				if made++; made == 3 {
					return errBoom
				}
				return nil
			}}
		}
		spec := actors.AgentSpec{ID: "w", Types: agent.Types, New: agent.New}
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Pool(2, spec)}})
		var failed *actors.StartError
		require.ErrorAs(t, tree.Resize(t.Context(), "root/w", 4), &failed)
		require.Equal(t, "root/w-3", failed.Path)
		require.Equal(t, actors.StatusRunning, node(t, tree, "root/w-4").Status)
		_, err := tree.RestartChild(t.Context(), "root/w-3")
		require.NoError(t, err)
		stop(t, tree)
	})
}

// A pool is resized at random while its supervisor and the hub's actor are killed: no task is lost, and none charged.
func TestResizingUnderLoadLosesNoTask(t *testing.T) {
	seeded(t, 10, func(t *testing.T, r *rand.Rand) {
		heard := &settlements{counts: map[string]int{}, states: map[string]routing.State{}}
		agent := actors.Agent("w", job, nap)
		agent.Credits = 1 + r.IntN(3)
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Supervisor{ID: "sup", Strategy: strategies.OneForAll(strategies.AlwaysRestart()), Children: []actors.Child{actors.Pool(2, agent)}},
		}}, actors.WithHub(routing.Options{QuarantineAfter: 1, MaxAttempts: 1, OnEvent: heard.hear}))
		var handles []*routing.Handle[int]
		size := 2
		for i := range 60 {
			h, err := job.Submit(t.Context(), tree, i)
			require.NoError(t, err)
			handles = append(handles, h)
			switch r.IntN(6) {
			case 0:
				n := 1 + r.IntN(5)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(3000))*time.Millisecond)
				if err := tree.Resize(ctx, "root/sup/w", n); err == nil {
					size = n
				} else {
					size = 0 // unknown
				}
				cancel()
			case 1:
				_ = tree.Kill([]string{"root/sup", "root/$hub", "root/sup/w-1"}[r.IntN(3)]) // it may be down just now
			}
			time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond)
			require.True(t, tree.Hub().Counts().Balanced())
		}
		awaitMany(t, handles)
		if size > 0 {
			time.Sleep(time.Minute)
			require.Len(t, children(t, tree, "root/sup"), size)
			require.Len(t, tree.Hub().Spokes(), size)
		}
		require.NoError(t, tree.Resize(t.Context(), "root/sup/w", 3))
		require.Equal(t, "up", pool(t, tree, "root/sup"))
		require.Len(t, children(t, tree, "root/sup"), 3)
		for _, s := range tree.Hub().Spokes() {
			require.False(t, s.Paused)
		}
		stop(t, tree)
		requireNoGoroutines(t)
		for _, h := range handles {
			require.Equal(t, 1, heard.counts[h.ID()])
		}
	})
}
