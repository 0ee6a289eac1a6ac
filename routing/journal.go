package routing

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// journal carries what changes in the ledger over to a store. The ledger runs ahead of it by a moment: changes are collected in a batch; one goroutine, which exists only
// while there is something to write, commits batch after batch. What changes meanwhile is in the next: so the more there is to do, the more share a commit.
//
// Nothing gets out that a crash could undo: with the changes a batch collects what must wait for them, and lets it go when it has been committed.
//
//	a task was accepted      Submit returns
//	a lease was given        it is delivered: no attempt begins uncounted
//	a task was settled       its handles have the result, Status and Inspect say so
//	anything happened        its event
//
// All fields but the first group are guarded by the hub's mutex. A nil journal, that of a hub without a store, does nothing.
type journal struct {
	store   Store
	timeout time.Duration

	open    *batch // collects
	busy    *batch // is being committed
	writing bool   // the goroutine exists
	failed  *StoreError
}

// batch is what one commit makes durable, and what waits for it.
type batch struct {
	tasks      []*task // in the order of their first change
	snapshots  []snapshotChange
	deliveries []*Lease
	events     []Event

	done chan struct{} // closed when it is committed, or will never be
	err  error         // set before
}

// saved is what there is to know of a task besides if its hub has a store. It is guarded by the hub's mutex.
type saved struct {
	in, out     json.RawMessage
	batch       *batch // the last one with a change of the task, until it is committed
	state       State  // in the store
	known       bool   // the store has it
	aside       bool   // in quarantine
	settled     int64  // when; on the hub's clock
	turn        uint64 // its place in the order in which tasks wait, if it was requeued; else that is its number
	needed      int32  // tasks that aren't settled for good and have it as an input
	interrupted uint16
	forgotten   bool // by the hub
	gone        bool // and by the store, as nobody needs it
}

func newJournal(o Options) *journal {
	if o.Store == nil {
		return nil
	}
	return &journal{store: o.Store, timeout: o.StoreTimeout, open: newBatch()}
}

func newBatch() *batch { return &batch{done: make(chan struct{})} }

func (b *batch) empty() bool {
	return len(b.tasks)+len(b.snapshots)+len(b.deliveries)+len(b.events) == 0
}

// last returns the batch with the last of what isn't committed; nil if all is.
func (j *journal) last() *batch {
	switch {
	case j == nil:
		return nil
	case !j.open.empty():
		return j.open
	}
	return j.busy
}

// wait returns when the batch is committed, or the error if it couldn't be. It takes the store's time limit at most.
func (b *batch) wait() error {
	if b == nil {
		return nil
	}
	<-b.done
	return b.err
}

// seen is the state of a task that may be told: a settlement only if it is recorded.
func (t *task) seen() State {
	if t.saved != nil && t.state.Settled() && !t.saved.state.Settled() {
		return t.saved.state
	}
	return t.state
}

// pending returns the batch with the last change of a task; nil if that is committed.
func (t *task) pending() *batch {
	if t.saved == nil {
		return nil
	}
	return t.saved.batch
}

// ---- What the ledger calls. The caller holds the hub's mutex.

// mark notes that a task has changed.
func (j *journal) mark(t *task) {
	if j == nil || j.failed != nil || t.saved.batch == j.open {
		return
	}
	t.saved.batch = j.open
	j.open.tasks = append(j.open.tasks, t)
}

// accept notes a new task.
func (j *journal) accept(t *task) {
	if j == nil {
		return
	}
	for input := range t.inputs() {
		input.saved.needed++
		if input.saved.gone { // it was named by its handle
			input.saved.gone = false
			j.mark(input)
		}
	}
	j.mark(t)
}

// retire notes that a task is settled for good: its own input and those of other tasks aren't needed any more.
func (j *journal) retire(t *task) {
	if j == nil {
		return
	}
	t.saved.in = nil
	for input := range t.inputs() {
		input.saved.needed--
		if input.saved.forgotten {
			j.forget(input)
		}
	}
	j.mark(t)
}

// forget notes that the hub has forgotten a task. It has no record any more as soon as nobody needs it as an input.
func (j *journal) forget(t *task) {
	if j == nil {
		return
	}
	t.saved.forgotten = true
	t.saved.gone = t.saved.needed == 0
	j.mark(t)
}

// inputs iterates over the tasks that have to be there before this one begins.
func (t *task) inputs() iter.Seq[*task] {
	return func(yield func(*task) bool) {
		if !t.hasInputs() {
			return
		}
		for _, in := range t.extra.fan.inputs {
			if in.input != nil && !yield(in.input) {
				return
			}
		}
	}
}

// deliver hands a lease over once it is recorded. Without a store that is now, and up to the caller.
func (j *journal) deliver(l *Lease) (later bool) {
	if j == nil || l == nil {
		return false
	}
	if j.failed == nil {
		j.open.deliveries = append(j.open.deliveries, l)
	}
	return true
}

// withhold keeps an event until what it tells is recorded.
func (j *journal) withhold(e Event) (later bool) {
	if j == nil {
		return false
	}
	if j.failed != nil {
		return e.Task != "" // that will never be recorded
	}
	j.open.events = append(j.open.events, e)
	return true
}

// startWriter has somebody write what there is. It is called when the hub's mutex is about to be given up.
func (h *Hub) startWriter() {
	if j := h.journal; j != nil && !j.writing && !j.open.empty() {
		j.writing = true
		go h.write()
	}
}

// ---- The writer.

func (h *Hub) write() {
	returned := false
	defer func() {
		if !returned { // the store, or an error's text, has ended this goroutine
			h.mu.Lock()
			h.failStore(errGoexit)
			h.release(0)
		}
	}()
	for h.writeBatch() {
	}
	returned = true
}

// writeBatch commits what has been collected, and lets go what waits for it. It reports whether there was anything.
func (h *Hub) writeBatch() (more bool) {
	j := h.journal
	h.mu.Lock()
	if j.failed != nil || j.open.empty() {
		j.writing = false
		h.mu.Unlock()
		return false
	}
	b := j.open
	j.busy, j.open = b, newBatch()
	c := h.copyChanges(b)
	h.mu.Unlock()

	err := h.commit(c)

	h.mu.Lock()
	switch {
	case j.failed != nil: // it took too long
	case err != nil:
		h.failStore(err)
	default:
		h.committed(b, c)
		close(b.done)
	}
	h.release(0)
	if len(b.deliveries) > 0 {
		go h.deliverAll(b.deliveries) // it runs code of the spokes'
	}
	return true
}

// deliverAll delivers leases that are recorded. Those that were taken back meanwhile come too late to be of use.
func (h *Hub) deliverAll(leases []*Lease) {
	for _, l := range leases {
		if h.current(l) {
			l.deliver()
		}
	}
}

// current reports whether a lease that wasn't delivered yet is still its task's: then its time limit begins. If not, the spoke has its credit back.
func (h *Hub) current(l *Lease) bool {
	h.mu.Lock()
	defer h.unlock()
	if l.task.lease == l {
		if timeout := l.task.timeout(); timeout > 0 {
			l.expires = h.clock.now() + timeout
			h.plan(l.task)
		}
		return true
	}
	h.unseat(l)
	return false
}

// unseat gives back what a lease occupies that will never be delivered.
func (h *Hub) unseat(l *Lease) {
	l.returned = true
	h.wasTaken(l)
	if l.spoke.left {
		return
	}
	l.spoke.leases.remove(l)
	l.spoke.wakeDrain()
	h.vacate(l)
	h.reseat(l.spoke)
}

// commit writes the changes, within the time limit.
func (h *Hub) commit(c *changes) error {
	j := h.journal
	if c.len() == 0 {
		return nil
	}
	timer := time.AfterFunc(j.timeout, func() {
		h.mu.Lock()
		defer h.release(0)
		if j.busy == c.batch {
			h.failStore(fmt.Errorf("%w: a commit of %d changes is not done after %s", ErrStoreTimeout, c.len(), j.timeout))
		}
	})
	defer timer.Stop()
	return guarded(func() error { return c.commit(j.store, j.timeout) })
}

// committed lets go what waited for a batch.
func (h *Hub) committed(b *batch, c *changes) {
	h.journal.busy = nil
	for i, t := range b.tasks {
		s := t.saved
		if s.batch == b {
			s.batch = nil
		}
		change := &c.tasks[i]
		s.state, s.known, s.aside = change.state, true, change.aside()
		if s.state.Settled() && !t.over.Load() {
			h.finish(t)
		}
	}
	for _, e := range b.events {
		h.feed.add(e)
	}
}

// failStore ends all that a hub does, because its store can't follow. What isn't recorded is undone, so that the ledger tells no more than the store
// does, and all who wait are told. The caller holds the hub's mutex.
func (h *Hub) failStore(cause error) {
	j := h.journal
	if j.failed != nil {
		return
	}
	j.failed = &StoreError{Op: "commit", Err: cause}
	if !h.shut {
		h.closed = j.failed
	}
	h.turnAway(j.failed, anyone)
	lost := []*batch{j.open}
	if j.busy != nil {
		lost = append(lost, j.busy)
	}
	j.busy, j.open = nil, newBatch()
	for _, b := range lost {
		for _, t := range b.tasks {
			h.undo(t)
		}
	}
	h.window.drop(func(t *task) bool { return !t.state.Settled() || t.saved.aside })
	h.asideAgain(lost)
	now := h.clock.now()
	for _, t := range h.unsettled() {
		h.keep(t, j.failed, now)
	}
	for _, b := range lost {
		for _, l := range b.deliveries {
			h.unseat(l)
		}
		b.deliveries = nil
		b.err = j.failed
		close(b.done)
	}
	h.finishDrain()
	h.emit(Event{Kind: EventStoreFailed, Err: j.failed}, nil, now)
}

// undo takes back what the store doesn't know of a task.
func (h *Hub) undo(t *task) {
	s := t.saved
	s.batch = nil
	found := h.index.find(t.id)
	switch {
	case found != t && !s.forgotten: // it is in quarantine, and has another life
		h.leaveInDoubt(t, h.journal.failed)
		return
	case s.forgotten && s.state.Settled() && !s.aside:
		return
	case s.forgotten: // and so is its end, or that it was discarded
		s.forgotten, s.gone = false, false
		if found == nil {
			h.index.put(t)
			found = t
		}
	}
	if t.state.Settled() && !s.state.Settled() {
		if t.place == aside {
			h.quarantine.remove(t)
		} // else it is in the window, which drops it when all are undone
		t.place = nowhere
		h.move(t, StateWaiting)
	}
	h.keep(t, h.journal.failed, h.clock.now())
	if !s.known {
		h.books.Waiting--
		h.books.Accepted--
		h.books.Refused++
		if found == t {
			h.index.remove(t.remembered())
		}
	}
}

// asideAgain puts back into quarantine what was discarded, if the store doesn't know of it.
func (h *Hub) asideAgain(lost []*batch) {
	var back []*task
	for _, b := range lost {
		for _, t := range b.tasks {
			if t.saved.aside && t.state == StateQuarantined && t.place != aside {
				t.place = aside
				back = append(back, t)
			}
		}
	}
	if len(back) == 0 {
		return
	}
	for t := h.quarantine.head; t != nil; t = h.quarantine.head {
		h.quarantine.remove(t)
		back = append(back, t)
	}
	slices.SortStableFunc(back, func(a, b *task) int { return cmp.Compare(a.saved.settled, b.saved.settled) })
	for _, t := range back {
		h.quarantine.pushBack(t)
	}
}

// keep leaves an unsettled task to the store: it isn't leased any more, and those who wait for it are told why. The caller holds the hub's mutex.
func (h *Hub) keep(t *task, reason error, now int64) {
	if t.over.Load() { // it is kept already
		return
	}
	if t.lease != nil {
		h.conclude(t, Released(reason), now)
	}
	h.takeOut(t)
	h.schedule.remove(t)
	t.due = 0
	h.leaveInDoubt(t, reason)
}

// leaveInDoubt tells those who wait for a task that they won't hear more of it from this hub.
func (h *Hub) leaveInDoubt(t *task, reason error) {
	if t.over.Load() { // they know: the hub was closed before its store failed
		return
	}
	t.value = nil
	t.err = &TaskError{ID: t.id, Type: t.lane.name, State: StateWaiting, Attempts: h.attemptsOf(t), Err: &causedError{ErrKept, reason}}
	h.finish(t)
}

// StoreErr returns the [*StoreError] if the hub's store has failed.
func (h *Hub) StoreErr() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.journal == nil || h.journal.failed == nil {
		return nil
	}
	return h.journal.failed
}

// sealed reports whether the store has the last word: the hub is closed or has failed. The caller holds the hub's mutex.
func (h *Hub) sealed() bool {
	return h.journal != nil && (h.shut || h.journal.failed != nil)
}

// Flush returns when all that has changed so far is recorded, or the [*StoreError]. Without a store there is nothing to wait for.
func (h *Hub) Flush() error {
	j := h.journal
	if j == nil {
		return nil
	}
	h.mu.Lock()
	last := j.last()
	h.unlock()
	if err := last.wait(); err != nil {
		return err
	}
	return h.StoreErr()
}

// drained is how a drain ends: all is settled, and recorded, or the hub was closed or failed meanwhile.
func (h *Hub) drained() error {
	if err := h.Flush(); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if n := h.Counts().Unsettled(); n > 0 {
		return fmt.Errorf("drain: %d tasks are not settled: %w", n, ErrKept)
	}
	return nil
}

// recorded returns an accepted task, once its acceptance is recorded.
func (h *Hub) recorded(t *task, fresh bool, err error) (*task, bool, error) {
	if err != nil || t == nil || t.saved == nil {
		return t, fresh, err
	}
	h.mu.Lock()
	b, known, failed := t.pending(), t.saved.known, h.journal.failed
	h.mu.Unlock()
	switch {
	case known:
	case b != nil:
		err = b.wait()
	case failed != nil:
		err = failed
	}
	if err != nil {
		return nil, false, fmt.Errorf("submit task of type %q: %w", t.lane.name, err)
	}
	return t, fresh, nil
}

// again is what is known of a task that gets out of quarantine.
func (s *saved) again(turn uint64) *saved {
	return &saved{in: s.in, state: s.state, known: s.known, aside: s.aside, turn: turn}
}

// keepInput encodes what the submitter gave, if there is a store.
func (h *Hub) keepInput(t *task) error {
	if h.journal == nil {
		return nil
	}
	raw, err := encodeRecord(t.value)
	if err == nil && losesText(raw, t.value) {
		err = errors.New("it has text that isn't UTF-8: make that a []byte")
	}
	if err != nil {
		return fmt.Errorf("its input can't be recorded: %w", err)
	}
	t.saved = &saved{in: raw}
	return nil
}
