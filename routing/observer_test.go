package routing_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

func TestTheLastStrikeIsTheOneBeforeQuarantine(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 3}, func(w *world) {
		handle := w.submit(1)
		attempt := 0
		settles := func(o routing.Outcome, before int, last bool) {
			t.Helper()
			attempt++
			s := w.join(fmt.Sprint("s", attempt), 1, 1)
			w.pass(time.Minute) // its backoff
			strikes, isLast := s.only().Strikes()
			assert.Equal(t, before, strikes, "attempt %d", attempt)
			assert.Equal(t, last, isLast, "attempt %d", attempt)
			s.settleOnly(o)
			s.Leave(errBroken)
		}
		settles(routing.Crashed(errBroken, nil), 0, false)
		settles(routing.Error(errBroken), 1, false)
		settles(routing.Hung(errBroken), 1, false)
		settles(routing.Released(errBroken), 2, true)
		settles(routing.Error(errBroken), 2, true)
		settles(routing.Hung(errBroken), 2, true)
		assert.Equal(t, routing.StateQuarantined, handle.Status())
		require.NoError(t, w.hub.Requeue(handle.ID()))
		settles(routing.Done(2), 0, false)
	})
}

// Who watches over handlers isn't held up by a callback that blocks.
func TestAHungHandlerIsSettledWithoutCallbacks(t *testing.T) {
	release := make(chan struct{})
	inWorld(t, routing.Options{QuarantineAfter: 1, OnEvent: func(e routing.Event) {
		if e.Outcome == routing.OutcomeHung {
			<-release
		}
	}}, func(w *world) {
		release = make(chan struct{})
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		began := time.Now()
		s.only().SettleHung(errBroken)
		assert.Zero(t, time.Since(began))
		synctest.Wait()
		_, err := await(t, handle)
		assert.ErrorIs(t, err, routing.ErrQuarantined)
		assert.ErrorIs(t, err, errBroken)
		close(release)
		synctest.Wait()
		next, accepted := s.only().Settle(routing.Done(2))
		assert.Nil(t, next)
		assert.False(t, accepted, "it came too late")
	})
}

// As long as a spoke holds a lease, the attempt's time limit stands still, whether its context was asked for or not; its deadline doesn't.
func TestALeaseThatIsHeldHasItsTimeStill(t *testing.T) {
	for _, asked := range []bool{false, true} {
		inWorld(t, routing.Options{}, func(w *world) {
			s := w.join("a", 1, 1)
			handle := w.submit(1, routing.Timeout(10*time.Second))
			l := s.only()
			ctx := l.Context(context.Background())
			if asked {
				ctx.Done()
			}
			w.pass(6 * time.Second)
			goOn := l.Hold()
			w.pass(time.Hour)
			require.NoError(t, ctx.Err())
			require.Equal(t, routing.StateLeased, handle.Status())
			goOn()
			w.pass(3 * time.Second)
			require.NoError(t, ctx.Err())
			w.pass(2 * time.Second)
			require.ErrorIs(t, context.Cause(ctx), routing.ErrAttemptTimeout)
			info, _ := w.hub.Inspect(handle.ID())
			require.Equal(t, routing.OutcomeTimedOut, info.Attempts[0].Outcome)
			s.Leave(errBroken)
		})
		inWorld(t, routing.Options{}, func(w *world) {
			s := w.join("a", 1, 1)
			handle := w.submit(1, routing.Timeout(10*time.Second), routing.Deadline(time.Now().Add(time.Minute)))
			l := s.only()
			ctx := l.Context(context.Background())
			if asked {
				ctx.Done()
			}
			goOn := l.Hold()
			w.pass(2 * time.Minute)
			require.ErrorIs(t, context.Cause(ctx), routing.ErrExpired)
			require.Equal(t, routing.StateExpired, handle.Status())
			goOn()
			l.Settle(routing.Released(errBroken))
			s.Leave(errBroken)
		})
	}
}

// Whoever watches a part of a handler's work hears of the waits in it, and of those in a part of that.
func TestWaitsOfAPartOfTheWork(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 2)
		w.submit(1)
		other := w.submit(2)
		ctx := s.leases()[0].Context(context.Background())
		var outer, inner int
		count := func(n *int) func(bool) {
			return func(waiting bool) {
				if waiting {
					*n++
				} else {
					*n--
				}
			}
		}
		outside := routing.ObserveWaits(ctx, count(&outer))
		inside := routing.ObserveWaits(outside, count(&inner))
		routing.Waiting(ctx)
		done := routing.Waiting(outside)
		assert.Equal(t, []int{1, 0}, []int{outer, inner})
		go func() { _, _ = other.Await(inside) }()
		synctest.Wait()
		assert.Equal(t, []int{2, 1}, []int{outer, inner})
		done()
		done()
		assert.Equal(t, []int{1, 1}, []int{outer, inner})
		other.Cancel(errBroken)
		synctest.Wait()
		assert.Equal(t, []int{0, 0}, []int{outer, inner})
	})
}
