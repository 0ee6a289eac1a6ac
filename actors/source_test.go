package actors_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
)

// A tree keeps no second copy of what its children were made from, and still knows how they were given.
func TestChildSpecOfASupervisorHasItsChildrenAsGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		given := []actors.Child{
			answering("a", "a").With(actors.Lifecycle{Restart: actors.Transient, Shutdown: time.Second}),
			answering("b", "b"),
		}
		tree, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Supervisor{ID: "sup", Children: given},
			actors.Supervisor{ID: "none"},
		}})
		require.NoError(t, err)
		defer tree.Stop(context.Background())
		spec, err := tree.ChildSpec(t.Context(), "root/sup")
		require.NoError(t, err)
		children := spec.(actors.Supervisor).Children
		require.Len(t, children, len(given))
		for i, child := range children {
			is, want := child.(actors.ActorSpec), given[i].(actors.ActorSpec)
			require.NotNil(t, is.Producer)
			is.Producer, want.Producer = nil, nil
			require.Equal(t, want, is)
		}
		spec, err = tree.ChildSpec(t.Context(), "root/none")
		require.NoError(t, err)
		require.Empty(t, spec.(actors.Supervisor).Children)
	})
}
