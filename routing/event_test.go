package routing_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

func TestEventsTellATasksStoryInOrder(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1, routing.ID("t"))
		s.settleOnly(routing.Error(errBroken))
		w.pass(time.Second)
		lease := s.only()
		w.hub.Cancel("t", errBroken)
		s.settle(lease, routing.Done(2))
		s.Leave(nil)
		synctest.Wait()
		var story []string
		for i, e := range w.events {
			assert.EqualValues(t, i+1, e.Seq)
			story = append(story, e.String())
		}
		assert.Equal(t, []string{
			"spoke joined a@1",
			"submitted double/t",
			"leased double/t #1 a@1",
			"retried double/t #1 a@1: broken",
			"leased double/t #2 a@1",
			"settled double/t cancelled #2 a@1: broken",
			"late result double/t #2 a@1",
			"spoke left a@1",
		}, story)
	})
}

func TestAnEventCallbackMayPanicEndItsGoroutineAndCallTheHub(t *testing.T) {
	var hub *routing.Hub
	calls := 0
	options := routing.Options{OnEvent: func(e routing.Event) {
		calls++
		switch {
		case e.Kind == routing.EventSubmitted && e.Task == "panic":
			panic("callback")
		case e.Kind == routing.EventSubmitted && e.Task == "exit":
			runtime.Goexit()
		case e.Kind == routing.EventSubmitted:
			hub.Cancel(e.Task, errBroken)
		}
	}}
	inWorld(t, options, func(w *world) {
		hub, calls = w.hub, 0
		_, err := double.Submit(context.Background(), hub, 1, routing.ID("panic"))
		require.NoError(t, err)
		go func() { _, _ = double.Submit(context.Background(), hub, 1, routing.ID("exit")) }()
		synctest.Wait()
		assert.EqualValues(t, 2, hub.Counts().EventPanics)
		handle := w.submit(1)
		assert.Equal(t, routing.StateCancelled, handle.Status())
		assert.Equal(t, 4, calls)
	})
}

func TestACallbackThatBlocksBlocksNobodyElse(t *testing.T) {
	block := make(chan struct{})
	unblocked := 0
	synctest.Test(t, func(t *testing.T) {
		block = make(chan struct{})
		w := newWorld(t, quietSystem(), routing.Options{OnEvent: func(e routing.Event) {
			if e.Task == "blocks" {
				<-block
			}
			unblocked++
		}})
		defer w.end()
		go func() { _, _ = double.Submit(context.Background(), w.hub, 1, routing.ID("blocks")) }()
		synctest.Wait()
		for i := range 5000 {
			_, err := double.Submit(context.Background(), w.hub, i)
			require.NoError(t, err)
		}
		counts := w.hub.Counts()
		assert.EqualValues(t, 5001, counts.Accepted)
		assert.Positive(t, counts.EventsDropped)
		close(block)
		synctest.Wait()
		assert.EqualValues(t, 5001, unblocked+int(counts.EventsDropped), "what was not dropped was delivered, by a goroutine that ended")
	})
}

func TestKindsHaveNames(t *testing.T) {
	for k := routing.EventSubmitted; k <= routing.EventStoreFailed; k++ {
		assert.NotContains(t, k.String(), "EventKind(")
	}
	for s := routing.StateWaiting; s <= routing.StateExpired; s++ {
		assert.NotContains(t, s.String(), "State(")
	}
	for o := routing.OutcomePending; o <= routing.OutcomeInterrupted; o++ {
		assert.NotContains(t, o.String(), "OutcomeKind(")
	}
	for _, unknown := range []string{routing.EventKind(99).String(), routing.State(99).String(), routing.OutcomeKind(99).String()} {
		assert.True(t, strings.HasSuffix(unknown, "(99)"), unknown)
	}
}

func TestWhoDoesNotListenCostsNothingAndMissesWhatHappensMeanwhile(t *testing.T) {
	var listening atomic.Bool
	inWorld(t, routing.Options{Listening: listening.Load}, func(w *world) {
		w.join("a", 1, 1)
		w.submit(1)
		assert.Empty(t, w.kinds(routing.EventSpokeJoined, routing.EventSubmitted, routing.EventLeased))
		listening.Store(true)
		w.submit(2)
		heard := w.kinds(routing.EventSubmitted)
		require.Len(t, heard, 1)
		assert.EqualValues(t, 1, heard[0].Seq)
		listening.Store(false)
		w.submit(3)
		assert.Len(t, w.kinds(routing.EventSubmitted), 1)
	})
}
