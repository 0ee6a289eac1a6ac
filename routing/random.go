package routing

import "math/rand/v2"

// Random picks any of the free spokes, each as likely as the others. With a seed it makes the same choices again when it is asked the
// same. O(1) in the number of spokes.
func Random(seed ...uint64) Balancer { return random{newDice(seed)} }

type random struct{ dice }

func (r random) Pick(_ TaskInfo, free Candidates) int { return r.IntN(free.Len()) }

// dice is where the balancers that toss coins get them from.
type dice struct {
	IntN func(n int) int
}

// newDice returns dice that fall the same way for the same seed, if there is one.
func newDice(seed []uint64) dice {
	if len(seed) == 0 {
		return dice{rand.IntN}
	}
	return dice{rand.New(rand.NewPCG(seed[0], uint64(len(seed)))).IntN}
}
