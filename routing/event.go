package routing

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// EventKind says what happened.
type EventKind uint8

// Of a task: submitted once, leased for every attempt, retried whenever it goes back to waiting, settled once (quarantined is a way
// of being settled), requeued or discarded only from quarantine.
const (
	EventSubmitted EventKind = iota
	EventLeased
	EventRetried
	EventSettled
	// EventLateResult: an outcome came under a lease that was not current any more, and was refused.
	EventLateResult
	EventRequeued
	EventDiscarded
	EventSpokeJoined
	EventSpokeLeft
	// EventBalancerFault: the balancer panicked or picked a spoke that does not exist; the first free one was taken.
	EventBalancerFault
	// EventClosed: the hub was closed; what was unsettled was cancelled before, or with a store, let go.
	EventClosed
	// EventPaused and EventResumed: of a type, of a spoke, or, with neither, of the hub.
	EventPaused
	EventResumed
	// EventLoaded: the hub has gone on from its store. Attempts that were interrupted are retried or quarantined next.
	EventLoaded
	// EventStoreFailed: the store has failed, and the hub does nothing more. What was not recorded is undone, and its events were not told.
	EventStoreFailed
)

var eventNames = [...]string{"submitted", "leased", "retried", "settled", "late result", "requeued", "discarded", "spoke joined", "spoke left", "balancer fault", "closed", "paused", "resumed", "loaded", "store failed"}

func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("EventKind(%d)", uint8(k))
}

// Event is one thing that happened in a hub. With a store it is told when that is recorded. Fields that have no meaning for its kind are zero.
type Event struct {
	Seq  uint64 // from 1, without gaps but for dropped events
	Time time.Time
	Kind EventKind
	Task string
	Type string
	// State is the task's state after the event.
	State   State
	Attempt int
	Spoke   SpokeID
	// Outcome is how the attempt ended that the event is about.
	Outcome OutcomeKind
	// After is how long a retried task waits before its next attempt.
	After time.Duration
	// Err is the error or the cause.
	Err error
	// Carried is what [Options.Carry] took from the context that the task was submitted with.
	Carried any
}

func (e Event) String() string {
	s := e.Kind.String()
	if e.Task != "" {
		s += fmt.Sprintf(" %s/%s", e.Type, e.Task)
	}
	if e.Task == "" && e.Type != "" {
		s += " " + e.Type
	}
	if e.Kind == EventSettled {
		s += " " + e.State.String()
	}
	if e.Attempt > 0 {
		s += fmt.Sprintf(" #%d", e.Attempt)
	}
	if e.Spoke.Path != "" {
		s += " " + e.Spoke.String()
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

const (
	keptEvents = 4096
	// inlineEvents is how many events one caller hands out before a goroutine of its own takes over from it.
	inlineEvents = 256
)

// eventFeed hands events to the callback, in order, one at a time, outside of the hub's lock.
type eventFeed struct {
	call      func(Event)
	listening func() bool // may be nil
	pending   atomic.Bool // something is queued

	mu      sync.Mutex // guards the rest; taken after the hub's mutex, never before it
	queue   []Event
	spare   []Event
	seq     uint64
	feeding bool
	dropped uint64
	panics  uint64
}

// add queues an event; the caller holds the hub's mutex and flushes after giving it up.
func (f *eventFeed) add(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	e.Seq = f.seq
	if len(f.queue) >= keptEvents {
		drop := keptEvents / 4
		f.queue = append(f.queue[:0], f.queue[drop:]...)
		f.dropped += uint64(drop)
	}
	f.queue = append(f.queue, e)
	f.pending.Store(true)
}

// flush hands out what is queued, unless somebody else is doing that: up to a limit itself, the rest on a goroutine.
func (f *eventFeed) flush(limit int) {
	if !f.pending.Load() {
		return
	}
	f.mu.Lock()
	if f.feeding || len(f.queue) == 0 {
		f.mu.Unlock()
		return
	}
	f.feeding = true
	f.mu.Unlock()
	if limit == 0 || !f.feed(limit) {
		go f.feed(-1)
	}
}

// feed hands out events until none is left (true), or, with a limit, until it has handed out about that many (false).
func (f *eventFeed) feed(limit int) (empty bool) {
	var batch []Event
	handed := 0
	defer func() { // the callback may end the goroutine
		f.mu.Lock()
		defer f.mu.Unlock()
		if handed < len(batch) {
			f.dropped += uint64(len(batch) - handed - 1)
			f.panics++
			f.feeding = false
		}
	}()
	for total := 0; limit < 0 || total < limit; total += len(batch) {
		if batch = f.take(batch); len(batch) == 0 {
			return true
		}
		for handed = 0; handed < len(batch); handed++ {
			f.callSafely(batch[handed])
		}
	}
	return false
}

// take gives the emptied batch back and takes all that is queued; if that is nothing, feeding ends.
func (f *eventFeed) take(emptied []Event) []Event {
	clear(emptied)
	f.mu.Lock()
	defer f.mu.Unlock()
	if emptied != nil {
		f.spare = emptied[:0]
	}
	f.pending.Store(false)
	if len(f.queue) == 0 {
		f.feeding = false
		return nil
	}
	batch := f.queue
	f.queue, f.spare = f.spare, nil
	return batch
}

func (f *eventFeed) callSafely(e Event) {
	defer func() {
		if recover() != nil {
			f.mu.Lock()
			f.panics++
			f.mu.Unlock()
		}
	}()
	f.call(e)
}
