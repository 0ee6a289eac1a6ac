package routing

// RoundRobin picks the spoke that has gone longest without a task, whatever its load: free spokes take turns. O(log n) in the
// number of spokes.
func RoundRobin() Balancer { return roundRobin{} }

type roundRobin struct{}

func (roundRobin) Pick(TaskInfo, Candidates) int { return 0 }

func (roundRobin) Rank(c Candidate) float64 { return float64(c.Picked) }
