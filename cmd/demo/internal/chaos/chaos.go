// Package chaos decides what goes wrong in a run of the demo.
//
// A [Plan] is a seed and a level, nothing else. Every decision is a hash of the seed, the task's id and the number of
// the attempt, so it is the same whichever agent runs the task, and whenever:
//
//	plan := chaos.Plan{Seed: 7, Level: chaos.Mild}
//	if plan.Panics("metrics:server.go", attempt) {
//		panic("planned")
//	}
//
// Nothing is planned after a task's second attempt, so a task with three attempts always comes through. The one
// exception is a poison drill, which crashes every agent that touches it and is meant to end in quarantine. What goes
// wrong in the other drills isn't hashed: they are made for it.
package chaos

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// LastAttempt is the last attempt of a task that a plan may disturb.
const LastAttempt = 2

// Level says how much goes wrong. The zero value is Off.
type Level int

const (
	Off  Level = iota // nothing goes wrong and there are no drills
	Mild              // some panics, some failures of the model server, every drill
	Wild              // twice as many, and more of each drill
)

// Rates are the shares of attempts, in thousandths, that a level disturbs.
type Rates struct {
	Panic    int // of each attempt up to LastAttempt, for every kind of task
	Burst    int // of summaries: the model answers 500 to every attempt up to LastAttempt
	Error    int // of each attempt of a summary up to LastAttempt, outside a burst: 500
	Overload int // likewise: 429 with Retry-After
	Cut      int // likewise: the connection is cut in the middle of the answer
	Garbage  int // likewise: an answer that is not JSON
}

// levels holds, in the order of the Level constants, each level's name, rates and how many tasks of each drill there are. Each trunk needs two branches, each branch two
// leaves.
var levels = [...]struct {
	name   string
	rates  Rates
	drills map[task.Drill]int
}{
	Off: {name: "off"},
	Mild: {
		name: "mild", rates: Rates{Panic: 80, Burst: 40, Error: 60, Overload: 40, Cut: 60, Garbage: 60},
		drills: map[task.Drill]int{
			task.Poison: 2, task.Breaker: 12, task.Hang: 2, task.Stall: 1, task.Rest: 1, task.All: 1, task.Escalate: 1, task.Hub: 4, task.Sum: 5,
			task.Full: 2, task.Cancel: 1, task.Expire: 2, task.Trunk: 1, task.Branch: 2, task.Leaf: 4,
		},
	},
	Wild: {
		name: "wild", rates: Rates{Panic: 160, Burst: 80, Error: 120, Overload: 80, Cut: 120, Garbage: 120},
		drills: map[task.Drill]int{
			task.Poison: 3, task.Breaker: 24, task.Hang: 6, task.Stall: 3, task.Rest: 3, task.All: 3, task.Escalate: 2, task.Hub: 8, task.Sum: 9,
			task.Full: 4, task.Cancel: 3, task.Expire: 4, task.Trunk: 2, task.Branch: 4, task.Leaf: 8,
		},
	},
}

// ParseLevel reads a level's name.
func ParseLevel(name string) (Level, error) {
	names := make([]string, len(levels))
	for i := range levels {
		if levels[i].name == name {
			return Level(i), nil
		}
		names[i] = levels[i].name
	}
	return Off, fmt.Errorf("chaos level %q is unknown, there are: %s", name, strings.Join(names, ", "))
}

// String is the name ParseLevel reads.
func (l Level) String() string {
	if !l.valid() {
		return fmt.Sprintf("Level(%d)", int(l))
	}
	return levels[l].name
}

// Rates are the level's rates; an unknown level has none.
func (l Level) Rates() Rates {
	if !l.valid() {
		return Rates{}
	}
	return levels[l].rates
}

func (l Level) valid() bool { return l >= 0 && int(l) < len(levels) }

// Fault is a way in which the model server can fail a request.
type Fault int

const (
	None     Fault = iota // the request is answered
	Error                 // 500
	Overload              // 429 with Retry-After
	Cut                   // the connection ends in the middle of the answer
	Garbage               // the answer is not JSON
	Stall                 // the answer stops short of its end, and the connection stays
)

// faults are the names, in the order of the constants.
var faults = [...]string{"none", "error", "overload", "cut", "garbage", "stall"}

// String is the fault in one word.
func (f Fault) String() string {
	if f < 0 || int(f) >= len(faults) {
		return fmt.Sprintf("Fault(%d)", int(f))
	}
	return faults[f]
}

// MarshalText writes the word.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads it.
func (f *Fault) UnmarshalText(word []byte) error {
	i := slices.Index(faults[:], string(word))
	if i < 0 {
		return fmt.Errorf("fault %q is unknown, there are: %s", word, strings.Join(faults[:], ", "))
	}
	*f = Fault(i)
	return nil
}

// Plan answers what goes wrong. It is a value without state: use it from any goroutine, copy it freely.
type Plan struct {
	Seed  uint64
	Level Level
}

// Panics says whether the agent that runs this attempt of the task crashes. Attempts count from 1.
func (p Plan) Panics(id string, attempt int) bool {
	if d, _, _ := task.DrillOf(id); d == task.Poison {
		return p.Level != Off
	}
	return p.disturbs(id, attempt) && p.roll("panic", id, attempt) < p.Level.Rates().Panic
}

// ModelFault says how the model server fails this attempt of the task. Attempts count from 1.
// Of the files' tasks only summaries have model faults. The stall drill meets a stall in its first attempt; the breaker drill's failures are counted by the server.
func (p Plan) ModelFault(id string, attempt int) Fault {
	if d, _, _ := task.DrillOf(id); d == task.Stall && attempt == 1 && p.Level != Off {
		return Stall
	}
	if kind, _ := task.TypeOf(id); kind != task.TypeSummarize || !p.disturbs(id, attempt) {
		return None
	}
	rates := p.Level.Rates()
	if p.roll("burst", id, 0) < rates.Burst {
		return Error
	}
	rolled := p.roll("model", id, attempt)
	for _, f := range []struct {
		fault Fault
		rate  int
	}{{Error, rates.Error}, {Overload, rates.Overload}, {Cut, rates.Cut}, {Garbage, rates.Garbage}} {
		if rolled < f.rate {
			return f.fault
		}
		rolled -= f.rate
	}
	return None
}

// Event is one thing a plan has in store for one attempt.
type Event struct {
	Task    string `json:"task"`
	Attempt int    `json:"attempt"`
	Panics  bool   `json:"panics,omitempty"` // the agent crashes; whether the model's fault is met first is the agent's affair
	Fault   Fault  `json:"fault,omitzero"`   // how the model fails, None if it does not
}

// Events lists what is planned for the tasks with the given ids, in their order and then by attempt. A second attempt's
// event comes to pass only if the first attempt failed. The list is empty, not nil, when there are none. Poison drills, which crash without end, are listed up to LastAttempt.
func (p Plan) Events(ids []string) []Event {
	events := []Event{}
	for _, id := range ids {
		for attempt := 1; attempt <= LastAttempt; attempt++ {
			e := Event{Task: id, Attempt: attempt, Panics: p.Panics(id, attempt), Fault: p.ModelFault(id, attempt)}
			if e.Panics || e.Fault != None {
				events = append(events, e)
			}
		}
	}
	return events
}

// Drills are the ids of the tasks that a plan adds to those of the files, so that each mechanism happens on any input: by drill, in order of their numbers.
type Drills map[task.Drill][]string

// Drills lists the plan's drills. It is empty, not nil, when there are none.
func (p Plan) Drills() Drills {
	d := Drills{}
	if !p.Level.valid() {
		return d
	}
	for drill, n := range levels[p.Level].drills {
		d[drill] = drill.IDs(n)
	}
	return d
}

// All lists the drills' ids, drill by drill.
func (d Drills) All() []string {
	var ids []string
	for _, drill := range slices.Sorted(maps.Keys(d)) {
		ids = append(ids, d[drill]...)
	}
	return ids
}

func (p Plan) disturbs(id string, attempt int) bool {
	return attempt >= 1 && attempt <= LastAttempt && !task.IsDrill(id)
}

// roll throws a die of a thousand sides. The subject keeps the dice for different questions apart.
func (p Plan) roll(subject, id string, attempt int) int {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%d\x00%s\x00%d", subject, p.Seed, id, attempt)
	return int(binary.BigEndian.Uint64(h.Sum(nil)) % 1000)
}
