package actors

import (
	"errors"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// ErrFenced is what spawning panics with in an incarnation that was fenced off: the code that does it was left behind, and is unwound.
var ErrFenced = errors.New("incarnation was fenced off")

// nodeContext is the context that user code in the tree gets: protoactor's, with the identity of the node. Self and the sender of
// requests are the logical PID, so an address that the actor hands out outlives the incarnation. Once the incarnation is fenced
// off, whatever it sends becomes a dead letter.
type nodeContext struct {
	actor.Context
	in *incarnation
}

func (c *nodeContext) exit(reason error) { c.in.exit(reason) }

// Self returns the logical PID of the node.
func (c *nodeContext) Self() *actor.PID { return c.in.node.pid }

// Parent returns the logical PID of the supervisor.
func (c *nodeContext) Parent() *actor.PID { return c.in.node.parent.pid }

// Actor returns the user's actor.
func (c *nodeContext) Actor() actor.Actor {
	if s, ok := c.in.body.(interface{ userActor() actor.Actor }); ok {
		return s.userActor()
	}
	return c.Context.Actor()
}

// target is pid, or nobody for a fenced incarnation.
func (c *nodeContext) target(pid *actor.PID) *actor.PID {
	if c.in.isFenced() {
		return nobody
	}
	return pid
}

func (c *nodeContext) Send(pid *actor.PID, message any) { c.Context.Send(c.target(pid), message) }

func (c *nodeContext) Request(pid *actor.PID, message any) {
	c.RequestWithCustomSender(pid, message, c.Self())
}

func (c *nodeContext) RequestWithCustomSender(pid *actor.PID, message any, sender *actor.PID) {
	if c.in.isFenced() {
		c.Context.Send(nobody, message)
		return
	}
	c.Context.RequestWithCustomSender(pid, message, sender)
}

func (c *nodeContext) RequestFuture(pid *actor.PID, message any, timeout time.Duration) *actor.Future {
	return c.Context.RequestFuture(c.target(pid), message, timeout)
}

func (c *nodeContext) Forward(pid *actor.PID) { c.Context.Forward(c.target(pid)) }

func (c *nodeContext) Respond(response any) {
	if !c.in.isFenced() {
		c.Context.Respond(response)
	}
}

// Stop of oneself is a normal exit; of another PID in the tree, a terminate call.
func (c *nodeContext) Stop(pid *actor.PID) {
	switch {
	case pid.Equal(c.Self()):
		c.in.exit(nil)
	case c.in.isFenced():
	default:
		c.Context.Stop(pid)
	}
}

// StopFuture of oneself resolves when the incarnation has ended.
func (c *nodeContext) StopFuture(pid *actor.PID) *actor.Future {
	if c.in.isFenced() {
		return actor.NewFuture(c.ActorSystem(), 0) // fails at once
	}
	return c.Context.StopFuture(c.reached(pid))
}

// Poison of oneself is a normal exit after what is queued.
func (c *nodeContext) Poison(pid *actor.PID) {
	if !c.in.isFenced() {
		c.Context.Poison(c.reached(pid))
	}
}

// PoisonFuture of oneself resolves when the incarnation has ended.
func (c *nodeContext) PoisonFuture(pid *actor.PID) *actor.Future {
	if c.in.isFenced() {
		return actor.NewFuture(c.ActorSystem(), 0) // fails at once
	}
	return c.Context.PoisonFuture(c.reached(pid))
}

// reached is the PID of the incarnation itself, if its node's was meant.
func (c *nodeContext) reached(pid *actor.PID) *actor.PID {
	if pid.Equal(c.Self()) {
		return c.in.pid()
	}
	return pid
}

func (c *nodeContext) Spawn(props *actor.Props) *actor.PID {
	return c.adopt(func() (*actor.PID, error) { return c.Context.Spawn(props), nil }).must()
}

func (c *nodeContext) SpawnPrefix(props *actor.Props, prefix string) *actor.PID {
	return c.adopt(func() (*actor.PID, error) { return c.Context.SpawnPrefix(props, prefix), nil }).must()
}

func (c *nodeContext) SpawnNamed(props *actor.Props, name string) (*actor.PID, error) {
	s := c.adopt(func() (*actor.PID, error) { return c.Context.SpawnNamed(props, name) })
	return s.pid, s.err
}

type spawned struct {
	pid *actor.PID
	err error
}

func (s spawned) must() *actor.PID {
	if s.err != nil {
		panic(s.err)
	}
	return s.pid
}

// adopt remembers the actor's own children, so that they can be stopped when it hangs.
func (c *nodeContext) adopt(spawn func() (*actor.PID, error)) spawned {
	if c.in.isFenced() {
		panic(ErrFenced)
	}
	pid, err := spawn()
	if err != nil {
		return spawned{pid, err}
	}
	r := &c.in.node.ref
	r.mu.Lock()
	fenced := c.in.isFenced()
	if !fenced {
		if c.in.spawned == nil {
			c.in.spawned = new([]*actor.PID)
		}
		*c.in.spawned = append(*c.in.spawned, pid)
	}
	r.mu.Unlock()
	if fenced {
		c.Context.Stop(pid)
		panic(ErrFenced)
	}
	return spawned{pid, nil}
}

func (in *incarnation) isFenced() bool { return in.fencedOff.Load() }

// orphaned forgets a child that has terminated.
func (in *incarnation) orphaned(child *actor.PID) {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	if in.spawned != nil {
		*in.spawned = slices.DeleteFunc(*in.spawned, child.Equal)
	}
}

func (in *incarnation) childPIDs() []*actor.PID {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	if in.spawned == nil {
		return nil
	}
	return slices.Clone(*in.spawned)
}
