package supervise

import "github.com/asynkron/protoactor-go/actor"

// Event is something that happened to a supervisor.
type Event interface{ event() }

type (
	// Boot begins the first start of all children. It is the first event of every machine.
	Boot struct{}

	// Exit says that an incarnation ended without having been told to.
	Exit struct {
		ID          string
		Incarnation uint64
		Outcome     Outcome
		Directive   actor.Directive // the decider's word on a failure; RestartDirective leaves it to the restart type
		Cause       uint64          // the owner's; it comes back in what ends the supervisor for the sake of this exit
	}

	// Done says that the sequence ordered by a Stop or Start has been carried out as far as it went.
	Done struct {
		Sequence uint64
		Results  []Result // one for each child that was tried, in order
	}

	// Due says that a backoff ordered by Wait is over.
	Due struct {
		ID    string
		Token uint64
	}

	// Retry is the answer to Again.
	Retry struct {
		ID    string
		Token uint64
	}

	// ShutdownOrder is the parent's order to end. It goes before everything that is queued.
	ShutdownOrder struct{}

	// Call is a dynamic call. Its Reply carries To back.
	Call struct {
		Op     Op
		ID     string
		Spec   Spec   // OpStart
		Config Config // OpReconfigure; Random is left as it is
		To     any
	}

	// Withdraw takes back the call with that To, if it is still queued.
	Withdraw struct{ To any }
)

func (Boot) event()          {}
func (Exit) event()          {}
func (Done) event()          {}
func (Due) event()           {}
func (Retry) event()         {}
func (ShutdownOrder) event() {}
func (Call) event()          {}
func (Withdraw) event()      {}

// Result is what became of one child of a sequence. After a Start, Incarnation is that of the child now running, or 0 with
// Ignored or Err set; after a Stop, Outcome says how it ended.
type Result struct {
	ID          string
	Incarnation uint64
	Ignored     bool
	Err         error
	Outcome     Outcome
}

// Op is a dynamic call's operation.
type Op uint8

const (
	OpStart Op = iota
	OpTerminate
	OpRestart
	OpDelete
	OpWhich
	OpCount
	OpSpec
	OpReconfigure
)
