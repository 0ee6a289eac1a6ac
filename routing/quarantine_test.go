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

// poison submits a task that the next spoke crashes on, once, which is enough here.
func (w *world) poison(path string) *routing.Handle[int] {
	w.t.Helper()
	s := w.join(path, 1, 1)
	handle := w.submit(7)
	s.settleOnly(routing.Crashed(errBroken, nil))
	s.Leave(errBroken)
	require.Equal(w.t, routing.StateQuarantined, handle.Status())
	return handle
}

func TestRequeueGivesAQuarantinedTaskANewLife(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 1}, func(w *world) {
		old := w.poison("a")
		require.NoError(t, w.hub.Requeue(old.ID()))
		assert.Empty(t, w.hub.Quarantined())
		counts := w.hub.Counts()
		assert.EqualValues(t, 1, counts.Accepted)
		assert.EqualValues(t, 1, counts.Waiting)
		assert.Zero(t, counts.Quarantined)

		fresh := w.submit(0, routing.ID(old.ID()))
		s := w.join("b", 1, 1)
		assert.Equal(t, 7, s.only().Input())
		assert.Equal(t, 2, s.only().Attempt(), "attempts go on counting")
		s.settleOnly(routing.Done(14))
		out, err := await(t, fresh)
		require.NoError(t, err)
		assert.Equal(t, 14, out)
		_, err = await(t, old)
		assert.ErrorIs(t, err, routing.ErrQuarantined, "the old handle keeps its outcome")
		assert.ErrorIs(t, w.hub.Requeue(old.ID()), routing.ErrNotQuarantined)
	})
}

// Most are looked at late. Its input isn't thrown away, and it can be given more time.
func TestATaskWhoseDeadlinePassesInQuarantineStaysThere(t *testing.T) {
	for name, options := range map[string]routing.Options{
		"deadline": {QuarantineAfter: 1},
		"lifetime": {QuarantineAfter: 1, Types: map[string]routing.TypeOptions{double.Name(): {Lifetime: time.Hour}}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, options, func(w *world) {
				s := w.join("a", 1, 1)
				var submitted []routing.SubmitOption
				if name == "deadline" {
					submitted = append(submitted, in(time.Hour))
				}
				for _, id := range []string{"soon", "late"} {
					w.submit(7, append(submitted, routing.ID(id))...)
					s.settleOnly(routing.Crashed(errBroken, nil))
					s.Resume()
				}
				require.NoError(t, w.hub.Requeue("soon"), "its deadline is an hour away")
				synctest.Wait()
				s.settleOnly(routing.Done(14))
				w.pass(2 * time.Hour)
				require.ErrorIs(t, w.hub.Requeue("late"), routing.ErrExpired)
				require.ErrorIs(t, w.hub.RequeueUntil("late", time.Now()), routing.ErrExpired)
				require.Len(t, w.hub.Quarantined(), 1)

				require.NoError(t, w.hub.RequeueUntil("late", time.Now().Add(time.Minute)))
				synctest.Wait()
				assert.Equal(t, 7, s.only().Input())
				assert.True(t, s.only().Info().Deadline.Equal(time.Now().Add(time.Minute)))
				s.settleOnly(routing.Crashed(errBroken, nil))
				s.Resume()
				w.pass(time.Hour)
				require.NoError(t, w.hub.RequeueUntil("late", time.Time{}))
				synctest.Wait()
				w.pass(time.Hour)
				assert.Zero(t, s.only().Info().Deadline)
				s.settleOnly(routing.Done(14))
				assert.Equal(t, routing.StateDone, w.inspect("late").State)
			})
		})
	}
}

func TestRequeueNeedsRoomAndAnOpenHub(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 1, Capacity: 1}, func(w *world) {
		handle := w.poison("a")
		other := w.submit(1)
		var full *routing.QueueFullError
		assert.ErrorAs(t, w.hub.Requeue(handle.ID()), &full)
		other.Cancel(nil)
		w.hub.Close(nil)
		assert.ErrorIs(t, w.hub.Requeue(handle.ID()), routing.ErrClosed)
		assert.Len(t, w.hub.Quarantined(), 1, "it can still be inspected")
	})
}

func TestDiscardGivesATaskUp(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 1}, func(w *world) {
		handle := w.poison("a")
		require.NoError(t, w.hub.Discard(handle.ID()))
		assert.Empty(t, w.hub.Quarantined())
		assert.ErrorIs(t, w.hub.Discard(handle.ID()), routing.ErrNotQuarantined)
		assert.ErrorIs(t, w.hub.Requeue(handle.ID()), routing.ErrNotQuarantined)
		assert.ErrorIs(t, w.hub.Discard("unheard-of"), routing.ErrNotQuarantined)
		snapshot, known := w.hub.Inspect(handle.ID())
		assert.True(t, known)
		assert.Equal(t, routing.StateQuarantined, snapshot.State)
		assert.EqualValues(t, 1, w.hub.Counts().Quarantined)
	})
}

func TestAFullQuarantineDiscardsItsOldest(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 1, Quarantine: 1}, func(w *world) {
		first, second := w.poison("a"), w.poison("b")
		discarded := w.kinds(routing.EventDiscarded)
		require.Len(t, discarded, 1)
		assert.Equal(t, first.ID(), discarded[0].Task)
		assert.Equal(t, second.ID(), w.hub.Quarantined()[0].ID)
	})
}

func TestAStackThatCannotBeFormattedSaysSo(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 1}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		s.settleOnly(routing.Crashed(errBroken, func() string { panic("no stack") }))
		assert.Equal(t, "stack not available: no stack", w.hub.Quarantined()[0].Attempts[0].Stack())
	})
}

func TestAPayloadOfAnotherTypeIsAPermanentError(t *testing.T) {
	handler := routing.HandlerOf(double, func(_ context.Context, n int) (int, error) { return n, nil })
	assert.Equal(t, "double", handler.Type())
	_, err := handler.Run(context.Background(), "seven")
	assert.True(t, routing.IsPermanent(err))
	assert.ErrorContains(t, err, `task type "double" takes int, but the payload is a string`)
	_, err = handler.Run(context.Background(), nil)
	assert.True(t, routing.IsPermanent(err))

	anything := routing.HandlerOf(routing.NewType[any, error]("any"), func(_ context.Context, in any) (error, error) { return nil, nil })
	out, err := anything.Run(context.Background(), nil)
	assert.NoError(t, err, "nil is a value of an interface type")
	assert.Nil(t, out)
}

func TestAResultOfAnotherTypeIsAClearError(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		s.settleOnly(routing.Done("two"))
		_, err := await(t, handle)
		assert.ErrorContains(t, err, "returned a string, not the int")
	})
}

func TestJoinNamesEveryFault(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		_, err := w.hub.Join(routing.SpokeSpec{Types: []string{"a", "a", "b c"}, Credits: -1})
		for _, part := range []string{"ID.Path: path is empty", `Types has "a" twice`, `"b c" has spaces`, "Credits is -1", "Deliver is nil"} {
			assert.ErrorContains(t, err, part)
		}
		_, err = w.hub.Join(routing.SpokeSpec{})
		assert.ErrorContains(t, err, "Types is empty")
		assert.ErrorContains(t, w.hub.Declare("", "x"), "task type is empty")
	})
}

func TestADeliveryThatPanicsMakesItsSpokeLeave(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		bad := func(*routing.Lease) { panic("cannot take it") }
		_, err := w.hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "bad"}, Types: []string{"double"}, Deliver: bad})
		require.NoError(t, err)
		handle := w.submit(1)
		left := w.kinds(routing.EventSpokeLeft)
		require.Len(t, left, 1)
		assert.ErrorContains(t, left[0].Err, "cannot take it")
		assert.Equal(t, routing.StateWaiting, handle.Status())
		w.join("good", 1, 1).settleOnly(routing.Done(2))
		assert.Equal(t, routing.StateDone, handle.Status())
	})
}

func TestAPausedSpokeFinishesWhatItHasAndGetsNothingNew(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		next := w.submit(2)
		s.Pause()
		s.settleOnly(routing.Done(2))
		s.holdsNothing()
		s.Resume()
		synctest.Wait()
		assert.Equal(t, next.ID(), s.only().ID())
	})
}

func TestASpokeOfSeveralTypesPullsTheOldestTask(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1, "double", "shout")
		w.submit(1)
		loud, err := shout.Submit(context.Background(), w.hub, "x")
		require.NoError(t, err)
		quiet := w.submit(2)
		s.settleOnly(routing.Done(2))
		assert.Equal(t, loud.ID(), s.only().ID())
		s.settleOnly(routing.Done("X"))
		assert.Equal(t, quiet.ID(), s.only().ID())
	})
}
