package routing

// extra is what most tasks do without, kept apart to keep them small. Guarded by the hub's mutex.
type extra struct {
	timeout  int64    // of an attempt, in nanoseconds, instead of the type's; 0 is the type's
	backoff  *Backoff // instead of the type's
	progress any      // reported last
	watchers []*watcher

	pin     *seat // where it must run, or nowhere; nil is anywhere
	kinship *kinship
	fan     *fan
}

// more returns the task's extra, making it if there is none.
func (t *task) more() *extra {
	if t.extra == nil {
		t.extra = &extra{}
	}
	return t.extra
}

// timeout returns the time limit of an attempt; 0 is none.
func (t *task) timeout() int64 {
	if t.extra != nil && t.extra.timeout > 0 {
		return t.extra.timeout
	}
	return t.lane.timeout
}

// backoff returns how long the task waits before it is tried again.
func (t *task) backoff() Backoff {
	if t.extra != nil && t.extra.backoff != nil {
		return *t.extra.backoff
	}
	return t.lane.backoff
}

func (t *task) progress() any {
	if t.extra == nil {
		return nil
	}
	return t.extra.progress
}

// nextLife returns what a task that is requeued takes with it.
func (t *task) nextLife() *extra {
	if t.extra == nil {
		return nil
	}
	e := &extra{timeout: t.extra.timeout, backoff: t.extra.backoff}
	if k := t.extra.kinship; k != nil {
		e.kinship = &kinship{parentID: k.parentID, depth: k.depth}
	}
	if f := t.extra.fan; f != nil {
		e.fan = &fan{inputs: f.inputs}
		f.inputs = nil // of the old life nobody asks for them any more
	}
	return e
}
