package actors

import (
	"sync/atomic"
	"time"
)

// watch looks in every now and then on the goroutine that a supervisor's sequence lends to a child. If the same child still has it, the sequence goes
// on elsewhere. A supervisor has one for all its sequences, so that it needn't be set for each: it goes to sleep when nothing was lent since its last look.
type watch struct {
	turn     atomic.Uint64            // odd while the goroutine is lent; counts on from one sequence to the next
	sequence atomic.Pointer[sequence] // whose turn it is
	armed    atomic.Bool
	timer    *time.Timer
	seen     uint64 // the turn at the last look; the timer's own
}

// patrol is how often it looks in.
const patrol = 5 * time.Millisecond

func newWatch() *watch {
	w := new(watch)
	w.timer = time.AfterFunc(NoLimit, w.look)
	w.timer.Stop()
	return w
}

// lend lends the calling goroutine. It returns false if the sequence has gone on elsewhere meanwhile; then this goroutine has no part in it any more.
func (w *watch) lend(run func()) (mine bool) {
	turn := w.turn.Add(1)
	if !w.armed.Swap(true) {
		w.timer.Reset(patrol)
	}
	returned := false
	defer func() {
		if !returned && w.turn.CompareAndSwap(turn, turn+1) { // runtime.Goexit: the goroutine is lost
			w.sequence.Load().goOn()
		}
	}()
	run()
	returned = true
	return w.turn.CompareAndSwap(turn, turn+1)
}

// takeBack lets the sequence go on elsewhere, if its goroutine is lent.
func (w *watch) takeBack() {
	if turn := w.turn.Load(); turn%2 == 1 && w.turn.CompareAndSwap(turn, turn+1) {
		w.sequence.Load().goOn()
	}
}

// look is what the timer does: a turn that it has seen before takes too long.
func (w *watch) look() {
	turn := w.turn.Load()
	lent := turn%2 == 1
	switch {
	case lent && turn == w.seen:
		if w.turn.CompareAndSwap(turn, turn+1) {
			w.armed.Store(false)
			w.sequence.Load().goOn()
			return
		}
	case !lent:
		w.armed.Store(false)
		if w.turn.Load() == turn || w.armed.Swap(true) {
			return
		}
	}
	w.seen = turn
	w.timer.Reset(patrol)
}

// stop ends the watch, when nothing will be lent any more.
func (w *watch) stop() { w.timer.Stop() }
