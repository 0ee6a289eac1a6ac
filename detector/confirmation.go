package detector

import (
	"math"
	"time"
)

// Confirmation is how long to wait until a suspicion counts, given how many independent monitors share it: nobody is believed alone, and the
// more agree the sooner it's certain. It's the suspicion timeout of memberlist (Dadgar, Phillips, Currey: "Lifeguard: Local Health
// Awareness for More Accurate Failure Detection", 2018):
//
//	Max - ln(n+1)/ln(Enough+1) · (Max - Min), but not less than Min
type Confirmation struct {
	Min, Max time.Duration // the wait with enough confirmations, and with none; Min is at most Max
	Enough   int           // so many confirmations; 0 or less: none is needed, the wait is Min
}

// Remaining is how much of the wait is left with n confirmations, so long after the suspicion began: negative once it's over.
func (c Confirmation) Remaining(n int, elapsed time.Duration) time.Duration {
	if c.Enough <= 0 || n >= c.Enough {
		return c.Min - elapsed
	}
	share := math.Log(float64(max(n, 0)+1)) / math.Log(float64(c.Enough+1))
	return max(c.Min, c.Max-time.Duration(share*float64(c.Max-c.Min))) - elapsed
}
