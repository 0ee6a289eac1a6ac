package strategies

import "github.com/asynkron/protoactor-go/actor"

// Escalate handles nothing itself: every failure goes one level up. OTP has no such strategy; it is a one-for-one supervisor of
// intensity 0, so its policy is [NeverRestart] and can't be replaced.
func Escalate() Strategy {
	return &escalate{base{policy: NeverRestart()}}
}

type escalate struct{ base }

func (*escalate) String() string { return "escalate" }

func (*escalate) Group(failed, n int) (from, to int) { return alone(failed, n) }

func (s *escalate) WithPolicy(RestartPolicy) Strategy { return s }

// HandleFailure implements [actor.SupervisorStrategy]; see the package comment for what it does where.
func (s *escalate) HandleFailure(system *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, _ *actor.RestartStatistics, reason any, message any) {
	handleFailure(s, &s.tops, system, supervisor, child, reason, message)
}
