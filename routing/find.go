package routing

import "fmt"

// Find returns the handle of a task that was submitted before, from anywhere, by its id. It fails with an [*UnknownTaskError], or, if the
// task is of another type, with a [*ConflictError].
func (t Type[In, Out]) Find(in Submitter, id string) (*Handle[Out], error) {
	hub := in.Hub()
	if hub == nil {
		return nil, fmt.Errorf("find task %q of type %q: the submitter has no hub: %w", id, t.name, ErrClosed)
	}
	hub.mu.Lock()
	defer hub.mu.Unlock()
	known, err := hub.known(id, t.name)
	switch {
	case err != nil:
		return nil, err
	case known == nil:
		return nil, &UnknownTaskError{ID: id}
	}
	return (*Handle[Out])(known), nil
}

// UnknownTaskError says that the hub knows no task with this id: it was never accepted, or it was settled so long ago that it is
// forgotten ([Options.Results]).
type UnknownTaskError struct {
	ID string
}

func (e *UnknownTaskError) Error() string {
	return fmt.Sprintf("unknown task %q: it was never accepted, or was settled so long ago that it is forgotten", e.ID)
}
