package strategies

import "github.com/asynkron/protoactor-go/actor"

// OneForOne restarts the failed child and leaves its siblings alone. It suits children that don't know of each other.
func OneForOne(p RestartPolicy) Strategy {
	return &oneForOne{base{policy: p}}
}

type oneForOne struct{ base }

func (*oneForOne) String() string { return "one_for_one" }

func (*oneForOne) Group(failed, n int) (from, to int) { return alone(failed, n) }

func (*oneForOne) WithPolicy(p RestartPolicy) Strategy { return OneForOne(p) }

// HandleFailure implements [actor.SupervisorStrategy]; see the package comment for what it does where.
func (s *oneForOne) HandleFailure(system *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason any, message any) {
	handleFailure(s, &s.tops, system, supervisor, child, reason, message)
}

// alone is the group of a child that has nothing to do with its siblings.
func alone(failed, n int) (from, to int) {
	if failed < 0 || failed >= n {
		return 0, 0
	}
	return failed, failed + 1
}
