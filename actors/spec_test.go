package actors_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var Double = routing.NewType[int, int]("double")

func double(_ context.Context, n int) (int, error) { return 2 * n, nil }

// Every fault is reported at once, with its path and its bound.
func TestSpecFaults(t *testing.T) {
	ok := answering("ok", "")
	life := func(l actors.Lifecycle) actors.Child { return ok.With(l) }
	tests := []struct {
		name   string
		root   actors.Supervisor
		opts   []actors.Option
		faults [][2]string // path, and part of the problem
	}{
		{"no ID", actors.Supervisor{}, nil, [][2]string{{"", "ID is empty"}}},
		{"no ID further down", actors.Supervisor{ID: "r", Children: []actors.Child{actors.Supervisor{}}}, nil, [][2]string{{"r/", "ID is empty"}}},
		{"bad IDs", actors.Supervisor{ID: "a/b", Children: []actors.Child{answering("c@d", ""), answering("$e", "")}}, nil,
			[][2]string{{"a/b", "'/'"}, {"a/b/c@d", "'@'"}, {"a/b/$e", "'$'"}}},
		{"paths of agents", actors.Supervisor{ID: "no\u00a0break", Children: []actors.Child{ok, actors.Agent("a", Double, double)}}, nil, [][2]string{{"no\u00a0break/a", "unprintable"}}},
		{"long path of an agent", actors.Supervisor{ID: "r", Children: []actors.Child{actors.Agent(strings.Repeat("x", 4095), Double, double)}}, nil,
			[][2]string{{"r/" + strings.Repeat("x", 4095), "at most 4096"}}},
		{"restart type", actors.Supervisor{ID: "r", Children: []actors.Child{life(actors.Lifecycle{Restart: 9})}}, nil, [][2]string{{"r/ok", "Restart is 9"}}},
		{"significant and permanent", actors.Supervisor{ID: "r", AutoShutdown: actors.AutoShutdownAny, Children: []actors.Child{life(actors.Lifecycle{Significant: true})}}, nil,
			[][2]string{{"r/ok", "Transient or Temporary"}}},
		{"significant without auto-shutdown", actors.Supervisor{ID: "r", Children: []actors.Child{life(actors.Lifecycle{Significant: true, Restart: actors.Transient})}}, nil,
			[][2]string{{"r/ok", "AutoShutdown"}}},
		{"overflow and queue", actors.Supervisor{ID: "r", Children: []actors.Child{life(actors.Lifecycle{Overflow: 5, Queue: -1})}}, nil,
			[][2]string{{"r/ok", "Overflow is 5"}, {"r/ok", "Queue is -1, must be at least 1"}}},
		{"times", actors.Supervisor{ID: "r", Children: []actors.Child{life(actors.Lifecycle{Shutdown: -time.Second, StartTimeout: -1})}}, nil,
			[][2]string{{"r/ok", "Shutdown is -1s"}, {"r/ok", "StartTimeout is -1ns"}}},
		{"twice, and nil", actors.Supervisor{ID: "r", Children: []actors.Child{ok, ok, nil}}, nil, [][2]string{{"r", "Children[2] is nil"}, {"r/ok", "ID is used twice"}}},
		{"strategy", actors.Supervisor{ID: "r", Strategy: strategies.OneForAll(strategies.RestartPolicy{MaxRestarts: -5, Window: -1})}, nil,
			[][2]string{{"r", "MaxRestarts is -5"}}},
		{"auto-shutdown", actors.Supervisor{ID: "r", AutoShutdown: 7}, nil, [][2]string{{"r", "AutoShutdown is 7"}}},
		{"template", actors.Supervisor{ID: "r", Strategy: strategies.RestForOne(strategies.RestartPolicy{}), Template: ok, Children: []actors.Child{ok}}, nil,
			[][2]string{{"r", "excludes Children"}, {"r", "one_for_one, not rest_for_one"}}},
		{"template of many", actors.Supervisor{ID: "r", Template: actors.Pool(2, actors.Agent("p", Double, double))}, nil, [][2]string{{"r", "2 children, must be one"}}},
		{"significant template", actors.Supervisor{ID: "r", AutoShutdown: actors.AutoShutdownAny, Template: life(actors.Lifecycle{Significant: true, Restart: actors.Transient})}, nil,
			[][2]string{{"r/ok", "instances"}}},
		{"agent", actors.Supervisor{ID: "r", Children: []actors.Child{actors.AgentSpec{ID: "a", Credits: -1}}}, nil,
			[][2]string{{"r/a", "New is nil"}, {"r/a", "Types is empty"}, {"r/a", "Credits is -1"}}},
		{"pool", actors.Supervisor{ID: "r", Children: []actors.Child{actors.Pool(0, actors.Agent("p", Double, double))}}, nil, [][2]string{{"r/p", "pool of 0, must be at least 1"}}},
		{"actor", actors.Supervisor{ID: "r", Children: []actors.Child{actors.ActorSpec{ID: "a"}}}, nil, [][2]string{{"r/a", "Producer is nil"}}},
		{"breaker", actors.Supervisor{ID: "r", Children: []actors.Child{actors.Breaker{ID: "b", Config: breaker.Config{ResetTimeout: -1}}}}, nil, [][2]string{{"r/b", "ResetTimeout"}}},
		{"options", actors.Supervisor{ID: "r"}, []actors.Option{actors.WithAbandonLimit(-1), actors.WithPolicy(actors.KindAgent, strategies.RestartPolicy{})},
			[][2]string{{"WithAbandonLimit", "at least 0"}, {"WithPolicy(agent)", "KindRoot and KindSupervisor"}}},
		{"policy", actors.Supervisor{ID: "r"}, []actors.Option{actors.WithPolicy(actors.KindRoot, strategies.RestartPolicy{MaxRestarts: -2})},
			[][2]string{{"WithPolicy(root)", "MaxRestarts is -2"}}},
		{"hub", actors.Supervisor{ID: "r"}, []actors.Option{actors.WithHub(routing.Options{Capacity: -1})}, [][2]string{{"WithHub", "Capacity is -1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events := actors.NewSubscription(1)
			_, err := actors.Start(t.Context(), tt.root, append(tt.opts, actors.WithSubscription(events))...)
			var faults *actors.SpecError
			require.ErrorAs(t, err, &faults)
			_, open := <-events.Events()
			require.False(t, open, "nobody waits for events of a tree that will never be")
			for _, want := range tt.faults {
				found := false
				for _, f := range faults.Faults {
					if f.Path == want[0] {
						require.Contains(t, err.Error(), want[1])
						found = true
					}
				}
				require.True(t, found, "no fault at %q: %v", want[0], err)
			}
		})
	}
}

func TestFaultsOfAWholeTreeAreReportedAtOnce(t *testing.T) {
	_, err := actors.Start(t.Context(), actors.Supervisor{ID: "r", Children: []actors.Child{
		actors.ActorSpec{ID: "a"},
		actors.Supervisor{ID: "s", Children: []actors.Child{actors.AgentSpec{ID: "b"}, answering("c", "").With(actors.Lifecycle{Queue: -3})}},
		actors.Breaker{},
	}})
	var faults *actors.SpecError
	require.ErrorAs(t, err, &faults)
	var at []string
	for _, f := range faults.Faults {
		at = append(at, f.Path)
	}
	require.Equal(t, []string{"r/a", "r/s/b", "r/s/b", "r/s/c", "r/"}, at)
}
