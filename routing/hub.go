package routing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Hub holds the whole truth about a set of tasks and the spokes that work on them. It is a plain object that survives whatever
// happens to the actor around it ([Hub.Actor]); that actor leases waiting tasks to idle spokes and sees to what falls due. All methods
// may be called from any goroutine, also from callbacks.
type Hub struct {
	options  Options
	balancer Balancer
	ranker   Ranker // the balancer, if it ranks
	placer   Placer // the balancer, if it keeps keys together
	clock    clock
	feed     eventFeed
	settled  chan struct{} // closed from the start: what those get who wait for a task that is settled

	mu sync.Mutex // guards everything below, and the fields of tasks, lanes, spokes and leases that say so
	ledger
	lanes    map[string]*lane
	spokes   map[string]*Spoke // by path
	paused   bool
	circuits map[string]*circuit
	gate     gate
	hasty    int // who wait for a place with FailFast
	picks    uint64
	shelved  map[string]struct{} // paths of spokes paused by PauseSpoke
	closed   error               // why new tasks are refused; nil while open
	shut     bool                // Close was called
	draining chan struct{}
	pace     pace

	dirty    []*lane  // have waiting tasks and free spokes
	eager    []*seat  // have ready tasks of their own, and a free credit
	reviewed []*seat  // have strands that may have to go elsewhere
	pulling  *Spoke   // is about to take what it can have by itself
	blank    *Lease   // to be used for it
	outbox   []*Lease // given by the pump, not yet delivered
	revoked  []revocation
	after    []func() // to be called once the lock is given up
	doomed   []doomed // to be settled; dooming while that is done
	dooming  bool
	pumping  bool
	kicked   bool // a wake-up is on its way to the actor
	wanted   bool // the actor is to be woken when the lock is given up
	wake     func()
	session  uint64 // of the actor attached last
	armed    int64  // when the attached actor wakes up by itself; 0 is never
}

// revocation is a lease whose context has to end once the lock is given up.
type revocation struct {
	lease *Lease
	cause error
}

// NewHub makes a hub, and takes in what the store holds if there is one. Its error names every option that is out of bounds, or is a [*StoreError].
func NewHub(options Options) (*Hub, error) {
	options = options.withDefaults()
	if err := options.faults(); err != nil {
		return nil, fmt.Errorf("new hub: %w", err)
	}
	h := &Hub{
		options:  options,
		balancer: options.Balancer,
		clock:    clock{epoch: time.Now()},
		feed:     eventFeed{call: options.OnEvent, listening: options.Listening},
		settled:  make(chan struct{}),
		ledger:   newLedger(options),
		lanes:    make(map[string]*lane),
		spokes:   make(map[string]*Spoke),
		shelved:  make(map[string]struct{}),
		gate:     gate{limit: options.Capacity},
	}
	h.ranker, _ = options.Balancer.(Ranker)
	h.placer, _ = options.Balancer.(Placer)
	close(h.settled)
	if err := h.resume(); err != nil {
		return nil, fmt.Errorf("new hub: %w", err)
	}
	return h, nil
}

// Hub returns h: a hub is a [Submitter].
func (h *Hub) Hub() *Hub { return h }

// Declare makes task types known before the first spoke registers for them: tasks of a declared type are accepted and wait.
func (h *Hub) Declare(types ...string) error {
	if err := validNames("task type", types); err != nil {
		return fmt.Errorf("declare: %w", err)
	}
	h.mu.Lock()
	defer h.unlock()
	for _, name := range types {
		h.lane(name)
	}
	return nil
}

// Cancel settles the task as cancelled, at once; a running handler's context ends with the cause. It reports whether there was an
// unsettled task with this id.
func (h *Hub) Cancel(id string, cause error) bool {
	h.mu.Lock()
	t := h.index.find(id)
	h.mu.Unlock()
	return t != nil && h.cancelTask(t, cause)
}

// Drain refuses new tasks from now on (blocked submitters too), and waits until all accepted ones are settled. What those submit as subtasks is still
// accepted: they couldn't finish without. When ctx ends first it says how many are not settled, and the hub stays as it is: refusing, and working.
func (h *Hub) Drain(ctx context.Context) error {
	h.mu.Lock()
	if h.closed == nil {
		h.closed = fmt.Errorf("%w: it is draining", ErrClosed)
		h.turnAway(h.closed, func(w *waiter) bool { return w.task.parent() == nil })
	}
	if h.draining == nil {
		h.draining = make(chan struct{})
		h.finishDrain()
	}
	drained := h.draining
	h.unlock()
	select {
	case <-drained:
		return h.drained()
	case <-ctx.Done():
		return fmt.Errorf("drain: %d tasks are not settled: %w", h.Counts().Unsettled(), context.Cause(ctx))
	}
}

// Close cancels everything unsettled, refuses new tasks and spokes with [ErrClosed], and wakes all who wait. Closing again does nothing.
//
// With a store nothing is cancelled: leases are taken back, uncharged, and unsettled tasks are left to the store; those who wait for them get an error with [ErrKept] in its chain.
// Close returns when all is recorded. The store is the caller's to close.
func (h *Hub) Close(cause error) {
	h.shutDown(cause)
	_ = h.Flush() // if the store fails now, those concerned hear of it
}

func (h *Hub) shutDown(cause error) {
	h.mu.Lock()
	defer h.unlock()
	if h.shut {
		return
	}
	h.shut = true
	reason := ErrClosed
	if cause != nil {
		reason = &causedError{ErrClosed, cause}
	}
	h.closed = reason
	h.turnAway(reason, anyone)
	now := h.clock.now()
	for _, t := range slices.Backward(h.unsettled()) { // those first that need others, or are subtasks of others
		switch {
		case t.over.Load(): // as a subtask of another; or the store has failed, and all are kept
		case h.journal != nil:
			h.keep(t, reason, now)
		default:
			h.cancel(t, reason, now)
		}
	}
	h.finishDrain()
	h.emit(Event{Kind: EventClosed, Err: cause}, nil, now)
}

// Inspect returns all that is known of a task, if it is unsettled, in quarantine, or still remembered.
func (h *Hub) Inspect(id string) (TaskSnapshot, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.index.find(id)
	if t == nil {
		return TaskSnapshot{}, false
	}
	return h.snapshot(t), true
}

// Counts returns the books, as they are at this moment.
func (h *Hub) Counts() Counts {
	h.mu.Lock()
	c := h.books
	c.Spokes, c.Paused = len(h.spokes), h.paused
	for _, l := range h.lanes {
		c.ShutOut += uint64(l.shutOut())
	}
	h.mu.Unlock()
	h.feed.mu.Lock()
	c.EventsDropped, c.EventPanics = h.feed.dropped, h.feed.panics
	h.feed.mu.Unlock()
	return c
}

// unlock gives the lock up and then does what must not be done under it.
func (h *Hub) unlock() { h.release(inlineEvents) }

// release is unlock for a caller that hands out so many events itself. The hub's actor hands out none: a callback that blocks must not hold it up.
func (h *Hub) release(events int) {
	h.startWriter()
	revoked, after, wake := h.revoked, h.after, h.wake
	h.revoked, h.after = nil, nil
	if !h.wanted {
		wake = nil
	}
	h.wanted = false
	h.mu.Unlock()
	for _, r := range revoked {
		r.lease.revoke(r.cause)
	}
	for _, f := range after {
		f()
	}
	if wake != nil {
		wake()
	}
	if h.feed.call != nil {
		h.feed.flush(events)
	}
}

// closedTo says why the hub accepts nothing from a lease's handler, or from others if that is nil. It is nil if it does.
func (h *Hub) closedTo(submitter *Lease) error {
	if submitter != nil && submitter.hub == h && !h.shut && (h.journal == nil || h.journal.failed == nil) {
		return nil // it may be draining
	}
	return h.closed
}

func (h *Hub) finishDrain() {
	if h.draining == nil || h.books.Unsettled() > 0 && !h.sealed() {
		return
	}
	select {
	case <-h.draining:
	default:
		close(h.draining)
	}
}

// heard reports whether anybody is told of events. Those that each task has aren't even put together if not.
func (h *Hub) heard() bool {
	return h.feed.call != nil && (h.feed.listening == nil || h.feed.listening())
}

func (h *Hub) emit(e Event, t *task, now int64) {
	if !h.heard() {
		return
	}
	e.Time = h.clock.at(now)
	if t != nil {
		e.Task, e.Type, e.State, e.Carried = h.index.id(t), t.lane.name, t.state, t.carries()
	}
	if !h.journal.withhold(e) {
		h.feed.add(e)
	}
}

func (h *Hub) info(t *task, attempt int) TaskInfo {
	id := h.index.id(t)
	info := TaskInfo{ID: id, Type: t.lane.name, Key: t.key, Parent: t.parentID(), Priority: t.priority(), Attempt: attempt, MaxAttempts: int(t.maxAttempts), IdempotencyKey: id}
	if t.deadline != 0 {
		info.Deadline = h.clock.at(t.deadline)
	}
	return info
}

func (h *Hub) snapshot(t *task) TaskSnapshot {
	var shutOut *CircuitOpenError
	if only := t.ownSpoke(); t.state == StateWaiting && t.lane.shutsOut(only) {
		shutOut = h.circuitsOpen(t.lane, only)
	}
	s := TaskSnapshot{
		TaskInfo:  h.info(t, int(t.attempt)),
		ShutOut:   shutOut,
		State:     t.seen(),
		Submitted: h.clock.at(t.submitted),
		Errors:    int(t.errors),
		Strikes:   int(t.strikes),
		Attempts:  h.attemptsOf(t),
		Forgotten: t.forgotten(),
		Progress:  t.progress(),
		Inputs:    t.inputIDs(),
	}
	if f := t.fan(); f != nil {
		s.Pending = f.pending
	}
	if s.State.Settled() && t.err != nil {
		s.Err = t.err
	}
	if t.saved != nil {
		s.Interrupted = int(t.saved.interrupted)
	}
	return s
}

func (h *Hub) settledChannel(t *task) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.over.Load() {
		return h.settled
	}
	if t.done == nil {
		t.done = make(chan struct{})
	}
	return t.done
}

func (h *Hub) cancelTask(t *task, cause error) bool {
	if cause == nil {
		cause = errors.New("no cause was given")
	}
	h.mu.Lock()
	if t.state.Settled() || h.sealed() {
		h.mu.Unlock()
		return false
	}
	h.cancel(t, cause, h.clock.now())
	recorded := t.pending()
	h.unlock()
	return recorded.wait() == nil
}
