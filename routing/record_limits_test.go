package routing_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

// russian is a value that is as deep as one likes.
type russian struct {
	Inner *russian `json:",omitempty"`
}

func nested(levels int) (r *russian) {
	for range levels {
		r = &russian{r}
	}
	return r
}

func (r *russian) levels() (n int) {
	for ; r != nil; r = r.Inner {
		n++
	}
	return n
}

var unpack = routing.NewType[*russian, *russian]("unpack")

// One value that could be written, but not read, would make the whole store unreadable.
func TestWhatIsNestedTooDeepToBeReadIsNotRecorded(t *testing.T) {
	lives(t, routing.Options{},
		func(w *world) {
			require.NoError(t, w.hub.Declare(unpack.Name()))
			_, err := unpack.Submit(context.Background(), w.hub, nested(9991))
			require.ErrorContains(t, err, "its input can't be recorded: it is nested more than 9990 levels deep")
			for _, id := range []string{"done", "failed", "waiting"} {
				_, err = unpack.Submit(context.Background(), w.hub, nested(9990), routing.ID(id))
				require.NoError(t, err)
			}
			s := w.join("a", 1, 1, unpack.Name())
			s.settleOnly(routing.Done(nested(9990)))
			s.settleOnly(routing.Done(nested(9991)))
			assert.ErrorContains(t, w.inspect("failed").Err, "it is nested more than 9990 levels deep")
		},
		func(w *world) {
			done, err := unpack.Find(w.hub, "done")
			require.NoError(t, err)
			out, err := done.Await(context.Background())
			require.NoError(t, err)
			assert.Equal(t, 9990, out.levels())
			s := w.join("a", 1, 1, unpack.Name())
			levels, err := routing.HandlerOf(unpack, func(_ context.Context, r *russian) (*russian, error) { return r, nil }).Run(context.Background(), s.only().Input())
			require.NoError(t, err)
			assert.Equal(t, 9990, levels.(*russian).levels())
		},
	)
}

// Brackets in texts are none, and wide isn't deep.
func TestWhatHasManyBracketsIsRecorded(t *testing.T) {
	lives(t, routing.Options{}, func(w *world) {
		w.declare()
		wide := routing.NewType[[]russian, int]("wide")
		require.NoError(t, w.hub.Declare(wide.Name()))
		_, err := shout.Submit(context.Background(), w.hub, strings.Repeat(`["\`, 20_000))
		require.NoError(t, err)
		_, err = wide.Submit(context.Background(), w.hub, make([]russian, 20_000))
		require.NoError(t, err)
	}, func(w *world) { assert.EqualValues(t, 2, w.hub.Counts().Waiting) })
}

// The path of a spoke is part of the ids of the parts of a broadcast.
func TestThePathOfASpokeIsSuchAsATaskIDMayBe(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		for path, problem := range map[string]string{"": "path is empty", "root/tab\there": "unprintable", "root/zero\u200dwidth": "unprintable", strings.Repeat("x", 4097): "at most 4096"} {
			_, err := w.hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: path}, Types: []string{double.Name()}, Deliver: func(*routing.Lease) {}})
			assert.ErrorContains(w.t, err, "field ID.Path: path ")
			assert.ErrorContains(w.t, err, problem)
		}
	})
}

func TestAHandlerMayBroadcastToSpokesWithLongPaths(t *testing.T) {
	lives(t, routing.Options{},
		func(w *world) {
			w.declare()
			parent := w.join("parent", 1, 1)
			w.join(strings.Repeat("x", 4096), 1, 1, shout.Name())
			w.submit(1)
			go shout.Broadcast(parent.only().Context(context.Background()), w.hub, "here")
		},
		func(w *world) { assert.EqualValues(t, 2, w.hub.Counts().Accepted) },
	)
}

// What would be another text after a restart is refused at once. Escapes of others, and texts that look like one, are no such thing.
func TestAnInputWithTextThatIsNotUTF8IsRefused(t *testing.T) {
	type page struct {
		Title string
		Raw   json.RawMessage
		Bytes []byte
		Notes map[string]string
	}
	read := routing.NewType[page, string]("read")
	good := map[string]page{
		"bytes":       {Bytes: []byte("caf\xe9")},
		"replacement": {Title: "caf\ufffd"},
		"looks":       {Title: `caf\ufffd`},
		"escaped":     {Raw: json.RawMessage(`"caf\ufffd"`), Notes: map[string]string{"\\\ufffd": `\\ufffd`}},
	}
	lives(t, routing.Options{},
		func(w *world) {
			require.NoError(t, w.hub.Declare(read.Name()))
			for id, in := range good {
				_, err := read.Submit(context.Background(), w.hub, in, routing.ID(id))
				require.NoError(t, err, id)
			}
			for id, in := range map[string]page{
				"text":  {Title: "caf\xe9"},
				"key":   {Notes: map[string]string{"caf\xe9": ""}},
				"mixed": {Title: "caf\xe9", Raw: json.RawMessage(`"caf\ufffd"`), Notes: map[string]string{"": `\ufffd`}},
			} {
				_, err := read.Submit(context.Background(), w.hub, in)
				require.ErrorContains(t, err, "its input can't be recorded: it has text that isn't UTF-8", id)
			}
		},
		func(w *world) {
			s := w.join("a", 1, 10, read.Name())
			for _, l := range s.leases() {
				in, err := routing.HandlerOf(routing.NewType[page, page]("read"), func(_ context.Context, p page) (page, error) { return p, nil }).Run(context.Background(), l.Input())
				require.NoError(t, err)
				assert.Equal(t, asJSON(t, good[l.ID()]), asJSON(t, in.(page)), l.ID())
			}
			assert.Len(t, s.leases(), len(good))
		},
	)
}

// asJSON is how values are compared in which nothing may be nil or empty.
func asJSON[T any](t *testing.T, v T) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return string(data)
}

type named interface{ Name() string }

type person struct{ N string }

func (p person) Name() string { return p.N }

func TestTypesOfInterfacesWithMethodsAreRefusedIfThereIsAStore(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		greet, find, anything := routing.NewType[named, string]("greet"), routing.NewType[string, named]("find"), routing.NewType[any, any]("anything")
		require.NoError(w.t, w.hub.Declare("greet", "find", "anything"))
		_, in := greet.Submit(context.Background(), w.hub, person{"x"})
		_, out := find.Submit(context.Background(), w.hub, "x")
		_, err := anything.Submit(context.Background(), w.hub, person{"x"})
		require.NoError(w.t, err)
		if w.options.Store == nil {
			require.NoError(w.t, in)
			require.NoError(w.t, out)
			return
		}
		require.ErrorContains(w.t, in, `submit task of type "greet": a routing_test.named can't be recorded`)
		require.ErrorContains(w.t, out, `submit task of type "find": a routing_test.named can't be recorded`)
	})
}
