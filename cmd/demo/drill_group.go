package main

import (
	"context"
	"errors"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var (
	restType = newDrillTask(task.Rest)
	allType  = newDrillTask(task.All)
)

// groupSize is how many agents depend on the service.
const groupSize = 2

// groupDrill has agents that depend on a service. The first attempt at a task crashes it, and they go down with it: by rest for one those after it, by one for all the archive
// before it too. The tasks follow each other, for each crash gives back what else is in hand.
func groupDrill(kind task.Drill, ids []string) drill {
	t, strategy, mechanism, group := restType, strategies.RestForOne(budget(len(ids))), "rest_for_one", groupSize+1
	if kind == task.All {
		t, strategy, mechanism, group = allType, strategies.OneForAll(budget(len(ids))), "one_for_all", groupSize+2
	}
	service := drillPath(kind, "service")
	return drill{
		ids: ids,
		tree: actors.Supervisor{
			ID: string(kind), Strategy: strategy,
			Children: []actors.Child{
				actors.Actor("archive", newSquarer),
				actors.Actor("service", newSquarer),
				actors.Pool(groupSize, actors.Agent("client", t, func(ctx context.Context, id string) (task.DrillResult, error) { return askSquarer(ctx, service, id) })),
			},
		},
		run:  inTurn(t, ids),
		owes: map[string]int{mechanism: len(ids)},
		sees: func(e actors.Event) string {
			if e.Kind == actors.GroupRestart && strings.HasPrefix(e.Path, drillPath(kind)+"/") && e.Strategy == strategy.String() && e.Group == group {
				return mechanism
			}
			return ""
		},
	}
}

// squarer is a plain protoactor actor that squares numbers, and crashes when it is told to.
type squarer struct{}

type (
	square struct{ n int } // answered with an int
	crash  struct{}
)

var errToldToCrash = errors.New("planned crash of a service")

func newSquarer() actor.Actor { return squarer{} }

// Receive implements actor.Actor.
func (squarer) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case square:
		ctx.Respond(m.n * m.n)
	case crash:
		panic(errToldToCrash)
	}
}

// askSquarer asks the service, and crashes it before the first time.
func askSquarer(ctx context.Context, service, id string) (task.DrillResult, error) {
	tree, _ := actors.TreeFromContext(ctx)
	info, _ := routing.FromContext(ctx)
	if info.Attempt == 1 {
		if err := actors.Send(ctx, tree, tree.PID(service), crash{}); err != nil {
			return task.DrillResult{}, err
		}
		<-ctx.Done() // its agent goes down as well
		return task.DrillResult{}, context.Cause(ctx)
	}
	_, n, _ := task.DrillOf(id)
	sum, err := actors.Ask[int](ctx, tree, tree.PID(service), square{n})
	return task.DrillResult{Sum: sum}, err
}
