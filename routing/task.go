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

// TaskSnapshot is all that the ledger knows of a task at one moment.
type TaskSnapshot struct {
	TaskInfo
	State     State
	Submitted time.Time
	// Errors counts attempts that ended with an error, Strikes those that crashed, hung or timed out. All others were not charged.
	Errors, Strikes int
	// Interrupted counts attempts in a row during which the process died, leaving out those that were given back. See [Options.Interruptions].
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

// task is the record of one task. All fields but the first group are guarded by the hub's mutex. What every task has to do with comes first: of
// one that has waited among many, the fewer lines of memory are read the better.
type task struct {
	lane    *lane
	seq     uint64 // order of acceptance
	id, key string

	value any         // the input; once it is done, its result; nothing when it has ended otherwise, but in quarantine
	over  atomic.Bool // it is settled; value and err can be read without the lock

	state       State
	place       place
	level       uint8 // of its lane's queue
	loose       bool  // not in the strand of its key: that may wait for it
	errors      uint16
	strikes     uint16
	maxAttempts uint16
	awaiters    uint16 // handlers that await it; stays at its greatest if they were ever so many
	attempt     int32
	scheduled   int32 // position in the schedule

	node[*task]         // queue, hold or quarantine
	lease       *Lease  // the current one
	last        attempt // it may go on; its number is 0 before the first

	done    chan struct{} // made by the first who waits
	err     *TaskError    // if it is settled without a result
	extra   *extra        // nil for most
	strand  *strand       // of its key, if the balancer keeps keys together
	saved   *saved        // nil without a store
	history *history      // nil before the second attempt
	avoid   *SpokeID      // the spoke that had the last charged attempt

	// Times are nanoseconds of the hub's clock; 0 is none.
	submitted, deadline int64
	readyAt             int64 // end of a delay or a hold
	due                 int64 // when the schedule looks at it next
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
	case t.state == StateLeased && !t.lease.standsStill():
		other = t.lease.expires
	case t.place == delayed, t.place == held:
		other = t.readyAt
	}
	if other != 0 && (due == 0 || other < due) {
		due = other
	}
	return due
}
