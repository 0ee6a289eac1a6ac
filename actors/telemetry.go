package actors

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/mistersmith/mistersmith/routing"
)

// Scope is the name of the instrumentation scope of a tree's metrics and traces.
const Scope = "github.com/mistersmith/mistersmith"

// Attributes of a tree's metrics and spans. docs/TELEMETRY.md says which one goes with what.
const (
	treeKey        = attribute.Key("mistersmith.tree") // of the scope: the root's ID
	nodeKindKey    = attribute.Key("mistersmith.node.kind")
	nodePathKey    = attribute.Key("mistersmith.node.path")
	incarnationKey = attribute.Key("mistersmith.node.incarnation")
	statusKey      = attribute.Key("mistersmith.node.status")
	classKey       = attribute.Key("mistersmith.failure.class")
	contextKey     = attribute.Key("mistersmith.failure.context")
	strategyKey    = attribute.Key("mistersmith.strategy")
	verdictKey     = attribute.Key("mistersmith.suspicion")
	breakerKey     = attribute.Key("mistersmith.breaker.state")
	callKey        = attribute.Key("mistersmith.breaker.result")
	taskTypeKey    = attribute.Key("mistersmith.task.type")
	taskIDKey      = attribute.Key("mistersmith.task.id")
	taskStateKey   = attribute.Key("mistersmith.task.state")
	attemptKey     = attribute.Key("mistersmith.task.attempt")
	outcomeKey     = attribute.Key("mistersmith.task.outcome")
	newKey         = attribute.Key("mistersmith.task.new")
)

// WithMeterProvider records the tree's metrics: restarts, failures, recovery times, queues, tasks, attempts, breakers. docs/TELEMETRY.md lists
// them. Without it nothing is recorded, and nothing is paid.
func WithMeterProvider(p metric.MeterProvider) Option { return func(o *options) { o.meters = p } }

// WithTracerProvider makes a trace of every task, from its submit to its end, with a span for each attempt and for each call through a breaker. A span
// that a handler starts with its context is part of it; so is, if the submitter's context has one, the span that the task was submitted in.
// docs/TELEMETRY.md lists them. Without it nothing is recorded, and nothing is paid.
func WithTracerProvider(p trace.TracerProvider) Option { return func(o *options) { o.tracers = p } }

// telemetry is what a tree tells OpenTelemetry. A nil part is one that nobody asked for.
type telemetry struct {
	meters  *meters
	traces  *traces
	closed  chan struct{} // closed when the hub's last event has come
	counted chan struct{} // closed when the tree's last event has; nil without meters
}

// newTelemetry makes what the options ask for; nil if that is nothing.
func newTelemetry(o *options, root string) (*telemetry, error) {
	if o.meters == nil && o.tracers == nil {
		return nil, nil
	}
	t := &telemetry{closed: make(chan struct{})}
	if o.meters != nil {
		m, err := newMeters(o.meters.Meter(Scope, metric.WithInstrumentationAttributes(treeKey.String(root))))
		if err != nil {
			return nil, telemetryFault(err)
		}
		t.meters = m
	}
	if o.tracers != nil {
		t.traces = &traces{o.tracers.Tracer(Scope, trace.WithInstrumentationAttributes(treeKey.String(root)))}
	}
	return t, nil
}

func telemetryFault(err error) error {
	return &SpecError{[]Fault{{"WithMeterProvider", fmt.Sprintf("can't make the instruments: %v", err), err}}}
}

// task is called by the hub for every event, in order and one at a time. It returns the event as others are to see it.
func (t *telemetry) task(e routing.Event) routing.Event {
	if t == nil {
		return e
	}
	if t.meters != nil {
		t.meters.taskSafely(e)
	}
	if t.traces != nil {
		e = t.traces.task(e)
	}
	if e.Kind == routing.EventClosed {
		close(t.closed)
	}
	return e
}

// begin begins to count the tree's events, on a goroutine of its own: a provider that blocks holds up nobody.
func (t *telemetry) begin(tree *Tree) error {
	if t == nil || t.meters == nil {
		return nil
	}
	events := NewSubscription(meterBuffer, countedKinds...)
	if err := t.meters.observe(tree, events); err != nil {
		return telemetryFault(err)
	}
	tree.bus.subscribe(events)
	t.counted = make(chan struct{})
	tree.dispatcher.Schedule(func() {
		defer close(t.counted)
		for e := range events.Events() {
			t.meters.countSafely(tree, e)
		}
	})
	return nil
}

// forget is called for a node that leaves the tree.
func (t *telemetry) forget(n *node) {
	if t != nil && t.meters != nil {
		t.meters.looks.forget(n)
	}
}

// end lets go of the tree, which has ended.
func (t *telemetry) end() {
	if t != nil && t.meters != nil {
		t.meters.looks.end()
	}
}

// settle waits until all that happened is recorded; a provider that blocks is left to itself.
func (t *telemetry) settle(ctx context.Context) {
	if t == nil {
		return
	}
	waitFor(t.closed, DefaultShutdown, ctx.Done())
	if t.counted != nil {
		waitFor(t.counted, DefaultShutdown, ctx.Done())
	}
}
