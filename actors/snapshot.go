package actors

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
)

// NodeSnapshot is how a node is doing.
type NodeSnapshot struct {
	ID, Path    string
	Kind        Kind
	PID         *actor.PID
	Status      Status
	Incarnation uint64 // how many there were, the present one included
	Restarts    int    // starts after the first
	Failures    int
	History     []Failure     // the last 100, oldest first
	Recovery    time.Duration // from the last failure it recovered from until it was up again
	Queue       int           // messages that wait
	Dropped     uint64        // messages that found the queue full
	Strategy    string        // of a supervisor
	Breaker     *breaker.Snapshot
	Children    []NodeSnapshot // in start order
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
	n.ref.mu.Lock()
	r := n.read()
	s := NodeSnapshot{
		ID: n.spec().id, Path: n.path, Kind: n.kind, PID: n.pid,
		Status: n.status(), Incarnation: n.incarnations, Restarts: r.restarts, Failures: r.failures,
		History: r.failuresInOrder(), Recovery: r.recovery, Queue: n.ref.waiting(),
	}
	if n.ref.aside != nil {
		s.Dropped = n.ref.aside.dropped
	}
	n.ref.mu.Unlock()

	if n.spec().supervisor != nil {
		s.Strategy = n.spec().supervisor.Strategy.String()
	}
	if n.guard != nil {
		b := n.guard.Breaker().Snapshot()
		s.Breaker = &b
	}
	for _, c := range n.offspring() {
		s.Children = append(s.Children, c.snapshot())
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
