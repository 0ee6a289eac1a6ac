package main

import (
	"context"
	"errors"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
)

var stallType = newDrillTask(task.Stall)

const (
	stallBreaker = "drill-stream"
	stallMin     = 500 * time.Millisecond // of silence
)

// stallDrill asks the model for answers that fall silent in the midst of their stream. How suspicious that is tells phi alone: no time limit is near.
func stallDrill(ids []string, c *crew) drill {
	path := drillPath(task.Stall, stallBreaker)
	model := outside(stallBreaker, time.Second)
	model.Stream = actors.Liveness{Min: stallMin}
	return drill{
		ids: ids,
		tree: subtree(task.Stall, 0,
			model,
			actors.Pool(2, actors.Agent("listener", stallType, func(ctx context.Context, id string) (task.DrillResult, error) {
				return c.askDrill(ctx, &c.stream, id)
			})),
		),
		run:  atOnce(stallType, ids, routing.MaxAttempts(drillAttempts)),
		owes: map[string]int{"stream_stalls": len(ids)},
		sees: func(e actors.Event) string {
			var stall *breaker.StalledError
			if e.Kind == actors.Hung && e.Path == path && errors.As(e.Err, &stall) && stall.Phi >= actors.DefaultStreamPhi {
				return "stream_stalls"
			}
			return ""
		},
	}
}
