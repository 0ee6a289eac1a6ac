package detector

import (
	"errors"
	"fmt"
	"time"
)

// Defaults of a Config, and the bounds that NewAccrual checks.
const (
	DefaultThreshold     = 8.0
	DefaultFirstEstimate = time.Second
	DefaultMinStdDev     = 100 * time.Millisecond
	DefaultWindow        = 1000

	maxThreshold = 1000.0
	maxDuration  = 24 * time.Hour
)

// Config describes a phi accrual detector. Its zero value is a working configuration: every zero field means its default.
type Config struct {
	// Threshold is the phi from which the watched thing is not available. Low finds failures fast and is wrong often;
	// 8 to 16 is typical, above 12 detection time grows and little else. Default 8, at most 1,000.
	Threshold float64

	// FirstEstimate is the expected interval between heartbeats. After the first one it stands in for what is not yet
	// known, as two samples a quarter above and below. Too short, and a slow starter is suspected at once. Default 1 s, at
	// most 24 h. Intervals that differ from it by more than 67 s count as if by 67 s.
	FirstEstimate time.Duration

	// MinStdDev is the least standard deviation that is believed. Too small, and after a run of very regular heartbeats a
	// garbage collection or a busy machine is a failure. Default 100 ms, at most 24 h.
	MinStdDev time.Duration

	// AcceptablePause is added to the mean: how much longer than usual a silence may be before suspicion begins to grow.
	// It is the knob for pauses of the sender and for lost heartbeats. Default 0, at most 24 h.
	AcceptablePause time.Duration

	// Window is how many intervals are remembered. Default 1,000, at most 4,000; each costs 4 bytes.
	Window int

	// Curve is Normal by default; Logistic for thresholds that were tuned for Akka.
	Curve Curve
}

// withDefaults returns the configuration with every zero field replaced.
func (c Config) withDefaults() Config {
	if c.Threshold == 0 {
		c.Threshold = DefaultThreshold
	}
	if c.FirstEstimate == 0 {
		c.FirstEstimate = DefaultFirstEstimate
	}
	if c.MinStdDev == 0 {
		c.MinStdDev = DefaultMinStdDev
	}
	if c.Window == 0 {
		c.Window = DefaultWindow
	}
	return c
}

// Validate reports every fault at once, each with its field and bound, and nil if there is none.
func (c Config) Validate() error {
	faults := []error{
		checkDuration("FirstEstimate", c.FirstEstimate),
		checkDuration("MinStdDev", c.MinStdDev),
		checkDuration("AcceptablePause", c.AcceptablePause),
		checkThreshold("Threshold", c.Threshold),
		checkCurve(c.Curve),
	}
	if c.Window < 0 || c.Window > maxWindow {
		faults = append(faults, fmt.Errorf("field Window is %d: must be between 0 (default) and %d", c.Window, maxWindow))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("detector: invalid config: %w", err)
	}
	return nil
}

func checkDuration(field string, d time.Duration) error {
	if d < 0 || d > maxDuration {
		return fmt.Errorf("%s is %v: must be between 0 (default) and %v", field, d, maxDuration)
	}
	return nil
}
