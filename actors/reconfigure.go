package actors

import (
	"context"
	"errors"
	"maps"

	"github.com/mistersmith/mistersmith/internal/supervise"
)

// ErrKindChange refuses a new spec for a child, or a supervisor, that would make something else of it.
var ErrKindChange = errors.New("a node can't become one of another kind: delete the child, and start it anew")

// Reconfigure gives a running supervisor a new spec, all of it or, if anything is wrong with it, nothing. Strategy, policy and auto-shutdown are in force
// at once; the restart history is kept. A child with the same ID has its new spec, without a restart: restart type, shutdown time, Liveness and a breaker's Stream count from now on,
// the rest from its next start. What is below such a child has its new spec from the child's next start on, unless it is given a later one itself by
// then. A new child is added and not started: see RestartChild. A child that isn't in the new spec stays, after the
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
	c.resolveGuards(t)
	fresh := c.out[0]
	if (fresh.supervisor.template == nil) != (old.supervisor.template == nil) {
		c.refuse(path, ErrKindChange)
	}
	n.keepsKinds(fresh, &c)
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

// keepsKinds enters a fault for each node of the subtree that the spec would make something else of.
func (n *node) keepsKinds(spec *nodeSpec, c *compiler) {
	known := n.childNodes()
	for _, child := range spec.supervisor.children {
		is := known[child.id]
		switch {
		case is == nil:
		case is.kind != child.kind:
			c.refuse(child.path, ErrKindChange)
		case child.supervisor != nil:
			is.keepsKinds(child, c)
		}
	}
}

// childNodes are the children that there are, or that come again with the next incarnation, by ID.
func (n *node) childNodes() map[string]*node {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	nodes := make(map[string]*node)
	for _, child := range n.static {
		nodes[child.spec().id] = child
	}
	maps.Copy(nodes, n.children)
	return nodes
}

// resized is a supervisor's spec in which only a pool's size is new.
type resized struct {
	*nodeSpec
	added []*nodeSpec // members of the pool
}

// reconfigured puts the nodes in order after the state machine.
func (s *supervisor) reconfigured(data any) {
	n := s.in.node
	version := n.tree.versions.Add(1)
	fresh, _ := data.(*nodeSpec)
	if r, ok := data.(resized); ok {
		fresh = r.nodeSpec
		fresh.version = version
		for _, member := range r.added {
			member.date(version)
		}
	} else {
		fresh.date(version)
	}
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
