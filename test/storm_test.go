package test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

type collapse struct{}

// crasher answers anything, and crashes when it is told to.
func crasher() actor.Actor {
	return actor.ReceiveFunc(func(ctx actor.Context) {
		switch ctx.Message().(type) {
		case collapse:
			panic("told to")
		case string:
			ctx.Respond("up")
		}
	})
}

// A storm over many supervisors is slowed down to the tree's rate; each supervisor's own budget is untouched by that, and what is healthy answers all the
// while.
func TestRestartRateSlowsAStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const supervisors, burst = 20, 5
		root := actors.Supervisor{ID: "root", Children: []actors.Child{actors.Actor("healthy", crasher)}}
		for i := range supervisors {
			root.Children = append(root.Children, actors.Supervisor{
				ID: fmt.Sprint("s", i), Strategy: strategies.OneForOne(strategies.MaxRestarts(1, time.Hour)),
				Children: []actors.Child{actors.Actor("c", crasher)},
			})
		}
		tree, err := actors.Start(t.Context(), root, actors.WithRestartRate(burst, time.Second))
		require.NoError(t, err)
		starts := tree.Subscribe(1000, actors.Started)
		begun := time.Now()
		for i := range supervisors {
			tree.ActorSystem().Root.Send(tree.PID(fmt.Sprintf("root/s%d/c", i)), collapse{})
		}
		synctest.Wait()
		require.Len(t, starts.Events(), burst, "as many at a stretch")
		for range 3 {
			_, err := actors.Ask[string](t.Context(), tree, tree.PID("root/healthy"), "you?")
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		require.Len(t, starts.Events(), supervisors)
		require.NoError(t, tree.Stop(context.Background()))
		previous := time.Duration(0)
		for i := range supervisors {
			e := <-starts.Events()
			require.EqualValues(t, 2, e.Incarnation)
			after := e.Time.Sub(begun)
			if i >= burst {
				require.Equal(t, 200*time.Millisecond, after-previous, "start %d", i)
			}
			previous = after
		}
	})
}

func TestRestartRateIsValidated(t *testing.T) {
	_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root"}, actors.WithRestartRate(0, time.Second))
	var spec *actors.SpecError
	require.ErrorAs(t, err, &spec)
	require.Equal(t, "WithRestartRate", spec.Faults[0].Path)
}
