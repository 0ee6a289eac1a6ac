package breaker

import "time"

// Snapshot is a breaker at one moment. It can be stored as JSON, without LastErr, and be given to [Breaker.Restore].
type Snapshot struct {
	Name       string
	State      State
	Gen        uint64        // of the present period; 0 is the first
	Since      time.Time     // start of the present period
	RetryAfter time.Duration // Open: until half-open
	Failures   uint32        // Closed: failures in a row
	Successes  uint32        // HalfOpen: successful probes so far
	InFlight   uint32        // HalfOpen: slots taken
	Reopened   uint32        // Open and HalfOpen: half-open periods that failed since the breaker was last closed
	LastErr    error         `json:"-"` // Open and HalfOpen: what opened the breaker
	Window     WindowTally   // Closed, with a Config.Window
	Detached   Load          // calls of DoDetached
	Totals     Totals
}

// WindowTally is what is in the window of a closed breaker.
type WindowTally struct{ Calls, Failed, Slow int64 }

// Snapshot takes the lock of transitions for a moment: it is for people and metrics, not for every call.
func (b *Breaker) Snapshot() Snapshot {
	b.period()
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.current.Load()
	s := Snapshot{
		Name: b.cfg.Name, State: p.state, Gen: p.gen, Since: p.since, LastErr: p.cause,
		Failures: p.failures.Load(), Successes: p.successes, InFlight: uint32(len(p.probes)), Reopened: p.reopened,
		Detached: b.detached.load(), Totals: b.counters.totals(),
	}
	if p.state == Open {
		s.RetryAfter = max(0, time.Until(p.until))
	}
	if p.window != nil {
		t := p.window.sum(b.age())
		s.Window = WindowTally{Calls: t.calls, Failed: t.failed, Slow: t.slow}
	}
	return s
}
