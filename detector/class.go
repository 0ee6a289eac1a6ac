package detector

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// DefaultSuspect is the phi from which a watched thing is suspected, before it counts as failed.
const DefaultSuspect = 5.0

// ClassConfig describes a class of watched things. Its zero value is a working configuration.
type ClassConfig struct {
	// Detector is how each of them is judged. Its Threshold is the phi from which a thing has failed.
	Detector AdaptiveConfig

	// Suspect is the phi from which it is suspected. Default 5, or the threshold if that is lower; at most the threshold.
	Suspect float64

	// Inherit gives what a thing has learned to the class when it is closed, and what the class has learned to new things. It
	// is for things that live shorter than learning takes, such as streams. What is learned from a closed thing counts for a
	// sixteenth.
	Inherit bool
}

func (c ClassConfig) withDefaults() ClassConfig {
	c.Detector = c.Detector.withDefaults()
	if c.Suspect == 0 {
		c.Suspect = min(DefaultSuspect, c.Detector.Threshold)
	}
	return c
}

// Validate reports every fault at once, each with its field and bound, and nil if there is none.
func (c ClassConfig) Validate() error {
	faults := append(c.Detector.faults(), checkThreshold("Suspect", c.Suspect))
	if d := c.withDefaults(); d.Suspect > d.Detector.Threshold {
		faults = append(faults, fmt.Errorf("field Suspect is %v: must be at most Threshold, %v", d.Suspect, d.Detector.Threshold))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("detector: invalid config: %w", err)
	}
	return nil
}

// Class is a kind of things that a Registry watches: they share a configuration, which can be changed while they are watched.
// Safe for use from any goroutine.
type Class struct {
	registry *Registry
	settings atomic.Pointer[settings]
	inherit  atomic.Bool

	configuring sync.Mutex // held by Configure, so that two changes don't mix

	mu     sync.Mutex // guards what follows
	closed int        // things that were learned from, up to legacyMemory
	legacy estimate
	pause  float64 // that new things begin with; 0 if none was learned
}

// legacyMemory is how many closed things count.
const legacyMemory = 16

// legacyHeartbeats is how many heartbeats a thing must have had for the class to learn from it.
const legacyHeartbeats = 4

// Config is the configuration in force, defaults filled in.
func (c *Class) Config() ClassConfig {
	s := c.settings.Load()
	return ClassConfig{Detector: s.config, Suspect: s.suspect, Inherit: c.inherit.Load()}
}

// Configure changes the configuration of the class and of everything in it that is watched. What has been learned stays, within
// the new bounds; silences that last are judged anew at the next sweep. It takes a time that grows with the registry.
func (c *Class) Configure(cfg ClassConfig) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	c.configuring.Lock()
	defer c.configuring.Unlock()
	s := cfg.settings()
	c.settings.Store(s)
	c.inherit.Store(cfg.Inherit)
	c.registry.reconfigure(c, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pause > 0 {
		c.pause = s.bounded(c.pause)
	}
	return nil
}

func (c ClassConfig) settings() *settings {
	c = c.withDefaults()
	return newSettings(c.Detector, c.Suspect)
}

// bequeath learns from a thing that is closed. It began with the given pause.
func (c *Class) bequeath(v view, firstPause float64) {
	if !c.inherit.Load() || v.count < legacyHeartbeats {
		return
	}
	mean, _ := v.spread()
	variance := max(v.fast.variance, v.slow.variance)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed == 0 {
		c.legacy = estimate{mean, variance}
	}
	c.closed = min(c.closed+1, legacyMemory)
	weight := 1 / float64(c.closed)
	c.legacy = c.legacy.add(mean, weight)
	c.legacy.variance += weight * variance
	if firstPause > 0 {
		if c.pause == 0 {
			c.pause = firstPause
		}
		// Each thing's mistakes, and the time it was watched, move the pause of the class as they moved its own.
		c.pause = v.settings.bounded(c.pause * v.acceptable() / firstPause)
	}
}

// endow gives a new thing what the class has learned, and returns the pause that it begins with.
func (c *Class) endow(v *view) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inherit.Load() && c.closed > 0 {
		v.fast, v.slow = c.legacy, c.legacy
		if c.pause > 0 {
			v.pause = float32(v.settings.bounded(c.pause))
		}
	}
	return float64(v.pause)
}
