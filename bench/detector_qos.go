package main

import (
	"fmt"
	"math"
	"time"

	"github.com/mistersmith/mistersmith/detector"
)

// qualityOfService compares how soon a crash is suspected when all make at most so many mistakes: each with the least patient parameter that
// keeps within the bound in every environment. A round is a seed.
func qualityOfService(s size) []benchmark {
	sim := &simulation{beats: s.of(300_000, 1_000_000)}
	mean := func(w watcher, unit unit, bound float64, first, last int) func(*probe) {
		return sim.figure(func(r *seedRun) float64 { return r.mean(r.best(w, bound, first, last), unit, first) })
	}
	inEach := func(name string, unit unit, bound float64, first, last int) benchmark {
		b := benchmark{name: name, unit: unit, baseline: akka.name}
		for _, w := range []watcher{akka, fixed, cassandras, unproofed, proofed} {
			b.contenders = append(b.contenders, contender{name: w.name, run: mean(w, unit, bound, first, last)})
		}
		return b
	}
	inEachWithTargets := func(name string, unit unit, bound float64, first, last int) benchmark {
		b := inEach(name, unit, bound, first, last)
		b.contenders[len(b.contenders)-1].target = .7
		b.contenders = append(b.contenders, contender{
			name: ours + ", to the fixed deadline", run: mean(proofed, unit, bound, first, last), against: fixed.name, target: 1})
		return b
	}
	stalling := benchmark{name: "S5, a stalling monitor, at most 1e-3", unit: millis, baseline: akka.name + " for S5 alone", contenders: []contender{
		{name: akka.name + " for S5 alone", run: sim.figure(func(r *seedRun) float64 { return r.best(akka, 1e-3, 4, 5)[0].detection })},
		{name: fixed.name + " for S5 alone", run: sim.figure(func(r *seedRun) float64 { return r.best(fixed, 1e-3, 4, 5)[0].detection })},
		{name: unproofed.name + ", as for all", run: sim.figure(func(r *seedRun) float64 { return r.best(unproofed, 1e-3, 0, 7)[4].detection })},
		{name: proofed.name + ", as for all", target: .4, run: sim.figure(func(r *seedRun) float64 { return r.best(proofed, 1e-3, 0, 7)[4].detection })},
	}}
	return []benchmark{
		inEach("S1-S7, at most 1e-2 mistakes a second", millis, 1e-2, 0, 7),
		inEachWithTargets("S1-S7, at most 1e-3 mistakes a second", millis, 1e-3, 0, 7),
		inEachWithTargets("S1-S8, at most 1e-3 mistakes a second", intervals, 1e-3, 0, 8),
		stalling,
		inEach("S8 alone, at most 1e-4", millis, 1e-4, 7, 8),
	}
}

// simulation holds the round that is being judged.
type simulation struct {
	beats int // in each environment
	round int
	run   *seedRun
}

// figure is a contender whose figure is taken from the round. There is nothing to warm up: the first round, which isn't counted, is left out.
func (s *simulation) figure(of func(*seedRun) float64) func(*probe) {
	round := -1
	return func(p *probe) {
		if round++; round == 0 {
			return
		}
		if round != s.round {
			s.round, s.run = round, &seedRun{seed: uint64(round), beats: s.beats, known: make(map[search][]quality)}
		}
		p.value = of(s.run)
	}
}

// seedRun is a round of the simulation.
type seedRun struct {
	seed   uint64
	beats  int
	traces [8]*trace
	known  map[search][]quality
}

type search struct {
	watcher     string
	bound       float64
	first, last int
}

// best are the qualities of the watcher in environments first up to last, with its best parameter for them.
func (r *seedRun) best(w watcher, bound float64, first, last int) []quality {
	key := search{w.name, bound, first, last}
	if r.known[key] == nil {
		for i := first; i < last; i++ {
			if r.traces[i] == nil {
				r.traces[i] = environments[i].simulate(r.beats, r.seed)
			}
		}
		_, r.known[key] = w.best(r.traces[first:last], bound)
	}
	return r.known[key]
}

// mean detection time over environments from first on.
func (r *seedRun) mean(all []quality, u unit, first int) float64 {
	sum := 0.0
	for i, q := range all {
		if u == intervals {
			q.detection /= environments[first+i].beat
		}
		sum += q.detection
	}
	return sum / float64(len(all))
}

// watcher is a kind of detector with one parameter: the larger, the longer it waits.
type watcher struct {
	name       string
	low, high  float64 // bounds of the parameter
	make       func(beat time.Duration, parameter float64) judge
	stallProof bool // judges by the stall-proof clock
}

// judge is what the simulation needs of a detector.
type judge interface {
	hear(now time.Duration, h hearing)
	until() time.Duration // when it suspects the sender, unless there is a heartbeat before
}

// of is a detector of the library that heartbeats tell nothing but that they are there.
type of struct{ detector.Detector }

func (j of) hear(now time.Duration, _ hearing) { j.Heartbeat(now) }
func (j of) until() time.Duration              { return j.AvailableUntil() }

// ofDeclared hears from each heartbeat when the next is due.
type ofDeclared struct{ *detector.Adaptive }

func (j ofDeclared) hear(now time.Duration, h hearing) { j.HeartbeatEvery(now, h.period) }
func (j ofDeclared) until() time.Duration              { return j.AvailableUntil() }

// cassandra is that database's detector: it takes intervals for exponentially distributed, keeps 1,000 of them, the first assumed to be twice as long as
// configured, and leaves out those above 2 s.
type cassandra struct {
	threshold float64
	first     time.Duration
	longest   time.Duration
	window    []time.Duration
	next      int
	sum       time.Duration
	last      time.Duration
}

func (c *cassandra) hear(now time.Duration, _ hearing) {
	interval := now - c.last
	switch {
	case c.window == nil:
		interval = c.first
	case now <= c.last:
		return
	}
	c.last = now
	if interval > c.longest {
		return
	}
	if len(c.window) < 1000 {
		c.window = append(c.window, interval)
	} else {
		c.sum -= c.window[c.next]
		c.window[c.next] = interval
		c.next = (c.next + 1) % len(c.window)
	}
	c.sum += interval
}

func (c *cassandra) until() time.Duration {
	mean := float64(c.sum) / float64(len(c.window))
	return c.last + time.Duration(c.threshold*math.Ln10*mean)
}

// must is for configurations that are known to be valid.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The watchers. Pauses and timeouts are parameters in heartbeat intervals. Akka's is the library's window detector with Akka's curve, which
// agrees with Akka's own test vectors.
var (
	akka = watcher{name: "Akka, pause", low: .01, high: 400, make: func(beat time.Duration, p float64) judge {
		return of{must(detector.NewAccrual(detector.Config{
			Threshold: 8, FirstEstimate: beat, MinStdDev: beat / 10, AcceptablePause: scale(beat, p), Curve: detector.Logistic}))}
	}}
	cassandras = watcher{name: "Cassandra, threshold", low: .1, high: 400, make: func(beat time.Duration, p float64) judge {
		return &cassandra{threshold: p, first: 2 * beat, longest: max(2*time.Second, 2*beat)}
	}}
	fixed = watcher{name: "fixed deadline", low: 1, high: 400, make: func(beat time.Duration, p float64) judge {
		return of{must(detector.NewDeadline(scale(beat, p), 0))}
	}}
	unproofed = watcher{name: ours + ", real time", low: 1, high: 1e7, make: adaptive}
	proofed   = watcher{name: ours, low: 1, high: 1e7, make: adaptive, stallProof: true}
)

// adaptive is ours, with one configuration for all environments. Its parameter is how often it may be wrong.
func adaptive(beat time.Duration, p float64) judge {
	return ofDeclared{must(detector.NewAdaptive(detector.AdaptiveConfig{
		Interval: beat, MistakeEvery: time.Duration(p * float64(time.Second)),
	}))}
}

func scale(d time.Duration, factor float64) time.Duration { return time.Duration(float64(d) * factor) }

// quality is a quality of service.
type quality struct {
	detection float64 // mean time from a crash right after a heartbeat was sent until it's suspected, in ms
	mistakes  float64 // a second
}

// serve runs a detector over the trace.
func (t *trace) serve(w watcher, parameter float64) quality {
	j := w.make(milliseconds(t.environment.beat), parameter)
	mistakes, sum, n := 0, 0.0, 0
	stalls, from := newCursor(t.stalls), 0
	for i, h := range t.heard {
		now := h.heard
		if w.stallProof {
			now = h.read
		}
		if i > 0 && j.until() <= now {
			mistakes++
		}
		j.hear(now, h)
		suspected := j.until()
		if w.stallProof {
			suspected, from = t.real(suspected, from)
		} else {
			suspected = stalls.release(suspected)
		}
		sum += float64(suspected - h.sent)
		n++
	}
	return quality{sum / float64(n) / 1e6, float64(mistakes) / t.duration.Seconds()}
}

// best finds the least parameter, to 2 %, with which the watcher's mistake rate is within the bound in every trace, and returns its qualities.
func (w watcher) best(traces []*trace, bound float64) (parameter float64, qualities []quality) {
	try := func(p float64) []quality {
		var all []quality
		for _, t := range traces {
			s := t.serve(w, p)
			if s.mistakes > bound {
				return nil
			}
			all = append(all, s)
		}
		return all
	}
	low, high := w.low, w.high
	parameter = high
	if qualities = try(high); qualities == nil {
		panic(fmt.Sprintf("%s: more than %g mistakes a second at any parameter", w.name, bound))
	}
	for high/low > 1.02 {
		middle := math.Sqrt(low * high)
		if s := try(middle); s != nil {
			high, parameter, qualities = middle, middle, s
		} else {
			low = middle
		}
	}
	return parameter, qualities
}
