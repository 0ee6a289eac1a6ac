package actors

import (
	"runtime"
	"sync"

	"github.com/mistersmith/mistersmith/internal/ring"
)

// dispatcher runs mailboxes and jobs on goroutines that are parked and used again, the one parked last first: its stack
// is warm and has grown already. A goroutine that user code never gives back just never returns to it. It implements
// protoactor's actor.Dispatcher.
//
// Everything gets a goroutine of its own, but not before a processor is there to run it: no more goroutines are on their way, woken or fresh, than there
// are processors. What comes meanwhile waits. Each goroutine, when it gets going, sends the next one on its way before it does anything else; so
// whatever waits has one coming, and waits for nobody's code. And a goroutine that is done takes what has waited longest, without being parked and woken.
type dispatcher struct {
	mu      sync.Mutex
	idle    []chan runner
	coming  int // goroutines on their way
	most    int // of those
	waiting ring.Ring[runner]
	closed  bool
}

// runner is what a goroutine is given to.
type runner interface{ run() }

// function is a runner that is just a function.
type function func()

func (f function) run() { f() }

const (
	idleGoroutines = 64  // kept parked
	throughput     = 300 // messages an actor handles before it yields its thread
)

func (d *dispatcher) Throughput() int { return throughput }

// Schedule runs fn on a goroutine of its own. It never blocks.
func (d *dispatcher) Schedule(fn func()) { d.schedule(function(fn)) }

func (d *dispatcher) schedule(r runner) {
	d.mu.Lock()
	if d.most == 0 {
		d.most = runtime.GOMAXPROCS(0)
	}
	if d.coming >= d.most {
		d.waiting.Push(r)
		d.mu.Unlock()
		return
	}
	d.send(r)
}

// send sends a goroutine on its way. The caller holds the lock; it is released.
func (d *dispatcher) send(r runner) {
	d.coming++
	if n := len(d.idle); n > 0 {
		worker := d.idle[n-1]
		d.idle = d.idle[:n-1]
		d.mu.Unlock()
		worker <- r
		return
	}
	d.mu.Unlock()
	go d.work(r)
}

func (d *dispatcher) work(r runner) {
	next := make(chan runner, 1)
	for {
		d.arrived()
		r.run()
		for r = d.longestWaiting(); r != nil; r = d.longestWaiting() {
			r.run()
		}
		if !d.park(next) {
			return
		}
		var ok bool
		if r, ok = <-next; !ok {
			return
		}
	}
}

// arrived sends the next goroutine on its way, if there is anything for it.
func (d *dispatcher) arrived() {
	d.mu.Lock()
	d.coming--
	if d.waiting.Len() > 0 {
		d.send(d.waiting.Pop())
		return
	}
	d.mu.Unlock()
}

// longestWaiting returns nil if nothing waits.
func (d *dispatcher) longestWaiting() runner {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting.Len() == 0 {
		return nil
	}
	return d.waiting.Pop()
}

// park is false if the goroutine isn't kept.
func (d *dispatcher) park(next chan runner) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || len(d.idle) >= idleGoroutines {
		return false
	}
	d.idle = append(d.idle, next)
	return true
}

// close lets the parked goroutines go. What is scheduled later still runs.
func (d *dispatcher) close() {
	d.mu.Lock()
	idle := d.idle
	d.idle, d.closed = nil, true
	d.mu.Unlock()
	for _, worker := range idle {
		close(worker)
	}
}
