package routing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrClosed refuses whatever is asked of a hub that was closed or is draining.
	ErrClosed = errors.New("hub is closed")
	// ErrFailed is in the chain of the error of a task whose handler returned errors until its attempts were used up, or a
	// [Permanent] one.
	ErrFailed = errors.New("task failed")
	// ErrQuarantined is in the chain of the error of a task that was set aside because its attempts crashed, hung or timed out.
	ErrQuarantined = errors.New("task quarantined")
	// ErrCancelled is in the chain of the error of a task that was cancelled; the cause is in the chain too.
	ErrCancelled = errors.New("task cancelled")
	// ErrExpired says that a task's deadline passed. errors.Is(err, context.DeadlineExceeded) holds as well.
	ErrExpired error = deadlineError("task expired: its deadline has passed")
	// ErrAttemptTimeout is the cause with which the context of an attempt ends that outlives its time limit.
	ErrAttemptTimeout error = deadlineError("attempt timed out")
	// ErrRevoked is the cause with which the context of an attempt ends whose lease was taken back from its spoke.
	ErrRevoked = errors.New("lease revoked")
	// ErrNotQuarantined says that no task with this id is in quarantine.
	ErrNotQuarantined = errors.New("no such task in quarantine")
)

type deadlineError string

func (e deadlineError) Error() string        { return string(e) }
func (e deadlineError) Is(target error) bool { return target == context.DeadlineExceeded }
func (e deadlineError) Timeout() bool        { return true }

// TaskError is how a task that was accepted ended, if not with a result. Its chain holds the sentinel of its state ([ErrFailed],
// [ErrQuarantined], [ErrCancelled], [ErrExpired]) and the last error or the cause.
type TaskError struct {
	ID, Type string
	State    State
	// Attempts are the attempts that the ledger kept, oldest first.
	Attempts []Attempt
	Err      error
}

func (e *TaskError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "task %s of type %q is %v", e.ID, e.Type, e.State)
	if n := len(e.Attempts); n > 0 {
		fmt.Fprintf(&b, " after attempt %d", e.Attempts[n-1].Number)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap returns the sentinel of the state and the cause.
func (e *TaskError) Unwrap() []error {
	chain := make([]error, 0, 2)
	switch e.State {
	case StateFailed:
		chain = append(chain, ErrFailed)
	case StateQuarantined:
		chain = append(chain, ErrQuarantined)
	case StateCancelled:
		chain = append(chain, ErrCancelled)
	case StateExpired:
		chain = append(chain, ErrExpired)
	}
	if e.Err != nil {
		chain = append(chain, e.Err)
	}
	return chain
}

// QueueFullError refuses a submit because the hub, or the task's type, holds as many unsettled tasks as it may. Submit with
// [Wait] to block instead. Returned from a handler it delays that handler's task, uncharged, as any error with RetryAfter does.
type QueueFullError struct {
	// Type is the type whose limit was met, or empty if it was the hub's capacity.
	Type string
	// Limit is the number of unsettled tasks allowed.
	Limit int
	// After is a guess, from the recent pace, of when there will be room.
	After time.Duration
}

func (e *QueueFullError) Error() string {
	whose := "the hub"
	if e.Type != "" {
		whose = fmt.Sprintf("type %q", e.Type)
	}
	return fmt.Sprintf("queue full: %s has %d unsettled tasks, its limit: try again in about %v", whose, e.Limit, e.After)
}

// RetryAfter returns After.
func (e *QueueFullError) RetryAfter() time.Duration { return e.After }

// UnknownTypeError refuses a task of a type that was neither declared nor ever registered for by a spoke.
type UnknownTypeError struct {
	Type string
}

func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("unknown task type %q: no spoke has registered for it and it was not declared", e.Type)
}

// ConflictError refuses a submit whose id is known as a task of another type.
type ConflictError struct {
	ID, Type, Known string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("task id %q is known as a task of type %q, not %q", e.ID, e.Known, e.Type)
}

// StaleSpokeError refuses a spoke whose path is taken by one of the same or a later incarnation.
type StaleSpokeError struct {
	ID     SpokeID
	Joined uint64
}

func (e *StaleSpokeError) Error() string {
	return fmt.Sprintf("spoke %v is stale: incarnation %d has joined", e.ID, e.Joined)
}

// Permanent marks an error as final: the task fails at once, without another attempt. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

// IsPermanent reports whether an error in the chain was marked with [Permanent].
func IsPermanent(err error) bool {
	var permanent *permanentError
	return errors.As(err, &permanent)
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// causedError is one of our sentinels with a cause. The cause, which may be the user's, is not asked for its text before somebody reads it.
type causedError struct{ what, cause error }

func (e *causedError) Error() string   { return e.what.Error() + ": " + e.cause.Error() }
func (e *causedError) Unwrap() []error { return []error{e.what, e.cause} }

// retryAfter finds an error in the chain that says "not now", and for how long.
func retryAfter(err error) (time.Duration, bool) {
	var notNow interface{ RetryAfter() time.Duration }
	if err == nil || !errors.As(err, &notNow) {
		return 0, false
	}
	return notNow.RetryAfter(), true
}
