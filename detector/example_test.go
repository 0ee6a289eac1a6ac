package detector_test

import (
	"fmt"
	"time"

	"github.com/mistersmith/mistersmith/detector"
)

func Example() {
	node, err := detector.NewAccrual(detector.Config{FirstEstimate: time.Second, AcceptablePause: 500 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	now := time.Duration(0) // in a program: time.Since(start)
	for range 60 {
		now += time.Second
		node.Heartbeat(now)
	}
	for _, silence := range []time.Duration{time.Second, 1750 * time.Millisecond, 2100 * time.Millisecond} {
		fmt.Printf("%v: phi %.1f, available %v\n", silence, node.Phi(now+silence), node.Available(now+silence))
	}
	// Output:
	// 1s: phi 0.0, available true
	// 1.75s: phi 2.2, available true
	// 2.1s: phi 9.0, available false
}

func ExampleRegistry() {
	registry, err := detector.NewRegistry(detector.RegistryConfig{
		Default: detector.ClassConfig{Detector: detector.AdaptiveConfig{Interval: time.Second}},
		Subscriber: func(e detector.Event) {
			fmt.Printf("%v: %v\n", e.Now, e)
		},
	})
	if err != nil {
		panic(err)
	}
	now := time.Duration(0) // in a program: clock.Now(), and a Sweeper that calls Sweep
	node, err := registry.Watch(now, detector.Thing{Name: "node-1", First: 10 * time.Second})
	if err != nil {
		panic(err)
	}
	for second := range 120 {
		now += time.Second
		if second < 60 || second > 90 {
			node.Beat(now)
		}
		registry.Sweep(now)
	}
	node.Close()
	// Output:
	// 1m5s: node-1 suspected: phi 23.1, last sign of life 5s ago
	// 1m5s: node-1 failed: phi 23.1, last sign of life 5s ago
	// 1m32s: node-1 recovered after 27s under suspicion
}

// How long work of one kind usually takes is learned; what that makes of a silence is its phi.
func ExamplePace() {
	var pace detector.Pace
	for i := range 100 {
		pace.Observe(time.Second + time.Duration(i%5)*100*time.Millisecond)
	}
	for _, silence := range []time.Duration{2 * time.Second, 10 * time.Second, time.Minute} {
		fmt.Printf("%v: phi %.1f\n", silence, pace.Phi(silence))
	}
	// Output:
	// 2s: phi 0.8
	// 10s: phi 4.9
	// 1m0s: phi 14.6
}
