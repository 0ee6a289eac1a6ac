package test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// Shout is a type of task: text in, text out.
var Shout = routing.NewType[string, string]("shout")

// shout handles one task. It knows nothing of actors.
func shout(ctx context.Context, text string) (string, error) {
	if text == "" {
		return "", routing.Permanent(errors.New("nothing to shout")) // the task is bad: it is never tried again
	}
	if info, _ := routing.FromContext(ctx); text == "fragile" && info.Attempt == 1 {
		panic("it broke") // this agent is restarted, and the task goes to the next
	}
	return strings.ToUpper(text), nil // any other error would be the task's outcome: it is tried again
}

// A new agent type is a function and a line in the tree.
func Example_agent() {
	tree, err := actors.Start(context.Background(), actors.Supervisor{
		ID:       "root",
		Strategy: strategies.OneForOne(strategies.MaxRestarts(10, time.Minute)),
		Children: []actors.Child{
			actors.Pool(3, actors.Agent("shouter", Shout, shout)),
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(context.Background())

	for _, text := range []string{"hello", "fragile", ""} {
		loud, err := Shout.Do(context.Background(), tree, text, routing.ID("shout:"+text))
		fmt.Printf("%q %v\n", loud, err)
	}
	// Output:
	// "HELLO" <nil>
	// "FRAGILE" <nil>
	// "" task shout: of type "shout" is failed after attempt 1: nothing to shout
}
