package routing

import "fmt"

// Pause keeps all tasks from being leased. Submits are accepted, what runs goes on and is settled, deadlines pass.
func (h *Hub) Pause() { h.setPaused(true) }

// Resume undoes Pause. Types and spokes that were paused by themselves stay so.
func (h *Hub) Resume() { h.setPaused(false) }

func (h *Hub) setPaused(paused bool) {
	h.mu.Lock()
	defer h.unlock()
	if h.paused == paused {
		return
	}
	h.paused = paused
	h.emitPause(paused, Event{})
	for _, l := range h.lanes {
		h.touchAll(l)
	}
}

// PauseType keeps tasks of a type from being leased, as [Hub.Pause] does with all. It fails with an [*UnknownTypeError].
func (h *Hub) PauseType(name string) error { return h.setTypePaused(name, true) }

// ResumeType undoes PauseType.
func (h *Hub) ResumeType(name string) error { return h.setTypePaused(name, false) }

func (h *Hub) setTypePaused(name string, paused bool) error {
	h.mu.Lock()
	defer h.unlock()
	l := h.lanes[name]
	switch {
	case l == nil:
		return &UnknownTypeError{Type: name}
	case l.paused == paused:
		return nil
	}
	l.paused = paused
	h.emitPause(paused, Event{Type: name})
	h.touchAll(l)
	return nil
}

// PauseSpoke keeps new leases from the spoke at a path and, other than [Spoke.Pause], from those that join at that path after it,
// until ResumeSpoke. It fails with an [*UnknownSpokeError] if there is none now.
func (h *Hub) PauseSpoke(path string) error {
	h.mu.Lock()
	defer h.unlock()
	s := h.spokes[path]
	if s == nil {
		return &UnknownSpokeError{Path: path}
	}
	if _, paused := h.shelved[path]; paused {
		return nil
	}
	h.shelved[path] = struct{}{}
	s.shelved = true
	h.emitPause(true, Event{Spoke: s.id})
	h.reseat(s)
	return nil
}

// ResumeSpoke undoes PauseSpoke, also while no spoke is joined at the path. It fails with an [*UnknownSpokeError] if the path is neither that of
// a spoke nor paused.
func (h *Hub) ResumeSpoke(path string) error {
	h.mu.Lock()
	defer h.unlock()
	s := h.spokes[path]
	_, paused := h.shelved[path]
	if s == nil && !paused {
		return &UnknownSpokeError{Path: path}
	}
	if !paused {
		return nil
	}
	delete(h.shelved, path)
	e := Event{Spoke: SpokeID{Path: path}}
	if s != nil {
		e.Spoke = s.id
		s.shelved = false
		h.reseat(s)
	}
	h.emitPause(false, e)
	return nil
}

func (h *Hub) emitPause(paused bool, e Event) {
	e.Kind = EventResumed
	if paused {
		e.Kind = EventPaused
	}
	h.emit(e, nil, h.clock.now())
}

// stopped reports whether no task of the lane may be leased.
func (h *Hub) stopped(l *lane) bool { return h.paused || l.paused }

// UnknownSpokeError says that no spoke is joined at a path.
type UnknownSpokeError struct {
	Path string
}

func (e *UnknownSpokeError) Error() string {
	return fmt.Sprintf("unknown spoke %q: none is joined at this path", e.Path)
}
