package breaker

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// Defaults of a Retry.
const (
	DefaultAttempts      = 3
	DefaultRetryDelay    = 200 * time.Millisecond
	DefaultMaxRetryDelay = 10 * time.Second
	DefaultRetryFactor   = 2

	maxAttempts = 100
)

// Retry says how an [External] tries a call again. Its zero value makes up to three attempts.
type Retry struct {
	Attempts int           // in all. Default 3, 1 is no retry, at most 100
	Delay    time.Duration // before the second attempt. Default 200 ms
	Factor   float64       // by which it grows from one to the next. Default 2, from 1 to 100
	MaxDelay time.Duration // bounds it, and what a Retry-After may ask for: beyond it there is no retry. Default 10 s

	// Retryable decides instead of the verdict: by default a call is tried again if its error counted as a failure.
	// It isn't asked about refusals, panics and a caller that gave up: those are final.
	Retryable func(error) bool
}

func (r Retry) withDefaults() Retry {
	setDefault(&r.Attempts, DefaultAttempts)
	setDefault(&r.Factor, DefaultRetryFactor)
	setDefault(&r.Delay, DefaultRetryDelay)
	setDefault(&r.MaxDelay, max(DefaultMaxRetryDelay, r.Delay))
	return r
}

func (r Retry) validate(fault func(format string, args ...any)) {
	if r.Attempts < 0 || r.Attempts > maxAttempts {
		fault("Retry.Attempts is %d: must be between 0 (default) and %d", r.Attempts, maxAttempts)
	}
	if r.Delay < 0 || r.Delay > maxDuration {
		fault("Retry.Delay is %v: must be between 0 (default) and %v", r.Delay, maxDuration)
	}
	if !(r.Factor == 0 || r.Factor >= 1 && r.Factor <= maxFactor) {
		fault("Retry.Factor is %v: must be 0 (default), or between 1 and %d", r.Factor, maxFactor)
	}
	if r.MaxDelay < 0 || r.MaxDelay > maxDuration || r.MaxDelay > 0 && r.MaxDelay < r.Delay {
		fault("Retry.MaxDelay is %v: must be 0 (default), or between Delay, %v, and %v", r.MaxDelay, r.Delay, maxDuration)
	}
}

// backoff is the wait after so many attempts. random is from 0 to 1: the upper half of the delay is up to it.
func (r Retry) backoff(attempts int, random float64) time.Duration {
	d := min(float64(r.Delay)*math.Pow(r.Factor, float64(attempts-1)), float64(r.MaxDelay))
	return time.Duration(d * (1 + random) / 2)
}

// wait is how long to wait after a failed attempt, and whether there is a point in another.
func (r Retry) wait(ctx context.Context, attempts int, atLeast time.Duration) (time.Duration, bool) {
	d := max(r.backoff(attempts, rand.Float64()), atLeast)
	if attempts >= r.Attempts || d > r.MaxDelay {
		return 0, false
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return 0, false
	}
	return d, true
}

type retriedKey struct{}

// WithoutRetry marks a context whose call is tried again further up, by a hub for example: an [External] below makes one
// attempt then. Retries that multiply are how an outage becomes an avalanche. An External that retries marks the context
// of its function itself.
func WithoutRetry(ctx context.Context) context.Context {
	return context.WithValue(ctx, retriedKey{}, true)
}

func retriedAbove(ctx context.Context) bool { return ctx.Value(retriedKey{}) != nil }

// retryAfter is the time that an error says to wait, 0 if it says nothing.
func retryAfter(err error) time.Duration {
	var hint interface{ RetryAfter() time.Duration }
	if errors.As(err, &hint) {
		return max(0, hint.RetryAfter())
	}
	return 0
}
