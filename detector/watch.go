package detector

import "time"

// Watch is a handle of a thing that a Registry watches: small, to be copied. Once it's closed it does nothing, and knows nothing; the
// same holds for the zero Watch. All methods may be called from any goroutine.
type Watch struct {
	place
	gen uint32
}

// Beat records a sign of life. It takes no lock and never waits: one that comes while another is being recorded, and one that
// isn't later than the last, is dropped. So is one while the watch is suspended.
func (w Watch) Beat(now time.Duration) { w.BeatEvery(now, 0) }

// BeatEvery records a sign of life of a sender that says when its next is due: after period.
func (w Watch) BeatEvery(now, period time.Duration) {
	if !w.open() {
		return
	}
	l := w.line()
	last, ok := l.tryLock()
	if !ok {
		return
	}
	if w.generation() != w.gen {
		l.unlock(last)
		return
	}
	if suspect, ok := l.beatLocked(last, now, period); ok {
		w.wakeBefore(suspect)
	}
}

// Close ends the watch, without an event, and says whether it was open. An event that is being told at this moment may still
// arrive.
func (w Watch) Close() bool { return w.slab != nil && w.slab.shard.close(w) }

// Suspend stops judging the thing until Resume: for when its silence means nothing. A suspicion is taken back, at the next
// sweep. The error is ErrClosed.
func (w Watch) Suspend() error {
	return w.locked(func(*record) { w.line().suspend() })
}

// Resume judges the thing again, as if there had been a sign of life now. Without a Suspend before it does nothing. The error is
// ErrClosed.
func (w Watch) Resume(now time.Duration) error {
	return w.locked(func(*record) {
		w.line().resume(now)
		w.arm()
	})
}

// SetClass moves the thing to another class. What it has learned stays. The error is ErrClosed or ErrForeign.
func (w Watch) SetClass(c *Class) error {
	if w.slab != nil && w.slab.shard.registry != c.registry {
		return ErrForeign
	}
	return w.locked(func(r *record) {
		r.class = c
		_, r.firstPause = w.line().configure(c.settings.Load())
		w.arm()
	})
}

// Configure gives the thing a class of its own. The error names every fault of the configuration, or is ErrClosed.
func (w Watch) Configure(cfg ClassConfig) error {
	if w.slab == nil {
		return ErrClosed
	}
	c, err := w.slab.shard.registry.NewClass(cfg)
	if err != nil {
		return err
	}
	return w.SetClass(c)
}

// Phi is the present suspicion.
func (w Watch) Phi(now time.Duration) float64 {
	if !w.open() {
		return 0
	}
	if phi := w.line().phi(now); w.open() {
		return phi
	}
	return 0
}

// Available says whether phi is below the threshold.
func (w Watch) Available(now time.Duration) bool {
	return !w.open() || int64(now) < w.line().deadline.Load()
}

// Monitoring says whether there has been a heartbeat, or the first one is waited for.
func (w Watch) Monitoring() bool {
	var at words
	return w.read(&at) && unpackHeader(at.header).count > 0
}

// Verdict is that of the last sweep.
func (w Watch) Verdict() Verdict {
	verdict := Healthy
	_ = w.locked(func(r *record) { verdict = r.verdict }) // what is closed is healthy
	return verdict
}

// Name is that of the thing, "" once it's closed.
func (w Watch) Name() string {
	name := ""
	_ = w.locked(func(r *record) { name = r.name }) // what is closed has none
	return name
}

// Stats is what has been learned, zero before the first heartbeat.
func (w Watch) Stats() AdaptiveStats {
	var at words
	if !w.read(&at) {
		return AdaptiveStats{}
	}
	v := at.view()
	return v.stats()
}

func (w Watch) open() bool { return w.slab != nil && w.gen&1 == 1 && w.generation() == w.gen }

// read sets at to the words of one moment, and says whether they are of this watch.
func (w Watch) read(at *words) bool {
	if !w.open() {
		return false
	}
	w.line().read(at)
	return w.open()
}

// locked calls fn with the record of the thing, under its shard's lock. The error is ErrClosed.
func (w Watch) locked(fn func(*record)) error {
	if w.slab == nil {
		return ErrClosed
	}
	s := w.slab.shard
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.open() {
		return ErrClosed
	}
	fn(w.record())
	return nil
}
