package actors

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/internal/supervise"
)

// ErrDynamic refuses calls that make no sense on a dynamic supervisor: its instances have no specs of their own that could be restarted or deleted.
var ErrDynamic = supervise.ErrDynamic

// StartInstance starts an instance of a dynamic supervisor's template. Its ID must be unused; an empty one is made up from the template's. An agent that is, or is below, an instance
// with an ID that was used before goes on from its snapshot; below a made-up ID, snapshots live as long as the instance. The
// instance finds the arguments with [Args] or [ArgsFromContext]; they are kept for its restarts, those of a temporary one only until it is up. Errors and nil PIDs are as for StartChild, but nothing
// is kept of an instance that failed to start or asked to be ignored.
func (t *Tree) StartInstance(ctx context.Context, supervisor, id string, args ...any) (*actor.PID, error) {
	n, err := t.supervisor(supervisor)
	if err != nil {
		return nil, err
	}
	template := n.spec().supervisor.template
	if template == nil {
		return nil, fmt.Errorf("%s: not a dynamic supervisor: start a child instead", supervisor)
	}
	madeUp := id == ""
	if madeUp {
		id = fmt.Sprintf("%s-%d", template.id, t.instances.Add(1))
	}
	c := compiler{policy: n.policyFor, auto: n.spec().supervisor.AutoShutdown}
	template.source().named(id).compile(&c, supervisor)
	c.resolveGuards(t)
	if err := c.err(); err != nil {
		return nil, err
	}
	spec := c.out[0]
	spec.madeUp = madeUp
	if len(args) > 0 {
		spec.rare = &rareSpec{args: args, circuits: spec.rarely().circuits}
	}
	a, err := t.ask(ctx, n, supervise.Call{Op: supervise.OpStart, ID: id, Spec: spec.machine()})
	return t.started(spec.path, a, err)
}

// Args returns the arguments that the instance was started with, to its actor: to a temporary one only while it starts. The context is the one that
// Receive was given.
func Args(ctx actor.Context) []any {
	if c, ok := ctx.(*nodeContext); ok {
		return c.in.node.spec().rarely().args
	}
	return nil
}

// ArgsFromContext returns the arguments that the instance was started with, to the code of an agent: to a temporary one only while it starts.
func ArgsFromContext(ctx context.Context) []any {
	if n, ok := ctx.Value(nodeKey{}).(*node); ok {
		return n.spec().rarely().args
	}
	return nil
}
