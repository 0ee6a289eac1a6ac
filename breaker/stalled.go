package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mistersmith/mistersmith/internal/wording"
)

// StalledError says that the dependency stopped in the middle of its answer. Whoever watches a Call cancels its Context with this as the cause: the
// call is over then, and counts as a failure of the dependency, where any other cancel would be its caller's affair. It may be tried again. A call that is made
// inside of that one is cancelled, too, and doesn't count.
type StalledError struct {
	Name    string        // of the breaker
	Chunks  int           // that had come
	Silence time.Duration // since the last one, or since the call began
	Phi     float64       // how suspicious that is; 0 while too little is known
	Max     bool          // the silence has reached the most it may be, whatever its phi
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("breaker %s: answer stalled after %d chunks: silent for %s (%s)", e.Name, e.Chunks, e.Silence.Round(time.Millisecond), wording.TooLong(e.Phi, e.Max))
}

// Timeout makes it a timeout to code that asks errors for it, as package net does.
func (e *StalledError) Timeout() bool { return true }

// callKey is the key of the call whose function a context belongs to.
type callKey struct{}

// stalled returns the StalledError that ended the context of a watched call, or nil. One that has ended the call around it is that one's.
func stalled(ctx context.Context, watched bool) *StalledError {
	if !watched {
		return nil
	}
	stall := stallOf(ctx)
	if around, ok := ctx.Value(callKey{}).(*timedCall); ok && stallOf(around.caller) == stall {
		return nil
	}
	return stall
}

// stallOf returns the StalledError that a context has ended with, or nil.
func stallOf(ctx context.Context) *StalledError {
	var stall *StalledError
	if ctx.Err() != nil {
		errors.As(context.Cause(ctx), &stall)
	}
	return stall
}
