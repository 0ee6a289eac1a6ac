package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// spawner turns incarnations into protoactor actors. Nodes without options of their own share one Props: the incarnation being
// spawned is handed to its producers under a lock, which covers no user code.
type spawner struct {
	system *actor.ActorSystem
	mu     sync.Mutex
	next   *incarnation
	body   body
	parent spawnerContext
	shared *actor.Props
}

func newSpawner(system *actor.ActorSystem, d *dispatcher) *spawner {
	s := &spawner{system: system}
	s.shared = actor.PropsFromProducer(func() actor.Actor { return s.body },
		actor.WithMailbox(func() actor.Mailbox { return s.next }), actor.WithDispatcher(d))
	return s
}

// spawn starts the actor of an incarnation.
func (s *spawner) spawn(in *incarnation, b body, options []actor.PropsOption) error {
	if len(options) > 0 {
		props := actor.PropsFromProducer(func() actor.Actor { return b }, options...).Configure(
			actor.WithProducer(func() actor.Actor { return b }),
			actor.WithMailbox(func() actor.Mailbox { return in }),
			actor.WithDispatcher(in.node.tree.dispatcher))
		_, err := actor.DefaultSpawner(s.system, in.name(), props, &spawnerContext{self: in.node.parentPID()})
		return err
	}
	name := in.name()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next, s.body, s.parent.self = in, b, in.node.parentPID()
	_, err := actor.DefaultSpawner(s.system, name, s.shared, &s.parent)
	s.next, s.body = nil, nil
	return err
}

// spawnerContext is all that protoactor's spawner asks of a parent: who it is. The parent's own list of children stays empty; its
// supervisor's state machine knows them.
type spawnerContext struct {
	actor.SpawnerContext
	self *actor.PID
}

func (c *spawnerContext) Self() *actor.PID { return c.self }
