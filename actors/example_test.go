package actors_test

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// A dynamic supervisor has one template, and as many instances as are wanted.
func ExampleTree_StartInstance() {
	session := actors.Actor("session", func() actor.Actor {
		return actor.ReceiveFunc(func(ctx actor.Context) {
			if q, ok := ctx.Message().(string); ok {
				ctx.Respond(fmt.Sprintf("%s, %s", q, actors.Args(ctx)[0]))
			}
		})
	})
	ctx := context.Background()
	tree, err := actors.Start(ctx, actors.Supervisor{ID: "root", Children: []actors.Child{
		actors.Supervisor{ID: "sessions", Template: session},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(ctx)

	for _, user := range []string{"ada", "grace"} {
		pid, err := tree.StartInstance(ctx, "root/sessions", user, user+"@example.org")
		if err != nil {
			fmt.Println(err)
			return
		}
		reply, _ := actors.Ask[string](ctx, tree, pid, "hello")
		fmt.Println(pid.Id, "says", reply)
	}
	// Output:
	// root/sessions/ada says hello, ada@example.org
	// root/sessions/grace says hello, grace@example.org
}

// A running supervisor takes a new spec without a restart.
func ExampleTree_Reconfigure() {
	echo := func(id string) actors.Child {
		return actors.Actor(id, func() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) })
	}
	ctx := context.Background()
	tree, err := actors.Start(ctx, actors.Supervisor{ID: "root", Children: []actors.Child{echo("a"), echo("b")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(ctx)

	err = tree.Reconfigure(ctx, "root", actors.Supervisor{
		Strategy: strategies.OneForAll(strategies.ExponentialBackoff()),
		Children: []actors.Child{echo("a"), echo("c"), echo("b")},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := tree.RestartChild(ctx, "root/c"); err != nil { // it was added, not started
		fmt.Println(err)
		return
	}
	children, _ := tree.Children(ctx, "root")
	for _, c := range children {
		fmt.Println(c.ID, c.State, "as incarnation", c.Incarnation)
	}
	// Output:
	// a up as incarnation 1
	// c up as incarnation 1
	// b up as incarnation 1
}

// A pool grows and shrinks while it runs. Who is too many finishes what it has first.
func ExampleTree_Resize() {
	double := routing.NewType[int, int]("double")
	ctx := context.Background()
	tree, err := actors.Start(ctx, actors.Supervisor{ID: "root", Children: []actors.Child{
		actors.Pool(1, actors.Agent("doubler", double, func(_ context.Context, n int) (int, error) { return 2 * n, nil })),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(ctx)

	for _, size := range []int{3, 2} {
		if err := tree.Resize(ctx, "root/doubler", size); err != nil {
			fmt.Println(err)
			return
		}
		children, _ := tree.Children(ctx, "root")
		fmt.Print(len(children), " agents, the last is ", children[len(children)-1].ID, "\n")
	}
	// Output:
	// 3 agents, the last is doubler-3
	// 2 agents, the last is doubler-2
}
