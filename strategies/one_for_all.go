package strategies

import "github.com/asynkron/protoactor-go/actor"

// OneForAll restarts all children when one of them fails. It suits children that can't work without each other, or that share
// a state which the failure may have left half done.
func OneForAll(p RestartPolicy) Strategy {
	return &oneForAll{base{policy: p}}
}

type oneForAll struct{ base }

func (*oneForAll) String() string { return "one_for_all" }

func (*oneForAll) Group(failed, n int) (from, to int) {
	if failed < 0 || failed >= n {
		return 0, 0
	}
	return 0, n
}

func (*oneForAll) WithPolicy(p RestartPolicy) Strategy { return OneForAll(p) }

// HandleFailure implements [actor.SupervisorStrategy]; see the package comment for what it does where.
func (s *oneForAll) HandleFailure(system *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason any, message any) {
	handleFailure(s, &s.tops, system, supervisor, child, reason, message)
}
