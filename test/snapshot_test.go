package test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// shelf is a store in memory, which outlives the trees that use it.
type shelf struct {
	mu      sync.Mutex
	records map[string][]byte
	dead    bool
}

func (s *shelf) Load(_ context.Context, each func(routing.Record) error) error {
	for key, data := range s.records {
		if err := each(routing.Record{Key: key, Data: data}); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) Commit(_ context.Context, changes []routing.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errors.New("the process is dead")
	}
	for _, c := range changes {
		if c.Data == nil {
			delete(s.records, c.Key)
		} else {
			s.records[c.Key] = slices.Clone(c.Data)
		}
	}
	return nil
}

// die ends the process that uses the shelf, as far as the shelf can tell, and returns what the next one finds.
func (s *shelf) die() *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	return &shelf{records: maps.Clone(s.records)}
}

func newShelf() *shelf { return &shelf{records: map[string][]byte{}} }

// adder is an agent whose state is a sum. A negative task crashes it after it has spoilt its state.
type adder struct {
	sum      int
	restored []actors.Saved
	fails    func(what string) error
}

func (a *adder) Handle(ctx context.Context, n int) (int, error) {
	if info, _ := routing.FromContext(ctx); n < 0 && info.Attempt == 1 {
		a.sum = -1000
		panic(errBoom)
	}
	a.sum += max(n, -n)
	return a.sum, nil
}

func (a *adder) Snapshot() (int, error) {
	if a.fails != nil {
		if err := a.fails("snapshot"); err != nil {
			return 0, err
		}
	}
	return a.sum, nil
}

func (a *adder) Restore(s actors.Saved) error {
	a.restored = append(a.restored, s)
	if err := s.Decode(&a.sum); err != nil {
		return err
	}
	if a.fails != nil {
		return a.fails("restore")
	}
	return nil
}

var add = routing.NewType[int, int]("add")

func adderTree(policy actors.SnapshotPolicy, fails func(string) error) actors.Supervisor {
	return actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(strategies.MaxRestarts(1000, time.Minute)), Children: []actors.Child{
		actors.Stateful("adder", add, func() *adder { return &adder{fails: fails} }).Saving(policy)}}
}

func sum(t *testing.T, tree *actors.Tree, n int) int {
	t.Helper()
	out, err := add.Do(t.Context(), tree, n)
	require.NoError(t, err)
	return out
}

func TestAnAgentGoesOnFromItsSnapshotAfterACrash(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, adderTree(actors.SnapshotPolicy{}, nil))
		require.Equal(t, 3, sum(t, tree, 3))
		require.Equal(t, 7, sum(t, tree, 4))
		require.Equal(t, 12, sum(t, tree, -5), "as if the crash had not been")
		stop(t, tree)
	})
}

func TestAnAgentGoesOnFromItsSnapshotInTheNextProcess(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := newShelf()
		for i := 1; i <= 4; i++ {
			tree := start(t, adderTree(actors.SnapshotPolicy{}, nil), actors.WithStore(store))
			require.Equal(t, 10*i, sum(t, tree, 10))
			next := store.die()
			if i%2 == 0 { // this one ends in good order
				next = store
				store.dead = false
				stop(t, tree)
			} else {
				kill(tree)
			}
			store = next
		}
	})
}

// With a snapshot after each task, what is in the state is what is recorded as done: through crashes of the agent and deaths of the process at any moment.
func TestTheStateIsThatOfTheTasksRecordedAsDone(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := newShelf()
		total := 0
		for life := range 10 {
			tree := start(t, adderTree(actors.SnapshotPolicy{}, nil), actors.WithStore(store))
			for i := range 20 {
				n := 1 + i%7
				if i%5 == 4 {
					n = -n
				}
				_, err := add.Submit(t.Context(), tree, n, routing.ID(fmt.Sprint(life, "-", i)))
				require.NoError(t, err)
				total += max(n, -n)
			}
			time.Sleep(time.Duration(life*37) * time.Millisecond)
			store = store.die()
			kill(tree)
		}
		tree := start(t, adderTree(actors.SnapshotPolicy{}, nil), actors.WithStore(store))
		require.NoError(t, tree.Hub().Drain(t.Context()))
		require.EqualValues(t, 200, tree.Hub().Counts().Done)
		got, ok := tree.Hub().Snapshot(routing.SpokeID{Path: "root/adder"})
		require.True(t, ok)
		require.Equal(t, fmt.Sprint(total), string(got.Data))
		stop(t, tree)
	})
}

func TestWhenSnapshotsAreMade(t *testing.T) {
	kept := func(tree *actors.Tree) string {
		s, _ := tree.Hub().Snapshot(routing.SpokeID{Path: "root/adder"})
		return string(s.Data)
	}
	for name, test := range map[string]struct {
		policy actors.SnapshotPolicy
		run    func(t *testing.T, tree *actors.Tree)
		after  string // Stop
	}{
		"after every second task": {actors.SnapshotPolicy{EveryTasks: 2}, func(t *testing.T, tree *actors.Tree) {
			sum(t, tree, 1)
			require.Equal(t, "", kept(tree))
			sum(t, tree, 1)
			require.Equal(t, "2", kept(tree))
			sum(t, tree, 1)
			require.Equal(t, "2", kept(tree))
		}, "3"},
		"every so often": {actors.SnapshotPolicy{Every: time.Minute}, func(t *testing.T, tree *actors.Tree) {
			sum(t, tree, 1)
			time.Sleep(59 * time.Second)
			sum(t, tree, 1)
			require.Equal(t, "", kept(tree))
			time.Sleep(2 * time.Second)
			require.Equal(t, "2", kept(tree))
			time.Sleep(time.Hour)
			sum(t, tree, 1)
			require.Equal(t, "2", kept(tree))
			time.Sleep(2 * time.Minute)
			require.Equal(t, "3", kept(tree))
			sum(t, tree, 1)
		}, "4"},
		"on demand": {actors.SnapshotPolicy{OnDemand: true}, func(t *testing.T, tree *actors.Tree) {
			sum(t, tree, 5)
			require.Equal(t, "", kept(tree))
			require.NoError(t, tree.SaveSnapshot(t.Context(), "root/adder"))
			require.Equal(t, "5", kept(tree))
			sum(t, tree, 1)
		}, "5"},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				for _, store := range []*shelf{nil, newShelf()} {
					var opts []actors.Option
					if store != nil {
						opts = append(opts, actors.WithStore(store))
					}
					tree := start(t, adderTree(test.policy, nil), opts...)
					test.run(t, tree)
					stop(t, tree)
					require.Equal(t, test.after, kept(tree), "after a stop in good order")
				}
			})
		})
	}
}

// On demand, a busy agent saves after the task that it is at, and its handler may do it in the midst of one.
func TestSnapshotsOnDemandOfABusyAgent(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		release := newGate(t)
		state := 0
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.AgentSpec{
			ID: "busy", Types: []string{add.Name()}, Snapshot: actors.SnapshotPolicy{OnDemand: true},
			New: func() actors.AgentCode {
				return actors.AgentCode{
					Handlers: []routing.Handler{routing.HandlerOf(add, func(ctx context.Context, n int) (int, error) {
						state = 1
						if err := actors.SaveSnapshot(ctx); err != nil {
							return 0, err
						}
						<-release.opened
						state = 2
						return n, nil
					})},
					Snapshot: func() (any, error) { return state, nil },
					Restore:  func(actors.Saved) error { return nil },
				}
			},
		}, actors.Agent("stateless", job, func(_ context.Context, n int) (int, error) { return n, nil })}})
		kept := func() string {
			s, _ := tree.Hub().Snapshot(routing.SpokeID{Path: "root/busy"})
			return string(s.Data)
		}
		h, err := add.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, "1", kept())
		answers := make(chan error, 3)
		for range 2 {
			go func() { answers <- tree.SaveSnapshot(t.Context(), "root/busy") }()
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, tree.SaveSnapshot(impatient, "root/busy"), context.DeadlineExceeded)
		require.Empty(t, answers)
		release.open()
		_, err = h.Await(t.Context())
		require.NoError(t, err)
		require.NoError(t, <-answers)
		require.NoError(t, <-answers)
		require.Equal(t, "2", kept())
		for _, path := range []string{"root/stateless", "root", "root/nobody"} {
			require.ErrorIs(t, tree.SaveSnapshot(t.Context(), path), actors.ErrNoSnapshots)
		}
		require.ErrorIs(t, actors.SaveSnapshot(t.Context()), actors.ErrNoSnapshots)
		stop(t, tree)
		require.ErrorIs(t, tree.SaveSnapshot(t.Context(), "root/busy"), actors.ErrNoSnapshots)
	})
}

// A snapshot that doesn't fit is refused with an event that says why, and the agent starts fresh.
func TestASnapshotThatDoesNotFitIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		saved, wanted actors.SnapshotPolicy
		fails         func(string) error
		data          string // instead of what was saved
		want          string
	}{
		"a newer version":  {saved: actors.SnapshotPolicy{Version: 3}, wanted: actors.SnapshotPolicy{Version: 2}, want: "version 3, is refused, the agent starts fresh: the agent understands versions 2 to 2"},
		"an older version": {saved: actors.SnapshotPolicy{Version: 1}, wanted: actors.SnapshotPolicy{Version: 3, Oldest: 2}, want: "the agent understands versions 2 to 3"},
		"an error":         {fails: func(what string) error { return errors.New("can't " + what) }, want: "can't restore"},
		"a panic":          {fails: func(string) error { panic(errBoom) }, want: "boom"},
		"another format":   {data: `"text"`, want: "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				store := newShelf()
				tree := start(t, adderTree(test.saved, nil), actors.WithStore(store))
				require.Equal(t, 5, sum(t, tree, 5))
				if test.data != "" {
					store.records["snapshot/root/adder"] = fmt.Appendf(nil, `{"v":1,"of":1,"time":1,"data":"%s"}`, "InRleHQi")
				}
				store = store.die()
				kill(tree)
				events := actors.NewSubscription(100, actors.SnapshotRefused)
				tree = start(t, adderTree(test.wanted, test.fails), actors.WithStore(store), actors.WithSubscription(events))
				e := <-events.Events()
				var refused *actors.RefusedError
				require.ErrorAs(t, e.Err, &refused)
				require.Equal(t, "root/adder", refused.Path)
				require.ErrorContains(t, e.Err, test.want)
				require.Contains(t, e.String(), "root/adder snapshot refused: ")
				if test.fails == nil {
					require.Equal(t, 1, sum(t, tree, 1), "it has started fresh")
				}
				kill(tree)
			})
		})
	}
	inVirtualTime(t, func(t *testing.T) {
		store := newShelf()
		tree := start(t, adderTree(actors.SnapshotPolicy{Version: 2}, nil), actors.WithStore(store))
		sum(t, tree, 5)
		store = store.die()
		kill(tree)
		tree = start(t, adderTree(actors.SnapshotPolicy{Version: 3, Oldest: 2}, nil), actors.WithStore(store))
		require.Equal(t, 6, sum(t, tree, 1), "an older version that it understands")
		stop(t, tree)
	})
}

// A Snapshot that fails or panics is reported; the task and the agent go on.
func TestASnapshotThatFailsIsReported(t *testing.T) {
	for _, fails := range []func(string) error{func(string) error { return errBoom }, func(string) error { panic(errBoom) }} {
		inVirtualTime(t, func(t *testing.T) {
			events := actors.NewSubscription(100, actors.SnapshotFailed)
			tree := start(t, adderTree(actors.SnapshotPolicy{}, fails), actors.WithSubscription(events))
			require.Equal(t, 5, sum(t, tree, 5))
			require.ErrorIs(t, (<-events.Events()).Err, errBoom)
			require.ErrorIs(t, tree.SaveSnapshot(t.Context(), "root/adder"), errBoom)
			require.Equal(t, 6, sum(t, tree, 1))
			node, _ := tree.Node("root/adder")
			require.Zero(t, node.Failures)
			kill(tree)
		})
	}
}

// The last Snapshot of an agent that stops may fail in any way: its Stop runs, and it leaves the hub.
func TestTheLastSnapshotFails(t *testing.T) {
	for name, fails := range map[string]func() error{
		"error":  func() error { return errBoom },
		"panic":  func() error { panic(errBoom) },
		"Goexit": func() error { goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				stopped := false
				events := actors.NewSubscription(100, actors.SnapshotFailed)
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.AgentSpec{
					ID: "adder", Types: []string{add.Name()}, Snapshot: actors.SnapshotPolicy{EveryTasks: 10},
					New: func() actors.AgentCode {
						return actors.AgentCode{
							Handlers: []routing.Handler{routing.HandlerOf(add, func(_ context.Context, n int) (int, error) { return n, nil })},
							Snapshot: func() (any, error) { return 0, fails() },
							Restore:  func(actors.Saved) error { return nil },
							Stop:     func(context.Context) { stopped = true },
						}
					},
				}}}, actors.WithSubscription(events))
				sum(t, tree, 5)
				require.NoError(t, tree.TerminateChild(t.Context(), "root/adder"))
				want := errBoom
				if name == "Goexit" {
					want = actors.ErrGoexit
				}
				require.ErrorIs(t, (<-events.Events()).Err, want)
				require.True(t, stopped)
				require.Empty(t, tree.Hub().Spokes())
				stop(t, tree)
			})
		})
	}
}

// An agent can be saved as soon as its tree has started.
func TestASnapshotRightAfterTheStart(t *testing.T) {
	for range 100 * soak() {
		inVirtualTime(t, func(t *testing.T) {
			tree := start(t, adderTree(actors.SnapshotPolicy{OnDemand: true}, nil))
			require.NoError(t, tree.SaveSnapshot(t.Context(), "root/adder"))
			stop(t, tree)
		})
	}
}

// Who waits for a snapshot of an agent that ends hears why there won't be one.
func TestASnapshotOfAnAgentThatEnds(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{saver(func() {}, actors.SnapshotPolicy{OnDemand: true}, actors.Liveness{})}})
		_, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		synctest.Wait()
		saved := make(chan error, 1)
		go func() { saved <- tree.SaveSnapshot(t.Context(), "root/saver") }()
		synctest.Wait()
		require.NoError(t, tree.Kill("root/saver"))
		err = <-saved
		require.ErrorIs(t, err, actors.ErrNoSnapshots)
		require.ErrorIs(t, err, actors.ErrKilled)
	})
}

// So does who waits for one that an agent fails with.
func TestASnapshotThatAnAgentFailsWith(t *testing.T) {
	for _, name := range []string{"it ends its goroutine", "it hangs"} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				g := newGate(t)
				tree := start(t, actors.Supervisor{ID: "root", Strategy: lenient, Children: []actors.Child{saver(func() {
					if name == "it hangs" {
						g.wait()
					} else {
						goexit()
					}
				}, actors.SnapshotPolicy{OnDemand: true}, actors.Liveness{Max: time.Minute})}})
				_, err := job.Submit(t.Context(), tree, 1)
				require.NoError(t, err)
				synctest.Wait()
				require.ErrorIs(t, tree.SaveSnapshot(within(t, time.Hour), "root/saver"), actors.ErrNoSnapshots)
				g.open()
				synctest.Wait()
				stop(t, tree)
			})
		})
	}
}

// An incarnation that hangs and comes back late can't overwrite what its successor has saved.
func TestAZombieCannotSave(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		hang := newGate(t)
		var late error
		sum := 0
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.AgentSpec{
			ID: "agent", Types: []string{add.Name()}, Lifecycle: actors.Lifecycle{Shutdown: time.Second},
			New: func() actors.AgentCode {
				own := 0
				return actors.AgentCode{
					Handlers: []routing.Handler{routing.HandlerOf(add, func(ctx context.Context, n int) (int, error) {
						if info, _ := routing.FromContext(ctx); info.Attempt == 1 {
							own = -999
							<-hang.opened
							late = actors.SaveSnapshot(ctx)
							return n, nil
						}
						own += n
						sum = own
						return n, nil
					})},
					Snapshot: func() (any, error) { return own, nil },
					Restore:  func(s actors.Saved) error { return s.Decode(&own) },
				}
			},
		}}})
		_, err := add.Do(t.Context(), tree, 7, routing.Timeout(time.Second))
		require.NoError(t, err)
		hang.open()
		synctest.Wait()
		require.ErrorIs(t, late, routing.ErrRevoked)
		s, ok := tree.Hub().Snapshot(routing.SpokeID{Path: "root/agent"})
		require.True(t, ok)
		require.Equal(t, "7", string(s.Data))
		require.Equal(t, 7, sum)
		stop(t, tree)
	})
}

// Of two handlers that end together, the one whose snapshot is older may be the last to get to the hub: the newer one stays.
func TestAnOlderSnapshotDoesNotReplaceANewerOne(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		for _, options := range [][]actors.Option{nil, {actors.WithStore(newShelf())}} {
			slow := newGate(t)
			tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.AgentSpec{
				ID: "agent", Types: []string{add.Name()}, Credits: 2,
				New: func() actors.AgentCode {
					var mu sync.Mutex
					var seen []int
					made := 0
					return actors.AgentCode{
						Handlers: []routing.Handler{routing.HandlerOf(add, func(_ context.Context, n int) (int, error) {
							time.Sleep(time.Duration(n) * time.Second)
							mu.Lock()
							defer mu.Unlock()
							seen = append(seen, n)
							return n, nil
						})},
						Snapshot: func() (any, error) {
							mu.Lock()
							made++
							first, state := made == 1, slices.Clone(seen)
							mu.Unlock()
							if first {
								slow.wait()
							}
							return state, nil
						},
						Restore: func(actors.Saved) error { return nil },
					}
				},
			}}}, options...)
			kept := func() string {
				s, _ := tree.Hub().Snapshot(routing.SpokeID{Path: "root/agent"})
				return string(s.Data)
			}
			first, err := add.Submit(t.Context(), tree, 1)
			require.NoError(t, err)
			second, err := add.Submit(t.Context(), tree, 2)
			require.NoError(t, err)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			require.Equal(t, routing.StateLeased, first.Status(), "its snapshot is being made")
			require.Equal(t, routing.StateDone, second.Status())
			require.Equal(t, "[1,2]", kept())

			slow.open()
			synctest.Wait()
			require.Equal(t, routing.StateDone, first.Status())
			require.Equal(t, "[1,2]", kept())
			stop(t, tree)
			require.Equal(t, "[1,2]", kept())
		}
	})
}

// What ends while a snapshot is made counts towards the next one, also for an agent that stops.
func TestATaskThatEndsDuringASnapshotIsSavedByTheNext(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		slow := newGate(t)
		var done, made atomic.Int32
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.AgentSpec{
			ID: "agent", Types: []string{add.Name()}, Credits: 2, Snapshot: actors.SnapshotPolicy{EveryTasks: 2},
			New: func() actors.AgentCode {
				return actors.AgentCode{
					Handlers: []routing.Handler{routing.HandlerOf(add, func(_ context.Context, n int) (int, error) {
						done.Add(1)
						return n, nil
					})},
					Snapshot: func() (any, error) {
						state := done.Load()
						if made.Add(1) == 1 {
							slow.wait()
						}
						return state, nil
					},
					Restore: func(actors.Saved) error { return nil },
				}
			},
		}}})
		for range 3 {
			_, err := add.Submit(t.Context(), tree, 1)
			require.NoError(t, err)
			synctest.Wait()
		}
		require.EqualValues(t, 3, done.Load())
		slow.open()
		synctest.Wait()
		kept, _ := tree.Hub().Snapshot(routing.SpokeID{Path: "root/agent"})
		require.Equal(t, "2", string(kept.Data))
		stop(t, tree)
		kept, _ = tree.Hub().Snapshot(routing.SpokeID{Path: "root/agent"})
		require.Equal(t, "3", string(kept.Data))
	})
}

// A made-up ID may be that of somebody else in another process.
func TestAnInstanceWithAMadeUpIDStartsFresh(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		session := actors.Stateful("session", add, func() *adder { return &adder{} }).Saving(actors.SnapshotPolicy{EveryTasks: 2})
		for name, template := range map[string]actors.Child{"agent": session, "supervisor": actors.Supervisor{ID: "desk", Children: []actors.Child{session}}} {
			store := newShelf()
			for range 2 {
				tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "sessions", Template: template}}}, actors.WithStore(store))
				_, err := tree.StartInstance(t.Context(), "root/sessions", "")
				require.NoError(t, err)
				require.Equal(t, 10, sum(t, tree, 10), name)
				require.Equal(t, 1, sum(t, tree, -1), "%s: it crashes before its first snapshot", name)
				require.Equal(t, 3, sum(t, tree, 2), name)
				require.Equal(t, 6, sum(t, tree, -3), "%s: it crashes after that", name)
				next := store.die()
				kill(tree)
				store = next
			}
			contents, err := routing.ReadStore(store)
			require.NoError(t, err)
			require.Len(t, contents.Snapshots, 1, name)
		}
	})
}

func TestSnapshotsGoWithAMadeUpInstanceAndWithADeletedChild(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		agent := actors.Stateful("adder", add, func() *adder { return &adder{} })
		desk := actors.Supervisor{ID: "desk", Children: []actors.Child{agent}}
		store := newShelf()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "sessions", Template: desk}}}, actors.WithStore(store))
		kept := func() (paths []string) {
			require.NoError(t, tree.Hub().Flush())
			contents, err := routing.ReadStore(store)
			require.NoError(t, err)
			return slices.Sorted(maps.Keys(contents.Snapshots))
		}
		for _, id := range []string{"", "of-42"} {
			pid, err := tree.StartInstance(t.Context(), "root/sessions", id)
			require.NoError(t, err)
			sum(t, tree, 10)
			require.Contains(t, kept(), pid.Id+"/adder")
			require.NoError(t, tree.TerminateChild(t.Context(), pid.Id))
		}
		require.Equal(t, []string{"root/sessions/of-42/adder"}, kept(), "it may be asked for again")
		_, err := tree.StartInstance(t.Context(), "root/sessions", "of-42")
		require.NoError(t, err)
		require.Equal(t, 11, sum(t, tree, 1))
		require.NoError(t, tree.TerminateChild(t.Context(), "root/sessions/of-42"))

		for range 2 {
			_, err = tree.StartChild(t.Context(), "root", desk)
			require.NoError(t, err)
			require.Equal(t, 5, sum(t, tree, 5))
			require.NoError(t, tree.TerminateChild(t.Context(), "root/desk"))
			_, err = tree.RestartChild(t.Context(), "root/desk")
			require.NoError(t, err)
			require.Equal(t, 7, sum(t, tree, 2), "it was only terminated")
			require.NoError(t, tree.TerminateChild(t.Context(), "root/desk"))
			require.NoError(t, tree.DeleteChild(t.Context(), "root/desk"))
			require.Equal(t, []string{"root/sessions/of-42/adder"}, kept())
		}
		stop(t, tree)
	})
}

type onlySnapshot struct{ adder }

func (onlySnapshot) Restore(a, b int) error { return nil }

func TestFaultsOfSnapshotsAreFaultsOfTheSpec(t *testing.T) {
	agent := actors.Stateful("a", add, func() *adder { return &adder{} })
	_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{
		actors.Stateful("misfit", add, func() *onlySnapshot { return &onlySnapshot{} }),
		agent.Saving(actors.SnapshotPolicy{Version: -1}),
		agent.Saving(actors.SnapshotPolicy{Version: 1, Oldest: 2}).With(actors.Lifecycle{}),
	}})
	var spec *actors.SpecError
	require.ErrorAs(t, err, &spec)
	text := err.Error()
	for _, want := range []string{"root/misfit: handler: *test.onlySnapshot needs methods Snapshot() (S, error) and Restore(S) error", "no field may be negative", "Snapshot.Oldest is 2"} {
		require.True(t, strings.Contains(text, want), "%s\nin %s", want, text)
	}
}

// ---- the store of a tree

func TestStopKeepsWhatIsNotSettledInTheStore(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		store := newShelf()
		deaf := actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("w", job, func(ctx context.Context, _ int) (int, error) { <-ctx.Done(); return 0, ctx.Err() })}}
		tree := start(t, deaf, actors.WithStore(store))
		for _, id := range []string{"running", "waiting"} {
			_, err := job.Submit(t.Context(), tree, 21, routing.ID(id))
			require.NoError(t, err)
		}
		synctest.Wait()
		h, err := job.Find(tree, "waiting")
		require.NoError(t, err)
		stop(t, tree)
		_, err = h.Await(t.Context())
		require.ErrorIs(t, err, routing.ErrKept)
		require.ErrorIs(t, err, actors.ErrShutdown)
		require.NotErrorIs(t, err, routing.ErrCancelled)

		tree = start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("w", job, func(_ context.Context, n int) (int, error) { return 2 * n, nil })}}, actors.WithStore(store))
		for _, id := range []string{"running", "waiting"} {
			h, err := job.Find(tree, id)
			require.NoError(t, err)
			out, err := h.Await(t.Context())
			require.NoError(t, err)
			require.Equal(t, 42, out)
			s, _ := tree.Hub().Inspect(id)
			require.Zero(t, s.Errors+s.Strikes+s.Interrupted, "a stop charges nothing")
		}
		stop(t, tree)
	})
}

type brokenStore struct{}

func (brokenStore) Load(context.Context, func(routing.Record) error) error { return errBoom }
func (brokenStore) Commit(context.Context, []routing.Record) error         { return errBoom }

func TestAStoreThatFails(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		root := actors.Supervisor{ID: "root", Children: []actors.Child{actors.Agent("w", job, func(_ context.Context, n int) (int, error) { return n, nil })}}
		_, err := actors.Start(t.Context(), root, actors.WithStore(brokenStore{}))
		require.ErrorIs(t, err, errBoom)
		var failed *routing.StoreError
		require.ErrorAs(t, err, &failed)

		store := newShelf()
		tree := start(t, root, actors.WithStore(store))
		store.die()
		_, err = job.Do(t.Context(), tree, 1)
		require.ErrorAs(t, err, &failed)
		require.ErrorAs(t, tree.Stop(t.Context()), &failed, "Stop says so")
	})
}
