package breaker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// timedCall is a call with a time limit, and the context that its function gets. Most functions never wait for the end of
// their context, so one of the standard library is made only for those that do.
//
// Several may want to record the verdict: the return of the function, the operation timeout, the end of the caller's
// context. Whoever claims the call first does.
type timedCall struct {
	caller   context.Context
	breaker  *Breaker
	permit   Permit
	deadline time.Duration // age of the breaker at the operation timeout; 0 if the call is not on the list
	timer    *time.Timer   // at the caller's deadline, if that is earlier
	free     func()        // called once the verdict is recorded for a function that still runs; may be nil

	previous, next *timedCall // under deadlines.mu

	state     atomic.Uint32 // of the bits below
	recording sync.Mutex    // held while a timer records, so that a function that returns meanwhile waits for it
	recorded  bool          // the function's goroutine has recorded the verdict. Its own
	standard  atomic.Pointer[standardContext]
}

const (
	isClaimed = 1 << iota // somebody records the verdict, or has
	isLate                // it was the operation timeout
	isOver                // the function has returned
)

// standardContext does the waiting for a timedCall.
type standardContext struct {
	context.Context
	cancel context.CancelFunc
}

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
	if std := c.standard.Load(); std != nil {
		if mine && context.Cause(std) == error(c.breaker.errTimeout) {
			c.state.Or(isLate) // its timer was quicker than the list's
		}
		std.cancel()
	}
	if !mine {
		c.recording.Lock()
		c.recording.Unlock() //nolint:staticcheck // waited for, not guarded
	}
	return mine
}

// finish records the verdict of a function that returned, and says what its caller is told.
func (c *timedCall) finish(err error) (told error, mine bool) {
	b := c.breaker
	mine = c.returned()
	late := c.state.Load()&isLate != 0
	switch {
	case mine && late:
		c.recordTimeout()
	case mine:
		c.record(b.verdict(err, c.caller.Err() == context.Canceled), err)
	}
	c.recorded = true
	if late {
		return b.errTimeout, mine
	}
	return err, mine
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

func (c *timedCall) recordTimeout() {
	c.breaker.counters.timedOut.Add(1)
	c.record(Failure, c.breaker.errTimeout)
}

// expire is the operation timeout, on a timer's goroutine.
func (c *timedCall) expire() {
	c.recording.Lock()
	defer c.recording.Unlock()
	if !c.claim(0) {
		return
	}
	c.state.Or(isLate)
	c.recordTimeout()
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
	if c.deadline == 0 {
		return c.caller.Deadline()
	}
	return c.breaker.born.Add(c.deadline), true
}

// Done makes the standard context.
func (c *timedCall) Done() <-chan struct{} { return c.wait().Done() }

// Err makes the standard context when there is something to tell, so that it and context.Cause always agree.
func (c *timedCall) Err() error {
	if std := c.standard.Load(); std != nil {
		return std.Err()
	}
	if c.state.Load()&(isLate|isOver) == 0 && c.caller.Err() == nil {
		return nil
	}
	return c.wait().Err()
}

// Value also answers for the package context, which finds out by a key of its own what it can attach children to.
func (c *timedCall) Value(key any) any {
	if key == (admissionKey{}) {
		return c.permit.admission()
	}
	if std := c.standard.Load(); std != nil {
		return std.Value(key)
	}
	return c.caller.Value(key)
}

func (c *timedCall) wait() *standardContext {
	if std := c.standard.Load(); std != nil {
		return std
	}
	std := &standardContext{}
	if c.deadline != 0 {
		at, _ := c.Deadline()
		std.Context, std.cancel = context.WithDeadlineCause(c.caller, at, c.breaker.errTimeout)
	} else {
		std.Context, std.cancel = context.WithCancel(c.caller)
	}
	if !c.standard.CompareAndSwap(nil, std) {
		std.cancel()
		return c.standard.Load()
	}
	if c.state.Load()&isOver != 0 {
		std.cancel()
	}
	return std
}
