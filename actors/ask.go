package actors

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"sync/atomic"

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

	s.root.Send(to, s.open(message))
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
	id     *actor.PID         // nobody has it but the slot
	root   *actor.RootContext // sends the requests, without anybody's middleware
	reply  chan any           // with room for one
	number uint32             // of the last request; the asker's
	waits  atomic.Uint64      // the number of the request that waits for an answer; noRequest when none does
}

// noRequest is no request's number.
const noRequest = math.MaxUint64

// request is what is sent, and the address in it that the answer goes to.
type request struct {
	envelope actor.MessageEnvelope
	sender   actor.PID
}

// open begins a request.
func (s *slot) open(message any) *actor.MessageEnvelope {
	s.number++
	r := new(request)
	// A PID remembers the process that it was once resolved to, in a field of protoactor's own. The slot's has been resolved; to copy that as well spares
	// whoever answers to look the slot up. On a goroutine that protoactor has just started it is that lookup for which the stack has to grow.
	reflect.ValueOf(&r.sender).Elem().Set(reflect.ValueOf(s.id).Elem())
	r.sender.RequestId = s.number
	r.envelope.Message, r.envelope.Sender = message, &r.sender
	s.waits.Store(uint64(s.number))
	return &r.envelope
}

// close ends a request without an answer. It is false if the answer has come.
func (s *slot) close() bool { return s.waits.CompareAndSwap(uint64(s.number), noRequest) }

// SendUserMessage implements actor.Process.
func (s *slot) SendUserMessage(pid *actor.PID, message any) {
	if s.waits.CompareAndSwap(uint64(pid.RequestId), noRequest) {
		s.reply <- actor.UnwrapEnvelopeMessage(message)
	}
}

func (s *slot) SendSystemMessage(*actor.PID, any) {}
func (s *slot) Stop(*actor.PID)                   {}

// desk keeps slots for the requests made through a tree. The zero value keeps none.
type desk struct {
	mu     sync.Mutex
	root   *actor.RootContext // of all slots; nil until there is one
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
	if d.root == nil {
		d.root = actor.NewRootContext(system, nil)
	}
	s := &slot{root: d.root, reply: make(chan any, 1)}
	d.mu.Unlock()
	s.waits.Store(noRequest)
	for fresh := false; !fresh; {
		s.id, fresh = system.ProcessRegistry.Add(s, "ask"+system.ProcessRegistry.NextId())
	}
	s.root.Send(s.id, nil) // resolves it; nobody waits for an answer yet
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
