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

// inputs settles all that a spoke holds and then gets, and returns what it was given, in that order.
func (s *spoke) inputs() (got []any) {
	for held := s.leases(); len(held) > 0; held = s.leases() {
		got = append(got, held[0].Input())
		s.settle(held[0], routing.Done(0))
	}
	return got
}

func TestTasksOfAHigherPriorityGoFirst(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		for i, p := range []int{0, routing.LowestPriority, 1, routing.HighestPriority, 0, 1, routing.HighestPriority} {
			w.submit(i, routing.Priority(p))
		}
		w.submit(7)
		s := w.join("a", 1, 1)
		assert.Equal(t, []any{3, 6, 2, 5, 0, 4, 7, 1}, s.inputs())
	})
}

func TestPriorityHoldsAcrossTheTypesOfASpoke(t *testing.T) {
	for _, asked := range []string{"when it pulls", "when it is idle"} {
		t.Run(asked, func(t *testing.T) {
			inWorld(t, routing.Options{}, func(w *world) {
				s := w.join("a", 1, 1, "double", "shout")
				s.Pause()
				if asked == "when it pulls" {
					s.Resume()
					w.submit(0)
				}
				_, err := shout.Submit(context.Background(), w.hub, "low", routing.Priority(-1))
				require.NoError(t, err)
				w.submit(1)
				_, err = shout.Submit(context.Background(), w.hub, "high", routing.Priority(1))
				require.NoError(t, err)
				w.submit(2, routing.Priority(-2))
				if asked == "when it is idle" {
					s.Resume()
					synctest.Wait()
				} else {
					s.settleOnly(routing.Done(0))
				}
				assert.Equal(t, []any{"high", 1, "low", 2}, s.inputs())
			})
		})
	}
}

func TestATaskThatIsTriedAgainKeepsItsPriority(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1, routing.Priority(1))
		w.submit(2)
		s.settleOnly(routing.Released(errBroken)) // at the head of its queue, and the spoke is paused
		w.submit(3, routing.Priority(2))
		s.Resume()
		synctest.Wait()
		assert.Equal(t, []any{3, 1, 2}, s.inputs())
	})
}

func TestATaskOnHoldYieldsToAMoreUrgentOne(t *testing.T) {
	for _, p := range []int{-1, 1} {
		inWorld(t, routing.Options{}, func(w *world) {
			a, b := w.join("a", 1, 1), w.join("b", 1, 1)
			b.Pause()
			w.submit(1, routing.Priority(p))
			a.settleOnly(routing.Error(errBroken))
			w.pass(time.Second) // only a is free: the task is on hold
			a.holdsNothing()
			a.Pause()
			w.submit(2)
			w.submit(3)
			b.Resume()
			synctest.Wait()
			if p > 0 {
				assert.Equal(t, []any{1, 2, 3}, b.inputs())
			} else {
				assert.Equal(t, []any{2, 3, 1}, b.inputs())
			}
		})
	}
}

func TestAHandlerKnowsItsPriority(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1, routing.Priority(-3))
		assert.Equal(t, -3, s.only().Info().Priority)
		_, err := double.Submit(context.Background(), w.hub, 1, routing.Priority(5))
		assert.ErrorContains(t, err, "priority is 5: it must be -4 to 4")
		_, err = double.Submit(context.Background(), w.hub, 1, routing.Priority(-1000))
		assert.ErrorContains(t, err, "priority is -1000")
	})
}
