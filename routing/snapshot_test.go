package routing_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

// snapshotOf returns the data of the snapshot that the hub has of a path; "" if it has none.
func (w *world) snapshotOf(path string) string {
	s, _ := w.hub.Snapshot(routing.SpokeID{Path: path})
	return string(s.Data)
}

func TestSnapshotsAreKeptInTheOrderOfTheirNumbers(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		save := func(number uint64, data string) {
			require.NoError(w.t, s.Save(routing.AgentSnapshot{Number: number, Data: []byte(data)}))
		}
		save(2, "two")
		save(1, "one")
		require.Equal(w.t, "two", w.snapshotOf("a"))
		save(0, "the last yet")
		require.Equal(w.t, "the last yet", w.snapshotOf("a"))
		w.submit(1)
		s.settleOnly(routing.Done(2).With(routing.AgentSnapshot{Number: 1, Data: []byte("one")}))
		require.Equal(w.t, "the last yet", w.snapshotOf("a"))
		w.submit(1)
		s.settleOnly(routing.Done(2).With(routing.AgentSnapshot{Number: 3, Data: []byte("three")}))
		require.Equal(w.t, "three", w.snapshotOf("a"))

		s = w.join("a", 2, 1)
		save(1, "of the next incarnation")
		require.Equal(w.t, "of the next incarnation", w.snapshotOf("a"))
	})
}
