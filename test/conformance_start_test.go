package test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/strategies"
)

// ---- what a start returns

func ignoreFromInit(t *testing.T) {
	j := &journal{}
	ignored := func(id string) actors.Supervisor {
		return actors.Supervisor{ID: id, Init: func(context.Context) error { return actors.ErrIgnore }, Children: []actors.Child{scripted("never", j, hooks{})}}
	}
	tree, err := actors.Start(t.Context(), ignored("root"))
	require.ErrorIs(t, err, actors.ErrIgnore)
	require.Nil(t, tree)

	tree = begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{ignored("s"), plain("a", hooks{})}})
	pid, err := tree.StartChild(t.Context(), "root", ignored("late"))
	require.NoError(t, err, "to be ignored is no failure")
	require.Nil(t, pid)
	require.Equal(t, "s undefined, a up, late undefined", states(t, tree, "root"))
	require.Empty(t, j.take(), "no child of it was started")
}

func everyFaultOfASpecAtOnce(t *testing.T) {
	j := &journal{}
	_, err := actors.Start(t.Context(), actors.Supervisor{
		ID:           "root",
		Strategy:     strategies.OneForOne(strategies.RestartPolicy{MaxRestarts: -2, Window: -1}),
		AutoShutdown: 9,
		Children:     []actors.Child{scripted("good", j, hooks{produce: func(actor.Context) { j.add("produced") }}), nil, actors.Actor("bad", nil)},
	})
	text := strings.Join(faultsOf(t, err), "\n")
	for _, part := range []string{"root: Strategy: ", "MaxRestarts", "Window", "root: AutoShutdown is 9", "root: Children[1] is nil", "root/bad: Producer is nil"} {
		require.Contains(t, text, part)
	}
	require.Empty(t, j.take(), "nothing is started")

	// What only the start brings to light is a start error.
	_, err = actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{actors.Actor("none", func() actor.Actor { return nil })}})
	requireChain(t, err, "root", "root/none")
}

func panicInInitIsAStartError(t *testing.T) {
	raises := func(id string) actors.Supervisor {
		return actors.Supervisor{ID: id, Init: func(context.Context) error { panic(errBoom) }}
	}
	_, err := actors.Start(t.Context(), raises("root"))
	requireChain(t, err, "root")
	require.ErrorIs(t, err, errBoom)
	var raised *actors.PanicError
	require.ErrorAs(t, err, &raised)
	require.Contains(t, raised.Stack(), "panicInInitIsAStartError")

	tree := begin(t, actors.Supervisor{ID: "root"})
	_, err = tree.StartChild(t.Context(), "root", raises("s"))
	requireChain(t, err, "root/s")
	require.ErrorIs(t, err, errBoom)
	require.Empty(t, states(t, tree, "root"))
}

// requireChain checks that an error is a StartError of the first path, because of one of the second, and so on to the last.
func requireChain(t *testing.T, err error, paths ...string) {
	t.Helper()
	for _, path := range paths {
		var e *actors.StartError
		require.ErrorAs(t, err, &e)
		require.Equal(t, path, e.Path)
		err = e.Err
	}
	var e *actors.StartError
	require.False(t, errors.As(err, &e), "%v", err)
}

func startErrorsCarryTheWholeChain(t *testing.T) {
	sick := plain("sick", hooks{started: func(ctx actor.Context) { actors.Exit(ctx, errBoom) }})
	spec := actors.Supervisor{ID: "s", Children: []actors.Child{plain("a", hooks{}), actors.Supervisor{ID: "deep", Children: []actors.Child{sick}}}}
	_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{spec}})
	requireChain(t, err, "root", "root/s", "root/s/deep", "root/s/deep/sick")
	require.ErrorIs(t, err, errBoom)

	tree := begin(t, actors.Supervisor{ID: "root"})
	failed := tree.Subscribe(10, actors.StartFailed)
	_, err = tree.StartChild(t.Context(), "root", spec)
	requireChain(t, err, "root/s", "root/s/deep", "root/s/deep/sick")
	require.ErrorIs(t, err, errBoom)
	var paths []string
	for _, e := range pending(failed) {
		require.ErrorIs(t, e.Err, errBoom, "%v", e)
		paths = append(paths, e.Path)
	}
	require.Equal(t, []string{"root/s/deep/sick", "root/s/deep", "root/s"}, paths)
}

func childAnswersAsSoonAsItIsStarted(t *testing.T) {
	tree := begin(t, actors.Supervisor{ID: "root"})
	pid, err := tree.StartChild(t.Context(), "root", obedient(actors.Lifecycle{}))
	require.NoError(t, err)
	require.Equal(t, tree.PID("root/a"), pid)
	requireAlive(t, tree, "root/a")

	require.NoError(t, tree.TerminateChild(t.Context(), "root/a"))
	again, err := tree.RestartChild(t.Context(), "root/a")
	require.NoError(t, err)
	require.Equal(t, pid, again, "the PID of a node stays")
	requireAlive(t, tree, "root/a")

	send(tree, "root/a", do(crash))
	requireAlive(t, tree, "root/a")
	requireRunning(t, tree, "root/a", 3)
}

func instanceAnswersAsSoonAsItIsStarted(t *testing.T) {
	tree := begin(t, dynamic(obedient(actors.Lifecycle{})))
	pid, err := tree.StartInstance(t.Context(), "root/d", "x")
	require.NoError(t, err)
	require.Equal(t, tree.PID("root/d/x"), pid)
	requireAlive(t, tree, "root/d/x")
	send(tree, "root/d/x", do(crash))
	requireAlive(t, tree, "root/d/x")
	requireRunning(t, tree, "root/d/x", 2)
}

func nameThatIsTakenOutsideIsAStartError(t *testing.T) {
	system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
	t.Cleanup(system.Shutdown)
	outsider, err := system.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
		if _, ok := ctx.Message().(string); ok {
			ctx.Respond("outsider")
		}
	}), "root/a")
	require.NoError(t, err)
	tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("b", hooks{})}}, actors.WithSystem(system))

	_, err = tree.StartChild(t.Context(), "root", obedient(actors.Lifecycle{}))
	requireChain(t, err, "root/a")
	require.ErrorIs(t, err, actors.ErrNameTaken, "the reason as it is")
	require.Equal(t, "b up", states(t, tree, "root"), "its spec isn't kept")
	got, err := system.Root.RequestFuture(outsider, "?", time.Minute).Result()
	require.NoError(t, err)
	require.Equal(t, "outsider", got, "it is left alone")

	require.NoError(t, system.Root.StopFuture(outsider).Wait())
	_, err = tree.StartChild(t.Context(), "root", obedient(actors.Lifecycle{}))
	require.NoError(t, err)
	requireAlive(t, tree, "root/a")
}

// ---- what a spec may say

func faultySpecsAreRefused(t *testing.T) {
	producer := func() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) }
	for _, faulty := range []struct {
		spec  actors.ActorSpec
		fault string
	}{
		{actors.Actor("", producer), "root/: ID is empty"},
		{actors.Actor("a/b", producer), `root/a/b: ID "a/b" must not contain '/', '@' or '$'`},
		{actors.Actor("a", nil), "root/a: Producer is nil"},
	} {
		_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{faulty.spec}})
		require.Equal(t, []string{faulty.fault}, faultsOf(t, err))

		tree := begin(t, actors.Supervisor{ID: "root"})
		_, err = tree.StartChild(t.Context(), "root", faulty.spec)
		require.Equal(t, []string{faulty.fault}, faultsOf(t, err))
		require.Empty(t, states(t, tree, "root"))
	}
}

func everyKindOfSpecIsValidated(t *testing.T) {
	tree := begin(t, actors.Supervisor{ID: "root"})
	code := func() actors.AgentCode { return actors.AgentCode{} }
	for _, faulty := range []struct {
		spec  actors.Child
		fault string
	}{
		{nil, "child is nil"},
		{obedient(actors.Lifecycle{Restart: 3}), "Restart is 3"},
		{obedient(actors.Lifecycle{Shutdown: -2}), "Shutdown is -2ns"},
		{obedient(actors.Lifecycle{StartTimeout: -1}), "StartTimeout is -1ns"},
		{obedient(actors.Lifecycle{Queue: -1}), "Queue is -1"},
		{obedient(actors.Lifecycle{Overflow: 2}), "Overflow is 2"},
		{obedient(actors.Lifecycle{Restart: actors.Transient, Significant: true}), "Significant needs an AutoShutdown"},
		{actors.AgentSpec{ID: "a", Types: []string{"t"}}, "New is nil"},
		{actors.AgentSpec{ID: "a", New: code}, "Types is empty"},
		{actors.AgentSpec{ID: "a", New: code, Types: []string{""}}, "Types: "},
		{actors.AgentSpec{ID: "a", New: code, Types: []string{"t"}, Credits: -1}, "Credits is -1"},
		{actors.Pool(0, actors.AgentSpec{ID: "a", New: code, Types: []string{"t"}}), "pool of 0"},
		{actors.Pool(2, actors.AgentSpec{ID: "a", New: code, Types: []string{"t"}}), "a pool is 2 children"},
		{actors.Breaker{ID: "a", Config: breaker.Config{ResetTimeout: -1}}, "Config: "},
		{actors.Supervisor{ID: "a", Children: []actors.Child{plain("b", hooks{}), plain("b", hooks{})}}, "ID is used twice"},
		{actors.Supervisor{ID: "a", Children: []actors.Child{plain("b", hooks{})}, Template: plain("t", hooks{})}, "Template excludes Children"},
		{actors.Supervisor{ID: "a", Strategy: strategies.OneForAll(strategies.AlwaysRestart()), Template: plain("t", hooks{})}, "Template needs the strategy one_for_one"},
	} {
		_, err := tree.StartChild(t.Context(), "root", faulty.spec)
		faults := faultsOf(t, err)
		require.Len(t, faults, 1, "%v", err)
		require.Contains(t, faults[0], faulty.fault)
	}
	requireCount(t, tree, "root", actors.ChildCount{})
}

// allCombinationsOfALifecycle tries everything that a child spec may say, and compares with the rules in the words of OTP's documentation.
func allCombinationsOfALifecycle(t *testing.T) {
	ok := func() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) }
	tries := 0
	for _, auto := range []actors.AutoShutdown{actors.AutoShutdownNever, actors.AutoShutdownAny, actors.AutoShutdownAll} {
		tree := begin(t, actors.Supervisor{ID: "root", AutoShutdown: auto})
		for _, id := range []string{"c", "", "a@b"} {
			for _, producer := range []actor.Producer{ok, nil} {
				for restart := range actors.Temporary + 2 {
					for _, significant := range []bool{false, true} {
						for _, shutdown := range []time.Duration{0, actors.BrutalKill, time.Second, actors.NoLimit, -10 * time.Second} {
							for _, timeout := range []time.Duration{0, time.Second, actors.NoLimit, -1} {
								for _, queue := range []int{0, 1, -1} {
									l := actors.Lifecycle{Restart: restart, Significant: significant, Shutdown: shutdown, StartTimeout: timeout, Queue: queue}
									want := map[string]bool{
										"ID ":                    id != "c",
										"Producer ":              producer == nil,
										"Restart ":               restart > actors.Temporary,
										"Significant needs R":    significant && restart == actors.Permanent,
										"Significant needs an A": significant && auto == actors.AutoShutdownNever,
										"Shutdown ":              shutdown < 0 && shutdown != actors.BrutalKill,
										"StartTimeout ":          timeout < 0,
										"Queue ":                 queue < 0,
									}
									tryLifecycle(t, tree, actors.Actor(id, producer).With(l), want)
									tries++
								}
							}
						}
					}
				}
			}
		}
	}
	require.Equal(t, 8640, tries)
}

// tryLifecycle starts a child, and compares the faults that are named with those that are wanted.
func tryLifecycle(t *testing.T, tree *actors.Tree, spec actors.ActorSpec, want map[string]bool) {
	t.Helper()
	valid := true
	for _, faulty := range want {
		valid = valid && !faulty
	}
	_, err := tree.StartChild(t.Context(), "root", spec)
	if valid {
		require.NoError(t, err, "%+v", spec)
		require.NoError(t, tree.TerminateChild(t.Context(), "root/c"))
		if spec.Restart != actors.Temporary {
			require.NoError(t, tree.DeleteChild(t.Context(), "root/c"))
		}
		return
	}
	var faulty *actors.SpecError
	require.ErrorAs(t, err, &faulty, "%+v", spec)
	left := len(faulty.Faults)
	for field, expected := range want {
		named := 0
		for _, f := range faulty.Faults {
			if strings.HasPrefix(f.Problem, field) {
				named++
			}
		}
		left -= named
		require.Equal(t, expected, named == 1, "%s of %+v: %v", field, spec, err)
	}
	require.Zero(t, left, "%v", err)
}

func significantTemplateIsRefused(t *testing.T) {
	template := obedient(actors.Lifecycle{Restart: actors.Transient, Significant: true})
	for _, auto := range []actors.AutoShutdown{actors.AutoShutdownAny, actors.AutoShutdownAll} {
		_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Template: template, AutoShutdown: auto})
		faults := faultsOf(t, err)
		require.Len(t, faults, 1)
		require.Contains(t, faults[0], "root/a: Significant isn't for instances")
	}
}

// ---- another spec for a live supervisor

func reconfigureKeepsWhatRuns(t *testing.T) {
	spec := func(s strategies.Strategy, children ...actors.Child) actors.Supervisor {
		return actors.Supervisor{ID: "root", Strategy: s, Children: children}
	}
	policy := strategies.AlwaysRestart()
	tree := begin(t, spec(strategies.OneForOne(policy), plain("a", hooks{}), plain("b", hooks{})))
	require.NoError(t, tree.Reconfigure(t.Context(), "root", spec(strategies.RestForOne(policy), plain("b", hooks{}), plain("c", hooks{}))))
	require.Equal(t, "b up, c undefined, a up", states(t, tree, "root"))
	requireRunning(t, tree, "root/a", 1)
	requireRunning(t, tree, "root/b", 1)

	_, err := tree.RestartChild(t.Context(), "root/c")
	require.NoError(t, err)
	send(tree, "root/c", do(crash))
	synctest.Wait()
	requireRunning(t, tree, "root/b", 1)
	requireRunning(t, tree, "root/c", 2)
	requireRunning(t, tree, "root/a", 2)
}

func reconfigureIsAllOrNothing(t *testing.T) {
	policy := strategies.AlwaysRestart()
	tree := begin(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{plain("a", hooks{}), plain("b", hooks{})}})
	err := tree.Reconfigure(t.Context(), "root", actors.Supervisor{
		Strategy:     strategies.OneForAll(policy),
		AutoShutdown: actors.AutoShutdownAny,
		Children:     []actors.Child{plain("c", hooks{}), plain("b", hooks{}).With(actors.Lifecycle{Significant: true})},
	})
	require.Len(t, faultsOf(t, err), 1)
	require.Equal(t, "a up, b up", states(t, tree, "root"))
	send(tree, "root/a", do(crash))
	synctest.Wait()
	requireRunning(t, tree, "root/a", 2)
	requireRunning(t, tree, "root/b", 1)
}

func reconfigureOfATemplate(t *testing.T) {
	tree := begin(t, dynamic(obedient(actors.Lifecycle{})))
	startInstances(t, tree, "x")
	transient := actors.Supervisor{Template: obedient(actors.Lifecycle{Restart: actors.Transient})}
	require.NoError(t, tree.Reconfigure(t.Context(), "root/d", transient))
	requireRunning(t, tree, "root/d/x", 1)
	send(tree, "root/d/x", do(crash))
	synctest.Wait()
	requireRunning(t, tree, "root/d/x", 2)
	send(tree, "root/d/x", exit(nil))
	synctest.Wait()
	require.Empty(t, states(t, tree, "root/d"), "transient from now on")
}

func templateIsExactlyOneSpec(t *testing.T) {
	tree := begin(t, dynamic(obedient(actors.Lifecycle{})))
	agent := actors.AgentSpec{ID: "t", Types: []string{"t"}, New: func() actors.AgentCode { return actors.AgentCode{} }}
	for _, other := range []actors.Supervisor{
		{Template: actors.Pool(2, agent)},
		{Template: actors.Pool(0, agent)},
		{Template: obedient(actors.Lifecycle{}), Children: []actors.Child{plain("b", hooks{})}},
		{Children: []actors.Child{plain("b", hooks{})}},
		{},
	} {
		faultsOf(t, tree.Reconfigure(t.Context(), "root/d", other))
	}
	startInstances(t, tree, "x")
	requireAlive(t, tree, "root/d/x")
}

func childBecomesSignificantInPlace(t *testing.T) {
	spec := func(significant bool) actors.Supervisor {
		return actors.Supervisor{ID: "s", AutoShutdown: actors.AutoShutdownAny, Lifecycle: actors.Lifecycle{Restart: actors.Temporary},
			Children: []actors.Child{plain("a", hooks{}).With(actors.Lifecycle{Restart: actors.Transient, Significant: significant}), plain("b", hooks{})}}
	}
	for _, becomes := range []bool{true, false} {
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{spec(!becomes)}})
		require.NoError(t, tree.Reconfigure(t.Context(), "root/s", spec(becomes)))
		requireRunning(t, tree, "root/s/a", 1)
		send(tree, "root/s/a", exit(nil))
		synctest.Wait()
		if becomes {
			require.Empty(t, states(t, tree, "root"), "it took its supervisor along")
		} else {
			require.Equal(t, "a undefined, b up", states(t, tree, "root/s"))
		}
	}
}
