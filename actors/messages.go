package actors

import (
	"context"
	"errors"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"
)

// Refusals of Ask.
var (
	// ErrDeadLetter says that a request found nobody, or a full queue.
	ErrDeadLetter = errors.New("request became a dead letter: there is no such actor, or its queue is full")
	// ErrReplyType says that a request was answered with something else than asked for.
	ErrReplyType = errors.New("reply has another type")
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

// Ask sends a request and waits for the answer, until ctx ends. The first answer counts; later ones become dead letters. It must not be
// called by an actor in its Receive.
func Ask[T any](ctx context.Context, in System, to *actor.PID, message any) (T, error) {
	var zero T
	system := in.ActorSystem()
	a := &answerBox{reply: make(chan any, 1)}
	self, _ := system.ProcessRegistry.Add(a, "ask"+system.ProcessRegistry.NextId())
	defer system.ProcessRegistry.Remove(self)
	system.Root.RequestWithCustomSender(to, message, self)
	select {
	case reply := <-a.reply:
		switch r := reply.(type) {
		case T:
			return r, nil
		case *actor.DeadLetterResponse:
			return zero, fmt.Errorf("ask %s: %w", to.GetId(), ErrDeadLetter)
		case error:
			return zero, r
		default:
			return zero, fmt.Errorf("ask %s: %w: %T, not %T", to.GetId(), ErrReplyType, reply, zero)
		}
	case <-ctx.Done():
		return zero, fmt.Errorf("ask %s: %w", to.GetId(), context.Cause(ctx))
	}
}

// answerBox is the process that an answer is sent to.
type answerBox struct{ reply chan any }

func (a *answerBox) SendUserMessage(_ *actor.PID, message any) {
	select {
	case a.reply <- actor.UnwrapEnvelopeMessage(message):
	default:
	}
}

func (a *answerBox) SendSystemMessage(*actor.PID, any) {}
func (a *answerBox) Stop(*actor.PID)                   {}
