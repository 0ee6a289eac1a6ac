package test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// A hub that drains while it is paused, and whose pool shrinks to one and grows again meanwhile, settles all that it has once it goes on.
func TestAPausedHubDrainsWhileItsPoolIsResized(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.AlwaysRestart()), Children: []actors.Child{
			actors.Pool(4, actors.Agent("w", job, nap)),
		}})
		handles := submitted(t, tree, 20)
		require.EqualValues(t, 4, tree.Hub().Counts().Leased)
		tree.Hub().Pause()
		drained := make(chan error, 1)
		go func() { drained <- tree.Hub().Drain(within(t, 24*time.Hour)) }()
		synctest.Wait()
		require.NoError(t, tree.Resize(t.Context(), "root/w", 1), "they finish what they have")
		require.Len(t, tree.Hub().Spokes(), 1)
		time.Sleep(time.Hour)
		require.Empty(t, drained)
		c := tree.Hub().Counts()
		require.Zero(t, c.Leased)
		require.EqualValues(t, 16, c.Waiting)
		require.NoError(t, tree.Resize(t.Context(), "root/w", 3))
		_, err := job.Submit(t.Context(), tree, 1)
		require.ErrorIs(t, err, routing.ErrClosed)
		require.NoError(t, tree.Kill("root/$hub"))
		time.Sleep(time.Hour)
		require.Empty(t, drained, "it is still paused")

		tree.Hub().Resume()
		require.NoError(t, <-drained)
		awaitMany(t, handles)
		require.Len(t, tree.Hub().Spokes(), 3)
		for _, s := range tree.Hub().Spokes() {
			require.False(t, s.Paused, fmt.Sprint(s))
		}
		require.EqualValues(t, 20, tree.Hub().Counts().Attempts, "nothing was begun twice")
		require.NoError(t, tree.Stop(context.Background()))
	})
}
