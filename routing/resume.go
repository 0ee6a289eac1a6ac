package routing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErrInterrupted says of an attempt that its process died during it.
var ErrInterrupted = errors.New("the process died during the attempt")

// suspicion is the cause with which a task is quarantined that was in hand each time the process died.
func suspicion(n int) error {
	return fmt.Errorf("%w, for the %d. time in a row", ErrInterrupted, n)
}

// contents are what a store holds, as it is written there.
type contents struct {
	books     *booksRecord
	tasks     []storedTask // in the order of acceptance
	snapshots []*agentSnapshot
}

type storedTask struct {
	seq uint64
	taskRecord
}

// readStore reads all there is in a store, and checks that it fits together.
func readStore(s Store, timeout time.Duration) (*contents, error) {
	var c contents
	err := loadAll(s, timeout, func(r Record) error {
		if err := c.add(r); err != nil {
			if !errors.Is(err, ErrStoreNewer) {
				err = fmt.Errorf("%w: %w", ErrStoreCorrupt, err)
			}
			return fmt.Errorf("record %q: %w", r.Key, err)
		}
		return nil
	})
	if err == nil {
		slices.SortFunc(c.tasks, func(a, b storedTask) int { return cmp.Compare(a.seq, b.seq) })
		if fault := c.faults(); fault != nil {
			err = fmt.Errorf("%w: %w", ErrStoreCorrupt, fault)
		}
	}
	if err != nil {
		return nil, &StoreError{Op: "load", Err: err}
	}
	return &c, nil
}

func (c *contents) add(r Record) error {
	switch {
	case r.Key == booksKey:
		c.books = &booksRecord{}
		return unmarshal(r.Data, c.books)
	case strings.HasPrefix(r.Key, taskPrefix):
		seq, err := taskSeq(r.Key)
		if err != nil {
			return err
		}
		task, err := decodeTask(r.Data)
		c.tasks = append(c.tasks, storedTask{seq, task})
		return err
	case strings.HasPrefix(r.Key, ApplicationPrefix):
		return nil
	case strings.HasPrefix(r.Key, snapshotPrefix):
		s, err := decodeSnapshot(strings.TrimPrefix(r.Key, snapshotPrefix), r.Data)
		c.snapshots = append(c.snapshots, s)
		return err
	default:
		return errors.New("unknown key")
	}
}

// faults holds the tasks against the books: every commit changed them together.
func (c *contents) faults() error {
	if c.books == nil {
		if len(c.tasks) > 0 {
			return fmt.Errorf("it has %d tasks, but no books", len(c.tasks))
		}
		return nil
	}
	var waiting, leased uint64
	ids := make(map[exact]bool, len(c.tasks))
	numbers := make(map[uint64]bool, len(c.tasks))
	for _, t := range c.tasks {
		numbers[t.seq] = true
	}
	for i, t := range c.tasks {
		switch t.State {
		case StateWaiting.String():
			waiting++
		case StateLeased.String():
			leased++
		}
		if ids[t.ID] && !t.Gone {
			return fmt.Errorf("it has task %q twice", t.ID)
		}
		ids[t.ID] = ids[t.ID] || !t.Gone
		for _, in := range t.Inputs {
			if in.Seq != 0 && !numbers[in.Seq] {
				return fmt.Errorf("task %q needs %q, which it doesn't have", t.ID, in.ID)
			}
		}
		if i > 0 && t.seq == c.tasks[i-1].seq {
			return fmt.Errorf("it has task number %d twice", t.seq)
		}
	}
	b := c.books
	counts := b.counts()
	switch {
	case waiting != b.Waiting || leased != b.Leased:
		return fmt.Errorf("by its books %d tasks are waiting and %d leased, but there are %d and %d", b.Waiting, b.Leased, waiting, leased)
	case !counts.Balanced():
		return fmt.Errorf("its books don't balance: %+v", *b)
	case len(c.tasks) > 0 && c.tasks[len(c.tasks)-1].seq > b.Seq:
		return fmt.Errorf("by its books %d tasks were accepted, but there is number %d", b.Seq, c.tasks[len(c.tasks)-1].seq)
	}
	return nil
}

func (b *booksRecord) counts() Counts {
	return Counts{
		Accepted: b.Accepted, Waiting: b.Waiting, Leased: b.Leased, Done: b.Done, Failed: b.Failed, Quarantined: b.Quarantined,
		Cancelled: b.Cancelled, Expired: b.Expired, Attempts: b.Attempts, Late: b.Late, Refused: b.Refused,
	}
}

// resume takes in what the store holds, when the hub is made. What has to be written then is written with the next change: until that, the store says the same again.
func (h *Hub) resume() error {
	if h.journal == nil {
		return nil
	}
	c, err := readStore(h.journal.store, h.journal.timeout)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	slices.SortStableFunc(c.snapshots, func(a, b *agentSnapshot) int { return a.Time.Compare(b.Time) })
	for _, s := range c.snapshots {
		h.snapshots.load(s)
	}
	if c.books == nil {
		return nil
	}
	h.books, h.seq = c.books.counts(), c.books.Seq
	w := h.clock.wall()
	tasks := make(map[uint64]*task, len(c.tasks))
	var settled, unsettled []*task
	for _, r := range c.tasks {
		t := h.taskFrom(r, w)
		tasks[t.seq] = t
		switch {
		case t.saved.forgotten:
			continue
		case t.state.Settled():
			settled = append(settled, t)
		default:
			unsettled = append(unsettled, t)
			t.lane.gate.used++
			h.gate.used++
		}
		h.index.put(t)
	}
	for _, r := range c.tasks {
		h.link(tasks[r.seq], r, tasks)
	}
	for _, t := range tasks {
		if t.saved.forgotten && t.saved.needed == 0 {
			h.journal.forget(t)
		}
	}
	h.emit(Event{Kind: EventLoaded}, nil, w.now)
	slices.SortStableFunc(settled, func(a, b *task) int { return cmp.Compare(a.saved.settled, b.saved.settled) })
	for _, t := range settled {
		if t.place == aside {
			h.setAside(t, w.now)
		} else {
			h.remember(t)
		}
	}
	slices.SortStableFunc(unsettled, func(a, b *task) int { return cmp.Compare(a.turn(), b.turn()) })
	for _, t := range unsettled {
		h.thread(t)
	}
	h.dooming = true // not before all go on: one that is settled must not go on any more
	for _, t := range unsettled {
		h.goOn(t, w.now)
	}
	for _, r := range c.tasks {
		if t := tasks[r.seq]; r.Pin != "" && !t.state.Settled() {
			h.settle(t, StateFailed, Outcome{err: fmt.Errorf("%w: %v", ErrSpokeGone, SpokeID{string(r.Pin), r.PinIncarnation})}, w.now)
		}
	}
	h.dooming = false
	h.settleDoomed(w.now)
	return nil
}

// turn is the task's place in the order in which tasks wait.
func (t *task) turn() uint64 {
	if t.saved.turn > 0 {
		return t.saved.turn
	}
	return t.seq
}

// link ties a task to those that it has to do with.
func (h *Hub) link(t *task, r storedTask, tasks map[uint64]*task) {
	if len(r.Inputs) > 0 {
		edges := make([]edge, len(r.Inputs))
		for i, in := range r.Inputs {
			edges[i] = edge{id: string(in.ID), input: tasks[in.Seq], dependant: t}
			if in.Seq != 0 {
				tasks[in.Seq].saved.needed++
			}
		}
		t.fanOut().inputs = edges
	}
	if r.Parent == "" {
		return
	}
	k := t.kin()
	k.parentID, k.depth = string(r.Parent), r.Depth
	if parent := h.index.find(k.parentID); r.Child && parent != nil && !parent.state.Settled() && !t.state.Settled() {
		k.parent = parent
		t.joinFamily()
	}
}

// taskFrom makes a task of its record.
func (h *Hub) taskFrom(r storedTask, w wall) *task {
	state, _ := parseState(r.State) // it was checked
	t := &task{
		id: string(r.ID), key: string(r.Key), lane: h.storedLane(string(r.Type)), seq: r.seq,
		level:     levelOf(int8(r.Priority), r.Subtask),
		submitted: w.from(r.Submitted), deadline: w.from(r.Deadline), readyAt: w.from(r.ReadyAt),
		attempt: int32(r.Attempt), errors: uint16(r.Errors), strikes: uint16(r.Strikes), maxAttempts: uint16(r.MaxAttempts),
		state: state, loose: r.Loose,
		saved: &saved{turn: r.Turn, in: r.In, out: r.Out, state: state, known: true, settled: w.from(r.Settled), forgotten: r.Gone, interrupted: uint16(r.Interrupted)},
	}
	if r.Avoid != "" {
		t.avoid = &SpokeID{Path: string(r.Avoid)}
	}
	for _, a := range r.Attempts {
		t.begin(a.attempt(w))
	}
	if r.Forgotten > 0 {
		t.past().forgotten += r.Forgotten
	}
	if r.Timeout > 0 {
		t.more().timeout = r.Timeout
	}
	if b := r.Backoff; b != nil {
		t.more().backoff = &Backoff{b.Min, b.Max, b.Factor, b.Jitter}
	}
	if r.Pin != "" {
		t.more().pin = goneSeat(t.lane, SpokeID{string(r.Pin), r.PinIncarnation})
	}
	if state.Settled() {
		t.over.Store(true)
	}
	if r.In != nil {
		t.value = Stored(r.In)
	}
	switch {
	case state == StateDone:
		t.value = Stored(r.Out)
	case state.Settled():
		t.err = &TaskError{ID: t.id, Type: t.lane.name, State: state, Attempts: h.attemptsOf(t), Err: errorOf(r.Err)}
		if state == StateQuarantined && !r.Discarded {
			t.place, t.saved.aside = aside, true
		}
	}
	return t
}

// attempt makes the record that a hub keeps of one in a store.
func (r attemptRecord) attempt(w wall) attempt {
	outcome, _ := parseOutcome(r.Outcome) // it was checked
	return attempt{
		number: int32(r.Number), spoke: &SpokeID{string(r.Path), r.Incarnation}, start: w.from(r.Start), end: w.from(r.End), outcome: outcome, fault: r.fault(),
	}
}

func (r attemptRecord) fault() *fault {
	err := errorOf(r.Err)
	switch {
	case r.Stack != "":
		return &fault{err, func() string { return r.Stack }}
	case err != nil:
		return &fault{err: err}
	}
	return nil
}

// storedLane returns the lane of a type that may be unknown yet: its tasks wait until a spoke or Declare makes it known, and new ones are refused.
func (h *Hub) storedLane(name string) *lane {
	if l := h.lanes[name]; l != nil {
		return l
	}
	l := h.lane(name)
	l.unknown = true
	return l
}

// await lets a task wait as it did.
func (h *Hub) await(t *task, now int64) {
	ready := t.readyAt
	if h.awaitInputs(t) {
		return
	}
	if ready <= now {
		t.readyAt = 0
		h.enqueue(t, false)
		return
	}
	t.readyAt = min(ready, now+int64(maxRetryAfter)) // the wall clock may have been set back
	t.place = delayed
	h.plan(t)
}

// goOn lets an unsettled task go on. An attempt that the process died during has ended. Who was in hand each time is set aside, so that a task
// which kills its process doesn't do that for ever; and one short of that it is tried while no other such task of its type is (but for those that await something), so that
// at the next death it is known which of them it was.
func (h *Hub) goOn(t *task, now int64) {
	if t.state == StateLeased {
		t.end(now, Outcome{kind: OutcomeInterrupted, err: ErrInterrupted})
		t.saved.interrupted++
		n := int(t.saved.interrupted)
		if n >= h.options.Interruptions {
			h.settle(t, StateQuarantined, Outcome{kind: OutcomeInterrupted, err: suspicion(n)}, now)
			return
		}
		h.move(t, StateWaiting)
		h.emit(Event{Kind: EventRetried, Attempt: int(t.last.number), Spoke: *t.last.spoke, Outcome: OutcomeInterrupted, Err: ErrInterrupted}, t, now)
	}
	l := t.lane
	switch {
	case t.saved.interrupted == 0 || int(t.saved.interrupted) < h.options.Interruptions-1:
		h.await(t, now)
	case l.suspect == nil:
		l.suspect = t
		h.await(t, now)
	default:
		t.place, t.readyAt = delayed, 0
		l.suspects = append(l.suspects, t)
		h.plan(t)
	}
}

// acquit clears a task of suspicion: an attempt has ended in some other way than with the process.
func (h *Hub) acquit(t *task, now int64) {
	if t.saved == nil || t.saved.interrupted == 0 {
		return
	}
	t.saved.interrupted = 0
	h.nextSuspect(t, now)
}

// nextSuspect lets another suspect try, if it was the turn of this one: it is cleared, or its handler awaits something, which may be one of the others.
func (h *Hub) nextSuspect(t *task, now int64) {
	l := t.lane
	if l.suspect != t {
		return
	}
	l.suspect = nil
	for len(l.suspects) > 0 && l.suspect == nil {
		next := l.suspects[0]
		l.suspects[0] = nil
		l.suspects = l.suspects[1:]
		if !next.state.Settled() {
			l.suspect = next
			h.await(next, now)
		}
	}
}
