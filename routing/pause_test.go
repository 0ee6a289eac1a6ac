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

func TestAPausedHubAcceptsAndSettlesButStartsNothing(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		running := w.submit(1)
		w.hub.Pause()
		assert.True(t, w.hub.Counts().Paused)
		waiting, short := w.submit(2), w.submit(3, in(time.Minute))
		s.settleOnly(routing.Done(2))
		assert.Equal(t, routing.StateDone, running.Status())
		s.holdsNothing()
		w.join("b", 1, 1).holdsNothing()
		w.pass(time.Minute)
		assert.Equal(t, routing.StateExpired, short.Status(), "time goes on")
		w.hub.Pause()
		w.hub.Resume()
		synctest.Wait()
		assert.Equal(t, routing.StateLeased, waiting.Status())
		assert.Len(t, w.kinds(routing.EventPaused, routing.EventResumed), 2, "pausing what is paused is no news")
	})
}

func TestAPausedTypeStartsNothingAndOthersGoOn(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1, "double", "shout")
		require.NoError(t, w.hub.PauseType("double"))
		waiting := w.submit(1)
		s.holdsNothing()
		for _, text := range []string{"x", "y"} { // one is given to an idle spoke, one pulled
			_, err := shout.Submit(context.Background(), w.hub, text)
			require.NoError(t, err)
		}
		synctest.Wait()
		assert.Equal(t, []any{"x", "y"}, s.inputs())
		assert.Equal(t, []routing.TypeStatus{
			{Name: "double", Unsettled: 1, Ready: 1, Spokes: 1, Paused: true},
			{Name: "shout", Spokes: 1},
		}, w.hub.Types())
		require.NoError(t, w.hub.ResumeType("double"))
		synctest.Wait()
		assert.Equal(t, routing.StateLeased, waiting.Status())

		var unknown *routing.UnknownTypeError
		assert.ErrorAs(t, w.hub.PauseType("unheard-of"), &unknown)
		assert.ErrorAs(t, w.hub.ResumeType("unheard-of"), &unknown)
	})
}

func TestASpokePausedByItsPathStaysSoThroughItsIncarnations(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		require.NoError(t, w.hub.PauseSpoke("a"))
		require.NoError(t, w.hub.PauseSpoke("a"))
		handle := w.submit(2)
		s.settleOnly(routing.Done(2))
		s.holdsNothing()
		s.Resume() // of Pause, not of PauseSpoke
		synctest.Wait()
		s.holdsNothing()
		s = w.join("a", 2, 3)
		s.holdsNothing()
		assert.Equal(t, []routing.SpokeStatus{{ID: s.ID(), Types: []string{"double"}, Credits: 3, Paused: true}}, w.hub.Spokes())
		require.NoError(t, w.hub.ResumeSpoke("a"))
		synctest.Wait()
		assert.Equal(t, routing.StateLeased, handle.Status())
		assert.Equal(t, []routing.SpokeStatus{{ID: s.ID(), Types: []string{"double"}, Credits: 3, Leases: 1}}, w.hub.Spokes())
		require.NoError(t, w.hub.ResumeSpoke("a"))

		require.NoError(t, w.hub.PauseSpoke("a"))
		s.Leave(nil)
		require.NoError(t, w.hub.ResumeSpoke("a"), "it may be resumed while it is away")
		var unknown *routing.UnknownSpokeError
		assert.ErrorAs(t, w.hub.PauseSpoke("a"), &unknown)
		assert.ErrorAs(t, w.hub.ResumeSpoke("a"), &unknown)
		synctest.Wait()
		assert.Len(t, w.kinds(routing.EventPaused, routing.EventResumed), 4)
	})
}

func TestTypesDoNotCountWhoIsNotAccepted(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 1, Types: map[string]routing.TypeOptions{"double": {Capacity: 7}}}, func(w *world) {
		w.submit(1)
		w.blocked(context.Background(), 2) // has a place of its type, but not one of the hub
		assert.Equal(t, routing.TypeStatus{Name: "double", Unsettled: 1, Capacity: 7, Ready: 1}, w.hub.Types()[0])
	})
}

// drain drains a spoke from a goroutine of its own.
func (s *spoke) drain(ctx context.Context) (outcome func() (err error, done bool)) {
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		err = s.Drain(ctx)
	}()
	synctest.Wait()
	return func() (error, bool) {
		synctest.Wait()
		select {
		case <-done:
			return err, true
		default:
			return nil, false
		}
	}
}

func TestADrainedSpokeFinishesWhatItHoldsAndTakesNothingNew(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 2)
		w.submit(1)
		w.submit(2)
		waiting := w.submit(3)
		first, second := s.drain(context.Background()), s.drain(context.Background())
		s.settle(s.leases()[0], routing.Done(0))
		_, done := first()
		assert.False(t, done)
		s.settleOnly(routing.Error(errBroken))
		for _, outcome := range []func() (error, bool){first, second, s.drain(context.Background())} {
			err, done := outcome()
			assert.True(t, done)
			assert.NoError(t, err)
		}
		assert.Equal(t, routing.StateWaiting, waiting.Status())
		s.Resume()
		synctest.Wait()
		assert.NotEmpty(t, s.leases())
	})
}

func TestADrainEndsWithItsContextOrItsSpoke(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		ctx, cancel := context.WithCancelCause(context.Background())
		hasty, patient := s.drain(ctx), s.drain(context.Background())
		cancel(errBroken)
		err, done := hasty()
		assert.True(t, done)
		assert.ErrorIs(t, err, errBroken)
		assert.ErrorContains(t, err, "it still holds 1 leases")
		_, done = patient()
		assert.False(t, done)
		s.Leave(nil)
		err, done = patient()
		assert.True(t, done)
		assert.NoError(t, err)
	})
}
