package actors

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
)

// All that were to be stopped together may have ended when it comes to that.
func TestStopTogetherWhenNoneIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tree, err := Start(t.Context(), Supervisor{ID: "root", Children: []Child{
			Supervisor{ID: "d", Template: Actor("a", func() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) })},
		}})
		require.NoError(t, err)
		in := tree.lookup("root/d").current()
		newSequence(in, newWatch(), 0, 0).stopTogether(nil)
		synctest.Wait()
		require.NoError(t, tree.Stop(context.Background()))
		time.Sleep(time.Second) // protoactor's dead letter throttle lives on for a moment
	})
}
