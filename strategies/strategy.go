package strategies

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// Strategy decides what a supervisor does when a child fails. It implements [actor.SupervisorStrategy], so it is at home on a
// MisterSmith supervisor and on any protoactor parent (actor.WithSupervisor, actor.WithGuardian).
//
// A Strategy doesn't change after its making. One value may serve several supervisors; every method may be called from any
// goroutine. The four that exist are [OneForOne], [OneForAll], [RestForOne] and [Escalate].
type Strategy interface {
	actor.SupervisorStrategy

	// String names the strategy: "one_for_one", "one_for_all", "rest_for_one" or "escalate".
	fmt.Stringer

	// Group returns the half-open range [from, to), in start order, of the n children that go down and come up together with
	// child number failed. An index that is no child's has an empty group.
	Group(failed, n int) (from, to int)

	// Policy returns the policy as it was given; see [RestartPolicy.WithDefaults] for what its zero fields mean.
	Policy() RestartPolicy

	// WithPolicy returns a copy of the strategy with another policy. [Escalate] has no policy to replace and stays as it is.
	WithPolicy(RestartPolicy) Strategy
}

// base is what the four strategies share: their policy, and the budgets they need where they guard top-level actors.
// It is embedded in a type that is always handled by pointer, because protoactor keeps guardians in a map keyed by strategy.
type base struct {
	policy RestartPolicy
	tops   topLevelBudgets
}

// Policy implements [Strategy].
func (b *base) Policy() RestartPolicy { return b.policy }
