package detector

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Defaults of an AdaptiveConfig that do not depend on the interval.
const (
	DefaultInterval     = time.Second
	DefaultMistakeEvery = 24 * time.Hour
)

// NoPause, as a pause, is a pause of zero: the zero value means the default.
const NoPause time.Duration = -1

// AdaptiveConfig describes an adaptive detector. Its zero value is a working configuration, for heartbeats that come over
// a network once a second: every zero field means its default. The interval is the field that matters.
type AdaptiveConfig struct {
	// Threshold is the phi from which the watched thing is not available. Default 8, at most 1,000.
	Threshold float64

	// Interval is how far apart heartbeats are meant to be, unless a heartbeat declares its own period. What is learned is
	// how much later than that they come. Until something has been learned, they are assumed to come on time, give or take
	// a quarter. Default 1 s, at most 24 h.
	Interval time.Duration

	// MinStdDev is the least standard deviation that is believed. Default a tenth of the interval, at most 24 h.
	MinStdDev time.Duration

	// Pause is how much later than usual a heartbeat may be before suspicion begins to grow; the detector begins with it and
	// learns a better one between MinPause and MaxPause. A pause that is fixed has all three equal. Defaults 3, 1 and 10
	// intervals, or what of them is nearest within the bounds that are given. A Pause of NoPause is fixed. At most 24 h.
	Pause, MinPause, MaxPause time.Duration

	// MistakeEvery is how often the detector may be wrong: whenever a heartbeat refutes a suspicion the pause grows by 28 %,
	// and it shrinks by as much in this time, so that it settles where mistakes come that often. Learning is slow, of the
	// order of this time. Default 24 h, at least 1 s, at most 10,000 h.
	MistakeEvery time.Duration

	// MaxLateness is a limit to all learning: a heartbeat that is later than this is missing. Default 14 intervals, but not
	// below MaxPause + 4 intervals; at most 1,000 h.
	MaxLateness time.Duration

	// Curve is Normal by default.
	Curve Curve
}

const (
	minMistakeEvery = time.Second
	maxMistakeEvery = 10_000 * time.Hour
	maxLateness     = 1000 * time.Hour
	pauseStep       = 0.25 // the logarithm of the pause grows by it at each mistake
)

// withDefaults returns the configuration with every zero field replaced, and NoPause where a pause is 0.
func (c AdaptiveConfig) withDefaults() AdaptiveConfig {
	if c.Threshold == 0 {
		c.Threshold = DefaultThreshold
	}
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.MinStdDev == 0 {
		c.MinStdDev = max(1, c.Interval/10)
	}
	if c.Pause == NoPause && c.MaxPause == 0 {
		c.MaxPause = NoPause // nothing grows from 0
	}
	if c.MinPause == 0 {
		c.MinPause = lesser(lesser(c.Interval, c.Pause), c.MaxPause)
	}
	if c.MaxPause == 0 {
		c.MaxPause = max(min(10*c.Interval, maxDuration), c.Pause, c.MinPause)
	}
	if c.Pause == 0 {
		c.Pause = max(min(3*c.Interval, c.MaxPause), c.MinPause)
	}
	if c.MistakeEvery == 0 {
		c.MistakeEvery = DefaultMistakeEvery
	}
	if c.MaxLateness == 0 {
		c.MaxLateness = max(14*c.Interval, c.MaxPause+4*c.Interval)
	}
	if c.MaxLateness > maxLateness {
		c.MaxLateness = maxLateness
	}
	return c
}

// lesser is the lesser of a and b, where a b of 0 is none.
func lesser(a, b time.Duration) time.Duration {
	if b == 0 {
		return a
	}
	return min(a, b)
}

// Validate reports every fault at once, each with its field and bound, and nil if there is none.
func (c AdaptiveConfig) Validate() error {
	if err := errors.Join(c.faults()...); err != nil {
		return fmt.Errorf("detector: invalid config: %w", err)
	}
	return nil
}

func (c AdaptiveConfig) faults() []error {
	faults := []error{
		checkDuration("Interval", c.Interval),
		checkDuration("MinStdDev", c.MinStdDev),
		checkPause("Pause", c.Pause),
		checkPause("MinPause", c.MinPause),
		checkPause("MaxPause", c.MaxPause),
		checkThreshold("Threshold", c.Threshold),
		checkCurve(c.Curve),
	}
	if c.MistakeEvery != 0 && (c.MistakeEvery < minMistakeEvery || c.MistakeEvery > maxMistakeEvery) {
		faults = append(faults, fmt.Errorf("MistakeEvery is %v: must be 0 (default), or between %v and %v", c.MistakeEvery, minMistakeEvery, maxMistakeEvery))
	}
	if c.MaxLateness < 0 || c.MaxLateness > maxLateness {
		faults = append(faults, fmt.Errorf("MaxLateness is %v: must be between 0 (default) and %v", c.MaxLateness, maxLateness))
	}
	d := c.withDefaults()
	if d.MinPause > d.Pause {
		faults = append(faults, fmt.Errorf("MinPause is %v: must be at most Pause, %v", d.MinPause, d.Pause))
	}
	if d.Pause > d.MaxPause {
		faults = append(faults, fmt.Errorf("MaxPause is %v: must be at least Pause, %v", d.MaxPause, d.Pause))
	}
	return faults
}

func checkPause(field string, d time.Duration) error {
	if d == NoPause {
		return nil
	}
	return checkDuration(field, d)
}

func checkThreshold(field string, phi float64) error {
	if math.IsNaN(phi) || phi < 0 || phi > maxThreshold {
		return fmt.Errorf("%s is %v: must be between 0 (default) and %v", field, phi, maxThreshold)
	}
	return nil
}

func checkCurve(c Curve) error {
	if c > Logistic {
		return fmt.Errorf("Curve is %d: must be Normal or Logistic", c)
	}
	return nil
}

// settings is a configuration made ready for use: immutable, shared by all detectors that have it. Times are nanoseconds.
type settings struct {
	config      AdaptiveConfig
	curve       Curve
	suspect     float64 // phi
	zFail       float64 // z at the threshold
	zSuspect    float64 // z at suspect
	interval    float64
	minVariance float64
	firstSpread float64 // variance that is assumed before the first interval
	minPause    float64
	maxPause    float64
	decay       float64       // of the pause, per nanosecond
	rebase      time.Duration // after which the pause is written down again: until then 1-x is e^-x, to 1e-4
	maxLateness float64
}

// newSettings takes a valid configuration. A suspect of 0 is the threshold.
func newSettings(c AdaptiveConfig, suspect float64) *settings {
	c = c.withDefaults()
	s := &settings{config: c, curve: c.Curve, suspect: suspect, zFail: c.Curve.Z(c.Threshold), interval: float64(c.Interval)}
	if suspect == 0 {
		s.suspect = c.Threshold
	}
	s.zSuspect = c.Curve.Z(s.suspect)
	s.minVariance = float64(c.MinStdDev) * float64(c.MinStdDev)
	s.firstSpread = s.interval * s.interval / 16
	s.minPause, s.maxPause = float64(max(0, c.MinPause)), float64(max(0, c.MaxPause))
	s.decay, s.rebase = pauseStep/float64(c.MistakeEvery), c.MistakeEvery/16
	s.maxLateness = float64(c.MaxLateness)
	return s
}

// bounded is a pause within the bounds.
func (s *settings) bounded(pause float64) float64 { return min(max(pause, s.minPause), s.maxPause) }

// firstPause is what the detector begins with.
func (s *settings) firstPause() float64 { return float64(max(0, s.config.Pause)) }
