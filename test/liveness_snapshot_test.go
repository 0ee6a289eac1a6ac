package test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

// saver is an agent whose Snapshot may take its time.
func saver(snapshot func(), policy actors.SnapshotPolicy, liveness actors.Liveness) actors.Child {
	return actors.AgentSpec{
		ID: "saver", Types: []string{job.Name()}, Snapshot: policy, Lifecycle: actors.Lifecycle{Shutdown: 5 * time.Second, Liveness: &liveness},
		New: func() actors.AgentCode {
			return actors.AgentCode{
				Handlers: []routing.Handler{routing.HandlerOf(job, func(_ context.Context, n int) (int, error) {
					time.Sleep(time.Second)
					return n, nil
				})},
				Snapshot: func() (any, error) { snapshot(); return 1, nil },
				Restore:  func(actors.Saved) error { return nil },
			}
		},
	}
}

// A Snapshot that hangs while no handler runs is charged to no task: not to those that wait for it, whatever their limits.
func TestASnapshotThatHangsIsChargedToNoTask(t *testing.T) {
	const limit = time.Minute
	for name, options := range map[string][]routing.SubmitOption{
		"a task":                 nil,
		"a task with a limit":    {routing.Timeout(2 * time.Second)},
		"a task with a deadline": {routing.Deadline(time.Now().Add(100 * 365 * 24 * time.Hour))},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				hangs := true
				events := silences()
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{saver(func() {
					if hangs {
						hangs = false
						g.wait()
					}
				}, actors.SnapshotPolicy{OnDemand: true}, actors.Liveness{Max: limit})}}, actors.WithSubscription(events))
				saved := make(chan error, 1)
				go func() { saved <- tree.SaveSnapshot(t.Context(), "root/saver") }()
				synctest.Wait()

				h, err := job.Submit(t.Context(), tree, 7, options...)
				require.NoError(t, err)
				given, err := job.Submit(t.Context(), tree, 8)
				require.NoError(t, err)
				began := time.Now()
				got, err := h.Await(within(t, time.Hour))
				require.NoError(t, err)
				require.Equal(t, 7, got)
				require.InDelta(t, limit+time.Second, time.Since(began), float64(time.Second))
				_, err = given.Await(within(t, time.Hour))
				require.NoError(t, err)
				info, _ := tree.Hub().Inspect(h.ID())
				require.Zero(t, info.Strikes)
				require.Zero(t, info.Errors)
				require.Len(t, info.Attempts, 2)
				require.Equal(t, routing.OutcomeReleased, info.Attempts[0].Outcome)
				require.ErrorIs(t, <-saved, actors.ErrHung)

				requireRunning(t, tree, "root/saver", 2)
				history := node(t, tree, "root/saver").History
				require.Len(t, history, 1)
				var reason *actors.HungError
				require.ErrorAs(t, history[0].Err, &reason)
				require.Equal(t, actors.HungError{In: "Snapshot", Silence: reason.Silence, Last: reason.Last, Max: true}, *reason)
				require.ErrorContains(t, reason, "no progress in Snapshot for 1m")
				time.Sleep(time.Minute)
				g.open()
				synctest.Wait()
				stop(t, tree)
				require.Equal(t, []actors.EventKind{actors.Suspected, actors.Hung, actors.Abandoned, actors.Returned}, kindsOf(drain(events)))
			})
		})
	}
}

// Who waits for a Snapshot that takes long neither hangs nor is held up by it longer than its task lasts.
func TestTasksThatWaitForASnapshot(t *testing.T) {
	for name, test := range map[string]struct {
		on     actors.OnHung
		events []actors.EventKind
	}{
		"that is quick enough": {actors.HungFail, []actors.EventKind{actors.Suspected, actors.Recovered}},
		"that is reported":     {actors.HungReport, []actors.EventKind{actors.Suspected, actors.Hung, actors.Recovered}},
		"that nobody looks at": {actors.HungIgnore, nil},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				events := silences()
				most := 2 * time.Minute
				if test.on == actors.HungReport {
					most = time.Minute
				}
				slow := true
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{saver(func() {
					if slow {
						slow = false
						time.Sleep(100 * time.Second)
					}
				}, actors.SnapshotPolicy{OnDemand: true}, actors.Liveness{OnHung: test.on, Max: most})}}, actors.WithSubscription(events))
				saved := make(chan error, 1)
				go func() { saved <- tree.SaveSnapshot(t.Context(), "root/saver") }()
				synctest.Wait()
				cancelled, err := job.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				synctest.Wait()
				require.Equal(t, routing.StateLeased, cancelled.Status())
				expires, err := job.Submit(t.Context(), tree, 2, routing.Deadline(time.Now().Add(30*time.Second)))
				require.NoError(t, err)
				waits, err := job.Submit(t.Context(), tree, 3, routing.Timeout(10*time.Second))
				require.NoError(t, err)
				time.Sleep(20 * time.Second)
				require.True(t, cancelled.Cancel(nil))
				_, err = expires.Await(within(t, time.Hour))
				require.ErrorIs(t, err, routing.ErrExpired)
				_, err = waits.Await(within(t, time.Hour))
				require.NoError(t, err)
				require.NoError(t, <-saved)
				info, _ := tree.Hub().Inspect(waits.ID())
				require.Len(t, info.Attempts, 1)
				requireRunning(t, tree, "root/saver", 1)
				stop(t, tree)
				require.Equal(t, test.events, kindsOf(drain(events)))
			})
		})
	}
}

// An agent that is told to stop while tasks wait for its Snapshot gives them back at once.
func TestAnAgentStopsWhileTasksWaitForItsSnapshot(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			saver(func() { time.Sleep(3 * time.Second) }, actors.SnapshotPolicy{OnDemand: true}, actors.Liveness{}),
		}})
		saved := make(chan error, 1)
		go func() { saved <- tree.SaveSnapshot(t.Context(), "root/saver") }()
		synctest.Wait()
		h, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, routing.StateLeased, h.Status())
		stopped := make(chan error, 1)
		began := time.Now()
		go func() { stopped <- tree.TerminateChild(t.Context(), "root/saver") }()
		synctest.Wait()
		require.Equal(t, routing.StateWaiting, h.Status())
		require.NoError(t, <-stopped)
		require.Equal(t, 3*time.Second, time.Since(began))
		require.NoError(t, <-saved, "it has had its time")
		_, err = tree.RestartChild(t.Context(), "root/saver")
		require.NoError(t, err)
		_, err = h.Await(within(t, time.Hour))
		require.NoError(t, err)
		info, _ := tree.Hub().Inspect(h.ID())
		require.Zero(t, info.Strikes+info.Errors)
		stop(t, tree)
	})
}

// One that hangs after a task's handler, on the way to the hub, holds that task up, and the event says where it hangs.
func TestASnapshotOfATaskThatHangs(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		g := newGate(t)
		hangs := true
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{saver(func() {
			if hangs {
				hangs = false
				g.wait()
			}
		}, actors.SnapshotPolicy{}, actors.Liveness{Max: time.Minute})}})
		h, err := job.Submit(t.Context(), tree, 7)
		require.NoError(t, err)
		_, err = h.Await(within(t, time.Hour))
		require.NoError(t, err)
		info, _ := tree.Hub().Inspect(h.ID())
		require.Equal(t, 1, info.Strikes)
		var reason *actors.HungError
		require.True(t, errors.As(info.Attempts[0].Err, &reason))
		require.Equal(t, "Snapshot", reason.In)
		require.ErrorContains(t, reason, "no progress in Snapshot after task "+h.ID()+" for 1m")
		g.open()
		synctest.Wait()
		stop(t, tree)
	})
}

// Snapshots that are mostly quick may now and then take long: the agent is ended for that once.
func TestLivenessOfMixedSnapshots(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var takes atomic.Int64
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{
			saver(func() { time.Sleep(time.Duration(takes.Load())) }, actors.SnapshotPolicy{OnDemand: true}, actors.Liveness{}),
		}})
		for range 3 {
			takes.Store(int64(50 * time.Millisecond))
			for range 30 {
				require.NoError(t, tree.SaveSnapshot(t.Context(), "root/saver"))
				time.Sleep(time.Second)
			}
			takes.Store(int64(5 * time.Second))
			_ = tree.SaveSnapshot(t.Context(), "root/saver")
			time.Sleep(10 * time.Second)
		}
		require.Equal(t, 1, node(t, tree, "root/saver").Failures)
		stop(t, tree)
	})
}

// A Snapshot that ends its goroutine keeps no task waiting.
func TestASnapshotThatEndsItsGoroutine(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		ends := true
		tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{saver(func() {
			if ends {
				ends = false
				time.Sleep(time.Second)
				goexit()
			}
		}, actors.SnapshotPolicy{OnDemand: true}, actors.Liveness{})}})
		saved := make(chan error, 2)
		for range 2 {
			go func() { saved <- tree.SaveSnapshot(t.Context(), "root/saver") }()
		}
		synctest.Wait()
		require.Equal(t, 2*time.Second, took(func() {
			_, err := job.Do(t.Context(), tree, 1)
			require.NoError(t, err)
		}))
		require.ErrorIs(t, <-saved, actors.ErrGoexit)
		require.ErrorIs(t, <-saved, actors.ErrGoexit)
		require.NoError(t, tree.SaveSnapshot(t.Context(), "root/saver"))
		requireRunning(t, tree, "root/saver", 1)
		stop(t, tree)
	})
}
