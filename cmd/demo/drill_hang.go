package main

import (
	"context"
	"strings"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
)

var hangType = newDrillTask(task.Hang)

const (
	hangLimit    = time.Second            // of silence
	hangShutdown = 200 * time.Millisecond // of an agent that hangs

	abandonedReturn = "abandoned_return"
)

// hangDrill has agents that hang in the first attempt at a task. All are replaced, and others do the tasks. Half of them are deaf to their context and are abandoned; those return
// when the run is over.
func hangDrill(ids []string, c *crew) drill {
	deaf := len(ids) / 2
	below := drillPath(task.Hang) + "/"
	return drill{
		ids: ids,
		tree: subtree(task.Hang, len(ids), actors.Pool(len(ids)+1, actors.Agent("dreamer", hangType, c.hang).With(actors.Lifecycle{
			Shutdown: hangShutdown, Liveness: &actors.Liveness{Max: hangLimit},
		}))),
		types: map[string]routing.TypeOptions{task.Hang.Type(): {
			AttemptTimeout:  -1,            // who has a time limit isn't judged by his silence
			QuarantineAfter: drillAttempts, // on a busy machine somebody may seem to hang who doesn't
		}},
		run:  atOnce(hangType, ids),
		owes: map[string]int{"hung": len(ids), "hung_replaced": len(ids), "abandoned": deaf, abandonedReturn: deaf},
		sees: func(e actors.Event) string {
			if !strings.HasPrefix(e.Path, below) {
				return ""
			}
			switch {
			case e.Kind == actors.Hung:
				return "hung"
			case e.Kind == actors.Abandoned:
				return "abandoned"
			case e.Kind == actors.Returned:
				return abandonedReturn
			case e.Kind == actors.Started && e.Incarnation > 1:
				return "hung_replaced"
			}
			return ""
		},
	}
}

// hang does nothing for as long as it can, the first time.
func (c *crew) hang(ctx context.Context, id string) (task.DrillResult, error) {
	info, _ := routing.FromContext(ctx)
	_, n, _ := task.DrillOf(id)
	switch {
	case info.Attempt > 1:
		return task.Through(id), nil
	case n%2 == 0:
		<-c.over.c
	default:
		<-ctx.Done()
	}
	return task.DrillResult{}, context.Cause(ctx)
}
