package strategies

import "github.com/asynkron/protoactor-go/actor"

// RestForOne restarts the failed child and every child started after it. It suits children that depend on those before them:
// the earlier ones go on working.
func RestForOne(p RestartPolicy) Strategy {
	return &restForOne{base{policy: p}}
}

type restForOne struct{ base }

func (*restForOne) String() string { return "rest_for_one" }

func (*restForOne) Group(failed, n int) (from, to int) {
	if failed < 0 || failed >= n {
		return 0, 0
	}
	return failed, n
}

func (*restForOne) WithPolicy(p RestartPolicy) Strategy { return RestForOne(p) }

// HandleFailure implements [actor.SupervisorStrategy]; see the package comment for what it does where.
func (s *restForOne) HandleFailure(system *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason any, message any) {
	handleFailure(s, &s.tops, system, supervisor, child, reason, message)
}
