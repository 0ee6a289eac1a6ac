package detector

import "time"

// Detector watches one thing. now is a reading of a monotonic clock, the same clock for all calls: time.Since(start), or
// a coarse one. All methods may be called from any goroutine.
type Detector interface {
	// Heartbeat records a sign of life. One that is not later than the last is dropped.
	Heartbeat(now time.Duration)
	// Phi is the present suspicion: 0 before the first heartbeat, finite always, rising while the silence lasts.
	Phi(now time.Duration) float64
	// Available says whether the thing counts as alive. Before the first heartbeat it does: nothing is known.
	Available(now time.Duration) bool
	// AvailableUntil is the reading from which it isn't, unless there is a heartbeat before: the largest there is if it isn't judged.
	AvailableUntil() time.Duration
	// Monitoring says whether there has been a heartbeat.
	Monitoring() bool
}
