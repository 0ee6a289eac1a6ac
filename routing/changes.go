package routing

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// changes are the contents of a batch, copied under the hub's mutex so that they can be encoded without it: that asks the user's errors for their text, and takes a while.
type changes struct {
	batch     *batch
	wall      wall
	tasks     []taskChange
	attempts  []attempt // of all tasks, one after the other
	books     booksRecord
	snapshots []snapshotChange
}

// taskChange is the record of a task but for what needs the user's code.
type taskChange struct {
	record   taskRecord
	seq      uint64
	state    State
	gone     bool
	err      error
	attempts int // how many of the attempts are its own
}

// aside reports whether the task is in quarantine by its record.
func (c *taskChange) aside() bool {
	return !c.gone && c.state == StateQuarantined && !c.record.Discarded
}

// copyChanges copies what a batch is about. The caller holds the hub's mutex.
func (h *Hub) copyChanges(b *batch) *changes {
	c := &changes{batch: b, wall: h.clock.wall(), tasks: make([]taskChange, len(b.tasks)), books: h.booksRecord(), snapshots: b.snapshots}
	attempts := 0
	for _, t := range b.tasks {
		if !t.saved.gone {
			attempts += t.keptAttempts()
		}
	}
	c.attempts = make([]attempt, 0, attempts)
	for i, t := range b.tasks {
		change := &c.tasks[i]
		change.seq, change.state, change.gone = t.seq, t.state, t.saved.gone
		if t.saved.gone {
			continue
		}
		change.record, change.err = h.taskRecord(t, c.wall)
		change.attempts = t.keptAttempts()
		c.attempts = slices.AppendSeq(c.attempts, t.attempts())
	}
	return c
}

// taskRecord is the task's record but for its attempts and the text of its error, which it returns.
func (h *Hub) taskRecord(t *task, w wall) (taskRecord, error) {
	r := taskRecord{
		ID: exact(t.id), Type: exact(t.lane.name), Key: exact(t.key), State: t.state.String(), Gone: t.saved.forgotten,
		Submitted: w.unixOf(t.submitted), Deadline: w.unixOf(t.deadline), Settled: w.unixOf(t.saved.settled),
		Priority: t.priority(), Subtask: t.level%2 == 1, Turn: t.saved.turn, Loose: t.loose,
		MaxAttempts: int(t.maxAttempts), Attempt: int(t.attempt), Forgotten: t.forgotten(),
		Errors: int(t.errors), Strikes: int(t.strikes), Interrupted: int(t.saved.interrupted),
		In: t.saved.in, Out: t.saved.out,
		Discarded: t.state == StateQuarantined && t.place != aside,
	}
	if t.avoid != nil {
		r.Avoid = exact(t.avoid.Path)
	}
	if t.place == delayed {
		r.ReadyAt = w.unixOf(t.readyAt)
	}
	if e := t.extra; e != nil {
		r.Timeout = e.timeout
		if b := e.backoff; b != nil {
			r.Backoff = &backoffRecord{b.Min, b.Max, b.Factor, b.Jitter}
		}
		if k := e.kinship; k != nil {
			r.Parent, r.Depth, r.Child = exact(k.parentID), k.depth, k.parent != nil
		}
		r.Inputs = t.inputRecords()
		if e.pin != nil {
			r.Pin, r.PinIncarnation = exact(e.pin.spoke.id.Path), e.pin.spoke.id.Incarnation
		}
	}
	if t.state.Settled() && t.err != nil {
		return r, t.err.Err
	}
	return r, nil
}

func (t *task) inputRecords() []inputRecord {
	if !t.hasInputs() {
		return nil
	}
	records := make([]inputRecord, len(t.extra.fan.inputs))
	for i, in := range t.extra.fan.inputs {
		records[i].ID = exact(in.id)
		if in.input != nil {
			records[i].Seq = in.input.seq
		}
	}
	return records
}

func (h *Hub) booksRecord() booksRecord {
	c := h.books
	return booksRecord{
		Version: recordFormat, Seq: h.seq, Accepted: c.Accepted, Waiting: c.Waiting, Leased: c.Leased, Done: c.Done, Failed: c.Failed, Quarantined: c.Quarantined,
		Cancelled: c.Cancelled, Expired: c.Expired, Attempts: c.Attempts, Late: c.Late, Refused: c.Refused,
	}
}

func (c *changes) len() int { return len(c.tasks) + len(c.snapshots) }

// commit encodes the changes and has the store make them.
func (c *changes) commit(s Store, timeout time.Duration) error {
	records, err := c.records()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), timeout, ErrStoreTimeout)
	defer cancel()
	return s.Commit(ctx, records)
}

// records encodes the changes: the data of all in one piece of memory.
func (c *changes) records() ([]Record, error) {
	records := make([]Record, 0, c.len()+1)
	var ends []int
	buf := make([]byte, 0, 512*c.len()+512)
	add := func(key string) {
		records = append(records, Record{Key: key})
		ends = append(ends, len(buf))
	}
	attempts := c.attempts
	for i := range c.tasks {
		change := &c.tasks[i]
		if !change.gone {
			change.record.Err = textOf(change.err)
			change.record.Attempts = c.attemptRecords(attempts[:change.attempts])
			attempts = attempts[change.attempts:]
			buf = change.record.append(buf)
		}
		add(taskKey(change.seq))
	}
	if len(c.tasks) > 0 {
		buf = c.books.append(buf)
		add(booksKey)
	}
	for _, s := range c.snapshots {
		if !s.gone {
			data, err := s.record()
			if err != nil {
				return nil, fmt.Errorf("snapshot of %q: %w", s.path, err)
			}
			buf = append(buf, data...)
		}
		add(snapshotPrefix + s.path)
	}
	start := 0
	for i, end := range ends {
		if end > start {
			records[i].Data = buf[start:end:end]
		}
		start = end
	}
	return records, nil
}

func (c *changes) attemptRecords(attempts []attempt) []attemptRecord {
	records := make([]attemptRecord, len(attempts))
	for i, a := range attempts {
		r := attemptRecord{
			Number: int(a.number), Path: exact(a.spoke.Path), Incarnation: a.spoke.Incarnation, Start: c.wall.unixOf(a.start), End: c.wall.unixOf(a.end),
			Err: textOf(a.fault.reason()), Stack: a.fault.formattedStack(),
		}
		if a.outcome != OutcomePending {
			r.Outcome = a.outcome.String()
		}
		records[i] = r
	}
	return records
}

func (b *booksRecord) append(to []byte) []byte {
	o := object{append(to, '{')}
	o.number("v", recordFormat)
	for _, n := range [...]struct {
		name string
		n    uint64
	}{
		{"seq", b.Seq}, {"accepted", b.Accepted}, {"waiting", b.Waiting}, {"leased", b.Leased}, {"done", b.Done}, {"failed", b.Failed},
		{"quarantined", b.Quarantined}, {"cancelled", b.Cancelled}, {"expired", b.Expired}, {"attempts", b.Attempts}, {"late", b.Late}, {"refused", b.Refused},
	} {
		o.number(n.name, int64(n.n))
	}
	return append(o.b, '}')
}
