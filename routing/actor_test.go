package routing_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

func TestWithoutItsActorTheHubOnlyWaits(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		w.stopDriver()
		second, third := w.submit(2), w.submit(3)
		s.settleOnly(routing.Done(2))
		assert.Equal(t, second.ID(), s.only().ID(), "a spoke pulls its next task by itself")
		idle := w.join("b", 1, 1)
		idle.holdsNothing()
		w.startDriver()
		assert.Equal(t, third.ID(), idle.only().ID(), "an idle one is served when the actor is back")
	})
}

func TestWhatFellDueWhileTheActorWasGoneIsDoneWhenItIsBack(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 3)
		retried := w.submit(1)
		timedOut := w.submit(2, routing.Timeout(time.Minute))
		expired := w.submit(3, in(time.Minute))
		s.settle(s.leases()[0], routing.Error(errBroken))
		w.stopDriver()
		w.pass(time.Hour)
		w.startDriver()
		assert.Equal(t, routing.StateExpired, expired.Status())
		assert.Equal(t, routing.StateLeased, retried.Status())
		snapshot, _ := w.hub.Inspect(timedOut.ID())
		assert.Equal(t, 1, snapshot.Strikes)
	})
}

func TestTheActorMayBeRestartedInPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quietSystem(), routing.Options{})
		defer w.end()
		w.stopDriver()
		// An actor around the hub's, which fails on demand and is restarted by its parent's default strategy.
		inner := w.hub.Actor()
		w.driver = w.system.Root.Spawn(actor.PropsFromProducer(func() actor.Actor {
			driver := inner()
			return actor.ReceiveFunc(func(ctx actor.Context) {
				if ctx.Message() == "crash" {
					panic("crash")
				}
				driver.Receive(ctx)
			})
		}))
		synctest.Wait()
		handle := w.submit(1, in(time.Minute))
		for range 3 {
			w.system.Root.Send(w.driver, "crash")
		}
		synctest.Wait()
		s := w.join("a", 1, 1)
		assert.Equal(t, handle.ID(), s.only().ID())
		w.pass(time.Minute)
		assert.Equal(t, routing.StateExpired, handle.Status())
	})
}

func TestALateGoodbyeOfAnOldActorDoesNotUnseatTheNewOne(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		old := w.driver
		w.startDriver()
		w.system.Root.Stop(old)
		synctest.Wait()
		s := w.join("a", 1, 1)
		w.submit(1)
		s.only()
	})
}

func TestManySpokesAndTasksAreMatchedInOneGo(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		w.stopDriver()
		var spokes []*spoke
		for i := range 300 {
			spokes = append(spokes, w.join(fmt.Sprint(i), 1, 1))
			_, err := double.Submit(context.Background(), w.hub, i)
			require.NoError(t, err)
		}
		w.startDriver()
		for _, s := range spokes {
			s.only()
		}
	})
}
