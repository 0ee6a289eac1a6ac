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

// abandonGrace is how long a tree may have more than that: what was killed while it was busy usually returns at once.
const abandonGrace = time.Second

// AbandonedError says that a tree has stopped, but that code which doesn't return was left behind. A goroutine can't be killed in Go; what it
// belongs to was fenced off, so what it does has no effect on the tree.
type AbandonedError struct{ Left []Leftover }

// Leftover is user code of an incarnation that was left behind and hasn't returned.
type Leftover struct {
	Path        string
	Incarnation uint64
	Since       time.Time

	running bool // for certain; else it has only been told to clean up, and will be back in no time
}

func (e *AbandonedError) Error() string {
	names := make([]string, len(e.Left))
	for i, l := range e.Left {
		names[i] = fmt.Sprintf("%s@%d", l.Path, l.Incarnation)
	}
	return fmt.Sprintf("stopped, but code that doesn't return was left behind: %s", strings.Join(names, ", "))
}

// leftovers are a tree's goroutines that were left behind.
type leftovers struct {
	mu      sync.Mutex
	left    map[any]Leftover
	timer   *time.Timer
	changed chan struct{} // closed when one has come back; nil when nobody waits for that
}

// leave counts user code of an incarnation, told apart by key, as left behind.
func (t *Tree) leave(key any, in *incarnation, running bool) {
	l := &t.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left == nil {
		l.left = make(map[any]Leftover)
	}
	l.left[key] = Leftover{in.node.path, in.number, time.Now(), running}
	if len(l.left) > t.options.abandonLimit && l.timer == nil {
		l.timer = time.AfterFunc(abandonGrace, t.checkAbandoned)
	}
}

// cameBack takes it off again.
func (t *Tree) cameBack(key any) {
	l := &t.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.left, key)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// cleanUp waits for what was only told to clean up, for a short time.
func (t *Tree) cleanUp() {
	l := &t.leftovers
	timer := time.NewTimer(abandonGrace)
	defer timer.Stop()
	for {
		l.mu.Lock()
		pending := false
		for _, e := range l.left {
			pending = pending || !e.running
		}
		if !pending {
			l.mu.Unlock()
			return
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			return
		}
	}
}

func (t *Tree) checkAbandoned() {
	l := &t.leftovers
	l.mu.Lock()
	l.timer = nil
	n := len(l.left)
	l.mu.Unlock()
	if n > t.options.abandonLimit {
		t.shutdown(fmt.Errorf("%w: %d, the limit is %d", ErrAbandoned, n, t.options.abandonLimit))
	}
}

// Abandoned lists the user code that was left behind and hasn't returned, oldest first. It may be called from anywhere.
func (t *Tree) Abandoned() []Leftover {
	l := &t.leftovers
	l.mu.Lock()
	defer l.mu.Unlock()
	left := make([]Leftover, 0, len(l.left))
	for _, e := range l.left {
		left = append(left, e)
	}
	slices.SortFunc(left, func(a, b Leftover) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return left
}

// stray is a goroutine with user code that may be left behind. Whoever comes first, its return or the one who leaves it, decides.
type stray struct {
	in    *incarnation
	state atomic.Int32
}

const (
	running int32 = iota
	back
	behind
)

func newStray(in *incarnation) *stray { return &stray{in: in} }

func (s *stray) leftBehind(reason error) {
	if s.state.CompareAndSwap(running, behind) {
		s.in.node.tree.leave(s, s.in, true)
		s.in.publish(Event{Kind: Abandoned, Err: reason})
		if s.state.Load() == back {
			s.in.node.tree.cameBack(s)
		}
	}
}

func (s *stray) returned() {
	if s.state.Swap(back) == behind {
		s.in.node.tree.cameBack(s)
		s.in.publish(Event{Kind: Returned})
	}
}
