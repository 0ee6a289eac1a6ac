// Package summary closes a run: the counts, the verdict and the exit code, as one line of JSON or a short block of text.
//
//	s.Judge(facts)
//	s.WriteJSON(os.Stdout)   // or WriteText
//	os.Exit(s.ExitCode)
package summary

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Exit codes of the demo.
const (
	ExitOK          = 0   // all as it should be
	ExitBroken      = 1   // an invariant is broken
	ExitUsage       = 2   // wrong use, or an input that cannot be read; there is no summary then
	ExitTasks       = 3   // tasks failed or were quarantined beyond those planted
	ExitTimeout     = 4   // out of time
	ExitInterrupted = 130 // interrupted by the user
)

// Verdicts, in the order of their exit codes.
const (
	VerdictOK          = "ok"
	VerdictBroken      = "invariant broken"
	VerdictTasks       = "tasks failed"
	VerdictTimeout     = "out of time"
	VerdictInterrupted = "interrupted"
)

// Summary is the last line of a run.
type Summary struct {
	Type               string              `json:"type"` // always "summary"
	Seed               uint64              `json:"seed"`
	Resumed            bool                `json:"resumed,omitempty"` // it went on with what an earlier process of the run had begun
	Tasks              Tasks               `json:"tasks"`
	Planted            map[string][]string `json:"planted"`  // the drills the run was given, by kind; never null
	Drills             map[string]Drill    `json:"drills"`   // what they are to show, by mechanism; never null
	Attempts           int                 `json:"attempts"` // leases given out
	LateResultsRefused int                 `json:"late_results_refused"`
	Restarts           int                 `json:"restarts"`
	GroupRestarts      Groups              `json:"group_restarts"`
	Escalations        int                 `json:"escalations"`
	Abandoned          int                 `json:"abandoned"`
	Breaker            Breaker             `json:"breaker"`
	Model              Model               `json:"model"`
	RecoveryMS         Recovery            `json:"recovery_ms"`
	Verdict            string              `json:"verdict"`
	Problems           []string            `json:"problems,omitempty"` // why the verdict is not ok
	ExitCode           int                 `json:"exit_code"`
}

// Tasks counts tasks by how they ended. Accepted is the sum of the five endings, Lost and Kept.
type Tasks struct {
	Accepted      int `json:"accepted"`
	Done          int `json:"done"`
	Failed        int `json:"failed"`
	Quarantined   int `json:"quarantined"`
	Cancelled     int `json:"cancelled"`
	Expired       int `json:"expired"`
	Lost          int `json:"lost"`           // accepted and never settled
	RecordedTwice int `json:"recorded_twice"` // settled more than once
	Kept          int `json:"kept,omitempty"` // not settled, and in the store: with it the next run goes on
}

// Drill says how often a mechanism was to happen at least in what the drills run in, and how often it was seen there.
type Drill struct {
	Planned int `json:"planned"` // a run that goes on from a store owes nothing of what earlier ones have begun
	Seen    int `json:"seen"`
}

// Groups counts restarts of whole groups.
type Groups struct {
	OneForAll  int `json:"one_for_all"`
	RestForOne int `json:"rest_for_one"`
}

// Breaker counts what the run's breakers did.
type Breaker struct {
	Opened        int `json:"opened"`
	Closed        int `json:"closed"`
	Rejected      int `json:"rejected"`
	SentWhileOpen int `json:"sent_while_open"` // requests that reached a server past an open breaker
}

// Model is what the embedded model server counted. Requests to another one are not among it.
type Model struct {
	Requests           int `json:"requests"`
	RetriedByTwoLayers int `json:"retried_by_two_layers"` // requests for an attempt that had sent one: the hub is the layer that tries again
	BeforeRetryAfter   int `json:"before_retry_after"`    // requests that came before the time that a Retry-After had named
}

// Recovery is how long failed agents took to be up again, in milliseconds.
type Recovery struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	Max float64 `json:"max"`
}

// Percentiles sums up recovery times by nearest rank: p95 is the smallest time that 95 % do not exceed. Without times all are 0.
func Percentiles(times []time.Duration) Recovery {
	if len(times) == 0 {
		return Recovery{}
	}
	sorted := slices.Sorted(slices.Values(times))
	rank := func(percent int) float64 {
		return milliseconds(sorted[(percent*len(sorted)+99)/100-1])
	}
	return Recovery{P50: rank(50), P95: rank(95), Max: milliseconds(sorted[len(sorted)-1])}
}

// milliseconds are exact to the microsecond, which is all a line of JSON should show.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)/time.Microsecond) / 1000
}

// Facts are what the verdict rests on besides the counts.
type Facts struct {
	Interrupted bool
	OutOfTime   bool
	Ended       Endings  // ids of tasks that ended otherwise than done or failed
	Planned     Endings  // those that were to
	Broken      []string // invariants that were found broken elsewhere, each in a sentence
}

// Endings are ids of tasks by how they end.
type Endings struct{ Quarantined, Cancelled, Expired []string }

// Judge sets Type, Verdict, Problems and ExitCode, the last thing to do before a summary is written. The first that applies decides:
//
//  1. A broken invariant: a lost task, one recorded twice, accounts that do not add up, a request past an open breaker,
//     one retried by two layers or before its Retry-After, one kept though nobody cut the run short, or one in Facts.Broken.
//  2. Interrupted, and 3. out of time. Such a run owes nobody the rest of its plan.
//  4. A broken promise of the plan: a drill that wasn't quarantined, cancelled or expired as it was to be, a mechanism not seen.
//  5. Tasks that failed, and that expired, were cancelled or quarantined without being meant to.
func (s *Summary) Judge(f Facts) {
	s.Type = "summary"
	if s.Planted == nil {
		s.Planted = map[string][]string{}
	}
	if s.Drills == nil {
		s.Drills = map[string]Drill{}
	}
	broken, tasks := append(s.brokenCounts(), f.Broken...), s.unplanned(f)
	if s.Tasks.Kept > 0 && !f.Interrupted && !f.OutOfTime {
		broken = append(broken, fmt.Sprintf("%d tasks are not settled, though nobody has cut the run short", s.Tasks.Kept))
	}
	switch plan := s.brokenPlan(f); {
	case len(broken) > 0:
		s.Verdict, s.ExitCode, s.Problems = VerdictBroken, ExitBroken, broken
	case f.Interrupted:
		s.Verdict, s.ExitCode, s.Problems = VerdictInterrupted, ExitInterrupted, tasks
	case f.OutOfTime:
		s.Verdict, s.ExitCode, s.Problems = VerdictTimeout, ExitTimeout, tasks
	case len(plan) > 0:
		s.Verdict, s.ExitCode, s.Problems = VerdictBroken, ExitBroken, append(plan, tasks...)
	case len(tasks) > 0:
		s.Verdict, s.ExitCode, s.Problems = VerdictTasks, ExitTasks, tasks
	default:
		s.Verdict, s.ExitCode, s.Problems = VerdictOK, ExitOK, nil
	}
}

// Break adds to a judged summary what went wrong afterwards, a problem for each line of the error: a broken invariant, whatever the verdict was. What is among
// the problems already isn't added again; nil adds nothing.
func (s *Summary) Break(err error) {
	if err == nil {
		return
	}
	s.Verdict, s.ExitCode = VerdictBroken, ExitBroken
	for problem := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.Contains(s.Problems, problem) {
			s.Problems = append(s.Problems, problem)
		}
	}
}

func (s *Summary) brokenCounts() []string {
	var broken []string
	t := s.Tasks
	if t.Lost != 0 {
		broken = append(broken, fmt.Sprintf("lost tasks: %d", t.Lost))
	}
	if t.RecordedTwice != 0 {
		broken = append(broken, fmt.Sprintf("tasks recorded twice: %d", t.RecordedTwice))
	}
	if sum := t.Done + t.Failed + t.Quarantined + t.Cancelled + t.Expired + t.Lost + t.Kept; sum != t.Accepted {
		broken = append(broken, fmt.Sprintf("tasks accepted: %d, accounted for: %d", t.Accepted, sum))
	}
	if n := s.Breaker.SentWhileOpen; n != 0 {
		broken = append(broken, fmt.Sprintf("requests past an open breaker: %d", n))
	}
	if n := s.Model.RetriedByTwoLayers; n != 0 {
		broken = append(broken, fmt.Sprintf("requests retried by two layers: %d", n))
	}
	if n := s.Model.BeforeRetryAfter; n != 0 {
		broken = append(broken, fmt.Sprintf("requests before the time that a Retry-After named: %d", n))
	}
	return broken
}

func (s *Summary) brokenPlan(f Facts) []string {
	var broken []string
	for _, e := range f.endings() {
		for _, id := range without(e.planned, e.ended) {
			broken = append(broken, id+" was to be "+e.how+", and isn't")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Drills)) {
		if d := s.Drills[name]; d.Seen < d.Planned {
			broken = append(broken, fmt.Sprintf("planned and not seen: %s (%d of %d)", name, d.Seen, d.Planned))
		}
	}
	return broken
}

func (s *Summary) unplanned(f Facts) []string {
	var tasks []string
	if s.Tasks.Failed > 0 {
		tasks = append(tasks, fmt.Sprintf("tasks failed: %d", s.Tasks.Failed))
	}
	for _, e := range f.endings() {
		strangers := without(e.ended, e.planned)
		if len(strangers) > maxStrangers {
			tasks = append(tasks, fmt.Sprintf("tasks %s and not meant to be: %d", e.how, len(strangers)))
			continue
		}
		for _, id := range strangers {
			tasks = append(tasks, id+" is "+e.how+", and wasn't to be")
		}
	}
	return tasks
}

// maxStrangers bounds how many tasks that ended otherwise than planned are named.
const maxStrangers = 3

// ending is one way to end.
type ending struct {
	how            string
	ended, planned []string
}

func (f Facts) endings() []ending {
	return []ending{
		{"quarantined", f.Ended.Quarantined, f.Planned.Quarantined},
		{"cancelled", f.Ended.Cancelled, f.Planned.Cancelled},
		{"expired", f.Ended.Expired, f.Planned.Expired},
	}
}

// without is what is in ids and not in those, sorted.
func without(ids, those []string) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for _, id := range ids {
			if !slices.Contains(those, id) && !yield(id) {
				return
			}
		}
	})
}

// WriteJSON writes the summary as one line.
func (s Summary) WriteJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(s)
}

// maxProblems bounds how many problems the text spells out.
const maxProblems = 10

// WriteText writes the same for a person, without escape codes.
func (s Summary) WriteText(w io.Writer) error {
	var b strings.Builder
	rows := func(name string, lines []string) {
		for i, line := range lines {
			fmt.Fprintf(&b, "%-10s %s\n", []string{name, ""}[min(i, 1)], line)
		}
	}
	row := func(name, format string, args ...any) { rows(name, wrapped(fmt.Sprintf(format, args...))) }
	t := s.Tasks
	row("tasks", "%d accepted: %d done, %d failed, %d quarantined, %d cancelled, %d expired; %d lost, %d recorded twice",
		t.Accepted, t.Done, t.Failed, t.Quarantined, t.Cancelled, t.Expired, t.Lost, t.RecordedTwice)
	if t.Kept > 0 {
		row("kept", "%d for --resume", t.Kept)
	}
	row("planted", "%s", s.planted())
	row("attempts", "%d, late results refused %d", s.Attempts, s.LateResultsRefused)
	row("restarts", "%d; groups: %d one for all, %d rest for one; %d escalations, %d abandoned",
		s.Restarts, s.GroupRestarts.OneForAll, s.GroupRestarts.RestForOne, s.Escalations, s.Abandoned)
	row("recovery", "p50 %.1f ms, p95 %.1f ms, max %.1f ms", s.RecoveryMS.P50, s.RecoveryMS.P95, s.RecoveryMS.Max)
	row("breaker", "opened %d, closed %d, rejected %d, sent while open %d",
		s.Breaker.Opened, s.Breaker.Closed, s.Breaker.Rejected, s.Breaker.SentWhileOpen)
	row("model", "%d requests, retried by two layers %d, before their Retry-After %d",
		s.Model.Requests, s.Model.RetriedByTwoLayers, s.Model.BeforeRetryAfter)
	if len(s.Drills) > 0 {
		row("drills", "%s", s.drills())
	}
	row("verdict", "%s (seed %d, exit code %d)", s.Verdict, s.Seed, s.ExitCode)
	for i, p := range s.Problems {
		if i == maxProblems {
			row("", "and %d more", len(s.Problems)-i)
			break
		}
		rows("", []string{p})
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrapped breaks a line of the text after commas and semicolons, as seldom as its width allows.
func wrapped(line string) (lines []string) {
	for len(line) > textWidth {
		cut := max(strings.LastIndex(line[:textWidth+1], ", "), strings.LastIndex(line[:textWidth+1], "; "))
		if cut < 0 {
			break
		}
		lines, line = append(lines, line[:cut+1]), line[cut+2:]
	}
	return append(lines, line)
}

// textWidth is how wide a line of the text may be, beside its name: with it, 80 columns.
const textWidth = 80 - 11

// planted says how many drill tasks there are, by kind.
func (s Summary) planted() string {
	if len(s.Planted) == 0 {
		return "no drills"
	}
	return listed(s.Planted, func(kind string, ids []string) string { return fmt.Sprintf("%d %s", len(ids), kind) })
}

// drills says of each mechanism how often it was seen; one that is missing is marked. A run that was cut short doesn't owe it.
func (s Summary) drills() string {
	owed := s.Verdict != VerdictInterrupted && s.Verdict != VerdictTimeout
	return listed(s.Drills, func(name string, d Drill) string {
		text := fmt.Sprintf("%s %d", strings.ReplaceAll(name, "_", " "), d.Seen)
		if d.Seen < d.Planned {
			text += fmt.Sprintf(" of %d", d.Planned)
			if owed {
				text += " (missing)"
			}
		}
		return text
	})
}

// listed lists what there is by name.
func listed[V any](all map[string]V, say func(string, V) string) string {
	var items []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		items = append(items, say(name, all[name]))
	}
	return strings.Join(items, ", ")
}
