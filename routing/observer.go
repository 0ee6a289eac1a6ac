package routing

import (
	"context"
	"sync"
)

// Beat is a sign of life without anything to report: whoever watches over the task's agent knows that its handler gets on. It costs some
// nanoseconds, so a long computation may call it in its loop. Outside of a task it does nothing.
func Beat(ctx context.Context) {
	if lease := leaseOf(ctx); lease != nil {
		lease.beat()
	}
}

// Waiting says that the handler waits from now on for something that has a time limit of its own, until it calls done, once or more often:
// meanwhile nobody expects progress of it. (Awaiting another task says so by itself.) Outside of a task it does nothing.
func Waiting(ctx context.Context) (done func()) {
	lease := leaseOf(ctx)
	if lease == nil || lease.observer == nil {
		return func() {}
	}
	lease.observe(true)
	return sync.OnceFunc(func() { lease.observe(false) })
}

// Observer is what a spoke may watch handlers with. Its methods are called on the goroutines of the handler, also those that it has left running when it
// returned, and must be quick.
type Observer interface {
	Progressed(l *Lease)          // a sign of life: Progress or Beat was called
	Waits(l *Lease, waiting bool) // the handler begins, or ends, to wait for something with a time limit of its own; such waits may overlap
}

// Observe makes o hear of what the handler does. Call it before Context, if at all.
func (l *Lease) Observe(o Observer) { l.observer = o }

// LastChance reports whether the task goes into quarantine if this attempt crashes, hangs or times out.
func (l *Lease) LastChance() bool {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	return int(l.task.strikes)+1 >= l.task.lane.quarantineAfter
}

func (l *Lease) beat() {
	if l.observer != nil {
		l.observer.Progressed(l)
	}
}

func (l *Lease) observe(waiting bool) {
	if l.observer != nil {
		l.observer.Waits(l, waiting)
	}
}
