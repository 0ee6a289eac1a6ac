package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
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

// Guard makes a call to something outside through a [Breaker] or an [External] of the tree that ctx belongs to: the context that a task handler was
// given. name is the ID of one that hangs below one of the supervisors above the agent, the nearest first, or the path of any. fn runs
// on another goroutine, with a context that ends at the breaker's operation timeout; its error comes back unchanged. While the breaker is
// open fn isn't run, and the error says for how long: returned from the handler, it delays the task without charging it. An agent that names the
// breaker in its Guards isn't even given tasks then.
//
// While the breaker's node isn't up the call waits for it: no longer than the operation timeout (ten seconds if there is none), which begins anew when it is made, nor than
// ctx. Then it comes back as a [*NotTakenError]. A node that nobody is about to start says so at once.
//
// Nobody judges the handler while it waits for the node, for what else stands before the call in an External, or for a call that has a time limit. While one without
// any runs, the handler's Liveness decides.
//
// An error is tried again by one layer only: by the hub, as the task's outcome. The Retry of an External counts in tasks that the hub doesn't try
// again, submitted with routing.MaxAttempts(1); in others the context is marked with [breaker.WithoutRetry].
func Guard[T any](ctx context.Context, name string, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	to, err := guardOf(ctx, name)
	if err != nil {
		return zero, err
	}
	rest := newRespite(ctx)
	defer rest.end()
	_, limited := ctx.Deadline()
	limited = limited || to.guard.Breaker().Config().OperationTimeout != breaker.NoTimeout
	return throughGuard(ctx, to, func(ctx context.Context) (T, error) {
		defer rest.set(true)
		return inTurn(ctx, to, breaker.Through[T], func(ctx context.Context) (T, error) {
			rest.set(limited)
			return fn(ctx)
		})
	})
}

// throughGuard makes a call by way of a breaker node, and of what else of an External stands before it: that may make more than one attempt.
func throughGuard[T any](ctx context.Context, to *node, attempt func(context.Context) (T, error)) (T, error) {
	if task, ok := routing.FromContext(ctx); ok && task.MaxAttempts > 1 {
		ctx = breaker.WithoutRetry(ctx)
	}
	var v T
	var err error
	ctx, end := to.tree.telemetry.call(ctx, to)
	if e := to.guard.external; e != nil {
		v, err = breaker.DoExternalVia(ctx, e, func(ctx context.Context, attempt func(context.Context) (T, error)) (T, error) { return attempt(ctx) }, attempt)
	} else {
		v, err = attempt(ctx)
	}
	end(err)
	if err != nil {
		to.tree.tellHub(to.path) // before the task is back there: it should not go to the next agent if this has opened the breaker
	}
	return v, err
}

// guardOf finds the breaker node that is meant by a name in a handler's context.
func guardOf(ctx context.Context, name string) (*node, error) {
	n, ok := ctx.Value(nodeKey{}).(*node)
	if !ok {
		return nil, fmt.Errorf("guard %s: the context is not that of a task handler", name)
	}
	to := n.breaker(name)
	if to == nil {
		return nil, fmt.Errorf("guard %s: %w", name, ErrNoBreaker)
	}
	return to, nil
}

// isRefusal reports whether a breaker refused a call, so that nothing was sent.
func isRefusal(err error) bool {
	var open *breaker.OpenError
	return errors.As(err, &open)
}

// breaker finds the breaker that the node means by a name, or nil.
func (n *node) breaker(name string) *node {
	var found *node
	nearest(n.path, name, func(path string) bool {
		at := n.tree.lookup(path)
		if at == nil || at.guard == nil {
			return false
		}
		found = at
		return true
	})
	return found
}

// Breaker returns the breaker of a breaker node, to look at it and to move it by hand: ForceOpen, TripFor, Disable, Reset, Restore. It is the same as
// long as the node is there, through all restarts. Closing it is the tree's business.
func (t *Tree) Breaker(path string) (*breaker.Breaker, bool) {
	n := t.lookup(path)
	if n == nil || n.guard == nil {
		return nil, false
	}
	return n.guard.Breaker(), true
}

// guard is what a breaker node's incarnations share: the breaker, the calls in flight, and what else of an External stands before it.
type guard struct {
	*breaker.Runner
	external *breaker.External // nil of a Breaker
	streams  streamPaces
}

// running counts the functions that run though nobody waits for them: when the node is gone, all.
func (g *guard) running(gone bool) int {
	load := g.Load()
	if gone {
		return load.InFlight + load.Orphans
	}
	return load.Orphans
}

func (t *Tree) newGuard(n *node, spec *nodeSpec) *guard {
	rare := spec.rarely()
	if rare.external == nil {
		b, err := breaker.New(t.watched(n, rare.breaker.Config))
		if err != nil {
			panic(err) // the spec was validated
		}
		return &guard{Runner: breaker.NewRunner(b)}
	}
	c := rare.external.Config
	if c.Name == "" {
		c.Name = n.path
	}
	if c.Breaker.Name == "" {
		c.Breaker.Name = c.Name
	}
	if c.Retry.Attempts == 0 {
		c.Retry.Attempts = 1
	}
	c.Breaker = t.watched(n, c.Breaker)
	e, err := breaker.NewExternal(c)
	if err != nil {
		panic(err) // the spec was validated
	}
	return &guard{Runner: breaker.NewRunner(e.Breaker()), external: e}
}

// watched makes the tree and its hub hear of what the breaker does.
func (t *Tree) watched(n *node, c breaker.Config) breaker.Config {
	if c.Name == "" {
		c.Name = n.path
	}
	users := c.OnTransition
	c.OnTransition = func(change breaker.Transition) {
		t.tellHub(n.path)
		n.publish(Event{Kind: BreakerChanged, Breaker: &change})
		if users != nil {
			users(change)
		}
	}
	return c
}
