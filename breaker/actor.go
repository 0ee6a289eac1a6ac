package breaker

import "github.com/asynkron/protoactor-go/actor"

// NewActor makes the producer of a breaker actor over a runner: it answers every *Call it receives with exactly one
// *Result to the call's sender, and never runs a call itself, so its mailbox stays free.
//
// One runner belongs to one actor, and all incarnations of it share it: the breaker's state survives a restart. An
// in-place restart leaves the calls in flight alone; when the actor stops they are answered with ErrStopped and their
// contexts cancelled. The breaker itself is its owner's to close.
func NewActor(r *Runner) actor.Producer {
	return func() actor.Actor { return &guard{runner: r} }
}

// guard is the breaker actor. It has no state of its own.
type guard struct{ runner *Runner }

// Receive takes microseconds, whatever the calls do.
func (g *guard) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *Call:
		g.runner.Run(msg, replyTo(ctx.ActorSystem(), ctx.Sender()))
	case *actor.Stopping:
		g.runner.Stop()
	}
}

// replyTo sends a result from any goroutine.
func replyTo(system *actor.ActorSystem, sender *actor.PID) func(*Result) {
	if sender == nil {
		return func(*Result) {}
	}
	return func(res *Result) { system.Root.Send(sender, res) }
}
