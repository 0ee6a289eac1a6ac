package main

import (
	"context"
	"fmt"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
)

var poisonType = newDrillTask(task.Poison)

// poisonCrashes is how many agents a task crashes before it is quarantined.
const poisonCrashes = 3

// poisonings is the mechanism, of which the store has those of earlier processes.
const poisonings = "poison"

// poisonDrill has tasks that crash every agent that touches them. They end in quarantine.
func poisonDrill(ids []string, c *crew) drill {
	return drill{
		ids:      ids,
		tree:     subtree(task.Poison, poisonCrashes*len(ids), actors.Pool(2, actors.Agent("victim", poisonType, c.poison))),
		types:    map[string]routing.TypeOptions{task.Poison.Type(): {QuarantineAfter: poisonCrashes}},
		run:      atOnce(poisonType, ids),
		recorded: true,
		owes:     map[string]int{poisonings: poisonCrashes * len(ids)},
		sees: func(e actors.Event) string {
			if e.Kind == actors.Failed && above(e.Path) == withoutRoot(drillPath(task.Poison)) {
				return poisonings
			}
			return ""
		},
	}
}

// poison crashes every agent that touches it.
func (c *crew) poison(ctx context.Context, _ string) (task.DrillResult, error) {
	info := c.mayPanic(ctx)
	return task.DrillResult{}, routing.Permanent(fmt.Errorf("%s was to crash its agent and did not", info.ID))
}
