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

// sum adds up the results of the inputs of its task.
var sum = routing.NewType[string, int]("sum")

func (w *world) fanIn(inputs []routing.Input, options ...routing.SubmitOption) *routing.Handle[int] {
	w.t.Helper()
	require.NoError(w.t, w.hub.Declare(sum.Name()))
	handle, err := sum.Submit(context.Background(), w.hub, "", append(options, routing.After(inputs...))...)
	require.NoError(w.t, err)
	synctest.Wait()
	return handle
}

func TestATaskStartsWhenItsInputsAreDone(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 3, "double", "sum")
		first := w.submit(1)
		w.submit(2, routing.ID("second"))
		handle := w.fanIn([]routing.Input{first, routing.TaskID("second")})
		waits := func(pending int) {
			t.Helper()
			snapshot, _ := w.hub.Inspect(handle.ID())
			assert.Equal(t, routing.StateWaiting, snapshot.State)
			assert.Equal(t, []string{first.ID(), "second"}, snapshot.Inputs)
			assert.Equal(t, pending, snapshot.Pending)
			assert.EqualValues(t, 1, w.hub.Counts().Blocked)
		}
		waits(2)
		s.settle(s.leases()[1], routing.Done(20))
		waits(1)
		s.settle(s.leases()[0], routing.Error(errBroken)) // it is tried again
		waits(1)
		w.pass(time.Second)
		s.settleOnly(routing.Done(10))

		assert.Zero(t, w.hub.Counts().Blocked)
		assert.Equal(t, routing.StateLeased, handle.Status())
		ctx := s.only().Context(context.Background())
		results, err := double.Inputs(ctx)
		require.NoError(t, err)
		assert.Equal(t, []int{10, 20}, results, "in the order in which they were named")
		s.settleOnly(routing.Done(30))
		snapshot, _ := w.hub.Inspect(handle.ID())
		assert.Equal(t, []string{first.ID(), "second"}, snapshot.Inputs)
	})
}

func TestInputsAreReadByTheirTypes(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1, "double", "shout", "sum")
		number := w.submit(1)
		text, err := shout.Submit(context.Background(), w.hub, "x")
		require.NoError(t, err)
		w.fanIn([]routing.Input{number, text})
		s.settleOnly(routing.Done(10))
		s.settleOnly(routing.Done("X"))
		ctx := s.only().Context(context.Background())
		n, err := double.Input(ctx)
		require.NoError(t, err)
		assert.Equal(t, 10, n)
		loud, err := shout.Input(ctx)
		require.NoError(t, err)
		assert.Equal(t, "X", loud)

		_, err = sum.Input(ctx)
		assert.ErrorContains(t, err, `input of type "sum": the task has 0 of it, not one`)
		_, err = routing.NewType[int, string]("double").Input(ctx)
		assert.ErrorContains(t, err, "returned a int, not the string")
		_, err = double.Inputs(context.Background())
		assert.ErrorContains(t, err, "not that of a task")
		s.settleOnly(routing.Done(1))
		results, err := double.Inputs(ctx)
		assert.NoError(t, err)
		assert.Empty(t, results, "a settled task has let go of its inputs")
	})
}

func TestInputsThatAreSettledAlreadyCount(t *testing.T) {
	inWorld(t, routing.Options{Results: -1}, func(w *world) {
		s := w.join("a", 1, 1, "double", "sum")
		done, failed := w.submit(1), w.submit(2)
		s.settleOnly(routing.Done(10))
		s.settleOnly(routing.Error(routing.Permanent(errBroken)))

		handle := w.fanIn([]routing.Input{done}) // which the hub has forgotten, but the handle not
		out, err := double.Input(s.only().Context(context.Background()))
		require.NoError(t, err)
		assert.Equal(t, 10, out)
		s.settleOnly(routing.Done(1))
		assert.Equal(t, routing.StateDone, handle.Status())

		handle = w.fanIn([]routing.Input{done, failed})
		_, err = await(t, handle)
		assert.ErrorIs(t, err, errBroken)
		assert.True(t, w.hub.Counts().Balanced())
		assert.Zero(t, w.hub.Counts().Blocked)
	})
}

func TestAnInputThatEndsWithoutAResultFailsWhatNeedsIt(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(w *world, s *spoke, input *routing.Handle[int])
		want error
	}{
		"failed": {func(_ *world, s *spoke, _ *routing.Handle[int]) {
			s.settleOnly(routing.Error(routing.Permanent(errBroken)))
		}, routing.ErrFailed},
		"cancelled": {func(w *world, _ *spoke, input *routing.Handle[int]) { w.hub.Cancel(input.ID(), errBroken) }, routing.ErrCancelled},
		"expired":   {func(w *world, _ *spoke, _ *routing.Handle[int]) { w.pass(time.Minute) }, routing.ErrExpired},
		"quarantined": {func(_ *world, s *spoke, _ *routing.Handle[int]) {
			s.settleOnly(routing.Crashed(errBroken, nil))
		}, routing.ErrQuarantined},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{QuarantineAfter: 1}, func(w *world) {
				s := w.join("a", 1, 1)
				input, other := w.submit(1, routing.ID("input"), in(time.Minute)), w.submit(2)
				handle := w.fanIn([]routing.Input{other, input})
				last := w.fanIn([]routing.Input{handle}, routing.ID("last"))
				c.end(w, s, input)

				_, err := await(t, last)
				assert.ErrorIs(t, err, routing.ErrFailed)
				assert.ErrorIs(t, err, c.want)
				var missing *routing.InputError
				require.ErrorAs(t, err, &missing)
				assert.Equal(t, handle.ID(), missing.ID, "the nearest comes first")
				assert.Equal(t, "input", missing.Root().ID)
				assert.ErrorIs(t, missing.Root(), c.want)
				assert.ErrorContains(t, err, fmt.Sprintf("task last of type \"sum\" is failed: it needs %s, which needs input: task input of type \"double\" is %s", handle.ID(), name))
				_, err = await(t, handle)
				require.ErrorAs(t, err, &missing)
				assert.Equal(t, "input", missing.ID)

				snapshot, _ := w.hub.Inspect("last")
				assert.Empty(t, snapshot.Attempts, "it was never started")
				assert.Zero(t, w.hub.Counts().Blocked)
				assert.NotEqual(t, routing.StateFailed, other.Status(), "other inputs are not touched")
			})
		})
	}
}

func TestWhatWaitsForInputsCanBeCancelledAndExpires(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1, "double", "sum")
		input := w.submit(1)
		cancelled := w.fanIn([]routing.Input{input})
		expired := w.fanIn([]routing.Input{input}, in(time.Minute))
		kept := w.fanIn([]routing.Input{input})
		assert.EqualValues(t, 3, w.hub.Counts().Blocked)
		assert.True(t, cancelled.Cancel(errBroken))
		w.pass(time.Minute)
		assert.Equal(t, routing.StateExpired, expired.Status())
		assert.EqualValues(t, 1, w.hub.Counts().Blocked)
		s.settleOnly(routing.Done(2))
		assert.Equal(t, kept.ID(), s.only().ID())
		assert.Equal(t, routing.StateCancelled, cancelled.Status())
	})
}

func TestInputsThatCannotBeAreRefused(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		input := w.submit(1)
		elsewhere, err := routing.NewHub(routing.Options{})
		require.NoError(t, err)
		require.NoError(t, elsewhere.Declare("double"))
		foreign, err := double.Submit(context.Background(), elsewhere, 1)
		require.NoError(t, err)
		refused := func(inputs ...routing.Input) error {
			_, err := double.Submit(context.Background(), w.hub, 1, routing.ID("self"), routing.After(inputs...))
			require.Error(t, err)
			return err
		}
		var unknown *routing.UnknownTaskError
		require.ErrorAs(t, refused(routing.TaskID("unheard-of")), &unknown)
		assert.Equal(t, "unheard-of", unknown.ID)
		assert.ErrorAs(t, refused(routing.TaskID("self")), &unknown, "no circle")
		assert.ErrorContains(t, refused(input, routing.TaskID(input.ID())), "is named twice")
		assert.ErrorContains(t, refused(foreign), "is a task of another hub")
		assert.ErrorContains(t, refused(input, nil), "input 1: it is nil")
		assert.ErrorContains(t, refused((*routing.Handle[int])(nil)), "input 0: it is nil")
		assert.ErrorContains(t, refused(routing.TaskID("")), "input 0: task id is empty")
		many := make([]routing.Input, 1025)
		for i := range many {
			many[i] = routing.TaskID(fmt.Sprint(i))
		}
		assert.ErrorContains(t, refused(many...), "task has 1025 inputs: at most 1024 are allowed")
		assert.EqualValues(t, 1, w.hub.Counts().Accepted)
	})
}

func TestNoInputsIsNothingToWaitFor(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1, "sum")
		w.fanIn(nil)
		s.only()
	})
}

func TestARequeuedTaskHasItsInputsAgain(t *testing.T) {
	inWorld(t, routing.Options{QuarantineAfter: 1, Results: -1}, func(w *world) {
		s := w.join("a", 1, 1, "double", "sum")
		input := w.submit(1)
		handle := w.fanIn([]routing.Input{input})
		s.settleOnly(routing.Done(10))
		s.settleOnly(routing.Crashed(errBroken, nil))
		require.NoError(t, w.hub.Requeue(handle.ID()))
		s.Resume()
		synctest.Wait()
		out, err := double.Input(s.only().Context(context.Background()))
		require.NoError(t, err)
		assert.Equal(t, 10, out)
	})
}

func TestALongChainFailsAtOnceAndTellsItsRoot(t *testing.T) {
	const length = 20_000
	inWorld(t, routing.Options{}, func(w *world) {
		first := w.submit(1, routing.ID("first"))
		last := first
		for i := range length {
			handle, err := double.Submit(context.Background(), w.hub, i, routing.After(last))
			require.NoError(t, err)
			last = handle
		}
		assert.EqualValues(t, length, w.hub.Counts().Blocked)
		first.Cancel(errBroken)
		_, err := await(t, last)
		assert.ErrorIs(t, err, errBroken)
		assert.EqualValues(t, length, w.hub.Counts().Failed)
		var missing *routing.InputError
		require.ErrorAs(t, err, &missing)
		assert.Equal(t, "first", missing.Root().ID)
		assert.Less(t, len(err.Error()), 1000)
		assert.ErrorContains(t, err, "and so on through")
	})
}

func TestBlockedSubmittersWithMissingInputsAreAnsweredAllTheSame(t *testing.T) {
	const submitters = 1000
	inWorld(t, routing.Options{Capacity: 1}, func(w *world) {
		failed := w.submit(1)
		failed.Cancel(errBroken)
		occupant := w.submit(2)
		var outcomes []func() (*routing.Handle[int], error, bool)
		for i := range submitters {
			outcomes = append(outcomes, w.blocked(context.Background(), i, routing.After(failed)))
		}
		occupant.Cancel(nil)
		synctest.Wait()
		for _, outcome := range outcomes {
			handle, err, answered := outcome()
			require.True(t, answered)
			require.NoError(t, err)
			assert.Equal(t, routing.StateFailed, handle.Status())
		}
		assert.Zero(t, w.hub.Counts().Unsettled())
	})
}
