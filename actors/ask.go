package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// Refusals of Ask.
var (
	// ErrDeadLetter says that a request found nobody, or a full queue.
	ErrDeadLetter = errors.New("request became a dead letter: there is no such actor, or its queue is full")
	// ErrReplyType says that a request was answered with something else than asked for.
	ErrReplyType = errors.New("reply has another type")
)

// Ask sends a request and waits for the answer, until ctx ends. The first answer counts; later ones, and those that come after ctx has ended, are
// dropped. An answer that is an error becomes the error, unless T is what was answered. Ask must not be called by an actor in its Receive.
func Ask[T any](ctx context.Context, in System, to *actor.PID, message any) (T, error) {
	var zero T
	reply, err := ask(ctx, in, to, message)
	if err != nil {
		return zero, fmt.Errorf("ask %s: %w", to.GetId(), err)
	}
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
}

func ask(ctx context.Context, in System, to *actor.PID, message any) (any, error) {
	system := in.ActorSystem()
	desk := deskOf(in)
	s := desk.take(system)
	defer desk.give(system, s)

	process, _ := system.ProcessRegistry.Get(to)
	process.SendUserMessage(to, &actor.MessageEnvelope{Message: message, Sender: s.open()})
	select {
	case reply := <-s.reply:
		return reply, nil
	case <-ctx.Done():
	}
	if s.close() {
		return nil, context.Cause(ctx)
	}
	return <-s.reply, nil // it came in the same moment
}

// slot is a process that answers are sent to. It stays registered and is used for one request after the other; each has a number, which travels in
// the sender's PID, so an answer to an earlier one never reaches a later.
type slot struct {
	id    *actor.PID
	reply chan any // with room for one

	mu      sync.Mutex
	request uint32
	waiting bool
}

// open begins a request and returns the sender's address.
func (s *slot) open() *actor.PID {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request++
	s.waiting = true
	return &actor.PID{Address: s.id.Address, Id: s.id.Id, RequestId: s.request}
}

// close ends a request without an answer. It is false if the answer has come.
func (s *slot) close() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	waited := s.waiting
	s.waiting = false
	return waited
}

// SendUserMessage implements actor.Process.
func (s *slot) SendUserMessage(pid *actor.PID, message any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting && pid.RequestId == s.request {
		s.waiting = false
		s.reply <- actor.UnwrapEnvelopeMessage(message)
	}
}

func (s *slot) SendSystemMessage(*actor.PID, any) {}
func (s *slot) Stop(*actor.PID)                   {}

// desk keeps slots for the requests made through a tree. The zero value keeps none.
type desk struct {
	mu     sync.Mutex
	idle   []*slot
	keep   int // at most
	closed bool
}

// idleSlots is how many slots a tree keeps registered between requests.
const idleSlots = 256

// deskOf finds the desk of a tree. Elsewhere every request has a slot of its own.
func deskOf(in System) *desk {
	switch in := in.(type) {
	case *Tree:
		return &in.desk
	case *nodeContext:
		return &in.in.node.tree.desk
	default:
		return &desk{}
	}
}

func (d *desk) take(system *actor.ActorSystem) *slot {
	d.mu.Lock()
	if n := len(d.idle); n > 0 {
		s := d.idle[n-1]
		d.idle = d.idle[:n-1]
		d.mu.Unlock()
		return s
	}
	d.mu.Unlock()
	s := &slot{reply: make(chan any, 1)}
	for fresh := false; !fresh; {
		s.id, fresh = system.ProcessRegistry.Add(s, "ask"+system.ProcessRegistry.NextId())
	}
	return s
}

func (d *desk) give(system *actor.ActorSystem, s *slot) {
	d.mu.Lock()
	if !d.closed && len(d.idle) < d.keep {
		d.idle = append(d.idle, s)
		d.mu.Unlock()
		return
	}
	d.mu.Unlock()
	system.ProcessRegistry.Remove(s.id)
}

// close takes the slots out of the registry.
func (d *desk) close(system *actor.ActorSystem) {
	d.mu.Lock()
	idle := d.idle
	d.idle, d.closed = nil, true
	d.mu.Unlock()
	for _, s := range idle {
		system.ProcessRegistry.Remove(s.id)
	}
}
