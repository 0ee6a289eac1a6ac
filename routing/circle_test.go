package routing_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

func TestATaskThatNeedsOnesOwnCannotBeAwaited(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 9)
		ctx := func(h *routing.Handle[int]) context.Context {
			t.Helper()
			for _, l := range s.leases() {
				if l.ID() == h.ID() {
					return l.Context(context.Background())
				}
			}
			require.FailNow(t, "not leased")
			return nil
		}
		top := w.submit(1)
		_, err := double.Do(ctx(top), w.hub, 2, routing.After(top))
		require.ErrorIs(t, err, routing.ErrCircular)
		sub, err := double.Submit(ctx(top), w.hub, 3)
		require.NoError(t, err)
		synctest.Wait()
		go func() { _, _ = sub.Await(ctx(top)) }()
		synctest.Wait()
		_, err = double.Do(ctx(sub), w.hub, 4, routing.After(top))
		require.ErrorIs(t, err, routing.ErrCircular, "the parent awaits this one")
		chained := w.submit(5, routing.After(w.submit(6, routing.After(sub))))
		_, err = chained.Await(ctx(sub))
		require.ErrorIs(t, err, routing.ErrCircular)

		other := w.submit(7)
		go func() { _, _ = sub.Await(ctx(other)) }()
		synctest.Wait()
		_, err = other.Await(ctx(sub))
		require.ErrorIs(t, err, routing.ErrCircular, "it awaits this one")
		for _, spoke := range w.hub.Spokes() {
			assert.Equal(t, 2, spoke.Awaiting, "who was refused doesn't await anything")
		}
	})
}

func TestWhoDoesNotAwaitAnyMoreIsInNoCircle(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 2)
		one, two := w.submit(1), w.submit(2)
		leases := s.leases()
		ctx := func(i int) context.Context { return leases[i].Context(context.Background()) }
		short, cancel := context.WithTimeout(ctx(0), time.Second)
		defer cancel()
		_, err := two.Await(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		done := make(chan error, 1)
		go func() {
			_, err := one.Await(ctx(1))
			done <- err
		}()
		synctest.Wait()
		s.settle(leases[0], routing.Done(1))
		require.NoError(t, <-done)
	})
}

// A join with a key waits for an input whose handler awaits a subtask with that key; another task of the key may be before both.
func TestASubtaskDoesNotWaitForAJoinOfItsKeyThatNeedsItsParent(t *testing.T) {
	for _, before := range []bool{false, true} {
		inWorld(t, routing.Options{Balancer: routing.ConsistentHash(), AttemptTimeout: time.Hour}, func(w *world) {
			for _, path := range []string{"a", "b", "c"} {
				w.serve(path, func(ctx context.Context, n int) (int, error) {
					switch n {
					case 0:
						time.Sleep(time.Minute)
					case 1:
						time.Sleep(time.Second)
						return double.Do(ctx, w.hub, 3, routing.Key("k"))
					}
					return n, nil
				})
			}
			if before {
				w.submit(0, routing.Key("k"))
			}
			input := w.submit(1)
			join := w.submit(2, routing.After(input), routing.Key("k"))
			w.pass(2 * time.Minute)
			assert.Equal(w.t, routing.StateDone, input.Status())
			assert.Equal(w.t, routing.StateDone, join.Status())
			assert.Zero(w.t, w.hub.Counts().Unsettled())
		})
	}
}

// A requeued task finds and awaits its old subtask, which awaits one that is behind a third, which awaits one that is behind the first.
func TestARequeuedTaskDoesNotWaitInACircleForWhatItFinds(t *testing.T) {
	inWorld(t, routing.Options{Balancer: routing.ConsistentHash(), QuarantineAfter: 1}, func(w *world) {
		s := w.join("a", 1, 10)
		lease := func(n int) *routing.Lease {
			t.Helper()
			for _, l := range s.leases() {
				if l.Input() == n {
					return l
				}
			}
			require.FailNow(t, "not leased")
			return nil
		}
		sub := func(parent, n int, options ...routing.SubmitOption) *routing.Handle[int] {
			t.Helper()
			handle, err := double.Submit(lease(parent).Context(context.Background()), w.hub, n, options...)
			require.NoError(t, err)
			synctest.Wait()
			return handle
		}
		await := func(parent int, sub *routing.Handle[int]) {
			t.Helper()
			ctx := lease(parent).Context(context.Background())
			go func() { _, _ = sub.Await(ctx) }()
			synctest.Wait()
		}
		w.submit(1, routing.ID("first"), routing.Key("k"))
		found := sub(1, 2)
		s.settle(lease(1), routing.Crashed(errBroken, nil))
		s.Resume()
		w.submit(3, routing.Key("l"))
		second := sub(2, 4, routing.Key("l"))
		require.NoError(t, w.hub.Requeue("first"))
		synctest.Wait()
		require.Equal(t, found.ID(), sub(1, 2).ID())
		third := sub(3, 5, routing.Key("k"))
		await(1, found)
		await(2, second)
		require.Equal(t, routing.StateWaiting, second.Status(), "it is behind another of its key")
		require.Equal(t, routing.StateWaiting, third.Status(), "it is, too")
		await(3, third)
		require.Equal(t, routing.StateLeased, third.Status(), "or nobody would get on")
		require.Equal(t, routing.StateWaiting, second.Status())
		for _, n := range []int{5, 3, 4, 2, 1} {
			s.settle(lease(n), routing.Done(n))
		}
		require.Zero(t, w.hub.Counts().Unsettled())
	})
}

// What was submitted while nothing kept keys in order may be in circles already when something does.
func TestNobodyWaitsInACircleAfterTheBalancerWasReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serve := func(w *world) {
			for i := range 8 {
				w.serve(fmt.Sprint("spoke ", i), func(ctx context.Context, n int) (int, error) {
					switch n {
					case 1:
						time.Sleep(500 * time.Millisecond)
						return double.Do(ctx, w.hub, 11, routing.Key("l"))
					case 2:
						return double.Do(ctx, w.hub, 12, routing.Key("k"))
					}
					time.Sleep(time.Minute)
					return n, nil
				})
			}
		}
		store := holding(nil)
		w := newWorld(t, quietSystem(), routing.Options{Store: store})
		serve(w)
		w.submit(3, routing.Key("l"))
		w.submit(1, routing.Key("k"))
		w.submit(2, routing.Key("l"))
		w.pass(time.Second)
		w.end()
		time.Sleep(2 * time.Minute) // the handlers of then have returned

		w = newWorld(t, quietSystem(), routing.Options{Store: holding(store.contents()), Balancer: routing.ConsistentHash()})
		defer w.end()
		serve(w)
		w.pass(time.Hour)
		assert.EqualValues(t, 5, w.hub.Counts().Done)
	})
}

// Two handlers each have a slow subtask, and one that is behind the other's task, and wait for a place for a third. What comes free goes to others.
func TestNobodyWaitsInACircleForAPlace(t *testing.T) {
	for _, slow := range []bool{false, true} {
		inWorld(t, routing.Options{Balancer: routing.ConsistentHash(), Capacity: 6}, func(w *world) {
			for i := range 4 {
				w.serve(fmt.Sprint("spoke ", i), func(ctx context.Context, n int) (int, error) {
					switch {
					case n >= 10:
						time.Sleep(10 * time.Second)
						return n, nil
					case n > 2:
						return n, nil
					}
					submit := func(n int, options ...routing.SubmitOption) {
						_, err := double.Submit(ctx, w.hub, n, append(options, routing.Wait())...)
						assert.NoError(w.t, err)
					}
					other := routing.Key(fmt.Sprint("key ", 3-n))
					first := other
					if slow {
						first = routing.Key("")
					}
					time.Sleep(time.Second / 2) // until both are accepted
					submit(10, first)
					submit(11, other)
					time.Sleep(2 * time.Second)
					submit(12, other)
					return n, nil
				})
			}
			w.submit(1, routing.Key("key 1"))
			w.submit(2, routing.Key("key 2"))
			w.pass(time.Second)
			for n := 3; n < 5; n++ {
				go func() {
					_, err := double.Submit(context.Background(), w.hub, n, routing.Key(fmt.Sprint("key ", n-2)), routing.Wait())
					assert.NoError(w.t, err)
				}()
			}
			w.pass(time.Hour)
			assert.EqualValues(w.t, 10, w.hub.Counts().Done)
		})
	}
}

// A handler whose task has ended, and that goes on without its context, may await what is behind that task in its key, also by way of others.
func TestTheHandlerOfATaskThatHasEndedAwaitsTheNextOfItsKey(t *testing.T) {
	for name, awaitsFirst := range map[string]bool{"it awaits already": true, "it begins to": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{Balancer: routing.ConsistentHash(), AttemptTimeout: time.Hour}, func(w *world) {
				var between, next *routing.Handle[int]
				submitted := make(chan struct{})
				handle := func(ctx context.Context, n int) (int, error) {
					<-submitted
					switch n {
					case 1:
						time.Sleep(time.Second)
						if !awaitsFirst {
							<-ctx.Done()
						}
						return between.Await(context.WithoutCancel(ctx))
					case 2:
						time.Sleep(time.Minute)
						return next.Await(ctx)
					}
					return n, nil
				}
				for _, path := range []string{"a", "b", "c"} {
					w.serve(path, handle)
				}
				first := w.submit(1, routing.Key("k"))
				between = w.submit(2, routing.Key("other"))
				next = w.submit(3, routing.Key("k"))
				close(submitted)
				time.Sleep(10 * time.Second)
				require.True(t, first.Cancel(nil))
				time.Sleep(time.Hour)
				require.Equal(t, routing.StateDone, next.Status())
				require.Equal(t, routing.StateDone, between.Status())
			})
		})
	}
}

// Who has less patience with a subtask than another goroutine of its handler doesn't cancel it for that.
func TestAnImpatientDoLeavesTheSubtaskToOthers(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		var patient, impatient error
		handle := func(ctx context.Context, n int) (int, error) {
			if n > 1 {
				time.Sleep(time.Minute)
				return n, nil
			}
			var other sync.WaitGroup
			other.Go(func() { _, patient = double.Do(ctx, w.hub, 2, routing.ID("shared")) })
			time.Sleep(time.Second)
			short, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_, impatient = double.Do(short, w.hub, 2, routing.ID("shared"))
			other.Wait()
			return 1, nil
		}
		w.serve("a", handle)
		w.serve("b", handle)
		h := w.submit(1)
		time.Sleep(time.Hour)
		require.Equal(t, routing.StateDone, h.Status())
		require.NoError(t, patient)
		require.ErrorIs(t, impatient, context.DeadlineExceeded)
	})
}
