package breaker

import (
	"slices"
	"sync/atomic"
	"time"
)

// period is one stretch of time in one state. A breaker points at its present period; a permit points at the one that
// gave it, so a result that comes too late finds an object that nobody looks at any more.
type period struct {
	breaker *Breaker
	state   State
	gen     uint64
	since   time.Time
	until   time.Time   // Open: when half-open begins
	reject  error       // what a refused call is told; made once a period
	cause   error       // Open and HalfOpen: what opened the breaker
	near    atomic.Bool // Open: so close to until that a refusal looks at the clock first

	failures  atomic.Uint32 // Closed: in a row. Written under Breaker.mu, read without
	successes uint32        // HalfOpen, under Breaker.mu
	probes    []*probe      // HalfOpen, under Breaker.mu: in flight, oldest lease first
}

// probe is a half-open slot. Its permit may be copied and done more than once; only the first counts.
type probe struct {
	lease time.Time
	done  atomic.Bool
}

// step is what a verdict or a clock makes of a period.
type step struct {
	to    State         // the period's own state: stay
	trip  time.Duration // to Open: for how long
	cause error
}

// judge counts a verdict in the period and says what follows. This and overdue are all there is to the state machine,
// together with Open becoming HalfOpen when its time is over. The caller holds Breaker.mu and has taken the probe off
// the list.
func (p *period) judge(cfg *Config, v Verdict, cause error) step {
	if v == Ignore {
		return step{to: p.state}
	}
	switch p.state {
	case Closed:
		if v == Success {
			p.failures.Store(0)
			return step{to: Closed}
		}
		if p.failures.Add(1) < cfg.FailureThreshold && v.tripTime() == 0 {
			return step{to: Closed}
		}
		return step{to: Open, trip: openTime(cfg, v), cause: cause}
	case HalfOpen:
		if v != Success {
			return step{to: Open, trip: openTime(cfg, v), cause: cause}
		}
		if p.successes++; p.successes < cfg.SuccessThreshold {
			return step{to: HalfOpen}
		}
		return step{to: Closed}
	default:
		return step{to: p.state}
	}
}

// overdue says what follows from the oldest lease at the given time.
func (p *period) overdue(cfg *Config, now time.Time) step {
	if p.state == HalfOpen && len(p.probes) > 0 && !now.Before(p.probes[0].lease) {
		return step{to: Open, trip: cfg.ResetTimeout, cause: errLease}
	}
	return step{to: p.state}
}

// openTime is how long a breaker stays open after a verdict.
func openTime(cfg *Config, v Verdict) time.Duration {
	if d := v.tripTime(); d > 0 {
		return min(d, cfg.MaxTrip)
	}
	return cfg.ResetTimeout
}

// take gives out a half-open slot, or nil if all are taken.
func (p *period) take(cfg *Config, now time.Time) *probe {
	if len(p.probes) >= int(cfg.HalfOpenMaxCalls) {
		return nil
	}
	pr := &probe{lease: now.Add(cfg.HalfOpenLease)}
	p.probes = append(p.probes, pr)
	return pr
}

// free gives a half-open slot back.
func (p *period) free(pr *probe) {
	if i := slices.Index(p.probes, pr); i >= 0 {
		p.probes = slices.Delete(p.probes, i, i+1)
	}
}

// ended says whether an open period's time is over. Far from the end it answers without a look at the clock, which
// costs several times as much as the refusal: a timer sets near shortly before.
func (p *period) ended() bool {
	return p.near.Load() && !time.Now().Before(p.until)
}
