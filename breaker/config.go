package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// NoTimeout as Config.OperationTimeout lets a call take as long as its caller's context does.
const NoTimeout time.Duration = -1

// Defaults of a Config, and the bounds that New checks.
const (
	DefaultFailureThreshold = 5
	DefaultResetTimeout     = 30 * time.Second
	DefaultHalfOpenMaxCalls = 3
	DefaultSuccessThreshold = 2
	DefaultOperationTimeout = 10 * time.Second
	DefaultMaxInFlight      = 256

	maxThreshold    = 1_000_000
	maxHalfOpen     = 1_000
	maxInFlight     = 1_000_000
	maxDuration     = 30 * 24 * time.Hour
	maxTripMultiple = 10
)

// Config describes a breaker. Its zero value is a working configuration: every zero field means its default.
type Config struct {
	// Name appears in errors, snapshots and transitions. Default "breaker".
	Name string

	// FailureThreshold is how many failures in a row open the breaker: the fifth with the default of 5. A success in
	// between starts the count again. At most 1,000,000. With a Window the default is none: give both, and either opens.
	FailureThreshold uint32

	// Window, if given, opens the breaker by the share of failed or slow calls.
	Window *Window

	// ResetTimeout is how long the breaker stays open. Default 30 s, at most 30 days, as all durations here.
	ResetTimeout time.Duration

	// Backoff lets ResetTimeout grow from one failed probe to the next, and scatters it. Default off.
	Backoff Backoff

	// HalfOpenMaxCalls is how many probes may be in flight at once while half-open. Default 3, at most 1,000.
	HalfOpenMaxCalls uint32

	// SuccessThreshold is how many successful probes close the breaker. Default 2, at most 1,000,000. It may be larger
	// than HalfOpenMaxCalls: a probe that is done makes room for the next.
	SuccessThreshold uint32

	// OperationTimeout bounds each call that runs through Do, DoDetached, a Transport or the breaker actor: its context ends then, and the call
	// counts as a failure. Default 10 s; NoTimeout is none.
	OperationTimeout time.Duration

	// HalfOpenLease is how long a probe may hold its slot. A probe that is not done by then counts as a failure: without
	// it, probes that never return would keep the breaker half-open for ever. Default OperationTimeout, or ResetTimeout
	// if there is none.
	HalfOpenLease time.Duration

	// MaxTrip bounds the time that TripFor may keep the breaker open. Default ten times ResetTimeout.
	MaxTrip time.Duration

	// Classify turns the error of a call into a verdict; without it every error is a Failure. It is not asked about nil
	// (Success), an own timeout (Failure), the cancellation of the caller's context and the rejections of breakers
	// (Ignore). A caller's own context.DeadlineExceeded does reach it: a dependency that hangs under short caller
	// deadlines is failing, unless Classify says Ignore. It runs on the caller's goroutine, must be quick and must not
	// depend on the breaker's state; if it panics the verdict is Failure and OnPanic hears of it.
	Classify func(error) Verdict

	// Probe, if given, is called as soon as the breaker is half-open, so that it finds out by itself whether the dependency
	// is back, even if no call comes because whoever routes calls avoids an open breaker. It takes half-open slots like any
	// call, up to SuccessThreshold times in a row, on a goroutine of its own; its context ends with the half-open period.
	Probe func(context.Context) error

	// OnTransition hears of every transition, like an observer added first (see Breaker.Observe).
	OnTransition func(Transition)

	// OnPanic hears of panics in Classify and in observers, and of those in calls that nobody waits for any more, on the
	// goroutine where they happened. What it panics with itself is dropped.
	OnPanic func(*PanicError)

	// MaxInFlight bounds the calls that run on goroutines of their own, functions that outlived their call (orphans)
	// included: those of DoDetached together, and those of each Runner, and so breaker actor. Default 256, at most
	// 1,000,000. It does not concern Do.
	MaxInFlight int
}

// withDefaults returns the configuration with every zero field replaced.
func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "breaker"
	}
	if c.Window == nil {
		setDefault(&c.FailureThreshold, DefaultFailureThreshold)
	} else {
		w := c.Window.withDefaults()
		c.Window = &w
	}
	setDefault(&c.ResetTimeout, DefaultResetTimeout)
	if c.Backoff.Factor > 1 {
		setDefault(&c.Backoff.Max, min(maxResetMultiple*c.ResetTimeout, maxDuration))
	}
	setDefault(&c.HalfOpenMaxCalls, DefaultHalfOpenMaxCalls)
	setDefault(&c.SuccessThreshold, DefaultSuccessThreshold)
	setDefault(&c.OperationTimeout, DefaultOperationTimeout)
	setDefault(&c.MaxInFlight, DefaultMaxInFlight)
	setDefault(&c.MaxTrip, min(maxTripMultiple*c.ResetTimeout, maxDuration))
	if c.OperationTimeout == NoTimeout {
		setDefault(&c.HalfOpenLease, c.ResetTimeout)
	} else {
		setDefault(&c.HalfOpenLease, c.OperationTimeout)
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports every fault of the configuration at once, each with its field and bound, and nil if there is none.
// New calls it; a supervisor that checks a whole tree may call it before.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	duration := func(field string, d time.Duration) {
		if d < 0 || d > maxDuration {
			fault("%s is %v: must be between 0 (default) and %v", field, d, maxDuration)
		}
	}
	count := func(field string, n, limit uint32) {
		if n > limit {
			fault("%s is %d: must be at most %d", field, n, limit)
		}
	}
	count("FailureThreshold", c.FailureThreshold, maxThreshold)
	if c.Window != nil {
		c.Window.validate(fault)
	}
	duration("ResetTimeout", c.ResetTimeout)
	c.Backoff.validate(c.withDefaults().ResetTimeout, fault)
	count("HalfOpenMaxCalls", c.HalfOpenMaxCalls, maxHalfOpen)
	count("SuccessThreshold", c.SuccessThreshold, maxThreshold)
	if c.OperationTimeout != NoTimeout {
		duration("OperationTimeout", c.OperationTimeout)
	}
	duration("HalfOpenLease", c.HalfOpenLease)
	duration("MaxTrip", c.MaxTrip)
	if c.MaxInFlight < 0 || c.MaxInFlight > maxInFlight {
		fault("MaxInFlight is %d: must be between 0 (default) and %d", c.MaxInFlight, maxInFlight)
	}
	return invalid("breaker", c.Name, faults)
}

// invalid puts faults together in one error, nil if there are none.
func invalid(kind, name string, faults []error) error {
	err := errors.Join(faults...)
	switch {
	case err == nil:
		return nil
	case name == "":
		return fmt.Errorf("%s: invalid config: %w", kind, err)
	default:
		return fmt.Errorf("%s %q: invalid config: %w", kind, name, err)
	}
}
