package detector_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/mistersmith/mistersmith/detector"
)

// warm is a detector whose window is full.
func warm(t testing.TB) (*detector.Accrual, time.Duration) {
	d := newAccrual(t, detector.Config{})
	now := time.Duration(0)
	for range 1100 {
		now += time.Second
		d.Heartbeat(now)
	}
	return d, now
}

func TestNothingIsAllocated(t *testing.T) {
	d, now := warm(t)
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		now += time.Second
		d.Heartbeat(now)
		_ = d.Phi(now + time.Second)
		_ = d.Available(now)
	}))
}

var sink float64

func BenchmarkTimeNow(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}

func BenchmarkHeartbeat(b *testing.B) {
	d, now := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		now += time.Second
		d.Heartbeat(now)
	}
}

func BenchmarkPhi(b *testing.B) {
	d, now := warm(b)
	b.ReportAllocs()
	i := time.Duration(0)
	for b.Loop() {
		i = (i + 7*ms) & (1<<31 - 1)
		sink = d.Phi(now + i)
	}
}

func BenchmarkAvailable(b *testing.B) {
	d, now := warm(b)
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Available(now)
	}
}

func BenchmarkCurve(b *testing.B) {
	for _, curve := range []detector.Curve{detector.Normal, detector.Logistic} {
		b.Run(curve.String(), func(b *testing.B) {
			b.ReportAllocs()
			z := 0.0
			for b.Loop() {
				if z += 0.01; z > 8 {
					z = 0
				}
				sink = curve.Phi(z)
			}
		})
	}
}

func BenchmarkAdaptiveHeartbeat(b *testing.B) {
	d := newAdaptive(b, detector.AdaptiveConfig{})
	now := regular(d, 0, 2000, time.Second)
	b.ReportAllocs()
	for i := time.Duration(0); b.Loop(); i++ {
		now += time.Second + i&63*ms
		d.Heartbeat(now)
	}
}

func BenchmarkAdaptivePhi(b *testing.B) {
	d := newAdaptive(b, detector.AdaptiveConfig{})
	now := regular(d, 0, 2000, time.Second)
	b.ReportAllocs()
	i := time.Duration(0)
	for b.Loop() {
		i = (i + 7*ms) & (1<<33 - 1)
		sink = d.Phi(now + i)
	}
}

// One sweep over a million things that live.
func BenchmarkSweep(b *testing.B) {
	r, err := detector.NewRegistry(detector.RegistryConfig{MaxThings: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	for range 1 << 20 {
		w, err := r.Watch(0, detector.Thing{Unlisted: true})
		if err != nil {
			b.Fatal(err)
		}
		w.Beat(1)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Sweep(2)
	}
}

func BenchmarkWatchAndClose(b *testing.B) {
	r, err := detector.NewRegistry(detector.RegistryConfig{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w, err := r.Watch(0, detector.Thing{Unlisted: true, First: time.Second})
		if err != nil {
			b.Fatal(err)
		}
		w.Close()
	}
}
