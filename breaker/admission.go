package breaker

import "context"

// Admission is what a call was let through on: which breaker, in which state, in which of its periods. Transitions name the same
// periods by the same numbers, so whoever receives a call can be checked against what the breaker said of itself.
type Admission struct {
	Name  string
	State State // Closed, or HalfOpen for a probe
	Gen   uint64
}

type admissionKey struct{}

func (p Permit) admission() Admission {
	return Admission{Name: p.period.breaker.cfg.Name, State: p.period.state, Gen: p.period.gen}
}

// Admitted tells a function that [DoDetached], a [Runner] or a breaker actor runs, or [Do] with an operation timeout, from its context,
// what it was let through on. It is false for any other context.
func Admitted(ctx context.Context) (Admission, bool) {
	a, ok := ctx.Value(admissionKey{}).(Admission)
	return a, ok
}
