package actors

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// countedKinds are the events that count looks at.
var countedKinds = []EventKind{Started, Failed, GroupRestart, BackingOff, Escalated, Abandoned, Faulty, Suspected, Hung, Recovered, BreakerChanged}

// count enters an event of the tree into the metrics. Which event counts for what is said here and nowhere else.
func (m *meters) count(t *Tree, e Event) {
	ctx := context.Background()
	of := func(more ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(more, nodePathKey.String(t.series(e.Path)), nodeKindKey.String(e.Node.String()))...))
	}
	switch e.Kind {
	case Started:
		if e.Incarnation > 1 {
			m.restarts.Add(ctx, 1, of())
		}
		if e.Delay > 0 {
			m.recovery.Record(ctx, e.Delay.Seconds(), of())
		}
	case Failed:
		m.failures.Add(ctx, 1, of(contextKey.String(e.Context.String()), classKey.String(e.Class.String())))
	case GroupRestart:
		m.groupRestarts.Add(ctx, 1, of(strategyKey.String(e.Strategy)))
	case BackingOff:
		m.backoff.Record(ctx, e.Delay.Seconds(), of())
	case Escalated:
		m.escalations.Add(ctx, 1, of())
	case Abandoned:
		m.abandonments.Add(ctx, 1, of())
	case Faulty:
		m.faults.Add(ctx, 1, of())
	case Suspected, Hung, Recovered:
		m.suspicions.Add(ctx, 1, of(verdictKey.String(e.Kind.String())))
	case BreakerChanged:
		m.transitions.Add(ctx, 1, of(breakerKey.String(e.Breaker.To.String())))
	}
}

// countSafely survives a provider that panics: what it was to record is lost.
func (m *meters) countSafely(t *Tree, e Event) {
	defer func() { _ = recover() }()
	m.count(t, e)
}

// series is the path by which metrics tell a node from others. What a supervisor was given while it runs, of which there may be any number, is "*".
func (t *Tree) series(path string) string {
	n := t.lookup(path)
	if n == nil { // it has ended for good, so it came while the tree ran
		return t.series(parentOf(path)) + "/*"
	}
	return n.series()
}
