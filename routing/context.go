package routing

import (
	"context"
	"time"
)

type leaseKey struct{}

// jobContext is a lease as the context of its attempt. Most handlers never look whether their context has ended; so the cancellable
// context of the standard library that says so is made only when somebody asks.
type jobContext Lease

func (c *jobContext) Deadline() (time.Time, bool) {
	c.ctxMu.Lock()
	end, cause := (*Lease)(c).ends()
	c.ctxMu.Unlock()
	deadline, ok := c.parent.Deadline()
	if cause != nil && (!ok || end.Before(deadline)) {
		return end, true
	}
	return deadline, ok
}

func (c *jobContext) Done() <-chan struct{} { return (*Lease)(c).made().Done() }

func (c *jobContext) Err() error {
	if made := (*Lease)(c).ended(); made != nil {
		return made.Err()
	}
	return nil
}

// Value also answers the standard library, which finds the cause of an end by a key of its own: that only the context that was made knows.
func (c *jobContext) Value(key any) any {
	if key == (leaseKey{}) {
		return (*Lease)(c)
	}
	if made := (*Lease)(c).ended(); made != nil {
		return made.Value(key)
	}
	return c.parent.Value(key)
}

// FromContext tells a handler which task it works on. It is false outside of a task.
func FromContext(ctx context.Context) (TaskInfo, bool) {
	lease := leaseOf(ctx)
	if lease == nil {
		return TaskInfo{}, false
	}
	return lease.Info(), true
}

// Context returns the context for running the task, with the values and the cancellation of parent. It ends, with a cause
// ([ErrExpired], [ErrAttemptTimeout], [ErrRevoked], or what the canceller gave), as soon as the result would not count any more, and
// with context.Canceled once the lease is settled. Call it at most once.
func (l *Lease) Context(parent context.Context) context.Context {
	l.parent = parent
	return (*jobContext)(l)
}

// OnRevoke has f called once if the lease is taken back before it is settled, on the goroutine that takes it; f must not block. If that has
// happened already, f is called now. Call it at most once.
func (l *Lease) OnRevoke(f func(*Lease)) {
	l.ctxMu.Lock()
	gone := l.gone != nil
	if !gone {
		l.onRevoke = f
	}
	l.ctxMu.Unlock()
	if gone {
		f(l)
	}
}

// ended returns the context that was made, or makes it if there is an end to tell of; nil if nobody has asked and there is none.
func (l *Lease) ended() context.Context {
	l.ctxMu.Lock()
	over := l.gone != nil
	var made context.Context
	if l.extra != nil {
		made = l.extra.ctx
	}
	end, cause := l.ends()
	l.ctxMu.Unlock()
	switch {
	case made != nil:
		return made
	case over, l.parent.Err() != nil:
		return l.made()
	}
	if cause != nil && !time.Now().Before(end) {
		return l.made()
	}
	return nil
}

// made returns the context of the standard library behind the lease's.
func (l *Lease) made() context.Context {
	l.ctxMu.Lock()
	defer l.ctxMu.Unlock()
	e := l.more()
	if e.ctx != nil {
		return e.ctx
	}
	ctx, cancel := context.WithCancelCause(l.parent)
	release := (func(error))(cancel)
	if deadline := l.task.deadline; deadline != 0 && l.gone != context.Canceled {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, l.hub.clock.at(deadline), ErrExpired)
		release = func(err error) { cancel(err); stop() }
	}
	gone := l.gone
	if l.expires != 0 && (gone == nil || gone == ErrAttemptTimeout) {
		ctx, release = l.limit(ctx, release)
		if _, limit := l.ends(); limit == ErrAttemptTimeout && l.left() <= 0 {
			gone = ErrAttemptTimeout
		}
	}
	e.ctx, e.cancel = ctx, release
	if gone != nil {
		release(gone) // nobody hears of this end but those who have the context, which the caller is about to get
		e.cancel = nil
	}
	return ctx
}

// ends returns when the attempt must be over, and why; the cause is nil if there is no limit. The caller holds ctxMu.
func (l *Lease) ends() (time.Time, error) {
	deadline, expires := l.task.deadline, l.expires
	if l.extra != nil && l.extra.restedAt != 0 {
		expires = 0
	}
	switch {
	case deadline == 0 && expires == 0:
		return time.Time{}, nil
	case expires == 0 || deadline != 0 && deadline <= expires:
		return l.hub.clock.at(deadline), ErrExpired
	default:
		return l.hub.clock.at(expires), ErrAttemptTimeout
	}
}

// revoke ends the attempt's context because the lease was taken back. The hub's mutex must not be held.
func (l *Lease) revoke(cause error) {
	l.ctxMu.Lock()
	first := l.gone == nil
	if first {
		l.gone = cause
	}
	tell := l.onRevoke
	var cancel func(error)
	if l.extra != nil {
		cancel = l.extra.cancel
	}
	l.onRevoke = nil
	l.ctxMu.Unlock()
	if !first {
		return
	}
	deadline := cause == ErrExpired && l.task.overdue(l.hub.clock.now()) // for that it has a timer, and ends with the right Err by it
	if cancel != nil && !deadline {
		cancel(cause)
	}
	if tell != nil {
		tell(l)
	}
}

// releaseContext frees what the context of a returned lease holds.
func (l *Lease) releaseContext() {
	l.ctxMu.Lock()
	if l.gone == nil {
		l.gone = context.Canceled
	}
	l.onRevoke = nil
	var cancel func(error)
	if e := l.extra; e != nil {
		cancel, e.cancel = e.cancel, nil
		if e.timer != nil {
			e.timer.Stop()
		}
	}
	l.ctxMu.Unlock()
	if cancel != nil {
		cancel(context.Canceled)
	}
}
