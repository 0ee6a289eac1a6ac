package supervise_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/internal/supervise"
	"github.com/mistersmith/mistersmith/strategies"
)

// answerTo makes a call, lets all sequences run, and returns the answer.
func (w *world) answerTo(c supervise.Call) supervise.Answer {
	w.replies = nil
	w.step(c)
	if len(w.replies) != 1 {
		return supervise.Answer{Err: errNoAnswer}
	}
	return w.replies[0]
}

func TestRefusals(t *testing.T) {
	// a is up, b undefined, c restarting
	present := func(dynamic bool) *world {
		c := machineOf(strategies.OneForOne(plenty.WithBackoff(strategies.Fixed(time.Second))), "a", "b", "c")
		if dynamic {
			c.Children, c.Template = nil, &supervise.Spec{ID: "t"}
		}
		w := newWorld(c).boot()
		if dynamic {
			for _, id := range []string{"a", "c"} {
				w.step(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: id}})
			}
		} else {
			w.step(supervise.Call{Op: supervise.OpTerminate, ID: "b"})
		}
		w.exit("c", supervise.Crash)
		w.take()
		return w
	}
	start := func(id string) supervise.Call {
		return supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: id}}
	}
	call := func(op supervise.Op, id string) supervise.Call { return supervise.Call{Op: op, ID: id} }
	tests := []struct {
		name    string
		dynamic bool
		call    supervise.Call
		err     error
		log     string
		states  string
	}{
		{"start new", false, start("d"), nil, "start d, reply <nil>", "a up, b undefined, c restarting, d up"},
		{"start running", false, start("a"), supervise.ErrAlreadyStarted, "reply <nil>", ""},
		{"start undefined", false, start("b"), supervise.ErrAlreadyPresent, "reply <nil>", ""},
		{"start restarting", false, start("c"), supervise.ErrAlreadyPresent, "reply <nil>", ""},
		{"terminate running", false, call(supervise.OpTerminate, "a"), nil, "stop a, reply <nil>", "a undefined, b undefined, c restarting"},
		{"terminate undefined", false, call(supervise.OpTerminate, "b"), nil, "reply <nil>", ""},
		{"terminate restarting", false, call(supervise.OpTerminate, "c"), nil, "cancel c, reply <nil>", "a up, b undefined, c undefined"},
		{"terminate nobody", false, call(supervise.OpTerminate, "z"), supervise.ErrNotFound, "reply <nil>", ""},
		{"restart running", false, call(supervise.OpRestart, "a"), supervise.ErrRunning, "reply <nil>", ""},
		{"restart undefined", false, call(supervise.OpRestart, "b"), nil, "start b, reply <nil>", "a up, b up, c restarting"},
		{"restart restarting", false, call(supervise.OpRestart, "c"), supervise.ErrRestarting, "reply <nil>", ""},
		{"restart nobody", false, call(supervise.OpRestart, "z"), supervise.ErrNotFound, "reply <nil>", ""},
		{"delete running", false, call(supervise.OpDelete, "a"), supervise.ErrRunning, "reply <nil>", ""},
		{"delete undefined", false, call(supervise.OpDelete, "b"), nil, "drop b, reply <nil>", "a up, c restarting"},
		{"delete restarting", false, call(supervise.OpDelete, "c"), supervise.ErrRestarting, "reply <nil>", ""},
		{"delete nobody", false, call(supervise.OpDelete, "z"), supervise.ErrNotFound, "reply <nil>", ""},
		{"spec", false, call(supervise.OpSpec, "a"), nil, "reply <nil>", ""},
		{"spec of nobody", false, call(supervise.OpSpec, "z"), supervise.ErrNotFound, "reply <nil>", ""},

		{"start instance", true, start("d"), nil, "start d, reply <nil>", "a up, c restarting, d up"},
		{"start running instance", true, start("a"), supervise.ErrAlreadyStarted, "reply <nil>", ""},
		{"terminate running instance", true, call(supervise.OpTerminate, "a"), nil, "stop a, drop a, reply <nil>", "c restarting"},
		{"terminate restarting instance", true, call(supervise.OpTerminate, "c"), nil, "cancel c, drop c, reply <nil>", "a up"},
		{"terminate instance that is gone", true, call(supervise.OpTerminate, "z"), nil, "reply <nil>", ""},
		{"terminate the template", true, call(supervise.OpTerminate, "t"), supervise.ErrDynamic, "reply <nil>", ""},
		{"restart instance", true, call(supervise.OpRestart, "a"), supervise.ErrDynamic, "reply <nil>", ""},
		{"delete instance", true, call(supervise.OpDelete, "a"), supervise.ErrDynamic, "reply <nil>", ""},
		{"spec of instance", true, call(supervise.OpSpec, "a"), nil, "reply <nil>", ""},
		{"spec of the template", true, call(supervise.OpSpec, "t"), nil, "reply <nil>", ""},
		{"spec of no instance", true, call(supervise.OpSpec, "z"), supervise.ErrNotFound, "reply <nil>", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := present(tt.dynamic)
			before := w.states()
			a := w.answerTo(tt.call)
			require.Equal(t, tt.err, a.Err)
			require.Equal(t, tt.log, w.take())
			if tt.states == "" {
				tt.states = before
			}
			require.Equal(t, tt.states, w.states())
		})
	}
}

func TestCallsSpendNoBudget(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForOne(strategies.NeverRestart()), "a")).boot()
	for range 10 {
		w.step(supervise.Call{Op: supervise.OpTerminate, ID: "a"})
		w.step(supervise.Call{Op: supervise.OpRestart, ID: "a"})
	}
	require.Equal(t, "a up", w.states())
}

func TestStartsThatFailOrAreIgnored(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForOne(plenty), "a")).boot()
	w.broken["d"], w.ignored["i"] = true, true
	require.ErrorIs(t, w.answerTo(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: "d"}}).Err, errStart)
	require.Equal(t, "a up", w.states(), "a child that fails to start isn't kept")
	require.NoError(t, w.answerTo(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: "i"}}).Err)
	require.Equal(t, "a up, i undefined", w.states(), "one that asks to be ignored is")
	w.ignored["j"] = true
	require.NoError(t, w.answerTo(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: "j", Restart: supervise.Temporary}}).Err)
	require.Equal(t, "a up, i undefined", w.states(), "but for a temporary one")

	w.step(supervise.Call{Op: supervise.OpTerminate, ID: "a"})
	w.broken["a"] = true
	require.ErrorIs(t, w.answerTo(supervise.Call{Op: supervise.OpRestart, ID: "a"}).Err, errStart)
	require.Equal(t, "a undefined, i undefined", w.states(), "no retry after a restart that was asked for")
	require.Empty(t, w.retries)
}

func TestIgnoreInARestartLeavesTheChildUndefined(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForAll(plenty), "a", "b")).boot()
	w.ignored["b"] = true
	w.exit("a", supervise.Crash)
	require.Equal(t, "a up, b undefined", w.states())
}

func TestTerminateCancelsAPendingRetry(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForOne(plenty), "a", "b")).boot()
	w.broken["a"] = true
	w.exit("a", supervise.Crash)
	w.take()
	w.step(supervise.Call{Op: supervise.OpTerminate, ID: "a"})
	require.Equal(t, "cancel a, reply <nil>", w.take())
	w.retry()
	require.Empty(t, w.take())
	require.Equal(t, "a undefined, b up", w.states())
}

// Nobody else would start the siblings of a child that is terminated while they wait for its backoff.
func TestTerminateDuringABackoffLetsTheSiblingsComeUp(t *testing.T) {
	policy := plenty.WithBackoff(strategies.Fixed(time.Hour))
	for _, tt := range []struct {
		strategy strategies.Strategy
		want     string
	}{
		{strategies.OneForAll(policy), "cancel b, reply 1, start a, start c"},
		{strategies.RestForOne(policy), "cancel b, reply 1, start c"},
	} {
		w := newWorld(machineOf(tt.strategy, "a", "b", "c", "d")).boot()
		w.step(supervise.Call{Op: supervise.OpTerminate, ID: "d"})
		w.exit("b", supervise.Crash)
		w.take()
		w.step(supervise.Call{Op: supervise.OpTerminate, ID: "b", To: 1})
		require.Equal(t, tt.want, w.take(), tt.strategy.String())
		require.Equal(t, "a up, b undefined, c up, d undefined", w.states(), "d was down before, and not for b")
	}

	w := newWorld(machineOf(strategies.OneForAll(plenty), "a", "b", "c")).boot()
	w.broken["b"] = true
	w.exit("b", supervise.Crash)
	w.take()
	w.step(supervise.Call{Op: supervise.OpTerminate, ID: "b", To: 1})
	require.Equal(t, "cancel b, reply 1", w.take())
	require.Equal(t, "a up, b undefined, c undefined", w.states(), "without a backoff it is as OTP has it")
}

func TestCallsWaitForASequence(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForAll(plenty), "a", "b")).boot()
	w.held = true
	w.exit("a", supervise.Crash)
	w.step(supervise.Call{Op: supervise.OpCount, To: 1})
	require.False(t, w.machine.Idle())
	require.Equal(t, "terminated a, group of 2, stop b", w.take())
	w.held = false
	w.answer()
	w.answer()
	require.Equal(t, "start a, start b, reply 1", w.take())
}

func TestACallIsWithdrawnWhileItWaits(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForAll(plenty), "a", "b")).boot()
	w.held = true
	w.exit("a", supervise.Crash)
	w.take()
	for to := range 3 {
		w.step(supervise.Call{Op: supervise.OpTerminate, ID: "a", To: to})
	}
	w.step(supervise.Withdraw{To: 1})
	require.Equal(t, "reply 1", w.take())
	require.Equal(t, supervise.ErrWithdrawn, w.replies[0].Err)
	w.step(supervise.Withdraw{To: 1})
	require.Empty(t, w.take())
	w.held = false
	w.answer()
	for w.pending != nil {
		w.answer()
	}
	require.Equal(t, "start a, start b, stop a, reply 0, reply 2", w.take())
	w.step(supervise.Withdraw{To: 0})
	require.Empty(t, w.take(), "it has been carried out")
}

func TestCount(t *testing.T) {
	c := machineOf(strategies.OneForOne(plenty.WithBackoff(strategies.Fixed(time.Second))), "a", "b", "c", "s")
	c.Children[3].Supervisor = true
	w := newWorld(c).boot()
	w.step(supervise.Call{Op: supervise.OpTerminate, ID: "b"})
	w.exit("c", supervise.Crash)
	require.Equal(t, supervise.Count{Specs: 4, Active: 2, Supervisors: 1, Workers: 3}, w.answerTo(supervise.Call{Op: supervise.OpCount}).Count)

	c = supervise.Config{Strategy: strategies.OneForOne(plenty), Policy: plenty, Template: &supervise.Spec{ID: "t"}}
	w = newWorld(c).boot()
	for _, id := range []string{"x", "y"} {
		w.step(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: id}})
	}
	require.Equal(t, supervise.Count{Specs: 1, Active: 2, Workers: 2}, w.answerTo(supervise.Call{Op: supervise.OpCount}).Count)
}

// ---- the beginning and the end

func TestFirstStart(t *testing.T) {
	tests := []struct {
		name    string
		arrange func(w *world)
		want    string
	}{
		{"all up", func(*world) {}, "start a, start b, start c, ready"},
		{"one fails", func(w *world) { w.broken["b"] = true }, "start a, fail b, start error b, stop a, quit"},
		{"the first fails", func(w *world) { w.broken["a"] = true }, "fail a, start error a, quit"},
		{"one is ignored", func(w *world) { w.ignored["b"] = true }, "start a, ignore b, start c, ready"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(machineOf(strategies.OneForOne(plenty), "a", "b", "c"))
			tt.arrange(w)
			w.step(supervise.Boot{})
			require.Equal(t, tt.want, w.take())
		})
	}
}

func TestFirstStartThatFailsNamesTheChild(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForOne(plenty), "a", "b"))
	w.broken["b"] = true
	w.step(supervise.Boot{})
	require.Equal(t, "b", w.quit.Failed)
	require.ErrorIs(t, w.quit.Outcome.Err, errStart)
}

func TestOrderToEnd(t *testing.T) {
	type step struct {
		name    string
		arrange func(w *world)
		want    string // after the order, with all answers
	}
	for _, tt := range []step{
		{"idle", func(*world) {}, "stop c, stop b, stop a, quit"},
		{"during a backoff", func(w *world) { w.exit("b", supervise.Crash) }, "cancel b, stop c, stop a, quit"},
		{"during a stop that was asked for", func(w *world) {
			w.held = true
			w.step(supervise.Call{Op: supervise.OpTerminate, ID: "b", To: 1})
		}, "reply 1, stop c, stop a, quit"},
		{"during a start that was asked for", func(w *world) {
			w.held = true
			w.step(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: "d"}, To: 1})
		}, "abort, reply 1, stop d, stop c, stop b, stop a, quit"},
		{"with calls in the queue", func(w *world) {
			w.held = true
			w.step(supervise.Call{Op: supervise.OpTerminate, ID: "b", To: 1})
			w.step(supervise.Call{Op: supervise.OpTerminate, ID: "a", To: 2})
		}, "reply 1, stop c, stop a, quit, reply 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(machineOf(strategies.OneForOne(plenty.WithBackoff(strategies.Fixed(time.Second))), "a", "b", "c")).boot()
			tt.arrange(w)
			w.take()
			w.step(supervise.ShutdownOrder{})
			w.held = false
			for w.pending != nil {
				w.answer()
			}
			require.Equal(t, tt.want, w.take())
			w.step(supervise.Call{Op: supervise.OpCount, To: "late"})
			require.Equal(t, "reply late", w.take())
			require.Equal(t, supervise.ErrStopped, w.replies[len(w.replies)-1].Err)
			w.exit("a", supervise.Crash)
			require.Empty(t, w.take(), "a machine that has quit does nothing")
		})
	}
}

func TestOrderToEndDuringTheFirstStart(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForOne(plenty), "a", "b"))
	w.held = true
	w.step(supervise.Boot{})
	w.take()
	w.step(supervise.ShutdownOrder{})
	require.Equal(t, "abort", w.take())
	w.pending.Results = []supervise.Result{{ID: "a", Incarnation: 1}, {ID: "b", Err: errStart}}
	w.held = false
	w.answer()
	for w.pending != nil {
		w.answer()
	}
	require.Equal(t, "start error b, stop a, quit", w.take())
}

func TestAutoShutdown(t *testing.T) {
	type exit struct {
		id    string
		class supervise.Class
	}
	tests := []struct {
		name     string
		auto     supervise.AutoShutdown
		children []string
		exits    []exit
		quits    bool
	}{
		{"never", supervise.Never, []string{"a?!", "b"}, []exit{{"a", supervise.Normal}}, false},
		{"any, normal", supervise.Any, []string{"a?!", "b"}, []exit{{"a", supervise.Normal}}, true},
		{"any, shutdown", supervise.Any, []string{"a?!", "b"}, []exit{{"a", supervise.Shutdown}}, true},
		{"any, crash of a transient", supervise.Any, []string{"a?!", "b"}, []exit{{"a", supervise.Crash}}, false},
		{"any, crash of a temporary", supervise.Any, []string{"a~!", "b"}, []exit{{"a", supervise.Crash}}, true},
		{"any, of one that isn't significant", supervise.Any, []string{"a?", "b?!"}, []exit{{"a", supervise.Normal}}, false},
		{"all, the first of two", supervise.All, []string{"a?!", "b?!"}, []exit{{"a", supervise.Normal}}, false},
		{"all, both", supervise.All, []string{"a?!", "b?!"}, []exit{{"a", supervise.Normal}, {"b", supervise.Normal}}, true},
		{"all, both temporaries", supervise.All, []string{"a~!", "b~!"}, []exit{{"a", supervise.Crash}, {"b", supervise.Normal}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := machineOf(strategies.OneForOne(plenty), tt.children...)
			c.AutoShutdown = tt.auto
			w := newWorld(c).boot()
			for _, e := range tt.exits {
				w.exit(e.id, e.class)
			}
			require.Equal(t, tt.quits, w.quit != nil)
			if tt.quits {
				require.ErrorIs(t, w.quit.Outcome.Err, supervise.ErrAutoShutdown)
			}
		})
	}
}

func TestAutoShutdownIsNotForTheTerminatedAndBystanders(t *testing.T) {
	c := machineOf(strategies.OneForAll(plenty), "a~!", "b", "c~!")
	c.AutoShutdown = supervise.Any
	w := newWorld(c).boot()
	w.step(supervise.Call{Op: supervise.OpTerminate, ID: "a"})
	w.exit("b", supervise.Crash) // takes c along
	require.Nil(t, w.quit)
	require.Equal(t, "b up", w.states())
}

// A significant child that waits for its restart isn't gone.
func TestAutoShutdownAllCountsTheRestarting(t *testing.T) {
	c := machineOf(strategies.OneForOne(plenty.WithBackoff(strategies.Fixed(time.Second))), "a?!", "b?!")
	c.AutoShutdown = supervise.All
	w := newWorld(c).boot()
	w.exit("a", supervise.Crash)
	w.exit("b", supervise.Normal)
	require.Nil(t, w.quit)
	w.pass("a", time.Second)
	require.Equal(t, "a up, b undefined", w.states())
}

// ---- dynamic supervisors

func TestDynamicSupervisor(t *testing.T) {
	w := newWorld(supervise.Config{Strategy: strategies.OneForOne(plenty), Policy: plenty, Template: &supervise.Spec{ID: "t", Restart: supervise.Transient}}).boot()
	for _, id := range []string{"x", "y", "z"} {
		w.step(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: id, Restart: supervise.Transient}})
	}
	w.take()
	w.exit("x", supervise.Crash)
	require.Equal(t, "terminated x, start x", w.take())
	w.exit("y", supervise.Normal)
	require.Equal(t, "drop y", w.take(), "an instance that ends for good is forgotten")
	w.ignored["z"] = true
	w.exit("z", supervise.Crash)
	require.Equal(t, "terminated z, ignore z, drop z", w.take())
	w.step(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: "y", Restart: supervise.Transient}})
	w.take()
	w.step(supervise.ShutdownOrder{})
	require.True(t, w.together)
	require.Equal(t, "stop y, stop x, quit", w.take())
}

func TestManyInstancesComeAndGo(t *testing.T) {
	w := newWorld(supervise.Config{Strategy: strategies.OneForOne(plenty), Policy: plenty, Template: &supervise.Spec{ID: "t", Restart: supervise.Temporary}}).boot()
	names := "abcdefghijklmnopqrstuvwxyz"
	for round := range 20 {
		for _, id := range names {
			w.step(supervise.Call{Op: supervise.OpStart, Spec: supervise.Spec{ID: string(id), Restart: supervise.Temporary}})
		}
		for i, id := range names {
			if i != round {
				w.exit(string(id), supervise.Normal)
			}
		}
		require.Equal(t, string(names[round])+" up", w.states())
		w.exit(string(names[round]), supervise.Normal)
		require.Empty(t, w.states())
	}
}

// ---- reconfiguration

func TestReconfigure(t *testing.T) {
	w := newWorld(machineOf(strategies.OneForOne(strategies.MaxRestarts(1, time.Minute)), "a", "b", "c")).boot()
	w.exit("a", supervise.Crash) // one of the budget is spent
	w.take()
	fresh := machineOf(strategies.OneForAll(strategies.MaxRestarts(2, time.Minute)), "c", "a?", "d")
	fresh.Data = "data"
	require.NoError(t, w.answerTo(supervise.Call{Op: supervise.OpReconfigure, Config: fresh}).Err)
	require.Equal(t, "reconfigured data, reply <nil>", w.take())
	require.Equal(t, "c up, a up, d undefined, b up", w.states(), "new ones aren't started, those not listed come last")
	w.exit("a", supervise.Normal)
	require.Empty(t, w.take(), "it is transient now")
	w.exit("c", supervise.Crash)
	require.Equal(t, "terminated c, group of 4, stop b, start c, start a, start d, start b", w.take())
	w.exit("c", supervise.Crash)
	require.Contains(t, w.take(), "budget spent c", "the history was kept")
}

func TestReconfigureDuringABackoff(t *testing.T) {
	policy := plenty.WithBackoff(strategies.Fixed(time.Second))
	w := newWorld(machineOf(strategies.OneForOne(policy), "a", "b")).boot()
	w.exit("a", supervise.Crash)
	w.step(supervise.Call{Op: supervise.OpReconfigure, Config: machineOf(strategies.OneForAll(policy), "b", "a")})
	w.take()
	w.pass("a", time.Second)
	require.Equal(t, "stop b, start b, start a", w.take())
}

// A child can be temporary and present, but not running, only after it was made so.
func TestAChildThatWasMadeTemporaryWhileItWasDown(t *testing.T) {
	made := func(s strategies.Strategy, before func(w *world)) *world {
		w := newWorld(machineOf(s, "a", "b", "c")).boot()
		before(w)
		w.step(supervise.Call{Op: supervise.OpReconfigure, Config: machineOf(s, "a", "b~", "c")})
		w.take()
		return w
	}
	down := func(w *world) { w.step(supervise.Call{Op: supervise.OpTerminate, ID: "b"}) }
	failing := func(w *world) {
		w.broken["b"] = true
		w.exit("b", supervise.Crash)
		w.broken["b"] = false
	}

	w := made(strategies.OneForOne(plenty), down)
	w.ignored["b"] = true
	require.NoError(t, w.answerTo(supervise.Call{Op: supervise.OpRestart, ID: "b"}).Err)
	require.Equal(t, "a up, b undefined, c up", w.states(), "ignored when it was asked to start, it stays, as in OTP")
	w.ignored["b"] = false
	require.NoError(t, w.answerTo(supervise.Call{Op: supervise.OpRestart, ID: "b"}).Err)
	w.exit("b", supervise.Crash)
	require.Equal(t, "a up, c up", w.states())

	w = made(strategies.OneForOne(plenty), failing)
	w.retry()
	require.Equal(t, "a up, b up, c up", w.states(), "the retry that waits goes ahead")
	w = made(strategies.OneForOne(plenty), failing)
	w.ignored["b"] = true
	w.retry()
	require.Equal(t, "a up, b undefined, c up", w.states())

	for _, backoff := range []strategies.Backoff{strategies.NoBackoff(), strategies.Fixed(time.Second)} {
		for _, s := range []strategies.Strategy{strategies.OneForAll(plenty.WithBackoff(backoff)), strategies.RestForOne(plenty.WithBackoff(backoff))} {
			w = made(s, failing)
			w.retry()
			w.pass("b", time.Second)
			require.Equal(t, "a up, c up", w.states(), "%s, %s: a group takes its temporary children down for good, the failed one too", s, backoff)
		}
	}
}
