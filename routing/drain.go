package routing

import (
	"context"
	"fmt"
)

// Drain keeps new leases from the spoke, as Pause does, and waits until it has settled all that it holds. When ctx ends first it says how
// many are left, and the spoke stays paused. A handler that awaits subtasks is waited for too: somebody else has to run those.
// Draining a spoke that has left, or that leaves meanwhile, returns nil: what it held was given back.
func (s *Spoke) Drain(ctx context.Context) error {
	h := s.hub
	h.mu.Lock()
	s.paused = true
	h.reseat(s)
	idle := h.settled
	if s.leases.size > 0 {
		if s.idle == nil {
			s.idle = make(chan struct{})
		}
		idle = s.idle
	}
	h.unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	left := s.leases.size
	h.mu.Unlock()
	if left == 0 {
		return nil
	}
	return fmt.Errorf("drain spoke %v: it still holds %d leases: %w", s.id, left, context.Cause(ctx))
}

// wakeDrain tells who waits for it that the spoke holds nothing any more.
func (s *Spoke) wakeDrain() {
	if s.leases.size == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}
