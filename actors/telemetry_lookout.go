package actors

import (
	"context"
	"strings"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/mistersmith/mistersmith/breaker"
)

// lookout looks at a tree whenever metrics are collected. The counts of a tree that has ended, and of nodes that are gone, stay as they were, as those
// of any counter do: a provider may outlive many trees.
type lookout struct {
	mu      sync.Mutex
	tree    *Tree // nil when it has ended
	events  *Subscription
	seen    map[*actor.PID]seen // of each node that is there, at the last look
	dropped map[attribute.Set]int64
	calls   map[attribute.Set]int64
	refused int64
	missed  int64
}

// seen is what a node had counted, and is in the sums of its series already.
type seen struct {
	dropped uint64
	calls   breaker.Totals
}

// observe has the tree looked at from now on.
func (m *meters) observe(t *Tree, events *Subscription) error {
	l := &m.looks
	l.mu.Lock()
	l.tree, l.events = t, events
	l.seen, l.dropped, l.calls = make(map[*actor.PID]seen), make(map[attribute.Set]int64), make(map[attribute.Set]int64)
	l.mu.Unlock()
	_, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.tree != nil {
			m.levels(l.look(), o)
		}
		for set, n := range l.dropped {
			o.ObserveInt64(m.dropped, n, metric.WithAttributeSet(set))
		}
		for set, n := range l.calls {
			o.ObserveInt64(m.calls, n, metric.WithAttributeSet(set))
		}
		o.ObserveInt64(m.refused, l.refused)
		o.ObserveInt64(m.missed, l.missed)
		return nil
	}, m.nodes, m.queue, m.abandoned, m.breakers, m.unsettled, m.dropped, m.calls, m.refused, m.missed)
	return err
}

// end takes the last look.
func (l *lookout) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree != nil {
		l.look()
		l.tree, l.events, l.seen = nil, nil, nil
	}
}

// forget takes a last look at a node that leaves the tree.
func (l *lookout) forget(n *node) {
	series := n.series()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tree != nil {
		l.count(n.snapshotAlone(), series)
	}
}

// sight is what is there at one moment.
type sight struct {
	nodes, queue, breakers map[attribute.Set]int64
	abandoned              int64
	waiting, leased        int64
}

// look takes the counts down and returns the rest. The caller holds mu.
func (l *lookout) look() sight {
	counts := l.tree.hub.Counts()
	l.refused, l.missed = int64(counts.Refused), int64(counts.EventsDropped+l.events.Missed())
	before := l.seen
	l.seen = make(map[*actor.PID]seen, len(before))
	s := sight{
		nodes: make(map[attribute.Set]int64), queue: make(map[attribute.Set]int64), breakers: make(map[attribute.Set]int64),
		abandoned: int64(len(l.tree.Abandoned())), waiting: int64(counts.Waiting), leased: int64(counts.Leased),
	}
	if l.tree.root != nil {
		l.visit(l.tree.Snapshot(), "", before, &s)
	}
	return s
}

func (l *lookout) visit(n NodeSnapshot, above string, before map[*actor.PID]seen, s *sight) {
	series := seriesOf(above, n.ID, n.Dynamic)
	kind := nodeKindKey.String(n.Kind.String())
	node := attribute.NewSet(nodePathKey.String(series), kind)
	s.nodes[attribute.NewSet(kind, statusKey.String(n.Status.String()))]++
	s.queue[node] += int64(n.Queue)
	if last, ok := before[n.PID]; ok {
		l.seen[n.PID] = last
	}
	l.count(n, series)
	if b := n.Breaker; b != nil {
		for _, state := range breakerStates {
			set := attribute.NewSet(nodePathKey.String(series), breakerKey.String(state.String()))
			if s.breakers[set] += 0; state == b.State {
				s.breakers[set]++
			}
		}
	}
	for _, child := range n.Children {
		l.visit(child, series, before, s)
	}
}

// count adds what a node has counted since it was seen to the sums of its series.
func (l *lookout) count(n NodeSnapshot, series string) {
	last, now := l.seen[n.PID], seen{dropped: n.Dropped}
	l.dropped[attribute.NewSet(nodePathKey.String(series), nodeKindKey.String(n.Kind.String()))] += int64(now.dropped - last.dropped)
	if n.Breaker != nil {
		now.calls = n.Breaker.Totals
		// those that did not time out; the two are read one after the other
		now.calls.Failed = max(now.calls.Failed-min(now.calls.TimedOut, now.calls.Failed), last.calls.Failed)
		add := func(result string, now, last uint64) {
			l.calls[attribute.NewSet(nodePathKey.String(series), callKey.String(result))] += int64(now) - int64(min(last, now))
		}
		add("succeeded", now.calls.Succeeded, last.calls.Succeeded)
		add("timed out", now.calls.TimedOut, last.calls.TimedOut)
		add("failed", now.calls.Failed, last.calls.Failed)
		add("ignored", now.calls.Ignored, last.calls.Ignored)
		add("rejected", now.calls.Rejected, last.calls.Rejected)
	}
	l.seen[n.PID] = now
}

// breakerStates are all that a breaker can be in.
var breakerStates = [...]breaker.State{breaker.Closed, breaker.Open, breaker.HalfOpen, breaker.Stopped, breaker.ForcedOpen, breaker.Disabled}

// levels reports what is there now.
func (m *meters) levels(s sight, o metric.Observer) {
	for set, n := range s.nodes {
		o.ObserveInt64(m.nodes, n, metric.WithAttributeSet(set))
	}
	for set, n := range s.queue {
		o.ObserveInt64(m.queue, n, metric.WithAttributeSet(set))
	}
	for set, n := range s.breakers {
		o.ObserveInt64(m.breakers, n, metric.WithAttributeSet(set))
	}
	o.ObserveInt64(m.abandoned, s.abandoned)
	o.ObserveInt64(m.unsettled, s.waiting, metric.WithAttributes(taskStateKey.String("waiting")))
	o.ObserveInt64(m.unsettled, s.leased, metric.WithAttributes(taskStateKey.String("leased")))
}

// series is the path by which metrics tell the node from others.
func (n *node) series() string {
	if n.parent == nil || n.parent.kind == kindSystem {
		return n.path
	}
	return seriesOf(n.parent.series(), n.spec().id, !n.isStatic.Load())
}

func seriesOf(above, id string, dynamic bool) string {
	switch {
	case above == "":
		return id
	case dynamic:
		return above + "/*"
	default:
		return above + "/" + id
	}
}

// parentOf is the path of the node above.
func parentOf(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}
