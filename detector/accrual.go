package detector

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// never is the deadline of a thing that has not yet sent a heartbeat.
const never = math.MaxInt64

// Accrual is the phi accrual detector. See Detector for its methods; Available costs one load and one compare.
type Accrual struct {
	cfg       Config
	tolerance float64      // z at the threshold
	deadline  atomic.Int64 // from when on the thing is not available; never before the first heartbeat

	mu     sync.Mutex // guards what follows
	last   time.Duration
	window window
	mean   float64 // of the window, in nanoseconds, without the acceptable pause
	stddev float64 // of the window, in nanoseconds, at least MinStdDev
}

var _ Detector = (*Accrual)(nil)

// NewAccrual makes a detector that has heard nothing yet. The error names every fault of the configuration.
func NewAccrual(cfg Config) (*Accrual, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	d := &Accrual{cfg: cfg, tolerance: cfg.Curve.Z(cfg.Threshold), window: newWindow(cfg.Window, cfg.FirstEstimate)}
	d.deadline.Store(never)
	return d, nil
}

// Config is the configuration in force, defaults filled in.
func (d *Accrual) Config() Config { return d.cfg }

// Heartbeat records a sign of life. The interval that ends a suspicion is not learned from: one long pause would make
// the detector blind to the next.
func (d *Accrual) Heartbeat(now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch deadline := d.deadline.Load(); {
	case deadline == never:
		quarter := d.cfg.FirstEstimate / 4
		d.window.add(d.cfg.FirstEstimate - quarter)
		d.window.add(d.cfg.FirstEstimate + quarter)
	case now <= d.last:
		return
	case int64(now) < deadline:
		d.window.add(saturatingSub(now, d.last))
	}
	d.last = now
	d.mean = d.window.mean()
	d.stddev = max(d.window.stddev(), float64(d.cfg.MinStdDev))
	patience := d.mean + float64(d.cfg.AcceptablePause) + d.tolerance*d.stddev
	d.deadline.Store(min(never-1, int64(saturatingAdd(now, time.Duration(math.Ceil(patience))))))
}

// Phi is the present suspicion.
func (d *Accrual) Phi(now time.Duration) float64 {
	if !d.Monitoring() {
		return 0
	}
	d.mu.Lock()
	last, mean, stddev := d.last, d.mean, d.stddev
	d.mu.Unlock()
	elapsed := float64(saturatingSub(now, last)) - float64(d.cfg.AcceptablePause)
	return d.cfg.Curve.Phi((elapsed - mean) / stddev)
}

// Available says whether phi is below the threshold, to the nanosecond in which it crosses.
func (d *Accrual) Available(now time.Duration) bool { return int64(now) < d.deadline.Load() }

// AvailableUntil is the reading from which Available is false, unless there is a heartbeat before.
func (d *Accrual) AvailableUntil() time.Duration { return time.Duration(d.deadline.Load()) }

// Monitoring says whether there has been a heartbeat.
func (d *Accrual) Monitoring() bool { return d.deadline.Load() != never }

// Stats is what a detector has learned.
type Stats struct {
	Samples int           // intervals in the window, the two that stand for the first estimate included
	Mean    time.Duration // of the intervals
	StdDev  time.Duration // of the intervals, as measured: MinStdDev is not applied
	Last    time.Duration // clock reading of the last heartbeat
}

// Stats is zero before the first heartbeat.
func (d *Accrual) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{
		Samples: len(d.window.samples),
		Mean:    time.Duration(math.Round(d.window.mean())),
		StdDev:  time.Duration(math.Round(d.window.stddev())),
		Last:    d.last,
	}
}
