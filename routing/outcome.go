package routing

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// OutcomeKind says how an attempt ended.
type OutcomeKind uint8

// The first is an attempt that goes on. Spokes report the next five; the ledger itself concludes the last four.
const (
	// OutcomePending: the attempt has not ended.
	OutcomePending OutcomeKind = iota
	// OutcomeDone: the handler returned a result.
	OutcomeDone
	// OutcomeError: the handler returned an error.
	OutcomeError
	// OutcomeCrashed: the handler panicked. Charged towards quarantine.
	OutcomeCrashed
	// OutcomeHung: the handler did not return. Charged towards quarantine.
	OutcomeHung
	// OutcomeReleased: the lease was given back or taken back; the task is not to blame and nothing is charged.
	OutcomeReleased
	// OutcomeTimedOut: the attempt outlived its time limit. Charged towards quarantine.
	OutcomeTimedOut
	// OutcomeCancelled: the task was cancelled during the attempt.
	OutcomeCancelled
	// OutcomeExpired: the task's deadline passed during the attempt.
	OutcomeExpired
	// OutcomeInterrupted: the process died during the attempt; the next one found it so in its store. See [Options.Interruptions].
	OutcomeInterrupted
)

var outcomeNames = [...]string{"pending", "done", "error", "crashed", "hung", "released", "timed out", "cancelled", "expired", "interrupted"}

func (k OutcomeKind) String() string {
	if int(k) < len(outcomeNames) {
		return outcomeNames[k]
	}
	return fmt.Sprintf("OutcomeKind(%d)", uint8(k))
}

// Outcome is what a spoke reports of an attempt: [Done], [Error], [Crashed], [Hung] or [Released]. The zero value counts as released.
type Outcome struct {
	kind  OutcomeKind
	value any
	err   error
	stack func() string

	permanent bool
	notNow    bool
	wait      time.Duration // if notNow
	refused   bool          // by a circuit of the spoke

	forCircuit bool // the task waits for that, and not for a time. Set by the hub

	stored   json.RawMessage // the value, if there is a store
	snapshot *AgentSnapshot
}

// Kind returns how the attempt ended.
func (o Outcome) Kind() OutcomeKind { return o.kind }

// Err returns the error or the cause, if there is one.
func (o Outcome) Err() error { return o.err }

// Done reports a result.
func Done(value any) Outcome { return Outcome{kind: OutcomeDone, value: value} }

// Error reports the error that a handler returned: the task is tried again after a backoff until its attempts are used up. A
// [Permanent] error fails the task at once; one with a RetryAfter() time.Duration in its chain delays it so long, uncharged.
func Error(err error) Outcome {
	o := Outcome{kind: OutcomeError, err: err}
	o.classify()
	return o
}

// Refused reports the error of a handler that one of its spoke's circuits refused: it is as [Error], but an error with a RetryAfter puts the task back
// at the head of its queue if a circuit of the spoke is open. There it waits for the circuit, however early that is closed, or for a
// spoke that isn't behind it.
func Refused(err error) Outcome {
	o := Error(err)
	o.refused = true
	return o
}

// Crashed reports a handler that panicked. stack, which may be nil, formats the stack; it is called only when somebody reads
// it, from any goroutine, and must not change what it returns.
func Crashed(reason error, stack func() string) Outcome {
	return Outcome{kind: OutcomeCrashed, err: reason, stack: stack}
}

// Hung reports a handler that was abandoned because it did not return.
func Hung(reason error) Outcome { return Outcome{kind: OutcomeHung, err: reason} }

// Released gives the task back uncharged: the attempt was ended by us (shutdown, group restart), not by the task.
func Released(cause error) Outcome { return Outcome{kind: OutcomeReleased, err: cause} }

// With adds a snapshot of the agent as it is after the attempt: if the outcome is accepted, it is kept in place of the one before (see [AgentSnapshot].Number). With a store both are recorded in one
// commit, so that an agent which goes on from its snapshot has done all that is recorded as done, and nothing else.
func (o Outcome) With(snapshot AgentSnapshot) Outcome {
	snapshot.Data = slices.Clone(snapshot.Data)
	o.snapshot = &snapshot
	return o
}

// store encodes the value. What can't be encoded can't be recorded: then the task has failed.
func (o *Outcome) store(l *Lease) {
	if o.kind != OutcomeDone {
		return
	}
	raw, err := encodeRecord(o.value)
	if err != nil {
		failed := Error(Permanent(fmt.Errorf("the result of task %s of type %q can't be recorded: %w", l.ID(), l.Type(), err)))
		failed.snapshot = o.snapshot
		*o = failed
		return
	}
	o.stored = raw
}

// classify asks the error what kind it is. That runs code of the user's, so it is done here and not under the hub's lock; if it
// panics, the error is an ordinary one.
func (o *Outcome) classify() {
	defer func() {
		if recover() != nil {
			o.permanent, o.notNow = false, false
		}
	}()
	o.permanent = IsPermanent(o.err)
	o.wait, o.notNow = retryAfter(o.err)
}
