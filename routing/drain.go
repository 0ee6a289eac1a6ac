package routing

import (
	"context"
	"fmt"
)

// Drain keeps new leases from the spoke, as Pause does, and waits until it has settled all that it holds. When ctx ends first it says how
// many are left, and the spoke stays paused. A handler that awaits subtasks is waited for too: somebody else has to run those.
// Draining a spoke that has left, or that leaves meanwhile, returns nil: what it held was given back.
func (s *Spoke) Drain(ctx context.Context) error {
	s.Pause()
	return s.awaitIdle(ctx)
}

// awaitIdle waits until the spoke holds nothing.
func (s *Spoke) awaitIdle(ctx context.Context) error {
	h := s.hub
	h.mu.Lock()
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

// DrainSpoke pauses the path of a spoke, as PauseSpoke does, and waits until the spoke that is joined there has settled all that it holds, as
// [Spoke.Drain] does. It fails with an [*UnknownSpokeError] if there is none now.
func (h *Hub) DrainSpoke(ctx context.Context, path string) error {
	h.mu.Lock()
	s := h.spokes[path]
	h.mu.Unlock()
	if s == nil {
		return &UnknownSpokeError{Path: path}
	}
	if err := h.PauseSpoke(path); err != nil {
		return err
	}
	return s.awaitIdle(ctx)
}

// wakeDrain tells who waits for it that the spoke holds nothing any more.
func (s *Spoke) wakeDrain() {
	if s.leases.size == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}
