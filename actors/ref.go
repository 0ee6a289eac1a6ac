package actors

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/internal/ring"
)

// Overflow says what a full queue does with one message more.
type Overflow uint8

const (
	Reject     Overflow = iota // the new message becomes a dead letter; a request fails at once
	DropOldest                 // the oldest message becomes a dead letter
)

// String is "reject" or "drop oldest".
func (o Overflow) String() string { return [...]string{"reject", "drop oldest"}[o] }

// DefaultQueue is the capacity of a node's queue if its spec doesn't say.
const DefaultQueue = 1024

// ErrQueueClosed says that a node is gone for good and takes no messages.
var ErrQueueClosed = errors.New("node is gone")

// ref is the process behind a node's logical name. It owns the node's queue, which outlives every incarnation: messages wait
// here while the node is down, and its present incarnation takes them from here. One lock guards the queue and the
// incarnation's scheduling, so a fence or a takeover is exact: an incarnation that isn't the current one gets nothing.
//
// A message doesn't cost the incarnation that lock each. It takes a batch of them, and claims one after the other with an atomic step of the batch's
// index; see [ring.Batch]. What it hasn't claimed is still queued, and counts as such. Whatever comes before the next message, be it a control message, an
// order to stop, a failure, a fence, a sender that waits for room, or the loss of the oldest, recalls the batch under the lock: the rest is in front of the queue
// again, and the incarnation has to come to the lock before it gets anything more. So there is a batch only while its incarnation is the current one, up,
// scheduled, and has nothing else to do.
type ref struct {
	node *node

	mu       sync.Mutex
	queue    ring.Ring[any] // what the current incarnation hasn't got in its batch
	batched  int32          // how many were in that at first; 0 when it is over for sure
	overflow Overflow
	closed   bool
	resting  bool // down, and nobody is about to start it
	capacity int
	current  *incarnation // takes from the queue; nil while the node is down
	aside    *aside       // nil until there is anything of it
}

// aside is what most nodes never have.
type aside struct {
	blocked  list.List // of *sender, in Send, first come first served; there are none while there is room
	watchers []*actor.PID
	dropped  uint64
}

// besides returns what most nodes never have, to write in. The caller holds the lock.
func (r *ref) besides() *aside {
	if r.aside == nil {
		r.aside = new(aside)
	}
	return r.aside
}

// isAwaited reports whether senders wait for room. The caller holds the lock.
func (r *ref) isAwaited() bool { return r.aside != nil && r.aside.blocked.Len() > 0 }

var _ actor.Process = (*ref)(nil)

// SendUserMessage implements actor.Process.
func (r *ref) SendUserMessage(pid *actor.PID, message any) {
	if batch, ok := actor.UnwrapEnvelopeMessage(message).(actor.MessageBatch); ok {
		for _, m := range batch.GetMessages() {
			r.SendUserMessage(pid, m)
		}
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		r.forward(pid, message)
		return
	}
	refused, full := message, r.isFull()
	if full && r.overflow == DropOldest {
		refused, full = r.oldest() // unless it has just been claimed
	}
	if full {
		r.besides().dropped++
	}
	if full && r.overflow == Reject {
		r.mu.Unlock()
	} else {
		in := r.push(message)
		r.mu.Unlock()
		in.schedule()
	}
	if full {
		r.deadLetter(pid, refused)
	}
}

// waiting is how many messages are queued. The caller holds the lock.
func (r *ref) waiting() int {
	n := r.queue.Len()
	if r.batched > 0 {
		n += r.current.batch.Left()
	}
	return n
}

// isFull reports whether there is no room for one more message. The caller holds the lock.
func (r *ref) isFull() bool {
	return r.queue.Len()+int(r.batched) >= r.capacity && r.waiting() >= r.capacity
}

// oldest takes the oldest message out, if there still is one. The caller holds the lock.
func (r *ref) oldest() (message any, ok bool) {
	r.recall()
	if r.queue.Len() == 0 {
		return nil, false
	}
	return r.queue.Pop(), true
}

// recall takes back what the current incarnation hasn't claimed. The caller holds the lock.
func (r *ref) recall() {
	if r.batched == 0 {
		return
	}
	r.batched = 0
	if message, claimed := r.current.batch.Recall(&r.queue); claimed {
		r.current.handles(message)
	}
}

// push queues a message and returns the incarnation that has to be scheduled for it, if any. The caller holds the lock.
func (r *ref) push(message any) *incarnation {
	r.queue.Push(message)
	return r.wake()
}

// wake claims the current incarnation for scheduling if it can take messages and isn't scheduled yet.
func (r *ref) wake() *incarnation {
	in := r.current
	if in == nil || in.scheduled || in.phase != up || in.suspended || r.queue.Len() == 0 {
		return nil
	}
	in.scheduled = true
	return in
}

// sender waits in Send for room in the queue.
type sender struct {
	message any
	done    chan struct{} // closed when the message is queued, or the node is gone
	refused bool          // the node is gone
}

// send queues a message, and waits for room until ctx ends.
func (r *ref) send(ctx context.Context, message any) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return r.node.errorf(ErrQueueClosed)
	}
	if !r.isFull() {
		in := r.push(message)
		r.mu.Unlock()
		in.schedule()
		return nil
	}
	r.recall() // from now on there is room after each message
	s := &sender{message: message, done: make(chan struct{})}
	place := r.besides().blocked.PushBack(s)
	r.mu.Unlock()
	select {
	case <-s.done:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-s.done: // perhaps in the same moment
		if s.refused {
			return r.node.errorf(ErrQueueClosed)
		}
		return nil
	default:
		r.aside.blocked.Remove(place)
		return r.node.errorf(context.Cause(ctx))
	}
}

// batchSize is how many messages an incarnation takes at once, at most.
const batchSize = 64

// take takes the next message for the current incarnation, and those after it in a batch. Senders that wait for room are let in after each message, and
// the first message of an incarnation may be all that it handles: then it takes no more than that. The caller holds the lock and knows that there is one.
func (r *ref) take() any {
	in := r.current
	m := r.queue.Pop()
	r.batched = 0
	switch {
	case r.isAwaited():
		r.admit()
	case in.fresh:
		in.fresh = false
	case r.queue.Len() > 0:
		if in.batch == nil {
			in.batch = new(ring.Batch[any])
		}
		in.batch.Fill(&r.queue, batchSize)
		r.batched = int32(in.batch.Left())
	}
	return m
}

// admit queues the messages of those who have waited longest, as far as there is room. The caller holds the lock.
func (r *ref) admit() {
	for r.isAwaited() && r.waiting() < r.capacity {
		s := r.aside.blocked.Remove(r.aside.blocked.Front()).(*sender)
		r.queue.Push(s.message)
		close(s.done)
	}
}

// SendSystemMessage implements actor.Process: what protoactor sends to a PID besides messages.
func (r *ref) SendSystemMessage(pid *actor.PID, message any) {
	switch m := message.(type) {
	case *actor.Watch:
		r.mu.Lock()
		over := r.closed || r.resting
		if a := r.besides(); !over && !slices.ContainsFunc(a.watchers, m.Watcher.Equal) {
			r.forgetDead()
			a.watchers = append(a.watchers, m.Watcher)
		}
		r.mu.Unlock()
		if over {
			r.node.tree.tell(m.Watcher, &actor.Terminated{Who: r.node.pid, Why: actor.TerminatedReason_NotFound})
		}
	case *actor.Unwatch:
		r.mu.Lock()
		if a := r.aside; a != nil {
			a.watchers = slices.DeleteFunc(a.watchers, m.Watcher.Equal)
		}
		r.mu.Unlock()
	case *actor.Stop:
		r.Stop(pid)
	}
}

// Stop implements actor.Process. Stopping a logical PID from outside is a terminate call to its supervisor.
func (r *ref) Stop(*actor.PID) { r.node.tree.terminateLater(r.node) }

// open takes messages again, after close.
func (r *ref) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		r.closed = false
		r.node.tree.register(r.node)
	}
}

func (r *ref) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// close makes dead letters of what is queued and tells the watchers that the node is gone.
func (r *ref) close() {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.closed = true
	r.recall()
	left, watchers := r.queue, r.dismiss()
	r.queue = ring.Ring[any]{}
	for r.isAwaited() {
		s := r.aside.blocked.Remove(r.aside.blocked.Front()).(*sender)
		s.refused = true
		close(s.done)
	}
	r.mu.Unlock()

	if r.node.named.Swap(false) {
		r.node.tree.system.ProcessRegistry.Remove(r.node.pid)
	}
	for left.Len() > 0 {
		r.deadLetter(r.node.pid, left.Pop())
	}
	r.tellWatchers(watchers)
}

// rest tells the watchers that the node is down and that nobody is about to start it again. Its queue stays.
func (r *ref) rest() {
	r.mu.Lock()
	r.resting = true
	r.node.backingOff = false
	watchers := r.dismiss()
	r.mu.Unlock()
	r.tellWatchers(watchers)
}

// dismiss returns the watchers, who aren't watchers any more. The caller holds the lock.
func (r *ref) dismiss() []*actor.PID {
	if r.aside == nil {
		return nil
	}
	watchers := r.aside.watchers
	r.aside.watchers = nil
	return watchers
}

func (r *ref) tellWatchers(watchers []*actor.PID) {
	for _, w := range watchers {
		r.node.tree.tell(w, &actor.Terminated{Who: r.node.pid, Why: actor.TerminatedReason_Stopped})
	}
}

// forgetDead drops watchers that are gone themselves, each time their number has doubled. The caller holds the lock.
func (r *ref) forgetDead() {
	a := r.aside
	if n := len(a.watchers); n >= 32 && n&(n-1) == 0 {
		registry := r.node.tree.system.ProcessRegistry
		a.watchers = slices.DeleteFunc(a.watchers, func(w *actor.PID) bool {
			_, ok := registry.Get(w)
			return !ok
		})
	}
}

func (r *ref) deadLetter(pid *actor.PID, message any) {
	if o, ok := message.(own); ok {
		pid, message = o.in.pid(), o.message
	}
	r.node.tree.system.DeadLetter.SendUserMessage(pid, message)
}

// forward is what a closed ref does with messages: PIDs keep pointing at it for ever, but its name may have a new holder.
func (r *ref) forward(pid *actor.PID, message any) {
	system := r.node.tree.system
	if p, ok := system.ProcessRegistry.GetLocal(r.node.path); ok && p != actor.Process(r) {
		p.SendUserMessage(pid, message)
		return
	}
	r.deadLetter(pid, message)
}
