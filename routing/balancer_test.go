package routing_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/routing"
)

// fleet is a hub with free spokes of random credits, and tasks handed to them one by one.
func fleet(t *testing.T, balancer routing.Balancer, property func(rt *rapid.T, spokes []*spoke, credits []int, give func() (to int))) {
	synctest.Test(t, func(t *testing.T) {
		system := quietSystem()
		rapid.Check(bubbleTB{t}, func(rt *rapid.T) {
			w := newWorld(rt, system, routing.Options{Balancer: balancer})
			defer w.end()
			credits := rapid.SliceOfN(rapid.IntRange(1, 6), 1, 12).Draw(rt, "credits")
			var spokes []*spoke
			for i, n := range credits {
				spokes = append(spokes, w.join(fmt.Sprint("spoke-", i), 1, n))
			}
			property(rt, spokes, credits, func() int {
				handle := w.submit(1)
				for i, s := range spokes {
					for _, l := range s.leases() {
						if l.ID() == handle.ID() {
							return i
						}
					}
				}
				rt.Fatalf("task %s went nowhere", handle.ID())
				return -1
			})
		})
	})
}

func TestLeastLoadedPicksTheSmallestLoadWhateverHappenedBefore(t *testing.T) {
	fleet(t, routing.LeastLoaded(), func(rt *rapid.T, spokes []*spoke, credits []int, give func() int) {
		load := func(i int) float64 { return float64(len(spokes[i].leases())) / float64(credits[i]) }
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			least := math.Inf(1)
			before := make([]float64, len(spokes))
			for i := range spokes {
				before[i] = load(i)
				least = min(least, before[i])
			}
			if least < 1 && rapid.IntRange(0, 2).Draw(rt, "give?") > 0 {
				require.Equal(rt, least, before[give()])
				continue
			}
			s := rapid.SampledFrom(spokes).Draw(rt, "settles")
			if held := s.leases(); len(held) > 0 {
				s.settle(held[0], routing.Done(1))
			}
		}
	})
}

func TestLeastLoadedSharesOutIdleTimeToo(t *testing.T) {
	fleet(t, routing.LeastLoaded(), func(rt *rapid.T, spokes []*spoke, _ []int, give func() int) {
		counts := make([]int, len(spokes))
		for range 3 * len(spokes) { // one task at a time: all are equally idle
			to := give()
			counts[to]++
			spokes[to].settleOnly(routing.Done(1))
		}
		for _, n := range counts {
			require.Equal(rt, 3, n)
		}
	})
}

func TestRoundRobinTakesTurns(t *testing.T) {
	fleet(t, routing.RoundRobin(), func(rt *rapid.T, spokes []*spoke, _ []int, give func() int) {
		var turns []int
		for range 3 * len(spokes) {
			to := give()
			turns = append(turns, to)
			spokes[to].settleOnly(routing.Done(1))
		}
		for i := len(spokes); i < len(turns); i++ {
			require.Equal(rt, turns[i-len(spokes)], turns[i], "turn %d of %v", i, turns)
		}
	})
}

func TestRoundRobinIgnoresLoadButNotCredits(t *testing.T) {
	inWorld(t, routing.Options{Balancer: routing.RoundRobin()}, func(w *world) {
		big, small := w.join("big", 1, 3), w.join("small", 1, 1)
		for n := range 4 {
			w.submit(n)
		}
		assert.Len(t, big.leases(), 3)
		assert.Len(t, small.leases(), 1)
	})
}

type balancerFunc func(routing.TaskInfo, routing.Candidates) int

func (f balancerFunc) Pick(t routing.TaskInfo, c routing.Candidates) int { return f(t, c) }

type rankerFunc func(routing.Candidate) float64

func (f rankerFunc) Pick(routing.TaskInfo, routing.Candidates) int { return 0 }
func (f rankerFunc) Rank(c routing.Candidate) float64              { return f(c) }

func TestABadBalancerIsReportedAndTheFirstFreeSpokeTaken(t *testing.T) {
	for name, c := range map[string]struct {
		balancer routing.Balancer
		says     string
	}{
		"panics":         {balancerFunc(func(routing.TaskInfo, routing.Candidates) int { panic("oops") }), "balancer panicked: oops"},
		"picks below":    {balancerFunc(func(routing.TaskInfo, routing.Candidates) int { return -1 }), "candidate -1 of 2"},
		"picks above":    {balancerFunc(func(_ routing.TaskInfo, c routing.Candidates) int { return c.Len() }), "candidate 2 of 2"},
		"panics in Rank": {rankerFunc(func(routing.Candidate) float64 { panic("oops") }), "in Rank: oops"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{Balancer: c.balancer}, func(w *world) {
				a, b := w.join("a", 1, 1), w.join("b", 1, 1)
				w.submit(1)
				assert.Len(t, append(a.leases(), b.leases()...), 1)
				faults := w.kinds(routing.EventBalancerFault)
				require.NotEmpty(t, faults)
				assert.ErrorContains(t, faults[0].Err, c.says)
			})
		})
	}
}

func TestARankThatIsNoNumberDoesNotDisturbTheOrder(t *testing.T) {
	balancer := rankerFunc(func(c routing.Candidate) float64 {
		if c.ID.Path == "nan" {
			return math.NaN()
		}
		return -1
	})
	inWorld(t, routing.Options{Balancer: balancer}, func(w *world) {
		w.join("nan", 1, 1)
		good := w.join("good", 1, 1)
		w.submit(1)
		good.only()
	})
}

func TestABalancerSeesTheTaskAndTheSpokes(t *testing.T) {
	var seen []routing.Candidate
	var task routing.TaskInfo
	balancer := balancerFunc(func(info routing.TaskInfo, free routing.Candidates) int {
		task = info
		for _, c := range free.All() {
			seen = append(seen, c)
			break
		}
		return 1
	})
	inWorld(t, routing.Options{Balancer: balancer}, func(w *world) {
		seen = nil
		w.join("a", 1, 2)
		b := w.join("b", 1, 2)
		w.submit(1, routing.Key("k"))
		assert.Equal(t, "k", task.Key)
		assert.Equal(t, 1, task.Attempt)
		assert.Equal(t, []routing.Candidate{{ID: routing.SpokeID{Path: "a", Incarnation: 1}, Credits: 2}}, seen)
		b.only()
	})
}

func TestCandidatesMadeByHand(t *testing.T) {
	free := routing.CandidatesOf(routing.Candidate{Load: 1, Credits: 2}, routing.Candidate{Load: 0, Credits: 2})
	assert.Equal(t, 2, free.Len())
	assert.Equal(t, 1, free.At(0).Load)
}

func TestTenThousandSpokesAreNoBurden(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		const n = 10_000
		for i := range n {
			_, err := w.hub.Join(routing.SpokeSpec{
				ID: routing.SpokeID{Path: fmt.Sprint(i)}, Types: []string{double.Name()},
				Deliver: func(l *routing.Lease) { l.Settle(routing.Done(1)) },
			})
			require.NoError(t, err)
		}
		for range n {
			_, err := double.Do(context.Background(), w.hub, 1)
			require.NoError(t, err)
		}
	})
}
