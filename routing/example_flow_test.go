package routing_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/routing"
)

// startHub makes a hub with its actor, and a spoke that runs the handlers.
func startHub(ctx context.Context, handlers ...routing.Handler) *routing.Hub {
	hub, _ := routing.NewHub(routing.Options{})
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	system.Root.Spawn(actor.PropsFromProducer(hub.Actor()))
	byType := make(map[string]routing.Handler)
	spec := routing.SpokeSpec{ID: routing.SpokeID{Path: "root/worker"}}
	for _, h := range handlers {
		byType[h.Type()] = h
		spec.Types = append(spec.Types, h.Type())
	}
	spec.Deliver = func(lease *routing.Lease) {
		go func() {
			for lease != nil {
				outcome := routing.Outcome{}
				if out, err := byType[lease.Type()].Run(lease.Context(ctx), lease.Input()); err != nil {
					outcome = routing.Error(err)
				} else {
					outcome = routing.Done(out)
				}
				lease, _ = lease.Settle(outcome)
			}
		}()
	}
	_, _ = hub.Join(spec)
	return hub
}

var (
	Count  = routing.NewType[string, int]("count")
	Report = routing.NewType[string, string]("report")
	Size   = routing.NewType[string, int]("size")
)

// Fan-in: a task starts when its inputs are done, and reads their results.
func ExampleAfter() {
	ctx := context.Background()
	hub := startHub(ctx,
		routing.HandlerOf(Count, func(_ context.Context, text string) (int, error) {
			if text == "" {
				return 0, routing.Permanent(fmt.Errorf("nothing to count"))
			}
			return len(strings.Fields(text)), nil
		}),
		routing.HandlerOf(Report, func(ctx context.Context, title string) (string, error) {
			counts, err := Count.Inputs(ctx)
			return fmt.Sprintln(title, counts), err
		}),
	)
	defer hub.Close(nil)

	one, _ := Count.Submit(ctx, hub, "one two three")
	two, _ := Count.Submit(ctx, hub, "four five")
	report, err := Report.Do(ctx, hub, "words:", routing.After(one, two))
	fmt.Print(report, err, "\n")

	empty, _ := Count.Submit(ctx, hub, "", routing.ID("empty"))
	_, err = Report.Do(ctx, hub, "words:", routing.ID("report"), routing.After(one, empty))
	fmt.Println(err)
	// Output:
	// words: [3 2]
	// <nil>
	// task report of type "report" is failed: it needs empty: task empty of type "count" is failed after attempt 1: nothing to count
}

// Subtasks: a handler submits tasks of its own and awaits them. There is one worker with one credit here; while it waits, the credit is free.
func ExampleType_Do_subtask() {
	ctx := context.Background()
	var hub *routing.Hub
	hub = startHub(ctx, routing.HandlerOf(Size, func(ctx context.Context, tree string) (int, error) {
		left, right, ok := strings.Cut(tree, ",")
		if !ok {
			return 1, nil
		}
		total := 0
		for _, part := range []string{left, right} {
			n, err := Size.Do(ctx, hub, part)
			if err != nil {
				return 0, err
			}
			total += n
		}
		return total, nil
	}))
	defer hub.Close(nil)

	fmt.Println(Size.Do(ctx, hub, "a,b,c,d"))
	fmt.Println(hub.Counts().Done, "tasks")
	// Output:
	// 4 <nil>
	// 7 tasks
}
