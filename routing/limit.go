package routing

import (
	"context"
	"sync"
	"time"
)

// limited is a context with an end that can be put off, other than the standard library's: the time limit of an attempt stands still while
// its handler awaits something. Err is context.DeadlineExceeded after it, in contexts derived from it too.
type limited struct {
	context.Context // ended with ErrAttemptTimeout at the limit
	done            chan struct{}
	once            sync.Once
}

func (l *limited) close() { l.once.Do(func() { close(l.done) }) }

// Done is a channel of its own: seeing that, the standard library asks Err for the error of derived contexts, and AfterFunc when that is.
func (l *limited) Done() <-chan struct{} { return l.done }

func (l *limited) Err() error {
	if context.Cause(l.Context) == ErrAttemptTimeout {
		return context.DeadlineExceeded
	}
	return l.Context.Err()
}

// AfterFunc is what the standard library looks for in contexts that aren't its own.
func (l *limited) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(l.Context, f) }

// AfterFunc is called by the standard library if the attempt has a time limit.
func (c *jobContext) AfterFunc(f func()) (stop func() bool) {
	made := (*Lease)(c).made()
	if l, ok := made.(*limited); ok {
		return l.AfterFunc(f)
	}
	return context.AfterFunc(made, f)
}

// limit puts the attempt's time limit on the context that end ends, and returns what to use instead of both. The caller holds ctxMu.
func (l *Lease) limit(ctx context.Context, end func(error)) (context.Context, func(error)) {
	limited := &limited{Context: ctx, done: make(chan struct{})}
	stop := context.AfterFunc(ctx, limited.close)
	endLimited := func(cause error) {
		stop() // or it would take a goroutine
		end(cause)
		limited.close()
	}
	left, e := l.left(), l.more()
	if e.restedAt != 0 {
		left = forever
	}
	e.timer = time.AfterFunc(left, func() { endLimited(ErrAttemptTimeout) })
	return limited, endLimited
}

// left returns how much is left of the attempt's time limit. The caller holds ctxMu.
func (l *Lease) left() time.Duration { return time.Duration(l.expires - l.hub.clock.now()) }
