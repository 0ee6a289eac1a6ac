package supervise_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/internal/supervise"
	"github.com/mistersmith/mistersmith/strategies"
)

func machineOf(s strategies.Strategy, names ...string) supervise.Config {
	return supervise.Config{Strategy: s, Policy: s.Policy(), Children: children(names...)}
}

// states says "a up, b undefined" in start order.
func (w *world) states() string {
	var a supervise.Answer
	w.call(supervise.Call{Op: supervise.OpWhich}, &a)
	var s string
	for i, c := range a.Children {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%s %s", c.ID, [...]string{"undefined", "up", "restarting"}[c.State])
	}
	return s
}

// call makes a call that is answered at once, and leaves no trace in the log.
func (w *world) call(c supervise.Call, a *supervise.Answer) {
	c.To = "call"
	for _, action := range w.machine.Step(w.now, c) {
		if r, ok := action.(supervise.Reply); ok {
			*a = r.Answer
		}
	}
}

func TestRestartTypesUnderEveryStrategy(t *testing.T) {
	const (
		permanent = "b"
		transient = "b?"
		temporary = "b~"
	)
	normal := []supervise.Class{supervise.Normal, supervise.Shutdown, supervise.ShutdownWith}
	abnormal := []supervise.Class{supervise.Killed, supervise.Crash}
	all := append(append([]supervise.Class{}, normal...), abnormal...)
	alone, one, rest := strategies.OneForOne(plenty), strategies.OneForAll(plenty), strategies.RestForOne(plenty)
	tests := []struct {
		strategy strategies.Strategy
		b        string
		classes  []supervise.Class
		want     string
		states   string
	}{
		{alone, permanent, all, "terminated b, start b", "a up, b up, c up"},
		{alone, transient, normal, "", "a up, b undefined, c up"},
		{alone, transient, abnormal, "terminated b, start b", "a up, b up, c up"},
		{alone, temporary, normal, "drop b", "a up, c up"},
		{alone, temporary, abnormal, "terminated b, drop b", "a up, c up"},

		{one, permanent, all, "terminated b, group of 3, stop c, stop a, start a, start b, start c", "a up, b up, c up"},
		{one, transient, normal, "", "a up, b undefined, c up"},
		{one, transient, abnormal, "terminated b, group of 3, stop c, stop a, start a, start b, start c", "a up, b up, c up"},
		{one, temporary, normal, "drop b", "a up, c up"},
		{one, temporary, abnormal, "terminated b, drop b", "a up, c up"},

		{rest, permanent, all, "terminated b, group of 2, stop c, start b, start c", "a up, b up, c up"},
		{rest, transient, normal, "", "a up, b undefined, c up"},
		{rest, transient, abnormal, "terminated b, group of 2, stop c, start b, start c", "a up, b up, c up"},
		{rest, temporary, abnormal, "terminated b, drop b", "a up, c up"},
	}
	for _, tt := range tests {
		for _, class := range tt.classes {
			t.Run(fmt.Sprintf("%s %s class %d", tt.strategy, tt.b, class), func(t *testing.T) {
				w := newWorld(machineOf(tt.strategy, "a", tt.b, "c")).boot()
				w.exit("b", class)
				require.Equal(t, tt.want, w.take())
				require.Equal(t, tt.states, w.states())
			})
		}
	}
}

func TestGroupsTakeTemporariesAlongAndBringTheTerminatedBack(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForAll(plenty), "a", "b~", "c?", "d")).boot()
	w.exit("c", supervise.Normal)
	w.step(supervise.Call{Op: supervise.OpTerminate, ID: "d"})
	w.take()
	require.Equal(t, "a up, b up, c undefined, d undefined", w.states())
	w.exit("a", supervise.Crash)
	require.Equal(t, "terminated a, group of 4, stop b, drop b, start a, start c, start d", w.take())
}

func TestStaleExitsAreIgnored(t *testing.T) {
	for name, e := range map[string]supervise.Exit{
		"of an earlier incarnation": {ID: "a", Incarnation: 1},
		"of one to come":            {ID: "a", Incarnation: 3},
		"of a stranger":             {ID: "z", Incarnation: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(machineOf(strategies.OneForOne(plenty), "a")).boot()
			w.exit("a", supervise.Crash)
			w.take()
			w.step(e)
			require.Empty(t, w.take())
			require.Equal(t, "a up", w.states())
		})
	}
}

// Two crashes in one group are one restart: the second was consumed by the stop.
func TestSimultaneousExitsInAGroupCountOnce(t *testing.T) {
	policy := strategies.MaxRestarts(1, time.Minute)
	w := newWorld(machineOf(strategies.OneForAll(policy), "a", "b", "c")).boot()
	w.held = true
	w.exit("a", supervise.Crash)
	w.exit("b", supervise.Crash)
	w.exit("c", supervise.Crash)
	w.held = false
	w.answer()
	for w.pending != nil {
		w.answer()
	}
	require.Equal(t, "terminated a, group of 3, stop c, stop b, start a, start b, start c", w.take())
}

func TestBudget(t *testing.T) {
	type crash struct {
		at time.Duration
		id string
	}
	tests := []struct {
		name    string
		max     int
		crashes []crash
		quits   bool
	}{
		{"none is allowed", 0, []crash{{0, "a"}}, true},
		{"as many as allowed", 2, []crash{{0, "a"}, {0, "a"}}, false},
		{"one more", 2, []crash{{0, "a"}, {0, "a"}, {0, "a"}}, true},
		{"counted over all children", 2, []crash{{0, "a"}, {0, "b"}, {0, "c"}}, true},
		{"exactly a window ago still counts", 1, []crash{{0, "a"}, {10 * time.Second, "a"}}, true},
		{"longer ago does not", 1, []crash{{0, "a"}, {10*time.Second + 1, "a"}}, false},
		{"the window slides", 2, []crash{{0, "a"}, {8 * time.Second, "a"}, {11 * time.Second, "a"}, {18*time.Second + 1, "a"}}, false},
		{"and slides no further", 2, []crash{{0, "a"}, {8 * time.Second, "a"}, {11 * time.Second, "a"}, {18 * time.Second, "a"}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(machineOf(strategies.OneForOne(strategies.MaxRestarts(tt.max, 10*time.Second)), "a", "b", "c")).boot()
			begun := w.now
			var log string
			for _, c := range tt.crashes {
				w.now = begun.Add(c.at)
				w.exit(c.id, supervise.Crash)
				log = w.take()
			}
			if tt.quits {
				require.Contains(t, log, "budget spent")
				require.Contains(t, log, "escalated")
				require.Contains(t, log, "quit")
			} else {
				require.NotContains(t, log, "quit")
			}
		})
	}
}

func TestFailedStartsAreRetriedUntilTheBudgetIsSpent(t *testing.T) {
	policy := strategies.MaxRestarts(3, time.Minute)
	tests := []struct {
		strategy strategies.Strategy
		fails    string
		first    string // what the first exit leads to
		retry    string // what each retry does
		closing  string // what the last one does
	}{
		{strategies.OneForOne(policy), "b",
			"terminated b, fail b, start error b", "fail b, start error b", "budget spent b, escalated b, stop c, stop a, quit"},
		{strategies.OneForAll(policy), "c",
			"terminated b, group of 3, stop c, stop a, start a, start b, fail c, start error c",
			"group of 3, stop b, stop a, start a, start b, fail c, start error c", "budget spent c, escalated c, stop b, stop a, quit"},
		{strategies.RestForOne(policy), "c",
			"terminated b, group of 2, stop c, start b, fail c, start error c", "fail c, start error c", "budget spent c, escalated c, stop b, stop a, quit"},
	}
	for _, tt := range tests {
		t.Run(tt.strategy.String(), func(t *testing.T) {
			w := newWorld(machineOf(tt.strategy, "a", "b", "c")).boot()
			w.broken[tt.fails] = true
			w.exit("b", supervise.Crash)
			require.Equal(t, tt.first, w.take())
			for range 2 {
				require.Len(t, w.retries, 1, "one retry at a time")
				r := w.retries[0]
				w.retries = nil
				w.step(r)
				require.Equal(t, tt.retry, w.take())
			}
			w.retry()
			require.Equal(t, tt.closing, w.take())
		})
	}
}

func TestWhenSpent(t *testing.T) {
	tests := []struct {
		when  strategies.WhenSpent
		want  string
		final bool
	}{
		{strategies.SpentEscalate, "terminated b, budget spent b, escalated b, stop c, stop a, quit", false},
		{strategies.SpentStopChild, "terminated b, budget spent b", false},
		{strategies.SpentStopSupervisor, "terminated b, budget spent b, stop c, stop a, quit", true},
		{strategies.SpentIgnore, "terminated b, start b", false},
	}
	for _, tt := range tests {
		t.Run(tt.when.String(), func(t *testing.T) {
			w := newWorld(machineOf(strategies.OneForOne(strategies.NeverRestart().WithWhenSpent(tt.when)), "a", "b", "c")).boot()
			w.exit("b", supervise.Crash)
			require.Equal(t, tt.want, w.take())
			if w.quit != nil {
				require.Equal(t, tt.final, w.quit.Final)
				require.ErrorIs(t, w.quit.Outcome.Err, supervise.ErrBudgetSpent)
				require.False(t, w.quit.Outcome.Class.Abnormal(), "a spent budget is a shutdown to the level above")
			}
		})
	}
}

// A restart that is waited for isn't forgotten when another child's failure takes it along and that child is given up.
func TestAChildThatIsGivenUpDoesNotTakePendingRestartsAlong(t *testing.T) {
	policy := strategies.MaxRestarts(2, time.Hour).WithWhenSpent(strategies.SpentStopChild).WithBackoff(strategies.Fixed(time.Second))
	w := newWorld(machineOf(strategies.RestForOne(policy), "a", "b", "c")).boot()
	w.exit("b", supervise.Crash) // b and c wait for b's backoff
	w.broken["a"] = true
	w.exit("a", supervise.Crash) // a takes them along
	w.pass("a", time.Second)     // and can't be started: its budget is spent
	w.retry()
	require.Equal(t, "a undefined, b up, c up", w.states())
}

func TestDecider(t *testing.T) {
	tests := []struct {
		name      string
		directive actor.Directive
		restart   string
		want      string
	}{
		{"restart", actor.RestartDirective, "b", "terminated b, start b"},
		{"stop", actor.StopDirective, "b", "terminated b"},
		{"stop a temporary", actor.StopDirective, "b~", "terminated b, drop b"},
		{"escalate", actor.EscalateDirective, "b", "terminated b, escalated b, stop c, stop a, quit"},
		{"escalate a temporary", actor.EscalateDirective, "b~", "terminated b, escalated b, stop c, stop a, quit"},
		{"a temporary isn't restarted, whatever the decider says", actor.RestartDirective, "b~", "terminated b, drop b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(machineOf(strategies.OneForOne(plenty), "a", tt.restart, "c")).boot()
			w.step(supervise.Exit{ID: "b", Incarnation: 1, Directive: tt.directive, Outcome: supervise.Outcome{Class: supervise.Crash, Err: errStart}})
			require.Equal(t, tt.want, w.take())
			if w.quit != nil {
				require.ErrorIs(t, w.quit.Outcome.Err, supervise.ErrEscalated)
				require.ErrorIs(t, w.quit.Outcome.Err, errStart)
			}
		})
	}
}

// ---- backoff

func TestBackoffOfOneForOneCountsPerChildAndForgetsAfterAQuietTime(t *testing.T) {
	b := strategies.Exponential(time.Second, time.Minute)
	b.ResetAfter = 10 * time.Minute
	w := newWorld(machineOf(strategies.OneForOne(plenty.WithBackoff(b)), "a", "b")).boot()
	crash := func(id string, delay time.Duration) {
		t.Helper()
		w.exit(id, supervise.Crash)
		require.Equal(t, fmt.Sprintf("terminated %s, wait %s for %s", id, delay, id), w.take())
		w.pass(id, delay)
		require.Equal(t, "start "+id, w.take())
	}
	crash("a", time.Second)
	crash("a", 2*time.Second)
	crash("b", time.Second)
	crash("a", 4*time.Second)
	w.now = w.now.Add(11 * time.Minute)
	crash("a", time.Second)
}

func TestJitterIsTheOwnersDice(t *testing.T) {
	b := strategies.Fixed(time.Second)
	b.Jitter = 0.5
	c := machineOf(strategies.OneForOne(plenty.WithBackoff(b)), "a")
	c.Random = func() float64 { return 0.5 }
	w := newWorld(c).boot()
	w.exit("a", supervise.Crash)
	require.Equal(t, "terminated a, wait 750ms for a", w.take())
}

func TestABackoffIsSupersededByAnotherExitOfItsGroup(t *testing.T) {
	policy := plenty.WithBackoff(strategies.Fixed(time.Second))
	w := newWorld(machineOf(strategies.RestForOne(policy), "a", "b", "c")).boot()
	w.exit("b", supervise.Crash)
	require.Equal(t, "terminated b, group of 2, stop c, wait 1s for b", w.take())
	old := w.waits["b"]
	w.exit("a", supervise.Crash)
	require.Equal(t, "terminated a, group of 3, cancel b, wait 1s for a", w.take())
	w.step(old) // it was on its way
	require.Empty(t, w.take())
	w.pass("a", time.Second)
	require.Equal(t, "start a, start b, start c", w.take())
}

func TestOthersGoFirstDuringABackoff(t *testing.T) {
	policy := plenty.WithBackoff(strategies.Fixed(time.Second))
	w := newWorld(machineOf(strategies.OneForOne(policy), "a", "b")).boot()
	w.exit("a", supervise.Crash)
	require.True(t, w.machine.Idle())
	require.Equal(t, "a restarting, b up", w.states())
	w.exit("b", supervise.Crash)
	require.Equal(t, "terminated a, wait 1s for a, terminated b, wait 1s for b", w.take())
	w.pass("b", time.Second)
	w.pass("a", 0)
	require.Equal(t, "start b, start a", w.take())
}

func TestEscalateTakesNoSiblingsAlong(t *testing.T) {
	w := newWorld(machineOf(strategies.Escalate(), "a", "b")).boot()
	w.exit("a", supervise.Crash)
	require.Equal(t, "terminated a, budget spent a, escalated a, stop b, quit", w.take())
}
