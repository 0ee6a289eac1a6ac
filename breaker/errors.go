package breaker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// refusalDelay is the RetryAfter of refusals that have no clock of their own: a full runner, a restarting actor.
const refusalDelay = 100 * time.Millisecond

// refusal is a sentinel that also says when to come back, as every refusal does that isn't the dependency's fault.
type refusal struct{ text string }

func (r *refusal) Error() string             { return r.text }
func (r *refusal) RetryAfter() time.Duration { return refusalDelay }

// rejection is a sentinel for refusals whose own type says when to come back.
type rejection struct{ text string }

func (r *rejection) Error() string { return r.text }

var (
	// ErrOpen is matched by the *OpenError of a call that was refused because the breaker is open. Come back after its
	// RetryAfter; do not retry in a loop.
	ErrOpen error = &rejection{"breaker: open"}

	// ErrHalfOpenLimit is matched by the *OpenError of a call that was refused because all half-open slots are taken.
	// Come back after its RetryAfter, when the probes have decided.
	ErrHalfOpenLimit error = &rejection{"breaker: half-open, all slots taken"}

	// ErrTimeout is matched by the *TimeoutError of a call that outlived the breaker's operation timeout or its own
	// Call.Deadline. It is a context.DeadlineExceeded as well.
	ErrTimeout = fmt.Errorf("breaker: call timed out: %w", context.DeadlineExceeded)

	// ErrSaturated is the answer to a call for which there is no room: MaxInFlight calls (orphans included) are running
	// detached or in the breaker actor, or the actor's queue refused the message. It has a RetryAfter. The *SaturatedError
	// of a bulkhead and a limiter match it.
	ErrSaturated error = &refusal{"breaker: saturated, too many calls in flight or queued"}

	// ErrStopped is the answer to a call whose breaker or breaker actor stopped before the call was done. It has a
	// RetryAfter, for the actor may be restarting.
	ErrStopped error = &refusal{"breaker: stopped"}

	// ErrRateLimited is matched by the *RateLimitError of a call that a limiter would have kept waiting for too long.
	ErrRateLimited error = &rejection{"breaker: rate limited"}

	// ErrRegistryFull is the answer of a registry whose bound is reached while none of its breakers is idle and closed.
	// It has a RetryAfter.
	ErrRegistryFull error = &refusal{"breaker: registry full, no idle closed breaker to evict"}

	errPanicked = errors.New("breaker: the call panicked or ended its goroutine")
	errLease    = errors.New("breaker: a half-open call outlived its lease")
)

// OpenError refuses a call, of an open or forced-open breaker (errors.Is ErrOpen) or of a half-open one whose slots are all
// taken (errors.Is ErrHalfOpenLimit). One value serves every call that a period refuses: treat it as read-only.
type OpenError struct {
	Name    string
	State   State     // Open, ForcedOpen or HalfOpen
	Gen     uint64    // generation of the refusing period
	Until   time.Time // when an open breaker becomes half-open; zero in half-open
	LastErr error     // what opened the breaker, nil if a verdict came without an error; not in the chain of Unwrap

	hint time.Duration // RetryAfter where nobody knows
}

// RetryAfter is how long to wait before the next attempt, reckoned at the time of this call: the rest of the reset
// timeout (0 when it is over); in half-open a guess, a tenth of it and at most the half-open lease; forced open, the reset
// timeout, though only a person knows.
func (e *OpenError) RetryAfter() time.Duration {
	if e.Until.IsZero() {
		return e.hint
	}
	return max(0, time.Until(e.Until))
}

// Error names the breaker, the time to wait and the cause.
func (e *OpenError) Error() string {
	text := fmt.Sprintf("breaker %q is %v, retry in %v", e.Name, e.State, e.RetryAfter().Round(time.Millisecond))
	if e.State == HalfOpen {
		text = fmt.Sprintf("breaker %q is half-open and all its slots are taken, retry in %v", e.Name, e.RetryAfter())
	}
	if e.LastErr != nil {
		text += fmt.Sprintf(" (opened by: %v)", e.LastErr)
	}
	return text
}

// Is makes the error match ErrOpen or ErrHalfOpenLimit, by its state.
func (e *OpenError) Is(target error) bool {
	if e.State == HalfOpen {
		return target == ErrHalfOpenLimit
	}
	return target == ErrOpen
}

// TimeoutError says that a call outlived its time limit. It matches ErrTimeout and context.DeadlineExceeded, and is a
// net.Error's Timeout.
type TimeoutError struct {
	Name  string        // of the breaker
	Limit time.Duration // the operation timeout, 0 if the call's own deadline was earlier
}

// Error names the breaker and the limit.
func (e *TimeoutError) Error() string {
	if e.Limit == 0 {
		return fmt.Sprintf("breaker %q: call timed out at its deadline", e.Name)
	}
	return fmt.Sprintf("breaker %q: call timed out after %v", e.Name, e.Limit)
}

// Unwrap returns ErrTimeout.
func (e *TimeoutError) Unwrap() error { return ErrTimeout }

// Timeout returns true.
func (e *TimeoutError) Timeout() bool { return true }

// SaturatedError refuses a call because too many are running and waiting already. It matches ErrSaturated.
type SaturatedError struct {
	Name    string // of the bulkhead or limiter
	Running int    // calls at that moment; 0 of a limiter
	Waiting int    // calls at that moment
}

// Error names the bulkhead or limiter and its load.
func (e *SaturatedError) Error() string {
	return fmt.Sprintf("%q is saturated: %d calls run, %d wait", e.Name, e.Running, e.Waiting)
}

// Is makes the error match ErrSaturated.
func (e *SaturatedError) Is(target error) bool { return target == ErrSaturated }

// RetryAfter is a guess: nobody knows when there will be room.
func (e *SaturatedError) RetryAfter() time.Duration { return refusalDelay }

// RateLimitError refuses a call that would have to wait longer than it may. It matches ErrRateLimited.
type RateLimitError struct {
	Name  string        // of the limiter
	After time.Duration // how long it would have had to wait
}

// Error names the limiter and the time.
func (e *RateLimitError) Error() string {
	return fmt.Sprintf("%q is rate limited, retry in %v", e.Name, e.After.Round(time.Millisecond))
}

// Is makes the error match ErrRateLimited.
func (e *RateLimitError) Is(target error) bool { return target == ErrRateLimited }

// RetryAfter is After.
func (e *RateLimitError) RetryAfter() time.Duration { return e.After }

// PanicError is a recovered panic: of a function that DoDetached or the breaker actor ran (Where is "call"), or of a
// callback (Where is "Classify" or "OnTransition").
type PanicError struct {
	Where string
	Value any    // what was passed to panic, or the text "runtime.Goexit"
	Stack []byte // as of debug.Stack, taken where the panic was
}

// newPanicError must be called by the deferred function that recovered, while the panic's frames are still there.
func newPanicError(where string, value any) *PanicError {
	return &PanicError{Where: where, Value: value, Stack: debug.Stack()}
}

// Error gives the place and the value, not the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("breaker: panic in %s: %v", e.Where, e.Value) }

// Unwrap returns the value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
