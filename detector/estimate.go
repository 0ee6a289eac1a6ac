package detector

import "math"

// estimate is an exponentially weighted mean and variance, of how much later than expected heartbeats come, in
// nanoseconds. Forgetting forgets rounding errors too: it doesn't drift. The variance is a weighted mean of squares: never
// negative.
type estimate struct{ mean, variance float64 }

// The two estimates of a detector: the fast one follows a change within some 16 heartbeats, the slow one doesn't forget a
// rough patch for some 512. The larger of each counts.
const (
	fastWeight = 1.0 / 16
	slowWeight = 1.0 / 512
)

// An outlier counts as if it were outlierLimit deviations off: one long pause must not make the detector blind to the next. More of
// them in a row, all above or all below, wait until it's clear what they are: at shiftAfter they are the rule, and the estimates start
// again from there; if there are fewer, they are forgotten.
const (
	outlierLimit = 4.0
	shiftAfter   = 8
)

// add takes in a sample with the given weight (West, "Updating Mean and Variance Estimates", 1979).
func (e estimate) add(x, weight float64) estimate {
	d := x - e.mean
	return estimate{e.mean + weight*d, (1 - weight) * (e.variance + weight*d*d)}
}

func (e estimate) pack() uint64 { return pair(e.mean, e.variance) }

func unpackEstimate(w uint64) estimate {
	mean, variance := unpair(w)
	return estimate{mean, variance}
}

// weights are those of the (count+1)th sample: while there are few samples, each counts as much as the others, and what was
// assumed before the first counts as two.
func weights(count uint16) (fast, slow float64) {
	if count >= 1/slowWeight-2 {
		return fastWeight, slowWeight
	}
	plain := 1 / float64(count+2)
	return max(plain, fastWeight), max(plain, slowWeight)
}

// spread is the mean and standard deviation in force.
func (v *view) spread() (mean, stddev float64) {
	return max(v.fast.mean, v.slow.mean), math.Sqrt(max(v.fast.variance, v.slow.variance, v.settings.minVariance))
}

// learn takes in how much later than expected a heartbeat came.
func (v *view) learn(late float64) {
	late = min(max(late, -float64(maxLateness)), float64(maxLateness))
	_, stddev := v.spread()
	margin := outlierLimit * stddev
	high, low := max(v.fast.mean, v.slow.mean)+margin, min(v.fast.mean, v.slow.mean)-margin
	switch {
	case late > high:
		if v.outlier(late, 1) > 1 {
			return
		}
		late = high
	case late < low:
		if v.outlier(late, -1) > 1 {
			return
		}
		late = low
	default:
		v.run = 0
	}
	fast, slow := weights(v.count)
	v.fast, v.slow = v.fast.add(late, fast), v.slow.add(late, slow)
}

// outlier notes one more on that side of the mean, and returns how many there have been in a row.
func (v *view) outlier(late float64, side int8) int8 {
	n := v.run*side + 1
	if n <= 1 {
		v.run, v.runMean = side, late
		return 1
	}
	v.run = n * side
	v.runMean += (late - v.runMean) / float64(n)
	if n == shiftAfter {
		quarter := (v.runMean - v.slow.mean) / 4
		v.fast = estimate{v.runMean, quarter * quarter}
		v.slow = v.fast
		v.run, v.count = 0, shiftAfter/2
	}
	return n
}
