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

// Runner runs calls through a breaker, each on a goroutine of its own as [DoDetached] does, and answers each exactly once: when
// its function returns, when its time is over, when its caller gives up, or when the runner is stopped, whichever is first. It is
// what survives a restart of the breaker actor. All methods may be called from any goroutine.
type Runner struct {
	breaker *Breaker
	places  places

	mu      sync.Mutex           // guards what follows
	flights map[*flight]struct{} // calls whose functions have not returned
	idle    chan struct{}        // closed when there are none; nil when nobody waits for that
}

// NewRunner makes a runner; the breaker stays its owner's, to close.
func NewRunner(b *Breaker) *Runner {
	return &Runner{breaker: b, places: places{limit: int64(b.cfg.MaxInFlight)}, flights: make(map[*flight]struct{})}
}

// Breaker is the breaker that the calls go through.
func (r *Runner) Breaker() *Breaker { return r.breaker }

// Load is the present load.
func (r *Runner) Load() Load { return r.places.load() }

// Idle returns a channel that is closed as soon as no function that Run has started is running, orphans included.
func (r *Runner) Idle() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	r.landed()
	return idle
}

// landed tells those who wait, if no flight is left. The caller holds the lock.
func (r *Runner) landed() {
	if r.idle != nil && len(r.flights) == 0 {
		close(r.idle)
		r.idle = nil
	}
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
	var limit *TimeoutError
	if !call.Deadline.IsZero() {
		if limit = (&TimeoutError{Name: r.breaker.cfg.Name}); !time.Now().Before(call.Deadline) {
			refuse(limit)
			return
		}
	}
	if !r.places.take() { // before the permit: a full runner is not the dependency's fault
		refuse(ErrSaturated)
		return
	}
	permit, err := r.breaker.Acquire()
	if err != nil {
		r.places.leave()
		refuse(err)
		return
	}
	f := &flight{detachedCall[any]{places: &r.places}, nil}
	f.breaker, f.permit, f.limit, f.watched = r.breaker, permit, limit, call.Watched
	f.caller, f.cancel = context.WithCancelCause(parent)
	release := func() {}
	if limit != nil {
		f.caller, release = context.WithDeadlineCause(f.caller, call.Deadline, limit)
	}
	f.deliver = func(value any, err error) { answer(&Result{ID: call.ID, Value: value, Err: err}) }
	f.fn = func(ctx context.Context) (any, error) {
		defer context.AfterFunc(f.caller, f.giveUp)()
		return call.Fn(ctx)
	}
	f.over = func() {
		release()
		f.cancel(nil)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.flights, f)
		r.landed()
	}
	r.mu.Lock()
	r.flights[f] = struct{}{}
	r.mu.Unlock()
	f.start()
}

// flight is a call of a runner.
type flight struct {
	detachedCall[any]
	cancel context.CancelCauseFunc // of its caller's context, as the call sees it
}

// Stop answers every call that Run has started with ErrStopped, without a verdict, and cancels its context; what its
// function returns is dropped. The runner can be used again afterwards.
func (r *Runner) Stop() {
	r.mu.Lock()
	flights := slices.Collect(maps.Keys(r.flights))
	r.mu.Unlock()
	for _, f := range flights {
		if f.claim(0) {
			f.record(Ignore, ErrStopped)
			f.cancel(ErrStopped) // before the answer: a caller that has it may end the context for reasons of its own
			f.orphan(ErrStopped)
		}
	}
}
