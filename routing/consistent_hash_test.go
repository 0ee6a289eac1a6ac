package routing_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/routing"
)

// inKeyedWorld runs a test on a hub that keeps keys together.
func inKeyedWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Run("in memory", func(t *testing.T) { inWorldOf(t, routing.Options{Balancer: routing.ConsistentHash()}, test) })
	t.Run("with a store", func(t *testing.T) {
		inWorldOf(t, routing.Options{Balancer: routing.ConsistentHash(), Store: &memory{}}, test)
	})
}

func (w *world) joinMany(n int) map[string]*spoke {
	spokes := make(map[string]*spoke)
	for i := range n {
		path := fmt.Sprint("spoke-", i)
		spokes[path] = w.join(path, 1, 1)
	}
	return spokes
}

func (w *world) owner(key string) string { return w.hub.OwnerOf(double.Name(), key) }

// holder returns the spoke that holds the task's lease, and the lease; nil if there is none.
func holder(spokes map[string]*spoke, handle *routing.Handle[int]) (*spoke, *routing.Lease) {
	for _, s := range spokes {
		for _, l := range s.leases() {
			if l.ID() == handle.ID() {
				return s, l
			}
		}
	}
	return nil, nil
}

func TestTheTasksOfAKeyRunInOrderOnOneSpoke(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		spokes := w.joinMany(8)
		var handles []*routing.Handle[int]
		for i := range 5 {
			handles = append(handles, w.submit(i, routing.Key("k")))
		}
		var owner *spoke
		for i, handle := range handles {
			s, l := holder(spokes, handle)
			require.NotNil(t, s, "task %d has its turn", i)
			if owner != nil {
				require.Equal(t, owner.ID(), s.ID())
			}
			owner = s
			for _, later := range handles[i+1:] {
				require.Equal(t, routing.StateWaiting, later.Status())
			}
			require.True(t, s.settle(l, routing.Done(i)))
		}
	})
}

func TestTheSameKeyGoesToTheSameSpokeLaterAndAfterItsRestart(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		spokes := w.joinMany(8)
		before := map[string]string{}
		run := func(key string) string {
			s, l := holder(spokes, w.submit(1, routing.Key(key)))
			require.True(t, s.settle(l, routing.Done(1)))
			return s.ID().Path
		}
		for i := range 100 {
			before[fmt.Sprint(i)] = run(fmt.Sprint(i))
		}
		for path, s := range spokes {
			s.Leave(nil)
			spokes[path] = w.join(path, 2, 1)
		}
		for key, path := range before {
			require.Equal(t, path, run(key))
		}
	})
}

func TestATaskThatIsTriedAgainHoldsUpItsKeyAndStays(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		spokes := w.joinMany(4)
		first, second := w.submit(1, routing.Key("k")), w.submit(2, routing.Key("k"))
		s, l := holder(spokes, first)
		s.settle(l, routing.Error(errBroken))
		s.holdsNothing()
		assert.Equal(t, routing.StateWaiting, second.Status(), "the first is in its backoff")
		w.pass(time.Second)
		again, l := holder(spokes, first)
		require.Equal(t, s, again, "also after a charged attempt")
		s.settle(l, routing.Error(routing.Permanent(errBroken)))
		_, l = holder(spokes, second)
		require.True(t, s.settle(l, routing.Done(1)), "it is its turn once the first is settled, in whatever way")
	})
}

func TestWhatEndsATaskLetsTheNextOfItsKeyGoOn(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		s := w.join("a", 1, 2)
		running := w.submit(1, routing.Key("k"))
		waiting := w.submit(2, routing.Key("k"))
		expiring := w.submit(3, routing.Key("k"), in(time.Minute))
		last := w.submit(4, routing.Key("k"))
		require.True(t, waiting.Cancel(errBroken))
		w.pass(time.Minute)
		assert.Equal(t, routing.StateExpired, expiring.Status())
		assert.Equal(t, routing.StateWaiting, last.Status())
		require.True(t, running.Cancel(errBroken))
		synctest.Wait()
		assert.Equal(t, routing.StateWaiting, last.Status(), "the handler has not returned yet")
		require.False(t, s.settle(s.only(), routing.Done(1)))
		assert.Equal(t, routing.StateLeased, last.Status())
		s.settleOnly(routing.Done(1))
		assert.Equal(t, routing.StateDone, last.Status())
		assert.Empty(t, w.owner("k"), "nothing of it is left")
	})
}

// Whatever takes a task from a handler, tasks of its key don't run beside that before it has returned, or its spoke has left.
func TestTheNextOfAKeyWaitsForTheHandlerOfTheLast(t *testing.T) {
	const limit = time.Minute
	for name, end := range map[string]func(w *world, running *routing.Handle[int]){
		"cancelled": func(_ *world, running *routing.Handle[int]) { running.Cancel(errBroken) },
		"expired":   func(w *world, _ *routing.Handle[int]) { w.pass(limit) },
		"timed out": func(w *world, _ *routing.Handle[int]) { w.pass(2 * limit) },
	} {
		for _, next := range []string{"waits", "comes later"} {
			for _, leaves := range []bool{false, true} {
				t.Run(fmt.Sprint(name, ", the next ", next, ", leaves ", leaves), func(t *testing.T) {
					inKeyedWorld(t, func(w *world) {
						a, b := w.join("a", 1, 2), w.join("b", 1, 2)
						options := []routing.SubmitOption{routing.Key("k")}
						switch name {
						case "expired":
							options = append(options, in(limit))
						case "timed out":
							options = append(options, routing.Timeout(limit))
						}
						running := w.submit(1, options...)
						s, other := a, b
						if len(b.leases()) > 0 {
							s, other = b, a
						}
						lease := s.only()
						if next == "waits" {
							w.submit(2, routing.Key("k"))
						}
						end(w, running)
						if next == "comes later" {
							w.submit(2, routing.Key("k"))
						}
						w.pass(time.Minute)
						require.Equal(t, lease, s.only())
						other.holdsNothing()
						if leaves {
							s.Leave(nil)
							w.pass(time.Second)
							require.Len(t, other.leases(), 1)
							return
						}
						require.False(t, s.settle(lease, routing.Released(nil)))
						require.NotEqual(t, lease, s.only())
						w.settleAll(s)
						require.Zero(t, w.hub.Counts().Unsettled())
						require.Empty(t, w.owner("k"))
					})
				})
			}
		}
	}
}

// settleAll settles all that a spoke has and gets.
func (w *world) settleAll(s *spoke) {
	for held := s.leases(); len(held) > 0; held = s.leases() {
		s.settle(held[0], routing.Done(1))
	}
}

func TestTheKeysOfASpokeThatGoesGetAnother(t *testing.T) {
	for name, leave := range map[string]func(*spoke){
		"leaves":  func(s *spoke) { s.Leave(errBroken) },
		"crashes": func(s *spoke) { s.settleOnly(routing.Crashed(errBroken, nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			inKeyedWorld(t, func(w *world) {
				spokes := w.joinMany(4)
				first, second := w.submit(1, routing.Key("k")), w.submit(2, routing.Key("k"))
				old, _ := holder(spokes, first)
				leave(old)
				delete(spokes, old.ID().Path)
				w.pass(time.Second)
				s, l := holder(spokes, first)
				require.NotNil(t, s, "it is tried again elsewhere")
				require.True(t, s.settle(l, routing.Done(1)))
				again, _ := holder(spokes, second)
				require.Equal(t, s, again)
			})
		})
	}
}

func TestATaskThatAPausedSpokeStillRunsIsWaitedFor(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		spokes := w.joinMany(4)
		first, second := w.submit(1, routing.Key("k")), w.submit(2, routing.Key("k"))
		s, l := holder(spokes, first)
		s.Pause()
		synctest.Wait()
		assert.Equal(t, routing.StateWaiting, second.Status())
		require.True(t, s.settle(l, routing.Done(1)))
		other, _ := holder(spokes, second)
		require.NotNil(t, other)
		require.NotEqual(t, s, other)
	})
}

func TestKeysWaitWhileThereIsNoSpokeAndAreThenSharedOut(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		const keys = 800
		var handles []*routing.Handle[int]
		for i := range keys {
			handles = append(handles, w.submit(i, routing.Key(fmt.Sprint(i))))
		}
		spokes := w.joinMany(8)
		counts := map[string]int{}
		for i := range keys {
			counts[w.owner(fmt.Sprint(i))]++
		}
		require.Len(t, counts, 8)
		for path, n := range counts {
			require.LessOrEqual(t, n, int(math.Ceil(1.25*keys/8)), "%s: more than its bound", path)
			require.Greater(t, n, keys/8/3, path)
		}
		for _, s := range spokes {
			for len(s.leases()) > 0 {
				s.settleOnly(routing.Done(1))
			}
		}
		for _, handle := range handles {
			require.Equal(t, routing.StateDone, handle.Status())
		}
	})
}

func TestASpokeThatComesTakesItsShareOfWhatHasNotBegun(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		const keys = 900
		spokes := w.joinMany(8)
		before := map[string]string{}
		for i := range keys {
			w.submit(i, routing.Key(fmt.Sprint(i)))
		}
		for i := range keys {
			before[fmt.Sprint(i)] = w.owner(fmt.Sprint(i))
		}
		begun := map[string]bool{}
		for _, s := range spokes {
			begun[s.only().Info().Key] = true
		}
		w.join("new", 1, 1)
		took, wandered := 0, 0
		for key, path := range before {
			switch now := w.owner(key); {
			case now == path:
			case now == "new":
				took++
				require.False(t, begun[key], "a key that has begun stays")
			default:
				wandered++
			}
		}
		t.Logf("of %d keys the ninth spoke took %d, and %d changed places among the others", keys, took, wandered)
		require.InDelta(t, keys/9, took, keys/9/2)
		require.Less(t, wandered, keys/9)
	})
}

// Whatever is submitted and settled, a key that begins goes to a spoke that has no more than its bound then.
func TestASpokeHasItsShareOfTheLoadAndAQuarterMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := quietSystem()
		rapid.Check(bubbleTB{t}, func(rt *rapid.T) {
			factor := rapid.SampledFrom([]float64{1.05, 1.25, 2}).Draw(rt, "factor")
			w := newWorld(rt, system, routing.Options{Balancer: routing.ConsistentHash(factor)})
			defer w.end()
			credits := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 10).Draw(rt, "credits")
			total := 0
			spokes := map[string]*spoke{}
			for i, n := range credits {
				total += n
				path := fmt.Sprint("spoke-", i)
				spokes[path] = w.join(path, 1, n)
			}
			owned := map[string]int{} // unsettled tasks, each with a key of its own
			unsettled := 0
			for next := range rapid.IntRange(1, 80).Draw(rt, "steps") {
				if rapid.IntRange(0, 3).Draw(rt, "settle?") == 0 {
					s := spokes[fmt.Sprint("spoke-", rapid.IntRange(0, len(credits)-1).Draw(rt, "spoke"))]
					if held := s.leases(); len(held) > 0 {
						s.settle(held[0], routing.Done(1))
						owned[s.ID().Path]--
						unsettled--
					}
					continue
				}
				key := fmt.Sprint("key-", next)
				w.submit(1, routing.Key(key))
				path := w.owner(key)
				owned[path]++
				unsettled++
				var c int
				for i, n := range credits {
					if path == fmt.Sprint("spoke-", i) {
						c = n
					}
				}
				bound := max(c, int(math.Ceil(factor*float64(unsettled)*float64(c)/float64(total)+1e-9)))
				require.LessOrEqual(rt, owned[path], bound, "unsettled tasks of %s, which has %d of %d credits", path, c, total)
				held := len(spokes[path].leases())
				require.Equal(rt, min(c, owned[path]), held, "a spoke works on what it has")
			}
		})
	})
}

func TestTasksWithoutAKeyGoToTheLeastLoaded(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		spokes := w.joinMany(4)
		for i := range 4 {
			w.submit(i)
		}
		for _, s := range spokes {
			s.only()
		}
	})
}

func TestKeysOfDifferentTypesHaveNothingToDoWithEachOther(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		s := w.join("a", 1, 2, double.Name(), shout.Name())
		w.submit(1, routing.Key("k"))
		_, err := shout.Submit(context.Background(), w.hub, "x", routing.Key("k"))
		require.NoError(t, err)
		synctest.Wait() // with a store a lease comes when it is recorded
		require.Len(t, s.leases(), 2)
	})
}

func TestASubtaskWithTheKeyOfItsParentDoesNotWaitForIt(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		w.join("a", 1, 1).Leave(nil)
		w.serve("b", func(ctx context.Context, n int) (int, error) {
			if n == 0 {
				return 0, nil
			}
			below, err := double.Do(ctx, w.hub, n-1, routing.Key("k"))
			return below + 1, err
		})
		got, err := double.Do(context.Background(), w.hub, 10, routing.Key("k"))
		require.NoError(t, err)
		require.Equal(t, 10, got)
	})
}

func TestPriorityDoesNotOvertakeWithinAKeyButAcrossKeys(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		s := w.join("a", 1, 1)
		w.submit(1)
		low := w.submit(2, routing.Key("k"), routing.Priority(-1))
		urgent := w.submit(3, routing.Key("k"), routing.Priority(4))
		plain := w.submit(4, routing.Key("other"))
		var order []string
		for range 4 {
			order = append(order, s.only().ID())
			s.settleOnly(routing.Done(1))
		}
		require.Equal(t, []string{plain.ID(), low.ID(), urgent.ID()}, order[1:])
	})
}

func TestAPausedTypeOrHubGivesNoTasksWithAKeyEither(t *testing.T) {
	inKeyedWorld(t, func(w *world) {
		s := w.join("a", 1, 1)
		for name, stop := range map[string][2]func(){
			"hub":  {w.hub.Pause, w.hub.Resume},
			"type": {func() { _ = w.hub.PauseType(double.Name()) }, func() { _ = w.hub.ResumeType(double.Name()) }},
		} {
			stop[0]()
			w.submit(1, routing.Key("k"))
			s.holdsNothing()
			require.Equal(t, 1, w.hub.Types()[0].Ready, name)
			stop[1]()
			synctest.Wait()
			s.settleOnly(routing.Done(1))
		}
	})
}

func TestAFactorOutOfBoundsIsRefused(t *testing.T) {
	for _, factor := range []float64{1, 0, -1, math.NaN(), math.Inf(1)} {
		_, err := routing.NewHub(routing.Options{Balancer: routing.ConsistentHash(factor)})
		require.ErrorContains(t, err, "field Options.Balancer: ConsistentHash has the factor")
	}
}

func TestTenThousandSpokesWithKeysAreNoBurden(t *testing.T) {
	hub, err := routing.NewHub(routing.Options{Balancer: routing.ConsistentHash(), Results: -1})
	require.NoError(t, err)
	defer hub.Close(nil)
	for i := range 10_000 {
		_, err := hub.Join(routing.SpokeSpec{
			ID: routing.SpokeID{Path: fmt.Sprint(i)}, Types: []string{double.Name()},
			Deliver: func(l *routing.Lease) {
				for l != nil {
					l, _ = l.Settle(routing.Done(1))
				}
			},
		})
		require.NoError(t, err)
	}
	for i := range 100_000 {
		_, err := double.Do(context.Background(), hub, 1, routing.Key(fmt.Sprint(i%30_000)))
		require.NoError(t, err)
	}
}
