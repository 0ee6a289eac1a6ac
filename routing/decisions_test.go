package routing

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type later struct{ error }

func (later) RetryAfter() time.Duration { return time.Minute }

func TestJudge(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name            string
		outcome         Outcome
		errors, strikes int
		want            verdict
	}{
		{"a result", Done(1), 2, 2, verdict{next: StateDone}},
		{"an error", Error(broken), 0, 2, verdict{next: StateWaiting, charge: asError}},
		{"the last error", Error(broken), 2, 0, verdict{next: StateFailed, charge: asError}},
		{"a permanent error", Error(fmt.Errorf("x: %w", Permanent(broken))), 0, 0, verdict{next: StateFailed, charge: asError}},
		{"not now", Error(fmt.Errorf("x: %w", later{broken})), 2, 2, verdict{next: StateWaiting, wait: time.Minute}},
		{"not now, but permanent", Error(Permanent(later{broken})), 0, 0, verdict{next: StateFailed, charge: asError}},
		{"a crash", Crashed(broken, nil), 2, 1, verdict{next: StateWaiting, charge: asStrike}},
		{"the last crash", Crashed(broken, nil), 0, 2, verdict{next: StateQuarantined, charge: asStrike}},
		{"a hang", Hung(broken), 0, 2, verdict{next: StateQuarantined, charge: asStrike}},
		{"a time-out", Outcome{kind: OutcomeTimedOut}, 0, 2, verdict{next: StateQuarantined, charge: asStrike}},
		{"a release", Released(broken), 2, 2, verdict{next: StateWaiting}},
		{"an error without an error", Error(nil), 0, 0, verdict{next: StateWaiting, charge: asError}},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, c.want, judge(c.outcome, c.errors, c.strikes, 3, 3))
		})
	}
}

func TestBackoffGrowsToItsCapAndJittersAroundIt(t *testing.T) {
	plain := Backoff{Min: time.Second, Max: 5 * time.Second, Factor: 2, Jitter: -1}.withDefaults()
	for charged, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 5000: 5 * time.Second} {
		assert.Equal(t, want, plain.delay(charged, "t", charged))
	}
	jittered := Backoff{}.withDefaults()
	assert.Equal(t, Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second, Factor: 2, Jitter: 0.2}, jittered)
	low, high := time.Hour, time.Duration(0)
	for i := range 1000 {
		d := jittered.delay(1, fmt.Sprint(i), 1)
		assert.Equal(t, d, jittered.delay(1, fmt.Sprint(i), 1), "the same task and attempt, the same delay")
		low, high = min(low, d), max(high, d)
	}
	assert.InDelta(t, 80, low.Seconds()*1000, 1)
	assert.InDelta(t, 120, high.Seconds()*1000, 1)
	assert.Positive(t, Backoff{Min: math.MaxInt64, Max: math.MaxInt64, Factor: 2, Jitter: 0.9}.delay(3, "t", 1), "no overflow")
}

func TestOptionsNameEveryFault(t *testing.T) {
	_, err := NewHub(Options{
		Capacity: -1, QuarantineAfter: 1001, MaxAttempts: -2, Quarantine: -1, AttemptTimeout: -1, Types: map[string]TypeOptions{
			"a b": {Capacity: -1, QuarantineAfter: -1, MaxAttempts: 1001, Lifetime: -1, RetryBackoff: Backoff{Jitter: 2}},
		},
		RetryBackoff: Backoff{Min: -1, Max: -2, Factor: 0.5, Jitter: 1},
	})
	for _, part := range []string{
		"Capacity is -1: it must be 1 to", "QuarantineAfter is 1001: it must be 1 to 1000", "MaxAttempts is -2", "Quarantine is -1",
		"AttemptTimeout is -1ns", `"a b" has spaces`, `Types["a b"].Capacity is -1`, `Types["a b"].QuarantineAfter is -1`, `Types["a b"].MaxAttempts is 1001: it must be 0 to 1000`,
		`Types["a b"].Lifetime is -1ns`, `Types["a b"].RetryBackoff is not possible: Backoff.Jitter is 2`, "Backoff.Min is -1ns", "Backoff.Max is -2ns", "Backoff.Factor is 0.5", "Backoff.Jitter is 1",
	} {
		assert.ErrorContains(t, err, part)
	}
	_, err = NewHub(Options{})
	assert.NoError(t, err)
}

func TestErrorsSayWhatHappened(t *testing.T) {
	broken := errors.New("broken")
	assert.NoError(t, Permanent(nil))
	assert.Equal(t, "broken", Permanent(broken).Error())
	assert.Equal(t, "hub is closed: broken", (&causedError{ErrClosed, broken}).Error())
	assert.Contains(t, (&QueueFullError{Type: "x", Limit: 3, After: time.Second}).Error(), `type "x" has 3 unsettled tasks, its limit: try again in about 1s`)
	assert.Contains(t, (&QueueFullError{Limit: 3}).Error(), "the hub has 3")
	assert.Contains(t, (&ConflictError{"i", "a", "b"}).Error(), `"i" is known as a task of type "b", not "a"`)
	assert.Contains(t, (&StaleSpokeError{SpokeID{"a", 1}, 2}).Error(), "spoke a@1 is stale: incarnation 2")
	assert.Equal(t, `task i of type "x" is expired`, (&TaskError{ID: "i", Type: "x", State: StateExpired}).Error())
	timeout, ok := ErrExpired.(interface{ Timeout() bool })
	require.True(t, ok)
	assert.True(t, timeout.Timeout())
}

func TestPaceGuessesFromTheRecentPast(t *testing.T) {
	var p pace
	assert.Equal(t, 10*time.Millisecond, p.retryAfter())
	for i := range int64(200) {
		p.settled(i * int64(100*time.Millisecond))
	}
	assert.InDelta(t, 0.8, p.retryAfter().Seconds(), 0.1)
	p.settled(int64(24 * time.Hour))
	assert.InDelta(t, 1.4, p.retryAfter().Seconds(), 0.1, "one idle day is no more than one long gap")
	for day := range int64(100) {
		p.settled((day + 2) * int64(24*time.Hour))
	}
	assert.InDelta(t, 10, p.retryAfter().Seconds(), 0.1)
	assert.LessOrEqual(t, p.retryAfter(), 10*time.Second)
}

// number is an element of both structures.
type number struct {
	node[*number]
	value int
	at    int32
}

func (n *number) links() *node[*number] { return &n.node }
func (n *number) before(o *number) bool { return n.value < o.value }
func (n *number) position() *int32      { return &n.at }

func TestHeapKeepsTheSmallestFirst(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var h indexedHeap[*number]
		var in []*number
		for range rapid.IntRange(0, 80).Draw(rt, "steps") {
			switch op := rapid.IntRange(0, 3).Draw(rt, "op"); {
			case op < 2 || len(in) == 0:
				n := &number{value: rapid.IntRange(0, 50).Draw(rt, "value")}
				h.update(n)
				in = append(in, n)
			case op == 2:
				n := rapid.SampledFrom(in).Draw(rt, "moved")
				n.value = rapid.IntRange(0, 50).Draw(rt, "value")
				h.update(n)
			default:
				i := rapid.IntRange(0, len(in)-1).Draw(rt, "removed")
				h.remove(in[i])
				h.remove(in[i])
				require.False(rt, h.has(in[i]))
				in = slices.Delete(in, i, i+1)
			}
			require.Equal(rt, len(in), h.len())
			for i, n := range h.items {
				require.EqualValues(rt, i+1, n.at)
				require.False(rt, n.before(h.items[max(i-1, 0)/2]), "heap order")
			}
		}
	})
}

func TestListKeepsItsOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var l list[*number]
		var want []*number
		for range rapid.IntRange(0, 40).Draw(rt, "steps") {
			n := &number{}
			switch op := rapid.IntRange(0, 2).Draw(rt, "op"); {
			case op == 0:
				l.pushBack(n)
				want = append(want, n)
			case op == 1:
				l.pushFront(n)
				want = slices.Insert(want, 0, n)
			case len(want) > 0:
				i := rapid.IntRange(0, len(want)-1).Draw(rt, "removed")
				l.remove(want[i])
				want = slices.Delete(want, i, i+1)
			}
			forth, back := []*number{}, []*number{}
			for n := l.head; n != nil; n = n.next {
				forth = append(forth, n)
			}
			for n := l.tail; n != nil; n = n.prev {
				back = append(back, n)
			}
			slices.Reverse(back)
			require.Equal(rt, len(want), l.size)
			require.True(rt, slices.Equal(want, forth) && slices.Equal(want, back))
		}
	})
}

func TestATaskAndItsLeaseAreSmall(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(task{}), uintptr(240), "a size class of the allocator")
	assert.LessOrEqual(t, unsafe.Sizeof(Lease{}), uintptr(160), "a size class of the allocator")
}
