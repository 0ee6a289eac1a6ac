package detector

import (
	"math"
	"math/bits"
	"time"
)

const (
	// maxWindow bounds the samples of a window, so that the sum of their squares fits 64 bits.
	maxWindow = 4000
	// maxDeviation is how far, in microseconds, a sample may be from the first estimate: 67 s. What is further counts as
	// that far.
	maxDeviation = 1 << 26
)

// window is the last so many intervals, as whole microseconds off an origin, with their exact sums. Sums of squares of
// nanoseconds would overflow; sums of floats would drift, and could make the variance negative.
type window struct {
	origin  time.Duration
	samples []int32 // a ring; grows up to its capacity, then overwrites the oldest
	next    int
	limit   int
	sum     int64
	squares uint64
}

func newWindow(limit int, origin time.Duration) window {
	return window{origin: origin, limit: limit}
}

// add records an interval, and forgets the oldest if the window is full.
func (w *window) add(interval time.Duration) {
	d := w.deviation(interval)
	if len(w.samples) < w.limit {
		w.samples = append(w.samples, d)
	} else {
		old := int64(w.samples[w.next])
		w.sum -= old
		w.squares -= uint64(old * old)
		w.samples[w.next] = d
		if w.next++; w.next == w.limit {
			w.next = 0
		}
	}
	w.sum += int64(d)
	w.squares += uint64(int64(d) * int64(d))
}

// deviation rounds to the nearest microsecond, half away from zero.
func (w *window) deviation(interval time.Duration) int32 {
	const limit = maxDeviation * time.Microsecond
	d := min(max(saturatingSub(interval, w.origin), -limit), limit)
	return int32(d.Round(time.Microsecond) / time.Microsecond)
}

// mean is in nanoseconds, 0 without samples.
func (w *window) mean() float64 {
	if len(w.samples) == 0 {
		return 0
	}
	return float64(w.origin) + 1000*float64(w.sum)/float64(len(w.samples))
}

// stddev of the population is in nanoseconds. n·Σd² - (Σd)² is computed in 128 bits: exact, so never negative.
func (w *window) stddev() float64 {
	n := uint64(len(w.samples))
	if n == 0 {
		return 0
	}
	magnitude := uint64(max(w.sum, -w.sum))
	aHigh, aLow := bits.Mul64(n, w.squares)
	bHigh, bLow := bits.Mul64(magnitude, magnitude)
	low, borrow := bits.Sub64(aLow, bLow, 0)
	high, _ := bits.Sub64(aHigh, bHigh, borrow)
	return 1000 * math.Sqrt(float64(high)*(1<<64)+float64(low)) / float64(n)
}

// saturatingSub and saturatingAdd keep absurd clock readings from turning round.
func saturatingSub(a, b time.Duration) time.Duration {
	d := a - b
	if b < 0 && d < a {
		return math.MaxInt64
	}
	if b > 0 && d > a {
		return math.MinInt64
	}
	return d
}

func saturatingAdd(a, b time.Duration) time.Duration {
	s := a + b
	if b > 0 && s < a {
		return math.MaxInt64
	}
	if b < 0 && s > a {
		return math.MinInt64
	}
	return s
}
