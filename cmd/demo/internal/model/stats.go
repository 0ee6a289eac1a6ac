package model

import (
	"cmp"
	"maps"
	"slices"
	"sync"

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
	DrillFailed Outcome = "drill_error" // 500 to a breaker drill
	BadRequest  Outcome = "bad_request" // 400
	Abandoned   Outcome = "abandoned"   // the client went away during the answer
)

// Stats is what reached a server.
type Stats struct {
	Total     int             `json:"total"`
	ByOutcome map[Outcome]int `json:"by_outcome"` // adds up to Total
	Calls     []Call          `json:"calls"`      // by task, then by attempt
	Drills    []Drill         `json:"drills"`     // by key
	Uncounted int             `json:"uncounted"`  // requests not in Calls because there were too many
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
	uncounted int
}

// strike counts a request whose fault, if it has one, strikes the first time only.
func (l *ledger) strike(id string, attempt int, faults func(string, int) chaos.Fault) Outcome {
	outcome := outcomeOf(faults(id, attempt)) // foreign code: before the lock
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.first(id, attempt) {
		outcome = Answered
	}
	l.add(outcome)
	return outcome
}

// drill counts a call of a breaker drill. The first failures of its key fail.
func (l *ledger) drill(id string, attempt int, key string, failures int) Outcome {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first(id, attempt)
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
func (l *ledger) count(id string, attempt int, outcome Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first(id, attempt)
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
func (l *ledger) first(id string, attempt int) bool {
	key := callKey{id, attempt}
	n, known := l.calls[key]
	if !known && len(l.calls) == maxCalls {
		l.uncounted++
		return false
	}
	if l.calls == nil {
		l.calls = map[callKey]int{}
	}
	l.calls[key] = n + 1
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
	s := Stats{Total: l.total, ByOutcome: map[Outcome]int{}, Calls: []Call{}, Drills: []Drill{}, Uncounted: l.uncounted}
	maps.Copy(s.ByOutcome, l.outcomes)
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
	default:
		return Answered
	}
}
