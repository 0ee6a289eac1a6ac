package strategies

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// DefaultMaxDelay is the cap of a [Backoff] whose Max is 0, unless Initial is longer.
const DefaultMaxDelay = 30 * time.Second

// Backoff is the wait before a restart, as a function of how many there were in a row:
//
//	delay(n) = min(Max, (Initial + (n-1)·Step) · Factor^(n-1)) · (1 - Jitter·random)
//
// The zero value is no wait at all. [Fixed], [Linear] and [Exponential] set the fields that make their shape; Jitter and ResetAfter
// can be set on what they return. It is a plain comparable value; its methods may be called from any goroutine.
type Backoff struct {
	// Initial is the first delay.
	Initial time.Duration
	// Step is added from one delay to the next.
	Step time.Duration
	// Factor multiplies from one delay to the next: 1.01 to 100, or 1 for no growth. 0 means 1.
	Factor float64
	// Max is the cap. 0 means DefaultMaxDelay, or Initial where that is longer.
	Max time.Duration
	// Jitter is the fraction of each delay, 0 to 1, that is left to chance. It only ever shortens: children whose delays have
	// reached Max are spread out like any others.
	Jitter float64
	// ResetAfter is the quiet time, without any failure, after which the count starts anew. 0 means twice Max, at least 5 s.
	ResetAfter time.Duration
}

// NoBackoff is the zero Backoff: restarts are immediate.
func NoBackoff() Backoff { return Backoff{} }

// Fixed waits d before every restart.
func Fixed(d time.Duration) Backoff { return Backoff{Initial: d, Max: d} }

// Linear waits step, 2·step, 3·step … up to max.
func Linear(step, max time.Duration) Backoff { return Backoff{Initial: step, Step: step, Max: max} }

// Exponential waits initial, 2·initial, 4·initial … up to max. Set Factor on the result for a growth other than doubling.
func Exponential(initial, max time.Duration) Backoff {
	return Backoff{Initial: initial, Factor: 2, Max: max}
}

// IsNone reports whether the Backoff never waits.
func (b Backoff) IsNone() bool { return b.Initial <= 0 && b.Step <= 0 }

// Delay returns the wait before restart number attempt of a row; attempt 1 is the first. random in [0, 1) is the caller's dice, used
// only for Jitter: the result lies between (1-Jitter)·delay and delay. It is never negative and never above the cap, and without
// jitter it never falls as attempt rises, whatever the arguments.
func (b Backoff) Delay(attempt int, random float64) time.Duration {
	if b.IsNone() {
		return 0
	}
	n := float64(max(attempt, 1) - 1)
	delay := (float64(max(b.Initial, 0)) + n*float64(max(b.Step, 0))) * math.Pow(b.factor(), n)
	limit := b.maxDelay()
	if !(delay < float64(limit)) { // too long, infinite, or 0·∞
		delay = float64(limit)
	}
	delay -= delay * fraction(b.Jitter) * fraction(random)
	if delay >= float64(limit) { // as a float the longest limits are rounded up, out of what a Duration can hold
		return limit
	}
	return time.Duration(math.Round(delay))
}

// QuietTime is how long there must be no failure for the count of attempts to start anew: ResetAfter, or its default.
func (b Backoff) QuietTime() time.Duration {
	if b.ResetAfter > 0 {
		return b.ResetAfter
	}
	limit := b.maxDelay()
	if limit > math.MaxInt64/2 {
		return math.MaxInt64
	}
	return max(2*limit, DefaultWindow)
}

// WithDefaults returns a copy in which every zero field has the value it stands for. A Backoff that never waits stays as it is.
func (b Backoff) WithDefaults() Backoff {
	if b.IsNone() {
		return b
	}
	b.Factor, b.Max, b.ResetAfter = b.factor(), b.maxDelay(), b.QuietTime()
	return b
}

// Validate returns every fault, each a [*FieldError], joined; nil if there is none. The methods tolerate a faulty Backoff.
func (b Backoff) Validate() error { return errors.Join(b.faults("")...) }

// String describes the Backoff, for logs: "none", "fixed 2s", "linear 100ms up to 1s", "exponential 100ms up to 30s, jitter 0.2".
func (b Backoff) String() string {
	if b.IsNone() {
		return "none"
	}
	var s strings.Builder
	switch {
	case b.factor() > 1:
		fmt.Fprintf(&s, "exponential %v up to %v", b.Initial, b.maxDelay())
	case b.Step > 0:
		fmt.Fprintf(&s, "linear %v up to %v", b.Initial, b.maxDelay())
	default:
		fmt.Fprintf(&s, "fixed %v", b.Initial)
	}
	if b.Jitter > 0 {
		fmt.Fprintf(&s, ", jitter %v", b.Jitter)
	}
	return s.String()
}

func (b Backoff) faults(prefix string) (faults []error) {
	check := func(ok bool, field string, value any, bound string) {
		if !ok {
			faults = append(faults, &FieldError{prefix + field, value, bound})
		}
	}
	check(b.Initial >= 0, "Initial", b.Initial, "0 or more")
	check(b.Step >= 0, "Step", b.Step, "0 or more")
	check(b.Factor == 0 || b.Factor == 1 || b.Factor >= 1.01 && b.Factor <= 100, "Factor", b.Factor, "0 or 1 (for no growth) or 1.01 to 100")
	check(b.Max >= 0, "Max", b.Max, "0 (for a default) or more")
	check(b.Max <= 0 || b.Max >= b.Initial, "Max", b.Max, fmt.Sprintf("at least Initial, %v", b.Initial))
	check(b.Jitter >= 0 && b.Jitter <= 1, "Jitter", b.Jitter, "0 to 1")
	check(b.ResetAfter >= 0, "ResetAfter", b.ResetAfter, "0 (for a default) or more")
	return faults
}

func (b Backoff) factor() float64 {
	if b.Factor > 1 {
		return b.Factor
	}
	return 1
}

func (b Backoff) maxDelay() time.Duration {
	if b.Max > 0 {
		return b.Max
	}
	return max(DefaultMaxDelay, b.Initial)
}

// fraction limits f to [0, 1]; a NaN is 0.
func fraction(f float64) float64 {
	if !(f > 0) {
		return 0
	}
	return min(f, 1)
}
