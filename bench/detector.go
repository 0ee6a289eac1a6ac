package main

import (
	"math/rand/v2"
	"runtime"
	"time"
	"unsafe"

	"github.com/mistersmith/mistersmith/detector"
)

// failureDetector is what package detector costs, how quickly and how rightly it judges, in a simulation and under real starvation. In the
// simulation each round is another seed.
var failureDetector = part{"detector", func(s size) ([]benchmark, []string, func()) {
	n := s.of(1_000_000, 10_000_000)
	cases := []benchmark{
		speed(n, "heartbeat", .8, heartbeats), speed(n, "heartbeat by watch", .8, watchedHeartbeats), speed(n, "phi", .4, phis),
		speed(n, "availability", .02, availabilities), speed(n, "stamp", .02, stamps), speed(n/10, "watch and close", 0, watchAndClose),
		detectorSize(),
	}
	cases = append(cases, qualityOfService(s)...)
	cases = append(cases, starvation(s, "starvation, 4 busy loops", 4, none), starvation(s, "starvation, 40 busy loops", 40, .05))
	return cases, nil, func() {}
}}

// Units of the detector's figures, and a target that only 0 meets.
const (
	millis     unit = "ms"
	intervals  unit = "intervals"
	suspicions unit = "false suspicions"

	none = 1e-9
)

func (s size) seconds(quick, full int) time.Duration {
	return time.Duration(s.of(quick, full)) * time.Second
}

const timeNow = "time.Now"

// speed compares an operation with a reading of the clock.
func speed(n int, name string, target float64, operations func() func(n int)) benchmark {
	return benchmark{name: name, unit: nanoseconds, baseline: timeNow, contenders: []contender{
		{name: timeNow, run: calling(n, func(n int) {
			for range n {
				_ = time.Now()
			}
		})},
		{name: ours, target: target, noAlloc: true, run: calling(n, operations())},
	}}
}

// jitter is a second, more or less.
var jitter = func() (j [1024]time.Duration) {
	r := rand.New(rand.NewPCG(1, 1))
	for i := range j {
		j[i] = time.Second + time.Duration(r.NormFloat64()*float64(50*time.Millisecond))
	}
	return j
}()

// known is a detector that has learned.
func known() (*detector.Adaptive, time.Duration) {
	d, now := must(detector.NewAdaptive(detector.AdaptiveConfig{})), time.Duration(0)
	for i := range 2000 {
		now += jitter[i%len(jitter)]
		d.Heartbeat(now)
	}
	return d, now
}

func heartbeats() func(int) {
	d, now := known()
	return func(n int) {
		for i := range n {
			now += jitter[i%len(jitter)]
			d.Heartbeat(now)
		}
	}
}

func watchedHeartbeats() func(int) {
	r, now := must(detector.NewRegistry(detector.RegistryConfig{})), time.Duration(0)
	w := must(r.Watch(0, detector.Thing{Name: "node"}))
	return func(n int) {
		for i := range n {
			now += jitter[i%len(jitter)]
			w.Beat(now)
		}
	}
}

// phis are asked for from right after a heartbeat until long after the thing has failed.
func phis() func(int) {
	d, now := known()
	silence := time.Duration(0)
	return func(n int) {
		for range n {
			silence = (silence + 7*time.Millisecond) & (1<<33 - 1)
			if d.Phi(now+silence) < 0 {
				panic("less than no suspicion")
			}
		}
	}
}

func availabilities() func(int) {
	d, now := known()
	return func(n int) {
		for range n {
			if !d.Available(now) {
				panic("it has only just been heard")
			}
		}
	}
}

// stamps are what an agent pays for each message: a look at the clock, and at its stamp.
func stamps() func(int) {
	clock, stamp := must(detector.NewClock(detector.ClockConfig{})), new(detector.Stamp)
	return func(n int) {
		for range n {
			stamp.Touch(clock.Now())
		}
	}
}

// watchAndClose is what a streaming call pays beside its chunks.
func watchAndClose() func(int) {
	r := must(detector.NewRegistry(detector.RegistryConfig{}))
	class := must(r.NewClass(detector.ClassConfig{Inherit: true}))
	return func(n int) {
		for range n {
			must(r.Watch(0, detector.Thing{Name: "stream", Unlisted: true, Class: class, First: time.Second})).Close()
		}
	}
}

// detectorSize is compared with a cache line.
func detectorSize() benchmark {
	constant := func(v float64) func(*probe) { return func(p *probe) { p.value = v } }
	return benchmark{name: "size of a detector", unit: bytes, baseline: "cache line", contenders: []contender{
		{name: "cache line", run: constant(64)},
		{name: ours, target: 1, run: constant(float64(unsafe.Sizeof(detector.Adaptive{})))},
		{name: "window of 1,000", run: func(p *probe) {
			kept := make([]*detector.Accrual, 100)
			p.occupy(len(kept), func() {
				for i := range kept {
					kept[i] = must(detector.NewAccrual(detector.Config{}))
					for j := range 1100 {
						kept[i].Heartbeat(time.Duration(j) * time.Second)
					}
				}
			})
			runtime.KeepAlive(kept)
		}},
	}}
}
