package main

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/report"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/routing"
)

// maxIncidents bounds what a report draws of a run, of each kind.
const maxIncidents = 2000

// course notes how a run goes, for the report.
type course struct {
	began time.Time

	mu     sync.Mutex // guards what follows: events come from several goroutines
	page   report.Course
	tasks  map[string]report.TaskCourse
	trials map[string]report.Outage // of breakers that aren't closed now, by path
}

func newCourse() *course {
	now := time.Now()
	return &course{began: now, page: report.Course{Began: now}, tasks: make(map[string]report.TaskCourse), trials: make(map[string]report.Outage)}
}

func (c *course) since(t time.Time) time.Duration { return max(t.Sub(c.began), 0) }

// event notes an event of the tree.
func (c *course) event(e actors.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e.Kind {
	case actors.Started:
		if e.Delay > 0 {
			c.recovered(e)
		}
	case actors.Failed:
		if e.Context != actors.ContextBudgetSpent { // that one is told of by Escalated as well
			c.incident(e, report.Failed, above(e.Path))
		}
	case actors.GroupRestart:
		c.incident(e, report.Group, above(e.Path))
	case actors.Escalated:
		c.incident(e, report.Escalated, withoutRoot(e.Path))
	case actors.Abandoned:
		c.incident(e, report.Abandoned, above(e.Path))
	case actors.BreakerChanged:
		c.changed(e.Path, *e.Breaker)
	}
}

func (c *course) recovered(e actors.Event) {
	if len(c.page.Recoveries) == maxIncidents {
		c.page.Missed++
		return
	}
	c.page.Recoveries = append(c.page.Recoveries, report.Recovery{Path: e.Path, Lane: above(e.Path), At: c.since(e.Time), Took: e.Delay})
}

func (c *course) incident(e actors.Event, s report.Severity, lane string) {
	if len(c.page.Incidents) == maxIncidents {
		c.page.Missed++
		return
	}
	c.page.Incidents = append(c.page.Incidents, report.Incident{At: c.since(e.Time), Lane: lane, Severity: s, Text: e.String()})
}

// changed ends the period that a breaker was in, if it wasn't closed, and begins the next.
func (c *course) changed(path string, t breaker.Transition) {
	at := c.since(t.At)
	c.endPeriod(path, at)
	if t.To == breaker.Open || t.To == breaker.HalfOpen {
		c.trials[path] = report.Outage{Breaker: withoutRoot(path), State: t.To.String(), From: at}
	}
}

func (c *course) endPeriod(path string, at time.Duration) {
	if o, ok := c.trials[path]; ok {
		o.To = at
		c.page.Outages = append(c.page.Outages, o)
		delete(c.trials, path)
	}
}

// task notes an event of the hub.
func (c *course) task(e routing.Event) {
	if e.Kind != routing.EventLeased && e.Kind != routing.EventSettled {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tasks[e.Task]
	t.ID, t.Type, t.Attempts = e.Task, e.Type, max(t.Attempts, e.Attempt)
	if e.Kind == routing.EventSettled {
		t.State = e.State.String()
	}
	c.tasks[e.Task] = t
}

// end is what the report draws, once everything is over.
func (c *course) end(s summary.Summary) report.Course {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.page.Took = time.Since(c.began)
	for path := range maps.Clone(c.trials) {
		c.endPeriod(path, c.page.Took)
	}
	c.page.Tasks = slices.SortedFunc(maps.Values(c.tasks), func(a, b report.TaskCourse) int { return cmp.Compare(a.ID, b.ID) })
	var b strings.Builder
	_ = s.WriteText(&b) // a builder takes everything
	c.page.Outcome = strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	return c.page
}

// above is the path of the node above, as a report names it.
func above(path string) string {
	if cut := strings.LastIndexByte(path, '/'); cut >= 0 {
		return withoutRoot(path[:cut])
	}
	return path
}

func withoutRoot(path string) string { return strings.TrimPrefix(path, rootID+"/") }
