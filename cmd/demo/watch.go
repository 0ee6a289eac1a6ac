package main

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// watch keeps books of its own on a run, from what the tree and the hub tell of: it is not the ledger that says that the ledger is right.
type watch struct {
	events   *actors.Subscription
	finished chan struct{} // closed when the events are through
	show     func(actors.Event)

	mu       sync.Mutex
	settled  map[string][]routing.State // how each task was settled, every time it was
	periods  map[string]breaker.State   // by the name of period
	recovery []time.Duration
	counts   watched
}

type watched struct {
	restarts, oneForAll, restForOne, escalations, abandoned, opened, closed int
}

// period names one stretch of a breaker's life.
func period(breaker string, gen uint64) string { return fmt.Sprintf("%s %d", breaker, gen) }

// isFirst reports whether a period is that in which its breaker was made: closed, and no news.
func isFirst(period string) bool { return strings.HasSuffix(period, " 0") }

// newsTimeout is how long the news that a task is settled may take, after it is, on a machine that has little time for it.
const newsTimeout = 30 * time.Second

// eventRoom is how many events may wait for the watch. Missing one would leave its books wrong, so that is an invariant too.
const eventRoom = 1 << 16

func newWatch(show func(actors.Event)) *watch {
	return &watch{
		events: actors.NewSubscription(eventRoom, actors.Started, actors.StartFailed, actors.Failed, actors.BackingOff, actors.GroupRestart,
			actors.Escalated, actors.Hung, actors.Abandoned, actors.Returned, actors.Faulty, actors.BreakerChanged),
		finished: make(chan struct{}),
		show:     show,
		settled:  make(map[string][]routing.State),
		periods:  make(map[string]breaker.State),
	}
}

// follow reads the tree's events until the tree has ended.
func (w *watch) follow() {
	defer close(w.finished)
	for e := range w.events.Events() {
		w.count(e)
		w.show(e)
	}
}

func (w *watch) count(e actors.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.Kind {
	case actors.Started:
		if e.Incarnation > 1 {
			w.counts.restarts++
		}
		if e.Delay > 0 {
			w.recovery = append(w.recovery, e.Delay)
		}
	case actors.GroupRestart:
		switch e.Strategy {
		case strategies.OneForAll(strategies.RestartPolicy{}).String():
			w.counts.oneForAll++
		case strategies.RestForOne(strategies.RestartPolicy{}).String():
			w.counts.restForOne++
		}
	case actors.Escalated:
		w.counts.escalations++
	case actors.Abandoned:
		w.counts.abandoned++
	case actors.BreakerChanged:
		w.periods[period(e.Breaker.Name, e.Breaker.Gen)] = e.Breaker.To
		switch e.Breaker.To {
		case breaker.Open:
			w.counts.opened++
		case breaker.Closed:
			w.counts.closed++
		}
	}
}

// task is called by the hub, in order, for everything that happens to a task.
func (w *watch) task(e routing.Event) {
	if e.Kind == routing.EventSettled {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.settled[e.Task] = append(w.settled[e.Task], e.State)
	}
}

// remember takes over how tasks were settled that earlier processes of the run recorded.
func (w *watch) remember(settled map[string]routing.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, state := range settled {
		w.settled[id] = append(w.settled[id], state)
	}
}

// settledTasks is tasks after all news of them has come: the hub tells them in order, but some beside those who caused them.
func (w *watch) settledTasks(submitted map[string]bool, kept func(id string) bool) (t summary.Tasks, ended summary.Endings) {
	until(context.Background(), newsTimeout, func() bool {
		t, ended = w.tasks(submitted, kept)
		return t.Lost == 0
	})
	return t, ended
}

// tasks counts the tasks that were submitted by how they were settled, or kept for later.
func (w *watch) tasks(submitted map[string]bool, kept func(id string) bool) (t summary.Tasks, ended summary.Endings) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Accepted = len(submitted)
	for id := range submitted {
		states := w.settled[id]
		if len(states) == 0 {
			if kept(id) {
				t.Kept++
			} else {
				t.Lost++
			}
			continue
		}
		if len(states) > 1 {
			t.RecordedTwice++
		}
		switch states[0] {
		case routing.StateDone:
			t.Done++
		case routing.StateFailed:
			t.Failed++
		case routing.StateQuarantined:
			t.Quarantined++
			ended.Quarantined = append(ended.Quarantined, id)
		case routing.StateCancelled:
			t.Cancelled++
			ended.Cancelled = append(ended.Cancelled, id)
		case routing.StateExpired:
			t.Expired++
			ended.Expired = append(ended.Expired, id)
		}
	}
	return t, ended
}

// whileOpen counts the requests that went out in a period in which, as the breaker itself told, it was open, or that no breaker let through. sent is how many
// there were in each.
func (w *watch) whileOpen(sent map[string]int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for p, requests := range sent {
		if state, known := w.periods[p]; known && state == breaker.Open || !known && !isFirst(p) {
			n += requests
		}
	}
	return n
}

// sentLog notes for every request that is sent which period of which breaker let it through.
type sentLog struct {
	mu   sync.Mutex
	sent map[string]int // by the name of period; empty for none
}

func newSentLog() *sentLog { return &sentLog{sent: make(map[string]int)} }

// note is called with the context of the guarded call, just before the request goes out. It names the period.
func (l *sentLog) note(ctx context.Context) string {
	name := ""
	if a, ok := breaker.Admitted(ctx); ok {
		name = period(a.Name, a.Gen)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[name]++
	return name
}

// all returns the requests of each period.
func (l *sentLog) all() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.sent)
}
