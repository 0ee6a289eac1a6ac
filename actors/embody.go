package actors

import (
	"errors"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
)

var errNoActor = errors.New("producer returned nil")

// launch makes the actor, spawns it, and runs its start as far as it goes. Producers and options are user code: whatever they do is a failed start. It
// returns the incarnation if that is up and has to be run on.
func (in *incarnation) launch() (rest *incarnation) {
	settled := false
	defer func() {
		if settled {
			return
		}
		reason := ErrGoexit
		if value := recover(); value != nil {
			reason = newPanicError(value)
		}
		in.fence(outcome{Crash, reason}, false)
		rest = in.runLent()
	}()
	err := in.node.embody(in)
	settled = true
	if err != nil {
		in.fence(outcome{Crash, err}, false)
	}
	return in.runLent()
}

// embody makes the actor of an incarnation and spawns it.
func (n *node) embody(in *incarnation) error {
	if !n.named.Load() {
		return ErrNameTaken
	}
	switch spec := n.spec(); {
	case spec.supervisor != nil:
		return n.spawn(in, newSupervisor(in), nil)
	case spec.agent != nil:
		return n.spawn(in, newAgent(in), nil)
	case n.kind == KindHub:
		return n.spawn(in, newShell(in, n.tree.hub.Actor()()), nil)
	case n.guard != nil:
		return n.spawn(in, newShell(in, breaker.NewActor(n.guard.Runner)()), nil)
	default:
		user := spec.actor.Producer()
		if user == nil {
			return errNoActor
		}
		return n.spawn(in, newShell(in, user), spec.actor.Options)
	}
}

func (n *node) spawn(in *incarnation, b body, options []actor.PropsOption) error {
	if !in.embody(b) {
		return ErrKilled // it came too late
	}
	return n.tree.spawner.spawn(in, b, options)
}
