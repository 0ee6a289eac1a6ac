package main

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/strategies"
)

// newTree describes the system. Every supervisor's restart budget is what the plan has in store for its agents and some more: a crash
// that isn't planned, over and over, escalates.
func newTree(c *crew, in *source.Input, workers int, planned planned, drills []drill) actors.Supervisor {
	root := actors.Supervisor{
		ID:       rootID,
		Strategy: strategies.OneForOne(strategies.MaxRestarts(3, time.Minute)),
		Children: []actors.Child{
			outside(modelBreaker, 100*time.Millisecond),

			// Summarizers know nothing of each other: one that crashes is restarted alone, later each time. Without the model they can do nothing: while its
			// breaker is open they are given no tasks.
			actors.Supervisor{
				ID:       "research",
				Strategy: strategies.OneForOne(budget(planned.summarize).WithBackoff(strategies.Exponential(10*time.Millisecond, 200*time.Millisecond))),
				Children: []actors.Child{actors.Pool(workers, actors.Agent("summarizer", summarizeType, c.summarize).GuardedBy(modelBreaker))},
			},

			// Metrics agents depend on the index before them: if it crashes they go down with it, and come up after it.
			actors.Supervisor{
				ID:       "code",
				Strategy: strategies.RestForOne(budget(planned.metrics)),
				Children: []actors.Child{
					actors.Actor("index", newIndex(in)),
					actors.Pool(workers, actors.Agent("metrics", metricsType, c.measure)),
				},
			},

			// Reviewers and their glossary are of one mind: none goes on without the others.
			actors.Supervisor{
				ID:       "review",
				Strategy: strategies.OneForAll(budget(planned.review)),
				Children: []actors.Child{
					actors.Actor("glossary", newGlossary),
					actors.Pool(max(workers/2, 1), actors.Agent("reviewer", reviewType, c.review)),
				},
			},
		},
	}
	if len(drills) > 0 {
		all := actors.Supervisor{ID: "drills", Strategy: strategies.OneForOne(budget(0))}
		for _, d := range drills {
			all.Children = append(all.Children, d.tree)
		}
		root.Children = append(root.Children, all)
	}
	return root
}

// planned counts the crashes that a plan has in store, by type of task.
type planned struct{ summarize, metrics, review int }

func countPlanned(plan chaos.Plan, in *source.Input) (p planned) {
	for _, e := range plan.Events(task.ForFiles(in.Paths())) {
		if !e.Panics {
			continue
		}
		switch kind, _ := task.TypeOf(e.Task); kind {
		case task.TypeSummarize:
			p.summarize++
		case task.TypeMetrics:
			p.metrics++
		case task.TypeReview:
			p.review++
		}
	}
	return p
}

func newGlossary() actor.Actor { return &glossary{} }

// outside guards the calls to a model: no more than its bulkhead's places at once, none while it asked to be left alone, none while it is down. Nothing is
// tried again there, for the hub does that.
func outside(id string, resetTimeout time.Duration) actors.External {
	return actors.External{ID: id, Config: breaker.ExternalConfig{Breaker: breaker.Config{ResetTimeout: resetTimeout, Classify: blameModel}}}
}

// blameModel keeps the breaker out of what the model refuses for good: it is well, and an answer is an answer.
func blameModel(err error) breaker.Verdict {
	if hopeless(err) {
		return breaker.Success
	}
	return breaker.ClassifyExternal(err)
}
