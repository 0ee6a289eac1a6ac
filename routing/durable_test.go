package routing_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

// lives runs lives of one process after the other, each on the store that the one before left, in virtual time.
func lives(t *testing.T, options routing.Options, each ...func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		records := map[string][]byte{}
		for _, life := range each {
			store := holding(records)
			options.Store = store
			w := newWorldOf(t, quietSystem(), options)
			life(w)
			synctest.Wait()
			store.kill()
			records = store.contents()
			w.hub.Close(nil) // for those who still wait
			w.stopDriver()
			time.Sleep(time.Minute) // the next process starts later
		}
	})
}

func (w *world) declare() { require.NoError(w.t, w.hub.Declare(double.Name(), shout.Name())) }

func (w *world) inspect(id string) routing.TaskSnapshot {
	w.t.Helper()
	s, ok := w.hub.Inspect(id)
	require.True(w.t, ok, "task %s is known", id)
	return s
}

// find returns the handle of a task that is known.
func (w *world) find(id string) *routing.Handle[int] {
	w.t.Helper()
	w.inspect(id)
	h, err := double.Submit(context.Background(), w.hub, -1, routing.ID(id))
	require.NoError(w.t, err)
	return h
}

func TestWhatWasRecordedOutlivesTheProcess(t *testing.T) {
	lives(t, routing.Options{QuarantineAfter: 1, MaxAttempts: 1},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			for _, id := range []string{"done", "failed", "quarantined", "cancelled", "expired", "waiting", "second"} {
				var options []routing.SubmitOption
				if id == "expired" {
					options = append(options, routing.Deadline(time.Now().Add(time.Second)))
				}
				w.submit(len(id), append(options, routing.ID(id), routing.Key("key of "+id))...)
			}
			s.settleOnly(routing.Done(8))
			s.settleOnly(routing.Error(errBroken))
			s = s.crash("the stack")
			lease := s.only()
			w.hub.Cancel("cancelled", errBroken)
			s.settle(lease, routing.Done(1))
			lease = s.only()
			w.pass(time.Second)
			s.settle(lease, routing.Done(1))
			s.settleOnly(routing.Done(7))
			lease = s.only()
			s.settle(lease, routing.Released(nil))
		},
		func(w *world) {
			w.declare()
			counts := w.hub.Counts()
			assert.Equal(t, routing.Counts{Accepted: 7, Waiting: 1, Done: 2, Failed: 1, Quarantined: 1, Cancelled: 1, Expired: 1, Attempts: 7, Late: 2}, counts)
			out, err := await(t, w.find("done"))
			assert.NoError(t, err)
			assert.Equal(t, 8, out)

			for id, sentinel := range map[string]error{
				"failed": routing.ErrFailed, "quarantined": routing.ErrQuarantined, "cancelled": routing.ErrCancelled, "expired": routing.ErrExpired,
			} {
				_, err = await(t, w.find(id))
				assert.ErrorIs(t, err, sentinel)
				s := w.inspect(id)
				assert.Equal(t, "key of "+id, s.Key)
				assert.Equal(t, id, s.IdempotencyKey)
				assert.ErrorIs(t, s.Err, sentinel)
			}
			_, err = await(t, w.find("failed"))
			assert.ErrorContains(t, err, `task failed of type "double" is failed after attempt 1: broken`)

			set := w.hub.Quarantined()
			require.Len(t, set, 1)
			assert.Equal(t, "quarantined", set[0].ID)
			require.Len(t, set[0].Attempts, 1)
			a := set[0].Attempts[0]
			assert.Equal(t, "the stack", a.Stack())
			assert.Equal(t, routing.OutcomeCrashed, a.Outcome)
			assert.EqualError(t, a.Err, "panic in the stack")
			assert.Equal(t, routing.SpokeID{Path: "a", Incarnation: 1}, a.Spoke)
			assert.False(t, a.Start.IsZero() || a.End.IsZero())

			require.NoError(t, w.hub.Requeue("quarantined"))
			s := w.join("a", 1, 2)
			require.Len(t, s.leases(), 2)
			for _, l := range s.leases() {
				require.IsType(t, routing.Stored{}, l.Input())
				in, err := routing.HandlerOf(double, func(_ context.Context, n int) (int, error) { return n, nil }).Run(context.Background(), l.Input())
				require.NoError(t, err)
				assert.Equal(t, len(l.ID()), in, "the input of %s", l.ID())
				assert.True(t, s.settle(l, routing.Done(3)))
			}
			assert.Equal(t, 2, w.inspect("quarantined").Attempt)
		},
		func(w *world) {
			assert.Equal(t, routing.Counts{Accepted: 7, Done: 4, Failed: 1, Cancelled: 1, Expired: 1, Attempts: 9, Late: 2}, w.hub.Counts())
			w.declare()
			_, err := double.Submit(context.Background(), w.hub, 1)
			assert.NoError(t, err, "made-up ids don't collide")
			assert.EqualValues(t, 8, w.hub.Counts().Accepted)
		},
	)
}

// That a process ends in good order while it has a task in hand says nothing about the task.
func TestAnAttemptThatIsGivenBackDoesNotInterruptARowOfInterruptions(t *testing.T) {
	dies := func(w *world) {
		w.declare()
		w.join("a", 1, 1).only()
	}
	stops := func(w *world) {
		dies(w)
		w.hub.Close(nil)
	}
	submit := func(w *world) {
		w.declare()
		w.submit(1, routing.ID("t"))
	}
	lives(t, routing.Options{}, submit, dies, stops, dies, stops, func(w *world) {
		assert.Equal(t, 2, w.inspect("t").Interrupted)
		dies(w)
	}, func(w *world) {
		assert.Equal(t, routing.StateQuarantined, w.inspect("t").State)
		assert.ErrorContains(t, w.inspect("t").Err, "for the 3. time in a row")
	})
}

func TestAnAttemptThatTheProcessDiesDuringIsTriedAgainAndCounted(t *testing.T) {
	lives(t, routing.Options{},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			w.submit(1, routing.ID("t"))
			w.submit(2, routing.ID("u"))
			s.only()
		},
		func(w *world) {
			w.declare()
			assert.Equal(t, routing.Counts{Accepted: 2, Waiting: 2, Attempts: 1}, w.hub.Counts())
			told := w.kinds(routing.EventLoaded, routing.EventRetried)
			require.Len(t, told, 2)
			assert.Equal(t, routing.OutcomeInterrupted, told[1].Outcome)
			assert.Equal(t, "t", told[1].Task)
			snapshot := w.inspect("t")
			assert.Equal(t, 1, snapshot.Interrupted)
			require.Len(t, snapshot.Attempts, 1)
			assert.Equal(t, routing.OutcomeInterrupted, snapshot.Attempts[0].Outcome)
			assert.ErrorIs(t, snapshot.Attempts[0].Err, routing.ErrInterrupted)

			s := w.join("a", 1, 1)
			lease := s.only()
			assert.Equal(t, "t", lease.ID(), "it keeps its turn")
			assert.Equal(t, 2, lease.Attempt())
			assert.Equal(t, "t", lease.Info().IdempotencyKey)
			s.settleOnly(routing.Done(1))
			assert.Zero(t, w.inspect("t").Interrupted, "it doesn't kill the process after all")
			s.settleOnly(routing.Done(1))
		},
	)
}

// A task that kills its process doesn't do so for ever, and takes no other with it.
func TestATaskThatKillsItsProcessEndsInQuarantine(t *testing.T) {
	var all []func(w *world)
	for life := range 5 {
		all = append(all, func(w *world) {
			w.declare()
			s := w.join("a", 1, 3)
			switch life {
			case 0: // all three are in hand
				for _, id := range []string{"one", "killer", "three"} {
					w.submit(1, routing.ID(id))
				}
				require.Len(t, s.leases(), 3)
			case 1: // and again
				require.Len(t, s.leases(), 3)
			case 2: // from here on one at a time
				require.Equal(t, "one", s.only().ID())
				s.settleOnly(routing.Done(1))
				require.Equal(t, "killer", s.only().ID())
			case 3:
				require.Equal(t, routing.StateQuarantined, w.inspect("killer").State)
				require.Len(t, w.inspect("killer").Attempts, 3)
				assert.ErrorContains(t, w.inspect("killer").Err, "died")
				require.Equal(t, "three", s.only().ID())
				s.settleOnly(routing.Done(1))
			case 4:
				assert.Equal(t, routing.Counts{Accepted: 3, Done: 2, Quarantined: 1, Attempts: 9, Spokes: 1}, w.hub.Counts())
			}
		})
	}
	lives(t, routing.Options{}, all...)
}

func TestSuspectsGoOnWhenTheOneBeforeThemIsSettledInAnyWay(t *testing.T) {
	interrupted := func(w *world) {
		w.declare()
		s := w.join("a", 1, 4)
		for i := range 4 {
			w.submit(i, routing.ID(fmt.Sprint(i)))
		}
		require.Len(w.t, s.leases(), 4)
	}
	lives(t, routing.Options{Interruptions: 2}, interrupted, func(w *world) {
		s := w.join("a", 1, 4)
		require.Equal(t, "0", s.only().ID())
		lease := s.only()
		require.True(t, w.hub.Cancel("1", errBroken)) // it isn't its turn yet
		require.True(t, w.hub.Cancel("0", errBroken))
		s.settle(lease, routing.Done(1))
		require.Equal(t, "2", s.only().ID())
		s.settleOnly(routing.Error(notNow(time.Hour)))
		require.Equal(t, "3", s.only().ID(), "2 is put off, but not suspected any more")
	})
	lives(t, routing.Options{Interruptions: 1}, interrupted, func(w *world) {
		assert.EqualValues(t, 4, w.hub.Counts().Quarantined)
	})
}

func TestBackoffsAndDeadlinesGoOn(t *testing.T) {
	var deadline time.Time
	lives(t, routing.Options{RetryBackoff: routing.Backoff{Min: 5 * time.Minute, Max: 5 * time.Minute, Jitter: -1}},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			w.submit(1, routing.ID("backoff"))
			s.settleOnly(routing.Error(errBroken))
			deadline = time.Now().Add(10 * time.Minute)
			s.Leave(nil)
			w.submit(1, routing.ID("deadline"), routing.Deadline(deadline))
			w.submit(1, routing.ID("passed"), routing.Deadline(time.Now().Add(30*time.Second)))
		},
		func(w *world) { // a minute later
			w.declare()
			w.pass(0)
			assert.Equal(t, routing.StateExpired, w.inspect("passed").State, "it is never started")
			assert.Zero(t, w.inspect("passed").Attempt)
			s := w.join("a", 1, 2)
			assert.Equal(t, "deadline", s.only().ID())
			assert.True(t, deadline.Equal(s.only().Info().Deadline))
			w.pass(4*time.Minute - time.Second)
			assert.Equal(t, 1, w.inspect("backoff").Errors)
			assert.Len(t, s.leases(), 1)
			w.pass(time.Second)
			assert.Len(t, s.leases(), 2)
			w.pass(5 * time.Minute)
			assert.Equal(t, routing.StateExpired, w.inspect("deadline").State)
		},
	)
}

// Close leaves to the store what isn't settled, charges nothing, and says so to those who wait.
func TestCloseKeepsWhatIsNotSettled(t *testing.T) {
	lives(t, routing.Options{Capacity: 2},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			running, waiting := w.submit(1, routing.ID("running")), w.submit(2, routing.ID("waiting"))
			ctx := s.only().Context(context.Background())
			blocked := w.blocked(context.Background(), 3)
			w.hub.Close(errBroken)
			w.hub.Close(nil)
			synctest.Wait()
			for _, handle := range []*routing.Handle[int]{running, waiting} {
				_, err := await(t, handle)
				assert.ErrorIs(t, err, routing.ErrKept)
				assert.ErrorIs(t, err, routing.ErrClosed)
				assert.ErrorIs(t, err, errBroken)
				assert.NotErrorIs(t, err, routing.ErrCancelled)
				assert.Equal(t, routing.StateWaiting, handle.Status())
				assert.False(t, handle.Cancel(nil), "it is out of this hub's hands")
			}
			assert.ErrorIs(t, context.Cause(ctx), errBroken)
			_, err, answered := blocked()
			assert.True(t, answered)
			assert.ErrorIs(t, err, routing.ErrClosed)
			assert.False(t, s.settle(s.only(), routing.Done(2)), "a late result is refused")
			s.holdsNothing()
			assert.Equal(t, routing.Counts{Accepted: 2, Waiting: 2, Attempts: 1, Late: 1, Refused: 1, Spokes: 1}, w.hub.Counts())
			assert.NoError(t, w.hub.StoreErr())
			assert.Len(t, w.kinds(routing.EventClosed), 1)
		},
		func(w *world) {
			w.declare()
			assert.Zero(t, w.inspect("running").Interrupted)
			s := w.join("a", 1, 2)
			require.Len(t, s.leases(), 2)
			assert.Equal(t, "running", s.leases()[0].ID(), "it keeps its turn")
			assert.Equal(t, routing.OutcomeReleased, w.inspect("running").Attempts[0].Outcome)
		},
	)
}

func TestTasksOfAnUnknownTypeWait(t *testing.T) {
	lives(t, routing.Options{},
		func(w *world) { w.declare(); w.submit(1, routing.ID("t")) },
		func(w *world) {
			_, err := double.Submit(context.Background(), w.hub, 1)
			var unknown *routing.UnknownTypeError
			require.ErrorAs(t, err, &unknown)
			h := w.find("t")
			assert.Equal(t, routing.StateWaiting, h.Status())
			s := w.join("a", 1, 1)
			assert.Equal(t, "t", s.only().ID())
			w.submit(2)
		},
	)
}

func TestAPayloadThatNoLongerDecodesFailsItsTask(t *testing.T) {
	type point struct{ X, Y int }
	text := routing.NewType[string, string](double.Name())
	points := routing.NewType[point, point](double.Name())
	lives(t, routing.Options{},
		func(w *world) {
			w.declare()
			_, err := text.Submit(context.Background(), w.hub, "hello", routing.ID("t"))
			require.NoError(t, err)
			s := w.join("a", 1, 1)
			_, err = text.Submit(context.Background(), w.hub, "x", routing.ID("out"))
			require.NoError(t, err)
			lease := s.only()
			s.settle(lease, routing.Released(nil))
			s.Resume()
			synctest.Wait()
			s.settle(s.only(), routing.Released(nil))
			w.hub.Cancel("out", nil)
			h, err := text.Submit(context.Background(), w.hub, "x", routing.ID("out2"))
			require.NoError(t, err)
			s2 := w.join("b", 1, 2)
			for _, l := range s2.leases() {
				if l.ID() == "out2" {
					s2.settle(l, routing.Done("text"))
				}
			}
			out, err := h.Await(context.Background())
			require.NoError(t, err)
			require.Equal(t, "text", out)
		},
		func(w *world) {
			w.declare()
			handler := routing.HandlerOf(points, func(_ context.Context, p point) (point, error) { return p, nil })
			s := w.join("a", 1, 1)
			_, err := handler.Run(context.Background(), s.only().Input())
			require.Error(t, err)
			s.settleOnly(routing.Error(err))
			h, err := points.Submit(context.Background(), w.hub, point{}, routing.ID("t"))
			require.NoError(t, err)
			_, err = h.Await(context.Background())
			require.ErrorIs(t, err, routing.ErrFailed, "at once: trying again won't help")
			assert.ErrorContains(t, err, `task t of type "double" is failed after attempt 4: task type "double" takes routing_test.point, but the stored payload doesn't decode as one`)

			h, err = points.Submit(context.Background(), w.hub, point{}, routing.ID("out2"))
			require.NoError(t, err)
			_, err = h.Await(context.Background())
			assert.ErrorContains(t, err, `task out2 of type "double": its stored result doesn't decode as the routing_test.point that was asked for`)
		},
	)
}

type badJSON struct{ how string }

func (b badJSON) MarshalJSON() ([]byte, error) {
	if b.how == "panic" {
		panic("in MarshalJSON")
	}
	return nil, errBroken
}

func TestWhatCannotBeEncodedIsRefusedOrFails(t *testing.T) {
	bad := routing.NewType[badJSON, badJSON]("bad")
	lives(t, routing.Options{}, func(w *world) {
		require.NoError(t, w.hub.Declare("bad"))
		for _, how := range []string{"error", "panic"} {
			_, err := bad.Submit(context.Background(), w.hub, badJSON{how})
			require.ErrorContains(t, err, `submit task of type "bad": its input can't be recorded`)
		}
		assert.Zero(t, w.hub.Counts().Accepted)

		s := w.join("a", 1, 1, "bad")
		for _, how := range []string{"error", "panic"} {
			h, err := routing.NewType[int, badJSON]("bad").Submit(context.Background(), w.hub, 1, routing.ID(how))
			require.NoError(t, err)
			synctest.Wait()
			s.settleOnly(routing.Done(badJSON{how}))
			_, err = h.Await(context.Background())
			require.ErrorIs(t, err, routing.ErrFailed)
			require.ErrorContains(t, err, fmt.Sprintf(`the result of task %s of type "bad" can't be recorded`, how))
		}
	})
}

// Errors and stacks are the user's code. Whatever they do, the journal goes on.
func TestTextsOfErrorsAreTheUsersCode(t *testing.T) {
	lives(t, routing.Options{MaxAttempts: 1, QuarantineAfter: 1},
		func(w *world) {
			w.declare()
			s := w.join("a", 1, 1)
			w.submit(1, routing.ID("error"))
			s.settleOnly(routing.Error(wildError{}))
			w.submit(1, routing.ID("stack"))
			s.settleOnly(routing.Crashed(errBroken, func() string { panic("in stack") }))
			w.submit(1, routing.ID("strange"))
			w.hub.Cancel("strange", errors.New("no UTF-8: \xff, a quote: \" and a line\n"))
		},
		func(w *world) {
			assert.ErrorContains(t, w.inspect("error").Err, "whose text can't be had: panic: in Error")
			assert.Contains(t, w.inspect("stack").Attempts[0].Stack(), "stack not available")
			assert.ErrorContains(t, w.inspect("strange").Err, "a quote: \" and a line\n")
		},
	)
}

type wildError struct{}

func (wildError) Error() string { panic("in Error") }

func TestStrangeIDsAndKeysComeBackToTheByte(t *testing.T) {
	ids := []string{"a/b c", "quote\"", "back\\slash", "ümläut", "not\xffutf8", `["eA=="]`, "<&>"}
	lives(t, routing.Options{},
		func(w *world) {
			w.declare()
			for _, id := range ids {
				w.submit(1, routing.ID(id), routing.Key(id))
			}
		},
		func(w *world) {
			for _, id := range ids {
				assert.Equal(t, id, w.inspect(id).Key)
			}
		},
	)
}

// The window of results and the quarantine are bounded in the store as they are in memory.
func TestTheStoreForgetsWhatTheHubForgets(t *testing.T) {
	var store *memory
	lives(t, routing.Options{Results: 2, Quarantine: 1, QuarantineAfter: 1},
		func(w *world) {
			w.declare()
			store = w.options.Store.(*memory)
			s := w.join("a", 1, 1)
			for i := range 5 {
				w.submit(i, routing.ID(fmt.Sprint(i)))
				s.settleOnly(routing.Done(i))
			}
			for i := 5; i < 7; i++ {
				w.submit(i, routing.ID(fmt.Sprint(i)))
				s.settleOnly(routing.Crashed(errBroken, nil))
				s.Resume()
			}
			synctest.Wait()
			assert.Len(t, store.contents(), 3+1, "two results (one of them discarded), one in quarantine, the books")
			w.submit(1, routing.ID("0"))
			assert.EqualValues(t, 8, w.hub.Counts().Accepted, "a forgotten id is a new task")
		},
		func(w *world) {
			w.declare()
			assert.Equal(t, routing.StateDone, w.inspect("4").State)
			assert.Equal(t, routing.StateQuarantined, w.inspect("5").State)
			assert.ErrorIs(t, w.hub.Requeue("5"), routing.ErrNotQuarantined, "it was discarded")
			assert.Equal(t, 1, len(w.hub.Quarantined()))
			assert.Equal(t, routing.StateWaiting, w.inspect("0").State)
			require.NoError(t, w.hub.Discard("6"))
			assert.Len(t, w.options.Store.(*memory).contents(), 3+1)
			assert.ErrorIs(t, w.hub.Discard("6"), routing.ErrNotQuarantined)
		},
		func(w *world) {
			assert.Equal(t, 0, len(w.hub.Quarantined()))
			assert.Equal(t, routing.StateQuarantined, w.inspect("6").State)
		},
	)
	lives(t, routing.Options{Results: -1}, func(w *world) {
		w.declare()
		s := w.join("a", 1, 1)
		h := w.submit(1)
		s.settleOnly(routing.Done(7))
		out, err := await(t, h)
		assert.NoError(t, err)
		assert.Equal(t, 7, out)
		assert.Len(t, w.options.Store.(*memory).contents(), 1, "the books")
	})
}

// Nobody hears of anything before it is recorded, and Requeue and Cancel return when they are.
func TestNothingIsToldBeforeItIsRecorded(t *testing.T) {
	const latency = time.Second
	synctest.Test(t, func(t *testing.T) {
		store := &memory{latency: latency}
		w := newWorldOf(t, quietSystem(), routing.Options{Store: store, QuarantineAfter: 1})
		w.declare()
		s := w.join("a", 1, 1)
		w.pass(2 * latency)
		took := func(what string, do func()) {
			start := time.Now()
			do()
			assert.GreaterOrEqual(t, time.Since(start), latency, what)
			synctest.Wait()
		}
		var h *routing.Handle[int]
		took("submit", func() { h = w.submit(1, routing.ID("t")) })
		w.pass(2 * latency)
		lease := s.only()
		s.settle(lease, routing.Crashed(errBroken, nil))
		assert.Equal(t, routing.StateLeased, h.Status())
		assert.Equal(t, routing.StateLeased, w.inspect("t").State)
		assert.NoError(t, w.inspect("t").Err)
		assert.Empty(t, w.kinds(routing.EventSettled))
		took("result", func() { _, _ = h.Await(context.Background()) })
		assert.Equal(t, routing.StateQuarantined, h.Status())
		assert.Len(t, w.kinds(routing.EventSettled), 1)

		took("requeue", func() { require.NoError(t, w.hub.Requeue("t")) })
		h = w.submit(1, routing.ID("t"))
		took("cancel", func() { assert.True(t, h.Cancel(errBroken)) })
		assert.Equal(t, routing.StateCancelled, h.Status())
		h = w.submit(1, routing.ID("u"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		go s.Resume()
		w.pass(2 * latency)
		attempt := s.only()
		store.kill()
		s.settle(attempt, routing.Crashed(errBroken, nil))
		_, err := h.Await(ctx)
		var failed *routing.StoreError
		require.ErrorAs(t, err, &failed)
		w.stopDriver()
	})
}

// A thousand submits at once share a commit or two.
func TestManyChangesShareACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{latency: time.Millisecond}
		w := newWorldOf(t, quietSystem(), routing.Options{Store: store})
		w.declare()
		start := time.Now()
		for i := range 1000 {
			go func() { _, _ = double.Submit(context.Background(), w.hub, i) }()
		}
		w.pass(5 * time.Millisecond)
		assert.EqualValues(t, 1000, w.hub.Counts().Accepted)
		assert.LessOrEqual(t, store.count(), 2)
		assert.Less(t, time.Since(start), 10*time.Millisecond)
		w.hub.Close(nil)
		w.stopDriver()
	})
}

// ---- A store that fails.

// failing runs a scenario on a store that fails, and checks that nobody is left waiting and that the hub says what is the matter.
func failing(t *testing.T, store *memory, cause error) {
	t.Helper()
	w := newWorldOf(t, quietSystem(), routing.Options{Store: store, Capacity: 3})
	w.declare()
	s := w.join("a", 1, 1)
	done := w.submit(1, routing.ID("done"))
	s.settleOnly(routing.Done(2))
	_, err := await(t, done)
	require.NoError(t, err)
	running, waiting := w.submit(1, routing.ID("running")), w.submit(2, routing.ID("waiting"))
	lease := s.only()
	ctx := lease.Context(context.Background())
	third := w.submit(3, routing.ID("third"))
	blocked := w.blocked(context.Background(), 4)
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drained <- w.hub.Drain(context.Background())
	}()

	store.mu.Lock()
	store.failAt = len(store.commits) + 1
	store.mu.Unlock()
	require.True(t, s.settle(lease, routing.Done(2)))
	w.pass(time.Minute)

	for _, h := range []*routing.Handle[int]{running, waiting, third} {
		_, err := await(t, h)
		var failed *routing.StoreError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, "commit", failed.Op)
		assert.ErrorIs(t, err, cause)
		assert.ErrorIs(t, err, routing.ErrKept)
		assert.Equal(t, routing.StateWaiting, h.Status(), "what isn't recorded isn't told")
	}
	_, err, answered := blocked()
	require.True(t, answered)
	assert.ErrorIs(t, err, cause)
	assert.ErrorIs(t, <-drained, cause)
	out, err := await(t, done)
	assert.NoError(t, err, "what is recorded stays")
	assert.Equal(t, 2, out)

	_, err = double.Submit(context.Background(), w.hub, 1)
	assert.ErrorIs(t, err, cause)
	assert.ErrorContains(t, err, "the store failed, the hub does nothing more")
	assert.ErrorIs(t, w.hub.StoreErr(), cause)
	assert.Equal(t, routing.Counts{Accepted: 4, Waiting: 3, Done: 1, Attempts: 3, Refused: 2, Spokes: 1}, w.hub.Counts())
	require.Len(t, w.kinds(routing.EventStoreFailed), 1)
	for _, e := range w.kinds(routing.EventSettled) {
		assert.Equal(t, "done", e.Task)
	}
	assert.False(t, w.hub.Cancel("waiting", nil))
	s.holdsNothing()
	w.hub.Close(nil)
	w.hub.Close(nil)
	w.stopDriver()
	assert.True(t, w.hub.Counts().Balanced())
}

func TestAStoreThatFailsStopsTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { failing(t, &memory{}, errDisk) })
}

// panicking is a store whose commits panic, or end their goroutine, once they are told to fail.
type panicking struct {
	*memory
	goexit bool
}

func (p panicking) Commit(ctx context.Context, changes []routing.Record) error {
	err := p.memory.Commit(ctx, changes)
	if err != nil && p.goexit {
		runtime.Goexit()
	}
	if err != nil {
		panic(err)
	}
	return nil
}

func TestAStoreThatPanicsOrEndsItsGoroutineIsAStoreThatFails(t *testing.T) {
	for _, goexit := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			store := &memory{failAt: 1}
			w := newWorldOf(t, quietSystem(), routing.Options{Store: panicking{store, goexit}})
			w.declare()
			_, err := double.Submit(context.Background(), w.hub, 1)
			var failed *routing.StoreError
			require.ErrorAs(t, err, &failed)
			assert.Zero(t, w.hub.Counts().Accepted)
			w.hub.Close(nil)
			w.stopDriver()
		})
	}
}

func TestAStoreThatTakesTooLongFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{stuck: make(chan struct{})}
		w := newWorldOf(t, quietSystem(), routing.Options{Store: store, StoreTimeout: 3 * time.Second})
		w.declare()
		start := time.Now()
		_, err := double.Submit(context.Background(), w.hub, 1)
		require.ErrorIs(t, err, routing.ErrStoreTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 3*time.Second, time.Since(start))
		w.hub.Close(nil)
		close(store.stuck)
		synctest.Wait()
		assert.ErrorIs(t, w.hub.StoreErr(), routing.ErrStoreTimeout, "that it came through after all changes nothing")
		w.stopDriver()
	})
}

// ---- A store that can't be loaded.

func TestAStoreThatCannotBeLoaded(t *testing.T) {
	var good map[string][]byte
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		w := newWorldOf(t, quietSystem(), routing.Options{Store: store})
		w.declare()
		s := w.join("a", 1, 1)
		w.submit(1, routing.ID("t"))
		s.settleOnly(routing.Done(2))
		w.submit(1, routing.ID("u"))
		require.NoError(t, s.Save(routing.AgentSnapshot{Version: 1, Data: []byte("x")}))
		good = store.contents()
		w.hub.Close(nil)
		w.stopDriver()
	})
	task := "task/0000000000000001"
	require.Contains(t, good, task)
	tests := []struct {
		name, key, old, new string
		sentinel            error
	}{
		{"a newer task", task, `"v":1`, `"v":2`, routing.ErrStoreNewer},
		{"newer books", "books", `"v":1`, `"v":9`, routing.ErrStoreNewer},
		{"a newer snapshot", "snapshot/a", `"v":1`, `"v":2`, routing.ErrStoreNewer},
		{"no version", task, `"v":1`, `"v":0`, routing.ErrStoreCorrupt},
		{"half a record", task, `"v":1`, "", routing.ErrStoreCorrupt},
		{"an unknown state", task, `"done"`, `"well"`, routing.ErrStoreCorrupt},
		{"a task that isn't in the books", "task/0000000000000002", `"leased"`, `"waiting"`, routing.ErrStoreCorrupt},
		{"books that don't balance", "books", `"accepted":2`, `"accepted":3`, routing.ErrStoreCorrupt},
		{"the same id twice", "task/0000000000000002", `"id":"u"`, `"id":"t"`, routing.ErrStoreCorrupt},
	}
	load := func(store routing.Store) error {
		_, err := routing.NewHub(routing.Options{Store: store})
		return err
	}
	require.NoError(t, load(holding(good)))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store := holding(good)
			data := store.contents()
			changed := strings.Replace(string(data[tt.key]), tt.old, tt.new, 1)
			require.NotEqual(t, string(data[tt.key]), changed)
			data[tt.key] = []byte(changed)
			err := load(holding(data))
			var failed *routing.StoreError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, "load", failed.Op)
			assert.ErrorIs(t, err, tt.sentinel)
		})
	}
	t.Run("an unknown key", func(t *testing.T) {
		data := holding(good).contents()
		data["who knows"] = []byte(`{"v":1}`)
		assert.ErrorIs(t, load(holding(data)), routing.ErrStoreCorrupt)
	})
	t.Run("no books", func(t *testing.T) {
		data := holding(good).contents()
		delete(data, "books")
		assert.ErrorContains(t, load(holding(data)), "no books")
	})
	t.Run("a store that fails", func(t *testing.T) {
		assert.ErrorIs(t, load(loader(func(context.Context, func(routing.Record) error) error { return errDisk })), errDisk)
	})
	t.Run("a store that panics", func(t *testing.T) {
		assert.ErrorContains(t, load(loader(func(context.Context, func(routing.Record) error) error { panic("boom") })), "boom")
	})
	t.Run("a store that ends its goroutine", func(t *testing.T) {
		assert.Error(t, load(loader(func(context.Context, func(routing.Record) error) error { runtime.Goexit(); return nil })))
	})
	t.Run("a store that blocks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			unblock := make(chan struct{})
			start := time.Now()
			err := load(loader(func(_ context.Context, each func(routing.Record) error) error {
				time.Sleep(9 * time.Second)
				if err := each(routing.Record{Key: "books", Data: []byte(`{"v":1}`)}); err != nil {
					return err
				}
				<-unblock // deaf
				return each(routing.Record{Key: "books", Data: []byte(`{"v":1}`)})
			}))
			assert.ErrorIs(t, err, routing.ErrStoreTimeout)
			assert.Equal(t, 19*time.Second, time.Since(start))
			close(unblock)
		})
	})
}

// loader is a store that can only be loaded.
type loader func(context.Context, func(routing.Record) error) error

func (l loader) Load(ctx context.Context, each func(routing.Record) error) error { return l(ctx, each) }
func (l loader) Commit(context.Context, []routing.Record) error                  { return nil }

// A lease that is taken back before it is recorded is not delivered any more, and its credit is free again.
func TestALeaseThatIsGoneBeforeItIsRecordedIsNotDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{latency: time.Second}
		w := newWorldOf(t, quietSystem(), routing.Options{Store: store})
		w.declare()
		s := w.join("a", 1, 1)
		go func() { _, _ = double.Submit(context.Background(), w.hub, 1, routing.ID("t")) }()
		time.Sleep(time.Millisecond) // it is leased, and being recorded
		require.Equal(t, 1, w.inspect("t").Attempt)
		require.True(t, w.hub.Cancel("t", errBroken))
		w.pass(3 * time.Second)
		s.holdsNothing()
		assert.Zero(t, w.hub.Spokes()[0].Leases)
		w.submit(2, routing.ID("u"))
		w.pass(3 * time.Second)
		assert.Equal(t, "u", s.only().ID())
		w.hub.Close(nil)
		w.stopDriver()
	})
}

// What a lease occupied is free again if it is taken back before it is recorded: the circuit's probe, and a drain has one lease less to wait for.
func TestALeaseThatIsGoneBeforeItIsRecordedHoldsNothing(t *testing.T) {
	for name, end := range map[string]func(w *world, store *memory){
		"cancelled":       func(w *world, _ *memory) { require.True(t, w.hub.Cancel("t", errBroken)) },
		"the store fails": func(_ *world, store *memory) { store.kill() },
		"closed":          func(w *world, _ *memory) { w.hub.Close(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memory{latency: time.Second}
				w := newWorldOf(t, quietSystem(), routing.Options{Store: store})
				defer w.stopDriver()
				w.declare()
				s := w.behind("a", 1, 1, "llm")
				w.set("llm", probing(1))
				go func() { _, _ = double.Submit(context.Background(), w.hub, 1, routing.ID("t")) }()
				time.Sleep(time.Millisecond) // it is leased, and being recorded
				require.Equal(t, 1, w.hub.Circuits()[0].Leases)
				end(w, store)
				var drained error
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					drained = s.Drain(ctx)
				}()
				w.pass(2 * time.Minute)
				s.holdsNothing()
				assert.NoError(t, drained)
				assert.Zero(t, w.hub.Circuits()[0].Leases)
				w.hub.Close(nil)
			})
		})
	}
}

// What a closed hub has left to its store is settled by nobody any more: neither by its deadline nor by the end of the only spoke that may have it.
func TestWhatIsKeptIsNotSettledAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(w *world, store *memory){
		"closed":          func(w *world, _ *memory) { w.hub.Close(nil) },
		"the store fails": func(w *world, store *memory) { store.kill(); _, _ = double.Submit(context.Background(), w.hub, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memory{}
				w := newWorldOf(t, quietSystem(), routing.Options{Store: store})
				defer w.stopDriver()
				w.declare()
				s := w.join("a", 1, 2)
				h := w.submit(1, routing.ID("t"), routing.Deadline(time.Now().Add(time.Second)))
				part := w.broadcast(context.Background(), routing.ID("p"))
				lease := s.leases()[0]
				end(w, store)
				synctest.Wait()
				recorded, counts := store.count(), w.hub.Counts()
				_, before := h.Await(context.Background())
				require.ErrorIs(t, before, routing.ErrKept)
				require.True(t, part.done)
				require.ErrorIs(t, part.replies[0].Err, routing.ErrKept)

				w.pass(time.Minute)
				s.settle(lease, routing.Done(1))
				s.Leave(errBroken)
				synctest.Wait()
				_, after := h.Await(context.Background())
				assert.Equal(t, before, after)
				assert.Equal(t, recorded, store.count(), "nothing is written any more")
				assert.Equal(t, routing.StateWaiting, h.Status())
				assert.Equal(t, routing.StateWaiting, w.inspect("p@a").State)
				counts.Late, counts.Spokes = 1, 0
				assert.Equal(t, counts, w.hub.Counts())
				w.hub.Close(nil)
			})
		})
	}
}

// With a small window a task may be forgotten before it is recorded that it is settled.
func TestAStoreThatFailsUndoesWhatWasForgottenToo(t *testing.T) {
	for _, results := range []int{-1, 1} {
		synctest.Test(t, func(t *testing.T) {
			store := &memory{}
			w := newWorldOf(t, quietSystem(), routing.Options{Store: store, Results: results})
			w.declare()
			s := w.join("a", 1, 3)
			one, two := w.submit(1, routing.ID("one")), w.submit(2, routing.ID("two"))
			leases := s.leases()
			store.mu.Lock()
			store.failAt = len(store.commits) + 1
			store.stuck = make(chan struct{})
			store.mu.Unlock()
			for _, l := range leases {
				_, accepted := l.Settle(routing.Done(1))
				require.True(t, accepted)
			}
			refused := make(chan error, 1)
			go func() {
				_, err := double.Submit(context.Background(), w.hub, 3, routing.ID("three"))
				refused <- err
			}()
			synctest.Wait()
			close(store.stuck)
			w.pass(time.Minute)
			require.Error(t, <-refused)
			require.Error(t, w.hub.StoreErr())
			assert.Equal(t, routing.StateWaiting, one.Status())
			assert.Equal(t, routing.StateWaiting, two.Status())
			_, err := await(t, one)
			assert.ErrorIs(t, err, routing.ErrKept)
			c := w.hub.Counts()
			assert.Equal(t, uint64(2), c.Accepted)
			assert.Equal(t, uint64(2), c.Waiting)
			assert.Zero(t, c.Done)
			assert.True(t, c.Balanced())
			for _, id := range []string{"one", "two"} {
				seen, known := w.hub.Inspect(id)
				assert.True(t, known, id)
				assert.Equal(t, routing.StateWaiting, seen.State)
			}
			w.hub.Close(nil)
			w.stopDriver()
		})
	}
}

func TestADiscardThatIsNotRecordedIsUndone(t *testing.T) {
	for _, results := range []int{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			store := &memory{}
			w := newWorldOf(t, quietSystem(), routing.Options{Store: store, Results: results, QuarantineAfter: 1})
			w.declare()
			s := w.join("a", 1, 1)
			for _, id := range []string{"one", "two", "three", "four"} {
				w.submit(1, routing.ID(id))
				s = s.crash(id)
				w.pass(time.Second)
			}
			require.NoError(t, w.hub.Discard("four"))
			store.mu.Lock()
			store.failAt = len(store.commits) + 1
			store.mu.Unlock()
			require.ErrorIs(t, w.hub.Discard("two"), errDisk)
			w.pass(time.Minute)

			var left []string
			for _, q := range w.hub.Quarantined() {
				left = append(left, q.ID)
			}
			assert.Equal(t, []string{"one", "two", "three"}, left, "as it is in the store, in its place")
			_, known := w.hub.Inspect("two")
			assert.True(t, known)
			assert.ErrorIs(t, w.hub.Discard("two"), errDisk)
			assert.EqualValues(t, 4, w.hub.Counts().Quarantined)
			w.end()

			w = newWorldOf(t, quietSystem(), routing.Options{Store: store.cut(store.count()), Results: results})
			assert.Len(t, w.hub.Quarantined(), 3)
			require.NoError(t, w.hub.Requeue("two"))
			w.end()
		})
	}
}
