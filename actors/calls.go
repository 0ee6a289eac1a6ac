package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/internal/supervise"
)

// Refusals of dynamic calls, as OTP's. They come wrapped with the path. A call whose context ends while it waits for its turn isn't carried out; one that
// the supervisor has begun with by then is, and only its answer is lost.
var (
	ErrAlreadyStarted = supervise.ErrAlreadyStarted
	ErrAlreadyPresent = supervise.ErrAlreadyPresent
	ErrRunning        = supervise.ErrRunning
	ErrRestarting     = supervise.ErrRestarting
	ErrNotFound       = supervise.ErrNotFound
	ErrNotSupervisor  = errors.New("not a supervisor")
	ErrIsRoot         = errors.New("the root has no supervisor: stop the tree instead")
	// ErrBusy refuses a call when as many wait for the supervisor's answer as its Queue may hold.
	ErrBusy = errors.New("too many calls wait for the supervisor")
)

// ChildState is a child as its supervisor sees it.
type ChildState uint8

const (
	ChildUndefined  ChildState = iota // not running, and nobody is about to start it
	ChildUp                           // running
	ChildRestarting                   // waiting for a backoff or a retry
)

func (s ChildState) String() string { return [...]string{"undefined", "up", "restarting"}[s] }

// ChildInfo is one line of Children.
type ChildInfo struct {
	ID          string
	PID         *actor.PID // the logical one
	Kind        Kind
	State       ChildState
	Incarnation uint64 // 0 when it isn't running
	Restart     Restart
}

// ChildCount is what CountChildren counts.
type ChildCount struct {
	Specs, Active, Supervisors, Workers int
}

// StartChild adds a child to a running supervisor and starts it, after all that are there. If it can't be started it isn't added, and the error
// is a [*StartError]. A child that asks to be ignored is added and not running (a temporary one isn't added): its PID is nil. A taken ID
// is refused with ErrAlreadyStarted or ErrAlreadyPresent.
//
// The child lives as long as this incarnation of its supervisor.
func (t *Tree) StartChild(ctx context.Context, supervisor string, child Child) (*actor.PID, error) {
	n, err := t.supervisor(supervisor)
	if err != nil {
		return nil, err
	}
	if n.spec().supervisor.template != nil {
		return nil, n.errorf(ErrDynamic)
	}
	c := compiler{policy: n.policyFor, auto: n.spec().supervisor.AutoShutdown}
	if child == nil {
		c.fault(supervisor, "child is nil")
	} else {
		child.compile(&c, supervisor)
		c.resolveGuards(t)
	}
	if len(c.out) > 1 {
		c.fault(supervisor, "a pool is %d children: start them one by one", len(c.out))
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	spec := c.out[0]
	if err := t.hub.Declare(spec.taskTypes()...); err != nil {
		return nil, err
	}
	a, err := t.ask(ctx, n, supervise.Call{Op: supervise.OpStart, ID: spec.id, Spec: spec.machine()})
	return t.started(spec.path, a, err)
}

// RestartChild starts a child that is there but not running. It doesn't count as a restart.
func (t *Tree) RestartChild(ctx context.Context, path string) (*actor.PID, error) {
	a, err := t.callChild(ctx, path, supervise.OpRestart)
	return t.started(path, a, err)
}

func (t *Tree) started(path string, a supervise.Answer, err error) (*actor.PID, error) {
	if err != nil || a.Child.State != supervise.Up {
		return nil, err
	}
	if pid := t.PID(path); pid != nil {
		return pid, nil
	}
	return t.system.NewLocalPID(path), nil // it was up, and is gone already
}

// TerminateChild stops a child, or cancels its pending restart. Its spec stays (a temporary one's goes), and so does its queue, until RestartChild
// or DeleteChild. It returns when the child has stopped, or was abandoned. Siblings that wait with it for a backoff come up without it.
func (t *Tree) TerminateChild(ctx context.Context, path string) error {
	_, err := t.callChild(ctx, path, supervise.OpTerminate)
	return err
}

// DeleteChild removes the spec of a child that isn't running. What is in its queue becomes dead letters. The snapshots of agents that are, or are below, the child are dropped.
func (t *Tree) DeleteChild(ctx context.Context, path string) error {
	n := t.lookup(path)
	_, err := t.callChild(ctx, path, supervise.OpDelete)
	if err == nil && n != nil {
		n.dropSnapshots()
	}
	return err
}

// Children lists a supervisor's children in start order.
func (t *Tree) Children(ctx context.Context, supervisor string) ([]ChildInfo, error) {
	n, err := t.supervisor(supervisor)
	if err != nil {
		return nil, err
	}
	a, err := t.ask(ctx, n, supervise.Call{Op: supervise.OpWhich})
	if err != nil {
		return nil, err
	}
	infos := make([]ChildInfo, 0, len(a.Children))
	for _, c := range a.Children {
		spec, ok := c.Data.(*nodeSpec)
		if !ok {
			continue // it went in the same moment
		}
		infos = append(infos, ChildInfo{c.ID, t.PID(spec.path), spec.kind, ChildState(c.State), c.Incarnation, Restart(c.Restart)})
	}
	return infos, nil
}

// CountChildren counts a supervisor's children.
func (t *Tree) CountChildren(ctx context.Context, supervisor string) (ChildCount, error) {
	n, err := t.supervisor(supervisor)
	if err != nil {
		return ChildCount{}, err
	}
	a, err := t.ask(ctx, n, supervise.Call{Op: supervise.OpCount})
	return ChildCount(a.Count), err
}

// ChildSpec returns the spec of a child, as it was given. Of a temporary child that was started dynamically, what only a start needs is gone.
func (t *Tree) ChildSpec(ctx context.Context, path string) (Child, error) {
	a, err := t.callChild(ctx, path, supervise.OpSpec)
	if err != nil {
		return nil, err
	}
	return a.Child.Data.(*nodeSpec).source(), nil
}

// Kill fences off the present incarnation of a node and everything below it, at once and without a word to it. Its supervisor deals with that
// as with any abnormal exit. The queues of the nodes live on.
func (t *Tree) Kill(path string) error {
	n := t.lookup(path)
	if n == nil || n.kind == kindSystem {
		return fmt.Errorf("kill %s: %w", path, ErrNotFound)
	}
	if !n.kill(ErrKilled) {
		return fmt.Errorf("kill %s: not running: %w", path, ErrStopped)
	}
	return nil
}

// supervisor finds the node of a supervisor.
func (t *Tree) supervisor(path string) (*node, error) {
	n := t.lookup(path)
	switch {
	case n == nil || n.kind == kindSystem:
		return nil, fmt.Errorf("%s: %w", path, ErrNotFound)
	case n.spec().supervisor == nil:
		return nil, n.errorf(ErrNotSupervisor)
	}
	return n, nil
}

// callChild makes a call about a child to its supervisor.
func (t *Tree) callChild(ctx context.Context, path string, op supervise.Op) (supervise.Answer, error) {
	cut := strings.LastIndexByte(path, '/')
	if cut < 0 {
		return supervise.Answer{}, fmt.Errorf("%s: %w", path, ErrIsRoot)
	}
	n, err := t.supervisor(path[:cut])
	if err != nil {
		return supervise.Answer{}, err
	}
	return t.ask(ctx, n, supervise.Call{Op: op, ID: path[cut+1:]})
}
