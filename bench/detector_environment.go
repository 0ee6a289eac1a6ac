package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/mistersmith/mistersmith/detector"
)

// environment is a network with a sender and a monitor, for the simulation of what a detector's quality of service is. Times in ms, if not
// stated otherwise. The environments are those of the accrual detector's literature, and of Go programs under load.
type environment struct {
	name    string
	beat    float64   // interval of heartbeats
	beats   []float64 // if not nil, the interval changes between these, after 500 heartbeats on average
	delay   func(*rand.Rand) float64
	loss    float64
	outages outages // of the network
	sender  pauses
	monitor pauses
	noisy   bool // one minute in twenty, delays grow and a twentieth is lost
}

// outages are when nothing arrives: every so many ms on average, for so long.
type outages struct {
	every  float64
	length func(*rand.Rand) float64
}

// pauses are when a process stands still: as outages.
type pauses = outages

func normal(mean, stddev float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return max(mean-3*stddev, mean+stddev*r.NormFloat64()) }
}

func exponential(base, mean float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return base + mean*r.ExpFloat64() }
}

// pareto has a heavy tail: the shape is that of the lengths of outages in the detector's first experiment, whose longest took two minutes.
func pareto(least, shape, most float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return min(most, least*math.Pow(1-r.Float64(), -1/shape)) }
}

// standstill is what a process under load suffers every 20 s: 60 ms half of the time, more than 1.1 s once in a hundred.
var standstill = pauses{20_000, func(r *rand.Rand) float64 { return 60 * math.Exp(1.25*r.NormFloat64()) }}

var environments = []environment{
	{name: "S1 wide area", beat: 100, delay: normal(141.75, 13.15), loss: .0005, outages: outages{714_000, pareto(100, 1.05, 113_000)}},
	{name: "S2 normal jitter", beat: 100, delay: normal(50, 10)},
	{name: "S3 exponential, loss", beat: 100, delay: exponential(5, 20), loss: .005},
	{name: "S4 sender pauses", beat: 100, delay: normal(5, 1), sender: standstill},
	{name: "S5 monitor pauses", beat: 100, delay: normal(5, 1), monitor: standstill},
	{name: "S6 changing period", beat: 100, beats: []float64{100, 200, 400}, delay: normal(20, 5)},
	{name: "S7 outages, noise", beat: 100, delay: normal(20, 3), loss: .0005, outages: outages{1_800_000, exponential(0, 1000)}, noisy: true},
	{name: "S8 once a second", beat: 1000, delay: normal(1.5, .3), loss: .005, sender: standstill, monitor: standstill},
}

// trace is what happened in an environment: the heartbeats that were heard, in that order.
type trace struct {
	environment environment
	heard       []hearing
	duration    time.Duration
	stalls      []span // of the monitor
	clock       []knot // what the monitor's stall-proof clock did
}

// hearing is a heartbeat that was heard.
type hearing struct {
	sent   time.Duration
	heard  time.Duration // by the monitor, when it was not standing still
	read   time.Duration // what the stall-proof clock read then
	period time.Duration // when the sender meant to send the next
}

type span struct{ begin, end time.Duration }

const clockTick = detector.DefaultTick

// knot is a moment in which the stall-proof clock left something out: from real on it reads read, and follows real time.
type knot struct{ real, read time.Duration }

// simulate makes a trace of n heartbeats.
func (e environment) simulate(n int, seed uint64) *trace {
	t := &trace{environment: e}
	r := rand.New(rand.NewPCG(seed, uint64(e.name[1])))
	horizon := float64(n) * e.beat
	if e.beats != nil {
		horizon *= 3
	}
	down, paused, stalls := e.outages.spans(r, horizon), e.sender.spans(r, horizon), e.monitor.spans(r, horizon)
	t.stalls = stalls

	scheduled, period := 0.0, e.beat
	noise := newCursor(everyTwentiethMinute(horizon, e.noisy))
	network, sender := newCursor(down), newCursor(paused)
	for range n {
		if e.beats != nil && r.IntN(500) == 0 {
			period = e.beats[r.IntN(len(e.beats))]
		}
		sent := sender.release(milliseconds(scheduled))
		if late := float64(sent)/1e6 - scheduled; late > 0 { // heartbeats that fall into a pause are one, after it
			scheduled += period * math.Floor(late/period)
		}
		scheduled += period
		delay, loss := e.delay(r), e.loss
		if noise.inside(sent) {
			delay, loss = delay+100*r.ExpFloat64(), .05
		}
		lost := r.Float64() < loss
		arrives := sent + milliseconds(delay)
		if lost || network.inside(sent) {
			continue
		}
		t.heard = append(t.heard, hearing{sent: sent, heard: arrives, period: milliseconds(period)})
	}
	slices.SortStableFunc(t.heard, func(a, b hearing) int { return int(a.heard - b.heard) })
	monitor := newCursor(stalls)
	for i := range t.heard {
		t.heard[i].heard = monitor.release(t.heard[i].heard)
	}
	t.duration = t.heard[len(t.heard)-1].heard
	t.runClock()
	return t
}

// runClock drives the library's clock through the trace, with a tick every 5 ms unless the monitor stands still.
func (t *trace) runClock() {
	clock, err := detector.NewClock(detector.ClockConfig{})
	if err != nil {
		panic(err)
	}
	monitor := newCursor(t.stalls)
	next, last := 0, time.Duration(0)
	for real := time.Duration(0); next < len(t.heard); {
		for next < len(t.heard) && t.heard[next].heard < real {
			t.heard[next].read = clock.Now()
			next++
		}
		before := clock.Now()
		clock.Tick(real)
		if clock.Now()-before != real-last || real == 0 {
			t.clock = append(t.clock, knot{real, clock.Now()})
		}
		last = real
		real = monitor.release(real + clockTick) // ticks that fall into a standstill are one, after it
	}
}

// real is when the stall-proof clock reaches a reading. from is a knot before, to begin the search at; the knot found is returned for the
// next search.
func (t *trace) real(read time.Duration, from int) (time.Duration, int) {
	for from+1 < len(t.clock) && t.clock[from+1].read <= read {
		from++
	}
	k := t.clock[from]
	at := k.real + (read-k.read+clockTick-1)/clockTick*clockTick
	if from+1 < len(t.clock) {
		at = min(at, t.clock[from+1].real)
	}
	return at, from
}

func (o outages) spans(r *rand.Rand, horizon float64) []span {
	if o.every == 0 {
		return nil
	}
	var spans []span
	for at := o.every * r.ExpFloat64(); at < horizon; at += o.every * r.ExpFloat64() {
		end := at + o.length(r)
		spans = append(spans, span{milliseconds(at), milliseconds(end)})
		at = end
	}
	return spans
}

func everyTwentiethMinute(horizon float64, noisy bool) []span {
	var spans []span
	for at := 10 * 60_000.0; noisy && at < horizon; at += 20 * 60_000 {
		spans = append(spans, span{milliseconds(at), milliseconds(at + 60_000)})
	}
	return spans
}

// cursor walks over spans as time goes on.
type cursor struct {
	spans []span
	next  int
}

func newCursor(spans []span) *cursor { return &cursor{spans: spans} }

func (c *cursor) inside(at time.Duration) bool {
	for c.next < len(c.spans) && c.spans[c.next].end <= at {
		c.next++
	}
	return c.next < len(c.spans) && c.spans[c.next].begin <= at
}

// release is the moment, or the end of the span it lies in.
func (c *cursor) release(at time.Duration) time.Duration {
	if c.inside(at) {
		return c.spans[c.next].end
	}
	return at
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
