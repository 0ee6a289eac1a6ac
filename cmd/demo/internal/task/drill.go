package task

import (
	"slices"
	"strconv"
	"strings"
)

// Drill is a kind of task that makes one mechanism happen, whatever the input is.
type Drill string

// The kinds of drill task.
const (
	Poison   Drill = "poison"   // crashes every agent that touches it
	Breaker  Drill = "breaker"  // one call of a burst that opens the drill's breaker
	Hang     Drill = "hang"     // its first attempt hangs; that of an even number is deaf to its context too
	Stall    Drill = "stall"    // its first attempt asks the model for an answer that stalls in the midst of its stream
	Rest     Drill = "rest"     // its first attempt crashes the service before its agent, which goes down with it
	All      Drill = "all"      // its first attempt crashes a service that all go down with
	Escalate Drill = "escalate" // its first two attempts crash, one more than its supervisor bears, or the one above
	Hub      Drill = "hub"      // is in flight, or waits, while the hub's actor is killed
	Sum      Drill = "sum"      // adds its number to its agent's running sum
	Full     Drill = "full"     // as many as its type may have: one more is refused
	Cancel   Drill = "cancel"   // is cancelled while it runs
	Expire   Drill = "expire"   // outlives its time, running or waiting
	Trunk    Drill = "trunk"    // adds up two branches, which it submits
	Branch   Drill = "branch"   // adds up two leaves, which it submits
	Leaf     Drill = "leaf"     // is worth the square of its number
)

// AllDrills lists the kinds by name.
var AllDrills = []Drill{All, Branch, Breaker, Cancel, Escalate, Expire, Full, Hang, Hub, Leaf, Poison, Rest, Stall, Sum, Trunk}

const drillPrefix = "drill:"

// Type is the type of the drill's tasks.
func (d Drill) Type() string { return "drill." + string(d) }

// ID is the id of the drill's n-th task, counted from 1.
func (d Drill) ID(n int) string { return drillPrefix + string(d) + "-" + strconv.Itoa(n) }

// IDs lists the ids of its first n tasks.
func (d Drill) IDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = d.ID(i + 1)
	}
	return ids
}

// DrillOf tells the drill of a task, and its number there; false for the id of any other task.
func DrillOf(id string) (d Drill, n int, ok bool) {
	name, isDrill := strings.CutPrefix(id, drillPrefix)
	name, digits, _ := strings.Cut(name, "-")
	n, err := strconv.Atoi(digits)
	if d = Drill(name); !isDrill || err != nil || n <= 0 || !slices.Contains(AllDrills, d) || d.ID(n) != id {
		return "", 0, false
	}
	return d, n, true
}

// IsDrill tells drill tasks, which are kept out of the report, from the files' tasks.
func IsDrill(id string) bool { return strings.HasPrefix(id, drillPrefix) }

// DrillKey names the drill an id belongs to: the calls of one burst share one key (drill:breaker).
func DrillKey(id string) string {
	if i := strings.LastIndexByte(id, '-'); i > 0 {
		return id[:i]
	}
	return id
}

// Ending is how a task is meant to end.
type Ending string

const (
	Done        Ending = "done"
	Quarantined Ending = "quarantined"
	Cancelled   Ending = "cancelled"
	Expired     Ending = "expired"
)

// EndingOf is how the task with that id is meant to end: a few drills aim at something else than a result.
func EndingOf(id string) Ending {
	switch d, _, _ := DrillOf(id); d {
	case Poison:
		return Quarantined
	case Cancel:
		return Cancelled
	case Expire:
		return Expired
	default:
		return Done
	}
}

// DrillResult is what a drill task leaves in the books when it is done.
type DrillResult struct {
	Answer string `json:"answer,omitempty"`
	Sum    int    `json:"sum,omitempty"` // of the drills that add up
}

// AsksModel reports whether a drill's result is what the embedded model answers to its DrillPrompt.
func (d Drill) AsksModel() bool { return d == Breaker || d == Stall }

// ExpectedResult is the result that a drill task must have. It is false for those that end without one, and for those that ask the model: that is the model's affair.
func ExpectedResult(id string) (DrillResult, bool) {
	d, n, ok := DrillOf(id)
	if !ok || d.AsksModel() || EndingOf(id) != Done {
		return DrillResult{}, false
	}
	switch d {
	case Sum:
		return DrillResult{Sum: n * (n + 1) / 2}, true
	case Trunk, Branch:
		sum := 0
		for _, sub := range Subtasks(id) {
			r, _ := ExpectedResult(sub)
			sum += r.Sum
		}
		return DrillResult{Sum: sum}, true
	case Leaf, Rest, All:
		return DrillResult{Sum: n * n}, true
	default:
		return Through(id), true
	}
}

// Through is the result of a drill task whose only worth is that it came through.
func Through(id string) DrillResult { return DrillResult{Answer: id + " came through"} }

// Subtasks lists the tasks that the task with that id submits: two branches of a trunk, two leaves of a branch.
func Subtasks(id string) []string {
	d, n, _ := DrillOf(id)
	switch d {
	case Trunk:
		return []string{Branch.ID(2*n - 1), Branch.ID(2 * n)}
	case Branch:
		return []string{Leaf.ID(2*n - 1), Leaf.ID(2 * n)}
	default:
		return nil
	}
}

// DrillPrompt is what a drill asks the embedded model. The answer to a stall drill has many pieces, enough to learn how far apart they are.
func DrillPrompt(id string) string {
	answer := "The call " + id + " got through the breaker."
	if d, _, _ := DrillOf(id); d == Stall {
		answer = "The answer to " + id + " comes word by word, often enough for the listener to know how far apart they are, " +
			"so that a silence in the midst of it is suspicious long before any time limit is near, and the second time it is whole."
	}
	return "Answer the drill.\n\nDocumentation:\n\n" + answer
}
