package strategies_test

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/strategies"
)

func quietSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
}

// A strategy is at home on plain protoactor: it goes where a protoactor strategy goes.
func ExampleOneForOne() {
	system := quietSystem()
	done := make(chan struct{})

	greeter := actor.PropsFromFunc(func(ctx actor.Context) {
		switch name := ctx.Message().(type) {
		case *actor.Started:
			fmt.Println("ready")
		case string:
			if name == "" {
				panic(errors.New("nobody to greet"))
			}
			fmt.Println("hello,", name)
			close(done)
		}
	})
	parent := actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(*actor.Started); ok {
			pid := ctx.Spawn(greeter)
			ctx.Send(pid, "")
			ctx.Send(pid, "world")
		}
	}, actor.WithSupervisor(strategies.OneForOne(strategies.MaxRestarts(3, time.Minute))))

	pid := system.Root.Spawn(parent)
	<-done
	_ = system.Root.StopFuture(pid).Wait()
	// Output:
	// ready
	// ready
	// hello, world
}

// Which children go down and come up together, by the number of the one that failed.
func ExampleStrategy() {
	for _, s := range []strategies.Strategy{
		strategies.OneForOne(strategies.RestartPolicy{}),
		strategies.OneForAll(strategies.RestartPolicy{}),
		strategies.RestForOne(strategies.RestartPolicy{}),
	} {
		from, to := s.Group(1, 4)
		fmt.Printf("%v: from %d up to %d\n", s, from, to-1)
	}
	// Output:
	// one_for_one: from 1 up to 1
	// one_for_all: from 0 up to 3
	// rest_for_one: from 1 up to 3
}

func ExampleRestartPolicy() {
	errBadConfig := errors.New("bad configuration")
	policy := strategies.MaxRestarts(5, time.Minute).
		WithBackoff(strategies.Exponential(100*time.Millisecond, 5*time.Second)).
		WithWhenSpent(strategies.SpentStopChild).
		WithDecider(func(reason error) actor.Directive {
			if errors.Is(reason, errBadConfig) {
				return actor.EscalateDirective // a restart would read the same again
			}
			return actor.RestartDirective
		})

	directive, _ := policy.Decide(fmt.Errorf("starting: %w", errBadConfig))
	fmt.Println(directive == actor.EscalateDirective, policy.Validate())

	fmt.Println(strategies.RestartPolicy{MaxRestarts: -7, Backoff: strategies.Backoff{Jitter: 2}}.Validate())
	// Output:
	// true <nil>
	// MaxRestarts is -7, must be -1 (NoRestarts) or more
	// Backoff.Jitter is 2, must be 0 to 1
}

func ExampleBackoff() {
	for _, b := range []strategies.Backoff{
		strategies.Fixed(time.Second),
		strategies.Linear(100*time.Millisecond, 350*time.Millisecond),
		strategies.Exponential(100*time.Millisecond, time.Second),
	} {
		fmt.Print(b, ":")
		for attempt := 1; attempt <= 5; attempt++ {
			fmt.Print(" ", b.Delay(attempt, 0))
		}
		fmt.Println()
	}
	// Output:
	// fixed 1s: 1s 1s 1s 1s 1s
	// linear 100ms up to 350ms: 100ms 200ms 300ms 350ms 350ms
	// exponential 100ms up to 1s: 100ms 200ms 400ms 800ms 1s
}

func ExampleBudget() {
	budget := strategies.NewBudget(2, 10*time.Second)
	start := time.Now()
	for _, after := range []time.Duration{0, 4, 8, 19} {
		fmt.Println(budget.Spend(start.Add(after * time.Second)))
	}
	// Output:
	// true
	// true
	// false
	// true
}
