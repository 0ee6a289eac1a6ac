package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Verdict is what a call's outcome says about the dependency. Its zero value is Failure, so that a classifier that
// forgets a case errs on the safe side.
type Verdict int64

const (
	// Failure counts against the dependency.
	Failure Verdict = iota
	// Success counts for it.
	Success
	// Ignore says nothing about it: no count changes, a half-open slot is given back.
	Ignore
)

// TripFor opens the breaker at once and keeps it open for d, whatever its counts: the dependency itself said when to
// come back (an HTTP 429 with Retry-After). Config.MaxTrip bounds d; a d of zero or less is a plain Failure.
func TripFor(d time.Duration) Verdict {
	if d <= 0 {
		return Failure
	}
	return Verdict(-d)
}

// tripTime is the time a verdict made by TripFor asks for, 0 for any other.
func (v Verdict) tripTime() time.Duration {
	if v < 0 {
		return time.Duration(-v)
	}
	return 0
}

// String returns "success", "failure", "ignore" or "trip for 30s".
func (v Verdict) String() string {
	switch {
	case v < 0:
		return fmt.Sprintf("trip for %v", v.tripTime())
	case v == Failure:
		return "failure"
	case v == Success:
		return "success"
	case v == Ignore:
		return "ignore"
	default:
		return "unknown"
	}
}

// verdict judges the error of a call; gaveUp says whether its caller's context was cancelled. Three things are settled
// before the user's classifier is asked: no error is a success, a rejection by this or another breaker says nothing
// about the dependency, and neither does a caller that gave up.
func (b *Breaker) verdict(err error, gaveUp bool) Verdict {
	switch {
	case err == nil:
		return Success
	case isRejection(err):
		return Ignore
	case gaveUp && errors.Is(err, context.Canceled):
		return Ignore
	default:
		return b.classify(err)
	}
}

// classify asks the user's classifier. It may panic: then the verdict is the default, and the panic is reported.
func (b *Breaker) classify(err error) (v Verdict) {
	if b.cfg.Classify == nil {
		return Failure
	}
	defer func() {
		if value := recover(); value != nil {
			v = Failure
			b.report(newPanicError("Classify", value))
		}
	}()
	return b.cfg.Classify(err)
}

// isRejection says whether err is a refusal of a guard: this breaker's own, or that of any guard further down.
func isRejection(err error) bool {
	if isLeaf(err) {
		return isSentinel(err)
	}
	return errors.Is(err, ErrOpen) || errors.Is(err, ErrHalfOpenLimit) || errors.Is(err, ErrSaturated) ||
		errors.Is(err, ErrStopped) || errors.Is(err, ErrRateLimited) || errors.Is(err, ErrRegistryFull)
}

func isSentinel(err error) bool {
	switch err.(type) {
	case *refusal, *rejection:
		return true
	default:
		return false
	}
}

// isPlainFailure says whether verdict would make a Failure of err, as far as that can be told in a moment: there is no
// classifier, the error stands for itself, and the caller has not given up.
func (b *Breaker) isPlainFailure(ctx context.Context, err error) bool {
	return b.cfg.Classify == nil && isLeaf(err) && !isSentinel(err) && ctx.Err() == nil
}

// isLeaf says whether err stands for nothing but itself, so that == does for errors.Is, at a tenth of its price.
func isLeaf(err error) bool {
	switch err.(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }, interface{ Is(error) bool }:
		return false
	default:
		return true
	}
}
