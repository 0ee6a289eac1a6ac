package test

import (
	"context"
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// counter is a plain protoactor actor. It may crash: the tree gives it a new life under the same PID, and what waits in its
// queue waits for that.
type counter struct{ n int }

func (c *counter) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case int:
		if m < 0 {
			panic("negative")
		}
		c.n += m
	case string:
		ctx.Respond(c.n)
	}
}

// Any protoactor actor is a child as it is.
func Example_actor() {
	tree, err := actors.Start(context.Background(), actors.Supervisor{
		ID:       "root",
		Strategy: strategies.OneForOne(strategies.ExponentialBackoff()),
		Children: []actors.Child{
			actors.Actor("counter", func() actor.Actor { return &counter{} }),
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(context.Background())

	pid, send := tree.PID("root/counter"), tree.ActorSystem().Root.Send
	send(pid, 2)
	send(pid, 3)
	total, _ := actors.Ask[int](context.Background(), tree, pid, "total")
	fmt.Println(total)

	send(pid, -1) // a crash: what the actor knew is gone, the messages behind it are not
	send(pid, 7)
	total, _ = actors.Ask[int](context.Background(), tree, pid, "total")
	fmt.Println(total)
	// Output:
	// 5
	// 7
}
