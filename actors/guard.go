package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mistersmith/mistersmith/breaker"
)

// nodeKey is the key of the node whose code a context belongs to.
type nodeKey struct{}

// ErrNoBreaker says that there is no breaker with that name above the agent.
var ErrNoBreaker = errors.New("no such breaker among the nodes above, or at that path")

// TreeFromContext returns the tree that a task handler runs in. It is false outside of a tree.
func TreeFromContext(ctx context.Context) (*Tree, bool) {
	n, ok := ctx.Value(nodeKey{}).(*node)
	if !ok {
		return nil, false
	}
	return n.tree, true
}

// Guard makes a call to something outside through a breaker node of the tree that ctx belongs to: the context that a task handler was
// given. name is the ID of a breaker that hangs below one of the supervisors above the agent, the nearest first, or the path of any. fn runs
// on another goroutine, with a context that ends at the breaker's operation timeout; its error comes back unchanged. While the breaker is
// open fn isn't run, and the error says for how long: returned from the handler, it delays the task without charging it.
func Guard[T any](ctx context.Context, name string, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	n, ok := ctx.Value(nodeKey{}).(*node)
	if !ok {
		return zero, fmt.Errorf("guard %s: the context is not that of a task handler", name)
	}
	pid := n.tree.PID(name)
	if !strings.Contains(name, "/") {
		for up := n.parent; up != nil && pid == nil; up = up.parent {
			pid = n.tree.PID(up.path + "/" + name)
		}
	}
	var guard *node
	if pid != nil {
		guard = n.tree.lookup(pid.Id)
	}
	if guard == nil || guard.guard == nil {
		return zero, fmt.Errorf("guard %s: %w", name, ErrNoBreaker)
	}
	ctx, end := n.tree.telemetry.call(ctx, guard)
	value, err := breaker.Through(ctx, n.tree.system, pid, fn)
	end(err)
	return value, err
}
