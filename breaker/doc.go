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
// # Promises
//
//   - A successful call through a closed breaker takes no lock and allocates nothing (without an operation timeout).
//   - A verdict is recorded before the caller sees the result.
//   - A panic and a runtime.Goexit count as failures, free their slot and go on to the caller with their stack.
//   - Transitions are delivered to each observer in order, once, outside every lock. An observer that panics, blocks or
//     calls back into the breaker holds up itself alone.
//   - An open breaker becomes half-open by itself. No goroutine waits for that: it is a timer.
//
// # What it cannot do
//
// Go cannot stop a running function. [Do] gives the function a context that ends at the operation timeout and counts
// the failure at that moment, but it returns only when the function does. The breaker actor (see [NewActor], [Through])
// runs calls in goroutines of their own and answers at the deadline; a function that is deaf to its context lives on as
// an orphan, which is counted and keeps its place among the MaxInFlight.
//
// # The actor
//
// [NewActor] makes a protoactor producer over a [Runner], the plain object that owns the calls in flight and outlives
// the actor. [Through] is the client's side: it sends one [Call] and waits for its [Result].
package breaker
