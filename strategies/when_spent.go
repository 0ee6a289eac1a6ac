package strategies

import "fmt"

// WhenSpent is what happens to the failure that finds the restart budget spent. The refused restart counts against the budget
// all the same.
type WhenSpent int

const (
	// SpentEscalate makes it the supervisor's own failure, for the level above to handle. It is OTP's way and the default.
	SpentEscalate WhenSpent = iota
	// SpentStopChild stops the failed child alone, for good; supervisor and siblings go on.
	SpentStopChild
	// SpentStopSupervisor stops the supervisor and all its children; nothing is reported as a failure to the level above.
	SpentStopSupervisor
	// SpentIgnore ignores the budget: the restart goes ahead, after its backoff if there is one.
	SpentIgnore
)

// String returns "escalate", "stop_child", "stop_supervisor" or "ignore".
func (w WhenSpent) String() string {
	switch w {
	case SpentEscalate:
		return "escalate"
	case SpentStopChild:
		return "stop_child"
	case SpentStopSupervisor:
		return "stop_supervisor"
	case SpentIgnore:
		return "ignore"
	}
	return fmt.Sprintf("WhenSpent(%d)", int(w))
}

func (w WhenSpent) valid() bool { return w >= SpentEscalate && w <= SpentIgnore }
