package supervise

import "time"

// Action is something the owner of a machine has to carry out, in the order given.
type Action interface{ action() }

type (
	// Stop orders the children to be stopped one after the other, in this order, and answered with Done.
	Stop struct {
		Sequence uint64
		Targets  []Target
		For      string // the child whose failure this is about; empty for a call or a shutdown
		Cause    uint64 // of the Exit that ends the supervisor, if that was no failure
		Together bool   // all at once, under one time limit: how a dynamic supervisor ends
	}

	// Start orders the children to be started one after the other, in this order, until one fails, and answered with Done.
	Start struct {
		Sequence uint64
		Children []Spec
		For      string // as in Stop
	}

	// Abort asks for a running Start to end early: the child that is being started fails, later ones aren't tried.
	Abort struct{ Sequence uint64 }

	// Wait orders a Due after Delay.
	Wait struct {
		ID    string
		Token uint64
		Delay time.Duration
	}

	// Cancel takes a Wait back.
	Cancel struct {
		ID    string
		Token uint64
	}

	// Again orders a Retry to be put at the end of the supervisor's own mailbox.
	Again struct {
		ID    string
		Token uint64
	}

	// Report tells of what a supervisor saw or decided, in the words of an OTP supervisor report.
	Report struct {
		Context Context
		ID      string
		Outcome Outcome
	}

	// GroupRestart tells that more than the failed child goes down and comes up.
	GroupRestart struct {
		ID   string
		Size int
	}

	// Rested says that a child is down and won't be started again by the supervisor on its own account.
	Rested struct{ ID string }

	// Drop says that a child's spec is gone.
	Drop struct{ ID string }

	// Reconfigured says that the configuration of a call with OpReconfigure is in force.
	Reconfigured struct{ Data any }

	// Reply answers a Call.
	Reply struct {
		To     any
		Answer Answer
	}

	// Ready says that the first start is complete.
	Ready struct{}

	// Quit says that the supervisor has ended: all its children are down. It is the last action of a machine.
	Quit struct {
		Outcome Outcome
		// Failed is set when the first start failed, and names the child.
		Failed string
		// Cause is that of the Exit that ended the supervisor, if that was no failure.
		Cause uint64
		// Final asks the parent not to restart this supervisor, whatever its restart type.
		Final bool
	}
)

func (Stop) action()         {}
func (Start) action()        {}
func (Abort) action()        {}
func (Wait) action()         {}
func (Cancel) action()       {}
func (Again) action()        {}
func (Report) action()       {}
func (GroupRestart) action() {}
func (Rested) action()       {}
func (Drop) action()         {}
func (Reconfigured) action() {}
func (Reply) action()        {}
func (Ready) action()        {}
func (Quit) action()         {}

// Target is an incarnation that is to be stopped.
type Target struct {
	ID          string
	Incarnation uint64

	restart    Restart
	brutalKill bool
}

// TargetOf is the target that a machine would make of an incarnation of a child.
func TargetOf(s Spec, incarnation uint64) Target {
	return Target{s.ID, incarnation, s.Restart, s.BrutalKill}
}

// Expected reports whether an outcome is a proper answer to the stop. One that isn't is reported as a shutdown error when that child is down,
// before the next is stopped. A permanent child must end as it was told to; others may also end normally.
func (t Target) Expected(o Outcome) bool {
	switch {
	case t.brutalKill && o.Class == Killed, !t.brutalKill && o.Class == Shutdown:
		return true
	default:
		return t.restart != Permanent && !o.Class.Abnormal()
	}
}

// Context of a Report.
type Context uint8

const (
	ChildTerminated Context = iota // a child ended by itself, and should not have
	StartError                     // a child could not be started
	BudgetSpent                    // more restarts than the budget allows
	Escalated                      // the decider, or a spent budget, hands the failure one level up
)

// Answer to a Call. Err is one of this package's errors, or the start error of the child.
type Answer struct {
	Err      error
	ID       string
	Child    Status
	Children []Status // OpWhich, in start order
	Count    Count
}

// Status of one child.
type Status struct {
	Spec
	State       State
	Incarnation uint64
}

// Count of a supervisor's children, as OTP's count_children.
type Count struct {
	Specs, Active, Supervisors, Workers int
}
