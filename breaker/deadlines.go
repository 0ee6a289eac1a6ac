package breaker

import (
	"sync"
	"time"
)

// deadlines ends the timed calls of a breaker. As all have the same time limit they end in the order in which they began:
// a list and one timer do, at a fraction of the price of a timer for each. The timer is not set back when a call is done;
// while calls come it fires once in a time limit, and a limit after the last it is gone.
type deadlines struct {
	mu          sync.Mutex // guards what follows, and the links of the calls
	first, last *timedCall
	timer       *time.Timer
	armed       bool
}

// add puts a call at the end of the list.
func (d *deadlines) add(c *timedCall) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.previous = d.last
	if d.last == nil {
		d.first = c
	} else {
		d.last.next = c
	}
	d.last = c
	if !d.armed {
		d.arm(c.breaker.cfg.OperationTimeout)
	}
}

// remove takes a call off the list, if it is there still.
func (d *deadlines) remove(c *timedCall) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.first != c && c.previous == nil {
		return
	}
	if c.previous == nil {
		d.first = c.next
	} else {
		c.previous.next = c.next
	}
	if c.next == nil {
		d.last = c.previous
	} else {
		c.next.previous = c.previous
	}
	c.previous, c.next = nil, nil
}

// due takes the oldest call off the list if its time is over; if it isn't, the timer is set for it.
func (d *deadlines) due() *timedCall {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := d.first
	if c == nil {
		d.armed = false
		return nil
	}
	if left := c.deadline - c.breaker.age(); left > 0 {
		d.arm(left)
		return nil
	}
	d.first = c.next
	if d.first == nil {
		d.last = nil
	} else {
		d.first.previous = nil
	}
	c.previous, c.next = nil, nil
	return c
}

// arm sets the timer. The caller holds mu.
func (d *deadlines) arm(after time.Duration) {
	d.armed = true
	if d.timer == nil {
		d.timer = time.AfterFunc(after, d.expire)
	} else {
		d.timer.Reset(after)
	}
}

// expire is the timer's call, on a goroutine of the runtime.
func (d *deadlines) expire() {
	for c := d.due(); c != nil; c = d.due() {
		c.expire()
	}
}
