package routing

import (
	"context"
	"fmt"
	"reflect"
)

// Handle is the submitter's hold on an accepted task. All methods may be called from any goroutine, also after the hub
// closed; the handle keeps the outcome for as long as it is kept itself.
//
// It is the task's record itself, as its submitter sees it.
type Handle[Out any] task

func (h *Handle[Out]) task() *task { return (*task)(h) }

func (h *Handle[Out]) hub() *Hub { return h.lane.hub }

// String is "task" and the id.
func (h *Handle[Out]) String() string { return "task " + h.ID() }

// ID returns the task's id.
func (h *Handle[Out]) ID() string { return h.hub().index.id(h.task()) }

// Done returns a channel that is closed when the task is settled, and with a store, when that is recorded. It is also closed, with the task unsettled, when
// the hub lets go of it: see [ErrKept].
func (h *Handle[Out]) Done() <-chan struct{} { return h.hub().settledChannel(h.task()) }

// Await waits for Done and returns the task's result, or a [*TaskError]. When ctx ends first it returns the cause of
// ctx, and the task goes on. A handler that awaits another task does so with its context: its own credit is free for others as long
// as it waits.
func (h *Handle[Out]) Await(ctx context.Context) (Out, error) {
	if err := h.wait(ctx); err != nil {
		var zero Out
		return zero, err
	}
	return h.result()
}

// wait waits until the task is settled (nil) or ctx ends.
func (h *Handle[Out]) wait(ctx context.Context) error {
	if h.task().over.Load() {
		return nil
	}
	await, err := beginAwait(ctx, h.task())
	if err != nil {
		return err
	}
	defer await.end()
	done := h.Done()
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Cancel settles the task as cancelled, at once; a running handler's context ends with the cause, and whatever it still
// returns is refused. It reports whether the task was unsettled until then.
func (h *Handle[Out]) Cancel(cause error) bool { return h.hub().cancelTask(h.task(), cause) }

// Status returns the task's state.
func (h *Handle[Out]) Status() State {
	hub := h.hub()
	hub.mu.Lock()
	defer hub.mu.Unlock()
	return h.task().seen()
}

// Progress returns the value that the handler reported last, through [Progress], or nil.
func (h *Handle[Out]) Progress() any {
	hub := h.hub()
	hub.mu.Lock()
	defer hub.mu.Unlock()
	return h.task().progress()
}

// result returns the outcome of a settled task.
func (h *Handle[Out]) result() (Out, error) { return resultOf[Out](h.hub(), h.task()) }

// resultOf returns the outcome of a settled task, which doesn't change any more.
func resultOf[Out any](h *Hub, t *task) (Out, error) {
	if t.err != nil {
		var zero Out
		return zero, t.err
	}
	value, err := as[Out](t.value)
	switch {
	case err == errOtherType:
		err = fmt.Errorf("task %s of type %q returned a %T, not the %v that was asked for", h.index.id(t), t.lane.name, t.value, reflect.TypeFor[Out]())
	case err != nil:
		err = fmt.Errorf("task %s of type %q: its stored result doesn't decode as the %v that was asked for: %w", h.index.id(t), t.lane.name, reflect.TypeFor[Out](), err)
	}
	return value, err
}
