package actors

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/internal/supervise"
)

// Reasons with a meaning of their own. Any other error that ends an incarnation is a crash.
var (
	// ErrShutdown is the reason of a child that ends because it was told to, or as if it had been. An error that wraps it is a
	// shutdown with a reason of its own; neither restarts a transient child.
	ErrShutdown = errors.New("shutdown")
	// ErrIgnore, from anything that starts a child, means: don't run it, and don't call that a failure.
	ErrIgnore = errors.New("ignore")
	// ErrKilled is the reason of an incarnation that was fenced off: by Tree.Kill, by a brutal kill, or because its
	// shutdown time ran out.
	ErrKilled = errors.New("killed")
	// ErrStartTimeout is the start error of a child that wasn't up within its start timeout.
	ErrStartTimeout = errors.New("start timed out")
	// ErrStartAborted is the start error of a child whose supervisor was told to stop meanwhile.
	ErrStartAborted = errors.New("start aborted")
	// ErrExitedInStart is the start error of an actor that ended normally before it was up.
	ErrExitedInStart = errors.New("ended before it was up")
	// ErrGoexit is the reason of an incarnation whose code called runtime.Goexit, as t.FailNow does.
	ErrGoexit = errors.New("runtime.Goexit in an actor: it ends the goroutine, not the actor; return instead")
	// ErrHung is wrapped by the reason of a node that was busy and made no progress (a [*HungError]), and of an agent whose handler didn't
	// return within its shutdown time after its context had ended.
	ErrHung = errors.New("hung")
	// ErrAbandoned is the reason with which a tree ends that has more abandoned goroutines than allowed.
	ErrAbandoned = errors.New("too many abandoned goroutines: find what doesn't return when its context ends")
	// ErrBudgetSpent is wrapped by the reason of a supervisor that ended because its restart budget is spent.
	ErrBudgetSpent = supervise.ErrBudgetSpent
	// ErrEscalated is wrapped by the reason of a supervisor that ended because a child's failure was escalated.
	ErrEscalated = supervise.ErrEscalated
	// ErrAutoShutdown is the reason of a supervisor that ended after its significant children.
	ErrAutoShutdown = supervise.ErrAutoShutdown
)

// Class of an exit: what restart types and reports go by.
type Class uint8

const (
	Normal       Class = iota // the child ended by itself, without a failure
	Shutdown                  // it ended because it was told to
	ShutdownWith              // as Shutdown, with a reason of its own
	Killed                    // it was fenced off
	Crash                     // it panicked, or ended with an error
)

// String returns OTP's word for the class.
func (c Class) String() string {
	return [...]string{"normal", "shutdown", "shutdown_term", "killed", "crash"}[c]
}

// Abnormal reports whether a transient child is restarted after such an exit.
func (c Class) Abnormal() bool { return supervise.Class(c).Abnormal() }

func classOf(reason error) Class {
	switch {
	case reason == nil:
		return Normal
	case reason == ErrShutdown:
		return Shutdown
	case errors.Is(reason, ErrShutdown):
		return ShutdownWith
	case errors.Is(reason, ErrKilled):
		return Killed
	default:
		return Crash
	}
}

// Exit ends the actor's present incarnation once the message it is handling is done. The supervisor hears of it as of any
// end: nil is a normal exit, [ErrShutdown] a shutdown, any other error a crash. While the actor handles Started, a reason is
// a start error ([ErrIgnore]: it isn't run at all); while it handles Stopping, it replaces the reason to end.
//
// It must be called with the context that Receive was given, from the actor's own goroutine. On an actor outside of a
// MisterSmith tree it stops the actor if reason is nil and panics with the reason otherwise.
func Exit(ctx actor.Context, reason error) {
	if c, ok := ctx.(interface{ exit(error) }); ok {
		c.exit(reason)
		return
	}
	if reason != nil {
		panic(reason)
	}
	ctx.Stop(ctx.Self())
}

// PanicError is the reason of an incarnation or a task attempt that panicked. The stack is kept as program counters and
// formatted when it is read.
type PanicError struct {
	Value any // what panic was called with
	depth int
	pcs   [stackDepth]uintptr
}

const stackDepth = 32

// newPanicError is called in the deferred function that recovered value.
func newPanicError(value any) *PanicError {
	e := &PanicError{Value: value}
	e.depth = runtime.Callers(3, e.pcs[:])
	return e
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Stack returns the innermost 32 frames from the panic outwards, in the form of debug.Stack.
func (e *PanicError) Stack() string {
	var b strings.Builder
	frames := runtime.CallersFrames(e.pcs[:e.depth])
	for {
		f, more := frames.Next()
		if f.Function != "" {
			fmt.Fprintf(&b, "%s\n\t%s:%d\n", f.Function, f.File, f.Line)
		}
		if !more {
			return b.String()
		}
	}
}

// outcome is how an incarnation ended.
type outcome struct {
	class Class
	err   error // nil for a normal exit
}

func outcomeOf(reason error) outcome { return outcome{classOf(reason), reason} }

func (o outcome) machine() supervise.Outcome {
	return supervise.Outcome{Class: supervise.Class(o.class), Err: o.err}
}
