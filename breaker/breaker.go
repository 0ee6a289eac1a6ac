package breaker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// nearEnd is how long before the end of an open period refusals start to look at the clock, so that the first call at
// the very end is admitted even if it overtakes the timer.
const nearEnd = 5 * time.Millisecond

// Breaker is a circuit breaker. All its methods may be called from any goroutine, callbacks included.
// It needs no Close to be collected: an abandoned open breaker is held by its timer for the open time at most.
type Breaker struct {
	// Read by every call, hardly ever written.
	cfg        Config
	timed      bool // there is an operation timeout
	measured   bool // there are slow calls
	born       time.Time
	errTimeout *TimeoutError
	late       context.Context        // one that errTimeout ended
	current    atomic.Pointer[period] // replaced under mu only

	_         cacheLine
	counters  counters
	deadlines deadlines // of timed calls
	detached  places    // of DoDetached

	mu        sync.Mutex // guards what follows, every change of current, and the probes of the current period
	observers map[*observer]struct{}
	timer     *time.Timer // ends an open period, or the oldest lease; nil when there is neither
}

// New makes a closed breaker. The error names every fault of the configuration.
func New(cfg Config) (*Breaker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	b := &Breaker{
		cfg:        cfg,
		timed:      cfg.OperationTimeout != NoTimeout,
		measured:   cfg.Window != nil && cfg.Window.SlowCall > 0,
		born:       time.Now(),
		errTimeout: &TimeoutError{Name: cfg.Name, Limit: cfg.OperationTimeout},
		observers:  make(map[*observer]struct{}),
	}
	if b.timed {
		late, end := context.WithCancelCause(context.Background())
		end(b.errTimeout)
		b.late = late
	}
	b.detached.limit = int64(cfg.MaxInFlight)
	b.current.Store(b.newPeriod(Closed, 0, b.born))
	if cfg.OnTransition != nil {
		b.Observe(cfg.OnTransition)
	}
	return b, nil
}

// Name is Config.Name.
func (b *Breaker) Name() string { return b.cfg.Name }

// Config is the configuration in force, defaults filled in.
func (b *Breaker) Config() Config {
	cfg := b.cfg
	if cfg.Window != nil {
		w := *cfg.Window
		cfg.Window = &w
	}
	return cfg
}

// State is the present state.
func (b *Breaker) State() State { return b.period().state }

// age is the time since New, by the monotonic clock: half the price of time.Now.
func (b *Breaker) age() time.Duration { return time.Since(b.born) }

// Acquire asks to make a call. The permit must be done exactly once, whatever happens to the call; [Do] sees to that.
// The error is an *OpenError, or ErrStopped after Close. The call that finds the reset timeout over makes the breaker
// half-open and takes the first slot.
func (b *Breaker) Acquire() (Permit, error) {
	p := b.current.Load()
	if p.plain {
		return Permit{period: p}, nil
	}
	return b.acquire(p)
}

func (b *Breaker) acquire(p *period) (Permit, error) {
	switch p.state {
	case Closed, Disabled:
		return b.permit(p, nil), nil
	case Open:
		if p.ended() {
			break
		}
		fallthrough
	case ForcedOpen, Stopped:
		b.counters.stripe().rejected.Add(1)
		return Permit{}, p.reject
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p = b.current.Load()
	if p.state == Open && p.ended() {
		p = b.move(p, step{to: HalfOpen})
	}
	switch p.state {
	case Closed, Disabled:
		return b.permit(p, nil), nil
	case HalfOpen:
		if pr := p.take(&b.cfg, time.Now()); pr != nil {
			if len(p.probes) == 1 {
				b.arm(p, b.cfg.HalfOpenLease)
			}
			return b.permit(p, pr), nil
		}
	}
	b.counters.stripe().rejected.Add(1)
	return Permit{}, p.reject
}

func (b *Breaker) permit(p *period, pr *probe) Permit {
	permit := Permit{period: p, probe: pr}
	if b.measured {
		permit.start = b.age()
	}
	return permit
}

// refusal is what Acquire would say now, nil if it would give a permit, without taking one.
func (b *Breaker) refusal() error {
	p := b.period()
	switch p.state {
	case Closed, Disabled:
		return nil
	case HalfOpen:
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(p.probes) < int(b.cfg.HalfOpenMaxCalls) {
			return nil
		}
	}
	b.counters.stripe().rejected.Add(1)
	return p.reject
}

// Permit is the leave to make one call. The zero Permit is done already.
type Permit struct {
	period *period
	probe  *probe        // in half-open
	start  time.Duration // age of the breaker then, if it measures calls
}

// Done gives the verdict of the call. A half-open permit is done once, by whoever comes first; a closed one must not be
// done twice, for its second verdict would count as another call's.
func (p Permit) Done(v Verdict) {
	p.settle(v, nil)
}

// DoneErr gives the verdict that the breaker's classification makes of the call's error (nil is a Success). The error
// becomes the LastErr of the breaker if it opens it. An error that is a context.Canceled is the caller's, and ignored.
func (p Permit) DoneErr(err error) {
	if p.period != nil {
		p.settle(p.period.breaker.verdict(err, true), err)
	}
}

// settle records a verdict: in the totals always, in the state if the permit's period is still the present one.
func (p Permit) settle(v Verdict, cause error) {
	period := p.period
	if period == nil || p.probe != nil && p.probe.done.Swap(true) {
		return
	}
	b := period.breaker
	b.counters.count(v)
	if period.plain && period.window == nil && v == Failure && period.count(b.cfg.FailureThreshold) {
		return
	}
	var now time.Duration
	if period.window != nil || b.measured {
		now = b.age()
	}
	isSlow := b.measured && now-p.start >= b.cfg.Window.SlowCall
	switch period.state {
	case Closed:
		if follows := period.tally(&b.cfg, v, isSlow, now); follows != stays {
			b.open(period, follows, v, cause)
		}
	case HalfOpen:
		b.settleProbe(p, v, isSlow, cause)
	}
}

func (b *Breaker) settleProbe(p Permit, v Verdict, isSlow bool, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current.Load() != p.period {
		return
	}
	p.period.free(p.probe)
	if next := p.period.judge(&b.cfg, v, isSlow, cause); next.to != HalfOpen {
		b.move(p.period, next)
	}
}

// renew starts the lease of a half-open permit again, for a call that shows that it makes progress.
func (p Permit) renew() {
	if p.probe == nil || p.probe.done.Load() {
		return
	}
	b := p.period.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current.Load() == p.period {
		p.period.renew(&b.cfg, p.probe, time.Now())
	}
}

// Close stops the breaker for good: its timer ends, calls are refused with ErrStopped, results of calls in flight change
// nothing, and observers hear of this last transition. It may be called more than once.
func (b *Breaker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.current.Load(); p.state != Stopped {
		b.move(p, step{to: Stopped})
	}
}

// period is the present period, after the end of an open one has been seen to.
func (b *Breaker) period() *period {
	p := b.current.Load()
	if p.state != Open || !p.ended() {
		return p
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if p = b.current.Load(); p.state == Open && p.ended() {
		p = b.move(p, step{to: HalfOpen})
	}
	return p
}

// open opens the breaker after a verdict in a closed period, unless the period is over by now or a success has come
// before its last straw.
func (b *Breaker) open(from *period, follows change, v Verdict, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current.Load() != from || follows == lastStraw && !from.seal(b.cfg.FailureThreshold) {
		return
	}
	b.move(from, step{to: Open, trip: openTime(&b.cfg, v, 0), cause: cause})
}

func (b *Breaker) newPeriod(s State, gen uint64, since time.Time) *period {
	p := &period{breaker: b, state: s, gen: gen, since: since}
	if s == Closed {
		p.window = newWindow(b.cfg.Window)
		p.plain = !b.measured
	}
	return p
}

// move is the only place where a period ends and the next begins. The caller holds mu and has checked that old is the
// current period.
func (b *Breaker) move(old *period, s step) *period {
	now := time.Now()
	p := b.newPeriod(s.to, old.gen+1, now)
	b.disarm()
	if old.endProbe != nil {
		old.endProbe()
	}
	switch s.to {
	case Closed:
		b.counters.closed.Add(1)
	case Open:
		b.counters.opened.Add(1)
		p.reopened, p.cause, p.until = s.reopened, s.cause, now.Add(s.trip)
		p.reject = &OpenError{Name: b.cfg.Name, State: Open, Gen: p.gen, Until: p.until, LastErr: p.cause}
		lead := min(nearEnd, s.trip/2)
		b.arm(p, s.trip-lead)
	case HalfOpen:
		p.reopened, p.cause = old.reopened, old.cause
		p.reject = &OpenError{Name: b.cfg.Name, State: HalfOpen, Gen: p.gen, LastErr: p.cause,
			hint: min(b.cfg.ResetTimeout/10, b.cfg.HalfOpenLease)}
	case ForcedOpen:
		p.reject = &OpenError{Name: b.cfg.Name, State: ForcedOpen, Gen: p.gen, hint: b.cfg.ResetTimeout}
	case Stopped:
		p.reject = ErrStopped
	}
	b.current.Store(p)

	t := Transition{Name: b.cfg.Name, From: old.state, To: s.to, Gen: p.gen, At: now, OpenFor: s.trip, Cause: s.cause,
		Totals: b.counters.totals()}
	for o := range b.observers {
		o.post(t)
	}
	if s.to == HalfOpen && b.cfg.Probe != nil {
		var ctx context.Context
		ctx, p.endProbe = context.WithCancel(context.Background())
		go b.probe(ctx, p)
	}
	return p
}

// arm sets the timer for the period; disarm stops it. The caller holds mu.
func (b *Breaker) arm(p *period, d time.Duration) {
	b.disarm()
	b.timer = time.AfterFunc(d, func() { b.tick(p) })
}

func (b *Breaker) disarm() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

// tick is the timer's call, on a goroutine of the runtime: the period may be over by now.
func (b *Breaker) tick(p *period) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current.Load() != p {
		return
	}
	now := time.Now()
	switch p.state {
	case Open:
		p.near.Store(true)
		if left := p.until.Sub(now); left > 0 {
			b.arm(p, left)
			return
		}
		b.move(p, step{to: HalfOpen})
	case HalfOpen:
		if next := p.overdue(&b.cfg, now); next.to != p.state {
			b.move(p, next)
		} else if len(p.probes) > 0 {
			b.arm(p, p.probes[0].lease.Sub(now))
		}
	}
}

// report counts a callback's panic and passes it on.
func (b *Breaker) report(err *PanicError) {
	b.counters.panics.Add(1)
	if b.cfg.OnPanic != nil {
		defer func() { _ = recover() }()
		b.cfg.OnPanic(err)
	}
}
