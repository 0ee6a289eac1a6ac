package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afex/hystrix-go/hystrix"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/sony/gobreaker/v2"

	"github.com/mistersmith/mistersmith/breaker"
)

// circuitBreaker is what a call through package breaker costs.
//
// What a contender ran stands in its name; what is not in it is the same for all:
//   - The function returns a number at once. In the cases with a failure, four calls of five return an error, so that nobody opens.
//   - Closed breakers open at 5 failures in a row (gobreaker's default is at the 6th); open ones stay open for an hour. hystrix-go knows
//     only a share of errors in 10 s, and always has a timeout.
//   - All count what they see. Ours are the totals, exact.
//   - "two goroutines" share one breaker; the figure is wall time for a call of either.
var circuitBreaker = part{"breaker", func(s size) ([]benchmark, []string, func()) {
	n := s.of(300_000, 3_000_000)
	cancellable, cancel := context.WithCancel(context.Background())
	return []benchmark{
		closedSuccess(n), closedSuccessPermits(n), twoGoroutines(n), closedFailure(n), openRefuses(n), timeWindow(n),
		cooperative(n/10, "fn returns at once", context.Background(), quick),
		cooperative(n/10, "fn asks for Done", context.Background(), asksForDone),
		cooperative(n/10, "fn asks for Done, caller can cancel", cancellable, asksForDone),
		freedCaller(n / 30),
	}, nil, cancel
}}

// Contenders, each with its configuration.
const (
	bare      = "bare call"
	gobreak   = "gobreaker, defaults"
	fsExec    = "failsafe-go executor, 5 failures"
	fsPermits = "failsafe-go permits, 5 failures"
	oursDo    = ours + " Do, no timeout"
	oursStep  = ours + " Acquire/Done, no timeout"
)

var errDown = errors.New("down")

// The functions that are guarded: with and without a context, which the peers don't hand on.
type guardedFunc func(context.Context) (int, error)

func quick(context.Context) (int, error)  { return 1, nil }
func failed(context.Context) (int, error) { return 0, errDown }

func asksForDone(ctx context.Context) (int, error) {
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	default:
		return 1, nil
	}
}

// without hides the context from a function, as the peers want it.
func without(fn guardedFunc) func() (int, error) {
	ctx := context.Background()
	return func() (int, error) { return fn(ctx) }
}

// calling measures n calls. Each contender has its own loop: called through a function value, the cheapest would be measured at a third
// too much.
func calling(n int, calls func(n int)) func(*probe) {
	return func(p *probe) { p.time(n, func() { calls(n) }) }
}

// callingTwice measures n calls by two goroutines.
func callingTwice(n int, calls func(n int)) func(*probe) {
	return func(p *probe) {
		p.time(n, func() {
			var both sync.WaitGroup
			both.Go(func() { calls(n / 2) })
			both.Go(func() { calls(n / 2) })
			both.Wait()
		})
	}
}

func newOurs(cfg breaker.Config) *breaker.Breaker {
	cfg.ResetTimeout = time.Hour
	b, err := breaker.New(cfg)
	if err != nil {
		panic(err)
	}
	return b
}

func untimed() *breaker.Breaker { return newOurs(breaker.Config{OperationTimeout: breaker.NoTimeout}) }

func newGobreaker() *gobreaker.CircuitBreaker[int] {
	return gobreaker.NewCircuitBreaker[int](gobreaker.Settings{Timeout: time.Hour})
}

func newFailsafe() circuitbreaker.CircuitBreaker[int] {
	return circuitbreaker.NewBuilder[int]().WithFailureThreshold(5).WithDelay(time.Hour).Build()
}

func closedSuccess(n int) benchmark {
	ctx, b, gb, fs := context.Background(), untimed(), newGobreaker(), newFailsafe()
	exec, plain := failsafe.With(fs), without(quick)
	return benchmark{name: "closed, success", unit: nanoseconds, baseline: gobreak, contenders: []contender{
		{name: bare, run: calling(n, func(n int) {
			for range n {
				_, _ = plain()
			}
		})},
		{name: gobreak, run: calling(n, func(n int) {
			for range n {
				_, _ = gb.Execute(plain)
			}
		})},
		{name: fsExec, run: calling(n/10, func(n int) {
			for range n {
				_, _ = exec.Get(plain)
			}
		})},
		{name: oursDo, target: 1. / 8, noAlloc: true, run: calling(n, func(n int) {
			for range n {
				_, _ = breaker.Do(ctx, b, quick)
			}
		})},
	}}
}

func closedSuccessPermits(n int) benchmark {
	ctx, b, fs := context.Background(), untimed(), newFailsafe()
	return benchmark{name: "closed, success, against permits", unit: nanoseconds, baseline: fsPermits, contenders: []contender{
		{name: fsPermits, run: calling(n, func(n int) {
			for range n {
				if fs.TryAcquirePermit() {
					_, _ = quick(ctx)
					fs.RecordSuccess()
				}
			}
		})},
		{name: oursDo, target: 1 / 2.5, noAlloc: true, run: calling(n, func(n int) {
			for range n {
				_, _ = breaker.Do(ctx, b, quick)
			}
		})},
		{name: oursStep, target: 1 / 2.5, noAlloc: true, run: calling(n, func(n int) {
			for range n {
				if p, err := b.Acquire(); err == nil {
					_, _ = quick(ctx)
					p.Done(breaker.Success)
				}
			}
		})},
	}}
}

func twoGoroutines(n int) benchmark {
	ctx, b, gb, fs := context.Background(), untimed(), newGobreaker(), newFailsafe()
	exec, plain := failsafe.With(fs), without(quick)
	return benchmark{name: "closed, success, two goroutines", unit: nanoseconds, baseline: gobreak, contenders: []contender{
		{name: bare, run: callingTwice(n, func(n int) {
			for range n {
				_, _ = plain()
			}
		})},
		{name: gobreak, run: callingTwice(n, func(n int) {
			for range n {
				_, _ = gb.Execute(plain)
			}
		})},
		{name: fsExec, run: callingTwice(n/10, func(n int) {
			for range n {
				_, _ = exec.Get(plain)
			}
		})},
		{name: fsPermits, run: callingTwice(n, func(n int) {
			for range n {
				if fs.TryAcquirePermit() {
					_, _ = plain()
					fs.RecordSuccess()
				}
			}
		})},
		{name: oursDo, target: 1. / 8, noAlloc: true, run: callingTwice(n, func(n int) {
			for range n {
				_, _ = breaker.Do(ctx, b, quick)
			}
		})},
	}}
}

// mostlyFailed is the function of the i-th call: every fifth succeeds.
func mostlyFailed(i int) guardedFunc {
	if i%5 == 0 {
		return quick
	}
	return failed
}

func closedFailure(n int) benchmark {
	ctx, b, gb, fs := context.Background(), untimed(), newGobreaker(), newFailsafe()
	exec := failsafe.With(fs)
	plain := [2]func() (int, error){without(quick), without(failed)}
	pick := func(i int) func() (int, error) { return plain[min(i%5, 1)] }
	return benchmark{name: "closed, four of five fail", unit: nanoseconds, baseline: gobreak, contenders: []contender{
		{name: gobreak, run: calling(n, func(n int) {
			for i := range n {
				_, _ = gb.Execute(pick(i))
			}
		})},
		{name: fsExec, run: calling(n/10, func(n int) {
			for i := range n {
				_, _ = exec.Get(pick(i))
			}
		})},
		{name: fsPermits, run: calling(n, func(n int) {
			for i := range n {
				if !fs.TryAcquirePermit() {
					continue
				}
				if _, err := pick(i)(); err != nil {
					fs.RecordFailure()
				} else {
					fs.RecordSuccess()
				}
			}
		})},
		{name: oursDo, target: 1. / 6, noAlloc: true, run: calling(n, func(n int) {
			for i := range n {
				_, _ = breaker.Do(ctx, b, mostlyFailed(i))
			}
		})},
	}}
}

func openRefuses(n int) benchmark {
	ctx, b, gb, fs := context.Background(), untimed(), newGobreaker(), newFailsafe()
	exec, plain := failsafe.With(fs), without(quick)
	b.TripFor(time.Hour)
	for range 6 {
		_, _ = gb.Execute(without(failed))
	}
	fs.Open()
	return benchmark{name: "open, refuses", unit: nanoseconds, baseline: gobreak, contenders: []contender{
		{name: gobreak, run: calling(n, func(n int) {
			for range n {
				_, _ = gb.Execute(plain)
			}
		})},
		{name: fsExec, run: calling(n/10, func(n int) {
			for range n {
				_, _ = exec.Get(plain)
			}
		})},
		{name: fsPermits, run: calling(n, func(n int) {
			for range n {
				_ = fs.TryAcquirePermit()
			}
		})},
		{name: oursDo, target: 1. / 8, noAlloc: true, run: calling(n, func(n int) {
			for range n {
				_, _ = breaker.Do(ctx, b, quick)
			}
		})},
	}}
}

func timeWindow(n int) benchmark {
	const span, buckets = 10 * time.Second, 10
	ctx := context.Background()
	b := newOurs(breaker.Config{OperationTimeout: breaker.NoTimeout, Window: &breaker.Window{Span: span, Buckets: buckets}})
	gb := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{Interval: span, BucketPeriod: span / buckets})
	exec := failsafe.With(circuitbreaker.NewBuilder[int]().WithFailureRateThreshold(.5, 10, span).Build())
	plain := without(quick)
	const theirs, mine = "gobreaker, 10 buckets of 1 s", ours + " Do, 10 buckets of 1 s, no timeout"
	return benchmark{name: "closed, success, exact time window", unit: nanoseconds, baseline: theirs, contenders: []contender{
		{name: theirs, run: calling(n, func(n int) {
			for range n {
				_, _ = gb.Execute(plain)
			}
		})},
		{name: "failsafe-go executor, rate in 10 s", run: calling(n/10, func(n int) {
			for range n {
				_, _ = exec.Get(plain)
			}
		})},
		{name: mine, target: 1 / 2.5, noAlloc: true, run: calling(n, func(n int) {
			for range n {
				_, _ = breaker.Do(ctx, b, quick)
			}
		})},
	}}
}

// cooperative has a timeout that ends the function's context, and waits for the function.
func cooperative(n int, how string, ctx context.Context, fn guardedFunc) benchmark {
	const limit = breaker.DefaultOperationTimeout
	b, gb := newOurs(breaker.Config{}), newGobreaker()
	exec := failsafe.With[int](newFailsafe(), timeout.New[int](limit)).WithContext(ctx)
	const theirs, fsTimeout, mine = "gobreaker, defaults, in the caller's WithTimeout 10 s", "failsafe-go, timeout policy 10 s", ours + " Do, default timeout 10 s"
	return benchmark{name: "closed, success, cooperative timeout, " + how, unit: nanoseconds, baseline: theirs, contenders: []contender{
		{name: theirs, run: calling(n, func(n int) {
			for range n {
				ctx, cancel := context.WithTimeout(ctx, limit)
				_, _ = gb.Execute(func() (int, error) { return fn(ctx) })
				cancel()
			}
		})},
		{name: fsTimeout, run: calling(n, func(n int) {
			for range n {
				_, _ = exec.GetWithExecution(func(e failsafe.Execution[int]) (int, error) { return fn(e.Context()) })
			}
		})},
		{name: mine, target: 1, run: calling(n, func(n int) {
			for range n {
				_, _ = breaker.Do(ctx, b, fn)
			}
		})},
		{name: mine + ", against failsafe-go", against: fsTimeout, target: 1 / 1.5, run: calling(n, func(n int) {
			for range n {
				_, _ = breaker.Do(ctx, b, fn)
			}
		})},
	}}
}

var hystrixCommands atomic.Int64 // hystrix-go keeps its circuits in package variables

func freedCaller(n int) benchmark {
	ctx, b := context.Background(), newOurs(breaker.Config{})
	command := "bench-" + strconv.FormatInt(hystrixCommands.Add(1), 10)
	hystrix.ConfigureCommand(command, hystrix.CommandConfig{Timeout: 10_000, MaxConcurrentRequests: breaker.DefaultMaxInFlight})
	const theirs = "hystrix-go, timeout 10 s, 256 at once"
	return benchmark{name: "closed, success, caller freed at the timeout", unit: nanoseconds, baseline: theirs, contenders: []contender{
		{name: theirs, run: calling(n, func(n int) {
			for range n {
				_ = hystrix.Do(command, func() error { _, err := quick(ctx); return err }, nil)
			}
		})},
		{name: ours + " DoDetached, default timeout 10 s, 256 at once", target: 1. / 4, run: calling(n, func(n int) {
			for range n {
				_, _ = breaker.DoDetached(ctx, b, quick)
			}
		})},
	}}
}
