package detector

import "time"

// MinProgressLimit is the least time without progress that means anything: on a busy machine, a goroutine that is ready to run may wait
// for the processor for 200 ms.
const MinProgressLimit = 250 * time.Millisecond

// Progress is what is known, at one moment, of something that does work when there is some: an agent, an actor, a worker. It's
// judged by its progress, because its silence means nothing: who has nothing to do makes none.
type Progress struct {
	// Busy says that it's at work, or that work is waiting for it.
	Busy bool

	// Last is the clock reading of its last progress. Becoming busy counts as one.
	Last time.Duration

	// Limit is how long it may be busy without progress until it has failed; it's suspected at half of that. It is raised to
	// MinProgressLimit. 0: no limit.
	Limit time.Duration

	// Until is the end of a time it has been granted, as by a task's own timeout or for a guarded call: before that it is
	// healthy, and its silence counts from there. 0: none.
	Until time.Duration

	// Suspended says that it's not to be judged: suspended, restarting, backing off.
	Suspended bool
}

// Judge says what is to be thought of it at a clock reading, and for how long it has made no progress that it should have made.
func (p Progress) Judge(now time.Duration) (Verdict, time.Duration) {
	if !p.Busy || p.Suspended {
		return Healthy, 0
	}
	silent := max(0, saturatingSub(now, max(p.Last, p.Until)))
	limit := max(p.Limit, MinProgressLimit)
	switch {
	case p.Limit <= 0 || silent < limit/2:
		return Healthy, silent
	case silent < limit:
		return Suspected, silent
	default:
		return Failed, silent
	}
}
