package actors_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var Double = routing.NewType[int, int]("double")

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n int
		echo := func() actor.Actor {
			return actor.ReceiveFunc(func(ctx actor.Context) {
				switch m := ctx.Message().(type) {
				case string:
					n++
					if m == "boom" {
						panic(errors.New("boom"))
					}
					ctx.Respond("re: " + m)
				}
			})
		}
		tree, err := actors.Start(context.Background(), actors.Supervisor{
			ID: "root",
			Children: []actors.Child{
				actors.Actor("echo", echo),
				actors.Supervisor{ID: "work", Strategy: strategies.OneForOne(strategies.ExponentialBackoff()), Children: []actors.Child{
					actors.Pool(3, actors.Agent("doubler", Double, func(ctx context.Context, i int) (int, error) {
						info, _ := routing.FromContext(ctx)
						if i == 13 && info.Attempt < 3 {
							panic("unlucky")
						}
						return 2 * i, nil
					})),
				}},
			},
		})
		require.NoError(t, err)
		sub := tree.Subscribe(1000)
		pid := tree.PID("root/echo")
		got, err := actors.Ask[string](t.Context(), tree, pid, "hi")
		require.NoError(t, err)
		require.Equal(t, "re: hi", got)
		tree.ActorSystem().Root.Send(pid, "boom")
		got, err = actors.Ask[string](t.Context(), tree, pid, "again")
		require.NoError(t, err)
		require.Equal(t, "re: again", got)
		for i := range 20 {
			v, err := Double.Do(t.Context(), tree, i)
			require.NoError(t, err)
			require.Equal(t, 2*i, v)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, tree.Stop(ctx))
		for e := range sub.Events() {
			if e.Kind != actors.TaskChanged {
				fmt.Println(e.Seq, e)
			}
		}
	})
}
