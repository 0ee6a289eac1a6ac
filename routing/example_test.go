package routing_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/routing"
)

// Shout is a kind of task: a string goes in, a string comes out.
var Shout = routing.NewType[string, string]("shout")

// A hub, its actor, and one spoke made by hand. (In an agent tree all this is done for you.)
func Example() {
	ctx := context.Background()
	hub, err := routing.NewHub(routing.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer hub.Close(nil)
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	system.Root.Spawn(actor.PropsFromProducer(hub.Actor()))

	shouting := routing.HandlerOf(Shout, func(ctx context.Context, s string) (string, error) {
		if s == "" {
			return "", routing.Permanent(fmt.Errorf("nothing to shout"))
		}
		return strings.ToUpper(s) + "!", nil
	})
	work := func(lease *routing.Lease) {
		for lease != nil {
			outcome := routing.Outcome{}
			if out, err := shouting.Run(lease.Context(ctx), lease.Input()); err != nil {
				outcome = routing.Error(err)
			} else {
				outcome = routing.Done(out)
			}
			lease, _ = lease.Settle(outcome)
		}
	}
	_, err = hub.Join(routing.SpokeSpec{
		ID:      routing.SpokeID{Path: "root/shouter", Incarnation: 1},
		Types:   []string{Shout.Name()},
		Deliver: func(lease *routing.Lease) { go work(lease) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(Shout.Do(ctx, hub, "hello"))
	_, err = Shout.Do(ctx, hub, "", routing.ID("empty"))
	fmt.Println(err)
	// Output:
	// HELLO! <nil>
	// task empty of type "shout" is failed after attempt 1: nothing to shout
}

// Nearest is a balancer that prefers the spokes below one path.
type Nearest struct{ Path string }

// Pick returns the first candidate below the path, or the first of all.
func (n Nearest) Pick(_ routing.TaskInfo, free routing.Candidates) int {
	for i, c := range free.All() {
		if strings.HasPrefix(c.ID.Path, n.Path) {
			return i
		}
	}
	return 0
}

func ExampleBalancer() {
	_, err := routing.NewHub(routing.Options{Balancer: Nearest{Path: "root/here/"}})
	fmt.Println(err)

	free := routing.CandidatesOf(
		routing.Candidate{ID: routing.SpokeID{Path: "root/there/a"}},
		routing.Candidate{ID: routing.SpokeID{Path: "root/here/b"}},
	)
	fmt.Println(Nearest{Path: "root/here/"}.Pick(routing.TaskInfo{}, free))
	// Output:
	// <nil>
	// 1
}
