package actors

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// System is what messages are sent in: a [*Tree], or the context of any actor.
type System interface{ ActorSystem() *actor.ActorSystem }

// Send queues a message and, unlike a plain send, waits while the queue is full, until ctx ends. Only nodes of a tree have bounded
// queues; to any other PID it is a plain send. It must not be called by an actor in its Receive.
func Send(ctx context.Context, in System, to *actor.PID, message any) error {
	p, ok := in.ActorSystem().ProcessRegistry.Get(to)
	if !ok {
		return fmt.Errorf("send to %s: %w", to.GetId(), ErrQueueClosed)
	}
	if r, ok := p.(*ref); ok {
		return r.send(ctx, message)
	}
	p.SendUserMessage(to, message)
	return nil
}
