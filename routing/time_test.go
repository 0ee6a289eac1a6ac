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

func in(d time.Duration) routing.SubmitOption { return routing.Deadline(time.Now().Add(d)) }

func TestATaskPastItsDeadlineIsNeverStarted(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		handle := w.submit(1, in(time.Minute))
		w.pass(time.Minute - 1)
		assert.Equal(t, routing.StateWaiting, handle.Status())
		w.pass(1)
		_, err := await(t, handle)
		assert.ErrorIs(t, err, routing.ErrExpired)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		s := w.join("a", 1, 1)
		s.holdsNothing()
		assert.EqualValues(t, 1, w.hub.Counts().Expired)
	})
}

func TestATaskPastItsDeadlineIsNotPulledEvenIfNobodyNoticedYet(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		late, next := w.submit(2, in(time.Minute)), w.submit(3)
		w.stopDriver()
		w.pass(time.Hour)
		assert.Equal(t, routing.StateWaiting, late.Status())
		s.settleOnly(routing.Done(2))
		assert.Equal(t, routing.StateExpired, late.Status())
		assert.Equal(t, next.ID(), s.only().ID())
	})
}

func TestADeadlineEndsARunningTaskAtOnce(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1, in(time.Minute))
		lease := s.only()
		ctx := lease.Context(context.Background())
		info, ok := routing.FromContext(ctx)
		require.True(t, ok)
		deadline, ok := ctx.Deadline()
		require.True(t, ok)
		assert.True(t, deadline.Equal(info.Deadline))
		w.pass(time.Minute)
		assert.Equal(t, context.DeadlineExceeded, ctx.Err())
		assert.ErrorIs(t, context.Cause(ctx), routing.ErrExpired)
		assert.Equal(t, routing.StateExpired, handle.Status())
		assert.False(t, s.settle(lease, routing.Done(2)))
		assert.EqualValues(t, 1, w.hub.Counts().Late)
	})
}

// ErrExpired may also be what somebody else cancels with: a handler that Do's a detached task passes the end of its own on.
func TestACancelWithErrExpiredEndsTheContextAtOnce(t *testing.T) {
	for name, options := range map[string][]routing.SubmitOption{"without a deadline": nil, "before it": {in(time.Hour)}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{}, func(w *world) {
				s := w.join("a", 1, 1)
				handle := w.submit(1, options...)
				ctx := s.only().Context(context.Background())
				derived, cancel := context.WithCancel(ctx)
				defer cancel()
				require.True(t, handle.Cancel(routing.ErrExpired))
				for _, c := range []context.Context{ctx, derived} {
					assert.Equal(t, context.Canceled, c.Err())
					assert.Equal(t, routing.ErrExpired, context.Cause(c))
				}
			})
		})
	}
}

func TestAResultAtTheDeadlineIsTooLateHoweverLateTheHubIs(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1, in(time.Minute))
		w.stopDriver()
		w.pass(time.Minute)
		assert.False(t, s.settle(s.only(), routing.Done(2)))
		assert.Equal(t, routing.StateExpired, handle.Status())
	})
}

func TestAnAttemptThatOutlivesItsTimeLimitIsChargedAndTriedAgain(t *testing.T) {
	inWorld(t, routing.Options{AttemptTimeout: time.Minute}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		for strike := 1; strike <= 3; strike++ {
			lease := s.only()
			ctx := lease.Context(context.Background())
			w.pass(time.Minute)
			assert.ErrorIs(t, context.Cause(ctx), routing.ErrAttemptTimeout)
			snapshot, _ := w.hub.Inspect(handle.ID())
			assert.Equal(t, strike, snapshot.Strikes)
			w.pass(time.Second)
			s.only() // the handler has not returned: its credit is not free
			assert.False(t, s.settle(lease, routing.Done(2)))
		}
		assert.Equal(t, routing.StateQuarantined, handle.Status())
		for _, attempt := range w.hub.Quarantined()[0].Attempts {
			assert.Equal(t, routing.OutcomeTimedOut, attempt.Outcome)
		}
	})
}

func TestTimeoutOfASubmitReplacesTheHubs(t *testing.T) {
	inWorld(t, routing.Options{AttemptTimeout: time.Hour}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1, routing.Timeout(time.Second))
		s.only()
		w.pass(time.Second)
		assert.Equal(t, routing.StateWaiting, handle.Status())
	})
}

func TestTheContextEndsWithTheLease(t *testing.T) {
	t.Run("settled", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			s := w.join("a", 1, 1)
			w.submit(1)
			ctx := s.only().Context(context.Background())
			s.settleOnly(routing.Done(2))
			assert.Equal(t, context.Canceled, context.Cause(ctx))
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			s := w.join("a", 1, 1)
			handle := w.submit(1)
			ctx := s.only().Context(context.Background())
			assert.NoError(t, ctx.Err())
			assert.True(t, handle.Cancel(errBroken))
			assert.Equal(t, errBroken, context.Cause(ctx))
			assert.False(t, handle.Cancel(errBroken), "it was settled already")
		})
	})
	t.Run("before it was made", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			s := w.join("a", 1, 1)
			w.submit(1).Cancel(errBroken)
			assert.Equal(t, errBroken, context.Cause(s.only().Context(context.Background())))
		})
	})
	t.Run("with its parent", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			type key struct{}
			s := w.join("a", 1, 1)
			w.submit(1)
			parent, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "value"))
			ctx := s.only().Context(parent)
			assert.Equal(t, "value", ctx.Value(key{}))
			cancel(errBroken)
			assert.Equal(t, errBroken, context.Cause(ctx))
		})
	})
}

func TestAHandlerKnowsItsTask(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1, routing.Key("README.md"))
		first, _ := routing.FromContext(s.only().Context(context.Background()))
		s.settleOnly(routing.Error(errBroken))
		w.pass(time.Second)
		second, _ := routing.FromContext(s.only().Context(context.Background()))
		assert.Equal(t, routing.TaskInfo{ID: handle.ID(), Type: "double", Key: "README.md", Attempt: 1, MaxAttempts: 3, IdempotencyKey: first.IdempotencyKey}, first)
		assert.Equal(t, 2, second.Attempt)
		assert.Equal(t, first.IdempotencyKey, second.IdempotencyKey)
		_, ok := routing.FromContext(context.Background())
		assert.False(t, ok)
	})
}

func TestProgressReachesTheSubmitterFromTheCurrentAttemptOnly(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		assert.Nil(t, handle.Progress())
		old := s.only().Context(context.Background())
		routing.Progress(old, "half")
		assert.Equal(t, "half", handle.Progress())
		s.Leave(nil)
		routing.Progress(old, "from a zombie")
		assert.Equal(t, "half", handle.Progress())
		routing.Progress(context.Background(), "from nowhere")
	})
}

func TestTheNextAttemptGoesElsewhere(t *testing.T) {
	t.Run("at once, if another spoke is free", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			a := w.join("a", 1, 1)
			w.submit(1)
			b := w.join("b", 1, 1)
			a.settleOnly(routing.Error(errBroken))
			w.pass(time.Second)
			a.holdsNothing()
			b.only()
		})
	})
	t.Run("to one that comes free soon", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			a, b := w.join("a", 1, 1), w.join("b", 1, 1)
			handle := w.submit(1)
			w.submit(2)
			first, second := a, b
			if b.only().ID() == handle.ID() {
				first, second = b, a
			}
			first.settleOnly(routing.Error(errBroken))
			w.pass(time.Second + 199*time.Millisecond)
			first.holdsNothing()
			second.settleOnly(routing.Done(4))
			assert.Equal(t, handle.ID(), second.only().ID())
			first.holdsNothing()
		})
	})
	t.Run("but not if none comes free", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			a := w.join("a", 1, 1)
			handle := w.submit(1)
			b := w.join("b", 1, 1)
			w.submit(2)
			a.settleOnly(routing.Error(errBroken))
			w.pass(time.Second + 200*time.Millisecond)
			assert.Equal(t, handle.ID(), a.only().ID())
			b.only()
		})
	})
	t.Run("nor if there is no other", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			a := w.join("a", 1, 1)
			w.submit(1)
			a.settleOnly(routing.Error(errBroken))
			w.pass(time.Second)
			a.only()
		})
	})
	t.Run("and what waits behind it is not held up", func(t *testing.T) {
		inWorld(t, routing.Options{}, func(w *world) {
			a := w.join("a", 1, 1)
			retried := w.submit(1)
			b := w.join("b", 1, 1)
			w.submit(2)
			a.settleOnly(routing.Error(errBroken))
			other := w.submit(3)
			assert.Equal(t, other.ID(), a.only().ID())
			w.pass(time.Second)
			last := w.submit(4)
			a.settleOnly(routing.Done(6)) // a pulls past the task that it should not have
			assert.Equal(t, last.ID(), a.only().ID())
			b.settleOnly(routing.Done(4))
			assert.Equal(t, retried.ID(), b.only().ID())
		})
	})
	t.Run("unless that is switched off", func(t *testing.T) {
		inWorld(t, routing.Options{PreferOther: -1}, func(w *world) {
			a := w.join("a", 1, 1)
			w.submit(1)
			w.join("b", 1, 1)
			w.submit(2)
			a.settleOnly(routing.Error(errBroken))
			w.pass(time.Second)
			a.only()
		})
	})
}

func TestCancelReachesATaskWhereverItIs(t *testing.T) {
	for name, prepare := range map[string]func(w *world) *routing.Handle[int]{
		"in the queue": func(w *world) *routing.Handle[int] { return w.submit(1) },
		"in a backoff": func(w *world) *routing.Handle[int] {
			s := w.join("a", 1, 1)
			handle := w.submit(1)
			s.settleOnly(routing.Error(errBroken))
			return handle
		},
		"held for another spoke": func(w *world) *routing.Handle[int] {
			s := w.join("a", 1, 1)
			handle := w.submit(1)
			w.join("b", 1, 1)
			w.submit(2)
			s.settleOnly(routing.Error(errBroken))
			w.pass(time.Second)
			return handle
		},
		"running": func(w *world) *routing.Handle[int] {
			w.join("a", 1, 1)
			return w.submit(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{}, func(w *world) {
				handle := prepare(w)
				assert.True(t, w.hub.Cancel(handle.ID(), errBroken))
				_, err := await(t, handle)
				assert.ErrorIs(t, err, routing.ErrCancelled)
				assert.ErrorIs(t, err, errBroken)
				assert.False(t, w.hub.Cancel(handle.ID(), nil))
				w.pass(time.Hour)
				assert.Len(t, w.kinds(routing.EventSettled), 1)
				synctest.Wait()
			})
		})
	}
}

func TestASpokeThatLeavesTakesNothingFromWhoeverHasItsOldTaskNow(t *testing.T) {
	inWorld(t, routing.Options{AttemptTimeout: time.Minute}, func(w *world) {
		a := w.join("a", 1, 1)
		handle := w.submit(1)
		w.pass(time.Minute) // a is deaf: its lease is gone, its credit is not free
		b := w.join("b", 1, 1)
		w.pass(time.Second)
		assert.Equal(t, handle.ID(), b.only().ID())
		a.Leave(errBroken)
		b.settleOnly(routing.Done(2))
		assert.Equal(t, routing.StateDone, handle.Status())
	})
}

// What a store takes to record a lease is not the handler's time.
func TestTheTimeLimitOfAnAttemptBeginsWhenItsLeaseIsDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const latency, limit = 5 * time.Second, 2 * time.Second
		w := newWorld(t, quietSystem(), routing.Options{Store: &memory{latency: latency}, AttemptTimeout: limit})
		defer w.end()
		s := w.join("a", 1, 1)
		go func() { _, _ = double.Submit(context.Background(), w.hub, 1, routing.ID("slow")) }()
		delivered := func() *routing.Lease {
			for range 200 {
				if held := s.leases(); len(held) > 0 {
					return held[0]
				}
				w.pass(100 * time.Millisecond)
			}
			require.FailNow(t, "nothing delivered", "%+v", w.inspect("slow"))
			return nil
		}
		l := delivered()
		ctx := l.Context(context.Background())
		end, limited := ctx.Deadline()
		require.True(t, limited && l.Limited())
		require.InDelta(t, limit, time.Until(end), float64(100*time.Millisecond))
		w.pass(limit - 100*time.Millisecond)
		require.NoError(t, ctx.Err())
		w.pass(100 * time.Millisecond)
		require.Equal(t, routing.ErrAttemptTimeout, context.Cause(ctx))
		require.Equal(t, 1, w.inspect("slow").Strikes)
		require.False(t, s.settle(l, routing.Done(1)))

		l = delivered()
		w.pass(limit - 200*time.Millisecond)
		require.True(t, s.settle(l, routing.Done(1)), "in its time")
		w.pass(2 * latency)
		require.Equal(t, routing.StateDone, w.inspect("slow").State)
	})
}
