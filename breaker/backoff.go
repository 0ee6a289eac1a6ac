package breaker

import (
	"math"
	"time"
)

const (
	maxFactor        = 100
	maxResetMultiple = 10
)

// Backoff lets the reset timeout grow while the dependency stays down. Its zero value is off: every open period takes
// ResetTimeout exactly.
//
// The first open period after a closed one takes ResetTimeout, and each time a probe fails the next one takes Factor
// times as long, up to Max; closing starts again. Jitter then adds a random part, so that many processes that lost the
// same dependency together don't come back together. It only adds: nobody comes back sooner than ResetTimeout.
// A time that was asked for (TripFor) is neither grown nor jittered, and does not grow the next.
type Backoff struct {
	Factor float64       // 0 and 1 don't grow; at most 100
	Max    time.Duration // before jitter. Default ten times ResetTimeout; at least ResetTimeout
	Jitter float64       // part of the time that is added at most: 0.2 is up to 20 %. From 0 to 1
}

// reset is the reset timeout of the open period that comes after so many failed half-open ones. random is from 0 to 1.
func (b Backoff) reset(base time.Duration, reopened uint32, random float64) time.Duration {
	d := float64(base)
	if b.Factor > 1 {
		d = min(d*math.Pow(b.Factor, float64(reopened)), float64(max(b.Max, base)))
	}
	d += d * b.Jitter * random
	return time.Duration(d)
}

func (b Backoff) validate(base time.Duration, fault func(format string, args ...any)) {
	if !(b.Factor == 0 || b.Factor >= 1 && b.Factor <= maxFactor) {
		fault("Backoff.Factor is %v: must be 0 (off), or between 1 and %d", b.Factor, maxFactor)
	}
	if !(b.Jitter >= 0 && b.Jitter <= 1) {
		fault("Backoff.Jitter is %v: must be between 0 and 1", b.Jitter)
	}
	if b.Max != 0 && (b.Max < base || b.Max > maxDuration) {
		fault("Backoff.Max is %v: must be 0 (default), or between ResetTimeout, %v, and %v", b.Max, base, maxDuration)
	}
}
