package supervise

import "time"

// Restart says when a child that ended by itself is started again.
type Restart uint8

const (
	Permanent Restart = iota // always
	Transient                // only after an abnormal exit
	Temporary                // never; its spec goes with it
)

// AutoShutdown says whether the end of significant children ends the supervisor.
type AutoShutdown uint8

const (
	Never AutoShutdown = iota
	Any                // when any significant child ends by itself and isn't restarted
	All                // when the last significant child has
)

// Spec is what the machine needs to know of a child.
type Spec struct {
	ID          string
	Restart     Restart
	Significant bool
	Supervisor  bool // counted apart
	BrutalKill  bool // "killed" is then the expected way to end
	Data        any  // the owner's; it comes back in the first Start, and is forgotten then
}

// State of a child, as OTP's which_children tells it.
type State uint8

const (
	Undefined  State = iota // not running: ended, terminated, ignored, or waiting for its group
	Up                      // running
	Restarting              // waiting for a backoff or a retry
)

// Class of an exit. Normal, Shutdown and ShutdownWith are no failures.
type Class uint8

const (
	Normal       Class = iota
	Shutdown           // told to, or as if told to
	ShutdownWith       // shutdown with a reason of the child's own
	Killed             // fenced off from outside: a kill, or its shutdown time ran out
	Crash
)

// Abnormal reports whether a transient child is restarted after such an exit.
func (c Class) Abnormal() bool { return c >= Killed }

// Outcome is how an incarnation ended.
type Outcome struct {
	Class Class
	Err   error // nil for a normal exit
}

// child is a spec and its present state. Machine owns it.
type child struct {
	Spec
	state       State
	held        bool   // down because of a sibling, and not started again yet
	slot        int32  // index in Machine.slots
	incarnation uint64 // of the running one; 0 when there is none
	token       uint64 // of the backoff or retry that is awaited; 0 when none is
	backingOff  bool   // it is a backoff
	streak      streak // restarts in a row, for the backoff
}

// streak counts restarts in a row; a quiet time ends it.
type streak struct {
	n    int
	last time.Duration // since the machine began
}

func (s *streak) next(now, quiet time.Duration) int {
	if s.n > 0 && now-s.last > quiet {
		s.n = 0
	}
	s.n++
	s.last = now
	return s.n
}

// adopt gives an instance the rules of another template.
func (c *child) adopt(template Spec) {
	template.ID, template.Data = c.ID, c.Data
	c.Spec = template
}
