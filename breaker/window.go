package breaker

import (
	"sync/atomic"
	"time"
)

// Defaults of a Window, and its bounds.
const (
	DefaultWindowCalls  = 100
	DefaultMinCalls     = 10
	DefaultBuckets      = 10
	DefaultFailureRatio = 0.5
	DefaultSlowRatio    = 0.5

	maxWindowCalls = 100_000
	maxBuckets     = 1_000
)

// Window makes the breaker open by the share of failed calls, or of slow ones, among the last ones: the last Calls calls,
// or those of the last Span of time. Its zero value looks at the last 100 calls.
//
// Only a failure or a slow call opens the breaker, never a quick success, even if it is the one that makes MinCalls full.
// Ignored calls are not in the window. Each closed period begins with an empty one.
type Window struct {
	// Calls is how many calls a window by count holds. Default 100 if Span is 0, at most 100,000.
	Calls int

	// Span makes it a window by time. It moves on in steps of Span/Buckets, so it covers between Span minus one such step
	// and Span. At most 30 days. It costs one look at the clock a call.
	Span time.Duration

	// Buckets is how finely Span is divided. Default 10, at most 1,000; Span must allow a microsecond for each.
	Buckets int

	// MinCalls is how many calls must be in the window before it says anything. Default 10, or Calls if that is less.
	MinCalls int

	// FailureRatio opens the breaker when at least this part of the calls in the window has failed. Default 0.5; above 0
	// and at most 1.
	FailureRatio float64

	// SlowCall is the duration from which on a call is slow, whatever its verdict; 0 is never. A slow probe of a half-open
	// breaker counts as failed. It costs two looks at the clock a call.
	SlowCall time.Duration

	// SlowRatio opens the breaker when at least this part of the calls in the window was slow. Default 0.5 with a
	// SlowCall; above 0 and at most 1.
	SlowRatio float64
}

func (w Window) withDefaults() Window {
	if w.Span == 0 {
		setDefault(&w.Calls, DefaultWindowCalls)
		setDefault(&w.MinCalls, min(DefaultMinCalls, w.Calls))
	} else {
		setDefault(&w.Buckets, DefaultBuckets)
		setDefault(&w.MinCalls, DefaultMinCalls)
	}
	setDefault(&w.FailureRatio, DefaultFailureRatio)
	if w.SlowCall != 0 {
		setDefault(&w.SlowRatio, DefaultSlowRatio)
	}
	return w
}

func (w Window) validate(fault func(format string, args ...any)) {
	switch {
	case w.Calls != 0 && w.Span != 0:
		fault("Window.Calls is %d and Window.Span is %v: one of them must be 0", w.Calls, w.Span)
	case w.Span == 0 && w.Buckets != 0:
		fault("Window.Buckets is %d: must be 0 without a Span", w.Buckets)
	}
	if w.Calls < 0 || w.Calls > maxWindowCalls {
		fault("Window.Calls is %d: must be between 0 (default) and %d", w.Calls, maxWindowCalls)
	}
	if w.Span < 0 || w.Span > maxDuration {
		fault("Window.Span is %v: must be between 0 (count calls) and %v", w.Span, maxDuration)
	}
	if w.Buckets < 0 || w.Buckets > maxBuckets {
		fault("Window.Buckets is %d: must be between 0 (default) and %d", w.Buckets, maxBuckets)
	} else if d := w.withDefaults(); w.Span > 0 && w.Span/time.Duration(d.Buckets) < time.Microsecond {
		fault("Window.Span is %v: must be at least 1µs for each of the %d buckets", w.Span, d.Buckets)
	}
	if limit := w.withDefaults().Calls; w.MinCalls < 0 || w.Span == 0 && w.MinCalls > limit {
		fault("Window.MinCalls is %d: must be between 0 (default) and Calls, %d", w.MinCalls, limit)
	} else if w.MinCalls > maxThreshold {
		fault("Window.MinCalls is %d: must be at most %d", w.MinCalls, maxThreshold)
	}
	ratio := func(field string, r float64) {
		if !(r >= 0 && r <= 1) {
			fault("%s is %v: must be above 0 and at most 1, or 0 (default)", field, r)
		}
	}
	ratio("Window.FailureRatio", w.FailureRatio)
	ratio("Window.SlowRatio", w.SlowRatio)
	if w.SlowCall < 0 || w.SlowCall > maxDuration {
		fault("Window.SlowCall is %v: must be between 0 (never slow) and %v", w.SlowCall, maxDuration)
	}
	if w.SlowRatio != 0 && w.SlowCall == 0 {
		fault("Window.SlowRatio is %v: must be 0 without a SlowCall", w.SlowRatio)
	}
}

// exceeded says whether what is in the window opens the breaker.
func (w *Window) exceeded(t tally) bool {
	if t.calls < int64(w.MinCalls) || t.calls == 0 {
		return false
	}
	return float64(t.failed)/float64(t.calls) >= w.FailureRatio ||
		w.SlowCall > 0 && float64(t.slow)/float64(t.calls) >= w.SlowRatio
}

// mark is one call in a window: set bits are what was wrong with it.
type mark uint32

const (
	markFailed mark = 1 << iota
	markSlow
)

func markOf(v Verdict, isSlow bool) mark {
	var m mark
	if v != Success {
		m |= markFailed
	}
	if isSlow {
		m |= markSlow
	}
	return m
}

// tally is the sum of a window.
type tally struct{ calls, failed, slow int64 }

// window holds the calls of one closed period. Both kinds are safe for concurrent use, and neither takes a lock. Exactly
// one of the two is set.
type window struct {
	config *Window
	ring   *callRing
	clock  *bucketRing
}

func newWindow(w *Window) *window {
	if w == nil {
		return nil
	}
	if w.Span == 0 {
		return &window{config: w, ring: &callRing{places: make([]atomic.Uint32, w.Calls)}}
	}
	return &window{config: w, clock: &bucketRing{
		width:   w.Span / time.Duration(w.Buckets),
		buckets: make([]atomic.Pointer[bucket], w.Buckets),
	}}
}

// add puts a call into the window and says whether it opens the breaker. now is the age of the breaker.
func (w *window) add(m mark, now time.Duration) bool {
	if w.ring != nil {
		w.ring.add(m)
	} else {
		w.clock.add(m, now)
	}
	return m != 0 && w.config.exceeded(w.sum(now))
}

func (w *window) sum(now time.Duration) tally {
	if w.ring != nil {
		return w.ring.sum()
	}
	return w.clock.sum(now)
}

// callRing is the window by count: a call takes the place of the one that was so many calls before it.
type callRing struct {
	next         atomic.Uint64
	failed, slow atomic.Int64 // of what is in the places
	places       []atomic.Uint32
}

func (r *callRing) add(m mark) {
	at := (r.next.Add(1) - 1) % uint64(len(r.places))
	before := mark(r.places[at].Swap(uint32(m)))
	if d := int64(m&markFailed) - int64(before&markFailed); d != 0 {
		r.failed.Add(d / int64(markFailed))
	}
	if d := int64(m&markSlow) - int64(before&markSlow); d != 0 {
		r.slow.Add(d / int64(markSlow))
	}
}

func (r *callRing) sum() tally {
	return tally{
		calls:  int64(min(r.next.Load(), uint64(len(r.places)))),
		failed: r.failed.Load(), slow: r.slow.Load(),
	}
}

// bucketRing is the window by time. A bucket that is used again is a new object, about once each width: a call that was
// on its way to the old one counts there, where it belongs and where nobody looks any more. The counts are words of their
// own, so none can carry into another.
type bucketRing struct {
	width   time.Duration
	latest  atomic.Pointer[bucket] // one of the buckets, mostly the one that is asked for
	buckets []atomic.Pointer[bucket]
}

// bucket counts the calls of one step of time.
type bucket struct {
	step                int64
	begin               time.Duration // age of the breaker
	calls, failed, slow atomic.Int64
}

func (r *bucketRing) add(m mark, now time.Duration) {
	b := r.latest.Load()
	if b == nil || uint64(now-b.begin) >= uint64(r.width) {
		b = r.at(int64(now / r.width))
		r.latest.Store(b)
	}
	b.calls.Add(1)
	if m&markFailed != 0 {
		b.failed.Add(1)
	}
	if m&markSlow != 0 {
		b.slow.Add(1)
	}
}

// at is the bucket of a step. It is nobody's if the ring has moved on past it in the meantime.
func (r *bucketRing) at(step int64) *bucket {
	place := &r.buckets[step%int64(len(r.buckets))]
	for {
		b := place.Load()
		if b != nil && b.step == step {
			return b
		}
		fresh := &bucket{step: step, begin: time.Duration(step) * r.width}
		if b != nil && b.step > step || place.CompareAndSwap(b, fresh) {
			return fresh
		}
	}
}

func (r *bucketRing) sum(now time.Duration) (t tally) {
	step := int64(now / r.width)
	for i := range r.buckets {
		b := r.buckets[i].Load()
		if b == nil || b.step <= step-int64(len(r.buckets)) {
			continue
		}
		t.calls += b.calls.Load()
		t.failed += b.failed.Load()
		t.slow += b.slow.Load()
	}
	return t
}
