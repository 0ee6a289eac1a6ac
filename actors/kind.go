package actors

// Kind of a node.
type Kind uint8

const (
	KindRoot       Kind = iota // the supervisor at the top
	KindSupervisor             // any other supervisor
	KindAgent                  // handles tasks
	KindHub                    // routes tasks
	KindBreaker                // guards external calls
	KindActor                  // any protoactor actor

	kindSystem // the supervisor of the root and of what the tree itself needs; nobody sees it
)

func (k Kind) String() string {
	return [...]string{"root", "supervisor", "agent", "hub", "breaker", "actor", "system"}[k]
}

// Status of a node.
type Status uint8

const (
	StatusStopped    Status = iota // not running, and nobody is about to start it
	StatusStarting                 // on its way up
	StatusRunning                  // up
	StatusBackingOff               // down, to be started again
	StatusStopping                 // on its way down
	StatusFailed                   // down after a failure
	StatusAbandoned                // left behind, and not replaced yet
	StatusPlanned                  // only described: see Describe
)

func (s Status) String() string {
	return [...]string{"stopped", "starting", "running", "backing off", "stopping", "failed", "abandoned", "planned"}[s]
}
