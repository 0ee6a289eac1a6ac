package breaker

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// period is one stretch of time in one state. A breaker points at its present period; a permit points at the one that
// gave it, so a result that comes too late finds an object that nobody looks at any more.
type period struct {
	breaker *Breaker
	state   State
	plain   bool // Closed, and calls are not measured: while failures is 0, a success is a count and no more
	gen     uint64
	since   time.Time
	until   time.Time // Open: when half-open begins
	reject  error     // what a refused call is told; made once a period
	cause   error     // Open and HalfOpen: what opened the breaker

	reopened uint32             // Open and HalfOpen: half-open periods that failed since the last closed one
	endProbe context.CancelFunc // HalfOpen, with Config.Probe

	near     atomic.Bool   // Open: so close to until that a refusal looks at the clock first
	failures atomic.Uint32 // Closed: in a row
	window   *window       // Closed, with Config.Window

	successes uint32   // HalfOpen, under Breaker.mu
	probes    []*probe // HalfOpen, under Breaker.mu: in flight, oldest lease first
}

// probe is a half-open slot. Its permit may be copied and done more than once; only the first counts.
type probe struct {
	lease time.Time // under Breaker.mu
	done  atomic.Bool
}

// step is what a verdict, a clock or a hand makes of a period.
type step struct {
	to       State         // the period's own state: stay
	trip     time.Duration // to Open: for how long
	reopened uint32        // to Open
	cause    error
}

// change is what a verdict in a closed period makes of it.
type change uint8

const (
	stays     change = iota
	opens            // for sure
	lastStraw        // if it still is the last straw under the lock: see seal
)

// tally counts a verdict in a closed period and says what follows: without a lock, but for the failure that is the last
// straw. That one is not counted here.
func (p *period) tally(cfg *Config, v Verdict, isSlow bool, now time.Duration) change {
	follows := stays
	switch {
	case v == Success:
		if p.failures.Load() != 0 {
			p.forgive(cfg.FailureThreshold)
		}
	case v == Ignore:
		return stays
	case v.tripTime() > 0:
		follows = opens
	case !p.count(cfg.FailureThreshold):
		follows = lastStraw
	}
	if p.window != nil && p.window.add(markOf(v, isSlow), now) {
		follows = opens
	}
	return follows
}

// count counts a failure, unless it would be the last straw.
func (p *period) count(threshold uint32) bool {
	for {
		n := p.failures.Load()
		if threshold > 0 && n+1 >= threshold {
			return false
		}
		if p.failures.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// seal counts a failure that may be the last straw, and says whether it is. The caller holds Breaker.mu and opens the
// breaker then. No success undoes a count that is sealed.
func (p *period) seal(threshold uint32) bool {
	for {
		if p.count(threshold) {
			return false
		}
		if p.failures.CompareAndSwap(threshold-1, threshold) {
			return true
		}
	}
}

// waitFor returns once whoever holds the lock now has given it up.
func waitFor(mu *sync.Mutex) {
	mu.Lock()
	defer mu.Unlock()
}

// forgive starts the count again. One that is sealed stays, and the caller waits until the breaker is open: else others
// could be admitted by a closed breaker after this success, and it would open on failures from before.
func (p *period) forgive(threshold uint32) {
	for {
		n := p.failures.Load()
		if threshold > 0 && n >= threshold {
			waitFor(&p.breaker.mu)
			return
		}
		if p.failures.CompareAndSwap(n, 0) {
			return
		}
	}
}

// judge counts a verdict in a half-open period and says what follows. The caller holds Breaker.mu and has taken the probe
// off the list. tally, judge and overdue are all there is to the state machine, together with Open becoming HalfOpen when
// its time is over, and what is done by hand.
func (p *period) judge(cfg *Config, v Verdict, isSlow bool, cause error) step {
	switch {
	case v == Ignore:
		return step{to: HalfOpen}
	case v != Success || isSlow:
		return p.reopen(cfg, v, cause)
	}
	if p.successes++; p.successes < cfg.SuccessThreshold {
		return step{to: HalfOpen}
	}
	return step{to: Closed}
}

// overdue says what follows from the oldest lease at the given time. The caller holds Breaker.mu.
func (p *period) overdue(cfg *Config, now time.Time) step {
	if p.state == HalfOpen && len(p.probes) > 0 && !now.Before(p.probes[0].lease) {
		return p.reopen(cfg, Failure, errLease)
	}
	return step{to: p.state}
}

func (p *period) reopen(cfg *Config, v Verdict, cause error) step {
	s := step{to: Open, reopened: p.reopened, cause: cause}
	if v.tripTime() == 0 {
		s.reopened++
	}
	s.trip = openTime(cfg, v, s.reopened)
	return s
}

// openTime is how long a breaker stays open after a verdict.
func openTime(cfg *Config, v Verdict, reopened uint32) time.Duration {
	if d := v.tripTime(); d > 0 {
		return min(d, cfg.MaxTrip)
	}
	return cfg.Backoff.reset(cfg.ResetTimeout, reopened, rand.Float64())
}

// take gives out a half-open slot, or nil if all are taken. The caller holds Breaker.mu, as for free and renew.
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

// renew starts a probe's lease again.
func (p *period) renew(cfg *Config, pr *probe, now time.Time) {
	if i := slices.Index(p.probes, pr); i >= 0 {
		pr.lease = now.Add(cfg.HalfOpenLease)
		p.probes = append(slices.Delete(p.probes, i, i+1), pr)
	}
}

// ended says whether an open period's time is over. Far from the end it answers without a look at the clock, which
// costs several times as much as the refusal: a timer sets near shortly before.
func (p *period) ended() bool {
	return p.near.Load() && !time.Now().Before(p.until)
}
