// Package summary closes a run: the counts, the verdict and the exit code, as one line of JSON or a short block of text.
//
//	s.Judge(facts)
//	s.WriteJSON(os.Stdout)   // or WriteText
//	os.Exit(s.ExitCode)
package summary

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
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
	Type               string   `json:"type"` // always "summary"
	Seed               uint64   `json:"seed"`
	Tasks              Tasks    `json:"tasks"`
	Planted            Planted  `json:"planted"`
	Attempts           int      `json:"attempts"` // leases given out
	LateResultsRefused int      `json:"late_results_refused"`
	Restarts           int      `json:"restarts"`
	GroupRestarts      Groups   `json:"group_restarts"`
	Escalations        int      `json:"escalations"`
	Abandoned          int      `json:"abandoned"`
	Breaker            Breaker  `json:"breaker"`
	Model              Model    `json:"model"`
	RecoveryMS         Recovery `json:"recovery_ms"`
	Verdict            string   `json:"verdict"`
	Problems           []string `json:"problems,omitempty"` // why the verdict is not ok
	ExitCode           int      `json:"exit_code"`
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

// Planted are the drills the run was given. The lists are never null.
type Planted struct {
	Poison  []string `json:"poison"`
	Breaker []string `json:"breaker"`
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
	Quarantined []string    // ids of the tasks that ended in quarantine
	Mechanisms  []Mechanism // planned mechanisms
	Broken      []string    // invariants that were found broken elsewhere, each in a sentence
}

// Mechanism is something the plan wanted to happen, and how often it did.
type Mechanism struct {
	Name    string
	Planned int // at least this often
	Seen    int
}

// Judge sets Type, Verdict, Problems and ExitCode, the last thing to do before a summary is written. The first that applies decides:
//
//  1. A broken invariant: a lost task, one recorded twice, accounts that do not add up, a request past an open breaker,
//     one retried by two layers or before its Retry-After, or one in Facts.Broken.
//  2. Interrupted, and 3. out of time. Such a run owes nobody the rest of its plan.
//  4. A broken promise of the plan: poison not quarantined, a mechanism not seen.
//  5. Tasks that failed, expired, were cancelled, or were quarantined without being planted.
func (s *Summary) Judge(f Facts) {
	s.Type = "summary"
	s.Planted.Poison = append([]string{}, s.Planted.Poison...)
	s.Planted.Breaker = append([]string{}, s.Planted.Breaker...)
	broken, tasks := append(s.brokenCounts(), f.Broken...), s.unplanned(f)
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
	for _, id := range s.Planted.Poison {
		if !slices.Contains(f.Quarantined, id) {
			broken = append(broken, id+" was planted and is not in quarantine")
		}
	}
	for _, m := range f.Mechanisms {
		if m.Seen < m.Planned {
			broken = append(broken, fmt.Sprintf("planned and not seen: %s (%d of %d)", m.Name, m.Seen, m.Planned))
		}
	}
	return broken
}

func (s *Summary) unplanned(f Facts) []string {
	var tasks []string
	for _, ended := range []struct {
		n   int
		how string
	}{{s.Tasks.Failed, "failed"}, {s.Tasks.Cancelled, "cancelled"}, {s.Tasks.Expired, "expired"}} {
		if ended.n > 0 {
			tasks = append(tasks, fmt.Sprintf("tasks %s: %d", ended.how, ended.n))
		}
	}
	strangers := slices.DeleteFunc(slices.Clone(f.Quarantined), func(id string) bool { return slices.Contains(s.Planted.Poison, id) })
	slices.Sort(strangers)
	for _, id := range strangers {
		tasks = append(tasks, id+" is in quarantine and was not planted")
	}
	return tasks
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
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	t := s.Tasks
	row("tasks", "%d accepted: %d done, %d failed, %d quarantined, %d cancelled, %d expired; %d lost, %d recorded twice",
		t.Accepted, t.Done, t.Failed, t.Quarantined, t.Cancelled, t.Expired, t.Lost, t.RecordedTwice)
	if t.Kept > 0 {
		row("kept", "%d for --resume", t.Kept)
	}
	row("planted", "poison: %s; breaker burst: %d calls", cmp.Or(strings.Join(s.Planted.Poison, ", "), "none"), len(s.Planted.Breaker))
	row("attempts", "%d, late results refused %d", s.Attempts, s.LateResultsRefused)
	row("restarts", "%d; groups: %d one for all, %d rest for one; %d escalations, %d abandoned",
		s.Restarts, s.GroupRestarts.OneForAll, s.GroupRestarts.RestForOne, s.Escalations, s.Abandoned)
	row("recovery", "p50 %.1f ms, p95 %.1f ms, max %.1f ms", s.RecoveryMS.P50, s.RecoveryMS.P95, s.RecoveryMS.Max)
	row("breaker", "opened %d, closed %d, rejected %d, sent while open %d",
		s.Breaker.Opened, s.Breaker.Closed, s.Breaker.Rejected, s.Breaker.SentWhileOpen)
	row("model", "%d requests, retried by two layers %d, before their Retry-After %d",
		s.Model.Requests, s.Model.RetriedByTwoLayers, s.Model.BeforeRetryAfter)
	row("verdict", "%s (seed %d, exit code %d)", s.Verdict, s.Seed, s.ExitCode)
	for i, p := range s.Problems {
		if i == maxProblems {
			row("", "and %d more", len(s.Problems)-i)
			break
		}
		row("", "%s", p)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
