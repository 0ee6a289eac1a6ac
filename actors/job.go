package actors

import (
	"fmt"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/routing"
)

// job runs leases of an agent, one after the other, on a goroutine that may be left behind.
type job struct {
	agent *agent
	lease *routing.Lease
	stray stray
	runs  func()               // job.run, bound once
	loses func(*routing.Lease) // job.beginPatience
	saves saves

	mu       sync.Mutex     // guards the rest
	handled  *routing.Lease // by a handler that hasn't returned
	patience *patience      // with it, since its lease was revoked
}

func newJob(a *agent) *job {
	j := &job{agent: a, stray: stray{in: a.in}}
	j.runs, j.loses = j.run, j.beginPatience
	return j
}

// run handles the lease, and goes on with the next one as long as the hub has one for the agent.
func (j *job) run() {
	well := false
	var failure error
	defer func() { // also when the handler ends the goroutine
		a := j.agent
		a.done(j, well)
		if failure != nil {
			a.in.fail(failure)
		}
	}()
	for j.lease != nil {
		var o routing.Outcome
		var lost bool
		if o, lost, failure = j.handle(); lost {
			return // it was given up, and its agent with it
		}
		next, accepted := j.lease.Settle(o)
		j.agent.keeper.settled(accepted, j.saves)
		if failure != nil {
			return
		}
		j.lease = j.agent.more(next)
	}
	well = true
}

// handle runs the user's handler. An error is the task's outcome; a panic is the agent's failure as well; a cancel from us is neither. It is lost if the
// agent ran out of patience with it before.
func (j *job) handle() (o routing.Outcome, lost bool, failure error) {
	a := j.agent
	handler := a.handlers[j.lease.Type()] // written before the first lease came
	j.saves = saves{}
	parent := a.ctx
	if a.keeper != nil {
		parent = a.keeper.ctx
	}
	ctx := j.lease.Context(parent)
	j.mu.Lock()
	j.handled = j.lease
	j.mu.Unlock()
	j.lease.OnRevoke(j.loses)

	returned := false
	defer func() {
		value := recover()
		lost = j.endPatience()
		if !returned {
			a.keeper.crashed()
		}
		switch {
		case lost || returned: // what a handler does that was given up, even to panic, changes nothing
		case value != nil:
			p := newPanicError(value)
			o, failure = routing.Crashed(p, p.Stack), p
		default: // runtime.Goexit: this goroutine ends here, so what run would do is done now
			j.lease.Settle(routing.Crashed(ErrGoexit, nil))
			a.in.fail(ErrGoexit)
		}
	}()
	a.keeper.begin()
	value, err := handler.Run(ctx, j.lease.Input())
	switch {
	case err == nil:
		o = routing.Done(value)
	case a.stopped(err):
		o = routing.Released(err)
	default:
		o = routing.Error(err)
	}
	o, j.saves = a.keeper.end(o)
	returned = true
	return o, false, nil
}

// beginPatience is called when a lease was taken back. When the agent itself stops, its supervisor does the waiting.
func (j *job) beginPatience(l *routing.Lease) {
	if j.agent.ctx.Err() != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handled == l {
		j.patience = &patience{job: j, lease: l}
		j.patience.timer = time.AfterFunc(j.agent.in.node.patience(), j.patience.lose)
	}
}

// endPatience says that the handler has returned, and reports whether that was too late.
func (j *job) endPatience() (lost bool) {
	j.mu.Lock()
	p := j.patience
	j.handled, j.patience = nil, nil
	j.mu.Unlock()
	return p != nil && p.end()
}

// patience is what an agent has with a handler whose lease was taken back: its shutdown time. A handler that hasn't returned by then hangs, and
// its agent is replaced.
type patience struct {
	job   *job
	lease *routing.Lease
	timer *time.Timer // guarded by the job's mutex

	mu    sync.Mutex
	ended bool // the handler has returned
	lost  bool // before that, the time was over
}

// end says that the handler has returned, and reports whether that was too late.
func (p *patience) end() (lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.timer.Stop()
	return p.lost
}

func (p *patience) lose() {
	p.mu.Lock()
	p.lost = !p.ended
	lost := p.lost
	p.mu.Unlock()
	if !lost {
		return
	}
	j := p.job
	reason := fmt.Errorf("%w within %s: task %s", ErrHung, j.agent.in.node.patience(), p.lease.ID())
	p.lease.Settle(routing.Hung(reason))
	j.stray.abandoned(reason)
	j.agent.in.fail(reason)
}

// patience returns how long user code of the node may take to end; also where its supervisor would wait for ever or not at all.
func (n *node) patience() time.Duration {
	if d := n.shutdown(); d > 0 {
		return d
	}
	return DefaultShutdown
}
