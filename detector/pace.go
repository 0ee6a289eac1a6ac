package detector

import (
	"math"
	"sync"
	"time"
)

// Defaults of a Pace.
const (
	// minLogDeviation is the least standard deviation of the logarithm that is believed: at phi 8 a silence is 17 times the usual, at phi 12 34 times.
	minLogDeviation = 0.5
	// fastMemory and slowMemory are over about how many intervals the two averages go.
	fastMemory = 16
	slowMemory = 512
)

// Pace learns how long work of one kind goes on from one sign of progress to the next, and says how suspicious a silence is. Where a heartbeat
// has a period, work has none: how long it takes spreads over orders of magnitude, never below zero and far to the right. So it is the logarithm of
// the intervals that counts as normally distributed, and phi of a silence is that of its logarithm:
//
//	phi = -log10 P(ln interval > ln silence), ln interval ~ N(mean, stddev²)
//
// Mean and variance are exponentially weighted over about 16 and about 512 intervals (plain averages until there are as many); of the
// two, the one that suspects less has the word. So it adapts to slower work fast, to faster work slowly.
//
// Work that is of two kinds, mostly quick and now and then long, is no lognormal distribution, and whoever ends what is suspicious never learns how long the
// long ones would have taken: only what survives is observed. So there is a [Pace.Patience] beside phi, which such an end raises: see [Pace.CutShort].
//
// The zero value has learned nothing yet. All methods may be called from any goroutine.
type Pace struct {
	mu         sync.Mutex
	samples    uint64
	fast, slow moments
	longest    float64 // interval of late, as the logarithm of its seconds
	known      bool    // there was one
}

// moments are of the logarithm of intervals in seconds.
type moments struct{ mean, variance float64 }

// add weighs a sample in (West: "Updating mean and variance estimates", 1979, with a constant weight).
func (m *moments) add(x, weight float64) {
	off := x - m.mean
	m.mean += weight * off
	m.variance = (1 - weight) * (m.variance + weight*off*off)
}

func (m moments) phi(x float64) float64 {
	return Normal.Phi((x - m.mean) / max(math.Sqrt(m.variance), minLogDeviation))
}

// Observe records that one sign of progress came so long after another. Zero and less is no interval.
func (p *Pace) Observe(interval time.Duration) {
	if interval <= 0 {
		return
	}
	x := math.Log(interval.Seconds())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.samples++
	p.fast.add(x, 1/float64(min(p.samples, fastMemory)))
	p.slow.add(x, 1/float64(min(p.samples, slowMemory)))
	p.lasted(x, math.Ln2/slowMemory)
}

// CutShort records that a silence was ended from outside after so long, because it was suspicious: nobody knows how long it would have gone on, so it
// counts as one that was twice as long, for the patience alone. Zero and less is no silence.
func (p *Pace) CutShort(silence time.Duration) {
	if silence <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lasted(math.Log(silence.Seconds())+math.Ln2, 0)
}

// lasted is told of each interval; the longest one fades meanwhile. The caller holds the lock.
func (p *Pace) lasted(x, fading float64) {
	if p.known {
		x = max(x, p.longest-fading)
	}
	p.longest, p.known = x, true
}

// Patience is how long a silence should be at least before phi counts against it: twice the longest interval of late (it fades by half in 512 intervals), so four times what
// was cut short last. If that was alive, the next one of its kind has more time; what hangs again and again takes four times as long to be noticed each time.
func (p *Pace) Patience() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		return 0
	}
	const most = float64(math.MaxInt64 / 2)
	return time.Duration(min(2*math.Exp(p.longest)*float64(time.Second), most))
}

// Phi is how suspicious a silence is: rising with it, 0 as long as nothing has been observed.
func (p *Pace) Phi(silence time.Duration) float64 {
	p.mu.Lock()
	samples, fast, slow := p.samples, p.fast, p.slow
	p.mu.Unlock()
	if samples == 0 || silence <= 0 {
		return 0
	}
	x := math.Log(silence.Seconds())
	return min(fast.phi(x), slow.phi(x))
}

// Samples is how many intervals have been observed.
func (p *Pace) Samples() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.samples
}
