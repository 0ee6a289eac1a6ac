package strategies

import (
	"log/slog"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// underGuardian handles a failure of a top-level actor spawned with actor.WithGuardian (or under any Supervisor that is no actor). A
// guardian knows no children and can't escalate; asking it panics where nothing can recover. So each child is a group and has a
// budget of its own, as its neighbours are strangers, and where the failure would go up the child stops.
//
// It runs on the goroutine of the failed child, so on several at once.
func (f *failure) underGuardian(tops *topLevelBudgets) {
	if f.whileStopping() {
		f.finishStop(nil)
		return
	}
	policy := f.strategy.Policy()
	switch f.decision.Directive {
	case actor.ResumeDirective:
		f.announce(actor.ResumeDirective)
		f.supervisor.ResumeChildren(f.child)
		return
	case actor.RestartDirective:
		if tops.spend(f.child, policy, time.Now()) || policy.WhenSpent == SpentIgnore {
			f.announce(actor.RestartDirective)
			f.supervisor.RestartChildren(f.child)
			return
		}
		f.logError("restart budget of a top-level actor spent, stopping it", slog.String("when_spent", policy.WhenSpent.String()))
	case actor.EscalateDirective:
		f.logError("nothing to escalate to, stopping the child")
	}
	f.announce(actor.StopDirective)
	f.supervisor.StopChildren(f.child)
}

// topLevelBudgets are the budgets of the top-level actors that one strategy guards. Those in which nothing counts any more are
// swept out as new ones come, so there are at most about twice as many as actors that failed within one window.
type topLevelBudgets struct {
	mu      sync.Mutex             // guards all fields below
	budgets map[*actor.PID]*Budget // by pointer: a new actor of the same name has a new one
	sweepAt int                    // size at which the next sweep is due
}

const minSweep = 16

func (t *topLevelBudgets) spend(child *actor.PID, policy RestartPolicy, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	budget, ok := t.budgets[child]
	if !ok {
		t.sweep(now)
		budget = NewBudget(policy.MaxRestarts, policy.Window)
		t.budgets[child] = budget
	}
	return budget.Spend(now)
}

func (t *topLevelBudgets) sweep(now time.Time) {
	if t.budgets == nil {
		t.budgets, t.sweepAt = make(map[*actor.PID]*Budget), minSweep
	}
	if len(t.budgets) < t.sweepAt {
		return
	}
	for child, budget := range t.budgets {
		if budget.Spent(now) == 0 {
			delete(t.budgets, child)
		}
	}
	t.sweepAt = max(minSweep, 2*len(t.budgets))
}
