package actors

import (
	"slices"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/detector"
)

// watchman looks every so often at what is busy, and finds what gets on with nothing. It costs nothing while the tree is idle, and little else: what
// is at work compares a number with the watchman's, once a message or task, and comes to its notice once a look at the most. What came to
// its notice and hasn't since has made no progress.
type watchman struct {
	every time.Duration
	clock *detector.Clock // without what the process stood still; changes with each look, and only then
	epoch time.Time       // of the real one

	mu      sync.Mutex // guards what follows
	fresh   []worker   // came to notice since the last look
	timer   *time.Timer
	running bool // a look is to come
	closed  bool

	looking sync.Mutex // held by a look; guards what follows
	watched map[worker]*silence
	paces   map[string]*detector.Pace // by kind of work
}

// worker is something that works and may hang: an incarnation of an actor, a job of an agent, a stream. Its methods are called in a look.
type worker interface {
	// atWork says whether it is working on something, and whether its silence says anything.
	atWork() (busy, judged bool)
	// cutShort says whether what it was doing since the last sign of life that a look has seen was ended by somebody else, so that nothing is learned of it.
	cutShort() bool
	// strikes says how often what it works on was ended before, and whether it won't be tried again if it hangs now: then a guess isn't enough.
	strikes() (before int, last bool)
	// kindOfWork names what its intervals are learned under, or returns the pace of one that learns by itself. It is asked at each sign of life.
	kindOfWork() (name string, own *detector.Pace)
	liveness() Liveness
	// suspected, hangs and recovered say so to the world. What counts as hung and fails isn't looked at any more.
	suspected(reason *HungError)
	hangs(reason *HungError, fails bool)
	recovered()
}

// silence is what the watchman knows of a worker.
type silence struct {
	since  time.Duration // its last sign of life, by the watchman's clock
	at     time.Time     // and by the wall's
	level  suspicion
	terms  Liveness       // that it was judged by last
	seen   bool           // it has come to notice since the last look
	pace   *detector.Pace // of what it has been doing since
	learns bool           // the pace hears of it from the watchman; not if it waited for something meanwhile
}

// maxPaces bounds the kinds of work that are learned of; beyond it some are learned anew.
const maxPaces = 4096

func newWatchman(every time.Duration) *watchman {
	clock, err := detector.NewClock(lookClock(every))
	if err != nil {
		panic(err) // the options were validated
	}
	clock.Tick(1) // a stamp begins at 0
	return &watchman{every: every, clock: clock, epoch: time.Now(), watched: make(map[worker]*silence), paces: make(map[string]*detector.Pace)}
}

// lookClock is a clock that moves with each look. What a look is late by more than one isn't counted.
func lookClock(every time.Duration) detector.ClockConfig {
	return detector.ClockConfig{Tick: every, MaxStep: 2 * every}
}

func (w *watchman) now() time.Duration { return w.clock.Now() }

// sign is what a worker does at each sign of life. The stamp is the worker's own.
func (w *watchman) sign(s *detector.Stamp, of worker) {
	if s.Touch(w.now()) {
		w.notice(of)
	}
}

// notice sees to it that there is another look.
func (w *watchman) notice(of worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.fresh = append(w.fresh, of)
	if w.running {
		return
	}
	w.running = true
	w.clock.Skip(time.Since(w.epoch))
	if w.timer == nil {
		w.timer = time.AfterFunc(w.every, w.look)
	} else {
		w.timer.Reset(w.every)
	}
}

// close ends the looks, and waits for one that has begun: that is quick, and runs no code of the user's.
func (w *watchman) close() {
	w.mu.Lock()
	w.closed = true
	w.fresh = nil
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.looking.Lock()
	defer w.looking.Unlock()
	clear(w.watched)
}

// look judges everything that is busy. It runs on a timer's goroutine, one at a time.
func (w *watchman) look() {
	w.looking.Lock()
	defer w.looking.Unlock()
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	now := time.Now()
	w.clock.Tick(now.Sub(w.epoch)) // before the rest: what gets on from here on comes to the next look's notice
	fresh := w.fresh
	w.fresh = nil
	w.mu.Unlock()

	for _, of := range fresh {
		w.progressed(of, now)
	}
	for of, entry := range w.watched {
		if !entry.seen {
			w.judge(of, entry, now)
		}
		entry.seen = false
	}

	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if len(w.watched) == 0 && len(w.fresh) == 0 {
		w.running = false
		return
	}
	w.timer.Reset(w.every)
}

// progressed notes a sign of life.
func (w *watchman) progressed(of worker, now time.Time) {
	entry := w.watched[of]
	if entry == nil {
		entry = &silence{}
		w.watched[of] = entry
	} else if !entry.seen {
		w.learn(of, entry)
		w.relieve(of, entry)
	}
	entry.since, entry.at, entry.seen = w.now(), now, true
	entry.pace, entry.learns = w.pace(of)
	if busy, judged := of.atWork(); busy && !judged {
		entry.learns = false
	}
}

// judge looks at one that has shown no sign of life.
func (w *watchman) judge(of worker, entry *silence, now time.Time) {
	busy, judged := of.atWork()
	switch {
	case !busy:
		w.learn(of, entry)
		w.relieve(of, entry)
		delete(w.watched, of)
		return
	case !judged && entry.learns && w.noticed(of): // what it has just begun is for the next look, which learns how long it took until then
		return
	case !judged:
		w.relieve(of, entry)
		entry.since, entry.at, entry.learns = w.now(), now, false
		return
	}
	terms := of.liveness()
	changed := terms != entry.terms
	if terms.OnHung == HungIgnore || !changed && entry.level == hung {
		return
	}
	entry.terms = terms
	length := w.now() - entry.since
	level, phi := terms.judge(length, entry.pace, of.strikes)
	switch {
	case !changed: // what others of its kind do meanwhile takes nothing back
		level = max(level, entry.level)
	case level < entry.level:
		w.relieve(of, entry)
	}
	reason := &HungError{Silence: length, Last: entry.at, Phi: phi, Max: length >= terms.Max}
	fails := terms.OnHung == HungFail
	switch {
	case level == hung && fails:
		of.hangs(reason, true)
		delete(w.watched, of)
	case level == hung && entry.level < hung:
		of.hangs(reason, false)
	case level == suspected && entry.level == alive:
		of.suspected(reason)
	}
	entry.level = level
}

// noticed reports whether it has shown a sign of life since the look began.
func (w *watchman) noticed(of worker) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.fresh, of)
}

// relieve takes a suspicion back.
func (w *watchman) relieve(of worker, entry *silence) {
	if entry.level > alive {
		entry.level = alive
		of.recovered()
	}
}

// learn notes how long it took until there was a sign of life again. What took less than a look is taken for half of one.
func (w *watchman) learn(of worker, entry *silence) {
	if entry.learns && !of.cutShort() {
		entry.pace.Observe(max(w.now()-entry.since, w.every/2))
	}
}

// pace is what is known of the work that a worker does, and whether it is the watchman's to learn.
func (w *watchman) pace(of worker) (pace *detector.Pace, learns bool) {
	name, own := of.kindOfWork()
	if own != nil {
		return own, false
	}
	p := w.paces[name]
	if p == nil {
		if len(w.paces) >= maxPaces {
			for other := range w.paces {
				delete(w.paces, other)
				break
			}
		}
		p = &detector.Pace{}
		w.paces[name] = p
	}
	return p, true
}
