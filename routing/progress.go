package routing

import (
	"context"
	"slices"
)

// Progress reports how far the task is; the submitter reads the latest value with [Handle.Progress], or each from [Handle.Updates]. Outside
// of a task, and from an attempt whose lease is gone, it does nothing.
func Progress(ctx context.Context, value any) {
	if lease := leaseOf(ctx); lease != nil {
		lease.hub.reportProgress(lease, value)
		lease.beat()
	}
}

func (h *Hub) reportProgress(l *Lease, value any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l.task.lease != l {
		return
	}
	e := l.task.more()
	e.progress = value
	for _, w := range e.watchers {
		w.replace(value)
	}
}

// Updates returns a channel with what the handler reports through [Progress], beginning with the latest value there is. It
// is closed when the task is settled or ctx ends. It never holds the handler up: a reader that is slow gets the latest value
// and misses those before.
func (h *Handle[Out]) Updates(ctx context.Context) <-chan any {
	return h.hub().watchProgress(ctx, h.task())
}

func (h *Hub) watchProgress(ctx context.Context, t *task) <-chan any {
	updates := make(chan any, 1)
	w := &watcher{updates: updates}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.extra != nil && t.extra.progress != nil {
		updates <- t.extra.progress
	}
	if t.over.Load() || ctx.Err() != nil {
		close(updates)
		return updates
	}
	e := t.more()
	e.watchers = append(e.watchers, w)
	if ctx.Done() != nil {
		w.stop = context.AfterFunc(ctx, func() { h.unwatch(t, w) })
	}
	return updates
}

// unwatch closes the channel, unless the end of the task did.
func (h *Hub) unwatch(t *task, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := slices.Index(t.extra.watchers, w); i >= 0 {
		t.extra.watchers = slices.Delete(t.extra.watchers, i, i+1)
		close(w.updates)
	}
}

// endUpdates closes what the watchers of a settled task read.
func (h *Hub) endUpdates(t *task) {
	if t.extra == nil {
		return
	}
	for _, w := range t.extra.watchers {
		close(w.updates)
		if w.stop != nil {
			h.after = append(h.after, func() { w.stop() })
		}
	}
	t.extra.watchers = nil
}

// watcher is one channel of updates. It is guarded by the hub's mutex.
type watcher struct {
	updates chan any // with room for one
	stop    func() bool
}

// replace puts a value into the channel, in place of one that nobody has read.
func (w *watcher) replace(value any) {
	select {
	case <-w.updates:
	default:
	}
	w.updates <- value // nobody else sends
}
