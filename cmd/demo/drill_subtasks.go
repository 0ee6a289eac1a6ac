package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var (
	trunkType  = newDrillTask(task.Trunk)
	branchType = newDrillTask(task.Branch)
	leafType   = newDrillTask(task.Leaf)
)

// subtasksDrill has tasks that submit tasks, two levels deep, and add up their results.
func subtasksDrill(planted chaos.Drills, c *crew) drill {
	submitted := slices.Concat(planted[task.Branch], planted[task.Leaf])
	return drill{
		ids: slices.Concat(planted[task.Trunk], submitted),
		tree: actors.Supervisor{
			ID: "subtasks", Strategy: strategies.OneForOne(budget(0)),
			Children: []actors.Child{
				actors.Agent("trunk", trunkType, addUp(branchType)),
				actors.Agent("branch", branchType, addUp(leafType)),
				actors.Agent("leaf", leafType, func(_ context.Context, id string) (task.DrillResult, error) {
					_, n, _ := task.DrillOf(id)
					return task.DrillResult{Sum: n * n}, nil
				}),
			},
		},
		run: func(j *job) {
			together(planted[task.Trunk], func(trunk string) {
				_, err := do(j, trunkType, trunk, trunk)
				for _, branch := range task.Subtasks(trunk) {
					noteSubtask(j, c, branchType, trunk, branch, err)
					for _, leaf := range task.Subtasks(branch) {
						noteSubtask(j, c, leafType, branch, leaf, err)
					}
				}
			})
		},
		owes: map[string]int{"subtasks": len(submitted)},
	}
}

// addUp submits the subtasks of a task at once and adds up their results.
func addUp(t drillTask) func(context.Context, string) (task.DrillResult, error) {
	return func(ctx context.Context, id string) (task.DrillResult, error) {
		tree, _ := actors.TreeFromContext(ctx)
		var handles []*routing.Handle[task.DrillResult]
		for _, sub := range task.Subtasks(id) {
			h, err := t.Submit(ctx, tree, sub, routing.ID(sub))
			if err != nil {
				return task.DrillResult{}, fmt.Errorf("%s: %w", sub, err)
			}
			handles = append(handles, h)
		}
		var sum task.DrillResult
		for _, h := range handles {
			result, err := h.Await(ctx)
			if err != nil {
				return task.DrillResult{}, err
			}
			sum.Sum += result.Sum
		}
		return sum, nil
	}
}

// noteSubtask records what became of a subtask, after its parent. One that was never submitted shares the fate of that.
func noteSubtask(j *job, c *crew, t drillTask, parent, id string, fate error) {
	h, err := t.Find(j.tree, id)
	if err != nil {
		if fate == nil {
			j.fault(fmt.Errorf("%s was not submitted, though what adds it up is done: %w", id, err))
			fate = err
		}
		j.record(id, nil, fate)
		return
	}
	j.accepted(id)
	info, _ := j.tree.Hub().Inspect(id)
	if _, err := finish(j, h); err == nil && info.Parent == parent {
		c.seen.add("subtasks", 1)
	}
}
