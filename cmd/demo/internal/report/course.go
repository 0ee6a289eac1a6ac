package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// Course is how one run went: what depends on the scheduler, and is in no book.
type Course struct {
	Began      time.Time
	Took       time.Duration
	Outcome    []string // the closing words of the run, a line each
	Tasks      []TaskCourse
	Recoveries []Recovery
	Incidents  []Incident
	Outages    []Outage
	Missed     int // incidents that found no room
}

// TaskCourse is what one task took.
type TaskCourse struct {
	ID, Type string
	Attempts int
	State    string // how it was settled
}

// Recovery is one node that failed and was up again.
type Recovery struct {
	Path string
	Lane string        // where it is drawn: the supervisor's path, without the root
	At   time.Duration // since the run began
	Took time.Duration
}

// Severity of an incident.
type Severity uint8

const (
	Failed    Severity = iota // a child failed, and is dealt with
	Group                     // a failure took siblings along
	Abandoned                 // code that hung was left behind
	Escalated                 // a supervisor gave up
)

var severities = [...]struct{ class, name, plural string }{
	Failed: {"failed", "failure", "failures"}, Group: {"group", "group restart", "group restarts"},
	Abandoned: {"abandoned", "abandoned", "abandoned"}, Escalated: {"escalated", "escalation", "escalations"},
}

// Incident is something that went wrong.
type Incident struct {
	At       time.Duration // since the run began
	Lane     string        // where it is drawn: the supervisor's path, without the root
	Severity Severity
	Text     string
}

// Outage is a time in which a breaker was open or probed.
type Outage struct {
	Breaker  string // its path, without the root
	State    string // "open" or "half-open"
	From, To time.Duration
}

// outcome is what the closing words say, by name. What was broken after a comma or semicolon is one text again.
func (c Course) outcome() (rows [][2]string) {
	for _, line := range c.Outcome {
		name, rest, _ := strings.Cut(line, " ")
		rest = strings.TrimSpace(rest)
		last := len(rows) - 1
		if name == "" && last >= 0 && (strings.HasSuffix(rows[last][1], ",") || strings.HasSuffix(rows[last][1], ";")) {
			rows[last][1] += " " + rest
			continue
		}
		rows = append(rows, [2]string{name, rest})
	}
	return rows
}

// tally counts tasks by type and attempts, the types sorted. The drills' count as one.
func (c Course) tally() (types []string, counts map[string]map[int]int, most int) {
	counts = make(map[string]map[int]int)
	for _, t := range c.Tasks {
		kind := t.Type
		if task.IsDrill(t.ID) {
			kind = "drills"
		}
		if counts[kind] == nil {
			counts[kind] = make(map[int]int)
			types = append(types, kind)
		}
		counts[kind][t.Attempts]++
		most = max(most, t.Attempts)
	}
	slices.Sort(types)
	return types, counts, most
}

// hardest are the tasks that took the most attempts, more than one each.
func (c Course) hardest(n int) []TaskCourse {
	tasks := slices.DeleteFunc(slices.Clone(c.Tasks), func(t TaskCourse) bool { return t.Attempts < 2 })
	slices.SortFunc(tasks, func(a, b TaskCourse) int {
		return cmp.Or(cmp.Compare(b.Attempts, a.Attempts), strings.Compare(a.ID, b.ID))
	})
	return tasks[:min(len(tasks), n)]
}
