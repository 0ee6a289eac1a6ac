package routing

import "context"

// Carry takes from a submitter's context what is to stay with its task: a trace, or a request's identity. It is called on the submitter's goroutine
// before the task is admitted. carried is in all events of the task, and with [Lease.Carried] whoever runs an attempt has it. done, which may be
// nil, is called when the submit returns: with the task's id and whether it is a new task, or with the reason for which it was refused. By then the
// task may have been leased, and even be settled.
type Carry func(ctx context.Context, taskType string) (carried any, done func(id string, fresh bool, err error))

// Carried returns what [Options.Carry] took from the context that the task was submitted with, or nil.
func (l *Lease) Carried() any { return l.task.carries() }

func (t *task) carries() any {
	if t.extra == nil || t.extra.carried == nil {
		return nil
	}
	return *t.extra.carried
}

// submitCarrying is submit with what Carry takes along.
func (h *Hub) submitCarrying(ctx context.Context, typeName string, in any, opts []SubmitOption) (*task, bool, error) {
	carry := h.options.Carry
	if carry == nil {
		return h.submit(ctx, typeName, in, opts)
	}
	carried, done := carry(ctx, typeName)
	carrying := append(opts[:len(opts):len(opts)], func(s *submission) { s.carried = &carried })
	t, fresh, err := h.submit(ctx, typeName, in, carrying)
	if done != nil {
		id := ""
		if t != nil {
			id = h.index.id(t)
		}
		done(id, fresh, err)
	}
	return t, fresh, err
}
