package routing_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

// work makes a spoke with credits that runs its leases by itself, each on a goroutine of its own. A panic counts as a crash, and the spoke goes on.
func (w *world) work(path string, credits int, fn func(context.Context, int) (int, error)) *routing.Spoke {
	w.t.Helper()
	handler := routing.HandlerOf(double, fn)
	var s *routing.Spoke
	run := func(l *routing.Lease) (o routing.Outcome) {
		defer func() {
			if r := recover(); r != nil {
				o = routing.Crashed(fmt.Errorf("%v", r), nil)
			}
		}()
		out, err := handler.Run(l.Context(context.Background()), l.Input())
		if err != nil {
			return routing.Error(err)
		}
		return routing.Done(out)
	}
	var joined sync.WaitGroup
	joined.Add(1)
	s, err := w.hub.Join(routing.SpokeSpec{
		ID: routing.SpokeID{Path: path}, Types: []string{double.Name()}, Credits: credits,
		Deliver: func(l *routing.Lease) {
			go func() {
				joined.Wait()
				for l != nil {
					l, _ = l.Settle(run(l))
					s.Resume()
				}
			}()
		},
	})
	joined.Done()
	require.NoError(w.t, err)
	return s
}

func TestAHandlerAwaitsSubtasksOfItsOwnPoolToAnyDepth(t *testing.T) {
	const depth = 300
	inWorld(t, routing.Options{}, func(w *world) {
		running, most := 0, 0
		var mu sync.Mutex
		count := func(d int) {
			mu.Lock()
			defer mu.Unlock()
			running += d
			most = max(most, running)
		}
		w.work("a", 1, func(ctx context.Context, n int) (int, error) { // the only one, with a single credit
			count(1)
			defer count(-1)
			if n == 0 {
				return 0, nil
			}
			count(-1)
			below, err := double.Do(ctx, w.hub, n-1)
			count(1)
			return below + 1, err
		})
		out, err := double.Do(context.Background(), w.hub, depth)
		require.NoError(t, err)
		assert.Equal(t, depth, out)
		assert.Equal(t, 1, most, "one at a time, but for those that wait")
		assert.EqualValues(t, depth+1, w.hub.Counts().Done)
	})
}

func TestManyParentsWithManySubtasksShareAPool(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 20}, func(w *world) { // fewer places than parents and subtasks want
		for i := range 2 {
			w.work(fmt.Sprint("agent", i), 1, func(ctx context.Context, n int) (int, error) {
				if n == 0 {
					return 1, nil
				}
				var wg sync.WaitGroup
				var total atomic.Int64
				var failed atomic.Value
				for range 5 {
					wg.Go(func() {
						out, err := double.Do(ctx, w.hub, n-1, routing.Wait())
						total.Add(int64(out))
						if err != nil {
							failed.Store(err)
						}
					})
				}
				wg.Wait()
				if err, ok := failed.Load().(error); ok {
					return 0, err
				}
				return int(total.Load()), nil
			})
		}
		var handles []*routing.Handle[int]
		for range 20 {
			handles = append(handles, w.submit(2, routing.Wait()))
		}
		for _, handle := range handles {
			out, err := handle.Await(context.Background())
			require.NoError(t, err)
			assert.Equal(t, 25, out)
		}
		assert.EqualValues(t, 20*(1+5+25), w.hub.Counts().Done)
		for _, s := range w.hub.Spokes() {
			assert.Zero(t, s.Leases)
			assert.Zero(t, s.Awaiting)
		}
	})
}

func TestACreditIsFreeWhileItsHandlerAwaits(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		other := w.submit(2)
		parent := s.only()
		ctx := parent.Context(context.Background())
		child, err := double.Submit(ctx, w.hub, 3)
		require.NoError(t, err)
		awaited := make(chan int, 1)
		go func() {
			out, _ := child.Await(ctx)
			awaited <- out
		}()
		synctest.Wait()
		assert.Equal(t, []routing.SpokeStatus{{ID: s.ID(), Types: []string{"double"}, Credits: 1, Leases: 2, Awaiting: 1}}, w.hub.Spokes())
		lease := s.leases()[1]
		assert.Equal(t, child.ID(), lease.ID(), "a subtask goes before others")
		s.settle(lease, routing.Done(6))
		assert.Equal(t, 6, <-awaited)
		assert.Len(t, s.leases(), 2)
		assert.Equal(t, other.ID(), s.leases()[1].ID())
		assert.Equal(t, 0, w.hub.Spokes()[0].Awaiting, "it goes on though its credit is in use")
		assert.Equal(t, 2, w.hub.Spokes()[0].Leases)
		w.submit(4)
		s.settle(s.leases()[1], routing.Done(4))
		assert.Len(t, s.leases(), 1, "the next is given only when there is a credit")
		s.settle(parent, routing.Done(2))
		assert.Len(t, s.leases(), 1)
	})
}

func TestAHandlerThatReturnsWhileAGoroutineOfItsStillAwaits(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		parent := s.only()
		ctx := parent.Context(context.Background())
		child, err := double.Submit(ctx, w.hub, 3, routing.Detached())
		require.NoError(t, err)
		go func() { _, _ = child.Await(ctx) }()
		synctest.Wait()
		s.settle(parent, routing.Done(2))
		assert.Equal(t, []routing.SpokeStatus{{ID: s.ID(), Types: []string{"double"}, Credits: 1, Leases: 1}}, w.hub.Spokes())
		s.settleOnly(routing.Done(6))
		assert.Equal(t, []routing.SpokeStatus{{ID: s.ID(), Types: []string{"double"}, Credits: 1}}, w.hub.Spokes())
	})
}

func TestTheTimeLimitOfAnAttemptStandsStillWhileItAwaits(t *testing.T) {
	inWorld(t, routing.Options{AttemptTimeout: time.Minute}, func(w *world) {
		s := w.join("a", 1, 2)
		handle := w.submit(1)
		ctx := s.only().Context(context.Background())
		limit, ok := ctx.Deadline()
		require.True(t, ok)
		derived, cancel := context.WithCancel(ctx)
		defer cancel()
		w.pass(30 * time.Second)
		child, err := double.Submit(ctx, w.hub, 2, routing.Timeout(time.Hour))
		require.NoError(t, err)
		go func() { _, _ = child.Await(ctx) }()
		synctest.Wait()
		_, ok = ctx.Deadline()
		assert.False(t, ok)
		w.pass(10 * time.Minute)
		assert.NoError(t, derived.Err())
		assert.Equal(t, routing.StateLeased, handle.Status())
		s.settle(s.leases()[1], routing.Done(4))
		end, ok := ctx.Deadline()
		require.True(t, ok)
		assert.Equal(t, limit.Add(10*time.Minute), end)
		w.pass(30*time.Second - 1)
		assert.NoError(t, derived.Err())
		w.pass(1)
		for _, c := range []context.Context{ctx, derived} {
			assert.Equal(t, context.DeadlineExceeded, c.Err())
			assert.Equal(t, routing.ErrAttemptTimeout, context.Cause(c))
		}
		snapshot, _ := w.hub.Inspect(handle.ID())
		assert.Equal(t, 1, snapshot.Strikes)
	})
}

func TestASubtaskInheritsDeadlineAndPriority(t *testing.T) {
	inWorld(t, of(routing.TypeOptions{Lifetime: time.Hour}), func(w *world) {
		s := w.join("a", 1, 9)
		soon := time.Now().Add(time.Minute)
		parent := w.submit(1, routing.Deadline(soon), routing.Priority(2))
		ctx := s.only().Context(context.Background())
		child := func(options ...routing.SubmitOption) routing.TaskInfo {
			handle, err := double.Submit(ctx, w.hub, 2, options...)
			require.NoError(t, err)
			snapshot, _ := w.hub.Inspect(handle.ID())
			return snapshot.TaskInfo
		}
		info := child()
		assert.True(t, info.Deadline.Equal(soon))
		assert.Equal(t, 2, info.Priority)
		assert.Equal(t, parent.ID(), info.Parent)
		info = child(in(time.Hour), routing.Priority(0))
		assert.True(t, info.Deadline.Equal(soon), "no later than its parent's")
		assert.Equal(t, 0, info.Priority)
		assert.True(t, child(in(time.Second)).Deadline.Equal(time.Now().Add(time.Second)))
		info = child(routing.Detached())
		assert.True(t, info.Deadline.Equal(time.Now().Add(time.Hour)), "it is no subtask")
		assert.Empty(t, info.Parent)
	})
}

func TestWhatBecomesOfTheSubtasksOfATaskThatEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end     func(w *world, s *spoke, parent *routing.Lease)
		cancels bool
	}{
		"done":        {func(_ *world, s *spoke, l *routing.Lease) { s.settle(l, routing.Done(1)) }, false},
		"quarantined": {func(_ *world, s *spoke, l *routing.Lease) { s.settle(l, routing.Crashed(errBroken, nil)) }, false},
		"released":    {func(_ *world, s *spoke, l *routing.Lease) { s.settle(l, routing.Released(errBroken)) }, false},
		"tried again": {func(_ *world, s *spoke, l *routing.Lease) { s.settle(l, routing.Error(errBroken)) }, false},
		"failed":      {func(_ *world, s *spoke, l *routing.Lease) { s.settle(l, routing.Error(routing.Permanent(errBroken))) }, true},
		"cancelled":   {func(w *world, _ *spoke, l *routing.Lease) { w.hub.Cancel(l.ID(), errBroken) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{QuarantineAfter: 1}, func(w *world) {
				s := w.join("a", 1, 1)
				w.submit(1)
				lease := s.only()
				ctx := lease.Context(context.Background())
				child, err := double.Submit(ctx, w.hub, 2)
				require.NoError(t, err)
				detached, err := double.Submit(ctx, w.hub, 3, routing.Detached())
				require.NoError(t, err)
				grandchildren := w.sub(child)
				s.Pause()
				c.end(w, s, lease)
				assert.Equal(t, routing.StateWaiting, detached.Status())
				for _, handle := range append(grandchildren, child) {
					require.Equal(t, c.cancels, handle.Status() == routing.StateCancelled)
					if c.cancels {
						_, err := await(t, handle)
						assert.ErrorIs(t, err, routing.ErrParentEnded)
						assert.ErrorIs(t, err, errBroken)
						assert.Equal(t, 1, strings.Count(err.Error(), routing.ErrParentEnded.Error()), "%v", err)
					}
				}
			})
		})
	}
}

// sub lets a spoke begin with the task, and gives it two subtasks.
func (w *world) sub(parent *routing.Handle[int]) (subtasks []*routing.Handle[int]) {
	w.t.Helper()
	s := w.join("sub", 1, 1)
	require.Equal(w.t, parent.ID(), s.only().ID())
	ctx := s.only().Context(context.Background())
	for i := range 2 {
		handle, err := double.Submit(ctx, w.hub, i)
		require.NoError(w.t, err)
		subtasks = append(subtasks, handle)
	}
	s.Pause()
	return append(subtasks, parent)[:2]
}

func TestTheDeadlineOfATaskIsThatOfAllBelowIt(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		parent := w.submit(1, in(time.Minute))
		child, err := double.Submit(s.only().Context(context.Background()), w.hub, 2)
		require.NoError(t, err)
		w.pass(time.Minute)
		assert.Equal(t, routing.StateExpired, parent.Status())
		assert.True(t, child.Status().Settled())
		_, err = await(t, child)
		assert.ErrorIs(t, err, routing.ErrExpired)
	})
}

func TestTheNextAttemptOfAParentFindsItsSubtasks(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		children := func() (handles []*routing.Handle[int]) {
			ctx := s.leases()[0].Context(context.Background())
			for _, n := range []int{10, 20, 20, 30, 40} {
				handle, err := double.Submit(ctx, w.hub, n)
				require.NoError(t, err)
				handles = append(handles, handle)
			}
			keyed, err := double.Submit(ctx, w.hub, 10, routing.Key("k"))
			require.NoError(t, err)
			return append(handles, keyed)
		}
		ids := func(handles []*routing.Handle[int]) (ids []string) {
			for _, handle := range handles {
				ids = append(ids, handle.ID())
			}
			return ids
		}
		first := children()
		distinct := map[string]bool{}
		for _, id := range ids(first) {
			distinct[id] = true
		}
		assert.Len(t, distinct, 6, "equal subtasks of one attempt are not one")
		helper := w.join("b", 1, 9)
		for _, l := range helper.leases() {
			switch l.Input() {
			case 10:
				helper.settle(l, routing.Done(100))
			case 30:
				helper.settle(l, routing.Error(routing.Permanent(errBroken)))
			}
		}
		first[4].Cancel(errBroken)
		helper.Pause()
		s = s.crash("parent")
		w.pass(2 * time.Second)

		again := children()
		for i, handle := range again {
			switch i {
			case 3, 4:
				assert.NotEqual(t, first[i].ID(), handle.ID(), "what failed or was cancelled is tried anew")
				assert.Equal(t, routing.StateWaiting, handle.Status())
			default:
				assert.Equal(t, first[i].ID(), handle.ID())
			}
		}
		assert.Equal(t, routing.StateDone, again[0].Status())
		assert.Equal(t, routing.StateLeased, again[1].Status())
		assert.EqualValues(t, 1+6+2, w.hub.Counts().Accepted)
	})
}

func TestIDsOfSubtasks(t *testing.T) {
	inWorldOf(t, routing.Options{}, func(w *world) {
		require.NoError(t, w.hub.Declare("odd", "float"))
		s := w.join("a", 1, 1)
		w.submit(1, routing.ID("parent"))
		ctx := s.only().Context(context.Background())
		named, err := double.Submit(ctx, w.hub, 1, routing.ID("mine"))
		require.NoError(t, err)
		assert.Equal(t, "mine", named.ID())
		derived, err := double.Submit(ctx, w.hub, 1)
		require.NoError(t, err)
		assert.Regexp(t, `^parent/[a-z2-7]{16}$`, derived.ID())
		second, err := double.Submit(ctx, w.hub, 1)
		require.NoError(t, err)
		assert.Equal(t, derived.ID()+"~2", second.ID())
		for _, in := range []any{math.NaN(), odd{}} { // what can't be encoded has an id that is made up
			handle, err := routing.NewType[any, int]("odd").Submit(ctx, w.hub, in)
			require.NoError(t, err)
			assert.NotContains(t, handle.ID(), "parent")
		}
	})
}

// odd has an encoding that panics.
type odd struct{}

func (odd) MarshalJSON() ([]byte, error) { panic("odd") }

func TestAParentThatIsInterruptedLeavesItsSubtaskToTheNextAttempt(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		var attempts atomic.Int64
		agent := func(ctx context.Context, n int) (int, error) {
			if n == 0 {
				time.Sleep(time.Minute)
				return int(attempts.Add(1)), nil
			}
			return double.Do(ctx, w.hub, 0)
		}
		w.work("a", 1, agent)
		parent := w.submit(1)
		w.pass(10 * time.Second)
		s := w.hub.Spokes()[0]
		require.Equal(t, 1, s.Awaiting)
		snapshot, _ := w.hub.Inspect(parent.ID())
		require.Equal(t, 1, snapshot.Attempt)

		w.hub.Pause() // or the next attempt would be at once
		w.work("b", 1, agent)
		a, err := w.hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "a", Incarnation: 1}, Types: []string{"shout"}, Deliver: func(*routing.Lease) {}})
		require.NoError(t, err)
		defer a.Leave(nil)
		w.pass(time.Second)
		w.hub.Resume()
		w.pass(2 * time.Minute)
		out, err := await(t, parent)
		require.NoError(t, err)
		assert.EqualValues(t, 2, out, "both attempts of the subtask ran to their end; the second's result counts")
		assert.EqualValues(t, 2, w.hub.Counts().Accepted)
		assert.EqualValues(t, 2, w.hub.Counts().Done)
	})
}

func TestDoInAHandlerCancelsItsSubtaskIfItsOwnContextEnds(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		ctx, cancel := context.WithTimeout(s.only().Context(context.Background()), time.Second)
		defer cancel()
		s.Pause()
		_, err := double.Do(ctx, w.hub, 2, routing.ID("child"))
		assert.ErrorIs(t, err, routing.ErrCancelled)
		snapshot, _ := w.hub.Inspect("child")
		assert.Equal(t, routing.StateCancelled, snapshot.State)
	})
}

func TestDoInAHandlerCancelsASubtaskThatAnEarlierAttemptHasSubmitted(t *testing.T) {
	for name, do := range map[string]func(context.Context, *world) error{
		"do": func(ctx context.Context, w *world) error { _, err := shout.Do(ctx, w.hub, "x"); return err },
		"broadcast": func(ctx context.Context, w *world) error {
			replies, err := shout.Broadcast(ctx, w.hub, "x")
			require.NoError(w.t, err)
			return replies[0].Err
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{}, func(w *world) {
				sub := w.join("sub", 1, 1, shout.Name())
				parent := w.join("parent", 1, 1)
				w.submit(1)
				begun := parent.only().Context(context.Background())
				go func() { _ = do(begun, w) }()
				synctest.Wait()
				lease := sub.only()
				parent = parent.crash("parent")
				w.pass(2 * time.Second)
				require.Equal(t, routing.StateLeased, w.inspect(lease.ID()).State, "it is left to the next attempt")
				ctx, cancel := context.WithTimeout(parent.only().Context(context.Background()), time.Second)
				defer cancel()
				assert.ErrorIs(t, do(ctx, w), routing.ErrCancelled)
				assert.Equal(t, routing.StateCancelled, w.inspect(lease.ID()).State)
				assert.EqualValues(t, 2, w.hub.Counts().Accepted)
			})
		})
	}
}

func TestSubtasksOfAnAttemptThatIsOverAreRefused(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		ctx := s.only().Context(context.Background())
		s.settleOnly(routing.Done(2))
		_, err := double.Submit(ctx, w.hub, 2)
		assert.ErrorIs(t, err, context.Canceled)
		_, err = double.Submit(context.WithoutCancel(ctx), w.hub, 2)
		assert.ErrorIs(t, err, routing.ErrParentEnded)
		_, err = double.Submit(context.WithoutCancel(ctx), w.hub, 2, routing.Detached())
		assert.NoError(t, err)
	})
}

func TestAwaitingOneselfIsRefused(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		w.work("a", 1, func(ctx context.Context, n int) (int, error) {
			info, _ := routing.FromContext(ctx)
			top, err := double.Find(w.hub, "top")
			if err != nil {
				return 0, err
			}
			if n > 0 {
				_, err := double.Do(ctx, w.hub, n-1)
				return 0, err
			}
			if _, err := double.Do(ctx, w.hub, 0, routing.ID(info.ID)); !errors.Is(err, routing.ErrCircular) {
				return 0, fmt.Errorf("awaiting itself: %w", err)
			}
			_, err = top.Await(ctx)
			return 0, routing.Permanent(err)
		})
		_, err := double.Do(context.Background(), w.hub, 2, routing.ID("top"))
		assert.ErrorIs(t, err, routing.ErrCircular)
		assert.ErrorIs(t, err, routing.ErrFailed)
	})
}

func TestSubtasksAreBoundedInDepth(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		w.work("a", 1, func(ctx context.Context, n int) (int, error) {
			out, err := double.Do(ctx, w.hub, n+1)
			if errors.Is(err, routing.ErrTooDeep) {
				return n, nil
			}
			return out, err
		})
		out, err := double.Do(context.Background(), w.hub, 0)
		require.NoError(t, err)
		assert.Equal(t, 1000, out)
		for id := range strings.SplitSeq(w.deepest(), "\n") {
			assert.Less(t, len(id), 300)
		}
	})
}

// deepest returns the ids of all tasks that were submitted.
func (w *world) deepest() string {
	var ids []string
	for _, e := range w.kinds(routing.EventSubmitted) {
		ids = append(ids, e.Task)
	}
	return strings.Join(ids, "\n")
}

func TestAFullHubStillAcceptsOneSubtaskOfEach(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 1, Types: map[string]routing.TypeOptions{"double": {Capacity: 1}}}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		lease := s.only()
		s.Pause()
		ctx := lease.Context(context.Background())
		first, err := double.Submit(ctx, w.hub, 2)
		require.NoError(t, err)
		var full *routing.QueueFullError
		_, err = double.Submit(ctx, w.hub, 3)
		require.ErrorAs(t, err, &full)

		var blocked []func() (*routing.Handle[int], error, bool)
		for n := range 3 {
			blocked = append(blocked, w.blocked(ctx, 10+n))
		}
		answered := func(want ...bool) {
			t.Helper()
			synctest.Wait()
			for i, outcome := range blocked {
				_, err, answered := outcome()
				assert.Equal(t, want[i], answered, "submitter %d", i)
				assert.NoError(t, err)
			}
		}
		answered(false, false, false)
		first.Cancel(nil)
		answered(true, false, false)
		assert.EqualValues(t, 2, w.hub.Counts().Unsettled())
		handle, _, _ := blocked[0]()
		handle.Cancel(nil)
		answered(true, true, false)

		w.hub.Cancel(lease.ID(), errBroken) // its subtasks end, and who waits to submit one is told
		synctest.Wait()
		_, err, done := blocked[2]()
		assert.True(t, done)
		assert.Error(t, err)
		assert.Zero(t, w.hub.Counts().Unsettled())
		assert.Zero(t, w.hub.Types()[0].Unsettled)
		s.settle(lease, routing.Released(nil))
		s.Resume()
		w.submit(4)
		s.settleOnly(routing.Done(8))
	})
}

func TestABlockedSubtaskWhoseIDIsTakenMeanwhileIsThatTask(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		lease := s.only()
		ctx := lease.Context(context.Background())
		first, err := double.Submit(ctx, w.hub, 2)
		require.NoError(t, err)
		one, two := w.blocked(ctx, 3, routing.ID("x")), w.blocked(ctx, 3, routing.ID("x"))
		first.Cancel(nil)
		synctest.Wait()
		x, err, answered := one()
		require.True(t, answered)
		require.NoError(t, err)
		x.Cancel(nil)
		synctest.Wait()
		y, err, answered := two()
		require.True(t, answered)
		require.NoError(t, err)
		assert.Equal(t, routing.StateCancelled, y.Status())
		assert.EqualValues(t, 3, w.hub.Counts().Accepted)
	})
}

func TestCloseCancelsWhatIsBelowAndBehindForTheSameReason(t *testing.T) {
	inWorldOf(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		parent := w.submit(1)
		child, err := double.Submit(s.only().Context(context.Background()), w.hub, 2)
		require.NoError(t, err)
		dependant := w.fanIn([]routing.Input{parent, child})
		w.hub.Close(errBroken)
		for _, handle := range []*routing.Handle[int]{parent, child, dependant} {
			_, err := await(t, handle)
			assert.ErrorIs(t, err, routing.ErrCancelled)
			assert.ErrorIs(t, err, routing.ErrClosed)
			assert.NotErrorIs(t, err, routing.ErrParentEnded)
		}
		assert.EqualValues(t, 3, w.hub.Counts().Cancelled)
		assert.True(t, w.hub.Counts().Balanced())
	})
}

func TestASubtaskInAnotherHub(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		elsewhere, err := routing.NewHub(routing.Options{})
		require.NoError(t, err)
		require.NoError(t, elsewhere.Declare("double"))
		s := w.join("a", 1, 1)
		parent := w.submit(1, in(time.Minute), routing.ID("parent"))
		ctx := s.only().Context(context.Background())
		child, err := double.Submit(ctx, elsewhere, 2)
		require.NoError(t, err)
		snapshot, _ := elsewhere.Inspect(child.ID())
		assert.True(t, snapshot.Deadline.Equal(time.Now().Add(time.Minute)))
		assert.Contains(t, child.ID(), "parent/")
		parent.Cancel(errBroken)
		assert.Equal(t, routing.StateWaiting, child.Status())
		elsewhere.Close(nil)
	})
}

func TestThePartsOfABroadcastAreFoundBySpoke(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		require.NoError(t, w.hub.Declare("sum"))
		s := w.join("parent", 1, 1, "sum")
		_, err := sum.Submit(context.Background(), w.hub, "")
		require.NoError(t, err)
		synctest.Wait()
		broadcast := func(ctx context.Context) {
			go func() { _, _ = double.Broadcast(ctx, w.hub, 1) }()
			synctest.Wait()
		}
		b := w.join("b", 1, 1)
		broadcast(s.only().Context(context.Background()))
		part := b.only().ID()
		s.settleOnly(routing.Released(errBroken))
		a := w.join("a", 1, 1) // before b, in the order of their paths
		s.Resume()
		synctest.Wait()
		broadcast(s.only().Context(context.Background()))
		assert.Equal(t, part, b.only().ID(), "the same part for the same spoke")
		assert.NotEqual(t, part, a.only().ID())
		assert.EqualValues(t, 3, w.hub.Counts().Accepted)
	})
}

// Two tasks that each await a subtask with the other's key would wait for each other, and so would three in a ring, or what is further down.
func TestSubtasksWithKeysOfOthersDoNotWaitInACircle(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		for _, deep := range []bool{false, true} {
			inWorld(t, routing.Options{Balancer: routing.ConsistentHash(), Capacity: 1000}, func(w *world) {
				ring := func(i int) routing.SubmitOption { return routing.Key(fmt.Sprint("key ", i%n)) }
				var begun atomic.Int32
				all := make(chan struct{})
				for s := range 3 {
					w.work(fmt.Sprint("spoke ", s), n, func(ctx context.Context, i int) (int, error) {
						switch {
						case i >= 2*n:
							return i, nil
						case i >= n: // a task between, without a key
							return double.Do(ctx, w.hub, 2*n, ring(i+1))
						}
						if begun.Add(1) == int32(n) {
							close(all)
						}
						<-all
						if deep {
							return double.Do(ctx, w.hub, n+i)
						}
						return double.Do(ctx, w.hub, 2*n, ring(i+1))
					})
				}
				for i := range n {
					w.submit(i, routing.ID(fmt.Sprint("top ", i)), ring(i))
				}
				w.pass(time.Hour)
				require.Equal(w.t, 0, int(w.hub.Counts().Unsettled()))
			})
		}
	}
}

// Whatever keys tasks and their subtasks have, and whatever needs what, all get on; now and then an attempt fails, or a task goes into quarantine and is requeued.
func TestSubtasksWithAnyKeysGetOn(t *testing.T) {
	const sound, fragile = 3, 4
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, quietSystem(), routing.Options{Balancer: routing.ConsistentHash(), QuarantineAfter: 1})
			defer w.end()
			for s := range 3 {
				w.work(fmt.Sprint("spoke ", s), 1+s, func(ctx context.Context, depth int) (int, error) {
					info, _ := routing.FromContext(ctx)
					hash := fnv.New64a()
					_, _ = hash.Write([]byte(info.ID))
					random := rand.New(rand.NewPCG(seed, hash.Sum64()))
					time.Sleep(time.Duration(random.IntN(5)) * time.Second)
					var subs []*routing.Handle[int]
					for i := range random.IntN(4) * min(depth, 1) {
						options := []routing.SubmitOption{routing.ID(fmt.Sprint(info.ID, "/", i)), routing.Key(fmt.Sprint("key ", random.IntN(4)))}
						if i > 0 && random.IntN(3) == 0 {
							options = append(options, routing.After(subs[i-1]))
						}
						sub, err := double.Submit(ctx, w.hub, depth-1, options...)
						if err != nil {
							return 0, err
						}
						subs = append(subs, sub)
						time.Sleep(time.Duration(random.IntN(2)) * time.Second)
					}
					switch {
					case info.Attempt > 1:
					case depth == fragile:
						panic("crash")
					case random.IntN(4) == 0:
						return 0, errBroken
					}
					for _, sub := range subs {
						if _, err := sub.Await(ctx); err != nil {
							return 0, err
						}
					}
					return depth, nil
				})
			}
			for i := range 12 {
				key := func(i int) routing.SubmitOption { return routing.Key(fmt.Sprint("key ", i%4)) }
				if i%3 == 0 {
					w.submit(fragile, key(i))
					continue
				}
				top := w.submit(sound, routing.ID(fmt.Sprint("top ", i)), key(i))
				w.submit(0, routing.After(top), key(i+int(seed)))
			}
			for range 100 {
				w.pass(5 * time.Second)
				for _, crashed := range w.hub.Quarantined() {
					require.NoError(t, w.hub.Requeue(crashed.ID))
				}
			}
			w.pass(24 * time.Hour)
			counts := w.hub.Counts()
			require.Equal(t, counts.Accepted, counts.Done, "seed %d: %+v", seed, counts)
		})
	}
}

// A handler that goes on for long, with very many subtasks, costs little for each: no more than a mark of its id until the attempt ends.
func TestWhatAnAttemptKeepsOfItsSubtasksIsSmall(t *testing.T) {
	const n = 100_000
	hub, err := routing.NewHub(routing.Options{Results: -1})
	require.NoError(t, err)
	require.NoError(t, hub.Declare(double.Name(), shout.Name()))
	_, err = hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "a"}, Types: []string{double.Name()}, Deliver: func(l *routing.Lease) {
		for l != nil {
			l, _ = l.Settle(routing.Done(0))
		}
	}})
	require.NoError(t, err)
	_, err = shout.Submit(t.Context(), hub, "parent")
	require.NoError(t, err)
	parents := make(chan *routing.Lease, 1)
	_, err = hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "b"}, Types: []string{shout.Name()}, Deliver: func(l *routing.Lease) { parents <- l }})
	require.NoError(t, err)
	system := quietSystem()
	driver := system.Root.Spawn(actor.PropsFromProducer(hub.Actor()))
	defer func() {
		hub.Close(nil)
		require.NoError(t, system.Root.StopFuture(driver).Wait())
		system.Shutdown()
	}()
	parent := <-parents
	ctx := parent.Context(t.Context())
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range n {
		_, err := double.Submit(ctx, hub, i)
		require.NoError(t, err)
	}
	after := heap()
	require.EqualValues(t, n, hub.Counts().Done)
	each := (float64(after) - float64(before)) / n
	t.Logf("%.0f B a subtask", each)
	require.Less(t, each, 40.0, "bytes kept of each subtask")
	again, err := double.Submit(ctx, hub, 7)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(again.ID(), "~2"), "it is known that this is the second of its kind: %s", again.ID())
}
