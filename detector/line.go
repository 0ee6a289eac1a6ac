package detector

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"
)

// line is the memory of an adaptive detector: 64 bytes, a cache line, so that a heartbeat touches no other.
//
// It is a seqlock whose every word is an atomic, which makes it sound under Go's memory model. The lock is a bit beside the time
// of the last heartbeat, which rises and so tells readers whether there has been another meanwhile; for changes without a
// heartbeat there is a sequence in header. A heartbeat writes as few words as possible: that is what it costs.
//
// A heartbeat that finds the lock taken goes away: another is being recorded at this moment. Readers try again until they have seen the
// same last and header before and after.
type line struct {
	last     atomic.Int64  // clock reading of the last heartbeat, times 2, plus 1 while somebody writes
	deadline atomic.Int64  // from when on the thing is not available; never if it is not judged
	fast     atomic.Uint64 // estimate
	slow     atomic.Uint64 // estimate
	header   atomic.Uint64 // see header
	rhythm   atomic.Uint64 // declared period, and mean of the run of outliers: float32 each
	pauseAt  atomic.Int64  // clock reading at which the learned pause was what header says
	settings atomic.Pointer[settings]
}

// words are the words of a line at one moment.
type words struct {
	last, deadline     int64
	fast, slow, header uint64
	rhythm             uint64
	pauseAt            int64
	settings           *settings
}

// lockBit is that of line.last. maxReading is the largest clock reading that leaves room for it: 146 years.
const (
	lockBit    = 1
	maxReading = time.Duration(1<<62 - 1)
)

// header is the word of a line that changes seldom, taken apart.
type header struct {
	sequence  uint16 // odd while what isn't a heartbeat is changing the line
	unlearned bool   // the interval that the next heartbeat ends says nothing: it began with a wait, not with a heartbeat
	suspended bool   // not judged at present
	run       int8   // so many outliers in a row, above the mean or below
	count     uint16 // heartbeats so far, up to maxCount; 0 is nothing heard
	pause     float32
}

const (
	oddSequence   = 1
	flagUnlearned = 1 << 16
	flagSuspended = 1 << 17
	shiftRun      = 18
	shiftCount    = 22
	shiftPause    = 32
	maxRun        = 1<<4 - 1
	maxCount      = 1<<10 - 1

	// A header is steady if the next heartbeat, unless it's an outlier or a mistake comes to light, doesn't change it.
	steadyMask = oddSequence | flagUnlearned | flagSuspended | maxRun<<shiftRun | maxCount<<shiftCount
	steady     = maxCount << shiftCount
)

func (h header) pack() uint64 {
	w := uint64(h.sequence) | uint64(h.run&maxRun)<<shiftRun | uint64(h.count)<<shiftCount | uint64(math.Float32bits(h.pause))<<shiftPause
	if h.unlearned {
		w |= flagUnlearned
	}
	if h.suspended {
		w |= flagSuspended
	}
	return w
}

func unpackHeader(w uint64) header {
	return header{
		sequence:  uint16(w),
		unlearned: w&flagUnlearned != 0,
		suspended: w&flagSuspended != 0,
		run:       int8(w>>shiftRun&maxRun) << 4 >> 4,
		count:     uint16(w>>shiftCount) & maxCount,
		pause:     math.Float32frombits(uint32(w >> shiftPause)),
	}
}

// pair packs two float32 into a word.
func pair(a, b float64) uint64 {
	return uint64(math.Float32bits(float32(a))) | uint64(math.Float32bits(float32(b)))<<32
}

func unpair(w uint64) (a, b float64) {
	return float64(math.Float32frombits(uint32(w))), float64(math.Float32frombits(uint32(w >> 32)))
}

// read sets w to the words of one moment. It waits for a writer that is at work, yielding the processor to it.
func (l *line) read(w *words) {
	for {
		l.load(w)
		if w.last&lockBit == 0 && w.header&oddSequence == 0 && l.header.Load() == w.header && l.last.Load() == w.last {
			return
		}
		runtime.Gosched()
	}
}

// load reads the words. Whoever calls holds the lock, or checks afterwards that nobody did. last comes first, header second.
func (l *line) load(w *words) {
	w.last, w.header = l.last.Load(), l.header.Load()
	w.deadline, w.fast, w.slow = l.deadline.Load(), l.fast.Load(), l.slow.Load()
	w.rhythm, w.pauseAt, w.settings = l.rhythm.Load(), l.pauseAt.Load(), l.settings.Load()
}

// tryLock takes the lock if it is free. The reading it returns is that of the last heartbeat.
func (l *line) tryLock() (last time.Duration, ok bool) {
	w := l.last.Load()
	return time.Duration(w >> 1), w&lockBit == 0 && l.last.CompareAndSwap(w, w|lockBit)
}

// unlock gives the lock back.
func (l *line) unlock(last time.Duration) { l.last.Store(int64(last) << 1) }

// begin takes the lock for a change that isn't a heartbeat, and sets v to the state. It waits for the lock: it's for what is rare and must
// not be dropped.
func (l *line) begin(v *view) {
	for {
		if _, ok := l.tryLock(); ok {
			break
		}
		runtime.Gosched()
	}
	var w words
	l.load(&w)
	l.header.Store(w.header | oddSequence)
	*v = w.view()
}

// commit writes the state that begin has set and the caller has changed, and unlocks.
func (l *line) commit(v *view) {
	v.sequence += 2
	l.settings.Store(v.settings)
	l.store(v)
	l.unlock(v.last)
}

// store writes what can change by a heartbeat, but for the last reading. Whoever calls holds the lock.
func (l *line) store(v *view) {
	l.fast.Store(v.fast.pack())
	l.slow.Store(v.slow.pack())
	l.rhythm.Store(pair(v.period, v.runMean))
	l.pauseAt.Store(int64(v.pauseAt))
	l.deadline.Store(int64(v.deadline))
	l.header.Store(v.header.pack()) // last, as it may be odd until then
}

// view is what the words of a line mean.
type view struct {
	header
	last, deadline, pauseAt time.Duration
	fast, slow              estimate
	period                  float64 // declared with the last heartbeat; 0 if it wasn't
	runMean                 float64
	settings                *settings
}

func (w *words) view() view {
	v := view{header: unpackHeader(w.header), last: time.Duration(w.last >> 1), settings: w.settings}
	v.deadline, v.pauseAt = time.Duration(w.deadline), time.Duration(w.pauseAt)
	v.fast, v.slow = unpackEstimate(w.fast), unpackEstimate(w.slow)
	v.period, v.runMean = unpair(w.rhythm)
	return v
}

// view of the line at one moment.
func (l *line) view() view {
	var w words
	l.read(&w)
	return w.view()
}
