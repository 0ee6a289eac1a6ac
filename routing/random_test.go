package routing_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/routing"
)

// idle makes so many candidates with a credit each.
func idle(n int) []routing.Candidate {
	list := make([]routing.Candidate, n)
	for i := range list {
		list[i].Credits = 1
	}
	return list
}

func TestRandomPicksEachAsOften(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const picks = 2000
		spokes := idle(rapid.IntRange(2, 20).Draw(t, "spokes"))
		balancer := routing.Random(rapid.Uint64().Draw(t, "seed"))
		counts := make([]int, len(spokes))
		for range picks {
			counts[balancer.Pick(routing.TaskInfo{}, routing.CandidatesOf(spokes...))]++
		}
		p := 1 / float64(len(spokes))
		for _, n := range counts {
			require.InDelta(t, picks*p, n, 6*math.Sqrt(picks*p*(1-p)), "six standard deviations of a binomial distribution")
		}
	})
}

func TestTheSameSeedMakesTheSameChoices(t *testing.T) {
	choices := func(balancer routing.Balancer) (picked []int) {
		for range 100 {
			picked = append(picked, balancer.Pick(routing.TaskInfo{}, routing.CandidatesOf(idle(1000)...)))
		}
		return picked
	}
	for name, of := range map[string]func(...uint64) routing.Balancer{"random": routing.Random, "power of two": routing.PowerOfTwo} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, choices(of(7)), choices(of(7)))
			require.NotEqual(t, choices(of(7)), choices(of(8)))
			require.NotEqual(t, choices(of()), choices(of()), "without a seed")
		})
	}
}

func TestPowerOfTwoNeverPicksTheMostLoaded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spokes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) routing.Candidate {
			credits := rapid.IntRange(1, 50).Draw(t, "credits")
			return routing.Candidate{Credits: credits, Load: rapid.IntRange(0, credits-1).Draw(t, "load")}
		}), 2, 20).Draw(t, "spokes")
		use := func(c routing.Candidate) float64 { return float64(c.Load) / float64(c.Credits) }
		picked := spokes[routing.PowerOfTwo(rapid.Uint64().Draw(t, "seed")).Pick(routing.TaskInfo{}, routing.CandidatesOf(spokes...))]
		better := 0
		for _, c := range spokes {
			if use(c) > use(picked) {
				better++
			}
		}
		equal := -1 // picked itself
		for _, c := range spokes {
			if use(c) == use(picked) {
				equal++
			}
		}
		require.Positive(t, better+equal, "it was the better of two")
	})
}

func TestPowerOfTwoPrefersWhoHasWaitedLongerAmongEquals(t *testing.T) {
	spokes := []routing.Candidate{{Credits: 1, Picked: 9}, {Credits: 1, Picked: 3}}
	for range 20 {
		require.Equal(t, 1, routing.PowerOfTwo().Pick(routing.TaskInfo{}, routing.CandidatesOf(spokes...)))
	}
}

// Of n tasks on n spokes, the fullest has some log(n)/log(log(n)) with one choice, and log(log(n)) with two.
func TestPowerOfTwoIsMuchMoreEvenThanRandom(t *testing.T) {
	const n = 2000
	fullest := func(balancer routing.Balancer) int {
		spokes := make([]routing.Candidate, n)
		for i := range spokes {
			spokes[i].Credits = 1000
		}
		most := 0
		for range n {
			i := balancer.Pick(routing.TaskInfo{}, routing.CandidatesOf(spokes...))
			spokes[i].Load++
			most = max(most, spokes[i].Load)
		}
		return most
	}
	for seed := range uint64(10) {
		require.LessOrEqual(t, fullest(routing.PowerOfTwo(seed)), 4)
		require.GreaterOrEqual(t, fullest(routing.Random(seed)), 5)
	}
}
