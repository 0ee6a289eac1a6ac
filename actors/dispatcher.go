package actors

import "sync"

// dispatcher runs mailboxes and jobs on goroutines that are parked and used again, the one parked last first: its stack
// is warm and has grown already. A goroutine that user code never gives back just never returns to it. It implements
// protoactor's actor.Dispatcher.
type dispatcher struct {
	mu     sync.Mutex
	idle   []chan runner
	closed bool
}

// runner is what a goroutine is lent to.
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
		r.run()
		d.mu.Lock()
		if d.closed || len(d.idle) >= idleGoroutines {
			d.mu.Unlock()
			return
		}
		d.idle = append(d.idle, next)
		d.mu.Unlock()
		var ok bool
		if r, ok = <-next; !ok {
			return
		}
	}
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
