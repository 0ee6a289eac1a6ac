package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/breaker"
)

func Example() {
	llm, err := breaker.New(breaker.Config{Name: "llm", FailureThreshold: 2})
	if err != nil {
		panic(err)
	}
	defer llm.Close()

	for range 3 {
		_, err = breaker.Do(context.Background(), llm, func(context.Context) (string, error) {
			return "", errors.New("503")
		})
		fmt.Println(err, errors.Is(err, breaker.ErrOpen))
	}
	// Output:
	// 503 false
	// 503 false
	// breaker "llm" is open, retry in 30s (opened by: 503) true
}

func ExampleConfig_classify() {
	errNotFound, errBusy := errors.New("404"), errors.New("429")
	llm, _ := breaker.New(breaker.Config{Name: "llm", Classify: func(err error) breaker.Verdict {
		switch {
		case errors.Is(err, errNotFound):
			return breaker.Success // an answer, if not a welcome one
		case errors.Is(err, errBusy):
			return breaker.TripFor(60e9) // it said when to come back
		default:
			return breaker.Failure
		}
	}})
	defer llm.Close()

	_, _ = breaker.Do(context.Background(), llm, func(context.Context) (int, error) { return 0, errNotFound })
	fmt.Println(llm.State())
	_, _ = breaker.Do(context.Background(), llm, func(context.Context) (int, error) { return 0, errBusy })
	fmt.Println(llm.State())
	// Output:
	// closed
	// open
}

func ExampleThrough() {
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
	llm, _ := breaker.New(breaker.Config{Name: "llm"})
	defer llm.Close()
	pid := system.Root.Spawn(actor.PropsFromProducer(breaker.NewActor(breaker.NewRunner(llm))))
	defer system.Root.Stop(pid)

	words, err := breaker.Through(context.Background(), system, pid, func(context.Context) (int, error) {
		return 42, nil // the call to the outside
	})
	fmt.Println(words, err)
	// Output: 42 <nil>
}
