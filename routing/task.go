package routing

import (
	"fmt"
	"sync/atomic"
	"time"
)

// State is where a task is in its life.
//
//	          ┌──────── given back, tried again ───────┐
//	          ▼                                        │
//	submit → waiting ── leased to a spoke ─────────→ leased → done, failed, quarantined
//	          └────────── cancelled, expired ←─────────┘
type State uint8

// A task is unsettled in the first two states and settled in the others. Only a quarantined one can leave its state again,
// through [Hub.Requeue].
const (
	StateWaiting State = iota
	StateLeased
	StateDone
	StateFailed
	StateQuarantined
	StateCancelled
	StateExpired

	states
)

var stateNames = [states]string{"waiting", "leased", "done", "failed", "quarantined", "cancelled", "expired"}

func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Settled reports whether the state is an end.
func (s State) Settled() bool { return s >= StateDone }

// TaskInfo is what is known of a task when it is leased.
type TaskInfo struct {
	ID, Type, Key string
	// Parent is the id of the task whose subtask it is, if it is one.
	Parent   string
	Priority int
	// Attempt is the number of this lease, from 1; it grows with every lease, the uncharged ones too.
	Attempt int
	// MaxAttempts is how many attempts may end with an error before the task fails: with 1 nobody tries it again after an error.
	MaxAttempts int
	// IdempotencyKey is the same for all attempts of the task: hand it to services that can tell a repetition.
	IdempotencyKey string
	// Deadline is the zero time if the task has none.
	Deadline time.Time
}

// Attempt is the record of one lease.
type Attempt struct {
	Number  int
	Spoke   SpokeID
	Start   time.Time
	End     time.Time // zero while the attempt goes on
	Outcome OutcomeKind
	Err     error

	stack func() string
}

// Stack returns the stack of an attempt that crashed, or nothing.
func (a Attempt) Stack() (stack string) {
	if a.stack == nil {
		return ""
	}
	defer func() {
		if r := recover(); r != nil {
			stack = fmt.Sprintf("stack not available: %v", r)
		}
	}()
	return a.stack()
}

// TaskSnapshot is all that the ledger knows of a task at one moment.
type TaskSnapshot struct {
	TaskInfo
	State     State
	Submitted time.Time
	// Errors counts attempts that ended with an error, Strikes those that crashed, hung or timed out. All others were not charged.
	Errors, Strikes int
	// Interrupted counts attempts in a row during which the process died. See [Options.Interruptions].
	Interrupted int
	// Attempts are the last attempts, at most 32, oldest first; Forgotten counts those before.
	Attempts  []Attempt
	Forgotten int
	Progress  any
	// Inputs are the ids of the tasks that it needs, see [After]; Pending is how many of them it still waits for.
	Inputs  []string
	Pending int
	// ShutOut says why no spoke can have the task now, if it waits and every spoke that may have it is behind an open circuit.
	ShutOut *CircuitOpenError
	// Err is the task's [*TaskError] if it is settled without a result.
	Err error
}

// keptAttempts bounds the history of a task that is tried for long (a service that keeps saying "not now").
const keptAttempts = 32

// place is where a task that is not leased is kept.
type place uint8

const (
	nowhere place = iota
	queued        // in its lane, ready
	held          // ready, but only its last spoke is free: waits a while for another
	delayed       // not ready: waits in the schedule for its backoff
	blocked       // not ready: waits for its inputs
	behind        // not ready: waits for others of its key to be settled
	owned         // ready, for one spoke
	aside         // in quarantine
)

// task is the record of one task. All fields but the first group are guarded by the hub's mutex.
type task struct {
	id, key string
	lane    *lane
	seq     uint64 // order of acceptance

	in     any // dropped when settled, but not in quarantine
	out    any
	err    *TaskError    // if it is settled without a result
	done   chan struct{} // made by the first who waits
	extra  *extra        // nil for most
	strand *strand       // of its key, if the balancer keeps keys together

	saved *saved // nil without a store

	lease    *Lease // the current one
	attempts []Attempt
	avoid    string // path of the spoke that had the last charged attempt

	// Times are nanoseconds of the hub's clock; 0 is none.
	submitted, deadline int64
	readyAt             int64 // end of a delay or a hold
	due                 int64 // when the schedule looks at it next

	node[*task]       // queue, hold, window of settled or quarantine
	scheduled   int32 // position in the schedule
	attempt     int32
	forgotten   int32
	errors      uint16
	strikes     uint16
	maxAttempts uint16
	state       State
	place       place
	level       uint8       // of its lane's queue
	over        atomic.Bool // it is settled; out and err can be read without the lock
	loose       bool        // not in the strand of its key: a task above it is
}

func (t *task) links() *node[*task]     { return &t.node }
func (t *task) before(other *task) bool { return t.due < other.due }
func (t *task) position() *int32        { return &t.scheduled }

func (t *task) overdue(now int64) bool { return t.deadline != 0 && t.deadline <= now }

// nextDue is when something happens to the task if nobody touches it; 0 is never.
func (t *task) nextDue() int64 {
	if t.state.Settled() {
		return 0
	}
	due, other := t.deadline, int64(0)
	switch {
	case t.state == StateLeased && t.lease.waits == 0:
		other = t.lease.expires
	case t.place == delayed, t.place == held:
		other = t.readyAt
	}
	if other != 0 && (due == 0 || other < due) {
		due = other
	}
	return due
}

// begin opens the record of an attempt.
func (t *task) begin(a Attempt) {
	if len(t.attempts) >= keptAttempts {
		t.forget()
	}
	t.attempts = append(t.attempts, a)
}

// forget drops the oldest attempt that was not charged towards quarantine, or the oldest of all.
func (t *task) forget() {
	drop := 0
	for i, a := range t.attempts {
		if !a.Outcome.strike() {
			drop = i
			break
		}
	}
	t.attempts = append(t.attempts[:drop], t.attempts[drop+1:]...)
	t.forgotten++
}

// end closes the record of the current attempt.
func (t *task) end(at time.Time, kind OutcomeKind, err error, stack func() string) {
	current := &t.attempts[len(t.attempts)-1]
	current.End, current.Outcome, current.Err, current.stack = at, kind, err, stack
}

func (k OutcomeKind) strike() bool {
	return k == OutcomeCrashed || k == OutcomeHung || k == OutcomeTimedOut || k == OutcomeInterrupted
}
