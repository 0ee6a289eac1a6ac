package routing_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/mistersmith/mistersmith/routing"
)

func TestUpdatesGiveTheProgressUntilTheTaskIsSettled(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		early := handle.Updates(context.Background())
		ctx := s.only().Context(context.Background())
		var heard []any
		go func() {
			for value := range early {
				heard = append(heard, value)
			}
			heard = append(heard, "end")
		}()
		for _, value := range []any{"quarter", "half"} {
			routing.Progress(ctx, value)
			synctest.Wait()
		}
		late := handle.Updates(context.Background())
		assert.Equal(t, "half", <-late, "it begins with the latest")
		routing.Progress(ctx, "most")
		routing.Progress(ctx, "all")
		s.settleOnly(routing.Done(2))
		assert.Equal(t, "half", heard[1])
		assert.Equal(t, []any{"all", "end"}, heard[len(heard)-2:])
		assert.Equal(t, "all", <-late, "a slow reader has the latest")
		_, open := <-late
		assert.False(t, open)

		after := handle.Updates(context.Background())
		assert.Equal(t, "all", <-after)
		_, open = <-after
		assert.False(t, open)
	})
}

func TestUpdatesEndWithTheirContext(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.join("a", 1, 1)
		handle := w.submit(1)
		ctx, cancel := context.WithCancel(context.Background())
		updates, others := handle.Updates(ctx), handle.Updates(context.Background())
		cancel()
		synctest.Wait()
		_, open := <-updates
		assert.False(t, open)
		_, open = <-handle.Updates(ctx)
		assert.False(t, open)
		routing.Progress(s.only().Context(context.Background()), "half")
		assert.Equal(t, "half", <-others)
		s.settleOnly(routing.Done(2))
	})
}

func TestUpdatesOfATaskThatSettlesBeforeTheirContextEnds(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		handle := w.submit(1)
		ctx, cancel := context.WithCancel(context.Background())
		updates := handle.Updates(ctx)
		handle.Cancel(nil)
		_, open := <-updates
		assert.False(t, open)
		cancel()
		synctest.Wait()
	})
}
