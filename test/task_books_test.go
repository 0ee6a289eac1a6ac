package test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/routing"
)

// taskBooks are the books of a hub kept from outside, by its events. Each event is held against what was told of its task before: that no
// task is lost shows at the end, that none is recorded twice at once.
type taskBooks struct {
	mu     sync.Mutex
	tasks  map[string]*taskEntry // unsettled, or in quarantine
	counts routing.Counts
	told   map[string][]routing.Event // by task; nil if nobody wants to know
	ended  func(id string, state routing.State, strikes int)
	faults []string
}

type taskEntry struct {
	state   routing.State
	attempt int
	spoke   routing.SpokeID
	strikes int
}

func newTaskBooks(ended func(id string, state routing.State, strikes int)) *taskBooks {
	return &taskBooks{tasks: map[string]*taskEntry{}, ended: ended}
}

const maxFaults = 20

func (b *taskBooks) fault(format string, args ...any) {
	if len(b.faults) < maxFaults {
		b.faults = append(b.faults, fmt.Sprintf(format, args...))
	}
}

// hear is the hub's OnEvent.
func (b *taskBooks) hear(e routing.Event) {
	if e.Task == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.told != nil {
		b.told[e.Task] = append(b.told[e.Task], e)
	}
	t := b.tasks[e.Task]
	if t == nil {
		switch e.Kind {
		case routing.EventSubmitted:
			b.tasks[e.Task] = &taskEntry{}
			b.counts.Accepted++
			b.counts.Waiting++
		case routing.EventLateResult:
			b.counts.Late++
		default:
			b.fault("%v: the task is settled, or was never accepted", e)
		}
		return
	}
	was := t.state
	switch e.Kind {
	case routing.EventLeased:
		if was != routing.StateWaiting || e.Attempt != t.attempt+1 {
			b.fault("%v: it was %v after attempt %d", e, was, t.attempt)
		}
		t.state, t.attempt, t.spoke = routing.StateLeased, e.Attempt, e.Spoke
		b.counts.Attempts++
	case routing.EventRetried:
		if was != routing.StateLeased || e.Spoke != t.spoke || e.Attempt != t.attempt {
			b.fault("%v: it was %v by %v, attempt %d", e, was, t.spoke, t.attempt)
		}
		t.strike(e.Outcome)
		t.state = routing.StateWaiting
	case routing.EventSettled:
		if was.Settled() {
			b.fault("%v: it was %v", e, was)
		}
		t.strike(e.Outcome)
		t.state = e.State
		if e.State != routing.StateQuarantined {
			delete(b.tasks, e.Task)
		}
		b.ended(e.Task, e.State, t.strikes)
	case routing.EventRequeued:
		if was != routing.StateQuarantined {
			b.fault("%v: it was %v", e, was)
		}
		t.state, t.strikes = routing.StateWaiting, 0
	case routing.EventLateResult:
		b.counts.Late++
	case routing.EventDiscarded:
		delete(b.tasks, e.Task)
	default:
		b.fault("%v: it was %v", e, was)
	}
	if t.state != was {
		*b.account(was)--
		*b.account(t.state)++
	}
}

func (t *taskEntry) strike(k routing.OutcomeKind) {
	if k == routing.OutcomeCrashed || k == routing.OutcomeHung || k == routing.OutcomeTimedOut {
		t.strikes++
	}
}

func (b *taskBooks) account(s routing.State) *uint64 {
	c := &b.counts
	return [...]*uint64{&c.Waiting, &c.Leased, &c.Done, &c.Failed, &c.Quarantined, &c.Cancelled, &c.Expired}[s]
}

// behind returns how many tasks were accepted, and attempts begun, of which no event has told yet.
func (b *taskBooks) behind(hub routing.Counts) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return hub.Accepted - min(b.counts.Accepted, hub.Accepted) + hub.Attempts - min(b.counts.Attempts, hub.Attempts)
}

// difference says what is wrong: events that must not have been, or other figures than the hub's. It may be asked while nothing goes on.
func (b *taskBooks) difference(hub routing.Counts) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.faults) > 0 {
		return fmt.Sprint(b.faults)
	}
	ours := b.counts
	ours.Refused, ours.Blocked, ours.ShutOut, ours.Spokes, ours.Paused = hub.Refused, hub.Blocked, hub.ShutOut, hub.Spokes, hub.Paused
	if ours != hub {
		return fmt.Sprintf("the hub has %+v, its events tell %+v", hub, ours)
	}
	return ""
}

// goOn takes over what the hub of an earlier process has left in its store.
func (b *taskBooks) goOn(found *routing.Contents) {
	b.counts = found.Counts
	for _, t := range found.Tasks {
		if t.State.Settled() && t.State != routing.StateQuarantined {
			continue
		}
		entry := &taskEntry{state: t.State, attempt: t.Attempt, strikes: t.Strikes}
		if n := len(t.Attempts); n > 0 {
			entry.spoke = t.Attempts[n-1].Spoke
		}
		b.tasks[t.ID] = entry
	}
}

// differenceTo says what is wrong if that is in the hub's store: other figures than its events told, or other tasks.
func (b *taskBooks) differenceTo(found *routing.Contents) string {
	counts := found.Counts
	b.mu.Lock()
	counts.Late = b.counts.Late // recorded with the next change of a task
	b.mu.Unlock()
	if d := b.difference(counts); d != "" {
		return d
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := 0
	for _, t := range found.Tasks {
		if t.State.Settled() && t.State != routing.StateQuarantined {
			continue
		}
		kept++
		if e := b.tasks[t.ID]; e == nil || e.state != t.State || e.attempt != t.Attempt || e.strikes != t.Strikes {
			return fmt.Sprintf("in the store %s is %v, attempt %d, %d strikes; its events tell %+v", t.ID, t.State, t.Attempt, t.Strikes, e)
		}
	}
	if kept != len(b.tasks) {
		return fmt.Sprintf("in the store %d tasks are unsettled or in quarantine, by their events it is %d", kept, len(b.tasks))
	}
	return ""
}

// story is what was told of a task and its subtasks.
func (b *taskBooks) story(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var told []routing.Event
	for other, events := range b.told {
		if other == id || strings.HasPrefix(other, id+"/") {
			told = append(told, events...)
		}
	}
	slices.SortFunc(told, func(a, b routing.Event) int { return cmp.Compare(a.Seq, b.Seq) })
	lines := make([]string, len(told))
	for i, e := range told {
		lines[i] = fmt.Sprintf("%s %v", e.Time.Format(time.StampMilli), e)
	}
	return strings.Join(lines, "\n")
}
