package actors

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/routing"
)

// job runs leases of an agent, one after the other, on a goroutine that may be left behind.
type job struct {
	agent *agent
	lease *routing.Lease
	stray *stray
}

// run handles the lease, and goes on with the next one as long as the hub has one for the agent.
func (j *job) run() {
	defer j.agent.done(j)
	for j.lease != nil {
		o, lost, failure := j.handle()
		if lost {
			return // it was given up, and its agent with it
		}
		next, _ := j.lease.Settle(o)
		if failure != nil {
			j.agent.done(j)
			j.agent.in.fail(failure)
			return
		}
		j.lease = j.agent.more(next)
	}
}

// handle runs the user's handler. An error is the task's outcome; a panic is the agent's failure as well; a cancel from us is neither. It is lost if the
// agent ran out of patience with it before.
func (j *job) handle() (o routing.Outcome, lost bool, failure error) {
	a := j.agent
	handler := a.handlers[j.lease.Type()] // written before the first lease came
	ctx, span := a.in.node.tree.telemetry.attempt(j.lease.Context(a.ctx), a.in, j.lease)
	watch := &patience{job: j, lease: j.lease}
	unwatch := context.AfterFunc(ctx, watch.begin)

	returned := false
	defer func() {
		value := recover()
		unwatch()
		lost = watch.end()
		switch {
		case lost || returned: // what a handler does that was given up, even to panic, changes nothing
		case value != nil:
			p := newPanicError(value)
			o, failure = routing.Crashed(p, p.Stack), p
		default: // runtime.Goexit: this goroutine ends here, so what run would do is done now
			j.lease.Settle(routing.Crashed(ErrGoexit, nil))
			a.in.fail(ErrGoexit)
		}
		span.end(o, failure, lost)
	}()
	value, err := handler.Run(ctx, j.lease.Input())
	returned = true
	switch {
	case err == nil:
		return routing.Done(value), false, nil
	case a.stopped(err):
		return routing.Released(err), false, nil
	default:
		return routing.Error(err), false, nil
	}
}

// patience is what an agent has with a handler whose context has ended: its shutdown time. A handler that hasn't returned by then hangs, and
// its agent is replaced. When the agent itself stops, its supervisor does the waiting.
type patience struct {
	job   *job
	lease *routing.Lease

	mu    sync.Mutex
	timer *time.Timer
	ended bool // the handler has returned
	lost  bool // before that, the time was over
}

func (p *patience) begin() {
	a := p.job.agent
	if a.ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.timer = time.AfterFunc(a.in.node.patience(), p.lose)
	}
}

// end says that the handler has returned, and reports whether that was too late.
func (p *patience) end() (lost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.timer != nil {
		p.timer.Stop()
	}
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
