package breaker

import "time"

// Snapshot is a breaker at one moment.
type Snapshot struct {
	Name       string
	State      State
	Gen        uint64        // of the present period; 0 is the first
	Since      time.Time     // start of the present period
	RetryAfter time.Duration // Open: until half-open
	Failures   uint32        // Closed: failures in a row
	Successes  uint32        // HalfOpen: successful probes so far
	InFlight   uint32        // HalfOpen: slots taken
	LastErr    error         // Open and HalfOpen: what opened the breaker
	Totals     Totals
}

// Snapshot takes the lock of transitions for a moment: it is for people and metrics, not for every call.
func (b *Breaker) Snapshot() Snapshot {
	b.period()
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.current.Load()
	s := Snapshot{
		Name: b.cfg.Name, State: p.state, Gen: p.gen, Since: p.since, LastErr: p.cause,
		Failures: p.failures.Load(), Successes: p.successes, InFlight: uint32(len(p.probes)),
		Totals: b.counters.totals(),
	}
	if p.state == Open {
		s.RetryAfter = max(0, time.Until(p.until))
	}
	return s
}
