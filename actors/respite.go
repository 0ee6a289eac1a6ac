package actors

import (
	"context"
	"sync"

	"github.com/mistersmith/mistersmith/routing"
)

// respite is while a handler waits for something that has a time limit of its own, see routing.Waiting. It may be broken off and taken up again, on any
// goroutine, until it is over.
type respite struct {
	ctx context.Context // that the handler waits with

	mu   sync.Mutex // guards what follows
	done func()     // nil while it is broken off
	over bool
}

// newRespite begins one.
func newRespite(ctx context.Context) *respite { return &respite{ctx: ctx, done: routing.Waiting(ctx)} }

func (r *respite) set(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.over || on == (r.done != nil):
	case on:
		r.done = routing.Waiting(r.ctx)
	default:
		r.done()
		r.done = nil
	}
}

func (r *respite) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.done != nil {
		r.done()
	}
}
