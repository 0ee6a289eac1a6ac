package routing_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

// broadcasting is a broadcast that goes on.
type broadcasting struct {
	replies []routing.Reply[int]
	err     error
	done    bool
}

func (w *world) broadcast(ctx context.Context, options ...routing.SubmitOption) *broadcasting {
	b := &broadcasting{}
	go func() {
		b.replies, b.err = double.Broadcast(ctx, w.hub, 1, options...)
		b.done = true
	}()
	synctest.Wait()
	return b
}

func TestABroadcastGoesToAllSpokesOfTheTypeAndGathersTheirResults(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		a, b, other := w.join("a", 1, 1), w.join("b", 3, 2), w.join("other", 1, 1, shout.Name())
		paused := w.join("paused", 1, 1)
		paused.Pause()
		all := w.broadcast(context.Background())
		other.holdsNothing()
		paused.holdsNothing()
		a.settleOnly(routing.Done(10))
		b.settleOnly(routing.Error(routing.Permanent(errBroken)))
		assert.False(t, all.done, "one is paused")
		paused.Resume()
		synctest.Wait()
		paused.settleOnly(routing.Done(30))
		require.True(t, all.done)
		require.NoError(t, all.err)
		require.Len(t, all.replies, 3)
		assert.Equal(t, routing.Reply[int]{Spoke: a.ID(), Out: 10}, all.replies[0])
		assert.Equal(t, b.ID(), all.replies[1].Spoke)
		assert.ErrorIs(t, all.replies[1].Err, errBroken)
		assert.Equal(t, routing.Reply[int]{Spoke: paused.ID(), Out: 30}, all.replies[2])
		counts := w.hub.Counts()
		assert.EqualValues(t, 3, counts.Accepted)
		assert.EqualValues(t, 2, counts.Done)
		assert.EqualValues(t, 1, counts.Failed)
	})
}

func TestASpokeThatDiesDuringABroadcastIsReported(t *testing.T) {
	for name, die := range map[string]func(*spoke){
		"leaves with it":       func(s *spoke) { s.Leave(errBroken) },
		"crashes on it":        func(s *spoke) { s.crash("stack") },
		"leaves in a backoff":  func(s *spoke) { s.settleOnly(routing.Error(errBroken)); s.Leave(errBroken) },
		"is replaced":          func(s *spoke) { s.w.join(s.ID().Path, 2, 1) },
		"leaves before it got": func(s *spoke) { s.Leave(errBroken) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{}, func(w *world) {
				a, b := w.join("a", 1, 1), w.join("b", 1, 1)
				if name == "leaves before it got" {
					b.Pause()
				}
				all := w.broadcast(context.Background())
				die(b)
				synctest.Wait()
				a.settleOnly(routing.Done(10))
				require.True(t, all.done)
				assert.NoError(t, all.replies[0].Err)
				var ended *routing.TaskError
				require.ErrorAs(t, all.replies[1].Err, &ended)
				assert.Equal(t, routing.StateFailed, ended.State)
				assert.ErrorIs(t, ended, routing.ErrSpokeGone)
				w.pass(time.Minute)
				for _, s := range w.hub.Spokes() {
					assert.Zero(t, s.Leases, "it is not tried elsewhere, nor by the next incarnation")
				}
			})
		})
	}
}

func TestAnErrorIsTriedAgainOnTheSameSpoke(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		a := w.join("a", 1, 1)
		w.join("b", 1, 1).Leave(nil)
		all := w.broadcast(context.Background())
		idle := w.join("c", 1, 1)
		a.settleOnly(routing.Error(errBroken))
		w.pass(time.Second)
		idle.holdsNothing()
		a.settleOnly(routing.Done(2))
		require.True(t, all.done)
		assert.Equal(t, []routing.Reply[int]{{Spoke: a.ID(), Out: 2}}, all.replies)
	})
}

func TestTheEndOfItsContextCancelsWhatIsLeftOfABroadcast(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		a, b := w.join("a", 1, 1), w.join("b", 1, 1)
		ctx, cancel := context.WithCancelCause(context.Background())
		all := w.broadcast(ctx)
		b.settleOnly(routing.Done(20))
		lease := a.only()
		running := lease.Context(context.Background())
		cancel(errBroken)
		synctest.Wait()
		require.True(t, all.done)
		assert.ErrorIs(t, all.replies[0].Err, routing.ErrCancelled)
		assert.ErrorIs(t, all.replies[0].Err, errBroken)
		assert.Equal(t, routing.Reply[int]{Spoke: b.ID(), Out: 20}, all.replies[1])
		assert.Equal(t, errBroken, context.Cause(running))
		assert.False(t, a.settle(lease, routing.Done(10)))
	})
}

func TestABroadcastWithoutSpokesHasNoReplies(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		replies, err := double.Broadcast(context.Background(), w.hub, 1)
		require.NoError(t, err)
		require.Empty(t, replies)
		_, err = routing.NewType[int, int]("strange").Broadcast(context.Background(), w.hub, 1)
		var unknown *routing.UnknownTypeError
		require.ErrorAs(t, err, &unknown)
		w.hub.Close(nil)
		_, err = double.Broadcast(context.Background(), w.hub, 1)
		require.ErrorIs(t, err, routing.ErrClosed)
	})
}

func TestAPartThatIsRefusedIsReported(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
		a, b := w.join("a", 1, 1), w.join("b", 1, 1)
		all := w.broadcast(context.Background())
		a.settleOnly(routing.Done(1))
		b.holdsNothing()
		require.True(t, all.done)
		assert.NoError(t, all.replies[0].Err)
		var full *routing.QueueFullError
		assert.ErrorAs(t, all.replies[1].Err, &full)
	})
}

func TestAPartThatWaitsForRoomWhileItsSpokeLeavesIsReported(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
		a, b := w.join("a", 1, 1), w.join("b", 1, 1)
		all := w.broadcast(context.Background(), routing.Wait())
		b.Leave(nil)
		a.settleOnly(routing.Done(1))
		require.True(t, all.done)
		assert.NoError(t, all.replies[0].Err)
		assert.ErrorIs(t, all.replies[1].Err, routing.ErrSpokeGone)
	})
}

func TestABroadcastWithTheSameIDIsTheSame(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		a, b := w.join("a", 1, 1), w.join("b", 1, 1)
		first := w.broadcast(context.Background(), routing.ID("once"))
		second := w.broadcast(context.Background(), routing.ID("once"))
		a.settleOnly(routing.Done(1))
		b.settleOnly(routing.Done(2))
		require.True(t, first.done && second.done)
		assert.Equal(t, first.replies, second.replies)
		assert.EqualValues(t, 2, w.hub.Counts().Accepted)
		_, ok := w.hub.Inspect("once@a")
		assert.True(t, ok)
	})
}

func TestAHandlerMayBroadcastToItsOwnKind(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		for _, path := range []string{"a", "b", "c"} {
			w.serve(path, func(ctx context.Context, n int) (int, error) {
				if n == 0 {
					return 1, nil
				}
				replies, err := double.Broadcast(ctx, w.hub, 0)
				sum := 0
				for _, r := range replies {
					if r.Err != nil {
						return 0, r.Err
					}
					sum += r.Out
				}
				return sum, err
			})
		}
		got, err := double.Do(context.Background(), w.hub, 1)
		require.NoError(t, err)
		require.Equal(t, 3, got)
	})
}
