package actors

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultAbandonLimit is how many abandoned goroutines a tree bears if its options don't say.
const DefaultAbandonLimit = 64

// abandonGrace is how long code that was cut off without warning may take to come back before it counts as abandoned.
const abandonGrace = time.Second

// busyGrace is how long code that is busy when the tree ends may take before it counts as left behind: it may be about to return while others have the processor.
const busyGrace = 10 * time.Millisecond

// AbandonedError says that a tree has stopped, but that code which doesn't return was left behind. A goroutine can't be killed in Go; what it
// belongs to was fenced off, so what it does has no effect on the tree.
type AbandonedError struct{ Left []Leftover }

// Leftover is user code of an incarnation that was left behind and hasn't returned. Of a call through a breaker that doesn't return only the path is
// known, that of the breaker.
type Leftover struct {
	Path        string
	Incarnation uint64
	Since       time.Time
}

func (e *AbandonedError) Error() string {
	names := make([]string, len(e.Left))
	for i, l := range e.Left {
		names[i] = fmt.Sprintf("%s@%d", l.Path, l.Incarnation)
	}
	return fmt.Sprintf("stopped, but code that doesn't return was left behind: %s", strings.Join(names, ", "))
}

// leftovers are a tree's goroutines that run on after what they belong to has ended. Each has some time to come back, and is abandoned after that.
type leftovers struct {
	mu      sync.Mutex
	left    map[any]leftover
	timer   *time.Timer   // for the next one whose time is over
	changed chan struct{} // closed when one has come back; nil when nobody waits for that
}

type leftover struct {
	Leftover
	in   *incarnation
	due  time.Time // when it is abandoned; zero when it is
	idle bool      // it wasn't running, and has only to clean up
}

// leave notes that code of an incarnation, told apart by key, runs on. With patience 0 it is abandoned already, and the caller has said so.
func (t *Tree) leave(key any, in *incarnation, patience time.Duration, idle bool) {
	l := &t.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == nil {
		l.left = make(map[any]leftover)
	}
	now := time.Now()
	e := leftover{Leftover: Leftover{in.node.path, in.number, now}, in: in, idle: idle}
	if patience > 0 {
		e.due = now.Add(patience)
	}
	l.left[key] = e
	t.watchLeftovers(now)
}

// cameBack takes it off again, and reports whether it was abandoned.
func (t *Tree) cameBack(key any) (abandoned bool) {
	l := &t.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.left[key]
	delete(l.left, key)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return ok && e.due.IsZero()
}

// watchLeftovers sets the timer, or ends the tree if too many are abandoned. The caller holds the lock.
func (t *Tree) watchLeftovers(now time.Time) {
	l := &t.leftovers
	var next time.Time
	abandoned := 0
	for _, e := range l.left {
		switch {
		case e.due.IsZero():
			abandoned++
		case next.IsZero() || e.due.Before(next):
			next = e.due
		}
	}
	if limit := t.options.abandonLimit; abandoned > limit {
		t.dispatcher.Schedule(func() { t.shutdown(fmt.Errorf("%w: %d, the limit is %d", ErrAbandoned, abandoned, limit)) })
		return
	}
	if next.IsZero() {
		return
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(next.Sub(now), t.abandonOverdue)
	} else {
		l.timer.Reset(next.Sub(now))
	}
}

// abandonOverdue gives up on what has had its time.
func (t *Tree) abandonOverdue() {
	l := &t.leftovers
	l.mu.Lock()
	now := time.Now()
	var overdue []*incarnation
	for key, e := range l.left {
		if !e.due.IsZero() && !now.Before(e.due) {
			e.due = time.Time{}
			l.left[key] = e
			overdue = append(overdue, e.in)
		}
	}
	t.watchLeftovers(now)
	l.mu.Unlock()
	for _, in := range overdue {
		in.publish(Event{Kind: Abandoned, Cause: in.causeNow()})
	}
}

// stopWatching is called when the tree ends: nothing more is abandoned.
func (t *Tree) stopWatching() {
	t.deadlines.close()
	l := &t.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
}

// cleanUp waits for what may be about to come back: what only has to clean up for as long as that may take, what was busy just as long as it takes to get
// the processor, and what has had its time not at all.
func (t *Tree) cleanUp() {
	timer, busy := time.NewTimer(abandonGrace), time.NewTimer(busyGrace)
	defer timer.Stop()
	defer busy.Stop()
	for alsoBusy := true; ; {
		changed := t.pending(alsoBusy)
		if changed == nil {
			return
		}
		select {
		case <-changed:
		case <-busy.C:
			alsoBusy = false
		case <-timer.C:
			return
		}
	}
}

// pending returns a channel that is closed when something has come back, or nil if nothing is left that is worth waiting for.
func (t *Tree) pending(alsoBusy bool) <-chan struct{} {
	l := &t.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.left {
		if (alsoBusy || e.idle) && !e.due.IsZero() {
			if l.changed == nil {
				l.changed = make(chan struct{})
			}
			return l.changed
		}
	}
	if alsoBusy {
		for _, n := range t.all() {
			if n.guard != nil && n.guard.running(true) > 0 {
				return n.guard.Idle()
			}
		}
	}
	return nil
}

// Abandoned lists the user code that was left behind and hasn't returned, oldest first. After the tree has ended that is all that still runs. It may
// be called from anywhere.
func (t *Tree) Abandoned() []Leftover {
	over := false
	select {
	case <-t.done:
		over = true
	default:
	}
	l := &t.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	var left []Leftover
	for _, e := range l.left {
		if over || !e.idle || e.due.IsZero() {
			left = append(left, e.Leftover)
		}
	}
	for _, n := range t.all() {
		if n.guard != nil {
			for range n.guard.running(over) {
				left = append(left, Leftover{Path: n.path})
			}
		}
	}
	slices.SortFunc(left, func(a, b Leftover) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return left
}

// stray is a goroutine with user code that may outlive what it belongs to. Whoever comes first, its return or the one who leaves it, decides.
type stray struct {
	in    *incarnation
	state atomic.Int32
}

const (
	running int32 = iota
	back
	behind
)

// leftBehind notes that nobody waits for it any more, but for the time that user code of its node may take to end.
func (s *stray) leftBehind() {
	if s.state.CompareAndSwap(running, behind) {
		s.in.node.tree.leave(s, s.in, s.in.node.patience(), false)
		if s.state.Load() == back {
			s.in.node.tree.cameBack(s)
		}
	}
}

// abandoned notes the same of one that has had its time.
func (s *stray) abandoned(reason error) {
	if s.state.CompareAndSwap(running, behind) {
		s.in.node.tree.leave(s, s.in, 0, false)
		s.in.publish(Event{Kind: Abandoned, Cause: s.in.causeNow(), Err: reason})
		if s.state.Load() == back {
			s.in.node.tree.cameBack(s)
		}
	}
}

// returned says that it has come back, and reports whether it had been left.
func (s *stray) returned() (left bool) {
	left = s.state.Swap(back) == behind
	if left && s.in.node.tree.cameBack(s) {
		s.in.publish(Event{Kind: Returned, Cause: s.in.causeNow()})
	}
	return left
}
