package breaker

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// DefaultMaxHold is how long a Limiter lets itself be held at most.
const DefaultMaxHold = 5 * time.Minute

// LimiterConfig describes a limiter. Its zero value has no rate: only Hold holds it.
type LimiterConfig struct {
	Name       string        // in errors. Default "limiter"
	Rate       float64       // calls a second in the long run. Default no limit
	Burst      int           // calls at once after a quiet time. Default one second's worth, at least 1; at most 1,000,000
	MaxWaiting int           // calls that wait. Default 1,024, NoWaiting is none
	MaxWait    time.Duration // for leave to go on. Default 10 s, at most 30 days
	MaxHold    time.Duration // bounds Hold. Default 5 min, at most 30 days
}

func (c LimiterConfig) withDefaults() LimiterConfig {
	setDefault(&c.Name, "limiter")
	setDefault(&c.Burst, int(max(1, math.Ceil(min(c.Rate, maxPlaces)))))
	setDefault(&c.MaxWaiting, DefaultMaxWaiting)
	setDefault(&c.MaxWait, DefaultMaxWait)
	setDefault(&c.MaxHold, DefaultMaxHold)
	return c
}

// Validate reports every fault of the configuration at once.
func (c LimiterConfig) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !(c.Rate >= 0 && c.Rate <= math.MaxFloat32) {
		fault("Rate is %v: must be 0 (no limit) or a number of calls a second", c.Rate)
	}
	if c.Burst < 0 || c.Burst > maxPlaces {
		fault("Burst is %d: must be between 0 (default) and %d", c.Burst, maxPlaces)
	}
	validateWaiting(c.MaxWaiting, c.MaxWait, fault)
	if c.MaxHold < 0 || c.MaxHold > maxDuration {
		fault("MaxHold is %v: must be between 0 (default) and %v", c.MaxHold, maxDuration)
	}
	return invalid("limiter", c.Name, faults)
}

// Limiter keeps to the rate that a service allows, and holds all calls back while the service has asked for that
// (Retry-After). After a hold the calls that waited go on at the rate, not all at once.
// All methods may be called from any goroutine.
type Limiter struct {
	cfg     LimiterConfig
	rate    *rate.Limiter
	waiting places

	mu   sync.Mutex // guards held
	held time.Time  // until then nobody goes on
}

// NewLimiter makes a limiter. The error names every fault of the configuration.
func NewLimiter(cfg LimiterConfig) (*Limiter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	limit := rate.Inf
	if cfg.Rate > 0 {
		limit = rate.Limit(cfg.Rate)
	}
	return &Limiter{cfg: cfg, rate: rate.NewLimiter(limit, cfg.Burst), waiting: places{limit: int64(cfg.MaxWaiting)}}, nil
}

// Wait waits for leave to make one call. The error is a *RateLimitError, at once, if that would take longer than MaxWait or
// ctx allow; a *SaturatedError if too many wait; or ctx.Err().
func (l *Limiter) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	start := time.Now()
	if l.holding(start) == 0 && l.rate.AllowN(start, 1) {
		return nil
	}
	end := start.Add(l.cfg.MaxWait)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		end = deadline
	}
	if !l.waiting.take() {
		if l.cfg.MaxWaiting == NoWaiting {
			return &RateLimitError{Name: l.cfg.Name, After: l.delay(start)}
		}
		return &SaturatedError{Name: l.cfg.Name, Waiting: l.cfg.MaxWaiting}
	}
	defer l.waiting.leave()
	for {
		now := time.Now()
		if hold := l.holding(now); hold > 0 {
			if now.Add(hold).After(end) {
				return &RateLimitError{Name: l.cfg.Name, After: hold}
			}
			if err := sleep(ctx, hold); err != nil {
				return err
			}
			continue
		}
		turn := l.rate.ReserveN(now, 1)
		delay := turn.DelayFrom(now)
		if now.Add(delay).After(end) {
			turn.CancelAt(now)
			return &RateLimitError{Name: l.cfg.Name, After: delay}
		}
		if err := sleep(ctx, delay); err != nil {
			turn.Cancel()
			return err
		}
		if l.holding(time.Now()) == 0 {
			return nil
		} // else held meanwhile: this turn is lost, and the next is asked for after the hold
	}
}

// Hold lets nobody go on for d, at most MaxHold, because the service asked for it. A hold is never made shorter.
func (l *Limiter) Hold(d time.Duration) {
	if d <= 0 {
		return
	}
	until := time.Now().Add(min(d, l.cfg.MaxHold))
	l.mu.Lock()
	defer l.mu.Unlock()
	if until.After(l.held) {
		l.held = until
	}
}

// Held is for how long nobody goes on, 0 if there is no hold.
func (l *Limiter) Held() time.Duration { return l.holding(time.Now()) }

func (l *Limiter) holding(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, l.held.Sub(now))
}

// delay is how long a call would have to wait.
func (l *Limiter) delay(now time.Time) time.Duration {
	turn := l.rate.ReserveN(now, 1)
	defer turn.CancelAt(now)
	return max(l.holding(now), turn.DelayFrom(now))
}

// sleep waits for d, or for the end of ctx and returns its error.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
