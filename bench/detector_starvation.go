package main

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/mistersmith/mistersmith/detector"
)

// starvation lets a thousand goroutines beat every 100 ms while busy loops take the processor from them, and from the monitor. All of them
// live, so every suspicion is false. Nobody accepts a pause. Akka's detectors have its settings and the real clock; ours are in a registry, with
// the same least deviation and threshold, and the stall-proof clock. Both hear the same heartbeats, in the same run.
func starvation(s size, name string, loops int, target float64) benchmark {
	both := &together[[2]int]{run: func() [2]int { return starve(loops, s.seconds(10, 25)) }}
	return benchmark{name: name, unit: suspicions, baseline: "Akka's settings", contenders: []contender{
		{name: "Akka's settings", run: both.part(func(n [2]int) float64 { return float64(n[0]) })},
		{name: ours, target: target, run: both.part(func(n [2]int) float64 { return float64(n[1]) })},
	}}
}

const (
	starved      = 1000
	starvedBeat  = 100 * time.Millisecond
	starvedCheck = 50 * time.Millisecond
)

// starve counts the false suspicions of both.
func starve(loops int, length time.Duration) (falsely [2]int) {
	var suspected atomic.Int64
	clock := must(detector.NewClock(detector.ClockConfig{}))
	registry := must(detector.NewRegistry(detector.RegistryConfig{
		Default: detector.ClassConfig{Detector: detector.AdaptiveConfig{
			Interval: starvedBeat, MinStdDev: detector.DefaultMinStdDev, Pause: detector.NoPause}},
		Subscriber: func(e detector.Event) {
			if e.Verdict == detector.Failed {
				suspected.Add(1)
			}
		},
	}))
	sweeper := must(detector.NewSweeper(registry, clock, starvedCheck))
	start := time.Now()
	clock.Start()
	sweeper.Start()

	stop := make(chan struct{})
	var all sync.WaitGroup
	akkas := make([]*detector.Accrual, starved)
	for i := range akkas {
		akkas[i] = must(detector.NewAccrual(detector.Config{FirstEstimate: starvedBeat, Curve: detector.Logistic}))
		watch := must(registry.Watch(clock.Now(), detector.Thing{Unlisted: true}))
		all.Go(func() {
			every(starvedBeat, stop, func() {
				akkas[i].Heartbeat(time.Since(start))
				watch.Beat(clock.Now())
			})
		})
	}
	all.Go(func() { // Akka's monitor
		down := make([]bool, starved)
		every(starvedCheck, stop, func() {
			for i, d := range akkas {
				available := d.Available(time.Since(start))
				if !available && !down[i] {
					falsely[0]++
				}
				down[i] = !available
			}
		})
	})
	time.Sleep(2 * time.Second) // in peace, to get to know them
	var enough atomic.Bool
	for range loops {
		all.Go(func() {
			for !enough.Load() {
			}
		})
	}
	time.Sleep(length)
	enough.Store(true)
	close(stop)
	all.Wait()
	sweeper.Stop()
	clock.Stop()
	falsely[1] = int(suspected.Load())
	return falsely
}

// every calls fn at each tick until stop is closed.
func every(interval time.Duration, stop <-chan struct{}, fn func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			fn()
		}
	}
}

// together is a measurement whose parts are several contenders' figures: it's taken once a round. There is nothing to warm up: the first
// round, which isn't counted, is left out.
type together[T any] struct {
	run    func() T
	rounds []T
}

// part is the contender whose figure is that part.
func (t *together[T]) part(of func(T) float64) func(*probe) {
	round := -1
	return func(p *probe) {
		if round++; round == 0 {
			return
		}
		if round > len(t.rounds) {
			t.rounds = append(t.rounds, t.run())
		}
		p.value = of(t.rounds[round-1])
	}
}
