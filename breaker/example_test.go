package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

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
		var open *breaker.OpenError
		if errors.As(err, &open) {
			fmt.Printf("%s was not called: it is %v since %v, for half a minute or less: %t\n", open.Name, open.State, open.LastErr, open.RetryAfter() <= 30*time.Second)
		} else {
			fmt.Println(err)
		}
	}
	// Output:
	// 503
	// 503
	// llm was not called: it is open since 503, for half a minute or less: true
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

func ExampleDo() {
	db, _ := breaker.New(breaker.Config{Name: "db", OperationTimeout: time.Minute})
	defer db.Close()

	rows, err := breaker.Do(context.Background(), db, func(ctx context.Context) (int, error) {
		_, hasDeadline := ctx.Deadline()
		fmt.Println("deadline:", hasDeadline)
		return 3, nil // the query, which heeds ctx
	})
	fmt.Println(rows, err)
	// Output:
	// deadline: true
	// 3 <nil>
}

func ExampleDoDetached() {
	legacy, _ := breaker.New(breaker.Config{Name: "legacy", OperationTimeout: 10 * time.Millisecond})
	defer legacy.Close()

	hung := make(chan struct{})
	defer close(hung)
	_, err := breaker.DoDetached(context.Background(), legacy, func(context.Context) (int, error) {
		<-hung // deaf to its context
		return 0, nil
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded), legacy.Snapshot().Detached.Orphans)
	// Output:
	// breaker "legacy": call timed out after 10ms
	// true 1
}

func ExampleDoExternal() {
	llm, err := breaker.NewExternal(breaker.ExternalConfig{
		Name:     "llm",
		Breaker:  breaker.Config{OperationTimeout: time.Minute},
		Bulkhead: breaker.BulkheadConfig{MaxConcurrent: 8},
		Limiter:  breaker.LimiterConfig{Rate: 50},
		Retry:    breaker.Retry{Attempts: 3, Delay: time.Millisecond},
	})
	if err != nil {
		panic(err)
	}
	defer llm.Close()

	attempts := 0
	answer, err := breaker.DoExternal(context.Background(), llm, func(context.Context) (string, error) {
		if attempts++; attempts == 1 {
			return "", &breaker.StatusError{Code: 502}
		}
		return "hello", nil
	})
	fmt.Println(answer, err, attempts)
	// Output: hello <nil> 2
}

func ExampleTransport() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer server.Close()
	llm, _ := breaker.New(breaker.Config{Name: "llm"})
	defer llm.Close()
	transport, err := breaker.NewTransport(breaker.TransportConfig{Breaker: llm})
	if err != nil {
		panic(err)
	}
	client := &http.Client{Transport: transport}

	resp, err := client.Get(server.URL)
	fmt.Println(resp.StatusCode, err)
	_ = resp.Body.Close()
	_, err = client.Get(server.URL) // isn't sent: the server said when to come back
	var open *breaker.OpenError
	fmt.Println(errors.As(err, &open), open.RetryAfter().Round(time.Minute))
	// Output:
	// 429 <nil>
	// true 1m0s
}

func ExampleRegistry() {
	endpoints, _ := breaker.NewRegistry(breaker.RegistryConfig{Config: breaker.Config{Name: "api"}})
	defer endpoints.Close()

	search, err := endpoints.Get("search")
	fmt.Println(search.Name(), search.State(), err)
	// Output: api/search closed <nil>
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
