package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/strategies"
)

// NodeSnapshot is how a node and those below it are doing, or, from [Describe], what they will be. It writes itself as text, JSON, or a picture for
// Graphviz or Mermaid.
type NodeSnapshot struct {
	ID, Path    string
	Kind        Kind
	PID         *actor.PID // nil if it is only described
	Status      Status
	Incarnation uint64 // how many there were, the present one included
	Restarts    int    // starts after the first
	Failures    int
	History     []Failure     // the last 100, oldest first
	Recovery    time.Duration // from the last failure it recovered from until it was up again
	Queue       int           // messages that wait
	Dropped     uint64        // messages that found the queue full
	Breaker     *breaker.Snapshot
	Children    []NodeSnapshot // in start order

	Dynamic      bool                     // it isn't in its supervisor's spec: it came while that ran
	Lifecycle    Lifecycle                // with all defaults filled in
	Types        []string                 // of tasks that an agent handles
	Strategy     string                   // of a supervisor, as are the rest
	Policy       strategies.RestartPolicy // with all defaults filled in
	AutoShutdown AutoShutdown
	Template     *NodeSnapshot // of the instances of a dynamic supervisor
}

// Snapshot returns how the tree is doing, from the root down. Each node is consistent in itself.
func (t *Tree) Snapshot() NodeSnapshot { return t.root.snapshot() }

// Node returns how a node and those below it are doing.
func (t *Tree) Node(path string) (NodeSnapshot, bool) {
	n := t.lookup(path)
	if n == nil {
		return NodeSnapshot{}, false
	}
	return n.snapshot(), true
}

func (n *node) snapshot() NodeSnapshot {
	s := n.snapshotAlone()
	for _, c := range n.offspring() {
		s.Children = append(s.Children, c.snapshot())
	}
	return s
}

// snapshotAlone leaves out what is below the node.
func (n *node) snapshotAlone() NodeSnapshot {
	s := n.spec().describe()
	n.ref.mu.Lock()
	r := n.read()
	s.Path, s.PID = n.path, n.pid
	s.Dynamic = !n.isStatic.Load()
	s.Status, s.Incarnation, s.Restarts, s.Failures = n.status(), n.incarnations, r.restarts, r.failures
	s.History, s.Recovery = r.failuresInOrder(), r.recovery
	s.Queue = n.ref.waiting()
	if n.ref.aside != nil {
		s.Dropped = n.ref.aside.dropped
	}
	n.ref.mu.Unlock()

	if n.guard != nil {
		b := n.guard.Breaker().Snapshot()
		s.Breaker = &b
	}
	return s
}

// status is the status of the present incarnation, or what became of the last. The caller holds ref.mu.
func (n *node) status() Status {
	if in := n.ref.current; in != nil {
		return [...]Status{starting: StatusStarting, up: StatusRunning, stopping: StatusStopping, ended: StatusStopped}[in.phase]
	}
	switch {
	case n.backingOff:
		return StatusBackingOff
	case n.lastExit.abandoned:
		return StatusAbandoned
	case n.lastExit.class.Abnormal() && !n.lastExit.ignored || !n.read().downSince.IsZero():
		return StatusFailed
	default:
		return StatusStopped
	}
}
