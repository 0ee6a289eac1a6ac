package strategies

import (
	"errors"
	"math"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// What the zero fields of a [RestartPolicy] mean.
const (
	DefaultMaxRestarts = 3
	DefaultWindow      = 5 * time.Second
)

// Special values of [RestartPolicy.MaxRestarts].
const (
	NoRestarts = -1          // not a single restart
	Unlimited  = math.MaxInt // no budget at all; think of a Backoff, or a child that fails at once keeps a core busy
)

// RestartPolicy says how often, how fast and for which failures children are restarted. The zero value is a usable policy:
// 3 restarts in 5 s, no backoff, escalate when that is spent. It is a plain value; copy it freely.
type RestartPolicy struct {
	// MaxRestarts is how many restarts are allowed within Window, counted over all children of one supervisor incarnation; a
	// group that restarts together counts as one. 0 means DefaultMaxRestarts; NoRestarts and Unlimited are special.
	MaxRestarts int
	// Window is the time the budget looks back. 0 means DefaultWindow.
	Window time.Duration
	// Backoff is the wait before each restart. The zero value is none. A delay that is long against Window makes the budget
	// impossible to spend: the restarts are too far apart to be counted together.
	Backoff Backoff
	// WhenSpent is what happens to the failure that finds the budget spent. The zero value is SpentEscalate.
	WhenSpent WhenSpent
	// Decider picks a directive by the reason of a failure. nil means: always restart.
	Decider Decider
}

// Decider picks what happens to a failed child: [actor.RestartDirective], [actor.StopDirective] (the child alone, for good),
// [actor.ResumeDirective] (it goes on as if the message had not been) or [actor.EscalateDirective].
//
// reason is the error the child panicked with, so errors.Is and errors.As work on it, or a [*PanicError] around any other value.
//
// On a MisterSmith supervisor it is asked about every failure: a panic, an exit with an error, a kill; not about an end that is none, such as that of a
// supervisor whose budget is spent. Only an actor that panicked while it handled a message is still there to be resumed: it keeps its state, and what
// arrives waits while the decider is asked. Anything else has ended by then, a supervisor with all its children; there resume means restart.
//
// A Decider must be quick and pure: it runs on the supervisor's goroutine, and possibly on several at once.
type Decider func(reason error) actor.Directive

// WithBackoff returns a copy of the policy with another backoff.
func (p RestartPolicy) WithBackoff(b Backoff) RestartPolicy {
	p.Backoff = b
	return p
}

// WithDecider returns a copy of the policy with another decider.
func (p RestartPolicy) WithDecider(d Decider) RestartPolicy {
	p.Decider = d
	return p
}

// WithWhenSpent returns a copy of the policy with another way to act on a spent budget.
func (p RestartPolicy) WithWhenSpent(w WhenSpent) RestartPolicy {
	p.WhenSpent = w
	return p
}

// IsZero reports whether nothing in the policy was set, so that a default may take its place as a whole.
func (p RestartPolicy) IsZero() bool {
	return p.MaxRestarts == 0 && p.Window == 0 && p.Backoff == (Backoff{}) && p.WhenSpent == SpentEscalate && p.Decider == nil
}

// WithDefaults returns a copy of the policy in which every zero field has the value it stands for. The zero Backoff stays zero,
// as it stands for none, and so does a nil Decider.
func (p RestartPolicy) WithDefaults() RestartPolicy {
	if p.MaxRestarts == 0 {
		p.MaxRestarts = DefaultMaxRestarts
	}
	if p.Window == 0 {
		p.Window = DefaultWindow
	}
	p.Backoff = p.Backoff.WithDefaults()
	return p
}

// Validate returns every fault of the policy, each a [*FieldError], joined; nil if there is none.
func (p RestartPolicy) Validate() error {
	var faults []error
	if p.MaxRestarts < NoRestarts {
		faults = append(faults, &FieldError{"MaxRestarts", p.MaxRestarts, "-1 (NoRestarts) or more"})
	}
	if p.Window < 0 {
		faults = append(faults, &FieldError{"Window", p.Window, "0 (for 5s) or more"})
	}
	faults = append(faults, p.Backoff.faults("Backoff.")...)
	if !p.WhenSpent.valid() {
		faults = append(faults, &FieldError{"WhenSpent", int(p.WhenSpent), "one of the Spent… constants"})
	}
	return errors.Join(faults...)
}

// Decide asks the decider about a failure. Whatever the decider does, d is one of protoactor's four directives: a decider that
// panics or returns anything else is overruled with [actor.RestartDirective], and fault is a [*DeciderError] that says so.
func (p RestartPolicy) Decide(reason error) (d actor.Directive, fault error) {
	if p.Decider == nil {
		return actor.RestartDirective, nil
	}
	defer func() {
		if v := recover(); v != nil {
			d, fault = actor.RestartDirective, &DeciderError{Panic: v}
		}
	}()
	d = p.Decider(reason)
	if d < actor.ResumeDirective || d > actor.EscalateDirective {
		return actor.RestartDirective, &DeciderError{Directive: d}
	}
	return d, nil
}
