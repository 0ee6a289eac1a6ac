package actors

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// node is a name in the tree with everything that outlives the incarnations: the queue, the counts, the history of failures.
type node struct {
	tree     *Tree
	parent   *node // nil at the top
	spec     *nodeSpec
	path     string
	kind     Kind
	pid      *actor.PID      // the logical one
	isStatic bool            // it is in its supervisor's spec
	hub      *routing.Hub    // of a hub node
	guard    *breaker.Runner // of a breaker node
	ref      ref

	// ---- guarded by ref.mu
	children     map[string]*node // of a supervisor
	static       []*node          // those of them that are in its spec, in start order
	serial       uint64           // place among its siblings; of dynamic children in order of their start
	incarnations uint64
	restarts     int
	failures     int
	history      []Failure // the last failureHistory ones
	downSince    time.Time // of a failure that isn't recovered from yet
	recovery     time.Duration
	backingOff   bool
	lastExit     exitRecord
	failedSeq    uint64 // of the last event Failed about it
}

const failureHistory = 100

// Failure is one entry of a node's history.
type Failure struct {
	Time        time.Time
	Incarnation uint64
	Class       Class
	Err         error
	Event       uint64 // Seq of the event that told of it
}

// exitRecord is how the incarnation before the present one ended.
type exitRecord struct {
	incarnation uint64
	outcome     outcome
	abandoned   bool
	seq         uint64 // of the event Exited or StartFailed
}

// errorf wraps err with the path of the node.
func (n *node) errorf(err error) error { return fmt.Errorf("%s: %w", n.path, err) }

// shutdown returns how long the node may take to stop: 0 for a brutal kill, negative for no limit.
func (n *node) shutdown() time.Duration {
	switch d := n.spec.life.Shutdown; {
	case d == BrutalKill:
		return 0
	case d == NoLimit:
		return -1
	default:
		return d
	}
}

// mayResume reports whether a failure is put to a decider before the incarnation ends.
func (n *node) mayResume() bool {
	return n.kind == KindActor && n.parent != nil && n.parent.spec.supervisor.Policy().Decider != nil
}

// policyFor is the tree's default policy for supervisors of one kind.
func (n *node) policyFor(k Kind) strategies.RestartPolicy { return n.tree.options.policies[k] }

// ended notes the end of an incarnation that was told of with event seq. The caller holds ref.mu.
func (n *node) ended(in *incarnation, seq uint64) {
	n.lastExit = exitRecord{in.number, in.outcome, in.abandoned, seq}
	if in.wasUp && in.outcome.class.Abnormal() && !in.ordered {
		n.failed(in.number, in.outcome, seq)
	}
}

// failed enters a failure into the books. The caller holds ref.mu.
func (n *node) failed(incarnation uint64, o outcome, seq uint64) {
	now := time.Now()
	n.failures++
	if n.downSince.IsZero() {
		n.downSince = now
	}
	if len(n.history) == failureHistory {
		copy(n.history, n.history[1:])
		n.history = n.history[:failureHistory-1]
	}
	n.history = append(n.history, Failure{now, incarnation, o.class, o.err, seq})
}

// recovered notes that the node is up and returns how long it took since it failed; 0 if it hadn't. The caller holds ref.mu.
func (n *node) recovered() time.Duration {
	n.backingOff = false
	if n.incarnations > 1 {
		n.restarts++
	}
	if n.downSince.IsZero() {
		return 0
	}
	n.recovery = time.Since(n.downSince)
	n.downSince = time.Time{}
	return n.recovery
}

// startFailed publishes a failed start.
func (n *node) startFailed(in *incarnation, err error) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	seq := in.publish(Event{Kind: StartFailed, Cause: in.cause, Err: err})
	n.lastExit.seq = seq
	n.failed(in.number, outcome{Crash, err}, seq)
}

// shutdownError publishes that the node didn't end as it was told to.
func (n *node) shutdownError() {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	last := n.lastExit
	n.failedSeq = n.publish(Event{Kind: Failed, Context: ContextShutdownError, Incarnation: last.incarnation, Cause: last.seq,
		Class: last.outcome.class, Err: last.outcome.err})
}

// running returns the incarnation with that number, or nil and how it ended.
func (n *node) running(number uint64) (*incarnation, outcome) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	if in := n.ref.current; in != nil && in.number == number {
		return in, outcome{}
	}
	return nil, n.lastExit.outcome
}

func (n *node) current() *incarnation {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	return n.ref.current
}

// adopt adds a child in the order of calls.
func (n *node) adopt(child *node) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	if n.children == nil {
		n.children = make(map[string]*node)
	}
	n.serial++
	child.serial = n.serial
	n.children[child.spec.id] = child
}

// disown takes a child away. Its queue becomes dead letters.
func (n *node) disown(child *node) {
	n.ref.mu.Lock()
	if n.children[child.spec.id] == child {
		delete(n.children, child.spec.id)
	}
	n.ref.mu.Unlock()
	n.tree.forget(child)
}

// offspring returns the children in no order.
func (n *node) offspring() []*node {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	all := make([]*node, 0, len(n.children))
	for _, c := range n.children {
		all = append(all, c)
	}
	return all
}

// revive puts the static children of a supervisor in place again and returns them in start order.
func (n *node) revive() []*node {
	n.ref.mu.Lock()
	n.children = make(map[string]*node, len(n.static))
	n.serial = 0
	for _, child := range n.static {
		n.serial++
		child.serial = n.serial
		n.children[child.spec.id] = child
	}
	n.ref.mu.Unlock()
	for _, child := range n.static {
		n.tree.index(child)
		child.ref.open()
	}
	return n.static
}

// dropDynamic forgets the children that aren't in the supervisor's spec: they live as long as its incarnation.
func (n *node) dropDynamic() {
	for _, child := range n.offspring() {
		if !child.isStatic {
			n.disown(child)
		}
	}
}

// backOff notes that a restart is waited for, or isn't any more.
func (n *node) backOff(waits bool) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	n.backingOff = waits
}

// publish publishes an event about the node, not about one of its incarnations.
func (n *node) publish(e Event) uint64 {
	e.Path, e.Node = n.path, n.kind
	return n.tree.publish(e)
}

// parentPID is nil at the top.
func (n *node) parentPID() *actor.PID {
	if n.parent == nil {
		return nil
	}
	return n.parent.pid
}

// kill fences the node's present incarnation, and with it everything below.
func (n *node) kill(reason error) bool {
	in := n.current()
	if in == nil {
		return false
	}
	in.fence(outcome{Killed, reason}, false)
	return true
}
