package actors

import (
	"sync"
	"time"
)

// deadlines are a tree's incarnations that must have ended by some time, or else are fenced off. Nearly all end in no time, so they have one timer
// between them: it is set when one comes that is due before the timer, and looks again when it has gone off.
type deadlines struct {
	mu    sync.Mutex
	all   []deadline
	next  time.Time // when the timer goes off; zero when it isn't set
	timer *time.Timer
	over  bool
}

type deadline struct {
	in  *incarnation
	due time.Time
	o   outcome // with which it is fenced off
}

// add sets a deadline. An incarnation has at most one at a time: its place in the list is its own, and guarded by the list's lock.
func (d *deadlines) add(in *incarnation, limit time.Duration, o outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return
	}
	due := time.Now().Add(limit)
	d.all = append(d.all, deadline{in, due, o})
	in.deadline = int32(len(d.all))
	if d.next.IsZero() || due.Before(d.next) {
		d.set(due)
	}
}

// remove takes a deadline back.
func (d *deadlines) remove(in *incarnation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(in)
}

func (d *deadlines) drop(in *incarnation) {
	if in.deadline == 0 {
		return
	}
	last := len(d.all) - 1
	d.all[in.deadline-1] = d.all[last]
	d.all[in.deadline-1].in.deadline = in.deadline
	d.all[last] = deadline{}
	d.all = d.all[:last]
	in.deadline = 0
}

func (d *deadlines) set(due time.Time) {
	d.next = due
	if d.timer == nil {
		d.timer = time.AfterFunc(time.Until(due), d.look)
	} else {
		d.timer.Reset(time.Until(due))
	}
}

// look fences off what is overdue.
func (d *deadlines) look() {
	d.mu.Lock()
	now := time.Now()
	d.next = time.Time{}
	var overdue []deadline
	var next time.Time
	for _, e := range d.all {
		if !e.due.After(now) {
			overdue = append(overdue, e)
		} else if next.IsZero() || e.due.Before(next) {
			next = e.due
		}
	}
	for _, e := range overdue {
		d.drop(e.in)
	}
	if !next.IsZero() && !d.over {
		d.set(next)
	}
	d.mu.Unlock()
	for _, e := range overdue {
		e.in.fence(e.o, true)
	}
}

// close takes all back.
func (d *deadlines) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.timer != nil {
		d.timer.Stop()
	}
}
