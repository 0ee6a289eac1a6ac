package strategies

import (
	"math"
	"time"
)

// Budget is the restart budget of one supervisor incarnation: at most so many restarts within so long. A new incarnation has a
// new Budget. It keeps the times of at most max+1 attempts in a ring that grows as they come.
//
// A Budget is not safe for concurrent use: it belongs to its supervisor's goroutine.
type Budget struct {
	max    int           // restarts allowed; 0 is none, math.MaxInt unlimited
	window time.Duration // > 0
	times  []time.Time   // ring
	oldest int           // index into times
	count  int           // how many of times are in use
}

// NewBudget makes a budget of max restarts within window, with the conventions of [RestartPolicy]: 0 stands for
// DefaultMaxRestarts and DefaultWindow, NoRestarts (or any negative number) allows none, Unlimited never refuses.
func NewBudget(max int, window time.Duration) *Budget {
	b := &Budget{}
	b.Reconfigure(max, window)
	return b
}

// Reconfigure changes max and window, with the conventions of [NewBudget]. They hold from the next Spend on; what was entered
// before still counts, if the new window reaches back to it.
func (b *Budget) Reconfigure(max int, window time.Duration) {
	switch {
	case max == 0:
		max = DefaultMaxRestarts
	case max < 0:
		max = 0
	}
	if window <= 0 {
		window = DefaultWindow
	}
	b.max, b.window = max, window
}

// Spend enters one restart attempt and reports whether it may go ahead: false when, with it, more than Max attempts lie within
// Window. A refused attempt is entered too. An attempt exactly Window ago still counts. now must not run backwards from call to
// call. The cost doesn't depend on Max (amortised).
func (b *Budget) Spend(now time.Time) bool {
	if b.max == math.MaxInt {
		return true // and nothing is kept: there is no bound to keep it within
	}
	b.expire(now)
	for b.count > b.max { // full, after a refusal or a Reconfigure
		b.drop()
	}
	b.add(now)
	return b.count <= b.max
}

// Spent returns how many of the entered attempts count at now, refused ones included: at most Max+1, or more after Reconfigure
// lowered Max and until the next Spend. An unlimited budget enters nothing.
func (b *Budget) Spent(now time.Time) int {
	b.expire(now)
	return b.count
}

// Max returns how many restarts the budget allows within its window: 0 for none, math.MaxInt if it is unlimited.
func (b *Budget) Max() int { return b.max }

// Window returns the time the budget looks back.
func (b *Budget) Window() time.Duration { return b.window }

func (b *Budget) expire(now time.Time) {
	for b.count > 0 && now.Sub(b.times[b.oldest]) > b.window {
		b.drop()
	}
}

func (b *Budget) drop() {
	b.oldest = (b.oldest + 1) % len(b.times)
	b.count--
}

func (b *Budget) add(now time.Time) {
	if b.count == len(b.times) {
		b.grow()
	}
	b.times[(b.oldest+b.count)%len(b.times)] = now
	b.count++
}

// grow doubles the ring, up to the Max+1 that are ever needed.
func (b *Budget) grow() {
	size := max(4, 2*len(b.times))
	if size > b.max {
		size = max(b.max, b.count) + 1
	}
	times := make([]time.Time, size)
	n := copy(times, b.times[b.oldest:])
	copy(times[n:], b.times[:b.oldest])
	b.times, b.oldest = times, 0
}
