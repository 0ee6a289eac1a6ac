package routing

import (
	"context"
	"time"
)

type leaseKey struct{}

// jobContext is the context of one attempt: a cancellable context of the standard library, which knows its lease.
type jobContext struct {
	context.Context
	lease *Lease
}

func (c jobContext) Value(key any) any {
	if key == (leaseKey{}) {
		return c.lease
	}
	return c.Context.Value(key)
}

// FromContext tells a handler which task it works on. It is false outside of a task.
func FromContext(ctx context.Context) (TaskInfo, bool) {
	lease, ok := ctx.Value(leaseKey{}).(*Lease)
	if !ok {
		return TaskInfo{}, false
	}
	return lease.Info(), true
}

// Context returns the context for running the task, with the values and the cancellation of parent. It ends, with a cause
// ([ErrExpired], [ErrAttemptTimeout], [ErrRevoked], or what the canceller gave), as soon as the result would not count any more, and
// with context.Canceled once the lease is settled. Call it at most once.
func (l *Lease) Context(parent context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(parent)
	release := (func(error))(cancel)
	if end, cause := l.ends(); cause != nil {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, end, cause)
		release = func(err error) { cancel(err); stop() }
	}
	l.ctxMu.Lock()
	gone := l.gone
	l.cancel = release
	l.ctxMu.Unlock()
	if gone != nil {
		release(gone)
	}
	return jobContext{Context: ctx, lease: l}
}

// ends returns when the attempt must be over, and why; the cause is nil if there is no limit.
func (l *Lease) ends() (time.Time, error) {
	deadline, expires := l.task.deadline, l.expires
	switch {
	case deadline == 0 && expires == 0:
		return time.Time{}, nil
	case expires == 0 || deadline != 0 && deadline <= expires:
		return l.hub.clock.at(deadline), ErrExpired
	default:
		return l.hub.clock.at(expires), ErrAttemptTimeout
	}
}

// endContext ends the attempt's context, once; the first cause stays. The hub's mutex must not be held.
func (l *Lease) endContext(cause error) {
	l.ctxMu.Lock()
	cancel := l.cancel
	if l.gone != nil {
		cancel = nil
	} else {
		l.gone = cause
	}
	l.ctxMu.Unlock()
	if cause == ErrExpired || cause == ErrAttemptTimeout {
		return // the context has a timer for that, and ends with the right Err by it
	}
	if cancel != nil {
		cancel(cause)
	}
}

// releaseContext frees what the context of a returned lease holds.
func (l *Lease) releaseContext() {
	l.endContext(context.Canceled)
	l.ctxMu.Lock()
	cancel := l.cancel
	l.cancel = nil
	l.ctxMu.Unlock()
	if cancel != nil {
		cancel(context.Canceled)
	}
}
