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
