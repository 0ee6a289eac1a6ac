package routing_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

func TestAFullHubRefusesAndSaysWhenToTryAgain(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 2}, func(w *world) {
		w.submit(1)
		w.submit(2)
		_, err := double.Submit(context.Background(), w.hub, 3)
		var full *routing.QueueFullError
		require.ErrorAs(t, err, &full)
		assert.Equal(t, routing.QueueFullError{Limit: 2, After: full.After}, *full)
		assert.Positive(t, full.RetryAfter())
		assert.EqualValues(t, 1, w.hub.Counts().Refused)
		assert.EqualValues(t, 2, w.hub.Counts().Accepted)
	})
}

func TestATypeHasALimitOfItsOwn(t *testing.T) {
	inWorld(t, routing.Options{Types: map[string]routing.TypeOptions{"double": {Capacity: 1}}}, func(w *world) {
		w.submit(1)
		_, err := double.Submit(context.Background(), w.hub, 2)
		var full *routing.QueueFullError
		require.ErrorAs(t, err, &full)
		assert.Equal(t, "double", full.Type)
		assert.Equal(t, 1, full.Limit)
		_, err = shout.Submit(context.Background(), w.hub, "x")
		assert.NoError(t, err)
	})
}

func TestAKnownIDIsFoundThoughTheHubIsFull(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
		first := w.submit(1, routing.ID("x"))
		second := w.submit(1, routing.ID("x"))
		assert.Equal(t, first.ID(), second.ID())
	})
}

// blocked submits with Wait from a goroutine of its own.
func (w *world) blocked(ctx context.Context, n int, options ...routing.SubmitOption) (outcome func() (*routing.Handle[int], error, bool)) {
	var handle *routing.Handle[int]
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		handle, err = double.Submit(ctx, w.hub, n, append(options, routing.Wait())...)
	}()
	synctest.Wait()
	return func() (*routing.Handle[int], error, bool) {
		select {
		case <-done:
			return handle, err, true
		default:
			return nil, nil, false
		}
	}
}

func TestBlockedSubmittersAreAdmittedInTheirOrder(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(0)
		var outcomes []func() (*routing.Handle[int], error, bool)
		for n := 1; n <= 5; n++ {
			outcomes = append(outcomes, w.blocked(context.Background(), n))
		}
		_, err := double.Submit(context.Background(), w.hub, 99)
		require.Error(t, err, "nobody overtakes them")
		for n := 0; n <= 5; n++ {
			assert.Equal(t, n, s.only().Input())
			for i, outcome := range outcomes {
				_, _, answered := outcome()
				assert.Equal(t, i < n, answered, "submitter %d while task %d runs", i+1, n)
			}
			s.settleOnly(routing.Done(0))
		}
	})
}

func TestASubmitterBlockedByItsTypeDoesNotBlockOthers(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 2, Types: map[string]routing.TypeOptions{"double": {Capacity: 1}}}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		blocked := w.blocked(context.Background(), 2)
		_, err := shout.Submit(context.Background(), w.hub, "x")
		require.NoError(t, err)
		s.settleOnly(routing.Done(2))
		_, err, answered := blocked()
		assert.True(t, answered)
		assert.NoError(t, err)
	})
}

func TestABlockedSubmitEnds(t *testing.T) {
	t.Run("with its context, passing its place on", func(t *testing.T) {
		inWorld(t, routing.Options{Capacity: 2, Types: map[string]routing.TypeOptions{"double": {Capacity: 2}}}, func(w *world) {
			_, err := shout.Submit(context.Background(), w.hub, "x")
			require.NoError(t, err)
			w.submit(1)
			ctx, cancel := context.WithCancelCause(context.Background())
			first := w.blocked(ctx, 2)                   // has the type's last place, waits for the hub
			second := w.blocked(context.Background(), 3) // waits for the type
			cancel(errBroken)
			synctest.Wait()
			_, err, answered := first()
			assert.True(t, answered)
			assert.ErrorIs(t, err, errBroken)
			s := w.join("a", 1, 1)
			s.settleOnly(routing.Done(2))
			_, err, answered = second()
			assert.True(t, answered)
			assert.NoError(t, err)
		})
	})
	t.Run("at its deadline", func(t *testing.T) {
		inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
			w.submit(1)
			blocked := w.blocked(context.Background(), 2, in(time.Minute))
			w.pass(time.Minute)
			_, err, answered := blocked()
			assert.True(t, answered)
			assert.ErrorIs(t, err, routing.ErrExpired)
		})
	})
	t.Run("at the end of its lifetime", func(t *testing.T) {
		inWorld(t, routing.Options{Capacity: 1, Types: map[string]routing.TypeOptions{"double": {Lifetime: time.Minute}}}, func(w *world) {
			_, err := shout.Submit(context.Background(), w.hub, "x")
			require.NoError(t, err)
			blocked, hasty := w.blocked(context.Background(), 2), w.blocked(context.Background(), 2, in(time.Second))
			w.pass(time.Second)
			_, err, answered := hasty()
			assert.True(t, answered)
			assert.ErrorIs(t, err, routing.ErrExpired)
			w.pass(time.Minute - time.Second - 1)
			_, _, answered = blocked()
			assert.False(t, answered)
			w.pass(1)
			_, err, answered = blocked()
			assert.True(t, answered)
			assert.ErrorIs(t, err, routing.ErrExpired)
			assert.EqualValues(t, 2, w.hub.Counts().Refused)
		})
	})
	t.Run("when the hub drains", func(t *testing.T) {
		inWorld(t, routing.Options{Capacity: 1, Types: map[string]routing.TypeOptions{"double": {Capacity: 1}}}, func(w *world) {
			w.submit(1)
			blocked := w.blocked(context.Background(), 2)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			assert.ErrorContains(t, w.hub.Drain(ctx), "1 tasks are not settled")
			_, err, answered := blocked()
			assert.True(t, answered)
			assert.ErrorIs(t, err, routing.ErrClosed)
		})
	})
	t.Run("with the task of its id, if another submitted that", func(t *testing.T) {
		inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
			s := w.join("a", 1, 1)
			w.submit(1)
			first := w.blocked(context.Background(), 2, routing.ID("x"))
			second := w.blocked(context.Background(), 3, routing.ID("x"))
			s.settleOnly(routing.Done(2))
			_, _, answered := second()
			assert.False(t, answered)
			assert.Equal(t, 2, s.only().Input())
			s.settleOnly(routing.Done(4))
			one, _, _ := first()
			two, _, answered := second()
			require.True(t, answered)
			assert.Equal(t, one.ID(), two.ID())
			out, err := await(t, two)
			require.NoError(t, err)
			assert.Equal(t, 4, out)
			assert.EqualValues(t, 2, w.hub.Counts().Accepted)
			w.submit(5) // its place is free again
		})
	})
}

func TestSubmitRefuses(t *testing.T) {
	cancelled, cancel := context.WithCancelCause(context.Background())
	cancel(errBroken)
	background := context.Background()
	for name, c := range map[string]struct {
		submit func(hub *routing.Hub) error
		is     error
		says   string
	}{
		"an unknown type": {func(hub *routing.Hub) error {
			_, err := routing.NewType[int, int]("unheard-of").Submit(background, hub, 1)
			var unknown *routing.UnknownTypeError
			if !errors.As(err, &unknown) || unknown.Type != "unheard-of" {
				return fmt.Errorf("not an UnknownTypeError: %w", err)
			}
			return err
		}, nil, `unknown task type "unheard-of": no spoke`},
		"a nameless type": {func(hub *routing.Hub) error {
			_, err := routing.Type[int, int]{}.Submit(background, hub, 1)
			return err
		}, nil, "task type is empty"},
		"a passed deadline": {func(hub *routing.Hub) error {
			_, err := double.Submit(background, hub, 1, routing.Deadline(time.Now().Add(-time.Second)))
			return err
		}, routing.ErrExpired, "deadline has passed"},
		"an ended context": {func(hub *routing.Hub) error {
			_, err := double.Submit(cancelled, hub, 1)
			return err
		}, errBroken, "broken"},
		"a submitter without a hub": {func(*routing.Hub) error {
			_, err := double.Submit(background, (*routing.Hub)(nil), 1)
			return err
		}, routing.ErrClosed, "has no hub"},
		"all bad options at once": {func(hub *routing.Hub) error {
			_, err := double.Submit(background, hub, 1, routing.ID("a\tb"), routing.Timeout(-1), routing.MaxAttempts(0),
				routing.Deadline(time.Time{}), routing.Key(strings.Repeat("k", 257)))
			for _, part := range []string{`task id "a\tb" has unprintable characters`, "timeout is -1ns", "max attempts is 0", "zero time", "key has 257 bytes"} {
				if !strings.Contains(err.Error(), part) {
					return fmt.Errorf("%q is missing in: %w", part, err)
				}
			}
			return err
		}, nil, "submit task"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{}, func(w *world) {
				err := c.submit(w.hub)
				assert.ErrorContains(t, err, c.says)
				assert.NotContains(t, err.Error(), "missing in")
				if c.is != nil {
					assert.ErrorIs(t, err, c.is)
				}
				assert.Zero(t, w.hub.Counts().Accepted)
			})
		})
	}
}

func TestATypeIsKnownOnceASpokeRegisteredForIt(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		kind := routing.NewType[int, int]("new")
		s := w.join("a", 1, 1, "new")
		s.Leave(nil)
		handle, err := kind.Submit(context.Background(), w.hub, 1)
		require.NoError(t, err)
		assert.Equal(t, routing.StateWaiting, handle.Status())
	})
}

func TestExtremeTimesDoNotOverflow(t *testing.T) {
	inWorld(t, routing.Options{AttemptTimeout: math.MaxInt64, PreferOther: math.MaxInt64}, func(w *world) {
		w.join("a", 1, 1)
		handle := w.submit(1, routing.Deadline(time.Unix(1<<40, 0)), routing.Timeout(math.MaxInt64))
		w.pass(time.Hour)
		assert.Equal(t, routing.StateLeased, handle.Status())
	})
}

func TestDrainWaitsForWhatWasAccepted(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		first, second := w.submit(1), w.submit(2)
		drained := make(chan error, 1)
		go func() { drained <- w.hub.Drain(context.Background()) }()
		synctest.Wait()
		_, err := double.Submit(context.Background(), w.hub, 3)
		assert.ErrorIs(t, err, routing.ErrClosed)
		assert.ErrorContains(t, err, "draining")
		s.settleOnly(routing.Done(2))
		assert.Empty(t, drained)
		s.settleOnly(routing.Done(4))
		assert.NoError(t, <-drained)
		assert.Equal(t, routing.StateDone, first.Status())
		assert.Equal(t, routing.StateDone, second.Status())
		assert.NoError(t, w.hub.Drain(context.Background()), "again")
	})
}

func TestCloseSettlesEverythingAndRefusesTheRest(t *testing.T) {
	inWorldOf(t, routing.Options{Capacity: 2}, func(w *world) {
		s := w.join("a", 1, 1)
		running, waiting := w.submit(1), w.submit(2)
		ctx := s.only().Context(context.Background())
		blocked := w.blocked(context.Background(), 3)
		w.hub.Close(errBroken)
		w.hub.Close(nil)
		synctest.Wait()
		for _, handle := range []*routing.Handle[int]{running, waiting} {
			_, err := await(t, handle)
			assert.ErrorIs(t, err, routing.ErrCancelled)
			assert.ErrorIs(t, err, routing.ErrClosed)
			assert.ErrorIs(t, err, errBroken)
		}
		assert.ErrorIs(t, context.Cause(ctx), errBroken)
		_, err, answered := blocked()
		assert.True(t, answered)
		assert.ErrorIs(t, err, routing.ErrClosed)
		_, err = double.Submit(context.Background(), w.hub, 4)
		assert.ErrorIs(t, err, routing.ErrClosed)
		_, err = w.hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "b"}, Types: []string{"double"}, Deliver: func(*routing.Lease) {}})
		assert.ErrorIs(t, err, routing.ErrClosed)
		assert.False(t, s.settle(s.only(), routing.Done(2)))
		assert.NoError(t, w.hub.Drain(context.Background()))
		assert.Len(t, w.kinds(routing.EventClosed), 1)
	})
}

func TestADeadlineFromBeforeTheHubIsPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		epoch := time.Now()
		w := newWorld(t, quietSystem(), routing.Options{})
		defer w.end()
		for _, d := range []time.Duration{-2, -1, 0} {
			_, err := double.Submit(context.Background(), w.hub, 1, routing.Deadline(epoch.Add(d)))
			assert.ErrorIs(t, err, routing.ErrExpired, d)
		}
	})
}

func TestADrainingHubAcceptsTheSubtasksOfWhatItHas(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 2)
		top := w.submit(0, routing.ID("top"))
		parent := s.only()
		drained := make(chan error, 1)
		go func() { drained <- w.hub.Drain(context.Background()) }()
		synctest.Wait()
		_, err := double.Submit(context.Background(), w.hub, 1)
		require.ErrorIs(t, err, routing.ErrClosed)
		sub, err := double.Submit(parent.Context(context.Background()), w.hub, 1)
		require.NoError(t, err)
		synctest.Wait()
		for _, l := range s.leases() {
			if l != parent {
				s.settle(l, routing.Done(2))
			}
		}
		_, err = await(t, sub)
		require.NoError(t, err)
		s.settle(parent, routing.Done(1))
		_, err = await(t, top)
		require.NoError(t, err)
		require.NoError(t, <-drained)
	})
}

// A handler that waits in line for a place for its subtask keeps its turn; others are turned away.
func TestADrainingHubTurnsAwayWhoIsNotNeeded(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 3}, func(w *world) {
		s := w.join("a", 1, 2)
		w.submit(0, routing.ID("top"))
		parent := s.only()
		ctx := parent.Context(context.Background())
		w.submit(0, routing.ID("other"))
		_, err := double.Submit(ctx, w.hub, 1, routing.ID("first"))
		require.NoError(t, err)
		others := w.blocked(context.Background(), 4)
		own := make(chan error, 1)
		go func() {
			_, err := double.Submit(ctx, w.hub, 2, routing.ID("second"), routing.Wait())
			own <- err
		}()
		synctest.Wait()
		drained := make(chan error, 1)
		go func() { drained <- w.hub.Drain(context.Background()) }()
		synctest.Wait()
		_, err, answered := others()
		require.True(t, answered)
		require.ErrorIs(t, err, routing.ErrClosed)
		require.Empty(t, own)
		for len(drained) == 0 && w.hub.Counts().Unsettled() > 0 {
			held := s.leases()
			require.NotEmpty(t, held)
			last := held[len(held)-1]
			s.settle(last, routing.Done(1))
		}
		require.NoError(t, <-own)
		require.NoError(t, <-drained)
		require.Equal(t, routing.StateDone, w.inspect("second").State)
	})
}
