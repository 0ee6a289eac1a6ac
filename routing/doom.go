package routing

// doomed is a task that has to be settled because another one was.
type doomed struct {
	task  *task
	input *task // that it needs ended without a result, so it fails
	cause error // or it is cancelled for this
}

// doom notes a task for settleDoomed. Settling it right away could go as deep as tasks depend on each other.
func (h *Hub) doom(d doomed) { h.doomed = append(h.doomed, d) }

// settleDoomed settles what was doomed, and what that dooms in turn.
func (h *Hub) settleDoomed(now int64) {
	if h.dooming {
		return // whoever does it already gets there
	}
	h.dooming = true
	for i := 0; i < len(h.doomed); i++ {
		d := h.doomed[i]
		switch {
		case d.task.state.Settled():
		case d.input != nil:
			h.settle(d.task, StateFailed, Outcome{err: newInputError(d.input)}, now)
		default:
			h.cancel(d.task, d.cause, now)
		}
	}
	clear(h.doomed)
	h.doomed = h.doomed[:0]
	h.dooming = false
}
