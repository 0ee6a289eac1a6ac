package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
)

var fullType = newDrillTask(task.Full)

// fullDrill submits as many tasks as their type may have, and one more, which is refused: it was never accepted, so nothing is recorded of it.
func fullDrill(ids []string, c *crew) drill {
	refused := newOnce()
	return drill{
		ids: ids,
		tree: subtree(task.Full, 0, actors.Pool(2, actors.Agent("clerk", fullType, func(ctx context.Context, id string) (task.DrillResult, error) {
			if err := refused.wait(ctx); err != nil {
				return task.DrillResult{}, err
			}
			return task.Through(id), nil
		}))),
		types: map[string]routing.TypeOptions{task.Full.Type(): {Capacity: len(ids)}},
		run: func(j *job) {
			defer refused.give()
			unsettled := 0
			var accepted []*routing.Handle[task.DrillResult]
			for _, id := range ids {
				h, err := submit(j, fullType, id, id)
				if err != nil {
					continue // said already
				}
				accepted = append(accepted, h)
				if !h.Status().Settled() {
					unsettled++
				}
			}
			if unsettled == len(ids) && j.stop.Err() == nil { // none can be settled before the signal
				switch err := overflow(j); {
				case err == nil:
					c.seen.add("queue_full", 1)
				case j.stop.Err() == nil:
					j.fault(err)
				}
			}
			refused.give()
			for _, h := range accepted {
				_, _ = finish(j, h) // the record says it
			}
		},
		owes: map[string]int{"queue_full": 1},
	}
}

// overflow submits a task more than there may be. Nil is the right refusal.
func overflow(j *job) error {
	_, err := fullType.Submit(j.stop, j.tree, "one too many")
	var full *routing.QueueFullError
	if !errors.As(err, &full) || full.Type != task.Full.Type() {
		return fmt.Errorf("a task more than its type may have was not refused as such: %w", err)
	}
	return nil
}
