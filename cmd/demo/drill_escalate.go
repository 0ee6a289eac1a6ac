package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var escalateType = newDrillTask(task.Escalate)

const (
	escalateCrashes = 2 // of a task, one more than the supervisor above the agent bears
	escalateLevels  = 2 // that give up
)

// escalateDrill has a child that crashes more often than its supervisor bears; the one above that bears nothing. The third restarts it all. The tasks follow each other, so that each
// finds fresh budgets.
func escalateDrill(ids []string) drill {
	below := drillPath(task.Escalate) + "/"
	return drill{
		ids: ids,
		tree: subtree(task.Escalate, len(ids), actors.Supervisor{
			ID:       "upper",
			Strategy: strategies.Escalate(),
			Children: []actors.Child{actors.Supervisor{
				ID:       "lower",
				Strategy: strategies.OneForOne(strategies.MaxRestarts(escalateCrashes-1, time.Minute)),
				Children: []actors.Child{actors.Agent("fuse", escalateType, blow)},
			}},
		}),
		run:  inTurn(escalateType, ids),
		owes: map[string]int{"escalations": escalateLevels * len(ids)},
		sees: func(e actors.Event) string {
			if e.Kind == actors.Escalated && strings.HasPrefix(e.Path, below) {
				return "escalations"
			}
			return ""
		},
	}
}

// blow crashes the agent a few times.
func blow(ctx context.Context, id string) (task.DrillResult, error) {
	if info, _ := routing.FromContext(ctx); info.Attempt <= escalateCrashes {
		panic(fmt.Errorf("planned crash of %s, attempt %d", id, info.Attempt))
	}
	return task.Through(id), nil
}
