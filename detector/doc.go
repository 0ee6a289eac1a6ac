// Package detector tells a dead or hung thing from a slow one by the heartbeats it sends.
//
// A fixed timeout answers with yes or no, and is wrong for every thing but the one it was tuned for. The phi accrual
// detector (Hayashibara, Défago, Yared, Katayama: "The φ Accrual Failure Detector", 2004) learns how the intervals
// between heartbeats are distributed and answers with a level of suspicion:
//
//	phi = -log10(probability that a heartbeat is still to come after so long a silence)
//
// At phi 1 a suspicion is wrong one time in ten, at 8 one time in a hundred million, if the intervals are normally
// distributed. Where phi crosses the threshold depends on how regular the heartbeats have been.
//
//	node, err := detector.NewAdaptive(detector.AdaptiveConfig{Interval: time.Second})
//	...
//	node.Heartbeat(clock.Now()) // whenever a sign of life arrives
//	...
//	if !node.Available(clock.Now()) {
//		// it has failed
//	}
//
// # What there is
//
//   - Three detectors behind one interface. [Adaptive] is the one to use: 64 bytes, no locks, learns from its own mistakes.
//     [Accrual] remembers a window of intervals, as Akka's and Pekko's does, and agrees with theirs. [Deadline] is a fixed limit.
//   - [Clock], the clock to judge by: it leaves out what the process itself has missed.
//   - [Registry] watches many things, and tells a subscriber what is suspected, has failed, or has recovered. [Sweeper] drives it.
//   - [Pace] and [Stamp] are for what beats only while it works: how suspicious a silence is, given how long such work usually takes.
//
// A registry that watches the streams of a model's answers:
//
//	clock, _ := detector.NewClock(detector.ClockConfig{OnDemand: true})
//	reg, _ := detector.NewRegistry(detector.RegistryConfig{Subscriber: func(e detector.Event) {
//		if e.Verdict == detector.Failed {
//			e.Data.(context.CancelFunc)()
//		}
//	}})
//	streams, _ := reg.NewClass(detector.ClassConfig{Inherit: true})
//	sweeper, _ := detector.NewSweeper(reg, clock, 0)
//	clock.Start()
//	sweeper.Start()
//	...
//	w, err := reg.Watch(clock.Now(), detector.Thing{Name: "llm", Unlisted: true, Class: streams, First: 30 * time.Second, Data: cancel})
//	...
//	w.Beat(clock.Now()) // at each chunk
//	...
//	w.Close()
//
// Time is an argument everywhere: a reading of any monotonic clock, since any origin. Only a started Clock reads real time. Only
// a Clock and a Sweeper have a goroutine, from their Start to their Stop. Nothing is shared between two of them but what you give them.
//
// # What it promises
//
// Phi is never NaN, never infinite, and rises while the silence lasts. Its tail is that of the normal distribution,
// to an error of 1e-8 (or the resolution of a float64, where that is coarser) up to a million standard deviations; the
// usual formulas are 40 % off at phi 8 or overflow. Memory is bounded, and heartbeats allocate nothing.
//
// # What it cannot promise
//
// A heartbeat must mean progress. One sent by a ticker beside the work says that the ticker lives.
package detector
