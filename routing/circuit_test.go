package routing_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

var (
	closed = routing.Circuit{}
	open   = routing.Circuit{State: routing.CircuitOpen}
)

func probing(n int) routing.Circuit {
	return routing.Circuit{State: routing.CircuitProbing, Probes: n}
}

// behind joins a spoke that is behind circuits.
func (w *world) behind(path string, incarnation uint64, credits int, circuits ...string) *spoke {
	w.t.Helper()
	return w.joinBehind(circuits, path, incarnation, credits)
}

func (w *world) set(name string, c routing.Circuit) {
	w.t.Helper()
	require.NoError(w.t, w.hub.SetCircuit(name, c))
	synctest.Wait()
}

func TestOpenCircuitTakesItsSpokesOutOfRotation(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.behind("a", 1, 4, "llm")
		before := w.submit(1)
		w.set("llm", routing.Circuit{State: routing.CircuitOpen, Until: time.Now().Add(30 * time.Second)})
		require.Len(t, s.leases(), 1, "what is out stays out")

		waiting := w.submit(2, routing.ID("waiting"))
		s.settleOnly(routing.Done(2))
		s.holdsNothing() // not even the next, which comes with the settlement
		_, err := await(t, before)
		require.NoError(t, err)
		w.pass(time.Hour)
		s.holdsNothing()

		w.set("llm", closed)
		s.settleOnly(routing.Done(4))
		got, err := await(t, waiting)
		require.NoError(t, err)
		require.Equal(t, 4, got)
		require.EqualValues(t, 2, w.hub.Counts().Attempts)
	})
}

func TestShutOutTasksAreVisible(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		s := w.behind("a", 1, 1, "llm", "db")
		other := w.behind("b", 1, 1, "llm")
		w.set("llm", routing.Circuit{State: routing.CircuitOpen, Until: time.Now().Add(20 * time.Second)})
		w.set("db", routing.Circuit{State: routing.CircuitOpen, Until: time.Now().Add(time.Minute)})
		w.submit(1, routing.ID("t"))
		require.EqualValues(t, 1, w.hub.Counts().ShutOut)
		snap, ok := w.hub.Inspect("t")
		require.True(t, ok)
		require.Equal(t, &routing.CircuitOpenError{Type: "double", Circuits: []string{"db", "llm"}, After: 20 * time.Second}, snap.ShutOut, "the first to come back")
		require.Equal(t, []routing.CircuitSnapshot{
			{Name: "db", Circuit: routing.Circuit{State: routing.CircuitOpen, Until: time.Now().Add(time.Minute)}, Spokes: 1},
			{Name: "llm", Circuit: routing.Circuit{State: routing.CircuitOpen, Until: time.Now().Add(20 * time.Second)}, Spokes: 2},
		}, w.hub.Circuits())

		w.set("llm", closed)
		require.Zero(t, w.hub.Counts().ShutOut)
		snap, _ = w.hub.Inspect("t")
		require.Nil(t, snap.ShutOut)
		s.holdsNothing() // the database is still away
		other.settleOnly(routing.Done(2))
	})
}

func TestFailFast(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		submit := func(opts ...routing.SubmitOption) error {
			_, err := double.Submit(context.Background(), w.hub, 1, opts...)
			return err
		}
		require.NoError(t, submit(routing.FailFast()), "nobody is there yet: that is not for a circuit")
		s := w.behind("a", 1, 1, "llm")
		s.settleOnly(routing.Done(2))
		w.set("llm", routing.Circuit{State: routing.CircuitOpen, Until: time.Now().Add(7 * time.Second)})
		var shut *routing.CircuitOpenError
		require.ErrorAs(t, submit(routing.FailFast()), &shut)
		require.Equal(t, 7*time.Second, shut.RetryAfter())
		require.EqualError(t, shut, `circuit open: every spoke for this task of type "double" is behind one (llm): try again in about 7s`)
		require.EqualValues(t, 1, w.hub.Counts().Refused)
		w.set("llm", open)
		require.ErrorAs(t, submit(routing.FailFast()), &shut)
		require.Equal(t, time.Second, shut.After, "a guess: nobody knows")
		require.NoError(t, submit(routing.ID("x")), "without the option it waits")
		require.NoError(t, submit(routing.ID("x"), routing.FailFast()), "a task that is known is not submitted again")
		w.join("b", 1, 1)
		require.NoError(t, submit(routing.FailFast()), "one spoke is not behind it")
	})
}

func TestDeadlineAndCancelGoOnBehindAnOpenCircuit(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		w.behind("a", 1, 1, "llm")
		w.set("llm", open)
		late, gone := w.submit(1, routing.Deadline(time.Now().Add(time.Second))), w.submit(2)
		gone.Cancel(errors.New("not needed"))
		_, err := await(t, gone)
		require.ErrorIs(t, err, routing.ErrCancelled)
		w.pass(time.Second)
		_, err = await(t, late)
		require.ErrorIs(t, err, routing.ErrExpired)
		require.Zero(t, w.hub.Counts().ShutOut)
	})
}

func TestProbingCircuitBoundsTheLeasesOfAllItsSpokes(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		a, b := w.behind("a", 1, 4, "llm"), w.behind("b", 1, 4, "llm")
		held := func() int { return len(a.leases()) + len(b.leases()) }
		w.submit(0) // from before: it doesn't count
		require.Equal(t, 1, held())
		w.set("llm", open)
		for i := range 10 {
			w.submit(i)
		}
		w.set("llm", probing(3))
		require.Equal(t, 1+3, held())
		require.Equal(t, 3, w.hub.Circuits()[0].Leases)
		require.EqualValues(t, 7, w.hub.Counts().ShutOut, "no probe is free")

		one := b.leases()[0]
		require.True(t, b.settle(one, routing.Done(1)))
		require.Equal(t, 1+3, held(), "a probe that is done makes room for the next")
		w.set("llm", probing(2))
		require.Equal(t, 1+3+2, held(), "a new round")
		for _, l := range a.leases() {
			a.settle(l, routing.Done(1))
		}
		for _, l := range b.leases() {
			b.settle(l, routing.Done(1))
		}
		require.Equal(t, 2, held(), "two at a time, whoever held the others")
		w.set("llm", closed)
		require.EqualValues(t, 0, w.hub.Counts().Waiting)
	})
}

func TestProbeEndsWithItsLeaseOrItsSpoke(t *testing.T) {
	inWorld(t, routing.Options{AttemptTimeout: time.Minute}, func(w *world) {
		a, b := w.behind("a", 1, 1, "llm"), w.behind("b", 1, 1, "llm")
		w.set("llm", probing(1))
		w.submit(1)
		w.submit(2)
		if len(a.leases()) == 0 {
			a, b = b, a
		}
		lost := a.only()
		b.holdsNothing()
		w.pass(time.Minute) // the attempt is over, but its handler still runs: so may its call
		b.holdsNothing()
		a.settle(lost, routing.Released(nil))
		require.Len(t, append(a.leases(), b.leases()...), 1)

		if len(a.leases()) == 0 {
			a, b = b, a
		}
		held := a.only()
		a.Leave(errors.New("it crashed"))
		synctest.Wait()
		require.Len(t, b.leases(), 1)
		a.settle(held, routing.Released(nil)) // late: it must not count twice
		require.Equal(t, 1, w.hub.Circuits()[0].Leases)
		b.settleOnly(routing.Done(1))
	})
}

func TestRefusedTaskWaitsForItsCircuit(t *testing.T) {
	inWorld(t, routing.Options{MaxAttempts: 1}, func(w *world) {
		a := w.behind("a", 1, 1, "llm")
		first, second := w.submit(1), w.submit(2)
		l := a.only()
		w.set("llm", open)
		a.settle(l, routing.Refused(fmt.Errorf("call: %w", notNow(time.Hour))))
		a.holdsNothing()
		require.EqualValues(t, 2, w.hub.Counts().ShutOut)
		w.pass(time.Minute)
		w.set("llm", closed)
		require.Equal(t, first.ID(), a.only().ID(), "the hour was for the circuit; and it is first again")
		require.Equal(t, 2, a.only().Attempt())

		a.settleOnly(routing.Refused(notNow(time.Hour))) // the circuit is closed: then it is as any other error
		require.Equal(t, second.ID(), a.only().ID())
		a.settleOnly(routing.Done(1))
		w.set("llm", probing(1))
		w.submit(3)
		a.settleOnly(routing.Refused(notNow(time.Second))) // nor is a probing one waited for: it is tried again later
		a.holdsNothing()
		w.pass(time.Second)
		a.settleOnly(routing.Done(1))

		w.set("llm", open)
		w.join("free", 1, 1)
		permanent := w.submit(4)
		w.set("llm", closed)
		w.set("llm", open)
		require.Equal(t, routing.StateLeased, permanent.Status(), "by the one who is not behind the circuit")
	})
}

func TestRefusedTaskGoesToASpokeThatIsNotBehindTheCircuit(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		a := w.behind("a", 1, 1, "llm")
		h := w.submit(1)
		b := w.join("b", 1, 1)
		w.set("llm", open)
		a.settleOnly(routing.Refused(notNow(time.Hour)))
		require.Equal(t, h.ID(), b.only().ID())
		b.settleOnly(routing.Refused(routing.Permanent(notNow(time.Hour))))
		_, err := await(t, h)
		require.ErrorIs(t, err, routing.ErrFailed, "permanent is permanent")
	})
}

func TestCircuitsAreRememberedAsLongAsTheyMatter(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		w.set("llm", open)
		s := w.behind("a", 1, 1, "llm", "db")
		w.submit(1)
		s.holdsNothing() // it came behind a circuit that was open already
		require.Len(t, w.hub.Circuits(), 2)
		next := w.behind("a", 2, 1, "llm")
		require.Equal(t, []routing.CircuitSnapshot{{Name: "llm", Circuit: open, Spokes: 1}}, w.hub.Circuits())
		next.Leave(nil)
		require.Len(t, w.hub.Circuits(), 1, "open, for the spokes to come")
		w.set("llm", closed)
		require.Empty(t, w.hub.Circuits())
	})
}

func TestCircuitFaults(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		err := w.hub.SetCircuit("", routing.Circuit{State: 9})
		require.ErrorContains(t, err, "circuit name is empty")
		require.ErrorContains(t, err, "field State is 9")
		require.ErrorContains(t, w.hub.SetCircuit("llm", routing.Circuit{State: routing.CircuitProbing}), "field Probes is 0: a probing circuit needs at least 1")
		_, err = w.hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "a"}, Types: []string{"double"}, Deliver: func(*routing.Lease) {}, Circuits: []string{"", "llm", "llm"}})
		require.ErrorContains(t, err, "field Circuits: circuit name is empty")
		require.ErrorContains(t, err, `field Circuits has "llm" twice`)
		require.Empty(t, w.hub.Circuits())
		require.Equal(t, "probing", routing.CircuitProbing.String())
		require.Equal(t, "CircuitState(9)", routing.CircuitState(9).String())
	})
}

// Whatever happens to circuits and spokes: no lease is given past an open circuit, no more than the probes past a probing one, and once all are closed every
// task comes to its end.
func TestCircuitsAtRandom(t *testing.T) {
	for seed := range uint64(60) {
		inWorld(t, routing.Options{Capacity: 50, RetryBackoff: routing.Backoff{Min: time.Second, Max: time.Second, Jitter: -1}}, func(w *world) {
			r := rand.New(rand.NewPCG(seed, 6))
			names := []string{"x", "y"}
			state := map[string]routing.Circuit{}
			probes := map[string]map[*routing.Lease]bool{}
			spokes := map[string]*spoke{}
			circuits := map[string][]string{}
			incarnations := map[string]uint64{}
			known := map[*routing.Lease]bool{}

			// look checks every lease that is new since the last step.
			look := func() {
				for path, s := range spokes {
					for _, l := range s.leases() {
						if known[l] {
							continue
						}
						known[l] = true
						for _, c := range circuits[path] {
							require.NotEqual(t, routing.CircuitOpen, state[c].State, "seed %d: a lease of %s past %s", seed, path, c)
							if state[c].State == routing.CircuitProbing {
								probes[c][l] = true
								require.LessOrEqual(t, len(probes[c]), state[c].Probes, "seed %d: probes of %s", seed, c)
							}
						}
					}
				}
			}
			forget := func(l *routing.Lease) {
				for _, of := range probes {
					delete(of, l)
				}
			}
			join := func() {
				path := []string{"a", "b", "c"}[r.IntN(3)]
				if old := spokes[path]; old != nil {
					for _, l := range old.leases() {
						forget(l)
					}
				}
				incarnations[path]++
				circuits[path] = [][]string{{"x"}, {"y"}, {"x", "y"}, nil}[r.IntN(4)]
				spokes[path] = w.behind(path, incarnations[path], 1+r.IntN(3), circuits[path]...)
			}
			set := func(name string, c routing.Circuit) {
				state[name], probes[name] = c, map[*routing.Lease]bool{}
				w.set(name, c)
			}
			join()
			var handles []*routing.Handle[int]
			for range 60 {
				switch r.IntN(8) {
				case 0, 1:
					if h, err := double.Submit(context.Background(), w.hub, 1); err == nil {
						handles = append(handles, h)
						synctest.Wait()
					}
				case 2:
					join()
				case 3, 4:
					set(names[r.IntN(2)], []routing.Circuit{closed, open, probing(1), probing(2)}[r.IntN(4)])
				case 5, 6:
					for _, path := range []string{"a", "b", "c"} {
						s := spokes[path]
						if s == nil {
							continue
						}
						if held := s.leases(); len(held) > 0 {
							l := held[r.IntN(len(held))]
							forget(l)
							s.settle(l, []routing.Outcome{routing.Done(1), routing.Refused(notNow(5 * time.Second)), routing.Error(notNow(time.Second))}[r.IntN(3)])
							break
						}
					}
				case 7:
					w.pass(time.Duration(r.IntN(7)) * time.Second)
				}
				look()
			}
			for _, c := range names {
				set(c, closed)
			}
			for range 500 {
				w.pass(time.Second)
				for _, s := range spokes {
					for _, l := range s.leases() {
						s.settle(l, routing.Done(1))
					}
				}
			}
			for _, h := range handles {
				_, err := await(t, h)
				require.NoError(t, err, "seed %d", seed)
			}
		})
	}
}

// A handler that awaits something makes no call meanwhile: as its credit, its probe is free for others, or subtasks behind the same circuit would never run.
func TestAProbeIsFreeWhileItsHandlerAwaits(t *testing.T) {
	inWorld(t, routing.Options{}, func(w *world) {
		a, b := w.behind("a", 1, 1, "llm"), w.behind("b", 1, 1, "llm")
		w.set("llm", probing(1))
		w.submit(1)
		if len(a.leases()) == 0 {
			a, b = b, a
		}
		parent := a.only()
		var got int
		go func() { got, _ = double.Do(parent.Context(context.Background()), w.hub, 2) }()
		synctest.Wait()
		var sub *routing.Lease
		holder := a
		for _, s := range []*spoke{a, b} {
			for _, l := range s.leases() {
				if l != parent {
					sub, holder = l, s
				}
			}
		}
		require.NotNil(t, sub, "the subtask runs")
		require.Equal(t, 1, w.hub.Circuits()[0].Leases)
		w.submit(3)
		require.True(t, holder.settle(sub, routing.Done(7)))
		require.Equal(t, 7, got)
		require.Equal(t, 2, w.hub.Circuits()[0].Leases, "it goes on though its probe is in use")
		require.True(t, a.settle(parent, routing.Done(1)))
		require.Equal(t, 1, w.hub.Circuits()[0].Leases)
		for _, s := range []*spoke{a, b} {
			for _, l := range s.leases() {
				s.settle(l, routing.Done(1))
			}
		}
		require.Zero(t, w.hub.Circuits()[0].Leases)

		// Nor does it count once more, or less, if its lease or its spoke ends first, or a round begins meanwhile.
		for _, end := range []func(s *spoke, l *routing.Lease){
			func(s *spoke, l *routing.Lease) { s.settle(l, routing.Error(routing.Permanent(errBroken))) },
			func(s *spoke, _ *routing.Lease) { s.Leave(nil) },
			func(*spoke, *routing.Lease) { w.set("llm", probing(1)) },
		} {
			a.Leave(nil)
			b.Leave(nil)
			c := w.behind("c", uint64(len(w.kinds(routing.EventSpokeJoined))), 1, "llm")
			slow := w.join("slow", uint64(len(w.kinds(routing.EventSpokeJoined))), 1, shout.Name())
			awaited, err := shout.Submit(context.Background(), w.hub, "")
			require.NoError(t, err)
			w.submit(1)
			l := c.only()
			ctx := l.Context(context.Background())
			go func() { _, _ = awaited.Await(ctx) }()
			synctest.Wait()
			require.Zero(t, w.hub.Circuits()[0].Leases)
			end(c, l)
			slow.settleOnly(routing.Done("x"))
			if n := len(w.hub.Circuits()); n > 0 {
				require.Zero(t, w.hub.Circuits()[0].Leases)
			}
			w.hub.Cancel(l.ID(), errBroken)
			c.settle(l, routing.Released(nil))
			require.Zero(t, w.hub.Circuits()[0].Leases)
			c.Leave(nil)
		}
	})
}

// Tasks that only one spoke may have wait for its circuits too.
func TestOwnTasksOfASpokeThatIsShutOut(t *testing.T) {
	for _, balancer := range []func() routing.Balancer{routing.LeastLoaded, func() routing.Balancer { return routing.ConsistentHash() }} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, quietSystem(), routing.Options{Balancer: balancer()})
			defer w.end()
			a := w.behind("a", 1, 2, "llm")
			w.set("llm", open)
			w.submit(1, routing.Key("k"))
			all := w.broadcast(context.Background())
			a.holdsNothing()
			require.EqualValues(t, 2, w.hub.Counts().ShutOut)
			w.set("llm", probing(1))
			a.settleOnly(routing.Done(1))
			a.settleOnly(routing.Done(1))
			require.True(t, all.done)
			require.Zero(t, w.hub.Counts().ShutOut)

			w.set("llm", open)
			b := w.join("b", 1, 1)
			all = w.broadcast(context.Background(), routing.FailFast())
			b.settleOnly(routing.Done(3))
			require.True(t, all.done, "the part of the spoke that is shut out was refused")
			var shut *routing.CircuitOpenError
			require.ErrorAs(t, all.replies[0].Err, &shut)
			require.Equal(t, []string{"llm"}, shut.Circuits)
			require.NoError(t, all.replies[1].Err)
		})
	}
}

// Who has one spoke for its key is refused or not by that spoke's circuits, whatever the others are behind.
func TestFailFastWithAKeyGoesByTheSpokeOfTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quietSystem(), routing.Options{Balancer: routing.ConsistentHash()})
		defer w.end()
		spokes := map[string]*spoke{"left": w.behind("left", 1, 99, "left"), "right": w.behind("right", 1, 99, "right")}
		shutOut := func(key string, options ...routing.SubmitOption) bool {
			before := w.hub.Counts()
			_, err := double.Submit(context.Background(), w.hub, 1, append(options, routing.Key(key), routing.FailFast())...)
			synctest.Wait()
			var shut *routing.CircuitOpenError
			if err == nil {
				require.Equal(t, before.ShutOut, w.hub.Counts().ShutOut, "accepted with FailFast, and shut out")
				return false
			}
			require.ErrorAs(t, err, &shut)
			require.Equal(t, []string{"left"}, shut.Circuits)
			require.Equal(t, before.Refused+1, w.hub.Counts().Refused)
			return true
		}
		w.set("left", open)
		var ofLeft []string
		accepted := 0
		for i := range 40 {
			if key := fmt.Sprint(i); shutOut(key) {
				ofLeft = append(ofLeft, key)
			} else {
				accepted++
			}
		}
		require.Greater(t, len(ofLeft), 5)
		require.Greater(t, accepted, 5)
		spokes["left"].holdsNothing()
		require.Len(t, spokes["right"].leases(), accepted)

		// A key that is in use is where it is, and a subtask of a task with its key isn't bound to it.
		used := ofLeft[0]
		w.set("left", closed)
		w.submit(1, routing.Key(used))
		w.set("left", open)
		parent := spokes["left"].only()
		require.True(t, shutOut(used))
		_, err := double.Submit(parent.Context(context.Background()), w.hub, 1, routing.Key(used), routing.FailFast())
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, spokes["right"].leases(), accepted+1)
	})
}

// Who waits for room with FailFast is refused as soon as a circuit opens: while it is open, nothing makes room.
func TestFailFastWhileItWaitsForRoom(t *testing.T) {
	shutters := map[string]func(w *world, free *spoke){
		"the circuit opens":           func(w *world, _ *spoke) { w.set("llm", open) },
		"the last other spoke leaves": func(w *world, free *spoke) { free.Leave(nil) },
	}
	for name, shut := range shutters {
		t.Run(name, func(t *testing.T) {
			inWorld(t, routing.Options{Capacity: 4, Types: map[string]routing.TypeOptions{"double": {Capacity: 2}}}, func(w *world) {
				s := w.behind("a", 1, 1, "llm")
				var free *spoke
				if name != "the circuit opens" {
					free = w.join("free", 1, 1)
					free.Pause()
					w.set("llm", open)
				}
				w.submit(1)
				w.submit(2)
				fast, patient := make(chan error, 2), make(chan error, 1)
				submit := func(to chan error, opts ...routing.SubmitOption) {
					_, err := double.Submit(context.Background(), w.hub, 3, opts...)
					to <- err
				}
				go submit(fast, routing.Wait(), routing.FailFast())
				synctest.Wait()
				go submit(patient, routing.Wait())
				synctest.Wait()
				go submit(fast, routing.FailFast(), routing.Wait())
				w.pass(time.Minute)
				require.Empty(t, fast, "a spoke is there for it")

				shut(w, free)
				synctest.Wait()
				require.Len(t, fast, 2)
				var why *routing.CircuitOpenError
				require.ErrorAs(t, <-fast, &why)
				require.Equal(t, []string{"llm"}, why.Circuits)
				require.ErrorAs(t, <-fast, &why)
				require.Empty(t, patient)
				require.EqualValues(t, 2, w.hub.Counts().Refused)

				w.set("llm", closed)
				for s.settle(s.only(), routing.Done(0)); len(s.leases()) > 0; s.settle(s.only(), routing.Done(0)) {
				}
				require.NoError(t, <-patient)
				require.EqualValues(t, 3, w.hub.Counts().Done)
			})
		})
	}
}

// Whoever stands behind one that is refused goes on to the place which that had of its type.
func TestFailFastGivesItsPlaceOfItsTypeToTheNext(t *testing.T) {
	inWorld(t, routing.Options{Capacity: 3, Types: map[string]routing.TypeOptions{"double": {Capacity: 2}}}, func(w *world) {
		w.behind("a", 1, 1, "llm")
		w.join("b", 1, 1, shout.Name())
		w.submit(1)
		others := make([]*routing.Handle[string], 2)
		for i := range others {
			var err error
			others[i], err = shout.Submit(context.Background(), w.hub, "x")
			require.NoError(t, err)
		}
		fast, patient := make(chan error, 2), make(chan error, 1)
		for range 2 {
			go func() {
				_, err := double.Submit(context.Background(), w.hub, 3, routing.Wait(), routing.FailFast())
				fast <- err
			}()
			synctest.Wait()
		}
		go func() {
			_, err := double.Submit(context.Background(), w.hub, 4, routing.Wait())
			patient <- err
		}()
		synctest.Wait()
		w.set("llm", open)
		var why *routing.CircuitOpenError
		require.ErrorAs(t, <-fast, &why)
		require.ErrorAs(t, <-fast, &why, "the next in line, too")
		require.Empty(t, patient)
		require.True(t, others[0].Cancel(nil))
		synctest.Wait()
		require.NoError(t, <-patient)
	})
}
