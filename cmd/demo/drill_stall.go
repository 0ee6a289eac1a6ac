package main

import (
	"context"
	"errors"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var stallType = routing.NewType[string, task.DrillResult](task.Stall.Type())

const (
	stallBreaker = "drill-stream"
	stallPieces  = 60                     // of an answer, enough to know how far they are apart
	stallPace    = 3 * time.Millisecond   // from one to the next
	stallMin     = 500 * time.Millisecond // of silence
)

// stallDrill has streams that fall silent in the midst of an answer. How suspicious that is tells phi alone: no time limit is near.
func stallDrill(ids []string) drill {
	path := drillPath(task.Stall, stallBreaker)
	return drill{
		ids: ids,
		tree: actors.Supervisor{
			ID: string(task.Stall), Strategy: strategies.OneForOne(budget(0)),
			Children: []actors.Child{
				actors.Breaker{ID: stallBreaker, Stream: actors.Liveness{Min: stallMin}},
				actors.Pool(2, actors.Agent("listener", stallType, listen)),
			},
		},
		run: func(j *job) {
			together(ids, func(id string) { do(j, stallType, id, id, routing.MaxAttempts(drillAttempts)) })
		},
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

// listen takes in an answer piece by piece. The first time it never ends.
func listen(ctx context.Context, id string) (task.DrillResult, error) {
	info, _ := routing.FromContext(ctx)
	return actors.GuardStream(ctx, stallBreaker, func(ctx context.Context, beat func()) (task.DrillResult, error) {
		pieces := time.NewTicker(stallPace)
		defer pieces.Stop()
		for n := 0; n < stallPieces || info.Attempt == 1; n++ {
			if n == stallPieces {
				pieces.Stop()
			}
			select {
			case <-pieces.C:
				beat()
			case <-ctx.Done():
				return task.DrillResult{}, context.Cause(ctx)
			}
		}
		return task.Through(id), nil
	})
}
