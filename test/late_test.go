package test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// A handler that its agent has lost patience with may still panic, return or exit its goroutine: the process lives, the task is settled by another,
// and the next lease of the agent isn't touched.
func TestLaw5HandlerThatWasGivenUpHarmsNothing(t *testing.T) {
	for name, end := range map[string]func(){
		"panics": func() { panic("late") },
		"exits":  runtime.Goexit,
		"returns": func() {
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				deaf := routing.NewType[int, int]("deaf")
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.MaxRestarts(9, time.Minute)), Children: []actors.Child{
					actors.Agent("a", deaf, func(ctx context.Context, n int) (int, error) {
						if info, _ := routing.FromContext(ctx); n == 1 && info.Attempt == 1 {
							time.Sleep(time.Minute)
							end()
						}
						return n, nil
					}).With(actors.Lifecycle{Shutdown: time.Second}),
				}})
				first, err := deaf.Submit(t.Context(), tree, 1, routing.Timeout(time.Second))
				require.NoError(t, err)
				synctest.Wait()
				for n := 2; n < 5; n++ {
					got, err := deaf.Do(within(t, time.Hour), tree, n)
					require.NoError(t, err)
					require.Equal(t, n, got)
				}
				got, err := first.Await(within(t, time.Hour))
				require.NoError(t, err)
				require.Equal(t, 1, got)
				require.Len(t, tree.Abandoned(), 1)
				time.Sleep(2 * time.Minute)
				require.Empty(t, tree.Abandoned())
				stop(t, tree)
				requireNoGoroutines(t)
			})
		})
	}
}
