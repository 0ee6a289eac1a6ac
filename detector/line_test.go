package detector

import (
	"math"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func reset(l *line, s *settings) {
	var v view
	l.begin(&v)
	v.reset(s)
	l.commit(&v)
}

func TestADetectorIsACacheLine(t *testing.T) {
	assert.Equal(t, uintptr(64), unsafe.Sizeof(Adaptive{}))
	s := &shard{}
	s.init(nil)
	for range smallSlabs + 3 {
		s.grow()
	}
	for _, b := range *s.slabs.Load() {
		assert.Zero(t, uintptr(unsafe.Pointer(&b.lines[0]))%64, "in a registry, each has a line of its own")
	}
}

func TestHeaderIsPacked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := header{
			sequence:  rapid.Uint16().Draw(t, "sequence"),
			unlearned: rapid.Bool().Draw(t, "unlearned"),
			suspended: rapid.Bool().Draw(t, "suspended"),
			run:       int8(rapid.IntRange(-shiftAfter+1, shiftAfter-1).Draw(t, "run")),
			count:     uint16(rapid.IntRange(0, maxCount).Draw(t, "count")),
			pause:     rapid.Float32().Draw(t, "pause"),
		}
		if got := unpackHeader(h.pack()); got != h {
			t.Fatalf("%+v became %+v", h, got)
		}
		isSteady := h.sequence&1 == 0 && !h.unlearned && !h.suspended && h.run == 0 && h.count == maxCount
		if (h.pack()&steadyMask == steady) != isSteady {
			t.Fatalf("steady %v: %+v", !isSteady, h)
		}
	})
}

// A heartbeat in the usual case takes a short cut. It must lead to the same place.
func TestTheShortCutIsTheLongWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := AdaptiveConfig{
			Interval:     time.Duration(rapid.Int64Range(1e6, 1e10).Draw(t, "interval")),
			MistakeEvery: time.Duration(rapid.Int64Range(int64(time.Second), int64(100*time.Hour)).Draw(t, "mistakes")),
			Threshold:    rapid.Float64Range(1, 16).Draw(t, "threshold"),
		}
		require.NoError(t, cfg.Validate())
		s := newSettings(cfg, 1)
		var quick, slow line
		reset(&quick, s)
		reset(&slow, s)
		interval := rapid.Custom(func(t *rapid.T) time.Duration {
			share := rapid.OneOf(rapid.Float64Range(.9, 1.1), rapid.Float64Range(0, 3), rapid.Float64Range(0, 30)).Draw(t, "share")
			return time.Duration(share * float64(cfg.Interval))
		})
		period := rapid.OneOf(rapid.Just(time.Duration(0)), interval)
		now, shortCuts := time.Duration(0), 0
		for range 1100 {
			now += cfg.Interval
			quick.beat(now, 0)
			slow.beat(now, 0)
		}
		for range rapid.IntRange(1, 300).Draw(t, "beats") {
			now += interval.Draw(t, "after")
			p := period.Draw(t, "period")
			if quick.header.Load()&steadyMask == steady {
				shortCuts++
			}
			a, aOK := quick.beat(now, p)
			last, ok := slow.tryLock()
			require.True(t, ok)
			b, bOK := slow.beatSlowly(last, now, p)
			if aOK != bOK || aOK && (a-b).Abs() > 1 {
				t.Fatalf("suspect at %v %v, want %v %v", a, aOK, b, bOK)
			}
			v, w := quick.view(), slow.view()
			if (v.deadline - w.deadline).Abs() > 1 {
				t.Fatalf("deadline %v, want %v", v.deadline, w.deadline)
			}
			v.deadline = w.deadline
			if v != w {
				t.Fatalf("%+v\nwant\n%+v", v, w)
			}
		}
	})
}

// What a reader sees belongs to one heartbeat, whatever the writers do meanwhile: here the declared period tells when it was. And the
// last heartbeat never goes back.
func TestReadersSeeOneHeartbeat(t *testing.T) {
	var l line
	reset(&l, newSettings(AdaptiveConfig{Interval: time.Second, Pause: NoPause}, 0))
	const beats = 20_000
	var all, writers sync.WaitGroup
	stop := make(chan struct{})
	for w := range 2 {
		writers.Go(func() {
			for i := range beats {
				now := time.Duration(2*i + w + 1)
				l.beat(now<<10, now<<10)
			}
		})
	}
	writers.Go(func() {
		for i := range beats / 10 {
			if i%2 == 0 {
				l.suspend()
			} else {
				l.resume(0)
			}
		}
	})
	for range 2 {
		all.Go(func() {
			last := time.Duration(math.MinInt64)
			for {
				select {
				case <-stop:
					return
				default:
				}
				v := l.view()
				if v.last < last {
					t.Errorf("last went from %v to %v", last, v.last)
					return
				}
				last = v.last
				if v.period != 0 && v.period != float64(v.last) {
					t.Errorf("last %d, period %v: torn", v.last, v.period)
					return
				}
				if v.suspended != (v.deadline == never) && v.count > 0 {
					t.Errorf("suspended %v, deadline %v: torn", v.suspended, v.deadline)
					return
				}
				_ = l.phi(last)
			}
		})
	}
	writers.Wait()
	close(stop)
	all.Wait()
}

// Every heartbeat that comes alone is recorded, and of those that come at once at least one.
func TestOneOfManyHeartbeatsAtOnceIsRecorded(t *testing.T) {
	var l line
	reset(&l, newSettings(AdaptiveConfig{}, 0))
	for i := range 500 {
		var all sync.WaitGroup
		now := time.Duration(i+1) * time.Second
		for g := range 4 {
			all.Go(func() { l.beat(now+time.Duration(g), 0) })
		}
		all.Wait()
		assert.GreaterOrEqual(t, l.view().last, now)
	}
}

func TestAnEstimateIsTheMeanAndVarianceWhileAllCountAlike(t *testing.T) {
	e := estimate{}
	for i, x := range []float64{100, 200, 125, 340, 130} {
		e = e.add(x, 1/float64(i+1))
	}
	assert.InDelta(t, 179, e.mean, 1e-9)
	assert.InDelta(t, 7584, e.variance, 1e-9)
	fast, slow := weights(0)
	assert.Equal(t, []float64{.5, .5}, []float64{fast, slow})
	fast, slow = weights(maxCount)
	assert.Equal(t, []float64{fastWeight, slowWeight}, []float64{fast, slow})
	fast, slow = weights(100)
	assert.Equal(t, []float64{fastWeight, 1.0 / 102}, []float64{fast, slow})
	_, slow = weights(510)
	assert.Equal(t, slowWeight, slow)
}

func TestQuickLog(t *testing.T) {
	for x := 1e-6; x < 1e9; x *= 1.00037 {
		require.InDelta(t, math.Log(x), quickLog(x), 1e-11, "%v", x)
	}
	for i := range logTable {
		for _, edge := range []float64{1 + float64(i)/64, math.Nextafter(1+float64(i+1)/64, 0)} {
			require.InDelta(t, math.Log(edge), quickLog(edge), 1e-11, "%v", edge)
		}
	}
}
