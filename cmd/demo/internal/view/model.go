// Package view draws a run on a terminal. A [Model] is what there is to see, and [Model.Render] makes a screen of it, of any size; [Program] keeps
// that screen up to date in its place.
package view

import (
	"time"

	"github.com/mistersmith/mistersmith/actors"
)

// Model is a run at one moment.
type Model struct {
	Title   string // what is worked on
	Note    string // something the user should know now, such as that the run is being cut short
	Elapsed time.Duration

	Total, Settled      int // tasks
	Running, Waiting    int
	Attempts, Restarts  int
	Quarantined, Failed int
	Rate                float64       // tasks settled in a second, lately
	Left                time.Duration // as it looks; negative if nobody knows
	Tree                actors.NodeSnapshot
	Events              []Event // oldest first
}

// Event is something that happened.
type Event struct {
	At    time.Duration // since the run began
	Grave bool
	Text  string
}

// Look is how it is drawn.
type Look struct {
	Colour bool
	ASCII  bool
}

// Smallest is the smallest terminal that the view is of use on; a smaller one is better served with lines of text.
const (
	SmallestWidth  = 40
	SmallestHeight = 12
)

// Pace is how fast a run gets on: its rate, and how long it will take.
type Pace struct {
	samples []sample
}

type sample struct {
	at      time.Duration
	settled int
}

// paceWindow is how far back the rate looks.
const paceWindow = 3 * time.Second

// Note takes in how many tasks are settled at a time since the start. Times must not go back.
func (p *Pace) Note(at time.Duration, settled int) {
	p.samples = append(p.samples, sample{at, settled})
	for len(p.samples) > 2 && p.samples[1].at <= at-paceWindow {
		p.samples = p.samples[1:]
	}
}

// Rate is how many tasks were settled in a second, over the last few seconds.
func (p *Pace) Rate() float64 {
	if len(p.samples) == 0 {
		return 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	if last.at <= first.at {
		return 0
	}
	return float64(last.settled-first.settled) / (last.at - first.at).Seconds()
}

// Left is how long so many tasks will take at this rate; negative if there is none.
func (p *Pace) Left(tasks int) time.Duration {
	rate := p.Rate()
	if tasks <= 0 {
		return 0
	}
	if rate <= 0 || float64(tasks)/rate > (100*time.Hour).Seconds() {
		return -1
	}
	return time.Duration(float64(tasks) / rate * float64(time.Second))
}
