package actors

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
)

// NotTakenError says that the node of a breaker didn't take a guarded call in time: it is starting, waiting for its restart, stopped, or too busy. The call
// wasn't made, and the breaker has heard nothing of it. errors.Is finds ErrNotUp and breaker.ErrStopped or, if the node is running, breaker.ErrSaturated; and the caller's
// context.Canceled or context.DeadlineExceeded, if that was it. Returned from a handler it delays the task, uncharged.
type NotTakenError struct {
	Path   string        // of the node
	Status Status        // when the caller gave up
	Waited time.Duration // until then
	Err    error         // why it gave up: of its context, or breaker.ErrStopped if the node stopped first, or nobody is about to start it; nil if it had waited long enough
}

func (e *NotTakenError) Error() string {
	why := ""
	if e.Err != nil {
		why = fmt.Sprintf(": %v", e.Err)
	}
	return fmt.Sprintf("guard %s: the node is %v and didn't take the call within %s%s", e.Path, e.Status, e.Waited.Round(time.Millisecond), why)
}

// Is finds what the node's status means to the caller.
func (e *NotTakenError) Is(target error) bool {
	if e.Status == StatusRunning {
		return target == breaker.ErrSaturated
	}
	return target == ErrNotUp || target == breaker.ErrStopped
}

func (e *NotTakenError) Unwrap() error { return e.Err }

// RetryAfter is a guess: nobody knows when the node will be up.
func (e *NotTakenError) RetryAfter() time.Duration { return time.Second }

// queued is a guarded call on its way through a breaker node's queue.
type queued struct {
	to    *node
	began time.Time
	state atomic.Int32
}

const (
	inQueue int32 = iota
	taken
	givenUp
)

// through is breaker.Through or breaker.ThroughWatched.
type through[T any] func(context.Context, *actor.ActorSystem, *actor.PID, func(context.Context) (T, error)) (T, error)

// inTurn makes a call through a breaker node, and waits for the node to take it for as long as the call may last then, or ten seconds if that has no limit.
func inTurn[T any](ctx context.Context, to *node, through through[T], fn func(context.Context) (T, error)) (T, error) {
	q := &queued{to: to, began: time.Now()}
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := to.guard.Breaker().Config().OperationTimeout
	if limit == breaker.NoTimeout {
		limit = breaker.DefaultOperationTimeout
	}
	timer := time.AfterFunc(limit, func() {
		if q.state.CompareAndSwap(inQueue, givenUp) {
			cancel(q.notTaken(nil))
		}
	})
	defer timer.Stop()
	v, err := through(inner, to.tree.system, to.pid, func(ctx context.Context) (T, error) {
		if !q.state.CompareAndSwap(inQueue, taken) {
			<-ctx.Done() // who gave up is about to end it
			var zero T
			return zero, ctx.Err()
		}
		timer.Stop()
		return fn(ctx)
	})
	return v, q.explain(ctx, inner, err)
}

// explain says what became of the call, if the node didn't take it; from then on it doesn't.
func (q *queued) explain(ctx, inner context.Context, err error) error {
	q.state.CompareAndSwap(inQueue, givenUp)
	if errors.Is(err, breaker.ErrSaturated) && q.to.ref.isClosed() { // not full, but gone
		err = breaker.ErrStopped
	}
	var late *NotTakenError
	switch {
	case q.state.Load() == taken:
		return err
	case errors.As(context.Cause(inner), &late):
		return late
	case errors.Is(err, breaker.ErrStopped):
		return q.notTaken(err)
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		if e := q.notTaken(err); e.Status != StatusRunning {
			return e
		}
	}
	return err
}

func (q *queued) notTaken(err error) *NotTakenError {
	q.to.ref.mu.Lock()
	defer q.to.ref.mu.Unlock()
	return &NotTakenError{Path: q.to.path, Status: q.to.status(), Waited: time.Since(q.began), Err: err}
}
