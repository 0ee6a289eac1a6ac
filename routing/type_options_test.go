package routing_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

// of makes options in which the type double has its own.
func of(options routing.TypeOptions) routing.Options {
	return routing.Options{Types: map[string]routing.TypeOptions{"double": options}}
}

func TestATypeHasItsOwnNumberOfAttempts(t *testing.T) {
	inWorld(t, of(routing.TypeOptions{MaxAttempts: 1}), func(w *world) {
		s := w.join("a", 1, 1, "double", "shout")
		handle := w.submit(1)
		s.settleOnly(routing.Error(errBroken))
		assert.Equal(t, routing.StateFailed, handle.Status())

		patient := w.submit(1, routing.MaxAttempts(2))
		s.settleOnly(routing.Error(errBroken))
		assert.Equal(t, routing.StateWaiting, patient.Status(), "an option of the submit goes before that of the type")
		patient.Cancel(nil)

		other, err := shout.Submit(context.Background(), w.hub, "x")
		require.NoError(t, err)
		w.pass(0)
		s.settleOnly(routing.Error(errBroken))
		assert.Equal(t, routing.StateWaiting, other.Status(), "other types have what the hub says")
	})
}

func TestATypeHasItsOwnQuarantineThreshold(t *testing.T) {
	inWorld(t, of(routing.TypeOptions{QuarantineAfter: 1}), func(w *world) {
		assert.Equal(t, routing.StateQuarantined, w.poison("a").Status())
	})
}

func TestATypeHasItsOwnTimeLimit(t *testing.T) {
	options := of(routing.TypeOptions{AttemptTimeout: time.Second})
	options.AttemptTimeout = time.Hour
	inWorld(t, options, func(w *world) {
		w.join("a", 1, 3)
		first, second := w.submit(1), w.submit(2, routing.Timeout(2*time.Second))
		w.pass(time.Second)
		assert.Equal(t, routing.StateWaiting, first.Status())
		assert.Equal(t, routing.StateLeased, second.Status())
		w.pass(time.Second)
		assert.Equal(t, routing.StateWaiting, second.Status())
	})
	t.Run("or none", func(t *testing.T) {
		options := of(routing.TypeOptions{AttemptTimeout: -1})
		options.AttemptTimeout = time.Second
		inWorld(t, options, func(w *world) {
			w.join("a", 1, 1)
			handle := w.submit(1)
			w.pass(time.Hour)
			assert.Equal(t, routing.StateLeased, handle.Status())
		})
	})
}

func TestATypeHasItsOwnLifetime(t *testing.T) {
	inWorld(t, of(routing.TypeOptions{Lifetime: time.Minute}), func(w *world) {
		short, long := w.submit(1), w.submit(2, in(time.Hour))
		w.pass(time.Minute)
		assert.Equal(t, routing.StateExpired, short.Status())
		assert.Equal(t, routing.StateWaiting, long.Status(), "a deadline of its own goes before that")
		w.pass(time.Hour)
		assert.Equal(t, routing.StateExpired, long.Status())
	})
}

func TestATypeHasItsOwnBackoff(t *testing.T) {
	inWorld(t, of(routing.TypeOptions{RetryBackoff: routing.Backoff{Min: time.Minute, Jitter: -1}}), func(w *world) {
		s := w.join("a", 1, 2)
		w.submit(1)
		w.submit(2, routing.RetryBackoff(routing.Backoff{Min: time.Hour, Jitter: -1}))
		for _, l := range s.leases() {
			s.settle(l, routing.Error(errBroken))
		}
		w.pass(time.Minute - 1)
		s.holdsNothing()
		w.pass(1)
		assert.Equal(t, 1, s.only().Input())
		w.pass(time.Hour - time.Minute)
		assert.Len(t, s.leases(), 2)
	})
}

func TestARequeuedTaskKeepsItsOptions(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 1}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1, routing.Timeout(time.Second), routing.Priority(2), routing.RetryBackoff(routing.Backoff{Min: time.Hour, Jitter: -1}))
		s.settleOnly(routing.Crashed(errBroken, nil))
		require.NoError(t, w.hub.Requeue(handle.ID()))
		s.Resume()
		w.pass(time.Second)
		snapshot, _ := w.hub.Inspect(handle.ID())
		assert.Equal(t, routing.OutcomeTimedOut, snapshot.Attempts[1].Outcome)
		assert.Equal(t, 2, snapshot.Priority)
	})
}

func TestABadBackoffOfASubmitIsRefused(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		_, err := double.Submit(context.Background(), w.hub, 1, routing.RetryBackoff(routing.Backoff{Factor: 0.5}))
		assert.ErrorContains(t, err, "retry backoff: Backoff.Factor is 0.5")
		for _, factor := range []float64{math.Inf(1), math.NaN()} { // no store could keep it
			_, err = double.Submit(context.Background(), w.hub, 1, routing.RetryBackoff(routing.Backoff{Factor: factor}))
			assert.ErrorContains(t, err, fmt.Sprintf("Backoff.Factor is %v: it must be at least 1, and finite", factor))
		}
	})
}
