package routing

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// TypeOptions are what holds for the tasks of one type, instead of what the hub's [Options] say. Options of a submit go before both.
// Zero values leave it at what the hub says.
type TypeOptions struct {
	// Capacity limits the unsettled tasks of the type, below that of the hub. Default 0, no limit of its own.
	Capacity int
	// QuarantineAfter replaces [Options.QuarantineAfter], MaxAttempts [Options.MaxAttempts], RetryBackoff [Options.RetryBackoff].
	QuarantineAfter int
	MaxAttempts     int
	RetryBackoff    Backoff
	// AttemptTimeout replaces [Options.AttemptTimeout]; negative is no limit.
	AttemptTimeout time.Duration
	// Lifetime gives each task without a [Deadline] one, so long after its submit. Default 0, none. [Hub.RequeueUntil]
	// gives one that comes out of quarantine late another.
	Lifetime time.Duration
}

// policy is what a lane knows of its type: TypeOptions with what the hub says filled in.
type policy struct {
	capacity        int
	quarantineAfter int
	maxAttempts     uint16
	timeout         int64 // of an attempt, in nanoseconds; 0 is none
	lifetime        time.Duration
	backoff         Backoff
}

// policyOf returns what holds for a type, given options that are without fault.
func (o *Options) policyOf(name string) policy {
	t := o.Types[name]
	p := policy{
		capacity:        t.Capacity,
		quarantineAfter: o.QuarantineAfter,
		maxAttempts:     uint16(o.MaxAttempts),
		timeout:         int64(o.AttemptTimeout),
		lifetime:        min(t.Lifetime, forever),
		backoff:         o.RetryBackoff,
	}
	if t.QuarantineAfter > 0 {
		p.quarantineAfter = t.QuarantineAfter
	}
	if t.MaxAttempts > 0 {
		p.maxAttempts = uint16(t.MaxAttempts)
	}
	if t.AttemptTimeout != 0 {
		p.timeout = int64(min(max(t.AttemptTimeout, 0), forever))
	}
	if t.RetryBackoff != (Backoff{}) {
		p.backoff = t.RetryBackoff.withDefaults()
	}
	return p
}

// typeFaults reports all that is wrong with the options of single types.
func (o *Options) typeFaults() error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(o.Types)) {
		t := o.Types[name]
		fault := func(field, format string, args ...any) {
			faults = append(faults, fmt.Errorf("field Options.Types[%q]%s %s", name, field, fmt.Sprintf(format, args...)))
		}
		within := func(field string, value, high int) {
			if value < 0 || value > high {
				fault(field, "is %d: it must be 0 to %d", value, high)
			}
		}
		if err := validName("task type", name); err != nil {
			fault("", "is for a bad name: %v", err)
		}
		within(".Capacity", t.Capacity, math.MaxInt32)
		within(".QuarantineAfter", t.QuarantineAfter, maxTries)
		within(".MaxAttempts", t.MaxAttempts, maxTries)
		if t.Lifetime < 0 {
			fault(".Lifetime", "is %v: it must not be negative", t.Lifetime)
		}
		if t.RetryBackoff != (Backoff{}) {
			if err := t.RetryBackoff.withDefaults().faults(); err != nil {
				fault(".RetryBackoff", "is not possible: %v", err)
			}
		}
	}
	return errors.Join(faults...)
}
