package breaker

import (
	"sync/atomic"
	"unsafe"
)

// Totals counts what happened since New. Each is exact, but they are read one after the other: under load they may be a
// few calls apart from each other.
type Totals struct {
	Succeeded uint64 // verdict Success
	Failed    uint64 // verdict Failure or TripFor, timeouts included
	TimedOut  uint64 // of Failed: own timeouts
	Ignored   uint64 // verdict Ignore
	Rejected  uint64 // refused by an open, forced-open, half-open or stopped breaker
	Opened    uint64 // transitions to Open
	Closed    uint64 // transitions to Closed
	Panics    uint64 // recovered panics of Classify and observers, and of calls that nobody waits for any more
	Missed    uint64 // transitions that an observer was too slow for
}

// cacheLine keeps what is written away from what is read: two lines, for the prefetcher fetches them in pairs.
type cacheLine [128]byte

const (
	stripes     = 8 // a power of two
	stripeShift = 61
)

// stripe holds the counters of the frequent paths. Calls on different processors mostly use different stripes.
type stripe struct {
	succeeded, rejected, failed atomic.Uint64
	_                           [unsafe.Sizeof(cacheLine{}) - 24]byte
}

// counters is written by every call. The frequent ones are striped.
type counters struct {
	striped                           [stripes]stripe
	timedOut, ignored, opened, closed atomic.Uint64
	panics, missed                    atomic.Uint64
}

// stripe picks by the address of the caller's stack, which differs between goroutines and costs nothing to learn.
func (c *counters) stripe() *stripe {
	var here byte
	return &c.striped[(uint64(uintptr(unsafe.Pointer(&here))>>11)*0x9E3779B97F4A7C15)>>stripeShift]
}

func (c *counters) count(v Verdict) {
	switch v {
	case Success:
		c.stripe().succeeded.Add(1)
	case Ignore:
		c.ignored.Add(1)
	default:
		c.stripe().failed.Add(1)
	}
}

func (c *counters) totals() Totals {
	t := Totals{
		TimedOut: c.timedOut.Load(), Ignored: c.ignored.Load(), Opened: c.opened.Load(), Closed: c.closed.Load(),
		Panics: c.panics.Load(), Missed: c.missed.Load(),
	}
	for i := range c.striped {
		t.Succeeded += c.striped[i].succeeded.Load()
		t.Rejected += c.striped[i].rejected.Load()
		t.Failed += c.striped[i].failed.Load()
	}
	return t
}
