package routing_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

// A process runs a busy hub on a store whose commits take their time. Everything that it tells the outside is noted with the number of commits
// that were made by then. Then it is looked at what a process finds that is started after it was killed, for every commit that could have been the last.

// witness notes what was told. The number is of the commits made by then.
type witness struct {
	store *memory

	mu       sync.Mutex
	accepted map[string]int
	settled  map[string]told
	attempts map[[2]any]int // of a task and an attempt: when its handler began
}

type told struct {
	commits int
	out     int
	err     error
}

func newWitness(store *memory) *witness {
	return &witness{store: store, accepted: map[string]int{}, settled: map[string]told{}, attempts: map[[2]any]int{}}
}

func (w *witness) note(how func(commits int)) {
	n := w.store.count()
	w.mu.Lock()
	defer w.mu.Unlock()
	how(n)
}

// bustle lets a hub be busy until all its tasks are settled or its store has failed.
func bustle(w *world, seen *witness, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 1))
	throw := make([]int, 400)
	for i := range throw {
		throw[i] = dice.IntN(100)
	}
	handle := func(s **routing.Spoke, l *routing.Lease) {
		for l != nil {
			seen.note(func(n int) { seen.attempts[[2]any{l.ID(), l.Attempt()}] = n })
			n := throw[(len(l.ID())*31+int(l.ID()[1])*17+l.Attempt()*7)%len(throw)]
			time.Sleep(time.Duration(n) * time.Millisecond / 5)
			o := routing.Done(n)
			switch {
			case n < 15:
				o = routing.Error(errBroken)
			case n < 30:
				o = routing.Crashed(errBroken, func() string { return "stack" })
			case n < 35:
				o = routing.Released(errBroken)
			case n < 40:
				o = routing.Error(notNow(time.Second))
			case n < 45:
				o = routing.Error(routing.Permanent(errBroken))
			case n < 60:
				o = o.With(routing.AgentSnapshot{Data: []byte(l.ID())})
			}
			l, _ = l.Settle(o)
			(*s).Resume()
		}
	}
	for i := range 3 {
		var s *routing.Spoke
		joined := make(chan struct{})
		var err error
		s, err = w.hub.Join(routing.SpokeSpec{
			ID: routing.SpokeID{Path: fmt.Sprint("agent", i)}, Types: []string{double.Name()}, Credits: 2,
			Deliver: func(l *routing.Lease) { go func() { <-joined; handle(&s, l) }() },
		})
		require.NoError(w.t, err)
		close(joined)
	}
	var clients sync.WaitGroup
	var client func(i int, id string, options ...routing.SubmitOption)
	client = func(i int, id string, options ...routing.SubmitOption) {
		clients.Go(func() {
			time.Sleep(time.Duration(throw[i]) * time.Millisecond / 4)
			h, err := double.Submit(context.Background(), w.hub, i, append(options, routing.ID(id), routing.Wait(), routing.Priority(i%3))...)
			if err != nil {
				return
			}
			seen.note(func(n int) { seen.accepted[id] = n })
			if i%4 == 1 && len(id) < 4 { // another one waits for it
				client(i, id+"x", routing.After(h))
			}
			if i%8 == 7 {
				time.Sleep(3 * time.Millisecond)
				h.Cancel(errBroken)
			}
			for {
				out, err := h.Await(context.Background())
				if errors.Is(err, routing.ErrKept) {
					return
				}
				seen.note(func(n int) { seen.settled[id] = told{n, out, err} })
				if !errors.Is(err, routing.ErrQuarantined) || i%2 == 0 {
					return
				}
				seen.note(func(int) { delete(seen.settled, id) }) // from now on it may have a new life
				if w.hub.Requeue(id) != nil {
					return
				}
				if h, err = double.Submit(context.Background(), w.hub, i, routing.ID(id)); err != nil {
					return
				}
			}
		})
	}
	for i := range 16 {
		client(i, fmt.Sprintf("t%c", 'a'+i))
	}
	clients.Wait()
	w.hub.Close(nil)
	w.pass(time.Second) // until the last handler has returned
	w.stopDriver()
}

var bustling = routing.Options{Capacity: 10, QuarantineAfter: 2, RetryBackoff: routing.Backoff{Min: 10 * time.Millisecond, Max: 20 * time.Millisecond}, PreferOther: -1}

// resumed checks what a process finds after so many commits, and lets it finish.
func resumed(t *testing.T, seen *witness, store *memory, commits int) {
	options := bustling
	options.Store = store
	w := newWorldOf(t, quietSystem(), options)
	synctest.Wait()
	before := w.hub.Counts()
	require.True(t, before.Balanced(), "%+v", before)

	settledBefore, unsettledBefore := map[string]routing.State{}, map[string]bool{}
	for id := range seen.accepted {
		s, known := w.hub.Inspect(id)
		if seen.accepted[id] <= commits {
			require.True(t, known, "after %d commits: task %s was accepted after %d and is lost", commits, id, seen.accepted[id])
		}
		switch {
		case known && s.State.Settled():
			settledBefore[id] = s.State
		case known:
			unsettledBefore[id] = true
		}
		if told, ok := seen.settled[id]; ok && told.commits <= commits {
			require.True(t, s.State.Settled(), "after %d commits: task %s was settled after %d and is %v", commits, id, told.commits, s.State)
			out, err := await(t, w.find(id))
			if told.err == nil {
				require.NoError(t, err)
				require.Equal(t, told.out, out)
			} else {
				require.EqualError(t, err, told.err.Error())
			}
		}
	}
	for attempt, n := range seen.attempts {
		if n > commits {
			continue
		}
		s, known := w.hub.Inspect(attempt[0].(string))
		require.True(t, known)
		require.GreaterOrEqual(t, s.Attempt, attempt[1], "attempt %v began after %d commits and isn't counted after %d", attempt, n, commits)
	}

	var mu sync.Mutex
	ran := map[string]int{}
	_, err := w.hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "good"}, Types: []string{double.Name()}, Credits: 4, Deliver: func(l *routing.Lease) {
		mu.Lock()
		ran[l.ID()]++
		mu.Unlock()
		go l.Settle(routing.Done(1000))
	}})
	require.NoError(t, err)
	w.pass(time.Hour)
	after := w.hub.Counts()
	require.Zero(t, after.Unsettled())
	require.True(t, after.Balanced())
	require.Equal(t, before.Accepted, after.Accepted)
	for id, state := range settledBefore {
		require.Zero(t, ran[id], "task %s was %v, and was run again", id, state)
		require.Equal(t, state, w.inspect(id).State)
	}
	for id, n := range ran {
		require.Equal(t, 1, n, "runs of task %s", id)
	}
	for id := range unsettledBefore {
		s := w.inspect(id)
		switch {
		case ran[id] == 1:
			require.Equal(t, routing.StateDone, s.State)
		case s.State == routing.StateFailed:
			require.ErrorContains(t, s.Err, "it needs "+id[:2], "an input ended without a result")
		default:
			require.Failf(t, "not run", "task %s is %v", id, s.State)
		}
	}
	w.hub.Close(nil)
	w.stopDriver()
}

func TestAProcessKilledAfterAnyCommit(t *testing.T) {
	commits := 0
	for seed := range uint64(rounds(3)) {
		var seen *witness
		store := &memory{latency: time.Millisecond}
		synctest.Test(t, func(t *testing.T) {
			options := bustling
			options.Store = store
			seen = newWitness(store)
			w := newWorldOf(t, quietSystem(), options)
			w.declare()
			bustle(w, seen, seed)
			require.Greater(t, len(seen.accepted), 20)
			require.True(t, w.hub.Counts().Balanced())
		})
		commits += store.count()
		for n := range store.count() + 1 {
			synctest.Test(t, func(t *testing.T) { resumed(t, seen, store.cut(n), n) })
		}
	}
	require.Greater(t, commits, 60, "commits to be killed after")
}

// The same with a store that fails at every commit, which it then has made or hasn't.
func TestAStoreThatFailsAtAnyCommit(t *testing.T) {
	for seed := range uint64(rounds(1)) {
		for failAt := 1; ; failAt++ {
			for _, keeps := range []bool{false, true} {
				store := &memory{latency: time.Millisecond, failAt: failAt, keeps: keeps}
				var seen *witness
				synctest.Test(t, func(t *testing.T) {
					options := bustling
					options.Store = store
					seen = newWitness(store)
					w := newWorldOf(t, quietSystem(), options)
					w.declare()
					bustle(w, seen, seed)
					counts := w.hub.Counts()
					require.True(t, counts.Balanced(), "%+v", counts)
				})
				synctest.Test(t, func(t *testing.T) { resumed(t, seen, store.cut(store.count()), store.count()) })
				if store.count() < failAt-1 {
					if failAt < 20 {
						t.Fatalf("only %d commits", failAt)
					}
					goto next
				}
			}
		}
	next:
	}
}

// Snapshots are recorded with the outcome of the attempt.
func TestASnapshotIsRecordedWithItsTask(t *testing.T) {
	store := &memory{latency: time.Millisecond}
	synctest.Test(t, func(t *testing.T) {
		w := newWorldOf(t, quietSystem(), routing.Options{Store: store})
		w.declare()
		done := 0
		_, err := w.hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "counter"}, Types: []string{double.Name()}, Deliver: func(l *routing.Lease) {
			go func() {
				done++
				l.Settle(routing.Done(done).With(routing.AgentSnapshot{Data: fmt.Append(nil, done)}))
			}()
		}})
		require.NoError(t, err)
		for i := range 20 {
			_, err := double.Do(context.Background(), w.hub, i)
			require.NoError(t, err)
		}
		w.hub.Close(nil)
		w.stopDriver()
	})
	found := map[string]bool{}
	for n := range store.count() + 1 {
		hub, err := routing.NewHub(routing.Options{Store: store.cut(n)})
		require.NoError(t, err)
		s, ok := hub.Snapshot(routing.SpokeID{Path: "counter"})
		done := hub.Counts().Done
		require.Equal(t, done > 0, ok)
		if ok {
			require.Equal(t, fmt.Sprint(done), string(s.Data), "the agent has done what is recorded as done")
		}
		found[string(s.Data)] = true
	}
	require.Len(t, slices.Collect(maps.Keys(found)), 21)
}
