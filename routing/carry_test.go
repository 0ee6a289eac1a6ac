package routing_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

type requestKey struct{}

// done is what a Carry's done was called with.
type done struct {
	carried any
	id      string
	fresh   bool
	err     error
}

// carrying takes along what the submitter's context has under requestKey.
func carrying(calls *[]done) routing.Carry {
	return func(ctx context.Context, taskType string) (any, func(string, bool, error)) {
		carried := ctx.Value(requestKey{})
		return carried, func(id string, fresh bool, err error) { *calls = append(*calls, done{carried, id, fresh, err}) }
	}
}

func TestWhatIsCarriedStaysWithTheTask(t *testing.T) {
	var calls []done
	inWorld(t, routing.Options{Capacity: 2, Carry: carrying(&calls)}, func(w *world) {
		calls = nil
		s := w.join("a", 1, 1)
		of := func(request any) context.Context { return context.WithValue(t.Context(), requestKey{}, request) }
		_, err := double.Submit(of("first"), w.hub, 1, routing.ID("t"))
		require.NoError(t, err)
		_, err = double.Submit(of("again"), w.hub, 1, routing.ID("t"))
		require.NoError(t, err)
		_, err = double.Submit(t.Context(), w.hub, 2, routing.ID("u"))
		require.NoError(t, err)
		_, refused := double.Submit(of("third"), w.hub, 3, routing.ID("v"))
		require.Error(t, refused)
		require.Equal(t, []done{{"first", "t", true, nil}, {"again", "t", false, nil}, {nil, "u", true, nil}, {"third", "", false, refused}}, calls)

		w.pass(0)
		lease := s.only()
		require.Equal(t, "first", lease.Carried())
		s.settle(lease, routing.Released(nil))
		w.hub.Cancel("t", nil)
		w.hub.Cancel("u", nil)
		w.pass(0)
		carried := map[string][]any{}
		for _, e := range w.events {
			if e.Task != "" {
				carried[e.Task] = append(carried[e.Task], e.Carried)
			}
		}
		for _, c := range carried["t"] {
			require.Equal(t, "first", c)
		}
		require.GreaterOrEqual(t, len(carried["t"]), 4)
		for _, c := range carried["u"] {
			require.Nil(t, c)
		}
	})
}

// A task that is requeued from quarantine carries on.
func TestWhatIsCarriedOutlivesQuarantine(t *testing.T) {
	var calls []done
	inWorld(t, routing.Options{QuarantineAfter: 1, Carry: carrying(&calls)}, func(w *world) {
		s := w.join("a", 1, 1)
		_, err := double.Submit(context.WithValue(t.Context(), requestKey{}, "first"), w.hub, 1, routing.ID("t"))
		require.NoError(t, err)
		w.pass(0)
		s.settle(s.only(), routing.Crashed(errBroken, nil))
		s.Resume()
		require.NoError(t, w.hub.Requeue("t"))
		w.pass(0)
		require.Equal(t, "first", s.only().Carried())
	})
}

// The options of a submit are the caller's slice: another submit may use it at the same time.
func TestCarryingLeavesTheCallersOptionsAlone(t *testing.T) {
	inWorld(t, routing.Options{Carry: func(context.Context, string) (any, func(string, bool, error)) { return "x", nil }}, func(w *world) {
		opts := make([]routing.SubmitOption, 0, 8)
		opts = append(opts, routing.ID("t"))
		_, err := double.Submit(t.Context(), w.hub, 1, opts...)
		require.NoError(t, err)
		require.Nil(t, opts[:2][1])
	})
}

func TestASubmitTellsCarryTheIDThatWasMadeUp(t *testing.T) {
	var calls []done
	inWorld(t, routing.Options{Carry: carrying(&calls)}, func(w *world) {
		calls = nil
		h := w.submit(1)
		require.Equal(t, []done{{nil, h.ID(), true, nil}}, calls)
	})
}
