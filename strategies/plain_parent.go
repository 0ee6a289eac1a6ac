package strategies

import (
	"log/slog"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// underActor handles a failure under a parent that is an actor but no Host, with nothing but protoactor's own directives.
// It runs on the parent's goroutine.
func (f *failure) underActor(parent actor.Context) {
	m := recall(parent)
	switch {
	case f.whileStopping():
		m.stopping = append(m.stopping, f.child)
		f.finishStop(parent.Self())
		return
	case m.isStopping(f.child), !f.isRegistered(f.child):
		return // it goes down by itself; a Restart now would bring back an actor that nobody knows of
	}
	group := f.group(parent.Children())
	switch f.decision.Directive {
	case actor.ResumeDirective:
		f.announce(actor.ResumeDirective)
		f.supervisor.ResumeChildren(f.child)
	case actor.StopDirective:
		f.stop(m, f.child)
	case actor.EscalateDirective:
		f.escalate(parent, m, group, f.reason)
	default:
		f.restart(parent, m, group)
	}
}

// group picks, from the children in the order protoactor gives them, those that restart together. A child that isn't among them
// (one spawned by other means in the parent's name) is a group of its own.
func (f *failure) group(siblings []*actor.PID) []*actor.PID {
	i := slices.IndexFunc(siblings, f.child.Equal)
	if i < 0 {
		return []*actor.PID{f.child}
	}
	from, to := f.strategy.Group(i, len(siblings))
	return siblings[from:to]
}

// restart spends the budget and restarts the group, or does what the policy says when it is spent.
func (f *failure) restart(parent actor.Context, m *memory, group []*actor.PID) {
	policy := f.strategy.Policy()
	m.budget.Reconfigure(policy.MaxRestarts, policy.Window)
	if m.budget.Spend(time.Now()) || policy.WhenSpent == SpentIgnore {
		f.announce(actor.RestartDirective)
		f.restartGroup(m, group)
		return
	}
	switch policy.WhenSpent {
	case SpentStopChild:
		f.stop(m, f.child)
	case SpentStopSupervisor:
		f.stopParent(parent, m)
	default:
		f.escalate(parent, m, group, &BudgetSpentError{Max: m.budget.Max(), Window: m.budget.Window(), Reason: f.decision.Reason})
	}
}

// restartGroup sends Restart to the group in order. All are suspended first, as protoactor suspends only the one that failed: a
// sibling would go on handling messages with its old instance while it waits for its own children to stop.
func (f *failure) restartGroup(m *memory, group []*actor.PID) {
	for _, pid := range group {
		if m.isStopping(pid) {
			continue
		}
		process, ok := f.system.ProcessRegistry.Get(pid)
		if !ok {
			continue
		}
		process.SendSystemMessage(pid, &actor.SuspendMailbox{})
		f.supervisor.RestartChildren(pid)
	}
}

func (f *failure) stop(m *memory, pids ...*actor.PID) {
	f.announce(actor.StopDirective)
	m.stopping = append(m.stopping, pids...)
	f.supervisor.StopChildren(pids...)
}

func (f *failure) stopParent(parent actor.Context, m *memory) {
	f.announce(actor.StopDirective)
	m.stopping = slices.Clone(parent.Children()) // protoactor is about to stop them
	parent.Stop(parent.Self())
}

// escalate stops the group in reverse order and makes the failure the parent's own. Stopping comes first, because a level above that
// merely resumes the parent would leave a suspended child suspended for ever. A parent with nothing above it stops.
func (f *failure) escalate(parent actor.Context, m *memory, group []*actor.PID, reason any) {
	if parent.Parent() == nil {
		f.logError("nothing to escalate to, stopping the supervisor", slog.Any("supervisor", parent.Self()))
		f.stopParent(parent, m)
		return
	}
	group = slices.Clone(group) // it is the parent's own list
	slices.Reverse(group)
	m.stopping = append(m.stopping, group...)
	f.supervisor.StopChildren(group...)
	m.startAnew()
	f.supervisor.EscalateFailure(reason, f.message)
}

func (f *failure) isRegistered(pid *actor.PID) bool {
	_, ok := f.system.ProcessRegistry.Get(pid)
	return ok
}

// whileStopping reports whether the child panicked in its last hooks. Protoactor then neither ends nor continues the stop, a Restart
// would revive the child, and its parent could never stop.
func (f *failure) whileStopping() bool {
	switch message := f.message.(type) {
	case *actor.Stop:
		return true
	case *actor.Terminated: // the child's own: the one finishStop sent
		return f.child.Equal(message.Who)
	}
	return false
}

// finishStop ends the stop of a child that panicked in a hook of its own stop. Told that some child of its own has ended, an actor
// looks again whether it can finish, so it is told so about itself. If that failed too, or it had finished but for the last hook,
// it is struck off, and its parent (nil for a guardian) is told what protoactor has failed to tell.
func (f *failure) finishStop(parent *actor.PID) {
	ended := &actor.Terminated{Who: f.child}
	process, ok := f.system.ProcessRegistry.Get(f.child)
	if _, first := f.message.(*actor.Stop); first && ok {
		process.SendSystemMessage(f.child, ended)
		return
	}
	f.system.ProcessRegistry.Remove(f.child)
	if parent == nil {
		return
	}
	if process, ok := f.system.ProcessRegistry.Get(parent); ok {
		process.SendSystemMessage(parent, ended)
	}
}
