package routing

// PowerOfTwo takes two of the free spokes at random and picks the one that uses the smaller part of its credits; of equals, the one that has
// gone longer without a task. That comes close to [LeastLoaded] without looking at more than two, and other than it doesn't send
// everything that several hubs have to the one spoke that is idle. With a seed it makes the same choices again when it is asked the same. O(1) in
// the number of spokes.
//
// Source: M. Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001.
func PowerOfTwo(seed ...uint64) Balancer { return powerOfTwo{newDice(seed)} }

type powerOfTwo struct{ dice }

func (p powerOfTwo) Pick(_ TaskInfo, free Candidates) int {
	i, j := p.IntN(free.Len()), p.IntN(free.Len()-1)
	if j >= i {
		j++
	}
	a, b := free.At(i), free.At(j)
	switch x, y := a.use(), b.use(); {
	case x < y || x == y && a.Picked <= b.Picked:
		return i
	default:
		return j
	}
}
