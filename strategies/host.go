package strategies

import "github.com/asynkron/protoactor-go/actor"

// Host is implemented by the actor of a supervisor that carries decisions out itself: ordered stop, backoff, ordered start.
// Every MisterSmith supervisor is one. A strategy that finds a Host as the parent of the failed child hands its [Decision] over
// and does nothing else: it spends no budget, restarts nothing, publishes nothing.
type Host interface {
	// HandleDecision is called on the supervisor's own goroutine, between two of its messages.
	HandleDecision(Decision)
}

// Decision is what a strategy found about one failure.
type Decision struct {
	Strategy  Strategy        // whose Group and Policy apply
	Child     *actor.PID      // the child that failed
	Reason    error           // why: the error it panicked with, or a *PanicError around any other value
	Message   any             // the message it failed on
	Directive actor.Directive // what the policy's decider wants; whether the budget allows it is the Host's to find out
	Fault     error           // a *DeciderError if the decider broke its contract and Directive is the fallback, else nil
}
