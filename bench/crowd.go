package main

// crowdSize is how many goroutines are parked during all measurements.
const crowdSize = 8

// crowd parks goroutines until the returned function is called.
//
// Go sizes the stack of a new goroutine by the average of those that the last garbage collection found. In a process with next to
// no other goroutines that average is the benchmark's own, which is large, and a fresh goroutine never has to grow its stack. With a few
// parked ones, as in any real program, it starts with 2 kB and grows by copying as soon as an actor runs on it: about 1.5 µs for each
// activation of whoever starts a goroutine for it. An almost empty process would hide that.
func crowd() (disperse func()) {
	gate := make(chan struct{})
	for range crowdSize {
		go func() { <-gate }()
	}
	return func() { close(gate) }
}
