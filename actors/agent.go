package actors

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/routing"
)

// agent is the actor of one incarnation of an agent. It takes leases from the hub and runs each in a job goroutine, so the actor itself
// always answers: an agent that is told to stop, or fails, never waits for its handlers longer than it wants to.
type agent struct {
	in     *incarnation
	spec   *AgentSpec      // until it has joined
	ctx    context.Context // of everything the agent runs
	cancel context.CancelCauseFunc

	startedFor uint64 // the event that led to its start

	// ---- the actor's own
	code AgentCode

	// ---- guarded by mu
	mu       sync.Mutex
	handlers map[string]routing.Handler
	keeper   *keeper // nil if its code has no Snapshot
	spoke    *routing.Spoke
	jobs     map[*job]struct{}
	rested   *job // one that has ended, to be used again
	up       bool // its start is over: a failure isn't one of the start
	closing  bool // takes nothing more
	draining bool // tells the actor when the last job is done
}

var _ body = (*agent)(nil)

func newAgent(in *incarnation) *agent {
	a := &agent{in: in, spec: in.node.spec().agent, startedFor: in.causeNow(), jobs: make(map[*job]struct{})}
	ctx, cancel := context.WithCancelCause(in.node.tree.context)
	a.ctx, a.cancel = context.WithValue(ctx, nodeKey{}, in.node), cancel
	return a
}

// Messages that an agent gets through its control queue.
type (
	agentMade struct { // New and Start are done
		code AgentCode
		err  error
	}
	agentLease struct{ lease *routing.Lease }
	agentIdle  struct{} // the last job is done
	agentSaved struct{} // the last snapshot is made, or can't be
	agentBye   struct{} // Stop is done
)

// Receive implements actor.Actor.
func (a *agent) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		a.make()
	case *agentMade:
		a.made(m)
	case *agentLease:
		a.work(m.lease)
	case *agentIdle:
		a.sayBye()
	case *agentSaved:
		a.sayStop()
	case *agentBye:
		a.in.drained()
	case actor.SystemMessage, actor.AutoReceiveMessage:
	default:
		ctx.ActorSystem().DeadLetter.SendUserMessage(a.in.node.pid, m)
	}
}

func (a *agent) startsLater() bool { return true }
func (a *agent) told()             {}

// make runs the user's constructor and Start. Code that is just a function has neither.
func (a *agent) make() {
	if a.spec.stateless {
		a.made(&agentMade{code: a.spec.New()})
		return
	}
	m := &agentMade{err: ErrGoexit}
	a.goAside(func() {
		defer func() {
			if value := recover(); value != nil {
				m.err = newPanicError(value)
			}
		}()
		m.code, m.err = a.construct()
		if m.err == nil && m.code.Start != nil {
			m.err = m.code.Start(a.ctx)
		}
	}, func() { a.in.post(m) })
}

// goAside runs user code beside the actor, and then tells of it, however that code has ended. The code counts as left behind if it outlives the incarnation, but
// not if that ends because of what it was told.
func (a *agent) goAside(run, tell func()) {
	j := newJob(a)
	a.mu.Lock()
	a.jobs[j] = struct{}{}
	a.mu.Unlock()
	a.in.node.tree.dispatcher.Schedule(func() {
		defer a.done(j, false)
		defer tell()
		defer j.stray.returned()
		run()
	})
}

// made joins the hub: the agent is up.
func (a *agent) made(m *agentMade) {
	if m.err == nil {
		m.err = a.join(m.code)
	}
	if m.err != nil {
		a.in.exit(m.err)
		return
	}
	a.in.ready()
	a.mu.Lock()
	a.up = true
	a.mu.Unlock()
}

func (a *agent) join(code AgentCode) error {
	a.code = code
	handlers := make(map[string]routing.Handler, len(code.Handlers))
	for _, h := range code.Handlers {
		handlers[h.Type()] = h
	}
	for _, t := range a.spec.Types {
		if _, ok := handlers[t]; !ok {
			return fmt.Errorf("no handler for task type %q, which its spec lists", t)
		}
	}
	a.mu.Lock()
	a.handlers = handlers
	if code.Snapshot != nil {
		a.keeper = newKeeper(a, a.spec.Snapshot)
	}
	closing := a.closing
	a.mu.Unlock()
	if closing {
		return ErrStartAborted
	}
	spoke, err := a.in.node.tree.hub.Join(routing.SpokeSpec{
		ID:       routing.SpokeID{Path: a.in.node.path, Incarnation: a.in.number},
		Types:    a.spec.Types,
		Credits:  a.spec.Credits,
		Circuits: a.in.node.spec().rarely().circuits,
		Deliver:  a.deliver,
	})
	if err != nil {
		return err
	}
	a.spec = nil // a temporary agent's constructor isn't kept
	a.mu.Lock()
	a.spoke = spoke
	closing = a.closing
	a.mu.Unlock()
	if closing { // fenced off meanwhile
		spoke.Leave(ErrKilled)
	}
	return nil
}

// deliver takes a lease from the hub, on any goroutine.
func (a *agent) deliver(l *routing.Lease) {
	a.mu.Lock()
	up := a.up
	a.mu.Unlock()
	switch {
	case up:
		a.work(l)
	case !a.in.post(&agentLease{l}): // it comes after the start
		l.Settle(routing.Released(ErrShutdown))
	}
}

// work begins a job, on any goroutine.
func (a *agent) work(l *routing.Lease) {
	a.mu.Lock()
	closing := a.closing
	var j *job
	if !closing {
		j = a.rested
		a.rested = nil
		if j == nil {
			j = newJob(a)
		}
		j.lease = l
		a.jobs[j] = struct{}{}
	}
	a.mu.Unlock()
	if closing {
		l.Settle(routing.Released(ErrShutdown))
		return
	}
	a.in.node.tree.dispatcher.Schedule(j.runs)
}

// more lets a job go on with the next lease, if the agent goes on.
func (a *agent) more(l *routing.Lease) *routing.Lease {
	if l == nil {
		return nil
	}
	a.mu.Lock()
	closing := a.closing
	a.mu.Unlock()
	if closing {
		l.Settle(routing.Released(ErrShutdown))
		return nil
	}
	return l
}

// done takes a job off the books; one that ended well may be used again. The caller doesn't touch it any more.
func (a *agent) done(j *job, well bool) {
	leftBehind := j.stray.returned()
	a.mu.Lock()
	_, ours := a.jobs[j] // else somebody is about to leave it
	delete(a.jobs, j)
	if well && ours && !leftBehind {
		j.stray.state.Store(running)
		a.rested = j
	}
	idle := a.draining && len(a.jobs) == 0
	a.draining = a.draining && !idle
	a.mu.Unlock()
	if idle {
		a.in.post(&agentIdle{})
	}
}

// drain implements body. An agent that stops lets its handlers return; one that failed is dead at once.
func (a *agent) drain(why outcome) bool {
	if why.class == Crash {
		for j := range a.close(why.err) {
			j.stray.leftBehind()
		}
		return true
	}
	a.mu.Lock()
	a.closing = true
	spoke := a.spoke
	busy := len(a.jobs) > 0
	a.draining = busy
	a.mu.Unlock()
	if spoke != nil {
		spoke.Pause()
	}
	a.cancel(errStopping)
	if busy {
		return false
	}
	return !a.sayBye()
}

// sayBye saves the state and runs the user's Stop after the last handler, and reports whether there is any of that.
func (a *agent) sayBye() bool {
	a.mu.Lock()
	spoke, keeper := a.spoke, a.keeper
	a.mu.Unlock()
	if spoke == nil {
		keeper.close(errStopping)
		return a.sayStop()
	}
	if !keeper.close(errStopping) {
		spoke.Leave(errStopping)
		return a.sayStop()
	}
	a.goAside(keeper.saveLast, func() {
		spoke.Leave(errStopping)
		a.in.post(&agentSaved{})
	})
	return true
}

// sayStop runs the user's Stop, and reports whether there is one.
func (a *agent) sayStop() bool {
	if a.code.Stop == nil {
		a.in.drained()
		return false
	}
	var crashed error
	a.goAside(func() {
		defer func() {
			if value := recover(); value != nil {
				crashed = newPanicError(value)
			}
		}()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), a.in.node.patience())
		defer cancel()
		a.code.Stop(ctx)
	}, func() {
		if crashed != nil {
			a.in.exit(crashed)
		}
		a.in.post(&agentBye{})
	})
	return true
}

// fenced implements body. If it was abandoned, its handlers have had their time.
func (a *agent) fenced() {
	for j := range a.close(ErrKilled) {
		if a.in.overdue() {
			j.stray.abandoned(ErrHung)
		} else {
			j.stray.leftBehind()
		}
	}
}

// close gives the leases back, ends what runs, and returns the jobs that haven't ended yet.
func (a *agent) close(cause error) map[*job]struct{} {
	a.mu.Lock()
	a.closing = true
	a.draining = false
	spoke, keeper := a.spoke, a.keeper
	left := a.jobs
	a.jobs = make(map[*job]struct{})
	a.mu.Unlock()
	keeper.close(cause)
	if spoke != nil {
		spoke.Leave(cause)
	}
	a.cancel(cause)
	return left
}

// errStopping is the cause with which a handler's context ends when its agent stops.
var errStopping = fmt.Errorf("agent stops: %w", ErrShutdown)

// stopped reports whether the agent's own end ended ctx.
func (a *agent) stopped(err error) bool {
	return a.ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(a.ctx)) || errors.Is(err, ErrShutdown) || errors.Is(err, ErrKilled))
}
