package breaker

import (
	"errors"
	"fmt"
	"time"
)

// What a hand does begins a new period, as every transition does: results of calls that are in flight change nothing any
// more, and observers hear of it. None of it does anything after Close.

// Reset closes the breaker, whatever it was, and starts its counts again; in a closed one, too. The totals stay.
func (b *Breaker) Reset() { b.byHand(func(*period) bool { return true }, step{to: Closed}) }

// ForceOpen refuses every call until Reset, Disable or Restore: for maintenance, or as an emergency stop. There is no
// timer, and no verdict and no TripFor ends it.
func (b *Breaker) ForceOpen() {
	b.byHand(func(p *period) bool { return p.state != ForcedOpen }, step{to: ForcedOpen})
}

// Disable admits every call, and counts them in the totals only, until Reset, ForceOpen or Restore. Operation timeouts are
// kept, rejections and transitions there are none.
func (b *Breaker) Disable() {
	b.byHand(func(p *period) bool { return p.state != Disabled }, step{to: Disabled})
}

// TripFor opens the breaker for d, at most Config.MaxTrip, as a verdict of that name would: for somebody who learned from
// elsewhere that the dependency is away. One that is open for longer already stays as it is, and so does one that is
// forced open or disabled, or a d of zero or less.
func (b *Breaker) TripFor(d time.Duration) { b.tripFor(d, nil) }

func (b *Breaker) tripFor(d time.Duration, cause error) {
	if d = min(d, b.cfg.MaxTrip); d <= 0 {
		return
	}
	b.byHand(func(p *period) bool {
		switch p.state {
		case Closed, HalfOpen:
			return true
		case Open:
			return p.until.Before(time.Now().Add(d))
		default:
			return false
		}
	}, step{to: Open, trip: d, cause: cause})
}

// byHand takes a step if the present period allows it.
func (b *Breaker) byHand(allowed func(*period) bool, s step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.current.Load()
	if p.state == Stopped || !allowed(p) {
		return
	}
	if s.to == Open {
		s.reopened = p.reopened
	}
	b.move(p, s)
}

var errNotRestorable = errors.New("must be closed, open, half-open, forced-open or disabled")

// Restore puts the breaker into the state of a snapshot that was taken of it in an earlier life of the process. What was
// left of an open period is waited for from now on: the clock may have been anything in between, and Config.MaxTrip bounds
// it. Failures in a row, half-open successes and the growth of the reset timeout come back; half-open slots are all free,
// a window starts empty, the totals go on. The generation goes on, too: a restored period has a new one.
//
// The error is ErrStopped after Close, or says what is wrong with the snapshot.
func (b *Breaker) Restore(s Snapshot) error {
	next := step{to: s.State, cause: s.LastErr, reopened: s.Reopened}
	switch s.State {
	case Open:
		if s.RetryAfter < 0 {
			return fmt.Errorf("breaker %q: restore: RetryAfter is %v: must not be negative", b.cfg.Name, s.RetryAfter)
		}
		next.trip = min(s.RetryAfter, b.cfg.MaxTrip)
	case Closed, HalfOpen, ForcedOpen, Disabled:
	default:
		return fmt.Errorf("breaker %q: restore: State is %v: %w", b.cfg.Name, s.State, errNotRestorable)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.current.Load()
	if p.state == Stopped {
		return ErrStopped
	}
	p = b.move(p, next)
	switch s.State {
	case Closed:
		if limit := b.cfg.FailureThreshold; limit > 0 {
			p.failures.Store(min(s.Failures, limit-1))
		}
	case HalfOpen:
		p.reopened, p.cause = s.Reopened, s.LastErr
		p.successes = min(s.Successes, b.cfg.SuccessThreshold-1)
	}
	return nil
}
