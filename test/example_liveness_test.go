package test

import (
	"context"
	"fmt"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// An agent whose handler gets nowhere is replaced, and another does its task. How long a silence usually lasts is learned; Liveness bounds that.
func Example_liveness() {
	Answer := routing.NewType[string, string]("answer")
	answer := func(ctx context.Context, question string) (string, error) {
		if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
			<-ctx.Done() // waits for something that never comes
			return "", ctx.Err()
		}
		for range 3 { // takes long, and says that it gets on
			time.Sleep(30 * time.Millisecond)
			routing.Beat(ctx)
		}
		return "42", nil
	}

	ctx := context.Background()
	hangs := actors.NewSubscription(10, actors.Hung)
	tree, err := actors.Start(ctx, actors.Supervisor{
		ID:       "root",
		Strategy: strategies.OneForOne(strategies.MaxRestarts(10, time.Minute)),
		Children: []actors.Child{actors.Pool(2, actors.Agent("thinker", Answer, answer).With(actors.Lifecycle{
			Liveness: &actors.Liveness{Max: time.Second}, // the most that a silence may last, whatever is usual
		}))},
	}, actors.WithSubscription(hangs))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tree.Stop(ctx)

	fmt.Println(Answer.Do(ctx, tree, "What is it all about?"))
	e := <-hangs.Events()
	fmt.Println(e.Kind, e.Node, e.Delay >= time.Second)
	// Output:
	// 42 <nil>
	// hung agent true
}
