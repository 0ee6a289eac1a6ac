package main

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/strategies"
)

// newTree describes the system. Every supervisor's restart budget is what the plan has in store for its agents and some more: a crash
// that isn't planned, over and over, escalates.
func newTree(c *crew, in *source.Input, workers int, planned planned) actors.Supervisor {
	budget := func(crashes int) strategies.RestartPolicy {
		return strategies.MaxRestarts(10+crashes, time.Minute)
	}
	return actors.Supervisor{
		ID:       rootID,
		Strategy: strategies.OneForOne(strategies.MaxRestarts(3, time.Minute)),
		Children: []actors.Child{
			actors.Breaker{ID: modelBreaker, Config: breaker.Config{ResetTimeout: time.Second, Classify: blameModel}},

			// Summarizers know nothing of each other: one that crashes is restarted alone, later each time.
			actors.Supervisor{
				ID:       "research",
				Strategy: strategies.OneForOne(budget(planned.summarize).WithBackoff(strategies.Exponential(10*time.Millisecond, 500*time.Millisecond))),
				Children: []actors.Child{actors.Pool(workers, actors.Agent("summarizer", summarizeType, c.summarize))},
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

			actors.Supervisor{
				ID: "drills",
				Children: []actors.Child{
					actors.Supervisor{
						ID:       "poison",
						Strategy: strategies.OneForOne(budget(planned.poison)),
						Children: []actors.Child{actors.Pool(2, actors.Agent("victim", poisonType, c.poison))},
					},
					actors.Supervisor{
						ID: "outage",
						Children: []actors.Child{
							actors.Breaker{ID: outageBreaker, Config: breaker.Config{ResetTimeout: 400 * time.Millisecond}},
							actors.Pool(2, actors.Agent("caller", outageType, c.outage)),
						},
					},
				},
			},
		},
	}
}

func newGlossary() actor.Actor { return &glossary{} }

// blameModel keeps the breaker out of an overload: the model is well, and says itself when to come back.
func blameModel(err error) breaker.Verdict {
	var overloaded *model.OverloadedError
	if errors.As(err, &overloaded) {
		return breaker.Ignore
	}
	return breaker.Failure
}
