package routing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

var errBroken = errors.New("broken")

type notNow time.Duration

func (e notNow) Error() string             { return "overloaded" }
func (e notNow) RetryAfter() time.Duration { return time.Duration(e) }

func TestDoneGivesTheSubmitterTheResult(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(21)
		lease := s.only()
		assert.Equal(t, 21, lease.Input())
		assert.Equal(t, "double", lease.Type())
		assert.Equal(t, 1, lease.Attempt())
		assert.Equal(t, handle.ID(), lease.ID())
		assert.Equal(t, routing.StateLeased, handle.Status())
		s.settleOnly(routing.Done(42))
		out, err := await(t, handle)
		require.NoError(t, err)
		assert.Equal(t, 42, out)
		assert.Equal(t, routing.StateDone, handle.Status())
		s.holdsNothing()
	})
}

func TestDoSubmitsAndAwaits(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		w.serve("a", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
		out, err := double.Do(context.Background(), w.hub, 4)
		require.NoError(t, err)
		assert.Equal(t, 8, out)
	})
}

func TestDoCancelsTheTaskWhenItsContextEnds(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(time.Second, func() { cancel(errBroken) })
		_, err := double.Do(ctx, w.hub, 1)
		assert.ErrorIs(t, err, routing.ErrCancelled)
		assert.ErrorIs(t, err, errBroken)
		assert.False(t, s.settle(s.only(), routing.Done(2)), "the late result is refused")
		assert.EqualValues(t, 1, w.hub.Counts().Cancelled)
	})
}

func TestDoOnAnothersTaskOnlyEndsItsOwnWait(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1, routing.ID("shared"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := double.Do(ctx, w.hub, 1, routing.ID("shared"))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		s.settleOnly(routing.Done(2))
		_, err = await(t, handle)
		assert.NoError(t, err)
	})
}

func TestAnErrorIsTriedAgainAfterTheBackoffUntilTheAttemptsAreUsedUp(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		for attempt := 1; attempt <= 3; attempt++ {
			assert.Equal(t, attempt, s.only().Attempt())
			s.settleOnly(routing.Error(fmt.Errorf("attempt %d: %w", attempt, errBroken)))
			if attempt < 3 {
				w.pass(time.Second - 1)
				s.holdsNothing()
				assert.Equal(t, routing.StateWaiting, handle.Status())
				w.pass(1)
			}
		}
		_, err := await(t, handle)
		assert.ErrorIs(t, err, routing.ErrFailed)
		assert.ErrorIs(t, err, errBroken)
		assert.ErrorContains(t, err, "attempt 3: broken")
		var taskErr *routing.TaskError
		require.ErrorAs(t, err, &taskErr)
		require.Len(t, taskErr.Attempts, 3)
		assert.EqualError(t, taskErr.Attempts[0].Err, "attempt 1: broken")
	})
}

func TestMaxAttemptsOfASubmitReplacesTheHubs(t *testing.T) {
	inWorld(t, routing.Options{MaxAttempts: 5}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1, routing.MaxAttempts(1))
		s.settleOnly(routing.Error(errBroken))
		assert.Equal(t, routing.StateFailed, handle.Status())
	})
}

func TestAPermanentErrorFailsAtOnce(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		s.settleOnly(routing.Error(fmt.Errorf("parse: %w", routing.Permanent(errBroken))))
		_, err := await(t, handle)
		assert.ErrorIs(t, err, routing.ErrFailed)
		assert.ErrorIs(t, err, errBroken)
		assert.True(t, routing.IsPermanent(err))
	})
}

func TestNotNowDelaysTheTaskAndChargesNothing(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		for range 50 {
			s.settleOnly(routing.Error(fmt.Errorf("llm: %w", notNow(time.Minute))))
			w.pass(time.Minute - 1)
			s.holdsNothing()
			w.pass(1)
		}
		snapshot, ok := w.hub.Inspect(handle.ID())
		require.True(t, ok)
		assert.Zero(t, snapshot.Errors)
		assert.Zero(t, snapshot.Strikes)
		assert.Equal(t, 51, snapshot.Attempt)
		assert.Len(t, snapshot.Attempts, 32, "the history is bounded")
		assert.Equal(t, 19, snapshot.Forgotten)
		s.settleOnly(routing.Done(2))
		assert.Equal(t, routing.StateDone, handle.Status())
	})
}

func TestNotNowIsBoundedByTheDeadlineOnly(t *testing.T) {
	inWorld(t, routing.Options{MaxAttempts: 1, QuarantineAfter: 1}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1, in(time.Hour))
		for range 59 {
			s.settleOnly(routing.Error(notNow(time.Minute)))
			w.pass(time.Minute)
		}
		s.settleOnly(routing.Error(notNow(24 * time.Hour)))
		w.pass(time.Minute - 1)
		assert.Equal(t, routing.StateWaiting, handle.Status())
		w.pass(1)
		assert.Equal(t, routing.StateExpired, handle.Status())
		s.holdsNothing()
	})
}

func TestNotNowWithoutATimeWaitsForTheShortestBackoff(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		s.settleOnly(routing.Error(notNow(0)))
		s.holdsNothing()
		w.pass(time.Second)
		s.only()
	})
}

func TestThreeStrikesAndTheTaskIsQuarantinedWithTheStackOfEach(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		s = s.crash("stack one")
		w.pass(time.Second)
		s.settleOnly(routing.Hung(errBroken))
		s.Resume()
		w.pass(time.Second)
		s.crash("stack three")
		_, err := await(t, handle)
		assert.ErrorIs(t, err, routing.ErrQuarantined)

		quarantined := w.hub.Quarantined()
		require.Len(t, quarantined, 1)
		task := quarantined[0]
		assert.Equal(t, handle.ID(), task.ID)
		assert.Equal(t, 3, task.Strikes)
		require.Len(t, task.Attempts, 3)
		assert.Equal(t, "stack one", task.Attempts[0].Stack())
		assert.Equal(t, routing.SpokeID{Path: "a", Incarnation: 1}, task.Attempts[0].Spoke)
		assert.Equal(t, routing.OutcomeHung, task.Attempts[1].Outcome)
		assert.Equal(t, "stack three", task.Attempts[2].Stack())
		assert.Equal(t, routing.SpokeID{Path: "a", Incarnation: 2}, task.Attempts[2].Spoke)
		assert.Equal(t, time.Second, task.Attempts[1].Start.Sub(task.Attempts[0].End))
	})
}

func TestErrorsDoNotCountTowardsQuarantineNorCrashesTowardsFailure(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		for range 2 {
			s.settleOnly(routing.Error(errBroken))
			w.pass(time.Second)
			s = s.crash("x")
			w.pass(time.Second)
		}
		assert.Equal(t, routing.StateLeased, handle.Status())
		snapshot, _ := w.hub.Inspect(handle.ID())
		assert.Equal(t, []int{2, 2}, []int{snapshot.Errors, snapshot.Strikes})
	})
}

func TestACrashedHungOrReleasingSpokeGetsNothingBeforeItResumes(t *testing.T) {
	for name, outcome := range map[string]routing.Outcome{
		"crashed": routing.Crashed(errBroken, nil), "hung": routing.Hung(errBroken), "released": routing.Released(nil), "zero": {},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{}, func(w *world) {
				s := w.join("a", 1, 1)
				w.submit(1)
				w.submit(2)
				s.settleOnly(outcome)
				s.holdsNothing()
				s.Resume()
				synctest.Wait()
				s.only()
			})
		})
	}
}

func TestALeaveGivesItsLeasesBackUnchargedAndInOrder(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 2)
		first, second, third := w.submit(1), w.submit(2), w.submit(3)
		leases := s.leases()
		require.Len(t, leases, 2)
		ctx := leases[0].Context(context.Background())
		s.Leave(errBroken)
		s.Leave(nil)
		assert.ErrorIs(t, context.Cause(ctx), routing.ErrRevoked)
		assert.ErrorIs(t, context.Cause(ctx), errBroken)
		assert.Equal(t, routing.StateWaiting, first.Status())

		other := w.join("b", 1, 3)
		var order []string
		for _, l := range other.leases() {
			order = append(order, l.ID())
		}
		assert.Equal(t, []string{first.ID(), second.ID(), third.ID()}, order)
		snapshot, _ := w.hub.Inspect(first.ID())
		assert.Zero(t, snapshot.Strikes+snapshot.Errors)
		assert.Equal(t, 2, snapshot.Attempt, "uncharged attempts count as attempts")

		assert.False(t, s.settle(leases[0], routing.Crashed(errBroken, nil)), "a crash does not charge a task that is not held")
		after, _ := w.hub.Inspect(first.ID())
		assert.Equal(t, snapshot.Strikes, after.Strikes)
		assert.EqualValues(t, 1, w.hub.Counts().Late)
	})
}

func TestACrashIsChargedOnceThoughTheSpokeLeavesAfterwards(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 2)
		guilty, innocent := w.submit(1), w.submit(2)
		s.settle(s.leases()[0], routing.Crashed(errBroken, nil))
		s.Leave(errBroken)
		g, _ := w.hub.Inspect(guilty.ID())
		i, _ := w.hub.Inspect(innocent.ID())
		assert.Equal(t, 1, g.Strikes)
		assert.Equal(t, 0, i.Strikes)
	})
}

func TestSettlingTwiceChangesNothing(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		first, second := w.submit(1), w.submit(2)
		lease := s.only()
		s.settleOnly(routing.Done(2))
		next, accepted := lease.Settle(routing.Error(errBroken))
		assert.Nil(t, next)
		assert.False(t, accepted)
		out, err := await(t, first)
		require.NoError(t, err)
		assert.Equal(t, 2, out)
		assert.Equal(t, second.ID(), s.only().ID(), "the credit was not given back twice")
		assert.EqualValues(t, 1, w.hub.Counts().Late)
	})
}

func TestReleasingAGoneLeaseIsNoNewsAndTheSpokeGoesOn(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		first, second := w.submit(1), w.submit(2)
		lease := s.only()
		assert.True(t, first.Cancel(errBroken))
		synctest.Wait()
		s.only() // the credit comes back only when the handler does
		assert.False(t, s.settle(lease, routing.Released(nil)))
		assert.Equal(t, second.ID(), s.only().ID())
		assert.Zero(t, w.hub.Counts().Late)
	})
}

func TestANewIncarnationRevokesWhatTheOldOneHolds(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		old := w.join("a", 1, 1)
		handle := w.submit(1)
		stale := old.only()
		fresh := w.join("a", 2, 1)
		assert.Equal(t, handle.ID(), fresh.only().ID())
		assert.Equal(t, 2, fresh.only().Attempt())
		assert.False(t, old.settle(stale, routing.Done(666)))
		fresh.settleOnly(routing.Done(2))
		out, _ := await(t, handle)
		assert.Equal(t, 2, out)

		_, err := w.hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "a", Incarnation: 2}, Types: []string{"double"}, Deliver: func(*routing.Lease) {}})
		var staleErr *routing.StaleSpokeError
		require.ErrorAs(t, err, &staleErr)
		assert.EqualValues(t, 2, staleErr.Joined)
	})
}

func TestAnErrorWhoseMethodsPanicIsAnOrdinaryError(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		s.settleOnly(routing.Error(nasty{}))
		snapshot, _ := w.hub.Inspect(handle.ID())
		assert.Equal(t, 1, snapshot.Errors)
	})
}

type nasty struct{}

func (nasty) Error() string { panic("nasty") }
func (nasty) Unwrap() error { panic("nasty") }

func TestARepeatedIDIsTheSameTask(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		first := w.submit(1, routing.ID("report-7"))
		second := w.submit(99, routing.ID("report-7"))
		s.settleOnly(routing.Done(2))
		third := w.submit(99, routing.ID("report-7"))
		for _, handle := range []*routing.Handle[int]{first, second, third} {
			out, err := await(t, handle)
			require.NoError(t, err)
			assert.Equal(t, 2, out)
		}
		assert.EqualValues(t, 1, w.hub.Counts().Accepted)

		_, err := shout.Submit(context.Background(), w.hub, "x", routing.ID("report-7"))
		var conflict *routing.ConflictError
		require.ErrorAs(t, err, &conflict)
		assert.Equal(t, "double", conflict.Known)
	})
}

func TestSettledTasksAreForgottenBeyondTheWindowButHandlesKeepTheirOutcome(t *testing.T) {
	inWorld(t, routing.Options{Results: 2}, func(w *world) {
		w.serve("a", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
		handles := []*routing.Handle[int]{w.submit(1), w.submit(2), w.submit(3)}
		_, known := w.hub.Inspect(handles[0].ID())
		assert.False(t, known)
		_, known = w.hub.Inspect(handles[1].ID())
		assert.True(t, known)
		out, err := await(t, handles[0])
		require.NoError(t, err)
		assert.Equal(t, 2, out)
	})
}
