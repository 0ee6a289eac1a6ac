package routing

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"
)

// Backoff is the delay before a task is tried again after a charged attempt: Min, and Factor times more with each one, up to Max.
// The zero value has the defaults.
type Backoff struct {
	// Min is the first delay. Default 100 ms.
	Min time.Duration
	// Max caps the delay. Default 10 s, or Min if that is longer.
	Max time.Duration
	// Factor is at least 1, and finite. Default 2.
	Factor float64
	// Jitter lengthens or shortens each delay by up to this fraction of it, below 1; which way depends on the task and its attempt
	// alone, so that a run can be repeated. Default 0.2; negative is none.
	Jitter float64
}

func (b Backoff) withDefaults() Backoff {
	if b.Min == 0 {
		b.Min = 100 * time.Millisecond
	}
	if b.Max == 0 {
		b.Max = max(10*time.Second, b.Min)
	}
	if b.Factor == 0 {
		b.Factor = 2
	}
	if b.Jitter == 0 {
		b.Jitter = 0.2
	}
	b.Jitter = max(b.Jitter, 0)
	return b
}

// faults reports what is wrong with a backoff that has its defaults.
func (b Backoff) faults() error {
	var faults []error
	if b.Min < 0 {
		faults = append(faults, fmt.Errorf("Backoff.Min is %v: it must be above 0", b.Min))
	}
	if b.Max < b.Min {
		faults = append(faults, fmt.Errorf("Backoff.Max is %v: it must be at least Min, %v", b.Max, b.Min))
	}
	if !(b.Factor >= 1 && b.Factor <= math.MaxFloat64) {
		faults = append(faults, fmt.Errorf("Backoff.Factor is %v: it must be at least 1, and finite", b.Factor))
	}
	if !(b.Jitter < 1) {
		faults = append(faults, fmt.Errorf("Backoff.Jitter is %v: it must be below 1", b.Jitter))
	}
	return errors.Join(faults...)
}

// delay is the backoff after the charged-th charged attempt of a task, from 1.
func (b Backoff) delay(charged int, id string, attempt int) time.Duration {
	d := float64(b.Min) * math.Pow(b.Factor, float64(charged-1))
	d = min(d, float64(b.Max))
	return time.Duration(min(d*(1+b.Jitter*spread(id, attempt)), float64(forever)))
}

// spread is a number from -1 to 1 that depends on task and attempt alone.
func spread(id string, attempt int) float64 {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(id))
	_, _ = hash.Write([]byte{byte(attempt), byte(attempt >> 8), byte(attempt >> 16)})
	mixed := hash.Sum64()
	mixed ^= mixed >> 33
	mixed *= 0xff51afd7ed558ccd
	mixed ^= mixed >> 33
	return float64(mixed>>11)/(1<<52) - 1
}
