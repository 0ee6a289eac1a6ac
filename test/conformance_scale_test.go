package test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"weak"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// ---- memory

// cargo is something large that a child is started with.
type cargo struct{ weight [1 << 16]byte }

// requireDropped checks that nobody holds the cargo, but for one or two that were handled last: a goroutine that is parked, or the last answer, may.
func requireDropped(t *testing.T, held []weak.Pointer[cargo], when string) {
	t.Helper()
	synctest.Wait()
	runtime.GC()
	n := 0
	for _, p := range held {
		if p.Value() != nil {
			n++
		}
	}
	require.LessOrEqual(t, n, 2, "of %d are held %s", len(held), when)
}

// loadInstances starts instances of root/d with a cargo each. Nothing of it is left on the caller's stack.
//
//go:noinline
func loadInstances(t *testing.T, tree *actors.Tree, ids []string) []weak.Pointer[cargo] {
	t.Helper()
	held := make([]weak.Pointer[cargo], len(ids))
	for i, id := range ids {
		c := new(cargo)
		held[i] = weak.Make(c)
		_, err := tree.StartInstance(t.Context(), "root/d", id, c)
		require.NoError(t, err)
	}
	return held
}

// argumentsOfATemporaryInstanceAreDropped: there is no restart that they could be kept for.
func argumentsOfATemporaryInstanceAreDropped(t *testing.T) {
	got := 0
	tree := begin(t, dynamic(plain("t", hooks{started: func(ctx actor.Context) {
		if len(actors.Args(ctx)) == 1 {
			got++
		}
	}}).With(actors.Lifecycle{Restart: actors.Temporary})))
	ids := numbered(20)
	held := loadInstances(t, tree, ids)
	require.Equal(t, 20, got, "each saw its own when it started")
	requireCount(t, tree, "root/d", actors.ChildCount{Specs: 1, Active: 20, Workers: 20})
	requireDropped(t, held, "while their instances run")
	for _, id := range ids {
		requireAlive(t, tree, "root/d/"+id)
	}
}

// loadChildren starts children of root whose producers hold a cargo each.
//
//go:noinline
func loadChildren(t *testing.T, tree *actors.Tree, ids []string) []weak.Pointer[cargo] {
	t.Helper()
	held := make([]weak.Pointer[cargo], len(ids))
	for i, id := range ids {
		c := new(cargo)
		held[i] = weak.Make(c)
		_, err := tree.StartChild(t.Context(), "root", actors.Actor(id, func() actor.Actor {
			c.weight[0]++
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if m, ok := ctx.Message().(do); ok {
					m(ctx)
				}
			})
		}).With(actors.Lifecycle{Restart: actors.Temporary}))
		require.NoError(t, err)
	}
	return held
}

// producerOfATemporaryChildIsDropped: it has produced its only actor.
func producerOfATemporaryChildIsDropped(t *testing.T) {
	tree := begin(t, actors.Supervisor{ID: "root"})
	ids := numbered(20)
	held := loadChildren(t, tree, ids)
	requireCount(t, tree, "root", actors.ChildCount{Specs: 20, Active: 20, Workers: 20})
	requireDropped(t, held, "while their children run")
	for _, id := range ids {
		requireAlive(t, tree, "root/"+id)
	}
}

// ---- work

// requireLinear checks that the work of f for each of n is about the same for small and for large n. It is counted in bytes allocated: a
// list that is copied or rebuilt once for each child shows, whatever the machine.
func requireLinear(t *testing.T, f func(n int)) {
	t.Helper()
	const small, large = 250, 2000
	work := func(n int) float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f(n)
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	}
	f(small) // what is allocated only once
	few, many := work(small), work(large)
	require.Less(t, many, 1.5*few, "bytes a child: %.0f of %d, %.0f of %d", few, small, many, large)
}

func workOfManyTemporaryInstancesIsLinear(t *testing.T) {
	tree := begin(t, dynamic(obedient(actors.Lifecycle{Restart: actors.Temporary})))
	requireLinear(t, func(n int) {
		ids := numbered(n)
		startInstances(t, tree, ids...)
		for _, id := range ids {
			send(tree, "root/d/"+id, exit(nil))
		}
		synctest.Wait()
		requireCount(t, tree, "root/d", actors.ChildCount{Specs: 1})
	})
}

func workOfManyChildrenIsLinear(t *testing.T) {
	tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "s"}}})
	requireLinear(t, func(n int) {
		for _, id := range numbered(n) {
			_, err := tree.StartChild(t.Context(), "root/s", plain(id, hooks{}))
			require.NoError(t, err)
		}
		require.NoError(t, tree.TerminateChild(t.Context(), "root/s"))
		_, err := tree.RestartChild(t.Context(), "root/s")
		require.NoError(t, err)
		requireCount(t, tree, "root/s", actors.ChildCount{})
	})
}

// BenchmarkConformance shows that the time for each child doesn't grow with their number. In a sub-benchmark's name stands how many there are.
func BenchmarkConformance(b *testing.B) {
	idle := actors.Actor("t", func() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) })
	perChild := func(b *testing.B, n int) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/child")
	}
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run("scale_start_stop_many_children/"+strconv.Itoa(n), func(b *testing.B) {
			children := make([]actors.Child, n)
			for i := range children {
				spec := idle
				spec.ID = fmt.Sprintf("c%d", i)
				children[i] = spec
			}
			for b.Loop() {
				tree, err := actors.Start(b.Context(), actors.Supervisor{ID: "root", Children: children})
				require.NoError(b, err)
				require.NoError(b, tree.Stop(context.Background()))
			}
			perChild(b, n)
		})
		b.Run("simple_one_for_one_scale_many_temporary_children/"+strconv.Itoa(n), func(b *testing.B) {
			ids := numbered(n)
			for b.Loop() {
				exited := actors.NewSubscription(n, actors.Exited)
				tree, err := actors.Start(b.Context(), actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.NeverRestart()),
					Template: idle.With(actors.Lifecycle{Restart: actors.Temporary})}, actors.WithSubscription(exited))
				require.NoError(b, err)
				for _, id := range ids {
					_, err := tree.StartInstance(b.Context(), "root", id)
					require.NoError(b, err)
				}
				for _, id := range ids {
					tree.ActorSystem().Root.Stop(tree.PID("root/" + id))
				}
				for range ids {
					<-exited.Events()
				}
				require.NoError(b, tree.Stop(context.Background()))
			}
			perChild(b, n)
		})
	}
}
