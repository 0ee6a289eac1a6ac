package detector

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"
)

// line is the memory of an adaptive detector: 64 bytes, a cache line, so that a heartbeat touches no other.
//
// It is a seqlock whose every word is an atomic, which makes it sound under Go's memory model. header is the lock: odd
// while somebody writes. A writer that finds it odd, or loses the race for it, goes away: another heartbeat is being recorded at
// this moment. Readers try again until they have seen the same even header, and the same last, before and after.
type line struct {
	header   atomic.Uint64 // sequence 16 bits, flags 2, run 4, count 10, pause 32
	last     atomic.Int64  // clock reading of the last heartbeat; rises
	deadline atomic.Int64  // from when on the thing is not available; never if it is not judged
	fast     atomic.Uint64 // estimate
	slow     atomic.Uint64 // estimate
	rhythm   atomic.Uint64 // declared period, and mean of the run of outliers: float32 each
	pauseAt  atomic.Int64  // clock reading at which the learned pause was what header says
	settings atomic.Pointer[settings]
}

// header is the first word of a line, taken apart.
type header struct {
	sequence  uint16 // odd while being written
	unlearned bool   // the interval that the next heartbeat ends says nothing: it began with a wait, not with a heartbeat
	suspended bool   // not judged at present
	run       int8   // so many outliers in a row, above the mean or below
	count     uint16 // heartbeats so far, up to maxCount; 0 is nothing heard
	pause     float32
}

const (
	maxCount      = 1<<10 - 1
	flagUnlearned = 1 << 16
	flagSuspended = 1 << 17
	flagOdd       = 1
)

func (h header) pack() uint64 {
	w := uint64(h.sequence) | uint64(h.run&15)<<18 | uint64(h.count)<<22 | uint64(math.Float32bits(h.pause))<<32
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
		run:       int8(w>>18&15) << 4 >> 4,
		count:     uint16(w>>22) & maxCount,
		pause:     math.Float32frombits(uint32(w >> 32)),
	}
}

// pair packs two float32 into a word.
func pair(a, b float64) uint64 {
	return uint64(math.Float32bits(float32(a))) | uint64(math.Float32bits(float32(b)))<<32
}

func unpair(w uint64) (a, b float64) {
	return float64(math.Float32frombits(uint32(w))), float64(math.Float32frombits(uint32(w >> 32)))
}

// view is the state of a detector at one moment, unpacked.
type view struct {
	header
	last, deadline, pauseAt time.Duration
	fast, slow              estimate
	period                  float64 // declared with the last heartbeat; 0 if it wasn't
	runMean                 float64
	settings                *settings
}

// read returns a consistent view. It waits for a writer that is at work, yielding the processor to it.
func (l *line) read() view {
	for {
		w, last := l.header.Load(), l.last.Load()
		if w&flagOdd == 0 {
			v := l.load(w, last)
			if l.last.Load() == last && l.header.Load() == w {
				return v
			}
		}
		runtime.Gosched()
	}
}

// load unpacks the words. Whoever calls holds the lock, or checks afterwards that nobody did.
func (l *line) load(w uint64, last int64) view {
	v := view{header: unpackHeader(w), last: time.Duration(last), settings: l.settings.Load()}
	v.deadline, v.pauseAt = time.Duration(l.deadline.Load()), time.Duration(l.pauseAt.Load())
	v.fast, v.slow = unpackEstimate(l.fast.Load()), unpackEstimate(l.slow.Load())
	v.period, v.runMean = unpair(l.rhythm.Load())
	return v
}

// tryLock takes the lock if it is free. The word it returns is the header before.
func (l *line) tryLock() (uint64, bool) {
	w := l.header.Load()
	return w, w&flagOdd == 0 && l.header.CompareAndSwap(w, w|flagOdd)
}

// lock waits for the lock. It is for what is rare, and must not be dropped.
func (l *line) lock() uint64 {
	for {
		if w, ok := l.tryLock(); ok {
			return w
		}
		runtime.Gosched()
	}
}

// unlock gives the lock back with a new header, whose sequence must be that before the lock.
func (l *line) unlock(h header) {
	h.sequence += 2
	l.header.Store(h.pack())
}

// update changes the state under the lock.
func (l *line) update(change func(*view)) {
	w := l.lock()
	v := l.load(w, l.last.Load())
	change(&v)
	l.settings.Store(v.settings)
	l.last.Store(int64(v.last))
	l.pauseAt.Store(int64(v.pauseAt))
	l.fast.Store(v.fast.pack())
	l.slow.Store(v.slow.pack())
	l.rhythm.Store(pair(v.period, v.runMean))
	l.deadline.Store(int64(v.deadline))
	l.unlock(v.header)
}
