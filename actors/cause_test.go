package actors_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// consequences says what came of the first event with one of the words given: "a exited|a failed", with the names of nodes instead of their paths.
func consequences(t *testing.T, events []actors.Event, first string) []string {
	t.Helper()
	for _, e := range events {
		if slices.Contains(strings.Split(first, "|"), brief(e)) {
			var lines []string
			for _, c := range actors.Consequences(events, e.Seq) {
				lines = append(lines, brief(c))
			}
			return lines
		}
	}
	require.Fail(t, "no such event", first)
	return nil
}

func brief(e actors.Event) string {
	what := e.Kind.String()
	if e.Task != nil {
		what = e.Task.Kind.String()
	}
	return e.Path[strings.LastIndexByte(e.Path, '/')+1:] + " " + what
}

func TestConsequencesOfAnEscalation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := actors.NewSubscription(1000)
		tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "s", Strategy: strategies.OneForAll(strategies.MaxRestarts(1, time.Hour)), Children: []actors.Child{answering("a", ""), answering("b", "")}},
		}}, actors.WithSubscription(all))
		read(all)
		crash := func() []actors.Event {
			tree.ActorSystem().Root.Send(tree.PID("root/s/a"), errSick)
			synctest.Wait()
			return read(all)
		}
		first, second := crash(), crash()
		both := append(first, second...)
		up := []string{"a exited", "a failed", "a group restart", "b exited", "a started", "b started"}
		require.Equal(t, up, consequences(t, both, "a exited"), "the second failure is one of its own")
		require.Equal(t, []string{"a exited", "a failed", "a failed", "s escalated", "b exited", "s exited", "s failed", "s starting", "a started", "b started", "s started"},
			consequences(t, second, "a exited"))

		// What is done by a call is no consequence of why the supervisor was started.
		_, err := tree.StartChild(t.Context(), "root/s", answering("c", ""))
		require.NoError(t, err)
		require.NoError(t, tree.TerminateChild(t.Context(), "root/s/b"))
		for _, e := range read(all) {
			require.Zero(t, e.Cause, e.String())
		}
	})
}

func TestConsequencesOfOtherEnds(t *testing.T) {
	budget := strategies.MaxRestarts(1, time.Hour).WithWhenSpent(strategies.SpentStopSupervisor)
	many := strategies.OneForOne(strategies.AlwaysRestart())
	crash := func(tree *actors.Tree, path string) { tree.ActorSystem().Root.Send(tree.PID(path), errSick) }
	tests := []struct {
		name  string
		below actors.Supervisor
		do    func(t *testing.T, tree *actors.Tree)
		first string
		want  []string
	}{
		{"auto-shutdown", actors.Supervisor{ID: "s", AutoShutdown: actors.AutoShutdownAny, Children: []actors.Child{
			answering("a", "").With(actors.Lifecycle{Restart: actors.Temporary, Significant: true}), answering("b", ""),
		}}, func(_ *testing.T, tree *actors.Tree) { crash(tree, "root/s/a") }, "a exited",
			[]string{"a exited", "a failed", "b exited", "s exited", "s failed", "s starting", "a started", "b started", "s started"}},
		{"stop supervisor", actors.Supervisor{ID: "s", Strategy: strategies.OneForOne(budget), Children: []actors.Child{answering("a", "")}},
			func(_ *testing.T, tree *actors.Tree) {
				crash(tree, "root/s/a")
				synctest.Wait()
				crash(tree, "root/s/a")
			}, "a exited", []string{"a exited", "a failed", "a started"}},
		{"kill", actors.Supervisor{ID: "s", Strategy: many, Children: []actors.Child{
			answering("a", ""), actors.Supervisor{ID: "deep", Children: []actors.Child{answering("b", "")}},
		}}, func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root/s")) }, "s exited",
			[]string{"s exited", "deep exited", "a exited", "b exited", "s failed", "s starting", "a started", "deep starting", "b started", "deep started", "s started"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := actors.NewSubscription(1000)
				tree := begin(t, actors.Supervisor{ID: "root", Strategy: many, Children: []actors.Child{tt.below}}, actors.WithSubscription(all))
				read(all)
				tt.do(t, tree)
				synctest.Wait()
				require.ElementsMatch(t, tt.want, consequences(t, read(all), tt.first))
			})
		})
	}
}

// A task that goes elsewhere is a consequence too, whether its own handler crashed, its agent was killed, or went down for a sibling's sake.
func TestConsequencesForTasks(t *testing.T) {
	work := routing.NewType[string, int]("work")
	tests := []struct {
		name  string
		does  string
		harm  func(t *testing.T, tree *actors.Tree)
		first string
		want  []string
	}{
		{"its handler crashes", "crash", func(*testing.T, *actors.Tree) {}, "w retried|w exited",
			[]string{"w retried", "w exited", "w spoke left", "w failed", "w group restart", "a exited", "a started", "w spoke joined", "w started", "w leased"}},
		{"its agent is killed", "wait", func(t *testing.T, tree *actors.Tree) { require.NoError(t, tree.Kill("root/s/w")) }, "w exited",
			[]string{"w exited", "w spoke left", "w retried", "w failed", "w group restart", "a exited", "a started", "w spoke joined", "w started", "w leased"}},
		{"a sibling crashes", "wait", func(_ *testing.T, tree *actors.Tree) { tree.ActorSystem().Root.Send(tree.PID("root/s/a"), errSick) }, "a exited",
			[]string{"a exited", "a failed", "a group restart", "w retried", "w spoke left", "w exited", "a started", "w spoke joined", "w started", "w leased"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all := actors.NewSubscription(1000)
				var handled atomic.Int64
				w := actors.Agent("w", work, func(ctx context.Context, does string) (int, error) {
					if n := handled.Add(1); n > 1 {
						return int(n), nil
					}
					if does == "crash" {
						panic(errSick)
					}
					<-ctx.Done()
					return 0, ctx.Err()
				})
				tree := begin(t, actors.Supervisor{ID: "root", Children: []actors.Child{
					actors.Supervisor{ID: "s", Strategy: strategies.OneForAll(strategies.AlwaysRestart()), Children: []actors.Child{answering("a", ""), w}},
				}}, actors.WithSubscription(all))
				read(all)
				result, err := work.Submit(t.Context(), tree, tt.does)
				require.NoError(t, err)
				time.Sleep(time.Millisecond)
				tt.harm(t, tree)
				n, err := result.Await(t.Context())
				require.NoError(t, err)
				require.Equal(t, 2, n)
				synctest.Wait()
				got := slices.DeleteFunc(consequences(t, read(all), tt.first), func(line string) bool {
					return line == "w returned" || line == "w late result" // its handler's, if it was slower than those who gave it up
				})
				require.ElementsMatch(t, tt.want, got)
			})
		})
	}
}

func TestConsequencesOfNothing(t *testing.T) {
	events := []actors.Event{{Seq: 1}, {Seq: 2, Cause: 1}, {Seq: 3}, {Seq: 4, Cause: 2}}
	require.Equal(t, events[:2], actors.Consequences(events[:3], 1))
	require.Len(t, actors.Consequences(events, 1), 3)
	require.Empty(t, actors.Consequences(events, 9))
	require.Empty(t, actors.Consequences(events, 0), "an event without a cause isn't one of event 0")
}

// What came of one failure, out of all that a subscription has seen.
func ExampleConsequences() {
	seen := actors.NewSubscription(100)
	policy := strategies.AlwaysRestart()
	tree, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Strategy: strategies.RestForOne(policy), Children: []actors.Child{
		answering("source", ""), answering("sink", ""),
	}}, actors.WithSubscription(seen))
	if err != nil {
		fmt.Println(err)
		return
	}
	tree.ActorSystem().Root.Send(tree.PID("root/source"), errSick) // on which it exits
	for tree.Snapshot().Children[1].Restarts == 0 {
		time.Sleep(time.Millisecond)
	}
	_ = tree.Stop(context.Background())

	var events []actors.Event
	var failure uint64
	for e := range seen.Events() {
		events = append(events, e)
		if e.Kind == actors.Exited && e.Class == actors.Crash {
			failure = e.Seq
		}
	}
	for _, e := range actors.Consequences(events, failure) {
		fmt.Println(e.Path, e.Kind)
	}
	// Output:
	// root/source exited
	// root/source failed
	// root/source group restart
	// root/sink exited
	// root/source started
	// root/sink started
}
