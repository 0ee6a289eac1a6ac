package model

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
)

// maxCalls bounds how many different tasks and attempts the server keeps apart. Beyond it no fault strikes.
const maxCalls = 1 << 17

// Outcome is what the server did with a request.
type Outcome string

const (
	Answered    Outcome = "answered"
	Failed      Outcome = "error"       // 500, as planned
	Overloaded  Outcome = "overload"    // 429 with Retry-After
	Cut         Outcome = "cut"         // connection broken in the middle of the answer
	Garbled     Outcome = "garbage"     // an answer that cannot be read
	Stalled     Outcome = "stall"       // an answer that fell silent before its end
	DrillFailed Outcome = "drill_error" // 500 to a breaker drill
	BadRequest  Outcome = "bad_request" // 400, 413
	Abandoned   Outcome = "abandoned"   // the client went away during the answer
)

// Stats is what reached a server.
type Stats struct {
	Total     int             `json:"total"`
	ByOutcome map[Outcome]int `json:"by_outcome"` // adds up to Total
	Calls     []Call          `json:"calls"`      // by task, then by attempt
	Drills    []Drill         `json:"drills"`     // by key
	Periods   map[string]int  `json:"periods"`    // requests by Question.Period
	Uncounted int             `json:"uncounted"`  // requests not in Calls, Repeated, Replayed, Early and Periods because there were too many

	Repeated int `json:"repeated"` // requests for an attempt of a task that had sent one before
	Replayed int `json:"replayed"` // of those: with the same number, so that it was no layer of the sender's that knows of numbers
	Early    int `json:"early"`    // requests before the time that a Retry-After had named, to their task or to their sender
}

// Call is one attempt of one task and how often it was sent.
type Call struct {
	Task     string `json:"task"`
	Attempt  int    `json:"attempt"`
	Requests int    `json:"requests"`
}

// Drill is one breaker drill, all of whose calls share a key.
type Drill struct {
	Key      string `json:"key"`
	Requests int    `json:"requests"`
	Failed   int    `json:"failed"`
}

type callKey struct {
	task    string
	attempt int
}

// ledger counts requests. Its zero value is ready for use from any goroutine.
type ledger struct {
	mu        sync.Mutex // guards all below
	total     int
	outcomes  map[Outcome]int
	calls     map[callKey]int
	drills    map[string]*Drill
	numbers   map[int]struct{} // of requests
	periods   map[string]int
	uncounted int
	repeated  int
	replayed  int
	early     int
	notices   []time.Time          // until when the sender of a request is to keep away who has heard of so many overloads, and one
	deferred  map[string]time.Time // until when a task is to keep away
}

// strike counts a request whose fault, if it has one, strikes the first time only.
func (l *ledger) strike(q Question, faults func(string, int) chaos.Fault, retryAfter time.Duration) (outcome Outcome, notice int) {
	outcome = outcomeOf(faults(q.Task, q.Attempt)) // foreign code: before the lock
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.first(q) {
		outcome = Answered
	}
	l.add(outcome)
	if outcome == Overloaded {
		notice = l.putOff(q.Task, time.Now().Add(retryAfter))
	}
	return outcome, notice
}

// putOff notes that a task, and whoever hears of it, is to keep away until then, and numbers that. The caller holds mu.
func (l *ledger) putOff(id string, until time.Time) (notice int) {
	if l.deferred == nil {
		l.deferred = map[string]time.Time{}
	}
	l.deferred[id] = until // as many as there are calls, at most
	if n := len(l.notices); n > 0 && l.notices[n-1].After(until) {
		until = l.notices[n-1]
	}
	l.notices = append(l.notices, until)
	return len(l.notices)
}

// isEarly reports whether a request comes before the time that its task was told, or that its sender had heard of. The caller holds mu.
func (l *ledger) isEarly(q Question, now time.Time) bool {
	if now.Before(l.deferred[q.Task]) {
		return true
	}
	heard := min(q.Heard, len(l.notices))
	return heard > 0 && now.Before(l.notices[heard-1])
}

// drill counts a call of a breaker drill. The first failures of its key fail.
func (l *ledger) drill(q Question, key string, failures int) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first(q)
	d := l.drills[key]
	if d == nil {
		if len(l.drills) == maxCalls {
			l.add(Answered)
			return Answered
		}
		if l.drills == nil {
			l.drills = map[string]*Drill{}
		}
		d = &Drill{Key: key}
		l.drills[key] = d
	}
	d.Requests++
	outcome := Answered
	if d.Failed < failures {
		d.Failed++
		outcome = DrillFailed
	}
	l.add(outcome)
	return outcome
}

// count enters a request whose outcome is known.
func (l *ledger) count(q Question, outcome Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first(q)
	l.add(outcome)
}

// abandoned corrects an answer that the client did not wait for.
func (l *ledger) abandoned() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes[Answered]--
	l.outcomes[Abandoned]++
}

// first counts the call and says whether it is the first of its kind. The caller holds mu.
func (l *ledger) first(q Question) bool {
	key := callKey{q.Task, q.Attempt}
	n, known := l.calls[key]
	if !known && len(l.calls) == maxCalls || len(l.numbers) == maxCalls || len(l.periods) == maxCalls {
		l.uncounted++
		return false
	}
	if l.calls == nil {
		l.calls, l.numbers, l.periods = map[callKey]int{}, map[int]struct{}{}, map[string]int{}
	}
	l.calls[key] = n + 1
	l.periods[q.Period]++
	if known {
		l.repeated++
	}
	if _, replayed := l.numbers[q.Call]; replayed {
		l.replayed++
	}
	if q.Call > 0 {
		l.numbers[q.Call] = struct{}{}
	}
	if l.isEarly(q, time.Now()) {
		l.early++
	}
	return !known
}

// add counts an outcome. The caller holds mu.
func (l *ledger) add(outcome Outcome) {
	if l.outcomes == nil {
		l.outcomes = map[Outcome]int{}
	}
	l.total++
	l.outcomes[outcome]++
}

func (l *ledger) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Total: l.total, ByOutcome: map[Outcome]int{}, Calls: []Call{}, Drills: []Drill{}, Periods: map[string]int{},
		Uncounted: l.uncounted, Repeated: l.repeated, Replayed: l.replayed, Early: l.early}
	maps.Copy(s.ByOutcome, l.outcomes)
	maps.Copy(s.Periods, l.periods)
	maps.DeleteFunc(s.ByOutcome, func(_ Outcome, n int) bool { return n == 0 })
	for key, n := range l.calls {
		s.Calls = append(s.Calls, Call{Task: key.task, Attempt: key.attempt, Requests: n})
	}
	slices.SortFunc(s.Calls, func(a, b Call) int {
		return cmp.Or(cmp.Compare(a.Task, b.Task), cmp.Compare(a.Attempt, b.Attempt))
	})
	for _, d := range l.drills {
		s.Drills = append(s.Drills, *d)
	}
	slices.SortFunc(s.Drills, func(a, b Drill) int { return cmp.Compare(a.Key, b.Key) })
	return s
}

func outcomeOf(fault chaos.Fault) Outcome {
	switch fault {
	case chaos.Error:
		return Failed
	case chaos.Overload:
		return Overloaded
	case chaos.Cut:
		return Cut
	case chaos.Garbage:
		return Garbled
	case chaos.Stall:
		return Stalled
	default:
		return Answered
	}
}
