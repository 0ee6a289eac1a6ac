package actors

import (
	"fmt"
	"strings"
	"time"

	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
)

// Event is one thing that happened in a tree. Which fields are set depends on its Kind.
type Event struct {
	Seq         uint64    // 1, 2, 3 … within the tree
	Time        time.Time // when it was published
	Cause       uint64    // Seq of the event that led to this one; 0 when there is none. See Consequences
	Kind        EventKind
	Path        string // of the node
	Node        Kind   // of the node
	Incarnation uint64 // of the node; 0 when it has none

	Class    Class         // Exited, Failed: how it ended
	Context  Context       // Failed: what its supervisor was doing
	Err      error         // the reason; errors.Is and errors.As work on it
	Message  any           // Exited, Resumed, Returned: the message whose handling crashed, or hangs. Suspected, Hung: of an agent, the ID of the task; Hung: of an actor, the message. Suspected, Hung, Recovered: of a stream, the ID of its task
	Delay    time.Duration // BackingOff: until the next start. Started: time to recover, from the failure on
	Group    int           // GroupRestart: how many children go down and come up
	Strategy string        // GroupRestart: whose decision it was
	Phi      float64       // Suspected, Hung: how suspicious the silence is; Delay is its length

	Breaker *breaker.Transition // BreakerChanged
	Task    *routing.Event      // TaskChanged
}

// EventKind says what happened.
type EventKind uint8

const (
	Starting        EventKind = iota // a supervisor begins to start its children
	Started                          // a node is up; of a supervisor: all its children are
	StartFailed                      // a node could not be started
	Ignored                          // a node asked not to be run
	Exited                           // an incarnation ended
	Failed                           // a supervisor deals with what a child did: see Context
	GroupRestart                     // a failure takes siblings along
	BackingOff                       // a restart is waited for
	Resumed                          // a failed node goes on with its state
	Escalated                        // a supervisor gives up and hands the failure to the next level
	Abandoned                        // code that didn't return was left behind
	Returned                         // abandoned code came back, and changed nothing
	Faulty                           // a decider, hook or balancer panicked; its default was used
	Suspected                        // a node that is busy, or a stream through a breaker node, has shown no progress for suspiciously long
	Hung                             // for so long that it counts as hung; what becomes of it its Liveness says
	Recovered                        // what was suspected, or hung, shows progress again, or is done, or isn't by changed terms (HungIgnore apart)
	BreakerChanged                   // a breaker opened, closed, or probes
	TaskChanged                      // a task went on in its life
	SnapshotRefused                  // an agent starts fresh: its snapshot doesn't fit it
	SnapshotFailed                   // an agent's state could not be saved; the agent goes on
)

var eventNames = [...]string{"starting", "started", "start failed", "ignored", "exited", "failed", "group restart", "backing off", "resumed",
	"escalated", "abandoned", "returned", "faulty", "suspected", "hung", "recovered", "breaker changed", "task changed",
	"snapshot refused", "snapshot failed"}

func (k EventKind) String() string { return eventNames[k] }

// Context of a Failed event, in the words of OTP's supervisor reports.
type Context uint8

const (
	ContextChildTerminated Context = iota // a child ended by itself, and should not have
	ContextStartError                     // a child could not be started
	ContextShutdownError                  // a child didn't end as it was told to
	ContextBudgetSpent                    // more restarts than the budget allows
)

func (c Context) String() string {
	return [...]string{"child_terminated", "start_error", "shutdown_error", "shutdown"}[c]
}

// String is a line for people to read.
func (e Event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Path, e.Kind)
	switch e.Kind {
	case Started:
		if e.Incarnation > 1 {
			fmt.Fprintf(&b, " as incarnation %d", e.Incarnation)
		}
		if e.Delay > 0 {
			fmt.Fprintf(&b, ", %s after it failed", e.Delay.Round(time.Microsecond))
		}
	case Exited:
		fmt.Fprintf(&b, ": %s", e.Class)
	case Failed:
		fmt.Fprintf(&b, ": %s (%s)", e.Context, e.Class)
	case BackingOff:
		fmt.Fprintf(&b, " for %s", e.Delay.Round(time.Millisecond))
	case GroupRestart:
		fmt.Fprintf(&b, " of %d", e.Group)
	case Suspected:
		fmt.Fprintf(&b, ": no progress for %s (phi %.1f)", e.Delay.Round(time.Millisecond), e.Phi)
	case BreakerChanged:
		fmt.Fprintf(&b, ": %v to %v", e.Breaker.From, e.Breaker.To)
	case TaskChanged:
		fmt.Fprintf(&b, ": %v", *e.Task)
	}
	if e.Err != nil && e.Err != ErrShutdown {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}
