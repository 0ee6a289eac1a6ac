// Package breaker is a circuit breaker: it stops calls to a dependency that keeps failing, and lets a few through
// after a while to see whether it has recovered.
//
//	llm, err := breaker.New(breaker.Config{Name: "llm"})
//	...
//	answer, err := breaker.Do(ctx, llm, func(ctx context.Context) (string, error) {
//		return client.Chat(ctx, prompt)
//	})
//
// # The state machine
//
//	          FailureThreshold failures in a row
//	+--------+ --------------------------------> +------+
//	| Closed |                                   | Open | <-----------------+
//	+--------+ <---------------+                 +------+                   |
//	                           |                    | ResetTimeout is over: | one failure, or a
//	     SuccessThreshold      |                    | a timer, or the first | probe that outlives
//	     successful probes     |                    | call after it         | its lease
//	                           |                    v                       |
//	                           +------------- +----------+ -----------------+
//	                                          | HalfOpen |
//	                                          +----------+
//	                                 at most HalfOpenMaxCalls at once
//
// Every stretch in one state is a period with a generation number. A [Permit] belongs to the period that gave it: the
// result of a call changes that period or nothing. A success that was admitted while the breaker was closed cannot
// close it later, and a probe of one half-open period says nothing in the next.
//
// With a [Window] the breaker opens by the share of failed or slow calls instead of by failures in a row. With a [Backoff]
// the reset timeout grows. By hand there are two more states, ForcedOpen and Disabled: see [Breaker.ForceOpen],
// [Breaker.Disable], [Breaker.Reset], [Breaker.TripFor] and [Breaker.Restore].
//
// # Ways to call
//
//   - [Do] runs the function on the caller's goroutine.
//   - [DoDetached] runs it on another, and frees the caller at the operation timeout even if the function is deaf.
//   - [Breaker.Acquire] and [Permit.Done] are the two halves, for calls that are no function.
//   - [Transport] guards an HTTP client, up to the last byte of each response.
//   - [Through] asks a breaker actor ([NewActor]), a node that outlives its restarts and publishes what it does.
//   - [DoExternal] puts retry, [Bulkhead], [Limiter], breaker and timeout together, in the one right order: see [External].
//   - [Registry] has a breaker for each endpoint.
//
// # Promises
//
//   - A successful call through a closed breaker takes no lock, and without an operation timeout it allocates nothing; a
//     window by time makes a small object each time it moves on.
//   - What callers see is what some order of their calls one after the other would give, whatever ran at once. (A window's
//     share is the one exception: calls that end in the same instant may or may not be in it.)
//   - A verdict is recorded before the caller sees the result.
//   - A panic and a runtime.Goexit count as failures, free their slot and go on to the caller with their stack.
//   - Transitions are delivered to each observer in order, once, outside every lock. An observer that panics, blocks or
//     calls back into the breaker holds up itself alone.
//   - An open breaker becomes half-open by itself, and observers hear of it, even if nobody calls: whoever routes calls
//     around it knows when to route some to it again. No goroutine waits for that: it is a timer. With Config.Probe it even
//     finds out by itself whether the dependency is back.
//   - Everything is bounded: functions that run detached, waiters, breakers of a registry, transitions that wait for a slow
//     observer.
//
// # What it cannot do
//
// Go cannot stop a running function. [Do] gives the function a context that ends at the operation timeout and counts
// the failure at that moment, but it returns only when the function does. [DoDetached] and the breaker actor run calls in
// goroutines of their own and answer at the deadline; a function that is deaf to its context lives on as an orphan, which
// is counted and keeps its place among Config.MaxInFlight. A panic in a goroutine that the function starts itself ends the
// process.
//
// # The actor
//
// [NewActor] makes a protoactor producer over a [Runner], the plain object that owns the calls in flight and outlives
// the actor. [Through] is the client's side: it sends one [Call] and waits for its [Result].
package breaker
