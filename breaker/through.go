package breaker

import (
	"context"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// Through runs fn through the breaker actor behind the PID and waits for its result: no longer than ctx, and no longer
// than the actor lives. When ctx ends, fn's context ends too. Any goroutine may call it, but not an actor in its Receive,
// whose mailbox would stand still.
//
// fn runs on another goroutine, with ctx's values, deadline and cancellation, and OperationTimeout. Its error comes back
// unchanged, its panic as a *PanicError. Other errors: *OpenError and *TimeoutError as for Do; ErrSaturated if the actor
// is full or its queue refused the call, or there is no such actor; ErrStopped if it stopped first; ctx.Err().
func Through[T any](ctx context.Context, system *actor.ActorSystem, breaker *actor.PID, fn func(context.Context) (T, error)) (T, error) {
	return through(ctx, system, breaker, false, fn)
}

// ThroughWatched is Through for a call whose end somebody else sees to, by cancelling ctx: the operation timeout doesn't apply. If the cause is a
// [*StalledError], that is what comes back, and it counts as a failure.
func ThroughWatched[T any](ctx context.Context, system *actor.ActorSystem, breaker *actor.PID, fn func(context.Context) (T, error)) (T, error) {
	return through(ctx, system, breaker, true, fn)
}

func through[T any](ctx context.Context, system *actor.ActorSystem, breaker *actor.PID, watched bool, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, err
	}
	callCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	call := &Call{Context: callCtx, Watched: watched, Fn: func(ctx context.Context) (any, error) { return fn(ctx) }}

	reply := newReply(system)
	defer reply.close()
	reply.ask(breaker, call)
	select {
	case res := <-reply.result:
		value, _ := res.Value.(T)
		return value, res.Err
	case <-ctx.Done():
		if err := stalled(ctx, watched); err != nil {
			return zero, err
		}
		return zero, ctx.Err()
	}
}

// reply is a process that waits for one answer. actor.Future would do if its late answers and time limits did not race.
type reply struct {
	system  *actor.ActorSystem
	self    *actor.PID
	breaker *actor.PID
	result  chan *Result // takes the first answer
	done    atomic.Bool
}

func newReply(system *actor.ActorSystem) *reply {
	r := &reply{system: system, result: make(chan *Result, 1)}
	for registered := false; !registered; {
		r.self, registered = system.ProcessRegistry.Add(r, "breaker-call"+system.ProcessRegistry.NextId())
	}
	return r
}

// ask watches the actor, so that a call lost in a stopped mailbox does not wait for ever, and sends the call.
func (r *reply) ask(breaker *actor.PID, call *Call) {
	r.breaker = breaker
	r.tell(&actor.Watch{Watcher: r.self})
	r.system.Root.RequestWithCustomSender(breaker, call, r.self)
}

func (r *reply) close() {
	r.done.Store(true)
	r.system.ProcessRegistry.Remove(r.self)
	r.tell(&actor.Unwatch{Watcher: r.self})
}

// tell sends a system message to the breaker actor, if there is one.
func (r *reply) tell(msg any) {
	if process, ok := r.system.ProcessRegistry.Get(r.breaker); ok {
		process.SendSystemMessage(r.breaker, msg)
	}
}

// SendUserMessage takes the answer: a result, or the dead letter of a call that was refused.
func (r *reply) SendUserMessage(_ *actor.PID, message any) {
	switch msg := actor.UnwrapEnvelopeMessage(message).(type) {
	case *Result:
		r.resolve(msg)
	case *actor.DeadLetterResponse:
		r.resolve(&Result{Err: ErrSaturated})
	}
}

// SendSystemMessage hears that the actor is gone.
func (r *reply) SendSystemMessage(_ *actor.PID, message any) {
	if _, gone := message.(*actor.Terminated); gone {
		r.resolve(&Result{Err: ErrStopped})
	}
}

// Stop does nothing: the process lives as long as Through waits.
func (r *reply) Stop(*actor.PID) {}

func (r *reply) resolve(res *Result) {
	if r.done.Swap(true) {
		return
	}
	r.result <- res
}
