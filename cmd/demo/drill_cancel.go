package main

import (
	"context"
	"errors"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

var cancelType = newDrillTask(task.Cancel)

var errNotWanted = errors.New("planned: nobody wants the result any more")

// cancelDrill cancels tasks while agents work on them.
func cancelDrill(ids []string, c *crew) drill {
	begun := make(map[string]*once)
	for _, id := range ids {
		begun[id] = newOnce()
	}
	return drill{
		ids: ids,
		tree: subtree(task.Cancel, 0, actors.Pool(2, actors.Agent("waiter", cancelType, func(ctx context.Context, id string) (task.DrillResult, error) {
			begun[id].give()
			<-ctx.Done()
			return task.DrillResult{}, context.Cause(ctx)
		}))),
		run: func(j *job) {
			together(ids, func(id string) {
				h, err := submit(j, cancelType, id, id)
				if err != nil {
					return // said already
				}
				select {
				case <-begun[id].c:
				case <-h.Done():
				case <-j.stop.Done():
				}
				h.Cancel(errNotWanted)
				if _, err := finish(j, h); errors.Is(err, errNotWanted) {
					c.seen.add("cancelled", 1)
				}
			})
		},
		owes: map[string]int{"cancelled": len(ids)},
	}
}
