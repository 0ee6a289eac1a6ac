package main

import (
	"context"
	"errors"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
)

var expireType = newDrillTask(task.Expire)

// expireAfter is how long a task of the drill is of use.
const expireAfter = 400 * time.Millisecond

// expireDrill has tasks that nobody ends in time: one runs, the rest wait for the one agent.
func expireDrill(ids []string, c *crew) drill {
	return drill{
		ids: ids,
		tree: subtree(task.Expire, 0, actors.Agent("loiterer", expireType, func(ctx context.Context, _ string) (task.DrillResult, error) {
			<-ctx.Done()
			return task.DrillResult{}, context.Cause(ctx)
		})),
		types: map[string]routing.TypeOptions{task.Expire.Type(): {Lifetime: expireAfter}},
		run: func(j *job) {
			together(ids, func(id string) {
				if _, err := do(j, expireType, id, id); errors.Is(err, routing.ErrExpired) {
					c.seen.add("expired", 1)
				}
			})
		},
		owes: map[string]int{"expired": len(ids)},
	}
}
