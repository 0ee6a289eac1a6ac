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
		o, failure := j.handle()
		next, _ := j.lease.Settle(o)
		if failure != nil {
			j.agent.done(j)
			j.agent.in.fail(failure)
			return
		}
		j.lease = j.agent.more(next)
	}
}

// handle runs the user's handler. An error is the task's outcome; a panic is the agent's failure as well; a cancel from us is neither.
func (j *job) handle() (o routing.Outcome, failure error) {
	a := j.agent
	handler := a.handlers[j.lease.Type()] // written before the first lease came
	ctx := j.lease.Context(a.ctx)
	watch := &patience{job: j}
	unwatch := context.AfterFunc(ctx, watch.begin)

	returned := false
	defer func() {
		unwatch()
		watch.end()
		if returned {
			return
		}
		if value := recover(); value != nil {
			p := newPanicError(value)
			o, failure = routing.Crashed(p, p.Stack), p
			return
		}
		// runtime.Goexit: this goroutine ends here, so what run would do is done now.
		j.lease.Settle(routing.Crashed(ErrGoexit, nil))
		a.in.fail(ErrGoexit)
	}()
	value, err := handler.Run(ctx, j.lease.Input())
	returned = true
	switch {
	case err == nil:
		return routing.Done(value), nil
	case a.stopped(err):
		return routing.Released(err), nil
	default:
		return routing.Error(err), nil
	}
}

// patience is what an agent has with a handler whose context has ended: its shutdown time. A handler that hasn't returned by then hangs, and
// its agent is replaced. When the agent itself stops, its supervisor does the waiting.
type patience struct {
	job *job

	mu    sync.Mutex
	timer *time.Timer
	ended bool
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

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.timer != nil {
		p.timer.Stop()
	}
}

func (p *patience) lose() {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended {
		return
	}
	j := p.job
	reason := fmt.Errorf("%w within %s: task %s", ErrHung, j.agent.in.node.patience(), j.lease.ID())
	j.lease.Settle(routing.Hung(reason))
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
