package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/report"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/routing"
)

func TestCourseNotesWhatTheReportDraws(t *testing.T) {
	c := newCourse()
	at := func(d time.Duration) time.Time { return c.began.Add(d) }
	c.event(actors.Event{Kind: actors.Started, Path: "root/code/index", Time: at(time.Second)})
	c.event(actors.Event{Kind: actors.Failed, Path: "root/code/index", Time: at(time.Second), Class: actors.Crash})
	c.event(actors.Event{Kind: actors.GroupRestart, Path: "root/code/index", Time: at(time.Second), Group: 5})
	c.event(actors.Event{Kind: actors.Started, Path: "root/code/index", Time: at(2 * time.Second), Incarnation: 2, Delay: time.Second})
	c.event(actors.Event{Kind: actors.Failed, Context: actors.ContextBudgetSpent, Path: "root/code/index", Time: at(2 * time.Second)})
	c.event(actors.Event{Kind: actors.Escalated, Path: "root/code", Time: at(2 * time.Second)})
	c.event(actors.Event{Kind: actors.Abandoned, Path: "root/top", Time: at(2 * time.Second)})
	for i, to := range []breaker.State{breaker.Open, breaker.HalfOpen, breaker.Closed, breaker.Open} {
		c.event(actors.Event{Kind: actors.BreakerChanged, Path: "root/llm", Breaker: &breaker.Transition{To: to, At: at(time.Duration(i) * time.Second)}})
	}
	for i := range 3 {
		c.task(routing.Event{Kind: routing.EventLeased, Task: "review:a.go", Type: "review", Attempt: i + 1})
	}
	c.task(routing.Event{Kind: routing.EventSettled, Task: "review:a.go", Type: "review", Attempt: 3, State: routing.StateDone})

	page := c.end(summary.Summary{})
	assert.Equal(t, []report.TaskCourse{{ID: "review:a.go", Type: "review", Attempts: 3, State: "done"}}, page.Tasks)
	assert.Equal(t, []report.Recovery{{Path: "root/code/index", Lane: "code", At: 2 * time.Second, Took: time.Second}}, page.Recoveries)
	var lanes []string
	for _, i := range page.Incidents {
		lanes = append(lanes, i.Lane)
	}
	assert.Equal(t, []string{"code", "code", "code", "root"}, lanes)
	assert.Equal(t, []report.Outage{{Breaker: "llm", State: "open", To: time.Second}, {Breaker: "llm", State: "half-open", From: time.Second, To: 2 * time.Second},
		{Breaker: "llm", State: "open", From: 3 * time.Second, To: page.Took}}, page.Outages, "one that is open at the end lasts until then")
	assert.Contains(t, page.Outcome[0], "tasks")
}

func TestCourseIsBounded(t *testing.T) {
	c := newCourse()
	for range maxIncidents + 3 {
		c.event(actors.Event{Kind: actors.Failed, Path: "root/a/b"})
		c.event(actors.Event{Kind: actors.Started, Path: "root/a/b", Delay: 1})
	}
	page := c.end(summary.Summary{})
	assert.Len(t, page.Incidents, maxIncidents)
	assert.Len(t, page.Recoveries, maxIncidents)
	assert.Equal(t, 6, page.Missed)
}

// The report that a person reads is there in both forms, and the drawn one tells of the failures of this very run.
func TestReportIsWrittenInBothForms(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	code, stdout, stderr := demo("--input", project(t, oneFile), "--out", out)
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Contains(t, stdout, filepath.Join(out, htmlFile))
	page, err := os.ReadFile(filepath.Join(out, htmlFile))
	require.NoError(t, err)
	failed := map[string]int{}
	for _, where := range regexp.MustCompile(`class="mark-failed"[^>]*><title>[0-9.]+ s root/(?:drills/)?([^/ ]+)`).FindAllStringSubmatch(string(page), -1) {
		failed[where[1]]++
	}
	require.GreaterOrEqual(t, failed["hang"], 2, "on a busy machine somebody may seem to hang who doesn't")
	delete(failed, "hang")
	require.Equal(t, map[string]int{"poison": 6, "escalate": 4, "all": 1, "rest": 1, "sum": 1, "$hub": 1}, failed)
	require.Contains(t, string(page), "drills/breaker/drill-llm open from ")
	_, err = os.Stat(filepath.Join(out, reportFile))
	require.NoError(t, err)
}
