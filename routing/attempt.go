package routing

import (
	"fmt"
	"iter"
	"slices"
	"time"
)

// Attempt is the record of one lease.
type Attempt struct {
	Number  int
	Spoke   SpokeID
	Start   time.Time
	End     time.Time // zero while the attempt goes on
	Outcome OutcomeKind
	Err     error

	fault *fault
}

// Stack returns the stack of an attempt that crashed, or nothing.
func (a Attempt) Stack() string { return a.fault.formattedStack() }

// attempt is what the ledger keeps of a lease: all that an [Attempt] tells, in a third of the room, as it keeps one for every task of the
// window. Times are nanoseconds of the hub's clock; 0 is none.
type attempt struct {
	spoke      *SpokeID
	start, end int64
	fault      *fault // nil without one
	number     int32
	outcome    OutcomeKind
}

// fault is what went wrong in an attempt.
type fault struct {
	err   error
	stack func() string // may be nil
}

func (f *fault) reason() error {
	if f == nil {
		return nil
	}
	return f.err
}

func (f *fault) formattedStack() (stack string) {
	if f == nil || f.stack == nil {
		return ""
	}
	defer func() {
		if r := recover(); r != nil {
			stack = fmt.Sprintf("stack not available: %v", r)
		}
	}()
	return f.stack()
}

// history is what a task has behind it that was tried before. Most tasks need but one attempt, and have none.
type history struct {
	earlier   []attempt // than the last, oldest first
	forgotten int
}

// maxAttemptsKept bounds the history of a task that is tried for long (a service that keeps saying "not now").
const maxAttemptsKept = 32

// begin opens the record of an attempt.
func (t *task) begin(a attempt) {
	if t.last.number > 0 {
		t.past().push(t.last)
	}
	t.last = a
}

// end closes the record of the current attempt.
func (t *task) end(now int64, o Outcome) {
	t.last.end, t.last.outcome = now, o.kind
	if o.err != nil || o.stack != nil {
		t.last.fault = &fault{o.err, o.stack}
	}
}

// past returns the task's history, making it if there is none.
func (t *task) past() *history {
	if t.history == nil {
		t.history = &history{}
	}
	return t.history
}

// push adds the last attempt to the earlier ones, as another begins. If they are too many, the oldest that was not charged towards quarantine is
// forgotten, or the oldest of all.
func (h *history) push(a attempt) {
	h.earlier = append(h.earlier, a)
	if len(h.earlier) < maxAttemptsKept {
		return
	}
	drop := max(slices.IndexFunc(h.earlier, func(a attempt) bool { return !a.outcome.strike() }), 0)
	h.earlier = slices.Delete(h.earlier, drop, drop+1)
	h.forgotten++
}

// keptAttempts returns how many attempts are kept.
func (t *task) keptAttempts() int {
	n := 0
	if t.history != nil {
		n = len(t.history.earlier)
	}
	if t.last.number > 0 {
		n++
	}
	return n
}

// attempts iterates over the attempts that are kept, oldest first.
func (t *task) attempts() iter.Seq[attempt] {
	return func(yield func(attempt) bool) {
		if t.history != nil {
			for _, a := range t.history.earlier {
				if !yield(a) {
					return
				}
			}
		}
		if t.last.number > 0 {
			yield(t.last)
		}
	}
}

// attemptsOf returns the attempts as others are to see them.
func (h *Hub) attemptsOf(t *task) []Attempt {
	n := t.keptAttempts()
	if n == 0 {
		return nil
	}
	all := make([]Attempt, 0, n)
	for a := range t.attempts() {
		seen := Attempt{Number: int(a.number), Spoke: *a.spoke, Start: h.clock.at(a.start), Outcome: a.outcome, Err: a.fault.reason(), fault: a.fault}
		if a.end != 0 {
			seen.End = h.clock.at(a.end)
		}
		all = append(all, seen)
	}
	return all
}

// forgotten returns how many attempts there were before those that are kept.
func (t *task) forgotten() int {
	if t.history == nil {
		return 0
	}
	return t.history.forgotten
}

// clone returns the history for another life of its task.
func (h *history) clone() *history {
	if h == nil {
		return nil
	}
	return &history{slices.Clone(h.earlier), h.forgotten}
}

func (k OutcomeKind) strike() bool {
	return k == OutcomeCrashed || k == OutcomeHung || k == OutcomeTimedOut || k == OutcomeInterrupted
}
