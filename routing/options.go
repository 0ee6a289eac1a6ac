package routing

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// maxTries bounds MaxAttempts and QuarantineAfter.
const maxTries = 1000

// Options configures a hub. The zero value has the defaults.
type Options struct {
	// Capacity is how many unsettled tasks the hub holds before it refuses more. Default 65,536.
	Capacity int
	// Types are options of single types of task, by name.
	Types map[string]TypeOptions
	// Balancer chooses among free spokes. Default [LeastLoaded].
	Balancer Balancer
	// QuarantineAfter is how many attempts of a task may crash, hang or time out before it is quarantined, 1 to 1,000. Default 3.
	QuarantineAfter int
	// MaxAttempts is how many attempts of a task may end with an error before it fails, 1 to 1,000. Default 3. See also [MaxAttempts].
	MaxAttempts int
	// RetryBackoff is the delay after an attempt that was charged.
	RetryBackoff Backoff
	// AttemptTimeout limits each attempt, from when its lease is delivered, not counting the time in which its handler awaits other tasks. Default 0, no
	// limit. See also [Timeout].
	AttemptTimeout time.Duration
	// PreferOther is how long a task that is tried again after a charged attempt waits for a spoke other than its last one, while
	// there is one for its type but only the last is free. Default 200 ms; negative is not at all.
	PreferOther time.Duration
	// Results is how many settled tasks are remembered, for Inspect and repeated ids; the oldest are forgotten first (handles keep
	// their outcomes). Default 100,000; negative is none.
	Results int
	// Quarantine is how many quarantined tasks are kept; beyond it the oldest is discarded. Default 1,024.
	Quarantine int
	// Carry takes from each submitter's context what is to stay with its task. Default none. See [Carry].
	Carry Carry
	// Store makes the ledger outlive the process: every change of a task is recorded in it before anybody hears of it, many in a commit. NewHub takes in what
	// it holds: settled tasks are remembered, unsettled ones go on, with their attempts, backoffs and deadlines; an attempt that the process died during is
	// tried again. Close leaves unsettled tasks to the store instead of cancelling them. Default none: tasks live as long as the hub.
	//
	// Inputs and results are encoded as JSON then, and decoded after a restart. An input that can't be encoded, is nested deeper than JSON can be decoded (9,990 levels), or has text that
	// isn't UTF-8, is refused, as are types of interfaces with methods. A result that can't be encoded, or is nested too deep, fails its task. For the rest see to it that
	// what is decoded is the same: unexported fields are lost, results have U+FFFD for bytes that aren't UTF-8, a field that is an interface with methods can't be decoded unless it is nil.
	// An upgrade of the program has to read what the former one wrote: a field with another name is empty in the tasks that wait, without an error, so keep the names, or give what
	// changed another type of task (an UnmarshalJSON of yours may read both).
	//
	// It costs a commit's time before a submit returns, before an attempt begins, and before a handle has its result. Spokes with more than one of [SpokeSpec].Credits
	// share commits.
	Store Store
	// StoreTimeout is how long the store may take for a commit, and in loading until the next record comes. Default 10 s. Beyond it the store has failed: see [StoreError].
	StoreTimeout time.Duration
	// Interruptions is how many attempts of a task in a row the process may die during before it is quarantined, 1 to 1,000. Default 3. Attempts that were given back,
	// as at the end of a process in good order, don't count: they neither are such nor come between. (A death that isn't
	// its fault is charged to it too, but of the tasks that are one short of this, only one of each type is tried at a time, beside those that await something.)
	Interruptions int
	// Snapshots is how many snapshots are kept of agents that aren't joined: see [Spoke.Save]. Beyond it the first snapshot of yet another agent takes the place of that whose agent
	// has been away longest. Those of agents that are joined stay. Default 10,000. See also [Hub.DropSnapshot].
	Snapshots int
	// OnEvent hears of everything that happens, in order, one call at a time, outside of the hub's lock. It runs on the goroutine of
	// whoever caused an event (but the hub's actor), so it must be quick and should not block; it may call the hub. A panic in it is counted and swallowed. If
	// it falls more than 4,096 events behind, the oldest are dropped and counted. See [Counts].
	OnEvent func(Event)
	// Listening says whether OnEvent wants to hear of what happens now; what happens while it says no makes no event. It is called under the
	// hub's lock, must be quick and must not call the hub. Default nil: always.
	Listening func() bool
}

func (o Options) withDefaults() Options {
	if o.Capacity == 0 {
		o.Capacity = 65_536
	}
	if o.Balancer == nil {
		o.Balancer = LeastLoaded()
	}
	if o.QuarantineAfter == 0 {
		o.QuarantineAfter = 3
	}
	if o.MaxAttempts == 0 {
		o.MaxAttempts = 3
	}
	o.RetryBackoff = o.RetryBackoff.withDefaults()
	if o.PreferOther == 0 {
		o.PreferOther = 200 * time.Millisecond
	}
	o.PreferOther = min(max(o.PreferOther, 0), forever)
	o.AttemptTimeout = min(o.AttemptTimeout, forever)
	if o.Results == 0 {
		o.Results = 100_000
	}
	o.Results = max(o.Results, 0)
	if o.Quarantine == 0 {
		o.Quarantine = 1024
	}
	if o.StoreTimeout == 0 {
		o.StoreTimeout = 10 * time.Second
	}
	if o.Interruptions == 0 {
		o.Interruptions = 3
	}
	if o.Snapshots == 0 {
		o.Snapshots = 10_000
	}
	return o
}

// faults reports all that is wrong with options that have their defaults.
func (o Options) faults() error {
	var faults []error
	within := func(field string, value, low, high int) {
		if value < low || value > high {
			faults = append(faults, fmt.Errorf("field Options.%s is %d: it must be %d to %d", field, value, low, high))
		}
	}
	within("Capacity", o.Capacity, 1, math.MaxInt32)
	within("QuarantineAfter", o.QuarantineAfter, 1, maxTries)
	within("MaxAttempts", o.MaxAttempts, 1, maxTries)
	within("Quarantine", o.Quarantine, 1, math.MaxInt32)
	within("Interruptions", o.Interruptions, 1, maxTries)
	within("Snapshots", o.Snapshots, 1, math.MaxInt32)
	if o.StoreTimeout < 0 {
		faults = append(faults, fmt.Errorf("field Options.StoreTimeout is %v: it must not be negative", o.StoreTimeout))
	}
	if o.AttemptTimeout < 0 {
		faults = append(faults, fmt.Errorf("field Options.AttemptTimeout is %v: it must not be negative", o.AttemptTimeout))
	}
	if b, ok := o.Balancer.(interface{ fault() error }); ok && b.fault() != nil {
		faults = append(faults, fmt.Errorf("field Options.Balancer: %w", b.fault()))
	}
	if err := o.RetryBackoff.faults(); err != nil {
		faults = append(faults, fmt.Errorf("field Options.RetryBackoff: %w", err))
	}
	faults = append(faults, o.typeFaults())
	return errors.Join(faults...)
}
