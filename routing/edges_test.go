package routing_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

type comeBack time.Duration

func (c comeBack) Error() string             { return "come back later" }
func (c comeBack) RetryAfter() time.Duration { return time.Duration(c) }

// What a service says about when to come back may be nonsense: nothing overflows, nobody is charged, and a day is the longest.
func TestRetryAfterOfAnyLength(t *testing.T) {
	for said, want := range map[time.Duration]time.Duration{
		math.MinInt64: time.Second, -1: time.Second, 0: time.Second, time.Nanosecond: time.Second, // the backoff's least
		time.Minute: time.Minute, 48 * time.Hour: 24 * time.Hour, math.MaxInt64: 24 * time.Hour,
	} {
		t.Run(fmt.Sprint(int64(said)), func(t *testing.T) {
			inWorld(t, routing.Options{MaxAttempts: 1}, func(w *world) {
				s := w.join("a", 1, 1)
				h := w.submit(1)
				s.settleOnly(routing.Error(fmt.Errorf("wrapped: %w", comeBack(said))))
				w.pass(want - time.Millisecond)
				s.holdsNothing()
				w.pass(time.Millisecond)
				require.Equal(t, 2, s.only().Attempt())
				s.settleOnly(routing.Done(2))
				_, err := await(t, h)
				require.NoError(t, err)
				snap, _ := w.hub.Inspect(h.ID())
				require.Zero(t, snap.Errors)
			})
		})
	}
}

// The oldest results are forgotten: then their id is unknown, and new. Who holds a handle still has the result.
func TestAwaitingByIDOnceItIsForgotten(t *testing.T) {
	inWorld(t, routing.Options{Results: 2}, func(w *world) {
		s := w.join("a", 1, 1)
		first := w.submit(1, routing.ID("first"))
		found, err := double.Find(w.hub, "first")
		require.NoError(t, err)
		waiting := make(chan int, 1)
		go func() {
			got, _ := found.Await(context.Background())
			waiting <- got
		}()
		for n := 1; n <= 3; n++ {
			if n > 1 {
				w.submit(n)
			}
			s.settleOnly(routing.Done(10 * n))
		}
		require.Equal(t, 10, <-waiting)
		_, err = double.Find(w.hub, "first")
		var unknown *routing.UnknownTaskError
		require.ErrorAs(t, err, &unknown)
		_, known := w.hub.Inspect("first")
		require.False(t, known)
		again := w.submit(1, routing.ID("first"))
		require.Equal(t, routing.StateLeased, again.Status())
		require.Equal(t, 1, s.only().Attempt())
		s.settleOnly(routing.Done(99))
		got, err := await(t, first)
		require.NoError(t, err)
		require.Equal(t, 10, got, "the first has its own result")
		got, err = await(t, again)
		require.NoError(t, err)
		require.Equal(t, 99, got)
		require.EqualValues(t, 4, w.hub.Counts().Done)
	})
}

// A cancel of the task at the top ends all below it, however deep its handlers await each other, and gives every credit back.
func TestCancelThroughLevelsThatAwaitEachOther(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		var mu sync.Mutex
		causes := map[int]error{}
		stop := errors.New("not wanted any more")
		w.work("a", 1, func(ctx context.Context, n int) (int, error) {
			var err error
			if n < 3 {
				_, err = double.Do(ctx, w.hub, n+1)
			}
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			causes[n] = context.Cause(ctx)
			return 0, err
		})
		top := w.submit(0, routing.ID("top"))
		w.pass(time.Minute)
		require.EqualValues(t, 4, w.hub.Counts().Leased)
		require.True(t, top.Cancel(stop))
		w.pass(time.Second)
		for n := range 4 {
			require.ErrorIs(t, causes[n], stop, "level %d", n)
		}
		c := w.hub.Counts()
		require.EqualValues(t, 4, c.Cancelled)
		require.Zero(t, c.Unsettled())
		require.Zero(t, w.hub.Spokes()[0].Leases)
		_, err := await(t, top)
		require.ErrorIs(t, err, stop)
		require.ErrorIs(t, err, routing.ErrCancelled)

		other := w.submit(3)
		w.pass(time.Second)
		require.Equal(t, routing.StateLeased, other.Status(), "the credit is there again")
		require.True(t, other.Cancel(nil))
		synctest.Wait()
	})
}

// Of the inputs of a task one ends without a result, in each way there is: the text tells which and why.
func TestTheTextOfAMissingInput(t *testing.T) {
	ends := map[string]func(w *world, s *spoke, h *routing.Handle[int]){
		"task in of type \"double\" is failed after attempt 1: no": func(_ *world, s *spoke, _ *routing.Handle[int]) {
			s.settleOnly(routing.Error(routing.Permanent(errors.New("no"))))
		},
		"task in of type \"double\" is cancelled after attempt 1: enough":       func(_ *world, _ *spoke, h *routing.Handle[int]) { h.Cancel(errors.New("enough")) },
		"task in of type \"double\" is expired after attempt 1":                 func(w *world, _ *spoke, _ *routing.Handle[int]) { w.pass(time.Hour) },
		"task in of type \"double\" is quarantined after attempt 1: panic in x": func(_ *world, s *spoke, _ *routing.Handle[int]) { s.crash("x") },
	}
	for text, end := range ends {
		t.Run(text, func(t *testing.T) {
			inWorld(t, routing.Options{QuarantineAfter: 1}, func(w *world) {
				s := w.join("a", 1, 1)
				in := w.submit(1, routing.ID("in"), routing.Deadline(time.Now().Add(time.Hour)))
				fine := w.submit(2, routing.ID("fine"))
				middle := w.submit(3, routing.ID("middle"), routing.After(in, fine))
				last := w.submit(4, routing.ID("last"), routing.After(middle))
				end(w, s, in)
				synctest.Wait()
				_, err := await(t, last)
				assert.EqualError(t, err, `task last of type "double" is failed: it needs middle, which needs in: `+text)
				var missing *routing.InputError
				require.ErrorAs(t, err, &missing)
				require.Equal(t, "in", missing.Root().ID)
				require.ErrorIs(t, err, routing.ErrFailed)
				require.NotEqual(t, routing.StateFailed, fine.Status(), "the other input has nothing to do with it")
			})
		})
	}
}

// The idempotency key is the same in every attempt: after errors, crashes, a requeue, and in the next process.
func TestTheIdempotencyKeyIsStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		options := routing.Options{Store: store, QuarantineAfter: 2}
		w := newWorldOf(t, quietSystem(), options)
		w.declare()
		keys := map[string]int{}
		note := func(l *routing.Lease) *routing.Lease {
			keys[l.Info().IdempotencyKey]++
			return l
		}
		s := w.join("a", 1, 1)
		h := w.submit(1)
		note(s.only())
		s.settleOnly(routing.Error(errors.New("once more")))
		w.pass(time.Minute)
		note(s.only())
		s = s.crash("x")
		w.pass(time.Minute)
		note(s.only())
		s = s.crash("x")
		require.Equal(t, routing.StateQuarantined, h.Status())
		require.NoError(t, w.hub.Requeue(h.ID()))
		synctest.Wait()
		note(s.only())
		store.kill()
		w.hub.Close(nil)
		w.stopDriver()

		options.Store = store.cut(store.count())
		w = newWorldOf(t, quietSystem(), options)
		s = w.join("a", 1, 1)
		require.Equal(t, 5, note(s.only()).Attempt())
		s.settleOnly(routing.Done(2))
		require.Equal(t, map[string]int{h.ID(): 5}, keys)
		w.end()
	})
}

// A spoke that joins while a broadcast runs has no part in it; one that is paused has, and does it when it is resumed.
func TestABroadcastAndThoseWhoComeLater(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		a, b := w.join("a", 1, 1), w.join("b", 1, 1)
		b.Pause()
		type answer struct {
			replies []routing.Reply[int]
			err     error
		}
		answers := make(chan answer, 1)
		go func() {
			replies, err := double.Broadcast(context.Background(), w.hub, 1)
			answers <- answer{replies, err}
		}()
		synctest.Wait()
		c := w.join("c", 1, 1)
		w.pass(time.Minute)
		c.holdsNothing()
		a.settleOnly(routing.Done(1))
		w.pass(time.Minute)
		require.Empty(t, answers)
		b.Resume()
		synctest.Wait()
		b.settleOnly(routing.Done(2))
		synctest.Wait()
		got := <-answers
		require.NoError(t, got.err)
		require.Len(t, got.replies, 2)
		c.holdsNothing()
	})
}

// However long nothing was settled, and however fast it goes, a full queue names a time that makes sense.
func TestTheTimeThatAFullQueueNames(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
		s := w.join("a", 1, 1)
		full := func() time.Duration {
			_, err := double.Submit(context.Background(), w.hub, 1)
			var full *routing.QueueFullError
			require.ErrorAs(t, err, &full)
			require.Equal(t, full.After, full.RetryAfter())
			return full.After
		}
		w.submit(1)
		require.Equal(t, 10*time.Millisecond, full(), "nobody knows yet")
		for range 100 {
			w.pass(time.Second)
			s.settleOnly(routing.Done(1))
			w.submit(1)
		}
		require.InDelta(t, 8*time.Second, full(), float64(time.Second), "eight places, one a second")
		for range 100 {
			w.pass(time.Minute)
			s.settleOnly(routing.Done(1))
			w.submit(1)
		}
		require.InDelta(t, 10*time.Second, full(), float64(50*time.Millisecond), "at most")
		w.pass(1000 * time.Hour)
		s.settleOnly(routing.Done(1))
		w.submit(1)
		require.LessOrEqual(t, full(), 10*time.Second)
		for range 100 {
			w.pass(time.Microsecond)
			s.settleOnly(routing.Done(1))
			w.submit(1)
		}
		require.Less(t, full(), 100*time.Millisecond, "the idle time is soon forgotten")
	})
}

// The tasks of a key stay with a spoke that is shut out or paused only as long as one of them is running there.
func TestAKeyAndItsPausedSpoke(t *testing.T) {
	inWorld(t, routing.Options{Balancer: routing.ConsistentHash()}, func(w *world) {
		spokes := map[string]*spoke{"a": w.join("a", 1, 2), "b": w.join("b", 1, 2)}
		w.submit(1, routing.Key("k"))
		owner := w.hub.OwnerOf(double.Name(), "k")
		other := map[string]string{"a": "b", "b": "a"}[owner]
		running := spokes[owner].only()
		next := w.submit(2, routing.Key("k"))
		require.NoError(t, w.hub.PauseSpoke(owner))
		w.pass(time.Minute)
		spokes[other].holdsNothing()
		spokes[owner].settle(running, routing.Done(2))
		w.pass(time.Minute)
		require.Equal(t, next.ID(), spokes[other].only().ID(), "a paused spoke keeps nobody waiting")
		third := w.submit(3, routing.Key("k"))
		require.NoError(t, w.hub.ResumeSpoke(owner))
		w.pass(time.Minute)
		spokes[owner].holdsNothing() // the second still runs
		spokes[other].settleOnly(routing.Done(4))
		w.pass(time.Minute)
		require.Equal(t, routing.StateLeased, third.Status())
	})
}
