package detector

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// Deadline is a detector with a fixed limit: available until interval + pause after the last heartbeat. It learns
// nothing. See Detector for its methods.
type Deadline struct {
	limit    time.Duration
	deadline atomic.Int64
}

var _ Detector = (*Deadline)(nil)

// NewDeadline makes a detector that allows heartbeats to be interval + pause apart. The interval must be positive, the
// pause not negative, and both at most 24 h.
func NewDeadline(interval, pause time.Duration) (*Deadline, error) {
	faults := []error{checkDuration("interval", interval), checkDuration("pause", pause)}
	if interval == 0 {
		faults = append(faults, errors.New("interval is 0: must be positive"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("detector: invalid deadline: %w", err)
	}
	d := &Deadline{limit: interval + pause}
	d.deadline.Store(never)
	return d, nil
}

// Heartbeat records a sign of life. One that is not later than the last is dropped.
func (d *Deadline) Heartbeat(now time.Duration) {
	next := min(never-1, int64(saturatingAdd(now, d.limit)))
	for {
		old := d.deadline.Load()
		if old != never && next <= old || d.deadline.CompareAndSwap(old, next) {
			return
		}
	}
}

// Phi is a step: 0 while available, the largest phi there is afterwards.
func (d *Deadline) Phi(now time.Duration) float64 {
	if d.Available(now) {
		return 0
	}
	return Normal.Phi(math.Inf(1))
}

// Available says whether the last heartbeat is less than interval + pause ago.
func (d *Deadline) Available(now time.Duration) bool { return int64(now) < d.deadline.Load() }

// AvailableUntil is the reading from which Available is false, unless there is a heartbeat before.
func (d *Deadline) AvailableUntil() time.Duration { return time.Duration(d.deadline.Load()) }

// Monitoring says whether there has been a heartbeat.
func (d *Deadline) Monitoring() bool { return d.deadline.Load() != never }
