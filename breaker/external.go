package breaker

import (
	"context"
	"errors"
	"fmt"
)

// ExternalConfig describes the guard of one external service. Its zero value works. An empty Name of a part is Name.
type ExternalConfig struct {
	Name     string // default "external"
	Breaker  Config // an empty Classify is ClassifyExternal
	Bulkhead BulkheadConfig
	Limiter  LimiterConfig
	Retry    Retry
}

// Validate reports every fault of the configuration and its parts at once.
func (c ExternalConfig) Validate() error {
	var faults []error
	c.Retry.validate(func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) })
	faults = append(faults, c.Breaker.Validate(), c.Bulkhead.Validate(), c.Limiter.Validate())
	return invalid("external", c.Name, faults)
}

// External guards the calls to one external service with everything there is, in this order, from the outside in:
//
//	retry -> [breaker open?] -> bulkhead -> limiter -> breaker -> operation timeout -> the call
//
// Retry is outermost: each attempt passes every guard and is one verdict, and the wait between two holds no place, no
// token and no half-open slot. A breaker that refuses is asked first, so that nobody queues for a call that won't be made;
// it is asked again, for the permit, last, so that a half-open slot is never held in a queue and its lease never runs
// there. The bulkhead comes before the limiter, because a token is the leave to send now: whoever waited for a place with
// the token in hand would send in bursts. The timeout is innermost: it measures the service, not our own queues, and a
// full queue is no failure of the service.
//
// This is the one retry layer. Inside of another, a hub that redelivers its tasks or another External, it makes one attempt
// if the context says so: see [WithoutRetry]. Mind that http.Transport, too, sends requests again by itself if they are
// idempotent and a connection that was kept alive breaks.
//
// What the service says about when to come back, any error with a RetryAfter() time.Duration, holds the limiter, so that
// other calls keep to it as well, and the next attempt waits as long.
//
// All methods may be called from any goroutine.
type External struct {
	breaker *Breaker
	front   front
	retry   Retry
}

// front is what stands in front of a breaker. Both may be nil.
type front struct {
	bulkhead *Bulkhead
	limiter  *Limiter
}

// NewExternal makes the guard. The error names every fault of the configuration.
func NewExternal(cfg ExternalConfig) (*External, error) {
	setDefault(&cfg.Name, "external")
	setDefault(&cfg.Breaker.Name, cfg.Name)
	setDefault(&cfg.Bulkhead.Name, cfg.Name)
	setDefault(&cfg.Limiter.Name, cfg.Name)
	if cfg.Breaker.Classify == nil {
		cfg.Breaker.Classify = ClassifyExternal
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &External{retry: cfg.Retry.withDefaults()}
	var err [3]error
	e.breaker, err[0] = New(cfg.Breaker)
	e.front.bulkhead, err[1] = NewBulkhead(cfg.Bulkhead)
	e.front.limiter, err[2] = NewLimiter(cfg.Limiter)
	return e, errors.Join(err[:]...)
}

// Breaker is the part of that name; so are Bulkhead and Limiter.
func (e *External) Breaker() *Breaker { return e.breaker }

// Bulkhead is the part of that name.
func (e *External) Bulkhead() *Bulkhead { return e.front.bulkhead }

// Limiter is the part of that name.
func (e *External) Limiter() *Limiter { return e.front.limiter }

// Close closes the breaker: calls are refused with ErrStopped.
func (e *External) Close() { e.breaker.Close() }

// Via makes one admitted attempt: Do, or what does the same somewhere else.
type Via[T any] func(ctx context.Context, fn func(context.Context) (T, error)) (T, error)

// DoExternal calls fn through all guards of e, again if it has to be. fn must be safe to repeat; if it isn't, Retry.Attempts
// is 1. The error is that of the last attempt: fn's own, one of [Do], a *SaturatedError or a *RateLimitError.
func DoExternal[T any](ctx context.Context, e *External, fn func(context.Context) (T, error)) (T, error) {
	return DoExternalVia(ctx, e, func(ctx context.Context, fn func(context.Context) (T, error)) (T, error) {
		return Do(ctx, e.breaker, fn)
	}, fn)
}

// DoExternalVia is DoExternal with another innermost part than [Do] with e's own breaker: [DoDetached] for a function that
// is deaf to its context, or [Through] a breaker actor, which is then the breaker that decides.
func DoExternalVia[T any](ctx context.Context, e *External, via Via[T], fn func(context.Context) (T, error)) (T, error) {
	retry := e.retry
	if retriedAbove(ctx) {
		retry.Attempts = 1
	}
	inner := ctx
	if retry.Attempts > 1 {
		inner = WithoutRetry(ctx)
	}
	for attempts := 1; ; attempts++ {
		v, err := attempt(inner, e, via, fn)
		if err == nil {
			return v, nil
		}
		e.heed(err)
		if !e.retryable(ctx, err) {
			return v, err
		}
		delay, again := retry.wait(ctx, attempts, max(retryAfter(err), e.breaker.Snapshot().RetryAfter))
		if !again || sleep(ctx, delay) != nil {
			return v, err
		}
	}
}

func attempt[T any](ctx context.Context, e *External, via Via[T], fn func(context.Context) (T, error)) (T, error) {
	var zero T
	leave, err := e.front.pass(ctx, e.breaker)
	if err != nil {
		return zero, err
	}
	defer leave()
	return via(ctx, fn)
}

// pass waits until b may be asked for a permit.
func (f front) pass(ctx context.Context, b *Breaker) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := b.refusal(); err != nil {
		return nil, err
	}
	leave = func() {}
	if f.bulkhead != nil {
		if leave, err = f.bulkhead.Acquire(ctx); err != nil {
			return nil, err
		}
	}
	if f.limiter != nil {
		if err := f.limiter.Wait(ctx); err != nil {
			leave()
			return nil, err
		}
	}
	return leave, nil
}

// heed holds the limiter if the service asked for it. Our own refusals say when to come back, too, but not for others.
func (e *External) heed(err error) {
	if !isRejection(err) {
		e.front.limiter.Hold(retryAfter(err))
	}
}

func (e *External) retryable(ctx context.Context, err error) bool {
	var crashed *PanicError
	switch {
	case ctx.Err() != nil, isRejection(err), errors.As(err, &crashed):
		return false
	case e.retry.Retryable != nil:
		return e.retry.Retryable(err)
	case errors.Is(err, ErrTimeout):
		return true
	default:
		v := e.breaker.verdict(err, false)
		return v == Failure || v.tripTime() > 0
	}
}

// ClassifyExternal is the classifier of an External that has no other: a *StatusError by its code, as [ClassifyResponse]
// does; an error with a RetryAfter() time.Duration trips the breaker for that time; every other error is a failure.
func ClassifyExternal(err error) Verdict {
	var status *StatusError
	if errors.As(err, &status) {
		return status.verdict()
	}
	return TripFor(retryAfter(err))
}
