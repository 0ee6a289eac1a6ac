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

// What a task has to do with others, and how it is to be treated, outlives the process as it does.

func TestPrioritiesAndOptionsOfATaskOutliveTheProcess(t *testing.T) {
	lives(t, routing.Options{},
		func(w *world) {
			w.declare()
			w.submit(1, routing.ID("low"), routing.Priority(-2), routing.MaxAttempts(1))
			w.submit(1, routing.ID("high"), routing.Priority(4), routing.Timeout(time.Second), routing.RetryBackoff(routing.Backoff{Min: time.Hour, Max: time.Hour, Jitter: -1}))
			w.submit(1, routing.ID("middle"))
		},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			lease := s.only()
			assert.Equal(t, "high", lease.ID())
			assert.Equal(t, 4, lease.Info().Priority)
			w.pass(time.Second)
			assert.Equal(t, 1, w.inspect("high").Strikes, "its own time limit")
			s.settle(lease, routing.Done(1))
			w.pass(time.Minute)
			assert.Equal(t, "middle", s.only().ID(), "its own backoff, of an hour")
			s.settleOnly(routing.Done(1))
			assert.Equal(t, "low", s.only().ID())
			s.settleOnly(routing.Error(errBroken))
			assert.Equal(t, routing.StateFailed, w.inspect("low").State, "its own number of attempts")
		},
	)
}

func TestFanInOutlivesTheProcess(t *testing.T) {
	sum := routing.NewType[string, int]("sum")
	lives(t, routing.Options{Results: 1, MaxAttempts: 1},
		func(w *world) {
			require.NoError(w.t, w.hub.Declare(double.Name(), "sum"))
			s := w.join("a", 1, 1)
			one, two := w.submit(1, routing.ID("one")), w.submit(2, routing.ID("two"))
			_, err := sum.Submit(context.Background(), w.hub, "in", routing.ID("sum"), routing.After(one, two))
			require.NoError(t, err)
			_, err = sum.Submit(context.Background(), w.hub, "in", routing.ID("second sum"), routing.After(one, two))
			require.NoError(t, err)
			s.settleOnly(routing.Done(10))
			s.settle(s.only(), routing.Released(nil))
			s.Leave(nil)
			for i := range 3 { // these push the first one out of the window
				other := w.join("b", uint64(i+1), 1)
				if lease := other.only(); lease.ID() == "two" {
					other.settle(lease, routing.Released(nil))
				}
				other.Leave(nil)
			}
			_, err = double.Submit(context.Background(), w.hub, 7, routing.ID("other"), routing.Priority(4))
			require.NoError(t, err)
			other := w.join("b", 9, 1)
			require.Equal(t, "other", other.only().ID())
			lease := other.only()
			other.Pause()
			other.settle(lease, routing.Done(1))
			_, known := w.hub.Inspect("one")
			require.False(t, known, "it is forgotten")
			other.Leave(nil)
			_, err = double.Submit(context.Background(), w.hub, 8, routing.ID("one")) // and its id used again
			require.NoError(t, err)
			require.True(t, w.hub.Cancel("one", errBroken))
		},
		func(w *world) {
			require.NoError(w.t, w.hub.Declare(double.Name(), "sum"))
			assert.EqualValues(t, 2, w.hub.Counts().Blocked)
			assert.Equal(t, []string{"one", "two"}, w.inspect("sum").Inputs)
			assert.Equal(t, 1, w.inspect("sum").Pending)
			s := w.join("a", 1, 1)
			require.Equal(t, "two", s.only().ID())
			s.settleOnly(routing.Done(20))
		},
		func(w *world) {
			require.NoError(w.t, w.hub.Declare(double.Name(), "sum"))
			add := func(path string) int {
				s := w.join(path, 1, 1, "sum")
				lease := s.only()
				results, err := double.Inputs(lease.Context(context.Background()))
				require.NoError(t, err)
				assert.Equal(t, []int{10, 20}, results, "of the task that had the id then")
				total := 0
				for _, n := range results {
					total += n
				}
				s.settle(lease, routing.Done(total))
				s.Leave(nil)
				return total
			}
			assert.Equal(t, 30, add("b"))
			assert.Contains(t, w.options.Store.(*memory).contents(), "task/0000000000000001")
		},
		func(w *world) {
			s := w.join("c", 1, 1, "sum")
			s.settleOnly(routing.Done(30))
			synctest.Wait()
			records := w.options.Store.(*memory).contents()
			assert.NotContains(t, records, "task/0000000000000001", "nobody needs it any more")
			assert.NotContains(t, records, "task/0000000000000002")
			assert.Len(t, records, 2, "one result, and the books")
		},
	)
}

func TestAnInputThatFailsInALaterLifeFailsItsDependants(t *testing.T) {
	lives(t, routing.Options{MaxAttempts: 1, Interruptions: 1},
		func(w *world) {
			w.declare()
			first := w.submit(1, routing.ID("first"))
			second := w.submit(1, routing.ID("second"), routing.After(first))
			w.submit(1, routing.ID("third"), routing.After(second))
			killer := w.submit(1, routing.ID("killer"), routing.Priority(4))
			w.submit(1, routing.ID("after killer"), routing.After(killer))
			require.Equal(t, "killer", w.join("a", 1, 1).only().ID())
		},
		func(w *world) {
			w.declare()
			assert.Equal(t, routing.StateQuarantined, w.inspect("killer").State)
			assert.Equal(t, routing.StateFailed, w.inspect("after killer").State)
			w.join("a", 1, 1).settleOnly(routing.Error(errBroken))
			_, err := await(t, w.find("third"))
			assert.ErrorContains(t, err, "it needs second, which needs first: task first of type \"double\" is failed after attempt 1: broken")
			var chain *routing.InputError
			require.ErrorAs(t, err, &chain)
		},
		func(w *world) {
			_, err := await(t, w.find("third"))
			assert.ErrorContains(t, err, "it needs second, which needs first: task first of type \"double\" is failed after attempt 1: broken")
		},
	)
}

func TestSubtasksAreFoundByTheNextAttemptInALaterLife(t *testing.T) {
	var done, running string
	lives(t, routing.Options{},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 3)
			w.submit(1, routing.ID("parent"))
			ctx := s.only().Context(context.Background())
			for i, id := range []*string{&done, &running} {
				h, err := double.Submit(ctx, w.hub, 10+i)
				require.NoError(t, err)
				*id = h.ID()
			}
			synctest.Wait()
			for _, l := range s.leases() {
				if l.ID() == done {
					s.settle(l, routing.Done(20))
				}
			}
		},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 3)
			require.Len(t, s.leases(), 2)
			var parent *routing.Lease
			for _, l := range s.leases() {
				if l.ID() == "parent" {
					parent = l
				} else {
					assert.Equal(t, running, l.ID())
					assert.Equal(t, "parent", l.Info().Parent)
				}
			}
			ctx := parent.Context(context.Background())
			accepted := w.hub.Counts().Accepted
			out, err := double.Do(ctx, w.hub, 10)
			require.NoError(t, err)
			assert.Equal(t, 20, out, "its result is there already")
			again, err := double.Submit(ctx, w.hub, 11)
			require.NoError(t, err)
			assert.Equal(t, running, again.ID())
			assert.Equal(t, accepted, w.hub.Counts().Accepted)
			require.True(t, w.hub.Cancel("parent", errBroken))
			synctest.Wait()
			assert.Equal(t, routing.StateCancelled, again.Status(), "it ends with its parent")
			_, err = again.Await(context.Background())
			assert.ErrorIs(t, err, routing.ErrParentEnded)
		},
		func(w *world) {
			assert.Equal(t, routing.StateCancelled, w.inspect(running).State)
			assert.Equal(t, "parent", w.inspect(running).Parent)
		},
	)
}

// A subtask whose parent went into quarantine goes on without it, also when that is back in a later life.
func TestASubtaskThatHasLostItsParentStaysWithoutOne(t *testing.T) {
	lives(t, routing.Options{QuarantineAfter: 1},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			w.submit(1, routing.ID("parent"))
			_, err := double.Submit(s.only().Context(context.Background()), w.hub, 1, routing.ID("child"))
			require.NoError(t, err)
			s.settleOnly(routing.Crashed(errBroken, nil))
			require.NoError(t, w.hub.Requeue("parent"))
		},
		func(w *world) {
			w.declare()
			require.True(t, w.hub.Cancel("parent", errBroken))
			assert.Equal(t, routing.StateWaiting, w.inspect("child").State)
		},
	)
}

// An input that a requeued task has once had is still there for it.
func TestInputsOfAQuarantinedTaskAreKept(t *testing.T) {
	lives(t, routing.Options{Results: -1, QuarantineAfter: 1},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			input := w.submit(1, routing.ID("input"))
			w.submit(1, routing.ID("t"), routing.After(input))
			s.settleOnly(routing.Done(5))
			s.settleOnly(routing.Crashed(errBroken, nil))
			_, known := w.hub.Inspect("input")
			require.False(t, known)
		},
		func(w *world) {
			w.declare()
			require.NoError(t, w.hub.Requeue("t"))
			s := w.join("a", 1, 1)
			in, err := double.Input(s.only().Context(context.Background()))
			require.NoError(t, err)
			assert.Equal(t, 5, in)
			s.settleOnly(routing.Done(1))
			assert.Len(t, w.options.Store.(*memory).contents(), 1, "the books")
		},
	)
}

// A handle is never forgotten: a task that names one as its input brings its record back.
func TestAnInputThatWasForgottenIsKeptForWhoNamesItsHandle(t *testing.T) {
	lives(t, routing.Options{Results: -1},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			input := w.submit(1, routing.ID("input"))
			s.settleOnly(routing.Done(5))
			require.Len(t, w.options.Store.(*memory).contents(), 1)
			s.Leave(nil)
			w.submit(1, routing.ID("t"), routing.After(input))
		},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			in, err := double.Input(s.only().Context(context.Background()))
			require.NoError(t, err)
			assert.Equal(t, 5, in)
			s.settleOnly(routing.Done(1))
			assert.Len(t, w.options.Store.(*memory).contents(), 1, "the books")
		},
	)
}

func TestUpdatesEndWhenTheEndIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{latency: time.Second}
		w := newWorldOf(t, quietSystem(), routing.Options{Store: store})
		w.declare()
		s := w.join("a", 1, 1)
		h := w.submit(1)
		w.pass(2 * time.Second)
		updates := h.Updates(context.Background())
		lease := s.only()
		routing.Progress(lease.Context(context.Background()), "half")
		assert.Equal(t, "half", <-updates)
		s.settle(lease, routing.Done(1))
		select {
		case <-updates:
			t.Error("it isn't recorded yet")
		default:
		}
		w.pass(2 * time.Second)
		_, open := <-updates
		assert.False(t, open)
		waiting := w.submit(2)
		updates = waiting.Updates(context.Background())
		w.hub.Close(nil)
		_, open = <-updates
		assert.False(t, open, "the hub lets go of it")
		w.stopDriver()
	})
}

// A part of a broadcast runs on its spoke or nowhere, and no spoke outlives the process.
func TestPartsOfABroadcastFailInALaterLife(t *testing.T) {
	lives(t, routing.Options{},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			go func() { _, _ = double.Broadcast(context.Background(), w.hub, 1, routing.ID("b")) }()
			synctest.Wait()
			require.Equal(t, "b@a", s.only().ID())
		},
		func(w *world) {
			w.declare()
			assert.Equal(t, routing.StateFailed, w.inspect("b@a").State)
			assert.ErrorIs(t, w.inspect("b@a").Err, routing.ErrSpokeGone)
			assert.ErrorContains(t, w.inspect("b@a").Err, "a@1")
			w.join("a", 1, 1).holdsNothing()
			assert.True(t, w.hub.Counts().Balanced())
		},
	)
}

// Tasks of a key stay in their order, those that were requeued too.
func TestKeysKeepTheirOrderThroughLives(t *testing.T) {
	var hubs []func(w *world)
	hubs = append(hubs, func(w *world) {
		w.declare()
		s := w.join("a", 1, 1)
		for _, id := range []string{"first", "second", "third"} {
			w.submit(1, routing.ID(id), routing.Key("k"))
		}
		s.settleOnly(routing.Crashed(errBroken, nil)) // first
		s.Resume()
		synctest.Wait()
		require.Equal(t, "second", s.only().ID())
		require.NoError(t, w.hub.Requeue("first")) // behind the others now
	}, func(w *world) {
		w.declare()
		s := w.join("a", 1, 3)
		for _, id := range []string{"second", "third", "first"} {
			require.Equal(t, id, s.only().ID())
			s.settleOnly(routing.Done(1))
		}
	})
	records := map[string][]byte{}
	synctest.Test(t, func(t *testing.T) {
		for _, life := range hubs {
			store := holding(records)
			w := newWorldOf(t, quietSystem(), routing.Options{Store: store, QuarantineAfter: 1, Balancer: routing.ConsistentHash()})
			life(w)
			synctest.Wait()
			store.kill()
			records = store.contents()
			w.stopDriver()
		}
	})
}

// The part of a broadcast ends with its process, and its unsettled subtasks, pinned or not, with it: each once.
func TestThePartsOfADeadProcessEndWithTheirSubtasks(t *testing.T) {
	var sub string
	lives(t, routing.Options{},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 5)
			w.broadcast(context.Background(), routing.ID("part"))
			ctx := s.only().Context(context.Background())
			h, err := double.Submit(ctx, w.hub, 1)
			require.NoError(t, err)
			sub = h.ID()
			w.broadcast(ctx)
			w.submit(1, routing.ID("after"), routing.After(h))
			require.Len(t, s.leases(), 3)
			w.options.Store.(*memory).kill()
			w.hub.Close(nil) // the broadcasts of this life end
		},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 5)
			s.holdsNothing()
			counts := w.hub.Counts()
			assert.True(t, counts.Balanced(), "%+v", counts)
			assert.Zero(t, counts.Unsettled())
			assert.EqualValues(t, 1, counts.Cancelled)
			assert.EqualValues(t, 3, counts.Failed)
			snapshot := w.inspect(sub)
			assert.Equal(t, routing.StateCancelled, snapshot.State)
			assert.Equal(t, routing.OutcomeInterrupted, snapshot.Attempts[0].Outcome)
			assert.Len(t, w.kinds(routing.EventSettled), 4)
		},
	)
}

// Of those that may kill the process one is tried at a time. One that awaits another of them doesn't keep that from being tried.
func TestASuspectDoesNotWaitForItsSubtask(t *testing.T) {
	begin := func(w *world) *spoke {
		w.declare()
		return w.join("a", 1, 2)
	}
	recurse := func(s *spoke) {
		parent := s.leases()[0]
		for _, l := range s.leases() {
			if l.ID() == "parent" {
				parent = l
			}
		}
		require.Equal(s.w.t, "parent", parent.ID())
		go func() { _, _ = double.Do(parent.Context(context.Background()), s.w.hub, 1, routing.ID("child")) }()
		synctest.Wait()
		require.Len(s.w.t, s.leases(), 2, "the child runs")
	}
	lives(t, routing.Options{Interruptions: 3},
		func(w *world) {
			s := begin(w)
			w.submit(0, routing.ID("parent"))
			recurse(s)
		},
		func(w *world) { recurse(begin(w)) },
		func(w *world) {
			s := begin(w)
			other := w.inspect("child")
			require.Equal(w.t, 2, other.Interrupted)
			recurse(s)
			for _, l := range s.leases() {
				if l.ID() == "child" {
					require.True(w.t, s.settle(l, routing.Done(1)))
				}
			}
			s.settleOnly(routing.Done(1))
			require.EqualValues(w.t, 2, w.hub.Counts().Done)
		},
	)
}

func TestAStoreThatIsReadTellsWhatItsHubDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		w := newWorld(t, quietSystem(), routing.Options{Store: store, Results: 2})
		s := w.join("a", 1, 1)
		w.submit(1, routing.ID("in"), routing.MaxAttempts(7))
		w.submit(2, routing.ID("in2"))
		w.submit(3, routing.ID("out"), routing.After(routing.TaskID("in"), routing.TaskID("in2")))
		s.settleOnly(routing.Done(1))
		require.NoError(t, w.hub.Flush())
		c, err := routing.ReadStore(holding(store.contents()))
		require.NoError(t, err)
		for _, read := range c.Tasks {
			told := w.inspect(read.ID)
			assert.Equal(t, told.MaxAttempts, read.MaxAttempts, read.ID)
			assert.Equal(t, told.Pending, read.Pending, read.ID)
			assert.Equal(t, told.Inputs, read.Inputs, read.ID)
			assert.Equal(t, told.Strikes, read.Strikes, read.ID)
			assert.Equal(t, told.State, read.State, read.ID)
		}
		w.end()
	})
}
