package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// checkSummary holds what a run counted against its plan and its records: every mechanism that the plan owes was seen, the tasks are as many as the results say, and the verdict is what
// the counts yield. It also says how many mechanisms were seen, and how many of them the run doesn't owe because an earlier process of it had begun with them.
func checkSummary(dir string, run books.Run, records []books.Record) (findings books.Findings, seen, notOwed int) {
	find := func(kind books.Kind, format string, args ...any) {
		findings = append(findings, books.Finding{ID: summaryFile, Kind: kind, Detail: fmt.Sprintf(format, args...)})
	}
	var s summary.Summary
	if err := books.ReadJSON(filepath.Join(dir, summaryFile), &s); err != nil {
		find(books.KindFigure, "%v", err)
		return findings, 0, 0
	}
	if s.Seed != run.Seed {
		find(books.KindPlan, "the seed is %d, must be %d", s.Seed, run.Seed)
	}
	if !maps.EqualFunc(s.Planted, byName(run.Planted), slices.Equal) {
		find(books.KindPlan, "planted isn't what %s says", books.RunFile)
	}
	plan, err := run.Plan()
	if err != nil {
		return findings, 0, 0 // said already
	}
	cutShort := s.Verdict == summary.VerdictInterrupted || s.Verdict == summary.VerdictTimeout
	owed := owed(newDrills(plan.Drills(), &crew{plan: plan}), nil)
	for _, mechanism := range slices.Sorted(maps.Keys(owed)) {
		switch d, counted := s.Drills[mechanism]; {
		case !counted:
			find(books.KindPlan, "the mechanism %s is missing", mechanism)
		case d.Planned == 0 && s.Resumed:
			notOwed++
		case d.Planned != owed[mechanism]:
			find(books.KindPlan, "the mechanism %s is planned %d times, must be %d", mechanism, d.Planned, owed[mechanism])
		case d.Seen < d.Planned && cutShort: // that it is cut short is said below
		case d.Seen < d.Planned:
			find(books.KindFigure, "the mechanism %s was seen %d times, planned are %d", mechanism, d.Seen, d.Planned)
		default:
			seen++
		}
	}
	for _, mechanism := range slices.Sorted(maps.Keys(s.Drills)) {
		if _, known := owed[mechanism]; !known {
			find(books.KindPlan, "the mechanism %s is none of the plan", mechanism)
		}
	}

	counted, ended := countRecords(records)
	for _, c := range []struct {
		how     books.Status
		claimed int
	}{{books.Done, s.Tasks.Done}, {books.Failed, s.Tasks.Failed}, {books.Quarantined, s.Tasks.Quarantined}, {books.Cancelled, s.Tasks.Cancelled}, {books.Expired, s.Tasks.Expired}} {
		// Of what was cut short or failed, the results also have the tasks that came to nothing before the hub had them.
		more := s.Verdict != summary.VerdictOK && (c.how == books.Failed || c.how == books.Cancelled)
		if c.claimed > counted[c.how] || c.claimed < counted[c.how] && !more {
			find(books.KindFigure, "%d tasks are %s, by the results %d", c.claimed, c.how, counted[c.how])
		}
	}

	whole := s // as if nobody had cut it short
	whole.Judge(summary.Facts{Ended: ended, Planned: plannedEndings(run.Planted)})
	again := s // with what it says that it ended as
	again.Judge(summary.Facts{Interrupted: s.Verdict == summary.VerdictInterrupted, OutOfTime: s.Verdict == summary.VerdictTimeout, Ended: ended, Planned: plannedEndings(run.Planted)})
	if again.Verdict == s.Verdict && again.ExitCode != s.ExitCode {
		find(books.KindFigure, "the exit code is %d, must be %d", s.ExitCode, again.ExitCode)
	}
	switch {
	case s.Verdict == summary.VerdictOK && whole.Verdict != summary.VerdictOK:
		find(books.KindFigure, "the verdict is %s, by the counts it must be %s", s.Verdict, strings.Join(append([]string{whole.Verdict}, whole.Problems...), "; "))
	case s.Verdict == summary.VerdictOK && len(s.Problems) > 0:
		find(books.KindFigure, "the verdict is %s, but there are problems: %s", s.Verdict, strings.Join(s.Problems, "; "))
	case s.Verdict != summary.VerdictOK && !(cutShort && whole.Verdict == summary.VerdictOK): // one that was cut short may have been through
		find(books.KindStatus, "the run ended as: %s", strings.Join(append([]string{s.Verdict}, s.Problems...), "; "))
	}
	return findings, seen, notOwed
}

// byName are the drills of a run as its summary has them.
func byName(drills chaos.Drills) map[string][]string {
	all := make(map[string][]string, len(drills))
	for d, ids := range drills {
		all[string(d)] = ids
	}
	return all
}

// countRecords counts records by how their tasks ended, and lists those that ended otherwise than done or failed.
func countRecords(records []books.Record) (counted map[books.Status]int, ended summary.Endings) {
	counted = make(map[books.Status]int)
	for _, r := range records {
		counted[r.Status]++
		switch task.Ending(r.Status) {
		case task.Quarantined:
			ended.Quarantined = append(ended.Quarantined, r.ID)
		case task.Cancelled:
			ended.Cancelled = append(ended.Cancelled, r.ID)
		case task.Expired:
			ended.Expired = append(ended.Expired, r.ID)
		}
	}
	return counted, ended
}
