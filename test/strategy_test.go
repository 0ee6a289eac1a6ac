package test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// incarnations says "a1 b2 c1" of the children of a supervisor, with "-" for those that are down.
func incarnations(t *testing.T, tree *actors.Tree, supervisor string) string {
	t.Helper()
	infos, err := tree.Children(t.Context(), supervisor)
	require.NoError(t, err)
	var words []string
	for _, c := range infos {
		n := fmt.Sprint(c.Incarnation)
		if c.State != actors.ChildUp {
			n = "-"
		}
		words = append(words, c.ID+n)
	}
	return strings.Join(words, " ")
}

// abc is a tree with a supervisor of three, which is what the tests are about.
func abc(t *testing.T, s strategies.Strategy, more ...actors.Option) *actors.Tree {
	t.Helper()
	return start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.MaxRestarts(3, time.Hour)), Children: []actors.Child{
		actors.Supervisor{ID: "s", Strategy: s, Children: []actors.Child{plain("a", hooks{}), plain("b", hooks{}), plain("c", hooks{})}},
		plain("bystander", hooks{}),
	}}, more...)
}

func TestStrategiesRestartTheirGroup(t *testing.T) {
	always := strategies.AlwaysRestart()
	tests := []struct {
		strategy strategies.Strategy
		after    map[string]string // a crash of each
	}{
		{strategies.OneForOne(always), map[string]string{"a": "a2 b1 c1", "b": "a1 b2 c1", "c": "a1 b1 c2"}},
		{strategies.OneForAll(always), map[string]string{"a": "a2 b2 c2", "b": "a2 b2 c2", "c": "a2 b2 c2"}},
		{strategies.RestForOne(always), map[string]string{"a": "a2 b2 c2", "b": "a1 b2 c2", "c": "a1 b1 c2"}},
		{strategies.Escalate(), map[string]string{"a": "a2 b2 c2", "b": "a2 b2 c2", "c": "a2 b2 c2"}}, // as the supervisor is restarted
	}
	for _, tt := range tests {
		for id, want := range tt.after {
			t.Run(tt.strategy.String()+" "+id, func(t *testing.T) {
				inVirtualTime(t, func(t *testing.T) {
					tree := abc(t, tt.strategy)
					events := tree.Subscribe(100, actors.GroupRestart, actors.Escalated)
					send(tree, "root/s/"+id, do(crash))
					synctest.Wait()
					require.Equal(t, want, incarnations(t, tree, "root/s"))
					supervisor := 1
					if tt.strategy.String() == "escalate" {
						supervisor = 2
					}
					requireRunning(t, tree, "root/s", supervisor)
					requireRunning(t, tree, "root/bystander", 1)
					stop(t, tree)
					got := drain(events)
					switch group := strings.Count(want, "2"); {
					case supervisor == 2:
						require.Len(t, got, 1)
						require.Equal(t, actors.Escalated, got[0].Kind)
						require.Equal(t, "root/s", got[0].Path)
					case group > 1:
						require.Len(t, got, 1)
						require.Equal(t, group, got[0].Group)
						require.Equal(t, tt.strategy.String(), got[0].Strategy)
					default:
						require.Empty(t, got)
					}
				})
			})
		}
	}
}

func TestBackoffOfChildren(t *testing.T) {
	tests := []struct {
		name    string
		backoff strategies.Backoff
		delays  []time.Duration
	}{
		{"none", strategies.NoBackoff(), []time.Duration{0, 0, 0}},
		{"fixed", strategies.Fixed(time.Second), []time.Duration{time.Second, time.Second, time.Second}},
		{"linear", strategies.Linear(time.Second, 3*time.Second), []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second}},
		{"exponential", strategies.Exponential(time.Second, 5*time.Second), []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second}},
	}
	for _, tt := range tests {
		for _, s := range []strategies.Strategy{strategies.OneForOne(strategies.AlwaysRestart().WithBackoff(tt.backoff)), strategies.OneForAll(strategies.AlwaysRestart().WithBackoff(tt.backoff))} {
			t.Run(tt.name+" "+s.String(), func(t *testing.T) {
				inVirtualTime(t, func(t *testing.T) {
					tree := abc(t, s)
					waits := tree.Subscribe(100, actors.BackingOff)
					for _, want := range tt.delays {
						held := took(func() {
							send(tree, "root/s/a", do(crash))
							synctest.Wait()
							if want > 0 {
								require.Equal(t, actors.StatusBackingOff, node(t, tree, "root/s/a").Status)
							}
							requireAlive(t, tree, "root/s/a")
						})
						require.Equal(t, want, held)
						require.Equal(t, want, node(t, tree, "root/s/a").Recovery)
						if want > 0 {
							require.Equal(t, want, pending(waits)[0].Delay)
						}
					}
					time.Sleep(time.Hour) // quiet: the count starts anew
					held := took(func() { send(tree, "root/s/a", do(crash)); synctest.Wait(); requireAlive(t, tree, "root/s/a") })
					require.Equal(t, tt.delays[0], held)
					stop(t, tree)
				})
			})
		}
	}
}

func TestCallsAreServedDuringABackoff(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := abc(t, strategies.OneForOne(strategies.AlwaysRestart().WithBackoff(strategies.Fixed(time.Minute))))
		send(tree, "root/s/a", do(crash))
		synctest.Wait()
		held := took(func() {
			infos, err := tree.Children(t.Context(), "root/s")
			require.NoError(t, err)
			require.Equal(t, actors.ChildRestarting, infos[0].State)
			count, err := tree.CountChildren(t.Context(), "root/s")
			require.NoError(t, err)
			require.Equal(t, actors.ChildCount{Specs: 3, Active: 2, Workers: 3}, count)
			_, err = tree.RestartChild(t.Context(), "root/s/a")
			require.ErrorIs(t, err, actors.ErrRestarting)
			require.ErrorIs(t, tree.DeleteChild(t.Context(), "root/s/a"), actors.ErrRestarting)
			_, err = tree.StartChild(t.Context(), "root/s", plain("d", hooks{}))
			require.NoError(t, err)
			require.NoError(t, tree.TerminateChild(t.Context(), "root/s/a"), "it cancels the restart")
		})
		require.Zero(t, held)
		time.Sleep(time.Hour)
		require.Equal(t, "a- b1 c1 d1", incarnations(t, tree, "root/s"))
		require.Equal(t, actors.StatusFailed, node(t, tree, "root/s/a").Status)
		stop(t, tree)
	})
}

func TestWhenTheBudgetIsSpent(t *testing.T) {
	tests := []struct {
		when  strategies.WhenSpent
		state string // of the supervisor, and its children
		again string // after one more second
	}{
		{strategies.SpentEscalate, "running 2", "a2 b4 c2"},
		{strategies.SpentStopChild, "running 1", "a1 b- c1"},
		{strategies.SpentIgnore, "running 1", "a1 b4 c1"},
		{strategies.SpentStopSupervisor, "stopped 1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.when.String(), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := abc(t, strategies.OneForOne(strategies.MaxRestarts(2, time.Minute).WithWhenSpent(tt.when)))
				failed := tree.Subscribe(100, actors.Failed, actors.Escalated)
				for range 3 {
					send(tree, "root/s/b", do(crash))
					synctest.Wait()
				}
				n := node(t, tree, "root/s")
				require.Equal(t, tt.state, fmt.Sprintf("%s %d", n.Status, n.Incarnation))
				if tt.again != "" {
					require.Equal(t, tt.again, incarnations(t, tree, "root/s"))
				}
				var lines []string
				for _, e := range pending(failed)[2:] { // the two restarts before
					lines = append(lines, fmt.Sprint(e.Path, " ", e.Kind, " ", e.Context))
				}
				lines = slices.DeleteFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "root/s ") })
				switch tt.when {
				case strategies.SpentEscalate:
					require.Equal(t, []string{"root/s escalated child_terminated", "root/s failed child_terminated"}, lines)
				default:
					require.Empty(t, lines, "nothing is a failure to the level above")
				}
				requireRunning(t, tree, "root/bystander", 1)
				stop(t, tree)
			})
		})
	}
}

func TestBudgetSpentAtTheRootEndsTheTree(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{}), plain("b", hooks{})}})
		for range 4 {
			send(tree, "root/a", do(crash))
			synctest.Wait()
		}
		<-tree.Done()
		require.ErrorIs(t, tree.Err(), actors.ErrBudgetSpent)
		require.NoError(t, tree.Stop(context.Background()))
	})
}

// A spent budget is a shutdown to the level above: a transient supervisor is not restarted.
func TestBudgetSpentByATransientSupervisor(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "s", Strategy: strategies.Escalate(), Lifecycle: actors.Lifecycle{Restart: actors.Transient}, Children: []actors.Child{plain("a", hooks{})}},
		}})
		send(tree, "root/s/a", do(crash))
		synctest.Wait()
		require.Equal(t, "s-", incarnations(t, tree, "root"))
		require.Equal(t, actors.StatusStopped, node(t, tree, "root/s").Status)
		stop(t, tree)
	})
}

var errMinor, errMajor, errFinal = errors.New("minor"), errors.New("major"), errors.New("final")

func TestDecider(t *testing.T) {
	decide := func(reason error) actor.Directive {
		switch {
		case errors.Is(reason, errMinor):
			return actor.ResumeDirective
		case errors.Is(reason, errFinal):
			return actor.StopDirective
		case errors.Is(reason, errMajor):
			return actor.EscalateDirective
		}
		return actor.RestartDirective
	}
	tests := []struct {
		reason error
		after  string // with what b knows in the end, if it is up
		knows  int
	}{
		{errMinor, "s1 a1 b1 c1", 1},
		{fmt.Errorf("wrapped: %w", errMinor), "s1 a1 b1 c1", 1},
		{errBoom, "s1 a1 b2 c1", 0},
		{errFinal, "s1 a1 b- c1", -1},
		{errMajor, "s2 a2 b2 c2", 0},
	}
	for _, tt := range tests {
		t.Run(tt.reason.Error(), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				b := actors.Actor("b", func() actor.Actor {
					known := 0
					return actor.ReceiveFunc(func(ctx actor.Context) {
						switch m := ctx.Message().(type) {
						case int:
							known += m
						case error:
							panic(m)
						case string:
							ctx.Respond(known)
						}
					})
				})
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					actors.Supervisor{ID: "s", Strategy: strategies.OneForOne(strategies.RestartPolicy{}.WithDecider(decide)), Children: []actors.Child{plain("a", hooks{}), b, plain("c", hooks{})}},
				}})
				send(tree, "root/s/b", 1)
				send(tree, "root/s/b", tt.reason)
				synctest.Wait()
				require.Equal(t, tt.after, incarnations(t, tree, "root")+" "+incarnations(t, tree, "root/s"))
				if tt.knows >= 0 {
					got, err := actors.Ask[int](within(t, time.Hour), tree, tree.PID("root/s/b"), "what do you know?")
					require.NoError(t, err)
					require.Equal(t, tt.knows, got)
				}
				stop(t, tree)
			})
		})
	}
}

// What has ended can't be resumed: it is restarted, if its restart type has it so.
func TestResumeOfWhatHasEndedIsARestart(t *testing.T) {
	resume := strategies.AlwaysRestart().WithDecider(func(error) actor.Directive { return actor.ResumeDirective })
	work := routing.NewType[int, int]("work")
	crashing := actors.Agent("x", work, func(ctx context.Context, _ int) (int, error) {
		if task, _ := routing.FromContext(ctx); task.Attempt == 1 {
			panic(errBoom)
		}
		return 0, nil
	})
	killed := func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root/x")) }
	tests := []struct {
		name  string
		child actors.Child
		end   func(t *testing.T, tree *actors.Tree)
		after string
	}{
		{"a supervisor that is killed", actors.Supervisor{ID: "x", Children: []actors.Child{plain("below", hooks{})}}, killed, "a1 x2"},
		{"an actor that is killed", plain("x", hooks{}), killed, "a1 x2"},
		{"an actor that exits", plain("x", hooks{}), func(_ *testing.T, tree *actors.Tree) { send(tree, "root/x", exit(errBoom)) }, "a1 x2"},
		{"an agent that panics", crashing, func(t *testing.T, tree *actors.Tree) {
			_, err := work.Do(t.Context(), tree, 1)
			require.NoError(t, err)
		}, "a1 x2"},
		{"a temporary one", plain("x", hooks{}).With(actors.Lifecycle{Restart: actors.Temporary}), killed, "a1"},
		{"none: an actor that panics", plain("x", hooks{}), func(_ *testing.T, tree *actors.Tree) { send(tree, "root/x", do(crash)) }, "a1 x1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(resume), Children: []actors.Child{plain("a", hooks{}), tt.child}})
				tt.end(t, tree)
				synctest.Wait()
				require.Equal(t, tt.after, incarnations(t, tree, "root"))
				if n, ok := tree.Node("root/x/below"); ok {
					require.Equal(t, uint64(2), n.Incarnation, "what is below it comes again with it")
				}
				stop(t, tree)
			})
		})
	}
}

// What arrives while the decider is asked waits, and in order.
func TestResumedNodeLosesNothing(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		resume := strategies.RestartPolicy{}.WithDecider(func(error) actor.Directive { return actor.ResumeDirective })
		var got []int
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(resume), Children: []actors.Child{
			plain("a", hooks{receive: func(ctx actor.Context) {
				if n, ok := ctx.Message().(int); ok {
					if n%3 == 0 {
						panic(errMinor)
					}
					got = append(got, n)
				}
			}}),
		}})
		var want []int
		for n := range 100 {
			send(tree, "root/a", n)
			if n%3 != 0 {
				want = append(want, n)
			}
		}
		synctest.Wait()
		require.Equal(t, want, got)
		n := node(t, tree, "root/a")
		require.Zero(t, n.Restarts)
		stop(t, tree)
	})
}

func TestDeciderThatPanicsFallsBackToRestartAndIsReported(t *testing.T) {
	for name, decide := range map[string]strategies.Decider{
		"panics":   func(error) actor.Directive { panic("oh") },
		"nonsense": func(error) actor.Directive { return 77 },
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				tree := abc(t, strategies.OneForOne(strategies.RestartPolicy{}.WithDecider(decide)))
				faults := tree.Subscribe(10, actors.Faulty)
				send(tree, "root/s/b", do(crash))
				synctest.Wait()
				require.Equal(t, "a1 b2 c1", incarnations(t, tree, "root/s"))
				got := pending(faults)
				require.Len(t, got, 1)
				require.Equal(t, "root/s", got[0].Path)
				var fault *strategies.DeciderError
				require.ErrorAs(t, got[0].Err, &fault)
				stop(t, tree)
			})
		})
	}
}

func TestAutoShutdownInATree(t *testing.T) {
	tests := []struct {
		auto  actors.AutoShutdown
		ends  []string
		state actors.Status
	}{
		{actors.AutoShutdownAny, []string{"a"}, actors.StatusStopped},
		{actors.AutoShutdownAll, []string{"a"}, actors.StatusRunning},
		{actors.AutoShutdownAll, []string{"b", "a"}, actors.StatusStopped},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.auto, tt.ends), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				var j journal
				life := actors.Lifecycle{Restart: actors.Transient, Significant: true}
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					actors.Supervisor{ID: "s", AutoShutdown: tt.auto, Lifecycle: actors.Lifecycle{Restart: actors.Transient}, Children: []actors.Child{
						plain("a", hooks{}).With(life), plain("b", hooks{}).With(life), scripted("c", &j, hooks{}), scripted("d", &j, hooks{})}},
				}})
				j.take()
				for _, id := range tt.ends {
					send(tree, "root/s/"+id, do(func(ctx actor.Context) { ctx.Stop(ctx.Self()) }))
					synctest.Wait()
				}
				require.Equal(t, tt.state, node(t, tree, "root/s").Status)
				if tt.state == actors.StatusStopped {
					require.Equal(t, stops("d", "c"), j.take())
				}
				stop(t, tree)
			})
		})
	}
}

func TestAutoShutdownOfTheRootEndsTheTree(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", AutoShutdown: actors.AutoShutdownAny, Children: []actors.Child{
			plain("a", hooks{}).With(actors.Lifecycle{Restart: actors.Temporary, Significant: true}), plain("b", hooks{})}})
		send(tree, "root/a", do(func(ctx actor.Context) { ctx.Stop(ctx.Self()) }))
		<-tree.Done()
		require.ErrorIs(t, tree.Err(), actors.ErrAutoShutdown)
		stop(t, tree)
	})
}

// The default policy of a tree is for those whose strategy has a zero policy.
func TestDefaultPolicies(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		one := strategies.OneForOne(strategies.RestartPolicy{})
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "s", Strategy: one, Children: []actors.Child{plain("a", hooks{})}},
			actors.Supervisor{ID: "own", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{plain("a", hooks{})}},
		}}, actors.WithPolicy(actors.KindSupervisor, strategies.NeverRestart()), actors.WithPolicy(actors.KindRoot, strategies.MaxRestarts(1, time.Minute)))
		for range 5 {
			send(tree, "root/own/a", do(crash))
			synctest.Wait()
		}
		requireRunning(t, tree, "root/own/a", 6)
		send(tree, "root/s/a", do(crash)) // escalates at once
		synctest.Wait()
		requireRunning(t, tree, "root/s", 2)
		send(tree, "root/s/a", do(crash)) // and now the root's one restart is spent
		<-tree.Done()
		require.ErrorIs(t, tree.Err(), actors.ErrBudgetSpent)
	})
}
