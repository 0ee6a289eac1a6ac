package routing

import (
	"cmp"
	"crypto/rand"
	"slices"
)

// Counts are the books of a hub. At every moment Accepted = Waiting + Leased + [Counts.Settled].
type Counts struct {
	Accepted uint64
	// Now: Waiting includes tasks in a backoff, and the Blocked ones, which wait for inputs.
	Waiting, Leased, Blocked uint64
	// ShutOut is how many of the waiting could be leased, were not every spoke that may have them behind an open circuit.
	ShutOut uint64
	// Settled so far. A task that is requeued from quarantine leaves it and is waiting again.
	Done, Failed, Quarantined, Cancelled, Expired uint64
	// Attempts is how many leases were given; Late how many outcomes came too late and were refused. (With a store, the counts of what changes no task,
	// Late and Refused, are recorded with the next change of one.)
	Attempts, Late uint64
	// Refused is how many submits were turned down.
	Refused uint64
	Spokes  int
	Paused  bool // by [Hub.Pause]
	// EventsDropped and EventPanics count what went wrong with [Options.OnEvent].
	EventsDropped, EventPanics uint64
}

// Settled returns how many tasks are settled.
func (c Counts) Settled() uint64 {
	return c.Done + c.Failed + c.Quarantined + c.Cancelled + c.Expired
}

// Unsettled returns how many tasks are waiting or leased.
func (c Counts) Unsettled() uint64 { return c.Waiting + c.Leased }

// Balanced reports whether the books add up.
func (c Counts) Balanced() bool { return c.Accepted == c.Unsettled()+c.Settled() }

// in returns the account of a state.
func (c *Counts) in(s State) *uint64 {
	return [states]*uint64{&c.Waiting, &c.Leased, &c.Done, &c.Failed, &c.Quarantined, &c.Cancelled, &c.Expired}[s]
}

// ledger is the memory of a hub: the record of every task that is unsettled, in quarantine, or in the window of settled ones.
// Everything in it is guarded by the hub's mutex.
type ledger struct {
	index      index
	books      Counts
	schedule   indexedHeap[*task] // by due time: deadlines, backoffs, holds, time limits of attempts
	window     list[*task]        // settled, oldest first
	quarantine list[*task]        // oldest first

	journal                     *journal // to the store; nil without one
	snapshots                   shelf    // of agents
	seq                         uint64
	keptSettled, keptQuarantine int
}

func newLedger(o Options) ledger {
	return ledger{
		index:          newIndex(rand.Text()[:8]),
		journal:        newJournal(o),
		snapshots:      shelf{limit: o.Snapshots},
		keptSettled:    o.Results,
		keptQuarantine: o.Quarantine,
	}
}

// record enters an accepted task.
func (l *ledger) record(t *task) {
	l.seq++
	t.seq = l.seq
	if l.journal != nil && t.id == "" {
		t.id = l.index.madeUp(t.seq) // the next process makes up others
	}
	l.index.put(t)
	l.books.Accepted++
	*l.books.in(t.state)++
	l.journal.accept(t)
}

// move books a task from its state to another.
func (l *ledger) move(t *task, to State) {
	*l.books.in(t.state)--
	*l.books.in(to)++
	t.state = to
	l.journal.mark(t)
}

// retire puts a settled task into the window.
func (l *ledger) retire(t *task) {
	t.in = nil
	l.journal.retire(t)
	t.forgetInputs()
	l.remember(t)
}

// remember puts a task into the window, and forgets the oldest if they are too many.
func (l *ledger) remember(t *task) {
	l.window.pushBack(t)
	for l.window.size > l.keptSettled {
		oldest := l.window.head
		l.window.remove(oldest)
		l.index.remove(oldest)
		l.journal.forget(oldest)
	}
}

// reschedule looks up anew when something is due for the task.
func (l *ledger) reschedule(t *task) {
	due := t.nextDue()
	if due == t.due && (due == 0) == (t.scheduled == 0) {
		return
	}
	t.due = due
	if due == 0 {
		l.schedule.remove(t)
		return
	}
	l.schedule.update(t)
}

// unsettled returns all unsettled tasks, in the order in which they were accepted.
func (l *ledger) unsettled() []*task {
	tasks := make([]*task, 0, l.books.Unsettled())
	for t := range l.index.all() {
		if !t.state.Settled() {
			tasks = append(tasks, t)
		}
	}
	slices.SortFunc(tasks, func(a, b *task) int { return cmp.Compare(a.seq, b.seq) })
	return tasks
}
