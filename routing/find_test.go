package routing_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

func TestATaskIsFoundByItsIDFromElsewhere(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		submitted := w.submit(1)
		found, err := double.Find(w.hub, submitted.ID())
		require.NoError(t, err)
		assert.Equal(t, routing.StateLeased, found.Status())
		s.settleOnly(routing.Done(2))
		out, err := await(t, found)
		require.NoError(t, err)
		assert.Equal(t, 2, out)
		settled, err := double.Find(w.hub, submitted.ID())
		require.NoError(t, err)
		out, err = await(t, settled)
		require.NoError(t, err)
		assert.Equal(t, 2, out)

		var conflict *routing.ConflictError
		_, err = shout.Find(w.hub, submitted.ID())
		assert.ErrorAs(t, err, &conflict)
	})
}

func TestResultsAreForgottenInTheOrderOfTheirSettlement(t *testing.T) {
	inWorld(t, routing.Options{Results: 2}, func(w *world) {
		s := w.join("a", 1, 3)
		handles := []*routing.Handle[int]{w.submit(1), w.submit(2), w.submit(3)}
		for _, l := range s.leases() {
			s.settle(l, routing.Done(2*l.Input().(int)))
		}
		var unknown *routing.UnknownTaskError
		_, err := double.Find(w.hub, handles[0].ID())
		require.ErrorAs(t, err, &unknown)
		assert.Equal(t, handles[0].ID(), unknown.ID)
		assert.ErrorContains(t, err, "forgotten")
		for _, handle := range handles[1:] {
			_, err := double.Find(w.hub, handle.ID())
			assert.NoError(t, err)
		}
		out, err := await(t, handles[0])
		require.NoError(t, err)
		assert.Equal(t, 2, out, "a handle keeps its outcome")
		_, err = double.Find(w.hub, "unheard-of")
		assert.ErrorAs(t, err, &unknown)
	})
}
