package main

import (
	"context"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
)

var outageType = newDrillTask(task.Breaker)

const (
	outageBreaker = "drill-llm"

	// drillAttempts is how often a call of the outage drill may fail before it counts as failed: the whole burst may hit one call.
	drillAttempts = 100

	// outageBackoff keeps the last call from waiting for long: in a run that goes on it may be the only one, and has the whole outage before it.
	outageBackoff = 300 * time.Millisecond
)

// outageDrill is a burst of calls to a model that is down at first: the breaker opens, refuses, probes, and closes.
func outageDrill(ids []string, c *crew) drill {
	const rejects = "breaker_rejects"
	path := drillPath(task.Breaker, outageBreaker)
	return drill{
		ids: ids,
		tree: subtree(task.Breaker, 0,
			outside(outageBreaker, 400*time.Millisecond),
			// These don't say what they need, so that the breaker has calls to refuse.
			actors.Pool(2, actors.Agent("caller", outageType, func(ctx context.Context, id string) (task.DrillResult, error) {
				return c.askDrill(ctx, &c.outage, id)
			})),
		),
		types: map[string]routing.TypeOptions{task.Breaker.Type(): {RetryBackoff: routing.Backoff{Max: outageBackoff}}},
		run: func(j *job) {
			atOnce(outageType, ids, routing.MaxAttempts(drillAttempts))(j)
			if b, ok := j.tree.Breaker(path); ok {
				c.seen.add(rejects, int(b.Snapshot().Totals.Rejected))
			}
		},
		owes: map[string]int{"breaker_opens": 1, rejects: 1, "breaker_probes": 1, "breaker_closes": 1},
		sees: func(e actors.Event) string {
			if e.Kind != actors.BreakerChanged || e.Path != path {
				return ""
			}
			switch e.Breaker.To {
			case breaker.Open:
				return "breaker_opens"
			case breaker.HalfOpen:
				return "breaker_probes"
			case breaker.Closed:
				return "breaker_closes"
			}
			return ""
		},
	}
}

// askDrill asks the embedded model about a drill's task.
func (c *crew) askDrill(ctx context.Context, to *line, id string) (task.DrillResult, error) {
	info, _ := routing.FromContext(ctx)
	answer, err := c.ask(ctx, to, info, task.DrillPrompt(id))
	return task.DrillResult{Answer: answer}, err
}
