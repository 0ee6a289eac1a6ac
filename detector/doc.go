// Package detector tells a dead or hung thing from a slow one by the heartbeats it sends.
//
// A fixed timeout answers with yes or no, and is wrong for every thing but the one it was tuned for. The phi accrual
// detector (Hayashibara, Défago, Yared, Katayama: "The φ Accrual Failure Detector", 2004) learns how the intervals
// between heartbeats are distributed and answers with a level of suspicion:
//
//	phi = -log10(probability that a heartbeat is still to come after so long a silence)
//
// At phi 1 a suspicion is wrong one time in ten, at 8 one time in a hundred million, if the intervals are normally
// distributed. Where phi crosses the threshold depends on how regular the heartbeats have been.
//
//	node, err := detector.NewAccrual(detector.Config{AcceptablePause: 3 * time.Second})
//	start := time.Now()
//	...
//	node.Heartbeat(time.Since(start)) // whenever a sign of life arrives
//	...
//	if !node.Available(time.Since(start)) {
//		// suspected
//	}
//
// Time is an argument everywhere: a reading of any monotonic clock, since any origin. The package reads no clock, starts
// no goroutine and owns no timer.
//
// # What it promises
//
// Phi is never NaN, never infinite, and rises while the silence lasts. Its tail is that of the normal distribution,
// to an error of 1e-8 (or the resolution of a float64, where that is coarser) up to a million standard deviations; the
// usual formulas are 40 % off at phi 8 or overflow. The statistics are exact integers over a bounded window: no drift, and
// no negative variance.
//
// # What it cannot promise
//
// A heartbeat must mean progress. One sent by a ticker beside the work says that the ticker lives.
package detector
