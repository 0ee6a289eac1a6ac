package actors

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mistersmith/mistersmith/detector"
	"github.com/mistersmith/mistersmith/routing"
)

// job runs leases of an agent, one after the other, on a goroutine that may be left behind.
type job struct {
	agent  *agent
	lease  *routing.Lease
	stray  stray
	runs   func()               // job.run, bound once
	loses  func(*routing.Lease) // job.beginPatience
	life   detector.Stamp
	saves  saves
	saving atomic.Bool    // the handler has returned, and its agent's state is being saved
	seen   *routing.Lease // whose signs of life the watchman has seen last; the looks' own

	mu       sync.Mutex                    // guards the rest, but for reading handled
	begun    *routing.Lease                // the last one
	handled  atomic.Pointer[routing.Lease] // by a handler that hasn't returned and wasn't given up
	revoked  *routing.Lease                // the last one that was taken back from its handler, or whose context ended before that returned
	lost     bool                          // it was given up
	patience *time.Timer                   // runs since its lease was taken back; nil while that hasn't happened
	waits    int                           // its handler waits for so many things that have a time limit of their own
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
	j.begin(j.lease)
	ctx, span := a.in.node.tree.telemetry.attempt(j.lease.Context(parent), a.in, j.lease)
	j.lease.OnRevoke(j.loses)

	returned, cutShort := false, false
	defer func() {
		value := recover()
		lost = j.end(cutShort)
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
			j.stray.returned() // before its agent ends for it, and finds it running
			a.in.fail(ErrGoexit)
		}
		span.end(o, failure, lost)
	}()
	if err := a.keeper.begin(ctx, j.lease); err != nil {
		returned, cutShort = true, true
		return routing.Released(err), false, nil
	}
	value, err := handler.Run(ctx, j.lease.Input())
	cutShort = err != nil && ctx.Err() != nil
	switch {
	case err == nil:
		o = routing.Done(value)
	case a.stopped(err):
		o = routing.Released(err)
	case isRefusal(err):
		o = routing.Refused(err)
	default:
		o = routing.Error(err)
	}
	if a.keeper != nil {
		j.saving.Store(true)
		o, j.saves = a.keeper.end(o)
		j.saving.Store(false)
	}
	returned = true
	return o, false, nil
}

// begin is told of each lease before its handler runs.
func (j *job) begin(l *routing.Lease) {
	j.mu.Lock()
	j.begun, j.waits = l, 0
	j.handled.Store(l)
	j.mu.Unlock()
	l.Observe(j)
	j.Progressed(l)
}

// end says that the handler has returned, maybe because its context had ended, and reports whether that was too late.
func (j *job) end(cutShort bool) (lost bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if cutShort {
		j.revoked = j.begun
	}
	j.handled.Store(nil)
	if j.patience != nil {
		j.patience.Stop()
		j.patience = nil
	}
	return j.lost
}

// beginPatience is called when a lease was taken back: its handler has the agent's shutdown time to return. When the agent itself stops, its supervisor
// does the waiting.
func (j *job) beginPatience(l *routing.Lease) {
	if j.agent.ctx.Err() != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handled.Load() == l {
		j.revoked = l
		j.patience = time.AfterFunc(j.agent.in.node.patience(), func() { j.lose(l) })
	}
}

// lose gives up a handler that hasn't returned in its time. It hangs, and its agent is replaced.
func (j *job) lose(l *routing.Lease) {
	if !j.giveUp(l) {
		return
	}
	reason := fmt.Errorf("%w: task %s did not return within %s after its context had ended", ErrHung, l.ID(), j.agent.in.node.patience())
	l.SettleHung(reason)
	j.stray.abandoned(reason)
	j.agent.in.fail(reason)
}

// giveUp says that the handler of a lease is lost, unless it has returned, or is lost already.
func (j *job) giveUp(l *routing.Lease) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handled.Load() != l {
		return false
	}
	j.handled.Store(nil)
	j.lost = true
	return true
}

// patience returns how long user code of the node may take to end; also where its supervisor would wait for ever or not at all.
func (n *node) patience() time.Duration {
	if d := n.shutdown(); d > 0 {
		return d
	}
	return DefaultShutdown
}
