package detector

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of a ClockConfig.
const (
	DefaultTick   = 5 * time.Millisecond
	DefaultMaxLag = 30 * time.Second
)

// ClockConfig describes a monitor clock. Its zero value is a working configuration.
type ClockConfig struct {
	// Tick is how often the clock moves: its resolution. Default 5 ms, at least 100 µs, at most 10 s.
	Tick time.Duration

	// MaxStep is how far it moves at a tick at most; what a tick is later than that isn't counted. Smaller protects better, and
	// makes the clock run slower on a machine that is starved. Default 5 ticks; at least 1 tick.
	MaxStep time.Duration

	// MaxLag is the hard ceiling: once so much time has been left out, the clock runs as fast as real time. The allowance refills with
	// a tenth of the time that passes. So in any real time T the clock moves by at least 0.9·T - MaxLag, less one stall: starvation
	// that lasts can hide a crash for so long, and no longer. A single stall that is longer than MaxLag, as when the machine
	// was asleep, is left out whole, and costs the allowance twice. Default 30 s, at most 24 h.
	MaxLag time.Duration

	// OnDemand lets the clock stand still while nobody holds it, see Hold: nothing wakes up then.
	OnDemand bool
}

func (c ClockConfig) withDefaults() ClockConfig {
	if c.Tick == 0 {
		c.Tick = DefaultTick
	}
	if c.MaxStep == 0 {
		c.MaxStep = 5 * c.Tick
	}
	if c.MaxLag == 0 {
		c.MaxLag = DefaultMaxLag
	}
	return c
}

// Validate reports every fault at once, each with its field and bound, and nil if there is none.
func (c ClockConfig) Validate() error {
	faults := []error{checkDuration("MaxLag", c.MaxLag)}
	if c.Tick != 0 && (c.Tick < 100*time.Microsecond || c.Tick > 10*time.Second) {
		faults = append(faults, fmt.Errorf("Tick is %v: must be 0 (default), or between 100µs and 10s", c.Tick))
	}
	if d := c.withDefaults(); c.MaxStep != 0 && (c.MaxStep < d.Tick || c.MaxStep > maxDuration) {
		faults = append(faults, fmt.Errorf("MaxStep is %v: must be 0 (default), or between Tick, %v, and %v", c.MaxStep, d.Tick, maxDuration))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("detector: invalid clock config: %w", err)
	}
	return nil
}

// Clock is the clock to judge by. A process that doesn't get the processor, is suspended or collects garbage can't hear
// heartbeats either; its silence is no evidence against others. So this clock leaves out what it has missed itself: it moves at
// every tick of a timer, by the time since the last tick or MaxStep, whichever is less. Now is a single load.
//
// Start runs it on a goroutine; or call Tick yourself. All methods may be called from any goroutine.
type Clock struct {
	now atomic.Int64
	_   [56]byte // what follows changes at every tick, too, but nobody reads it meanwhile
	cfg ClockConfig

	mu      sync.Mutex // guards what follows
	state   clockState
	holders int
	parked  bool          // the goroutine waits for wake
	wake    chan struct{} // has room for one
	stop    chan struct{} // closed by Stop; nil while not started
	done    chan struct{} // closed when the goroutine has ended
}

// NewClock makes a clock that stands at 0. The error names every fault of the configuration.
func NewClock(cfg ClockConfig) (*Clock, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Clock{cfg: cfg.withDefaults()}, nil
}

// Config is the configuration in force, defaults filled in.
func (c *Clock) Config() ClockConfig { return c.cfg }

// Now is the reading at the last tick. It never goes back.
func (c *Clock) Now() time.Duration { return time.Duration(c.now.Load()) }

// Lag is how much time has been left out and isn't forgiven yet: 0 if all is well, at most twice MaxLag. From MaxLag on, nothing more
// is left out.
func (c *Clock) Lag() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.lag
}

// Tick moves the clock, given the reading of a real one. It's for those who drive the clock by hand.
func (c *Clock) Tick(real time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = c.state.tick(real, c.cfg)
	c.now.Store(int64(c.state.now))
}

// Skip leaves out the time up to a reading of the real one: nobody wanted to know it. It's for those who drive the clock by hand, and do so only while
// they watch something.
func (c *Clock) Skip(real time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.real = max(c.state.real, real)
	c.state.lag = 0
}

// Start runs the clock until Stop. Starting a clock that runs does nothing. Time that has passed while it was stopped is left out.
func (c *Clock) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stop != nil {
		return
	}
	c.wake, c.stop, c.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	c.parked = false
	c.state.lag = 0
	go c.run(time.Now().Add(-c.state.real), c.wake, c.stop, c.done)
}

// Stop stops the clock, and returns when its goroutine has ended. The reading stays.
func (c *Clock) Stop() {
	c.mu.Lock()
	stop, done := c.stop, c.done
	c.stop, c.wake = nil, nil
	c.mu.Unlock()
	if stop != nil {
		close(stop)
		<-done
	}
}

// Hold keeps an OnDemand clock going until Release. Holds are counted.
func (c *Clock) Hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holders++
	if c.parked && c.wake != nil {
		c.parked = false
		c.wake <- struct{}{}
	}
}

// Release takes a Hold back.
func (c *Clock) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holders == 0 {
		panic("detector: Clock.Release without Hold")
	}
	c.holders--
}

// run ticks. origin is when the real clock stood at 0.
func (c *Clock) run(origin time.Time, wake, stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	ticker := time.NewTicker(c.cfg.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		c.Tick(time.Since(origin))
		if !c.park() {
			continue
		}
		ticker.Stop()
		select {
		case <-stop:
			return
		case <-wake:
		}
		c.Skip(time.Since(origin))
		ticker.Reset(c.cfg.Tick)
	}
}

// park says whether the goroutine is to wait until somebody holds the clock.
func (c *Clock) park() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked = c.cfg.OnDemand && c.holders == 0
	return c.parked
}

// clockState is a clock at a tick.
type clockState struct {
	real time.Duration // reading of the real clock
	now  time.Duration // reading of this one
	lag  time.Duration // left out, and not forgiven yet
}

// tick is the state at the next tick.
func (s clockState) tick(real time.Duration, cfg ClockConfig) clockState {
	passed := real - s.real
	if passed <= 0 {
		return s
	}
	s.real = real
	s.lag = max(0, s.lag-passed/10)
	step := passed
	if stall := passed - cfg.MaxStep; stall > 0 && s.lag < cfg.MaxLag {
		step = cfg.MaxStep
		s.lag = min(2*cfg.MaxLag, s.lag+stall)
	}
	s.now += step
	return s
}
