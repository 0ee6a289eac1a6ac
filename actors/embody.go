package actors

import (
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
)

// embody makes the actor of an incarnation and spawns it. A user's producer runs on a goroutine of its own, since it may hang or
// panic.
func (n *node) embody(in *incarnation, limit time.Duration, giveUp <-chan struct{}) error {
	t := n.tree
	var options []actor.PropsOption
	switch {
	case n.spec.supervisor != nil:
		in.body = newSupervisor(in)
	case n.spec.agent != nil:
		in.body = newAgent(in)
	case n.hub != nil:
		in.body = newShell(in, n.hub.Actor()())
	case n.guard != nil:
		in.body = newShell(in, breaker.NewActor(n.guard)())
	default:
		options = n.spec.actor.Options
		user, err := n.produce(in, limit, giveUp)
		if err != nil {
			return err
		}
		in.body = newShell(in, user)
	}
	return t.spawner.spawn(in, options)
}

// produce calls the producer of an ActorSpec.
func (n *node) produce(in *incarnation, limit time.Duration, giveUp <-chan struct{}) (actor.Actor, error) {
	type product struct {
		user actor.Actor
		err  error
	}
	made := make(chan product, 1)
	done := make(chan struct{})
	left := newStray(in)
	n.tree.dispatcher.Schedule(func() {
		defer left.returned()
		defer close(done)
		p := product{err: ErrGoexit}
		defer func() {
			if value := recover(); value != nil {
				p.err = newPanicError(value)
			}
			made <- p
		}()
		p.user = n.spec.actor.Producer()
		p.err = nil
		if p.user == nil {
			p.err = fmt.Errorf("producer returned nil")
		}
	})
	if waitFor(done, limit, giveUp) {
		p := <-made
		return p.user, p.err
	}
	left.leftBehind()
	select {
	case <-giveUp:
		return nil, ErrStartAborted
	default:
		return nil, fmt.Errorf("%w after %s: the producer has not returned", ErrStartTimeout, limit)
	}
}
