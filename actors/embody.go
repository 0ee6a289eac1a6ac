package actors

import (
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
)

var errNoActor = errors.New("producer returned nil")

// embody makes the actor of an incarnation and spawns it.
func (n *node) embody(in *incarnation, limit time.Duration, giveUp <-chan struct{}) error {
	if !n.nameHeld() {
		return ErrNameTaken
	}
	switch spec := n.spec(); {
	case spec.supervisor != nil:
		return n.spawn(in, newSupervisor(in), nil)
	case spec.agent != nil:
		return n.spawn(in, newAgent(in), nil)
	case n.hub != nil:
		return n.spawn(in, newShell(in, n.hub.Actor()()), nil)
	case n.guard != nil:
		return n.spawn(in, newShell(in, breaker.NewActor(n.guard)()), nil)
	default:
		return n.embodyUser(in, limit, giveUp)
	}
}

func (n *node) spawn(in *incarnation, b body, options []actor.PropsOption) error {
	if !in.embody(b) {
		return ErrKilled
	}
	return n.tree.spawner.spawn(in, b, options)
}

// embodyUser does it for a user's actor. Its producer and its options are user code that may panic or hang: they run on a goroutine of their own,
// which is left behind if it takes too long.
func (n *node) embodyUser(in *incarnation, limit time.Duration, giveUp <-chan struct{}) error {
	spec := n.spec().actor
	done := make(chan struct{})
	err := ErrGoexit
	aside := newStray(in)
	n.tree.dispatcher.Schedule(func() {
		defer aside.returned()
		defer close(done)
		defer func() {
			if value := recover(); value != nil {
				err = newPanicError(value)
			}
			if err != nil { // an option may have failed when the process was registered already
				n.tree.system.ProcessRegistry.Remove(in.pid)
			}
		}()
		user := spec.Producer()
		if user == nil {
			err = errNoActor
			return
		}
		err = n.spawn(in, newShell(in, user), spec.Options)
	})
	if waitFor(done, limit, giveUp) {
		return err
	}
	select {
	case <-giveUp:
		aside.leftBehind(ErrStartAborted)
		return ErrStartAborted
	default:
		late := fmt.Errorf("%w after %s: the producer has not returned", ErrStartTimeout, limit)
		aside.leftBehind(late)
		return late
	}
}
