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

// A subtask that comes out of quarantine, in this life or the next, doesn't wait behind the task above it that has its key, and will await it.
func TestARequeuedSubtaskDoesNotWaitForItsParent(t *testing.T) {
	fail := func(w *world) (parent *routing.Lease, sub string) {
		s := w.join("a", 1, 2)
		w.submit(0, routing.ID("parent"), routing.Key("k"))
		parent = s.only()
		h, err := double.Submit(parent.Context(context.Background()), w.hub, 1, routing.Key("k"))
		require.NoError(t, err)
		synctest.Wait()
		for _, l := range s.leases() {
			if l != parent {
				s.settle(l, routing.Hung(errBroken))
			}
		}
		require.Equal(t, routing.StateQuarantined, h.Status())
		s.Resume()
		return parent, h.ID()
	}
	check := func(w *world, sub string) {
		require.NoError(t, w.hub.Requeue(sub))
		w.join("b", 1, 2)
		w.pass(time.Second)
		assert.Equal(t, routing.StateLeased, w.inspect(sub).State)
	}
	options := func() routing.Options {
		return routing.Options{Balancer: routing.ConsistentHash(), QuarantineAfter: 1}
	}
	t.Run("in this life", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, quietSystem(), options())
			defer w.end()
			_, sub := fail(w)
			check(w, sub)
		})
	})
	t.Run("in the next", func(t *testing.T) {
		var sub string
		synctest.Test(t, func(t *testing.T) {
			store := &memory{}
			o := options()
			o.Store = store
			w := newWorld(t, quietSystem(), o)
			_, sub = fail(w)
			store.kill()
			w.stopDriver()
			o = options()
			o.Store = holding(store.contents())
			w = newWorld(t, quietSystem(), o)
			defer w.end()
			check(w, sub)
		})
	})
}

// What is done leaves its subtasks to the tasks above it: they may await them.
func TestASubtaskOfADoneTaskDoesNotWaitForWhatIsAboveThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quietSystem(), routing.Options{Balancer: routing.ConsistentHash()})
		defer w.end()
		s := w.join("a", 1, 3)
		w.submit(0, routing.ID("top"), routing.Key("k"))
		top := s.only()
		leaseOf := func(id string) *routing.Lease {
			for _, l := range s.leases() {
				if l.ID() == id {
					return l
				}
			}
			require.FailNow(t, "not leased", id)
			return nil
		}
		_, err := double.Submit(top.Context(context.Background()), w.hub, 1, routing.ID("middle"))
		require.NoError(t, err)
		synctest.Wait()
		_, err = double.Submit(leaseOf("middle").Context(context.Background()), w.hub, 1, routing.ID("low"))
		require.NoError(t, err)
		synctest.Wait()
		require.True(t, s.settle(leaseOf("middle"), routing.Done(1)))
		_, err = double.Submit(leaseOf("low").Context(context.Background()), w.hub, 1, routing.ID("lowest"), routing.Key("k"))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, routing.StateLeased, w.inspect("lowest").State)
	})
}

// A part of a broadcast that comes out of quarantine is for the spoke that has the path of its spoke by then.
func TestARequeuedPartRunsOnItsOwnSpoke(t *testing.T) {
	setAside := func(w *world) string {
		a, b := w.join("a", 1, 1), w.join("b", 1, 1)
		w.broadcast(context.Background(), routing.ID("all"))
		a.settleOnly(routing.Hung(errBroken))
		b.settleOnly(routing.Done(1))
		require.Equal(w.t, routing.StateQuarantined, w.inspect("all@a").State)
		a.Leave(nil)
		return "all@a"
	}
	check := func(w *world, part string) {
		err := w.hub.Requeue(part)
		require.ErrorIs(w.t, err, routing.ErrSpokeGone)
		require.ErrorContains(w.t, err, `"a"`)
		w.join("a", 7, 1, shout.Name())
		require.ErrorIs(w.t, w.hub.Requeue(part), routing.ErrSpokeGone, "it has other types now")
		require.Equal(w.t, routing.StateQuarantined, w.inspect(part).State, "it stays")
		require.Len(w.t, w.hub.Quarantined(), 1)

		a := w.join("a", 8, 1)
		a.Pause()
		require.NoError(w.t, w.hub.Requeue(part))
		synctest.Wait()
		require.Equal(w.t, routing.StateWaiting, w.inspect(part).State, "for no other spoke")
		a.Resume()
		synctest.Wait()
		require.Equal(w.t, part, a.only().ID())
		a.settleOnly(routing.Hung(errBroken))
		require.Equal(w.t, routing.StateQuarantined, w.inspect(part).State)

		a.Resume()
		require.NoError(w.t, w.hub.Requeue(part))
		synctest.Wait()
		a.Leave(errBroken)
		synctest.Wait()
		again := w.inspect(part)
		require.Equal(w.t, routing.StateFailed, again.State, "as any part whose spoke leaves")
		require.ErrorIs(w.t, again.Err, routing.ErrSpokeGone)
		require.True(w.t, w.hub.Counts().Balanced())
	}
	options := routing.Options{QuarantineAfter: 1}
	t.Run("in this life", func(t *testing.T) {
		inWorld(t, options, func(w *world) { check(w, setAside(w)) })
	})
	t.Run("in the next", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &memory{}
			o := options
			o.Store = store
			w := newWorld(t, quietSystem(), o)
			part := setAside(w)
			require.NoError(t, w.hub.Flush())
			store.kill()
			w.stopDriver()
			o.Store = holding(store.contents())
			w = newWorld(t, quietSystem(), o)
			defer w.end()
			w.join("b", 1, 1)
			check(w, part)
		})
	})
}

// Its parent may have found it, and await it.
func TestARequeuedSubtaskCannotAwaitWhatIsAboveIt(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 1}, func(w *world) {
		s := w.join("a", 1, 2)
		top := w.submit(0, routing.ID("top"))
		parent := s.only()
		sub, err := double.Submit(parent.Context(context.Background()), w.hub, 1)
		require.NoError(t, err)
		synctest.Wait()
		for _, l := range s.leases() {
			if l != parent {
				s.settle(l, routing.Hung(errBroken))
			}
		}
		s.Resume()
		require.NoError(t, w.hub.Requeue(sub.ID()))
		synctest.Wait()
		for _, l := range s.leases() {
			if l != parent {
				ctx, stop := context.WithTimeout(l.Context(context.Background()), time.Hour)
				_, err := top.Await(ctx)
				stop()
				require.ErrorIs(t, err, routing.ErrCircular)
			}
		}
	})
}

// A subtask that comes out of quarantine while its parent goes on still ends with that.
func TestARequeuedSubtaskEndsWithItsParent(t *testing.T) {
	setAside := func(w *world) {
		s := w.join("a", 1, 2)
		w.submit(0, routing.ID("top"))
		parent := s.only()
		_, err := double.Submit(parent.Context(context.Background()), w.hub, 1, routing.ID("sub"))
		require.NoError(t, err)
		synctest.Wait()
		for _, l := range s.leases() {
			if l != parent {
				s.settle(l, routing.Hung(errBroken))
			}
		}
		require.NoError(t, w.hub.Requeue("sub"))
		synctest.Wait()
	}
	check := func(w *world) {
		require.True(t, w.hub.Cancel("top", errBroken))
		sub := w.inspect("sub")
		require.Equal(t, routing.StateCancelled, sub.State)
		require.ErrorIs(t, sub.Err, routing.ErrParentEnded)
	}
	options := routing.Options{QuarantineAfter: 1}
	t.Run("in this life", func(t *testing.T) {
		inWorld(t, options, func(w *world) {
			setAside(w)
			check(w)
		})
	})
	t.Run("in the next", func(t *testing.T) { lives(t, options, func(w *world) { w.declare(); setAside(w) }, check) })
}
