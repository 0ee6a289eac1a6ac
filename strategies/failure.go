package strategies

import (
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"
)

// failure is one call of HandleFailure.
type failure struct {
	strategy   Strategy
	system     *actor.ActorSystem
	supervisor actor.Supervisor
	child      *actor.PID
	reason     any // as protoactor handed it over
	message    any
	decision   Decision
}

// handleFailure is HandleFailure of every strategy. Nothing that panics in it gets out: on a guardian that would end the process.
func handleFailure(s Strategy, tops *topLevelBudgets, system *actor.ActorSystem, supervisor actor.Supervisor, child *actor.PID, reason, message any) {
	f := failure{strategy: s, system: system, supervisor: supervisor, child: child, reason: reason, message: message}
	defer f.rescue()
	err := asError(reason)
	directive, fault := s.Policy().Decide(err)
	f.decision = Decision{Strategy: s, Child: child, Reason: err, Message: message, Directive: directive, Fault: fault}

	parent, isActor := supervisor.(actor.Context)
	if isActor {
		if host, ok := parent.Actor().(Host); ok {
			host.HandleDecision(f.decision)
			return
		}
	}
	if fault != nil {
		f.logError("decider overruled", slog.Any("error", fault))
	}
	if isActor {
		f.underActor(parent)
	} else {
		f.underGuardian(tops)
	}
}

// rescue is the end of a HandleFailure that panicked, in a Host or in the strategy of a guardian above. The failure was perhaps
// not handled, so the supervisor itself counts as failed; if even that can't be said, it stops.
func (f *failure) rescue() {
	v := recover()
	if v == nil {
		return
	}
	f.logError("handling a failure panicked", slog.Any("panic", v))
	parent, isActor := f.supervisor.(actor.Context)
	switch {
	case !isActor:
		survives(func() { f.supervisor.StopChildren(f.child) })
	case parent.Parent() == nil || !survives(func() { f.supervisor.EscalateFailure(v, f.message) }):
		survives(func() { parent.Stop(parent.Self()) })
	}
}

// announce publishes what is done to the child, as protoactor's own strategies do. Subscribers run on this goroutine; a panic in
// one of them must not keep the directive from being carried out.
func (f *failure) announce(d actor.Directive) {
	survives(func() {
		f.system.EventStream.Publish(&actor.SupervisorEvent{Child: f.child, Reason: f.reason, Directive: d})
	})
}

func (f *failure) logError(text string, attrs ...any) {
	survives(func() {
		f.system.Logger().Error("[STRATEGY] "+text, append(attrs, slog.String("strategy", f.strategy.String()), slog.Any("child", f.child), slog.Any("reason", f.reason))...)
	})
}

// survives calls fn and reports whether it returned without a panic.
func survives(fn func()) (ok bool) {
	defer func() { ok = recover() == nil }()
	fn()
	return
}
