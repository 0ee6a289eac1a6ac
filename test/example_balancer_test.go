package test

import (
	"context"
	"fmt"
	"strings"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

// Whereabouts is a kind of task whose result is the agent that did it.
var Whereabouts = routing.NewType[string, string]("whereabouts")

// answering is an agent that answers with its name.
func answering(id string) actors.AgentSpec {
	return actors.Agent(id, Whereabouts, func(context.Context, string) (string, error) { return id, nil })
}

// home is a balancer: the agents of one path first, the others when those are busy.
type home struct{ path string }

// Pick implements routing.Balancer.
func (h home) Pick(_ routing.TaskInfo, free routing.Candidates) int {
	for i, spoke := range free.All() {
		if strings.HasPrefix(spoke.ID.Path, h.path) {
			return i
		}
	}
	return 0
}

func Example_balancer() {
	tree, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Children: []actors.Child{
		actors.Supervisor{ID: "far", Children: []actors.Child{answering("a"), answering("b")}},
		actors.Supervisor{ID: "near", Children: []actors.Child{answering("c")}},
	}}, actors.WithHub(routing.Options{Balancer: home{"root/near/"}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(context.Background())
	for range 3 {
		fmt.Println(Whereabouts.Do(context.Background(), tree, "?"))
	}
	// Output:
	// c <nil>
	// c <nil>
	// c <nil>
}

func Example_keys() {
	tree, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Children: []actors.Child{
		answering("a"), answering("b"), answering("c"), answering("d"),
	}}, actors.WithHub(routing.Options{Balancer: routing.ConsistentHash()}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(context.Background())
	first, _ := Whereabouts.Do(context.Background(), tree, "?", routing.Key("alice"))
	second, _ := Whereabouts.Do(context.Background(), tree, "?", routing.Key("alice"))
	fmt.Println(first == second)
	// Output: true
}

func Example_broadcast() {
	tree, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Children: []actors.Child{answering("a"), answering("b"), answering("c")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(context.Background())
	replies, err := Whereabouts.Broadcast(context.Background(), tree, "?")
	fmt.Println(err)
	for _, r := range replies {
		fmt.Println(r.Spoke, r.Out, r.Err)
	}
	// Output:
	// <nil>
	// root/a@1 a <nil>
	// root/b@1 b <nil>
	// root/c@1 c <nil>
}
