package breaker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// timedCall is a call with a time limit, and the context that its function gets. Most functions never wait for the end of
// their context, so what it takes to wait is made only for those that do: a signal, which the operation timeout sends, the
// caller's context or the function's return, whichever is first.
type timedCall struct {
	caller   context.Context
	breaker  *Breaker
	permit   Permit
	deadline time.Duration // age of the breaker at the operation timeout; 0 if the call is not on the list
	timer    *time.Timer   // at the caller's deadline, if that is earlier
	limit    *TimeoutError // the cause with which the caller's context ends at a deadline of the call's own; nil if it has none
	watched  bool          // somebody else sees to it that the call ends
	free     func()        // called once the verdict is recorded for a function that still runs; may be nil

	previous, next *timedCall // under deadlines.mu

	state     atomic.Uint32 // of the bits below
	recording sync.Mutex    // held while a timer records, so that a function that returns meanwhile waits for it
	recorded  bool          // the function's goroutine has recorded the verdict. Its own
	signal    atomic.Pointer[signal]
}

const (
	isClaimed = 1 << iota // somebody records the verdict, or has
	isLate                // it was the operation timeout
	isOver                // the function has returned
)

// begin starts the clock.
func (c *timedCall) begin() {
	limit := c.breaker.cfg.OperationTimeout
	if at, ok := c.caller.Deadline(); ok {
		if left := time.Until(at); left < limit {
			c.timer = time.AfterFunc(left, c.callerIsLate)
			return
		}
	}
	c.deadline = c.breaker.age() + limit
	c.breaker.deadlines.add(c)
}

// claim says whether the caller of this is the first, and has to record the verdict.
func (c *timedCall) claim(as uint32) bool {
	return c.state.Or(isClaimed|as)&isClaimed == 0
}

// returned stops the clock when the function is done, and claims the call. If it is too late for that, the verdict is
// recorded when it returns.
func (c *timedCall) returned() (mine bool) {
	if c.deadline != 0 {
		c.breaker.deadlines.remove(c)
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	mine = c.claim(isOver)
	if s := c.signal.Load(); s != nil {
		s.send(functionReturned)
	}
	if !mine {
		waitFor(&c.recording)
	}
	return mine
}

// finish records the verdict of a function that returned, and says what its caller is told: if it came too late, that.
func (c *timedCall) finish(err error) (late, mine bool, told error) {
	mine = c.returned()
	timeout := c.timeout()
	stall := stalled(c.caller, c.watched)
	if stall != nil && err != nil {
		err = stall
	}
	switch {
	case mine && timeout != nil:
		c.recordTimeout(timeout)
	case mine && err != nil && stall != nil:
		c.record(Failure, err)
	case mine:
		c.record(c.breaker.verdict(err, c.caller.Err() == context.Canceled), err)
	}
	c.recorded = true
	if timeout != nil {
		return true, mine, timeout
	}
	return false, mine, err
}

// timeout is the error of a call that is too late, by the operation timeout or by a deadline of its own; else nil.
func (c *timedCall) timeout() *TimeoutError {
	switch {
	case c.state.Load()&isLate != 0:
		return c.breaker.errTimeout
	case c.limit != nil && context.Cause(c.caller) == error(c.limit):
		return c.limit
	default:
		return nil
	}
}

// abort records the verdict of a function, or classifier, that left by a panic or runtime.Goexit.
func (c *timedCall) abort(cause error) (mine bool) {
	if c.recorded {
		return false
	}
	mine = c.state.Load()&isOver != 0 || c.returned()
	if mine {
		c.record(Failure, cause)
	}
	return mine
}

func (c *timedCall) record(v Verdict, cause error) { c.permit.settle(v, cause) }

func (c *timedCall) recordTimeout(err *TimeoutError) {
	c.breaker.counters.timedOut.Add(1)
	c.record(Failure, err)
}

// expire is the operation timeout, on a timer's goroutine.
func (c *timedCall) expire() {
	c.recording.Lock()
	defer c.recording.Unlock()
	if !c.claim(0) {
		return
	}
	c.state.Or(isLate)
	c.recordTimeout(c.breaker.errTimeout)
	if s := c.signal.Load(); s != nil {
		s.send(timeIsOver)
	}
	if c.free != nil {
		c.free()
	}
}

// callerIsLate is the caller's deadline, on a timer's goroutine. What is to be ignored waits for the function's return:
// until then its slot is in use.
func (c *timedCall) callerIsLate() {
	if c.caller.Err() == context.Canceled {
		return
	}
	v := c.breaker.verdict(context.DeadlineExceeded, false)
	c.recording.Lock()
	defer c.recording.Unlock()
	if v != Ignore && c.claim(0) {
		c.record(v, context.DeadlineExceeded)
	}
}

// Deadline is the earlier of the caller's and the operation timeout's.
func (c *timedCall) Deadline() (time.Time, bool) {
	at, ok := c.caller.Deadline()
	if c.deadline != 0 {
		if own := c.breaker.born.Add(c.deadline); !ok || own.Before(at) {
			return own, true
		}
	}
	return at, ok
}

// Done makes what it takes to wait.
func (c *timedCall) Done() <-chan struct{} { return c.signalled().done }

// Err agrees with Done and context.Cause.
func (c *timedCall) Err() error {
	if s := c.signal.Load(); s == nil && c.reason() == nothing {
		return nil
	}
	s := c.signalled()
	if r := c.reason(); r != nothing {
		s.send(r) // perhaps before the caller's context came to it
	}
	switch reason(s.sent.Load()) {
	case nothing:
		return nil
	case timeIsOver:
		return context.DeadlineExceeded
	case callerEnded:
		return c.caller.Err()
	default:
		return context.Canceled
	}
}

// Value also answers for the package context, which asks by a key of its own for the cause.
func (c *timedCall) Value(key any) any {
	switch key {
	case admissionKey{}:
		return c.permit.admission()
	case callKey{}:
		return c
	}
	if s := c.signal.Load(); s != nil && reason(s.sent.Load()) == timeIsOver {
		if v := c.breaker.late.Value(key); v != nil {
			return v
		}
	}
	return c.caller.Value(key)
}

// AfterFunc is used by the package context: what is derived from this context needs no goroutine to wait for it.
func (c *timedCall) AfterFunc(f func()) (stop func() bool) {
	return c.signalled().then(f)
}

// reason is why the context is over, by now.
func (c *timedCall) reason() reason {
	state := c.state.Load()
	switch {
	case state&isLate != 0:
		return timeIsOver
	case c.caller.Err() != nil:
		return callerEnded
	case state&isOver != 0:
		return functionReturned
	default:
		return nothing
	}
}

func (c *timedCall) signalled() *signal {
	if s := c.signal.Load(); s != nil {
		return s
	}
	s := &signal{done: make(chan struct{})}
	if !c.signal.CompareAndSwap(nil, s) {
		return c.signal.Load()
	}
	if r := c.reason(); r != nothing {
		s.send(r)
	} else if c.caller.Done() != nil {
		s.heed(c.caller)
	}
	return s
}

// reason why a context is over.
type reason uint32

const (
	nothing reason = iota
	timeIsOver
	callerEnded
	functionReturned
)

// signal tells once that a context is over: it closes done and calls what waits.
type signal struct {
	done chan struct{}
	sent atomic.Uint32 // a reason. Written under mu

	mu     sync.Mutex // guards what follows
	unheed func() bool
	calls  map[*func()]struct{}
}

// send is for the first who has a reason.
func (s *signal) send(r reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent.Load() != uint32(nothing) {
		return
	}
	s.sent.Store(uint32(r))
	close(s.done)
	if s.unheed != nil {
		s.unheed()
	}
	for f := range s.calls {
		go (*f)()
	}
	s.calls = nil
}

// heed sends the signal when the caller's context ends.
func (s *signal) heed(caller context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent.Load() == uint32(nothing) {
		s.unheed = context.AfterFunc(caller, func() { s.send(callerEnded) })
	}
}

// then calls f on a goroutine of its own when the signal is sent. stop says whether it prevented that.
func (s *signal) then(f func()) (stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent.Load() != uint32(nothing) {
		go f()
		return func() bool { return false }
	}
	if s.calls == nil {
		s.calls = make(map[*func()]struct{})
	}
	s.calls[&f] = struct{}{}
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		_, waits := s.calls[&f]
		delete(s.calls, &f)
		return waits
	}
}
