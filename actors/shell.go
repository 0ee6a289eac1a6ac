package actors

import "github.com/asynkron/protoactor-go/actor"

// shell is the thin actor around a user's protoactor actor: it hands everything on, with the context of the node.
type shell struct {
	user actor.Actor
	ctx  nodeContext
}

var _ body = (*shell)(nil)

func newShell(in *incarnation, user actor.Actor) body {
	if strategy, ok := user.(actor.SupervisorStrategy); ok {
		return &strategicShell{shell{user, nodeContext{in: in}}, strategy}
	}
	s, ok := in.body.(*shell)
	if !ok {
		s = &shell{ctx: nodeContext{in: in}}
	}
	s.user = user
	return s
}

// Receive implements actor.Actor.
func (s *shell) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Terminated:
		if m.Who == nobody {
			return
		}
		s.ctx.in.orphaned(m.Who)
	case *actor.Stopped:
		s.ctx.in.gotLast = s.ctx.in.halted // else anybody may have sent it
	}
	if s.ctx.Context == nil { // protoactor has one context for the whole life of an actor
		s.ctx.Context = ctx
	}
	s.user.Receive(&s.ctx)
}

func (s *shell) userActor() actor.Actor { return s.user }
func (s *shell) startsLater() bool      { return false }
func (s *shell) told()                  {}
func (s *shell) drain(outcome) bool     { return true }
func (s *shell) fenced()                {}

// strategicShell is the shell of an actor that rules its own children with a HandleFailure of its own.
type strategicShell struct {
	shell
	actor.SupervisorStrategy
}
