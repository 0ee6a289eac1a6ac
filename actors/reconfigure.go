package actors

import (
	"context"
	"errors"

	"github.com/mistersmith/mistersmith/internal/supervise"
)

// ErrKindChange refuses a new spec for a child, or a supervisor, that would make something else of it.
var ErrKindChange = errors.New("a node can't become one of another kind: delete the child, and start it anew")

// Reconfigure gives a running supervisor a new spec, all of it or, if anything is wrong with it, nothing. Strategy, policy and auto-shutdown are in force
// at once; the restart history is kept. A child with the same ID has its new spec, without a restart: restart type and shutdown time count from now on,
// the rest from its next start. A new child is added and not started: see RestartChild. A child that isn't in the new spec stays, after the
// others, as long as this incarnation of the supervisor. The ID and the Lifecycle of the supervisor itself can't be changed.
func (t *Tree) Reconfigure(ctx context.Context, path string, spec Supervisor) error {
	n, err := t.supervisor(path)
	if err != nil {
		return err
	}
	old := n.spec()
	spec.ID, spec.Lifecycle = old.id, old.life
	c := compiler{policy: n.policyFor}
	if n.parent != nil {
		c.auto = n.parent.spec().supervisor.AutoShutdown
	}
	if n.kind == KindRoot {
		spec.compile(&c, "")
		c.out[0].life = old.life
	} else {
		spec.compile(&c, n.parent.path)
	}
	fresh := c.out[0]
	if (fresh.supervisor.template == nil) != (old.supervisor.template == nil) {
		c.fault(path, "%v", ErrKindChange)
	}
	known := n.childKinds()
	for _, child := range fresh.supervisor.children {
		if kind, ok := known[child.id]; ok && kind != child.kind {
			c.fault(child.path, "%v", ErrKindChange)
		}
	}
	if err := c.err(); err != nil {
		return err
	}
	if err := t.hub.Declare(fresh.taskTypes()...); err != nil {
		return err
	}
	config := fresh.supervisor.machine()
	config.Data = fresh
	_, err = t.ask(ctx, n, supervise.Call{Op: supervise.OpReconfigure, Config: config})
	return err
}

// childKinds are the kinds of the children that there are, or that come again with the next incarnation.
func (n *node) childKinds() map[string]Kind {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	kinds := make(map[string]Kind)
	for _, child := range n.static {
		kinds[child.spec().id] = child.kind
	}
	for id, child := range n.children {
		kinds[id] = child.kind
	}
	return kinds
}

// reconfigured puts the nodes in order after the state machine.
func (s *supervisor) reconfigured(fresh *nodeSpec) {
	n := s.in.node
	s.spec = fresh.supervisor
	n.specs.Store(fresh)
	n.install(fresh.supervisor.children)
	if t := fresh.supervisor.template; t != nil {
		for _, child := range n.offspring() {
			child.retemplate(t)
		}
	}
}

// retemplate gives an instance the lifecycle of another template.
func (n *node) retemplate(template *nodeSpec) {
	spec := *n.spec()
	spec.life = template.life
	n.respec(&spec)
}
