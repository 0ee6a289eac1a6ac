package breaker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

// Call asks the breaker actor for a call of Fn. Send it with Request, or RequestWithCustomSender: the sender gets the
// one *Result. Without a sender the call is made and its result dropped.
type Call struct {
	ID       uint64                                 // chosen by the sender, comes back in the Result
	Context  context.Context                        // of the caller: its end cancels the call (see StalledError for a cause that counts). nil is context.Background
	Deadline time.Time                              // zero is none; past it the call is answered with ErrTimeout
	Watched  bool                                   // somebody sees to it that the call ends: the operation timeout doesn't apply
	Fn       func(ctx context.Context) (any, error) // runs on a goroutine of its own
}

// Result answers a Call.
type Result struct {
	ID    uint64
	Value any
	Err   error // of Fn, unchanged; or a refusal, *TimeoutError, *PanicError, ErrStopped, or the error of Call.Context
}

// IgnoreDeadLetterLogging keeps the log quiet when a result finds its caller gone.
func (*Result) IgnoreDeadLetterLogging() {}

var errNoFn = errors.New("breaker: Call without Fn")

// Load is how busy a Runner is.
type Load struct {
	InFlight int // calls not yet answered
	Orphans  int // functions that still run after their call was answered
}

// Runner runs calls through a breaker, each on a goroutine of its own, and answers each exactly once: when its function
// returns, when its time is over, when its caller gives up, or when the runner is stopped, whichever is first. It is
// what survives a restart of the breaker actor. All methods may be called from any goroutine.
type Runner struct {
	breaker *Breaker

	mu      sync.Mutex           // guards what follows
	flights map[*flight]struct{} // calls not yet answered
	running int                  // places taken: functions that have not returned, orphans too
	orphans int                  // of running: answered already
}

// NewRunner makes a runner; the breaker stays its owner's, to close.
func NewRunner(b *Breaker) *Runner {
	return &Runner{breaker: b, flights: make(map[*flight]struct{})}
}

// Breaker is the breaker that the calls go through.
func (r *Runner) Breaker() *Breaker { return r.breaker }

// Load is the present load.
func (r *Runner) Load() Load {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Load{InFlight: len(r.flights), Orphans: r.orphans}
}

// Run starts a call and returns at once. answer is called exactly once, on this goroutine for a refusal, else on
// another; the verdict is recorded by then. It must be quick and must not panic.
func (r *Runner) Run(call *Call, answer func(*Result)) {
	refuse := func(err error) { answer(&Result{ID: call.ID, Err: err}) }
	if call.Fn == nil {
		refuse(errNoFn)
		return
	}
	parent := call.Context
	if parent == nil {
		parent = context.Background()
	}
	if err := parent.Err(); err != nil {
		refuse(err)
		return
	}
	limit := r.breaker.errTimeout
	deadline, bounded := r.deadline(call)
	if bounded && deadline.Equal(call.Deadline) {
		limit = &TimeoutError{Name: r.breaker.cfg.Name}
	}
	if bounded && !time.Now().Before(deadline) {
		refuse(limit)
		return
	}
	permit, err := r.admit()
	if err != nil {
		refuse(err)
		return
	}
	f := &flight{runner: r, call: call, answer: answer, permit: permit, caller: parent, limit: limit}
	f.ctx, f.cancel = context.WithCancelCause(context.WithValue(parent, admissionKey{}, permit.admission()))
	f.release = func() {}
	if bounded {
		f.ctx, f.release = context.WithDeadlineCause(f.ctx, deadline, limit)
	}
	r.mu.Lock()
	r.flights[f] = struct{}{}
	r.mu.Unlock()
	go f.run()
}

// deadline is the earlier of the call's own and the operation timeout's.
func (r *Runner) deadline(call *Call) (deadline time.Time, bounded bool) {
	if timeout := r.breaker.cfg.OperationTimeout; timeout != NoTimeout && !call.Watched {
		deadline, bounded = time.Now().Add(timeout), true
	}
	if !call.Deadline.IsZero() && (!bounded || call.Deadline.Before(deadline)) {
		deadline, bounded = call.Deadline, true
	}
	return deadline, bounded
}

// admit takes a place and a permit, in this order: a full runner is not the dependency's fault.
func (r *Runner) admit() (Permit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running >= r.breaker.cfg.MaxInFlight {
		return Permit{}, ErrSaturated
	}
	permit, err := r.breaker.Acquire()
	if err == nil {
		r.running++
	}
	return permit, err
}

// Stop answers every call that Run has started with ErrStopped, without a verdict, and cancels its context; what its
// function returns is dropped. The runner can be used again afterwards.
func (r *Runner) Stop() {
	r.mu.Lock()
	flights := slices.Collect(maps.Keys(r.flights))
	r.mu.Unlock()
	for _, f := range flights {
		if f.take(false) {
			f.cancel(ErrStopped) // before the answer: a caller that has it may end the context for reasons of its own
			f.conclude(outcome{verdict: Ignore, err: ErrStopped})
		}
	}
}

// flight is a call from its admission to the return of its function. Whoever takes it off the runner's table answers it.
type flight struct {
	runner  *Runner
	call    *Call
	answer  func(*Result)
	permit  Permit
	caller  context.Context
	limit   *TimeoutError // the cause of ctx when the time is over
	ctx     context.Context
	cancel  context.CancelCauseFunc
	release context.CancelFunc // of the deadline's timer
}

// outcome is one of the ways a flight may end.
type outcome struct {
	verdict  Verdict
	value    any
	err      error
	returned bool // the function is done, and its place is free
}

// run is the flight's goroutine.
func (f *flight) run() {
	stop := context.AfterFunc(f.ctx, f.expire)
	finished := false
	defer func() {
		stop()
		if !finished {
			value := recover()
			if value == nil {
				value = "runtime.Goexit"
			}
			err := newPanicError("call", value)
			if !f.finish(outcome{verdict: Failure, err: err, returned: true}) {
				f.runner.breaker.report(err)
			}
		}
		f.release()
		f.cancel(nil)
	}()
	o := outcome{returned: true}
	o.value, o.err = f.call.Fn(f.ctx)
	if f.timedOut() {
		o.value, o.err, o.verdict = nil, f.limit, Failure
	} else if err := stalled(f.caller); err != nil && o.err != nil {
		o.value, o.err, o.verdict = nil, err, Failure
	} else {
		o.verdict = f.runner.breaker.verdict(o.err, f.caller.Err() == context.Canceled)
	}
	f.finish(o)
	finished = true
}

// expire ends a flight whose time is over or whose caller gave up, though its function may still run.
func (f *flight) expire() {
	if f.timedOut() {
		f.finish(outcome{verdict: Failure, err: f.limit})
	} else if err := stalled(f.caller); err != nil {
		f.finish(outcome{verdict: Failure, err: err})
	} else if err := f.caller.Err(); err != nil {
		f.finish(outcome{verdict: f.runner.breaker.verdict(err, true), err: err})
	}
}

func (f *flight) timedOut() bool { return context.Cause(f.ctx) == error(f.limit) }

// finish takes the flight off the table, records the verdict and answers, if nobody did before.
func (f *flight) finish(o outcome) (mine bool) {
	if !f.take(o.returned) {
		return false
	}
	f.conclude(o)
	return true
}

// take takes the flight off the table. Who does so has to conclude it. returned says that its function has: its place is free then.
func (f *flight) take(returned bool) (mine bool) {
	r := f.runner
	r.mu.Lock()
	defer r.mu.Unlock()
	_, mine = r.flights[f]
	delete(r.flights, f)
	switch {
	case returned && mine:
		r.running--
	case returned:
		r.running--
		r.orphans--
	case mine:
		r.orphans++
	}
	return mine
}

// conclude records the verdict, then answers.
func (f *flight) conclude(o outcome) {
	r := f.runner
	if o.err == error(f.limit) {
		r.breaker.counters.timedOut.Add(1)
	}
	f.permit.settle(o.verdict, o.err)
	f.answer(&Result{ID: f.call.ID, Value: o.value, Err: o.err})
}
