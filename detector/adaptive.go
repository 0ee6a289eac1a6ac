package detector

import (
	"math"
	"runtime"
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
	var v view
	d.line.begin(&v)
	v.reset(newSettings(cfg, 0))
	d.line.commit(&v)
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
	return d.line.phi(now)
}

// Available says whether phi is below the threshold, to the nanosecond in which it crosses.
func (d *Adaptive) Available(now time.Duration) bool { return int64(now) < d.line.deadline.Load() }

// AvailableUntil is the reading from which Available is false, unless there is a heartbeat before.
func (d *Adaptive) AvailableUntil() time.Duration { return time.Duration(d.line.deadline.Load()) }

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
	v := d.line.view()
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

// configure returns the acceptable pause as it was, and as it is now.
func (l *line) configure(s *settings) (was, is float64) {
	var v view
	l.begin(&v)
	was = v.acceptable()
	v.configure(s)
	is = v.acceptable()
	l.commit(&v)
	return was, is
}

func (l *line) suspend() {
	var v view
	l.begin(&v)
	v.suspended = true
	v.decide()
	l.commit(&v)
}

func (l *line) resume(now time.Duration) {
	var v view
	l.begin(&v)
	v.resume(min(max(now, -maxReading), maxReading))
	l.commit(&v)
}

// reset forgets everything.
func (v *view) reset(s *settings) {
	*v = view{header: header{sequence: v.sequence, pause: float32(s.firstPause())}, deadline: never, settings: s}
	v.fast.variance, v.slow.variance = s.firstSpread, s.firstSpread
}

func (v *view) configure(s *settings) {
	pause := v.acceptable()
	if v.count == 0 {
		pause = s.firstPause()
		v.fast.variance, v.slow.variance = s.firstSpread, s.firstSpread
	}
	v.settings = s
	v.setPause(s.bounded(pause))
	v.decide()
}

func (v *view) resume(now time.Duration) {
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
}

// expect begins to judge a thing that has not been heard of: its first heartbeat is due within that time.
func (v *view) expect(now, first time.Duration) {
	v.last = min(max(now, -maxReading), maxReading)
	v.pauseAt, v.period = v.last, float64(declared(first))
	v.count, v.unlearned = 1, true
	v.decide()
}

// beat records a heartbeat, unless another is being recorded. It returns from when on the thing is suspect.
func (l *line) beat(now, period time.Duration) (suspect time.Duration, recorded bool) {
	last, ok := l.tryLock()
	if !ok {
		return 0, false
	}
	return l.beatLocked(last, now, period)
}

// beatLocked records a heartbeat under the lock, and unlocks. It is the usual case of beatSlowly, which says what it does, without what is
// not needed in it: the heartbeat is on time or nearly so, and all weights are settled.
func (l *line) beatLocked(last, now, period time.Duration) (suspect time.Duration, recorded bool) {
	h, rhythm, s := l.header.Load(), l.rhythm.Load(), l.settings.Load()
	pauseAt := time.Duration(l.pauseAt.Load())
	if h&steadyMask != steady || now <= last || now >= time.Duration(l.deadline.Load()) || now-pauseAt > s.rebase || now > maxReading {
		return l.beatSlowly(last, now, period)
	}
	due, next := s.interval, s.interval
	if p := math.Float32frombits(uint32(rhythm)); p > 0 {
		due = float64(p)
	}
	late := float64(now-last) - due
	fast, slow := unpackEstimate(l.fast.Load()), unpackEstimate(l.slow.Load())
	margin := outlierLimit * outlierLimit * max(fast.variance, slow.variance, s.minVariance)
	above, below := late-max(fast.mean, slow.mean), late-min(fast.mean, slow.mean)
	if above > 0 && above*above > margin || below < 0 && below*below > margin {
		return l.beatSlowly(last, now, period)
	}
	fast, slow = fast.add(late, fastWeight), slow.add(late, slowWeight)
	l.fast.Store(fast.pack())
	l.slow.Store(slow.pack())
	if period > 0 {
		next = float64(declared(period))
	}
	if r := rhythm&^math.MaxUint32 | uint64(math.Float32bits(declared(period))); r != rhythm {
		l.rhythm.Store(r)
	}
	pause := max(float64(math.Float32frombits(uint32(h>>shiftPause)))*(1-s.decay*float64(now-pauseAt)), s.minPause)
	stddev := math.Sqrt(max(fast.variance, slow.variance, s.minVariance))
	patience := max(fast.mean, slow.mean) + pause
	l.deadline.Store(int64(s.after(now, next, patience+s.zFail*stddev)))
	l.unlock(now)
	return s.after(now, next, patience+s.zSuspect*stddev), true
}

// beatSlowly records a heartbeat under the lock, and unlocks.
func (l *line) beatSlowly(last, now, period time.Duration) (suspect time.Duration, recorded bool) {
	now = min(max(now, -maxReading), maxReading)
	var w words
	l.load(&w)
	v := w.view()
	if v.suspended || v.count > 0 && now <= last {
		l.unlock(last)
		return 0, false
	}
	if v.count == 0 {
		v.pauseAt = now
	} else {
		if !v.unlearned {
			v.learn(float64(now-last) - v.due())
		}
		v.adaptPause(now)
	}
	v.unlearned = false
	v.count = min(v.count+1, maxCount)
	v.last, v.period = now, float64(declared(period))
	v.decide()
	l.store(&v)
	l.unlock(now)
	return v.suspectAt(), true
}

// declared is a period as it is kept, 0 if there is none.
func declared(period time.Duration) float32 { return float32(clampPeriod(period)) }

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
	return max(float64(v.pause)*(1-v.settings.decay*float64(saturatingSub(v.last, v.pauseAt))), v.settings.minPause)
}

// adaptPause grows the pause if the heartbeat that comes now refutes a suspicion, and writes down from time to time how far
// it has shrunk since the last one.
func (v *view) adaptPause(now time.Duration) {
	mistaken := now >= v.deadline && !v.unlearned
	passed := saturatingSub(now, v.pauseAt)
	if !mistaken && passed <= v.settings.rebase {
		return
	}
	pause := float64(v.pause) * math.Exp(-v.settings.decay*float64(passed))
	if mistaken {
		pause *= math.Exp(pauseStep)
	}
	v.pauseAt = now
	v.pause = float32(min(max(pause, v.settings.minPause), v.settings.maxPause))
}

// setPause makes it the pause in force.
func (v *view) setPause(pause float64) { v.pause, v.pauseAt = float32(pause), v.last }

// after is the moment when a heartbeat is so much later than it was due, after the last.
func (s *settings) after(last time.Duration, due, late float64) time.Duration {
	return saturatingAdd(last, time.Duration(max(0, due+min(late, s.maxLateness)))+1) // +1 rounds up
}

// failAt is from when on the thing is not available, suspectAt from when on it is suspect. never if it isn't judged.
func (v *view) failAt() time.Duration    { return v.crossing(v.settings.zFail) }
func (v *view) suspectAt() time.Duration { return v.crossing(v.settings.zSuspect) }

func (v *view) crossing(z float64) time.Duration {
	if v.count == 0 || v.suspended {
		return never
	}
	mean, stddev := v.spread()
	return v.settings.after(v.last, v.due(), mean+v.acceptable()+z*stddev)
}

func (v *view) decide() { v.deadline = v.failAt() }

// phi is the suspicion at a clock reading.
func (l *line) phi(now time.Duration) float64 {
	for {
		last, header := l.last.Load(), l.header.Load()
		deadline, fast, slow, settings := l.deadline.Load(), l.fast.Load(), l.slow.Load(), l.settings.Load()
		if last&lockBit == 0 && header&oddSequence == 0 && l.header.Load() == header && l.last.Load() == last {
			return phi(now, deadline, fast, slow, settings)
		}
		runtime.Gosched()
	}
}

func (w *words) phi(now time.Duration) float64 {
	return phi(now, w.deadline, w.fast, w.slow, w.settings)
}

// phi is the suspicion at a clock reading. The deadline is where z is that of the threshold, so z at any other moment follows from how
// far off that is. (Comparisons instead of max: it costs twice as much, for the sake of NaN.)
func phi(now time.Duration, deadline int64, fast, slow uint64, s *settings) float64 {
	if deadline == never {
		return 0
	}
	variance := s.minVariance
	if v := unpackEstimate(fast).variance; v > variance {
		variance = v
	}
	if v := unpackEstimate(slow).variance; v > variance {
		variance = v
	}
	z := s.zFail + float64(saturatingSub(now, time.Duration(deadline)))/math.Sqrt(variance)
	if z >= 0 && z <= maxZ && s.curve == Normal {
		return normalTail(z)
	}
	return s.curve.Phi(z)
}
