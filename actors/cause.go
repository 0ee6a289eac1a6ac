package actors

import "github.com/mistersmith/mistersmith/routing"

// Consequences lists, of the events given, the one with number seq and all that it led to, by way of others too. The events must be in the order in which a
// subscription delivers them. Of a failure that is all that came of it: which siblings went down and came up, how far it was escalated, which
// tasks went to other agents.
func Consequences(events []Event, seq uint64) []Event {
	var all []Event
	known := map[uint64]bool{seq: true}
	for _, e := range events {
		if e.Seq == seq || e.Cause != 0 && known[e.Cause] {
			known[e.Seq] = true
			all = append(all, e)
		}
	}
	return all
}

// keptCauses bounds what is remembered of tasks that wait for their next attempt.
const keptCauses = 1 << 16

// taskCauses publishes the hub's events with what led to each: the end or failure of the spoke, or what sent the task back to waiting. The hub calls it one
// event at a time.
type taskCauses struct {
	tree    *Tree
	retried map[string]uint64 // by task that waits for its next attempt: the event that said so
}

func (c *taskCauses) publish(e routing.Event) {
	event := Event{Kind: TaskChanged, Path: e.Spoke.Path, Node: KindAgent, Incarnation: e.Spoke.Incarnation, Err: e.Err, Task: &e}
	if waited, ok := c.retried[e.Task]; ok && e.Kind != routing.EventLateResult {
		event.Cause = waited
		delete(c.retried, e.Task)
	}
	failed := e.Outcome == routing.OutcomeCrashed || e.Outcome == routing.OutcomeHung
	var seq uint64
	switch {
	case event.Cause != 0 || e.Spoke.Path == "":
		seq = c.tree.publish(event)
	case e.Kind == routing.EventSpokeJoined:
		event.Cause = c.tree.joinedFor(e.Spoke)
		seq = c.tree.publish(event)
	case failed, e.Kind == routing.EventSpokeLeft, e.Kind == routing.EventRetried, e.Kind == routing.EventLateResult:
		seq = c.tree.publishOfSpoke(event, failed)
	default:
		seq = c.tree.publish(event)
	}
	if e.Kind == routing.EventRetried {
		if c.retried == nil || len(c.retried) >= keptCauses {
			c.retried = make(map[string]uint64)
		}
		c.retried[e.Task] = seq
	}
}

// joinedFor is what led to the start of a spoke's agent, which may be up, and down again, by the time that the hub tells of it.
func (t *Tree) joinedFor(s routing.SpokeID) uint64 {
	if n := t.lookup(s.Path); n != nil {
		if in, _ := n.running(s.Incarnation); in != nil {
			if a, ok := in.bodyNow().(*agent); ok {
				return a.startedFor
			}
		}
	}
	return 0
}

// publishOfSpoke publishes an event about a spoke whose agent goes down, or is about to. The hub tells of it in its own time, so the end of the agent
// may have been told of before: then it is the cause of the event. If it will be told of yet, it is what led to the stop; or, for a task that the agent
// fails with, the event is what the agent ends for.
func (t *Tree) publishOfSpoke(e Event, failed bool) uint64 {
	n := t.lookup(e.Path)
	if n == nil {
		return t.publish(e)
	}
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	in := n.ref.current
	switch {
	case in != nil && in.number == e.Incarnation:
		e.Cause = in.cause
	case n.lastExit.incarnation == e.Incarnation:
		e.Cause = n.lastExit.seq
	}
	seq := t.publish(e)
	if failed && e.Cause == 0 && in != nil && in.number == e.Incarnation {
		in.cause = seq
	}
	return seq
}
