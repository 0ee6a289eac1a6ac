package routing

import "iter"

// Balancer chooses the spoke for a task when several are free. When only one is, and when a spoke that has finished a task takes
// its next, there is nothing to choose and it is not asked.
//
// It is called under the hub's lock: it must be quick and must not call the hub. If it panics, or returns an index that does not
// exist, the first candidate gets the task and [EventBalancerFault] is emitted. A balancer with state of its own must not be shared by hubs.
type Balancer interface {
	// Pick returns the index in free of the spoke that gets the task. There are at least two.
	Pick(task TaskInfo, free Candidates) int
}

// Ranker is a Balancer that says in which order the free spokes are kept: the one with the lowest rank, and among equals the
// one that has gone longest without being picked, is candidate 0. So it picks one of many in O(log n). Without it all ranks are equal.
//
// Rank is called whenever a spoke's load changed or it was picked, under the same rules as Pick; a panic counts as rank 0.
type Ranker interface {
	Rank(Candidate) float64
}

// Candidate is a spoke as a balancer sees it.
type Candidate struct {
	ID SpokeID
	// Load is how many of its credits are in use, Credits how many it has.
	Load, Credits int
	// Picked is a number that grows with every lease of the hub, as it was at this spoke's last lease; 0 is never.
	Picked uint64
}

// Candidates are the free spokes for a task, best rank first, the others in no particular order.
type Candidates struct {
	seats []*seat
	list  []Candidate // instead of seats, if made by hand
}

// CandidatesOf makes candidates by hand, to try a balancer on.
func CandidatesOf(list ...Candidate) Candidates { return Candidates{list: list} }

// Len returns how many there are.
func (c Candidates) Len() int { return len(c.seats) + len(c.list) }

// At returns candidate i, 0 <= i < Len().
func (c Candidates) At(i int) Candidate {
	if c.list != nil {
		return c.list[i]
	}
	return c.seats[i].spoke.candidate()
}

// All iterates over the candidates and their indices.
func (c Candidates) All() iter.Seq2[int, Candidate] {
	return func(yield func(int, Candidate) bool) {
		for i := range c.Len() {
			if !yield(i, c.At(i)) {
				return
			}
		}
	}
}
