package detector

import (
	"math"
	"time"
)

// Adaptive is the phi accrual detector to use by default: 64 bytes, without locks, for heartbeats at any rate. It follows the rhythm of the
// heartbeats by two estimates, one that follows fast and one that forgets slowly; it learns how much of a pause to accept from
// its own mistakes; it knows heartbeats that declare their period. See Detector for its methods; Available costs one load and
// one compare.
//
// A heartbeat that comes while another is being recorded is dropped: nobody ever waits to report a sign of life.
type Adaptive struct{ line line }

var _ Detector = (*Adaptive)(nil)

// NewAdaptive makes a detector that has heard nothing yet. The error names every fault of the configuration.
func NewAdaptive(cfg AdaptiveConfig) (*Adaptive, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	d := new(Adaptive)
	d.line.reset(newSettings(cfg, 0))
	return d, nil
}

// Config is the configuration in force, defaults filled in.
func (d *Adaptive) Config() AdaptiveConfig { return d.line.settings.Load().config }

// Configure changes the configuration while the detector runs. What has been learned stays, within the new bounds; the
// silence that lasts is judged anew.
func (d *Adaptive) Configure(cfg AdaptiveConfig) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	d.line.configure(newSettings(cfg, 0))
	return nil
}

// Heartbeat records a sign of life. One that is not later than the last is dropped.
func (d *Adaptive) Heartbeat(now time.Duration) { d.line.beat(now, 0) }

// HeartbeatEvery records a sign of life of a sender that says when its next is due: after period. A sender that changes
// its rate is not suspected for it. A period of 0 or less declares nothing; one above 24 h counts as 24 h.
func (d *Adaptive) HeartbeatEvery(now, period time.Duration) { d.line.beat(now, period) }

// Phi is the present suspicion. Beyond MaxLateness it is at least the threshold.
func (d *Adaptive) Phi(now time.Duration) float64 {
	v := d.line.read()
	return v.phi(now)
}

// Available says whether phi is below the threshold, to the nanosecond in which it crosses.
func (d *Adaptive) Available(now time.Duration) bool { return int64(now) < d.line.deadline.Load() }

// Monitoring says whether there has been a heartbeat.
func (d *Adaptive) Monitoring() bool { return unpackHeader(d.line.header.Load()).count > 0 }

// Suspend stops judging until Resume: the thing is available, and phi is 0. Heartbeats are dropped meanwhile.
func (d *Adaptive) Suspend() { d.line.suspend() }

// Resume judges again, as if there had been a heartbeat now. Without a Suspend before it does nothing.
func (d *Adaptive) Resume(now time.Duration) { d.line.resume(now) }

// AdaptiveStats is what an adaptive detector has learned.
type AdaptiveStats struct {
	Heartbeats int           // so far, up to 1,023; fewer after a change of rhythm
	Mean       time.Duration // of the intervals, as expected after the last heartbeat
	StdDev     time.Duration // of the intervals; MinStdDev is applied
	Pause      time.Duration // that is accepted on top
	Last       time.Duration // clock reading of the last heartbeat
	Suspended  bool
}

// Stats is zero before the first heartbeat.
func (d *Adaptive) Stats() AdaptiveStats {
	v := d.line.read()
	return v.stats()
}

func (v *view) stats() AdaptiveStats {
	if v.count == 0 {
		return AdaptiveStats{Suspended: v.suspended}
	}
	mean, stddev := v.spread()
	return AdaptiveStats{
		Heartbeats: int(v.count),
		Mean:       time.Duration(math.Round(v.due() + mean)),
		StdDev:     time.Duration(math.Round(stddev)),
		Pause:      time.Duration(math.Round(v.acceptable())),
		Last:       v.last,
		Suspended:  v.suspended,
	}
}

// reset forgets everything.
func (l *line) reset(s *settings) {
	l.update(func(v *view) {
		*v = view{header: header{sequence: v.sequence, pause: float32(s.firstPause())}, deadline: never, settings: s}
		v.fast.variance, v.slow.variance = s.firstSpread, s.firstSpread
	})
}

func (l *line) configure(s *settings) {
	l.update(func(v *view) {
		pause := v.acceptable()
		if v.count == 0 {
			pause = s.firstPause()
			v.fast.variance, v.slow.variance = s.firstSpread, s.firstSpread
		}
		v.settings = s
		v.setPause(min(max(pause, s.minPause), s.maxPause))
		v.decide()
	})
}

func (l *line) suspend() {
	l.update(func(v *view) {
		v.suspended = true
		v.decide()
	})
}

func (l *line) resume(now time.Duration) {
	l.update(func(v *view) {
		if !v.suspended {
			return
		}
		v.suspended = false
		if v.count > 0 {
			pause := v.acceptable()
			v.last, v.unlearned, v.period = max(v.last, now), true, 0
			v.setPause(pause)
		}
		v.decide()
	})
}

// expect begins to judge a thing that has not been heard of: its first heartbeat is due within that time.
func (l *line) expect(now, first time.Duration) {
	l.update(func(v *view) {
		v.last, v.pauseAt, v.period = now, now, float64(clampPeriod(first))
		v.count, v.unlearned = 1, true
		v.decide()
	})
}

// beat records a heartbeat, unless another is being recorded. It returns from when on the thing is suspect.
func (l *line) beat(now, period time.Duration) (suspect time.Duration, recorded bool) {
	w, ok := l.tryLock()
	if !ok {
		return 0, false
	}
	return l.beatLocked(w, now, period)
}

// beatLocked records a heartbeat under the lock, and unlocks. It writes only words that have changed.
func (l *line) beatLocked(w uint64, now, period time.Duration) (suspect time.Duration, recorded bool) {
	v := l.load(w, l.last.Load())
	if v.suspended || v.count > 0 && now <= v.last {
		l.header.Store(w)
		return 0, false
	}
	rhythm, pauseAt := pair(v.period, v.runMean), v.pauseAt
	if v.count == 0 {
		v.pauseAt = now
	} else {
		if !v.unlearned {
			v.learn(float64(saturatingSub(now, v.last)) - v.due())
		}
		v.adaptPause(now)
	}
	v.unlearned = false
	v.count = min(v.count+1, maxCount)
	v.last, v.period = now, float64(clampPeriod(period))
	mean, stddev := v.spread()
	pause := v.acceptable()
	l.fast.Store(v.fast.pack())
	l.slow.Store(v.slow.pack())
	if r := pair(v.period, v.runMean); r != rhythm {
		l.rhythm.Store(r)
	}
	if v.pauseAt != pauseAt {
		l.pauseAt.Store(int64(v.pauseAt))
	}
	l.last.Store(int64(now))
	l.deadline.Store(int64(v.after(mean + pause + v.settings.zFail*stddev)))
	l.unlock(v.header)
	return v.after(mean + pause + v.settings.zSuspect*stddev), true
}

func clampPeriod(period time.Duration) time.Duration { return min(max(period, 0), maxDuration) }

// due is when, after the last heartbeat, the next was meant to come.
func (v *view) due() float64 {
	if v.period > 0 {
		return v.period
	}
	return v.settings.interval
}

// acceptable is the pause in force: it has been shrinking since pauseAt. It does not change between two heartbeats.
func (v *view) acceptable() float64 {
	shrunk := float64(v.pause) * (1 - v.settings.decay*float64(saturatingSub(v.last, v.pauseAt)))
	return max(shrunk, v.settings.minPause)
}

// adaptPause grows the pause if the heartbeat that comes now refutes a suspicion, and writes down from time to time how far
// it has shrunk since the last one.
func (v *view) adaptPause(now time.Duration) {
	const often = 1.0 / 64 // 1-x is e^-x, to 1e-4
	mistaken := now >= v.deadline && !v.unlearned
	shrunk := v.settings.decay * float64(saturatingSub(now, v.pauseAt))
	if !mistaken && shrunk < often {
		return
	}
	pause := float64(v.pause) * math.Exp(-shrunk)
	if mistaken {
		pause *= math.Exp(pauseStep)
	}
	v.pauseAt = now
	v.pause = float32(min(max(pause, v.settings.minPause), v.settings.maxPause))
}

// setPause makes it the pause in force.
func (v *view) setPause(pause float64) { v.pause, v.pauseAt = float32(pause), v.last }

// after is the moment when the next heartbeat is later than that.
func (v *view) after(late float64) time.Duration {
	patience := max(1, v.due()+min(late, v.settings.maxLateness))
	return min(never-1, saturatingAdd(v.last, time.Duration(math.Ceil(patience))))
}

// failAt is from when on the thing is not available, suspectAt from when on it is suspect. never if it isn't judged.
func (v *view) failAt() time.Duration    { return v.crossing(v.settings.zFail) }
func (v *view) suspectAt() time.Duration { return v.crossing(v.settings.zSuspect) }

func (v *view) crossing(z float64) time.Duration {
	if v.count == 0 || v.suspended {
		return never
	}
	mean, stddev := v.spread()
	return v.after(mean + v.acceptable() + z*stddev)
}

func (v *view) decide() { v.deadline = v.failAt() }

func (v *view) phi(now time.Duration) float64 {
	if v.count == 0 || v.suspended {
		return 0
	}
	mean, stddev := v.spread()
	late := float64(saturatingSub(now, v.last)) - v.due()
	phi := v.settings.config.Curve.Phi((late - mean - v.acceptable()) / stddev)
	if now >= v.deadline {
		return max(phi, v.settings.config.Threshold)
	}
	return phi
}
