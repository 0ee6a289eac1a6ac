package actors

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// Code that has returned isn't left behind, even if its agent ends at once because of what it said.
func TestCodeBesideAnAgentIsBackBeforeItIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{
			Agent("w", echo, func(_ context.Context, n int) (int, error) { return n, nil }),
		}})
		require.NoError(t, err)
		a := tree.lookup("root/w").ref.current.body.(*agent)
		for _, run := range []func(){func() {}, runtime.Goexit} {
			left := -1
			a.goAside(run, func() {
				for j := range a.close(ErrKilled) {
					j.stray.leftBehind()
				}
				left = len(tree.leftovers.left)
			})
			synctest.Wait()
			require.Zero(t, left)
		}
		require.NoError(t, tree.Stop(t.Context()))
	})
}
