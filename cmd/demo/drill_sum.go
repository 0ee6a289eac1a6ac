package main

import (
	"context"
	"fmt"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
)

var sumType = newDrillTask(task.Sum)

// crashingSum is the number of the task whose first attempt crashes the agent that has added it already.
const crashingSum = 3

// sumDrill has an agent with a running sum, which crashes halfway. The next goes on from what was saved with the task before: each result proves it.
func sumDrill(ids []string, c *crew) drill {
	return drill{
		ids:  ids,
		tree: subtree(task.Sum, 1, actors.Stateful("adder", sumType, func() *adder { return &adder{seen: c.seen} })),
		run:  inTurn(sumType, ids),
		owes: map[string]int{"snapshot_restored": 1},
	}
}

// adder adds up the numbers of its tasks.
type adder struct {
	sum  int
	seen *sightings
}

// Handle adds one.
func (a *adder) Handle(ctx context.Context, id string) (task.DrillResult, error) {
	info, _ := routing.FromContext(ctx)
	_, n, _ := task.DrillOf(id)
	a.sum += n
	if n == crashingSum && info.Attempt == 1 {
		panic(fmt.Errorf("planned crash of %s, attempt 1", id))
	}
	return task.DrillResult{Sum: a.sum}, nil
}

// Snapshot is the sum.
func (a *adder) Snapshot() (int, error) { return a.sum, nil }

// Restore goes on from it.
func (a *adder) Restore(sum int) error {
	a.sum = sum
	a.seen.add("snapshot_restored", 1)
	return nil
}
