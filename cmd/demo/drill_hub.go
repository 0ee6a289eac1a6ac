package main

import (
	"context"
	"fmt"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

var hubType = newDrillTask(task.Hub)

// hubPath is that of the node whose actor drives the tree's hub.
const hubPath = rootID + "/$hub"

// hubDrill kills the hub's actor while some of its tasks are in flight and the rest wait. Those go on, and these are given out by the next incarnation.
func hubDrill(ids []string) drill {
	inFlight, killed := newOnce(), newOnce()
	return drill{
		ids: ids,
		tree: subtree(task.Hub, 0, actors.Pool(2, actors.Agent("worker", hubType, func(ctx context.Context, id string) (task.DrillResult, error) {
			inFlight.give()
			if err := killed.wait(ctx); err != nil {
				return task.DrillResult{}, err
			}
			return task.Through(id), nil
		}))),
		run: func(j *job) {
			settled := newOnce()
			go func() {
				together(ids, func(id string) { do(j, hubType, id, id) })
				settled.give()
			}()
			select {
			case <-inFlight.c:
				if err := j.tree.Kill(hubPath); err != nil && j.stop.Err() == nil {
					j.fault(fmt.Errorf("the hub's actor could not be killed: %w", err))
				}
			case <-j.stop.Done():
			case <-settled.c: // by an earlier process
			}
			killed.give()
			<-settled.c
		},
		owes: map[string]int{"hub_crash": 1},
		sees: func(e actors.Event) string {
			if e.Kind == actors.Started && e.Path == hubPath && e.Incarnation > 1 {
				return "hub_crash"
			}
			return ""
		},
	}
}
