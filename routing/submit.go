package routing

import (
	"fmt"
	"time"
)

// SubmitOption is an option of a submit: [ID], [Key], [Priority], [Deadline], [Timeout], [MaxAttempts],
// [RetryBackoff], [After], [Detached], [Wait], [FailFast].
type SubmitOption func(*submission)

type submission struct {
	id, key     string
	priority    int8
	hasPriority bool
	backoff     *Backoff
	inputs      []named
	detached    bool
	parent      *Lease    // whose handler submits it, if it is to be a subtask
	inherited   time.Time // its deadline
	deadline    time.Time
	timeout     time.Duration
	maxAttempts int
	wait        bool
	failFast    bool
	carried     *any
	pin         SpokeID // the only spoke that may have it, if there is one
	faults      []error
}

// ID names the task. Submitting an id that the hub knows returns the handle of the task it has (input and options of the
// second submit are ignored). Without it the hub makes up an id that is unique across hubs and processes, or, for a subtask, one that is
// found again by the next attempt of its parent: see [Detached] for what that is made of.
func ID(id string) SubmitOption {
	return func(s *submission) {
		s.id = id
		s.check(validID(id))
	}
}

// Key says what the task is about. A balancer that is a [Placer], as [ConsistentHash] is, runs the tasks of a key in order on one spoke.
func Key(key string) SubmitOption {
	return func(s *submission) {
		s.key = key
		if len(key) > maxNameBytes {
			s.check(fmt.Errorf("key has %d bytes: at most %d are allowed", len(key), maxNameBytes))
		}
	}
}

// Deadline is the time at which the task is of no more use: waiting, it expires and is never started; running, its context
// ends and it expires at once. A submit after its deadline is refused with [ErrExpired].
func Deadline(at time.Time) SubmitOption {
	return func(s *submission) {
		s.deadline = at
		if at.IsZero() {
			s.check(fmt.Errorf("deadline is the zero time: leave the option out for none"))
		}
	}
}

// Timeout limits each attempt; it replaces that of the type, see [TypeOptions] and [Options.AttemptTimeout]. An attempt that outlives it is
// charged to the task.
func Timeout(d time.Duration) SubmitOption {
	return func(s *submission) {
		s.timeout = d
		if d <= 0 {
			s.check(fmt.Errorf("timeout is %v: it must be above 0", d))
		}
	}
}

// MaxAttempts is how many attempts may end with an error before the task fails, 1 to 1,000; it replaces [Options.MaxAttempts].
func MaxAttempts(n int) SubmitOption {
	return func(s *submission) {
		s.maxAttempts = n
		if n < 1 || n > maxTries {
			s.check(fmt.Errorf("max attempts is %d: it must be 1 to %d", n, maxTries))
		}
	}
}

// RetryBackoff is the delay after an attempt that was charged; it replaces [Options.RetryBackoff].
func RetryBackoff(b Backoff) SubmitOption {
	return func(s *submission) {
		b = b.withDefaults()
		s.backoff = &b
		if err := b.faults(); err != nil {
			s.check(fmt.Errorf("retry backoff: %w", err))
		}
	}
}

// Wait makes the submit block while the queue is full: until there is room, its context ends, or the task's deadline (also that of its type's Lifetime) has
// passed. Blocked submitters are admitted in the order in which they came.
func Wait() SubmitOption {
	return func(s *submission) { s.wait = true }
}

func (s *submission) check(err error) {
	if err != nil {
		s.faults = append(s.faults, err)
	}
}
