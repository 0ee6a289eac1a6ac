package routing_test

import (
	"fmt"
	"testing"
	"time"

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

// save has the agent at a path save a snapshot, and leaves it joined.
func (w *world) save(path, data string) *spoke {
	w.t.Helper()
	s := w.join(path, 1, 1)
	require.NoError(w.t, s.Save(routing.AgentSnapshot{Data: []byte(data)}))
	return s
}

func TestSnapshotsOfTheGoneDoNotPushOutThatOfAnAgentThatIsThere(t *testing.T) {
	inWorld(t, routing.Options{Snapshots: 3}, func(w *world) {
		w.save("stays", "of one that is there")
		for i := range 10 {
			w.save(fmt.Sprint("guest-", i), "x").Leave(nil)
		}
		require.Equal(w.t, "of one that is there", w.snapshotOf("stays"))
		for i := range 10 {
			require.Equal(w.t, i >= 7, w.snapshotOf(fmt.Sprint("guest-", i)) != "", "guest %d of 10", i)
		}
	})
}

// Nothing is dropped because many leave at a time: they may be back in a moment.
func TestSnapshotsStayWhenAllLeave(t *testing.T) {
	path := func(i int) string { return fmt.Sprint("agent-", i) }
	lives(t, routing.Options{Snapshots: 3},
		func(w *world) {
			var all []*spoke
			for i := range 10 {
				all = append(all, w.save(path(i), "x"))
				w.pass(time.Second)
			}
			for _, s := range all {
				s.Leave(nil)
			}
			w.hub.Close(nil)
		},
		func(w *world) {
			for i := range 10 {
				require.Equal(w.t, "x", w.snapshotOf(path(i)), path(i))
			}
			w.save("one-more", "x")
			require.Empty(w.t, w.snapshotOf(path(0)), "its agent has been away longest")
			require.Equal(w.t, "x", w.snapshotOf(path(1)))
		},
		func(w *world) {
			require.Empty(w.t, w.snapshotOf(path(0)))
			require.Equal(w.t, "x", w.snapshotOf("one-more"))
		},
	)
}

func TestASnapshotIsDropped(t *testing.T) {
	lives(t, routing.Options{},
		func(w *world) {
			w.save("there", "x")
			w.save("gone", "x").Leave(nil)
			for _, path := range []string{"there", "gone", "unknown"} {
				w.hub.DropSnapshot(path)
				require.Empty(w.t, w.snapshotOf(path))
			}
			w.join("there", 2, 1)
			w.save("kept", "x")
			w.hub.Close(nil)
			w.hub.DropSnapshot("kept")
		},
		func(w *world) {
			require.Empty(w.t, w.snapshotOf("there"))
			require.Empty(w.t, w.snapshotOf("gone"))
			require.Equal(w.t, "x", w.snapshotOf("kept"))
		},
	)
}
