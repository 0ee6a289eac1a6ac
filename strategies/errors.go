package strategies

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// PanicError is the reason of a failure that was no error: a child that panicked with a string, say.
type PanicError struct {
	Value any // what the child panicked with
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// DeciderError reports a decider that broke its contract; the child was treated as if it had said restart.
type DeciderError struct {
	Panic     any             // what it panicked with; nil if it returned
	Directive actor.Directive // what it returned, if it didn't panic: none of protoactor's four directives
}

func (e *DeciderError) Error() string {
	if e.Panic != nil {
		return fmt.Sprintf("decider panicked (%v), restarting instead: a decider must not panic", e.Panic)
	}
	return fmt.Sprintf("decider returned unknown directive %d, restarting instead: return one of actor's four directives", int(e.Directive))
}

// Unwrap returns what the decider panicked with, if that was an error.
func (e *DeciderError) Unwrap() error {
	err, _ := e.Panic.(error)
	return err
}

// BudgetSpentError is what a supervisor on plain protoactor fails with when its restart budget is spent. It wraps the failure of
// the child that was refused.
type BudgetSpentError struct {
	Max    int           // restarts allowed
	Window time.Duration // within this time
	Reason error         // the failure that found the budget spent
}

func (e *BudgetSpentError) Error() string {
	return fmt.Sprintf("restart budget spent (more than %d within %v): %v", e.Max, e.Window, e.Reason)
}

func (e *BudgetSpentError) Unwrap() error { return e.Reason }

// FieldError is one fault found by Validate.
type FieldError struct {
	Field string // its name, with a path if it is nested: "Backoff.Jitter"
	Value any    // what it holds
	Bound string // what it may hold
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s is %v, must be %s", e.Field, e.Value, e.Bound)
}

// asError turns what a failure carries into an error; an error stays what it is.
func asError(reason any) error {
	if err, ok := reason.(error); ok {
		return err
	}
	return &PanicError{Value: reason}
}
