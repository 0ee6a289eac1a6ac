package actors

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/mistersmith/mistersmith/routing"
)

// meterBuffer is how many events of the tree may wait to be counted; what finds no room is counted as missed.
const meterBuffer = 8192

// durations are the bounds of the histograms' buckets, in seconds: from a restart without a backoff to a long answer of a model.
var durations = []float64{0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}

// meters are the instruments of a tree.
type meters struct {
	// ---- of the tree's events; see telemetry_events.go
	restarts, failures, groupRestarts, escalations metric.Int64Counter
	abandonments, faults, suspicions, transitions  metric.Int64Counter
	recovery, backoff                              metric.Float64Histogram

	// ---- of the hub's events
	submitted, settled, attempts, late metric.Int64Counter
	waited, handled                    metric.Float64Histogram

	// ---- looked up when they are collected
	nodes, queue, abandoned, breakers, unsettled metric.Int64ObservableUpDownCounter
	dropped, calls, refused, missed              metric.Int64ObservableCounter

	meter metric.Meter
	looks lookout

	// ---- owned by whoever is handed the hub's events, one at a time
	since   map[string]time.Time // by task: since when it could have been leased, or has been
	options map[taskSeries]metric.MeasurementOption
}

// taskSeries tells the series of the tasks' metrics apart. word is a state or an outcome.
type taskSeries struct{ taskType, word string }

// maxTimed bounds how many tasks are timed. It is above what a hub holds by default.
const maxTimed = 1 << 17

// newMeters makes the instruments. This is the list that docs/TELEMETRY.md has to match.
func newMeters(meter metric.Meter) (*meters, error) {
	m := &meters{meter: meter, since: make(map[string]time.Time), options: make(map[taskSeries]metric.MeasurementOption)}
	var errs []error
	counter := func(into *metric.Int64Counter, name, unit, about string) {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(about))
		*into, errs = c, append(errs, err)
	}
	seconds := func(into *metric.Float64Histogram, name, about string) {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(about), metric.WithExplicitBucketBoundaries(durations...))
		*into, errs = h, append(errs, err)
	}
	level := func(into *metric.Int64ObservableUpDownCounter, name, unit, about string) {
		g, err := meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(about))
		*into, errs = g, append(errs, err)
	}
	total := func(into *metric.Int64ObservableCounter, name, unit, about string) {
		c, err := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(about))
		*into, errs = c, append(errs, err)
	}
	counter(&m.restarts, "mistersmith.restarts", "{restart}", "Starts of a node after its first.")
	counter(&m.failures, "mistersmith.failures", "{failure}", "Failures that supervisors dealt with.")
	seconds(&m.recovery, "mistersmith.recovery.duration", "From a node's failure until it was up again.")
	seconds(&m.backoff, "mistersmith.backoff.duration", "Waits before a restart.")
	counter(&m.groupRestarts, "mistersmith.group_restarts", "{restart}", "Failures that took siblings along.")
	counter(&m.escalations, "mistersmith.escalations", "{escalation}", "Supervisors that gave up and handed a failure to the next level.")
	counter(&m.abandonments, "mistersmith.abandonments", "{abandonment}", "Times that code which didn't return was left behind.")
	level(&m.abandoned, "mistersmith.abandoned", "{goroutine}", "Abandoned code that hasn't returned yet.")
	counter(&m.faults, "mistersmith.faults", "{fault}", "Panics of deciders and hooks that were overruled.")
	counter(&m.suspicions, "mistersmith.suspicions", "{verdict}", "Verdicts of the failure detector.")
	level(&m.nodes, "mistersmith.nodes", "{node}", "Nodes of the tree.")
	level(&m.queue, "mistersmith.queue.depth", "{message}", "Messages that wait in the queues of nodes.")
	total(&m.dropped, "mistersmith.queue.dropped", "{message}", "Messages that found a queue full.")

	level(&m.breakers, "mistersmith.breaker.state", "{breaker}", "Breakers in a state: 1 or 0 for a single breaker.")
	counter(&m.transitions, "mistersmith.breaker.transitions", "{transition}", "Changes of a breaker's state.")
	total(&m.calls, "mistersmith.breaker.calls", "{call}", "Calls that came to a breaker.")

	counter(&m.submitted, "mistersmith.tasks.submitted", "{task}", "Tasks that were accepted.")
	total(&m.refused, "mistersmith.tasks.refused", "{task}", "Submits that were refused.")
	counter(&m.settled, "mistersmith.tasks.settled", "{task}", "Tasks that ended.")
	level(&m.unsettled, "mistersmith.tasks.unsettled", "{task}", "Tasks that wait or are worked on.")
	counter(&m.attempts, "mistersmith.task.attempts", "{attempt}", "Attempts that ended.")
	counter(&m.late, "mistersmith.task.late_results", "{result}", "Results that came under a lease that wasn't current any more, and were refused.")
	seconds(&m.waited, "mistersmith.task.queue.duration", "From when a task could be leased until it was.")
	seconds(&m.handled, "mistersmith.task.handler.duration", "From the lease of a task until the attempt ended.")

	total(&m.missed, "mistersmith.events.missed", "{event}", "Events that were lost before they were counted here: the other counters are too low by as much.")
	return m, errors.Join(errs...)
}

// ---- tasks

// series returns the attributes of a series, made once.
func (m *meters) series(key attribute.Key, taskType, word string) metric.MeasurementOption {
	id := taskSeries{taskType, string(key) + word}
	o, ok := m.options[id]
	if !ok {
		attrs := []attribute.KeyValue{taskTypeKey.String(taskType)}
		if key != "" {
			attrs = append(attrs, key.String(word))
		}
		o = metric.WithAttributeSet(attribute.NewSet(attrs...))
		m.options[id] = o
	}
	return o
}

// task counts what happens to tasks.
func (m *meters) task(e routing.Event) {
	ctx := context.Background()
	switch e.Kind {
	case routing.EventSubmitted:
		m.submitted.Add(ctx, 1, m.series("", e.Type, ""))
		m.waits(e.Task, e.Time)
	case routing.EventRequeued:
		m.waits(e.Task, e.Time)
	case routing.EventLeased:
		if since, ok := m.since[e.Task]; ok {
			m.waited.Record(ctx, max(e.Time.Sub(since), 0).Seconds(), m.series("", e.Type, ""))
			m.since[e.Task] = e.Time
		}
	case routing.EventRetried:
		m.attempted(ctx, e)
		m.waits(e.Task, e.Time.Add(e.After))
	case routing.EventSettled:
		if e.Attempt > 0 {
			m.attempted(ctx, e)
		}
		m.settled.Add(ctx, 1, m.series(taskStateKey, e.Type, e.State.String()))
		delete(m.since, e.Task)
	case routing.EventLateResult:
		m.late.Add(ctx, 1, m.series("", e.Type, ""))
	case routing.EventClosed:
		clear(m.since)
	}
}

// taskSafely survives a provider that panics: what it was to record is lost.
func (m *meters) taskSafely(e routing.Event) {
	defer func() { _ = recover() }()
	m.task(e)
}

// waits notes that a task can be leased from then on.
func (m *meters) waits(task string, from time.Time) {
	if len(m.since) >= maxTimed {
		clear(m.since) // those are there whose end was missed, or a hub holds more than can be timed
	}
	m.since[task] = from
}

func (m *meters) attempted(ctx context.Context, e routing.Event) {
	series := m.series(outcomeKey, e.Type, e.Outcome.String())
	m.attempts.Add(ctx, 1, series)
	if since, ok := m.since[e.Task]; ok {
		m.handled.Record(ctx, max(e.Time.Sub(since), 0).Seconds(), series)
	}
}
