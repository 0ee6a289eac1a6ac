package actors

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
)

// What is left behind is among the leftovers before anybody hears that it has ended: the tree may end upon that.
func TestLeftBehindBeforeItHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{
			Actor("a", func() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) }),
		}})
		require.NoError(t, err)
		ended := tree.lookup("root/a").current().over()
		tree.leftovers.mu.Lock()
		go func() { _ = tree.Kill("root/a") }()
		pass()
		select {
		case <-ended:
			t.Error("it has ended, and isn't among the leftovers")
		default:
		}
		tree.leftovers.mu.Unlock()
		<-ended
		require.NoError(t, tree.Stop(context.Background()))
	})
}
