package supervise_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/internal/supervise"
	"github.com/mistersmith/mistersmith/strategies"
)

// world is the owner of a machine, played by a test: it carries out what the machine orders and writes it down in words.
type world struct {
	machine  *supervise.Machine
	now      time.Time
	numbers  map[string]uint64 // the last incarnation of each child
	broken   map[string]bool   // children whose start fails
	ignored  map[string]bool   // children that ask not to be run
	held     bool              // sequences aren't answered by themselves
	pending  *supervise.Done   // the answer that is held back
	waits    map[string]supervise.Due
	retries  []supervise.Retry
	replies  []supervise.Answer
	quit     *supervise.Quit
	together bool // the last stop was one of all at once
	log      []string
}

var (
	errStart    = errors.New("cannot start")
	errNoAnswer = errors.New("no answer, or more than one")
)

func newWorld(c supervise.Config) *world {
	c.Policy = c.Policy.WithDefaults()
	if c.Random == nil {
		c.Random = func() float64 { return 0 }
	}
	w := &world{machine: supervise.New(c), now: time.Unix(1000, 0), numbers: map[string]uint64{}, broken: map[string]bool{},
		ignored: map[string]bool{}, waits: map[string]supervise.Due{}}
	return w
}

// children are permanent, but for a "?" (transient), "~" (temporary) or "!" (significant) behind the name.
func children(names ...string) []supervise.Spec {
	var specs []supervise.Spec
	for _, n := range names {
		s := supervise.Spec{ID: n[:1]}
		switch {
		case strings.Contains(n, "?"):
			s.Restart = supervise.Transient
		case strings.Contains(n, "~"):
			s.Restart = supervise.Temporary
		}
		s.Significant = strings.Contains(n, "!")
		specs = append(specs, s)
	}
	return specs
}

func (w *world) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// take returns what happened since the last take.
func (w *world) take() string {
	s := strings.Join(w.log, ", ")
	w.log = nil
	return s
}

func (w *world) step(e supervise.Event) {
	for _, a := range w.machine.Step(w.now, e) {
		w.carryOut(a)
	}
	for !w.held && w.pending != nil {
		w.answer()
	}
}

// answer reports the sequence that was held back as done.
func (w *world) answer() {
	d := *w.pending
	w.pending = nil
	for _, a := range w.machine.Step(w.now, d) {
		w.carryOut(a)
	}
}

func (w *world) carryOut(a supervise.Action) {
	switch a := a.(type) {
	case supervise.Start:
		d := &supervise.Done{Sequence: a.Sequence}
		for _, c := range a.Children {
			r := supervise.Result{ID: c.ID}
			w.numbers[c.ID]++
			switch {
			case w.broken[c.ID]:
				w.say("fail %s", c.ID)
				r.Err = errStart
			case w.ignored[c.ID]:
				w.say("ignore %s", c.ID)
				r.Ignored = true
			default:
				w.say("start %s", c.ID)
				r.Incarnation = w.numbers[c.ID]
			}
			d.Results = append(d.Results, r)
			if r.Err != nil {
				break
			}
		}
		w.pending = d
	case supervise.Stop:
		d := &supervise.Done{Sequence: a.Sequence}
		w.together = a.Together
		for _, t := range a.Targets {
			w.say("stop %s", t.ID)
			d.Results = append(d.Results, supervise.Result{ID: t.ID, Outcome: supervise.Outcome{Class: supervise.Shutdown}})
		}
		w.pending = d
	case supervise.Abort:
		w.say("abort")
	case supervise.Wait:
		w.say("wait %s for %s", a.Delay, a.ID)
		w.waits[a.ID] = supervise.Due{ID: a.ID, Token: a.Token}
	case supervise.Cancel:
		w.say("cancel %s", a.ID)
		delete(w.waits, a.ID)
	case supervise.Again:
		w.retries = append(w.retries, supervise.Retry(a))
	case supervise.Report:
		w.say("%s %s", contexts[a.Context], a.ID)
	case supervise.GroupRestart:
		w.say("group of %d", a.Size)
	case supervise.Drop:
		w.say("drop %s", a.ID)
	case supervise.Reconfigured:
		w.say("reconfigured %v", a.Data)
	case supervise.Reply:
		w.replies = append(w.replies, a.Answer)
		w.say("reply %v", a.To)
	case supervise.Ready:
		w.say("ready")
	case supervise.Quit:
		w.quit = &a
		w.say("quit")
	}
}

var contexts = map[supervise.Context]string{supervise.ChildTerminated: "terminated", supervise.StartError: "start error",
	supervise.BudgetSpent: "budget spent", supervise.Escalated: "escalated"}

// boot starts the children and forgets how.
func (w *world) boot() *world {
	w.step(supervise.Boot{})
	w.take()
	return w
}

func (w *world) exit(id string, class supervise.Class) {
	w.step(supervise.Exit{ID: id, Incarnation: w.numbers[id], Outcome: supervise.Outcome{Class: class, Err: errors.New("reason")}})
}

// retry lets the retries come that the machine sent itself.
func (w *world) retry() {
	for len(w.retries) > 0 {
		r := w.retries[0]
		w.retries = w.retries[1:]
		w.step(r)
	}
}

// pass lets time go by until the backoff of id is over.
func (w *world) pass(id string, d time.Duration) {
	w.now = w.now.Add(d)
	if due, ok := w.waits[id]; ok {
		delete(w.waits, id)
		w.step(due)
	}
}

var (
	plenty     = strategies.MaxRestarts(1000, time.Second)
	stopsChild = strategies.MaxRestarts(2, time.Minute).WithWhenSpent(strategies.SpentStopChild)
)

func TestAChildThatIsGivenUpDoesNotTakeItsSiblingsAlong(t *testing.T) {
	for _, s := range []strategies.Strategy{strategies.OneForAll(stopsChild), strategies.RestForOne(stopsChild)} {
		t.Run(s.String(), func(t *testing.T) {
			w := newWorld(supervise.Config{Strategy: s, Policy: stopsChild, Children: children("a", "b", "c")}).boot()
			w.broken["b"] = true
			w.exit("b", supervise.Crash)
			w.retry()
			log := w.take()
			require.Contains(t, log, "budget spent b")
			require.Contains(t, log, "start c", "c was stopped for b, and b is given up")
			require.NotContains(t, log, "quit")
		})
	}
}

func TestOrderToEndStopsAGroupRestartHalfWay(t *testing.T) {
	w := newWorld(supervise.Config{Strategy: strategies.OneForAll(plenty), Policy: plenty, Children: children("a", "b")}).boot()
	w.held = true
	w.exit("a", supervise.Crash)
	require.Equal(t, "terminated a, group of 2, stop b", w.take())
	w.step(supervise.ShutdownOrder{})
	w.answer()
	require.Equal(t, "quit", w.take(), "nothing is started again")
}

func TestBackoffOfAGroupStrategyCountsPerSupervisor(t *testing.T) {
	policy := plenty.WithBackoff(strategies.Linear(time.Second, time.Minute))
	for _, s := range []strategies.Strategy{strategies.OneForAll(policy), strategies.RestForOne(policy)} {
		t.Run(s.String(), func(t *testing.T) {
			w := newWorld(supervise.Config{Strategy: s, Policy: policy, Children: children("a", "b")}).boot()
			for i, id := range []string{"b", "a", "b", "a"} {
				w.exit(id, supervise.Crash)
				require.Contains(t, w.take(), fmt.Sprintf("wait %s for %s", time.Duration(i+1)*time.Second, id))
				w.pass(id, time.Duration(i+1)*time.Second)
				w.take()
			}
		})
	}
}
