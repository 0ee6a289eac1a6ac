package routing

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawText(t *rapid.T, label string) string {
	return rapid.OneOf(rapid.StringN(0, 20, 60), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) })).Draw(t, label)
}

// readable is a text that JSON brings back.
func readable(t *rapid.T, label string) *string {
	if rapid.Bool().Draw(t, label+"?") {
		return nil
	}
	s := strings.ToValidUTF8(drawText(t, label), "?")
	return &s
}

func drawRecord(t *rapid.T) taskRecord {
	number := func(label string, high int) int { return rapid.IntRange(0, high).Draw(t, label) }
	when := func(label string) int64 { return rapid.Int64().Draw(t, label) }
	raw := func(label string) json.RawMessage {
		return json.RawMessage(rapid.SampledFrom([]string{"", "null", "1", `"x"`, `{"a":[1,2]}`}).Draw(t, label))
	}
	r := taskRecord{
		Version: recordFormat, ID: exact("i" + strings.ToValidUTF8(rapid.StringMatching(`[a-z"\\é<\xff]*`).Draw(t, "id"), "")), Type: "type",
		Key: exact(drawText(t, "key")), State: rapid.SampledFrom(stateNames[:]).Draw(t, "state"),
		Submitted: when("submitted"), Deadline: when("deadline"), Timeout: rapid.Int64Range(0, int64(forever)).Draw(t, "timeout"), ReadyAt: when("ready"), Settled: when("settled"),
		MaxAttempts: 1 + number("max attempts", 999), Attempt: 1 + number("attempt", math.MaxInt32-1), Forgotten: number("forgotten", math.MaxInt32),
		Errors: number("errors", math.MaxUint16), Strikes: number("strikes", math.MaxUint16), Interrupted: number("interrupted", math.MaxUint16),
		Avoid: exact(drawText(t, "avoid")), In: raw("in"), Out: raw("out"), Err: readable(t, "err"),
	}
	r.Discarded = r.State == "quarantined" && rapid.Bool().Draw(t, "discarded")
	state, _ := parseState(r.State)
	r.Gone = state.Settled() && rapid.Bool().Draw(t, "gone")
	r.Priority, r.Subtask = rapid.IntRange(LowestPriority, HighestPriority).Draw(t, "priority"), rapid.Bool().Draw(t, "subtask")
	r.Parent, r.Depth, r.Child = exact(drawText(t, "parent")), number("depth", maxDepth), rapid.Bool().Draw(t, "child")
	r.Turn, r.Loose = rapid.Uint64().Draw(t, "turn"), rapid.Bool().Draw(t, "loose")
	r.Pin, r.PinIncarnation = exact(drawText(t, "pin")), rapid.Uint64().Draw(t, "pin incarnation")
	for range number("inputs", 3) {
		r.Inputs = append(r.Inputs, inputRecord{ID: exact(drawText(t, "input")), Seq: rapid.Uint64().Draw(t, "seq")})
	}
	attempts := number("attempts", 3)
	if r.State == "leased" {
		attempts++
	}
	for range attempts {
		a := attemptRecord{
			Number: 1 + number("number", r.Attempt-1), Path: exact(drawText(t, "path")), Incarnation: rapid.Uint64().Draw(t, "incarnation"),
			Start: when("start"), End: when("end"), Outcome: rapid.SampledFrom(append([]string{""}, outcomeNames[:]...)).Draw(t, "outcome"), Err: readable(t, "err"),
		}
		if s := readable(t, "stack"); s != nil {
			a.Stack = *s
		}
		r.Attempts = append(r.Attempts, a)
	}
	if len(r.In) == 0 {
		r.In = nil
	}
	if len(r.Out) == 0 {
		r.Out = nil
	}
	return r
}

func TestATaskRecordComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		data := r.append(nil)
		require.True(t, json.Valid(data), "%s", data)
		back, err := decodeTask(data)
		require.NoError(t, err, "%s", data)
		require.Equal(t, r, back)
		byReflection, err := json.Marshal(r)
		require.NoError(t, err)
		require.JSONEq(t, string(byReflection), string(data), "it is what json.Marshal makes of it")
	})
}

func TestBooksComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func() uint64 { return rapid.Uint64Range(0, math.MaxInt64).Draw(t, "n") }
		b := booksRecord{1, n(), n(), n(), n(), n(), n(), n(), n(), n(), n(), n(), n()}
		var back booksRecord
		require.NoError(t, unmarshal(b.append(nil), &back))
		require.Equal(t, b, back)
	})
}

func TestKeysOfTasksAreInTheOrderOfAcceptance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64Min(1).Draw(t, "a"), rapid.Uint64Min(1).Draw(t, "b")
		require.Equal(t, a < b, taskKey(a) < taskKey(b))
		back, err := taskSeq(taskKey(a))
		require.NoError(t, err)
		require.Equal(t, a, back)
	})
	for _, key := range []string{"task/", "task/1", "task/000000000000000g", "task/0000000000000000", "task/00000000000000001", "task/+000000000000001", "task/00000000000000AB"} {
		_, err := taskSeq(key)
		assert.Error(t, err, key)
	}
}

func TestTheVersionIsLookedAtFirst(t *testing.T) {
	_, err := decodeTask([]byte(`{"v":2,"id":{"another":"format"},"attempts":7}`))
	assert.ErrorIs(t, err, ErrStoreNewer)
	_, err = decodeTask([]byte(`{"id":"t"}`))
	assert.ErrorContains(t, err, "no version")
}

func TestEveryFaultOfARecordIsNamed(t *testing.T) {
	_, err := decodeTask([]byte(`{"v":1,"id":"","type":"a b","state":"odd","timeout":-1,"attempts":[{"n":1,"outcome":"who knows"}]}`))
	for _, text := range []string{`id ""`, `type "a b"`, `state "odd"`, "max_attempts is 0", "timeout is -1", `outcome "who knows"`, "attempt 1 of 0"} {
		assert.ErrorContains(t, err, text)
	}
}

func TestWallTimesGoThereAndBack(t *testing.T) {
	w := clock{epoch: time.Now().Add(-time.Hour)}.wall()
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.Int64Range(-int64(forever)/2, int64(forever)/2).Draw(t, "ns")
		if unix := w.unixOf(ns); unix != 0 && ns != 0 {
			require.Equal(t, ns, w.from(unix))
		}
		far := w.from(rapid.Int64().Draw(t, "unix"))
		require.LessOrEqual(t, far, w.now+int64(forever))
		require.GreaterOrEqual(t, far, w.now-int64(forever))
	})
	assert.Zero(t, w.unixOf(0))
	assert.Zero(t, w.from(0))
}

func FuzzDecodeTask(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"t","type":"double","key":["/w=="],"state":"leased","submitted":1,"max_attempts":3,"attempt":1,"in":1,"attempts":[{"n":1,"path":"a","inc":1,"start":5}]}`))
	f.Add([]byte(`{"v":1,"id":"t","type":"double","state":"quarantined","submitted":1,"max_attempts":3,"attempt":2,"err":"broken","attempts":[{"n":2,"path":"a","start":5,"end":6,"outcome":"crashed","err":"x","stack":"s"}]}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`{"v":1,"in":`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeTask(data)
		if err != nil {
			return
		}
		// What decodes can be gone on from, and be written again.
		again, err := decodeTask(r.append(nil))
		require.NoError(t, err)
		again.Version = r.Version
		require.JSONEq(t, string(r.append(nil)), string(again.append(nil)))
		books := booksRecord{Version: 1, Seq: 1, Accepted: 1}
		counts := map[string]*uint64{"waiting": &books.Waiting, "leased": &books.Leased, "done": &books.Done, "failed": &books.Failed,
			"quarantined": &books.Quarantined, "cancelled": &books.Cancelled, "expired": &books.Expired}
		*counts[r.State]++
		hub, err := NewHub(Options{Store: &fixed{map[string][]byte{taskKey(1): data, booksKey: books.append(nil)}}})
		require.NoError(t, err)
		require.True(t, hub.Counts().Balanced())
		hub.Close(nil)
		require.NoError(t, hub.StoreErr())
	})
}

func FuzzLoad(f *testing.F) {
	f.Add("books", []byte(`{"v":1,"seq":1,"accepted":0}`))
	f.Add("snapshot/a", []byte(`{"v":1,"of":2,"data":"eA=="}`))
	f.Add("task/0000000000000001", []byte(`{"v":1}`))
	f.Fuzz(func(t *testing.T, key string, data []byte) {
		hub, err := NewHub(Options{Store: &fixed{map[string][]byte{key: data}}})
		if err == nil {
			hub.Close(nil)
		}
	})
}
