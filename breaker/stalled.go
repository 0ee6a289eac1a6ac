package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// StalledError says that the dependency stopped in the middle of its answer. Whoever watches a Call cancels its Context with this as the cause: the
// call is over then, and counts as a failure of the dependency, where any other cancel would be its caller's affair. It may be tried again.
type StalledError struct {
	Name    string        // of the breaker
	Chunks  int           // that had come
	Silence time.Duration // since the last one, or since the call began
	Phi     float64       // how suspicious that is
}

func (e *StalledError) Error() string {
	return fmt.Sprintf("breaker %s: answer stalled after %d chunks: silent for %s (phi %.1f)", e.Name, e.Chunks, e.Silence.Round(time.Millisecond), e.Phi)
}

// Timeout makes it a timeout to code that asks errors for it, as package net does.
func (e *StalledError) Timeout() bool { return true }

// stalled returns the StalledError that ended the context, or nil.
func stalled(ctx context.Context) *StalledError {
	var err *StalledError
	if ctx.Err() == nil || !errors.As(context.Cause(ctx), &err) {
		return nil
	}
	return err
}
