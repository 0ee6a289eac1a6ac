package routing

import "time"

// Contents are what a store holds, for those who want to look at it without a hub that goes on with it.
type Contents struct {
	Counts Counts
	// Tasks are in the order in which they were accepted. One that is leased was in hand when its process ended.
	Tasks []TaskSnapshot
	// Snapshots of agents, by path.
	Snapshots map[string]AgentSnapshot
}

// ReadStore reads a store that no hub uses just now, and changes nothing. It fails with a [*StoreError].
func ReadStore(s Store) (*Contents, error) {
	stored, err := readStore(s, Options{}.withDefaults().StoreTimeout)
	if err != nil {
		return nil, err
	}
	c := &Contents{Snapshots: make(map[string]AgentSnapshot)}
	if stored.books != nil {
		c.Counts = stored.books.counts()
	}
	unsettled := make(map[uint64]bool)
	for _, r := range stored.tasks {
		state, _ := parseState(r.State) // it was checked
		unsettled[r.seq] = !state.Settled()
	}
	for _, r := range stored.tasks {
		if !r.Gone {
			c.Tasks = append(c.Tasks, r.snapshot(unsettled))
		}
	}
	for _, snapshot := range stored.snapshots {
		c.Snapshots[snapshot.path] = snapshot.AgentSnapshot
	}
	return c, nil
}

// snapshot returns the task as a hub would, given the numbers of those that are unsettled.
func (r *storedTask) snapshot(unsettled map[uint64]bool) TaskSnapshot {
	state, _ := parseState(r.State)
	s := TaskSnapshot{
		TaskInfo: TaskInfo{
			ID: string(r.ID), Type: string(r.Type), Key: string(r.Key), Parent: string(r.Parent), Priority: r.Priority, Attempt: r.Attempt, MaxAttempts: r.MaxAttempts,
			IdempotencyKey: string(r.ID), Deadline: unixTime(r.Deadline),
		},
		State: state, Submitted: time.Unix(0, r.Submitted), Errors: r.Errors, Strikes: r.Strikes, Interrupted: r.Interrupted,
		Attempts: attemptsFrom(r.Attempts), Forgotten: r.Forgotten,
	}
	for _, in := range r.Inputs {
		s.Inputs = append(s.Inputs, string(in.ID))
		if unsettled[in.Seq] {
			s.Pending++
		}
	}
	if state.Settled() && state != StateDone {
		s.Err = &TaskError{ID: s.ID, Type: s.Type, State: state, Attempts: s.Attempts, Err: errorOf(r.Err)}
	}
	return s
}

func attemptsFrom(records []attemptRecord) []Attempt {
	attempts := make([]Attempt, len(records))
	for i, r := range records {
		a := Attempt{Number: r.Number, Spoke: SpokeID{string(r.Path), r.Incarnation}, Start: unixTime(r.Start), End: unixTime(r.End), fault: r.fault()}
		a.Outcome, _ = parseOutcome(r.Outcome) // it was checked
		a.Err = a.fault.reason()
		attempts[i] = a
	}
	return attempts
}
