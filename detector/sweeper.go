package detector

import (
	"fmt"
	"sync"
	"time"
)

// DefaultSweepEvery is how often a Sweeper sweeps.
const DefaultSweepEvery = 100 * time.Millisecond

// Sweeper sweeps a Registry on a Clock, from a goroutine of its own: the one on which the registry's subscriber is called. While nothing
// is watched it sleeps, and lets go of the clock.
type Sweeper struct {
	registry *Registry
	clock    *Clock
	every    time.Duration

	mu   sync.Mutex    // guards what follows
	stop chan struct{} // closed by Stop; nil while not started
	done chan struct{} // closed when the goroutine has ended
}

// NewSweeper makes a sweeper. every is how often it sweeps, and so how late an event may be: 0 means 100 ms; at least 1 ms, at most
// 24 h. A registry needs one sweeper at most.
func NewSweeper(r *Registry, c *Clock, every time.Duration) (*Sweeper, error) {
	if every == 0 {
		every = DefaultSweepEvery
	}
	if every < time.Millisecond || every > maxDuration {
		return nil, fmt.Errorf("detector: sweeping every %v: must be 0 (default), or between 1ms and %v", every, maxDuration)
	}
	return &Sweeper{registry: r, clock: c, every: every}, nil
}

// Start sweeps until Stop. It doesn't start the clock. Starting a sweeper that runs does nothing.
func (s *Sweeper) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		return
	}
	s.stop, s.done = make(chan struct{}), make(chan struct{})
	s.clock.Hold()
	go s.run(s.stop, s.done)
}

// Stop returns when the goroutine has ended, and with it the last call of the subscriber. So the subscriber must not call it.
func (s *Sweeper) Stop() {
	s.mu.Lock()
	stop, done := s.stop, s.done
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		close(stop)
		<-done
	}
}

// run begins, and sweeps, with the clock held.
func (s *Sweeper) run(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	defer s.clock.Release()
	ticker := time.NewTicker(s.every)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		if s.registry.Len() > 0 {
			s.registry.Sweep(s.clock.Now())
			continue
		}
		ticker.Stop()
		s.clock.Release()
		select {
		case <-stop:
			s.clock.Hold() // for run to release
			return
		case <-s.registry.wake:
		}
		s.clock.Hold()
		ticker.Reset(s.every)
	}
}
