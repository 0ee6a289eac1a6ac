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
	lease, within := leaseOf(ctx), partOf(ctx)
	if within == nil && (lease == nil || lease.observer == nil) {
		return func() {}
	}
	waits := func(waiting bool) {
		if lease != nil {
			lease.observe(waiting)
		}
		within.wait(waiting)
	}
	waits(true)
	return sync.OnceFunc(func() { waits(false) })
}

// ObserveWaits returns a context for a part of a handler's work. hear is told of each begin and end of a wait for something with a time limit of its own, be it
// of another task or by [Waiting], that is made with this context or one made of it, as an Observer is of those of the whole handler. Such waits may overlap; hear may be called
// on several goroutines, and must be quick.
func ObserveWaits(ctx context.Context, hear func(waiting bool)) context.Context {
	return context.WithValue(ctx, partKey{}, &part{hear, partOf(ctx)})
}

// part is a part of a handler's work, itself perhaps within another.
type part struct {
	hear   func(waiting bool)
	within *part
}

type partKey struct{}

func partOf(ctx context.Context) *part {
	p, _ := ctx.Value(partKey{}).(*part)
	return p
}

func (p *part) wait(waiting bool) {
	for ; p != nil; p = p.within {
		p.hear(waiting)
	}
}

// Observer is what a spoke may watch handlers with. Its methods are called on the goroutines of the handler, also those that it has left running when it
// returned, and must be quick.
type Observer interface {
	Progressed(l *Lease)          // a sign of life: Progress or Beat was called
	Waits(l *Lease, waiting bool) // the handler begins, or ends, to wait for something with a time limit of its own; such waits may overlap
}

// Observe makes o hear of what the handler does. Call it before Context, if at all.
func (l *Lease) Observe(o Observer) { l.observer = o }

// Strikes reports how many attempts of the task have crashed, hung or timed out before this one, and whether the next that does is the last: the task
// goes into quarantine then.
func (l *Lease) Strikes() (before int, last bool) {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	before = int(l.task.strikes)
	return before, before+1 >= l.task.lane.quarantineAfter
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
