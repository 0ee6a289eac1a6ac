package main

import (
	"time"

	"github.com/mistersmith/mistersmith/routing"
)

// drainTimeout is how long agents may go on with what they are working on when the run is cut short.
const drainTimeout = 10 * time.Second

// cutShort ends a run early: nothing new is submitted, what waits is cancelled, or with a store left to it, and what agents are working on has some time left.
func cutShort(j *job, cause error) {
	if j.durable {
		keepWaiting(j, cause)
		return
	}
	j.cancelWaiting(cause)
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-j.tree.Done():
			tick.Stop()
			return
		case <-tick.C: // a lease that was given back waits again
			j.cancelWaiting(cause)
		case <-timer.C:
			tick.Stop()
			j.tree.Hub().Close(cause)
			return
		}
	}
}

// keepWaiting leaves to the store what no agent is working on.
func keepWaiting(j *job, cause error) {
	hub := j.tree.Hub()
	hub.Pause()
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for atWork(hub) {
		select {
		case <-j.tree.Done():
			return
		case <-tick.C:
			continue
		case <-timer.C:
		}
		break
	}
	hub.Close(cause)
}

// atWork reports whether an agent works on something. One that awaits subtasks doesn't: they may wait for the next process.
func atWork(hub *routing.Hub) bool {
	leased := int(hub.Counts().Leased)
	for _, s := range hub.Spokes() {
		leased -= s.Awaiting
	}
	return leased > 0
}
