package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// An incarnation takes many messages at once out of its node's queue. Nobody must notice: what it hasn't begun to handle is queued.

// midway stands in the middle of what an incarnation took at once: it handles the fifth of ten messages, which waits at the gate.
type midway struct {
	tree *actors.Tree
	pid  *actor.PID
	tr   *traffic
	gate *gate
}

const (
	midwayPath = "root/a"
	midwayLeft = 5 // messages behind the one that waits
)

// fifth is what the fifth message does once the gate is open; nil for nothing.
func newMidway(t *testing.T, life actors.Lifecycle, policy strategies.RestartPolicy, fifth func(actor.Context)) *midway {
	m := &midway{tr: newTraffic(), gate: newGate(t)}
	m.tree = start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
		plain("a", hooks{receive: m.tr.receive}).With(life),
	}}, actors.WithSubscription(m.tr.events))
	m.tr.listen(m.tree)
	m.pid = m.tree.PID(midwayPath)
	first := newGate(t)
	send(m.tree, midwayPath, do(func(actor.Context) { first.wait() }))
	synctest.Wait()
	m.post(4)
	p := m.tr.make("me", "a", false, func(ctx actor.Context) {
		m.gate.wait()
		call(fifth, ctx)
	})
	m.tr.post(m.tree, m.pid, p)
	m.post(midwayLeft)
	require.Equal(t, 10, m.depth(t))
	first.open()
	synctest.Wait()
	require.Equal(t, midwayLeft, m.depth(t), "what isn't handled yet waits")
	return m
}

func (m *midway) post(n int) {
	for range n {
		m.tr.post(m.tree, m.pid, m.tr.make("me", "a", false, nil))
	}
}

func (m *midway) depth(t *testing.T) int { return node(t, m.tree, midwayPath).Queue }

// end opens the gate, stops the tree and closes the books.
func (m *midway) end(t *testing.T) (handled, dead int) {
	m.gate.open()
	synctest.Wait()
	stop(t, m.tree)
	return m.tr.check(t)
}

func always() strategies.RestartPolicy { return strategies.AlwaysRestart() }

func TestBatchCountsAsQueued(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		m := newMidway(t, actors.Lifecycle{Queue: 10}, always(), nil)
		m.post(10 - midwayLeft)
		require.Equal(t, 10, m.depth(t))
		require.Zero(t, node(t, m.tree, midwayPath).Dropped)
		m.post(3)
		require.Equal(t, 10, m.depth(t))
		require.EqualValues(t, 3, node(t, m.tree, midwayPath).Dropped)
		handled, dead := m.end(t)
		require.Equal(t, []int{15, 3}, []int{handled, dead})
	})
}

func TestBatchIsWhereTheOldestIsDropped(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		m := newMidway(t, actors.Lifecycle{Queue: 10, Overflow: actors.DropOldest}, always(), nil)
		m.post(5 + 2)
		handled, dead := m.end(t)
		require.Equal(t, []int{15, 2}, []int{handled, dead})
		for i, p := range m.tr.sent {
			require.Equal(t, i == 5 || i == 6, m.tr.dead[p] == 1, "%s: the two oldest that waited were dropped", p)
		}
	})
}

func TestBatchGivesRoomMessageByMessage(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		m := newMidway(t, actors.Lifecycle{Queue: 10}, always(), nil)
		second := newGate(t)
		m.tr.sent[7].act = func(actor.Context) { second.wait() }
		m.post(10 - midwayLeft) // full now
		sent := make(chan int, 20)
		for i := range 12 {
			p := m.tr.make("me", "a", false, nil)
			go func() {
				if err := actors.Send(context.Background(), m.tree, m.pid, p); err != nil {
					t.Error(err)
				}
				sent <- i
			}()
			synctest.Wait()
		}
		require.Empty(t, sent)
		m.gate.open()
		synctest.Wait()
		require.Len(t, sent, 3, "three more have begun: as many were let in")
		second.open()
		synctest.Wait()
		require.Len(t, sent, 12)
		handled, dead := m.end(t)
		require.Equal(t, []int{27, 0}, []int{handled, dead})
	})
}

func TestBatchWaitsBehindAnOrderToStop(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		m := newMidway(t, actors.Lifecycle{}, always(), nil)
		done := make(chan error, 1)
		go func() { done <- m.tree.TerminateChild(context.Background(), midwayPath) }()
		synctest.Wait()
		m.post(3)
		m.gate.open()
		require.NoError(t, <-done)
		require.Equal(t, midwayLeft+3, m.depth(t), "nothing is handled after the order")
		_, err := m.tree.RestartChild(t.Context(), midwayPath)
		require.NoError(t, err)
		handled, dead := m.end(t)
		require.Equal(t, []int{13, 0}, []int{handled, dead})
	})
}

func TestBatchWaitsBehindControlMessages(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var at int
		var m *midway
		m = newMidway(t, actors.Lifecycle{}, always(), func(ctx actor.Context) {
			f := actor.NewFuture(ctx.ActorSystem(), time.Hour)
			ctx.ReenterAfter(f, func(any, error) { at = m.depth(t) })
			ctx.Send(f.PID(), "done")
		})
		handled, dead := m.end(t)
		require.Equal(t, midwayLeft, at, "the continuation goes before what waits")
		require.Equal(t, []int{10, 0}, []int{handled, dead})
	})
}

func TestBatchIsTheNextIncarnations(t *testing.T) {
	resume := always()
	resume.Decider = func(error) actor.Directive { return actor.ResumeDirective }
	decided := always()
	decided.Decider = func(error) actor.Directive { return actor.RestartDirective }
	ways := map[string]struct {
		policy      strategies.RestartPolicy
		fifth       func(actor.Context)
		incarnation int
	}{
		"a panic":                  {always(), crash, 2},
		"a panic after a backoff":  {always().WithBackoff(strategies.Fixed(time.Second)), crash, 2},
		"a panic that is resumed":  {resume, crash, 1},
		"a panic that is not":      {decided, crash, 2},
		"runtime.Goexit":           {always(), func(actor.Context) { goexit() }, 2},
		"runtime.Goexit, resumed":  {resume, func(actor.Context) { goexit() }, 1},
		"an exit":                  {always(), func(ctx actor.Context) { actors.Exit(ctx, nil) }, 2},
		"a stop of itself":         {always(), func(ctx actor.Context) { ctx.Stop(ctx.Self()) }, 2},
		"an exit, then a panic":    {always(), func(ctx actor.Context) { actors.Exit(ctx, nil); panic(errBoom) }, 2},
		"a stop of the own PID":    {always(), func(ctx actor.Context) { stopOwnPID(ctx) }, 2},
		"nothing of all that":      {always(), nil, 1},
		"a poison pill to oneself": {always(), func(ctx actor.Context) { ctx.Poison(ctx.Self()) }, 2},
	}
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				m := newMidway(t, actors.Lifecycle{}, w.policy, w.fifth)
				m.post(3)
				m.gate.open()
				synctest.Wait()
				time.Sleep(time.Minute)
				requireRunning(t, m.tree, midwayPath, w.incarnation)
				require.Zero(t, m.depth(t))
				m.post(3)
				m.gate.open()
				synctest.Wait()
				_ = m.tree.Stop(context.Background())
				m.tr.listened.Wait()
				require.Empty(t, m.tr.dead)
				for i, p := range m.tr.order["me>a"] {
					require.Equal(t, i+1, p.n, "all are handled, in order")
				}
				require.Len(t, m.tr.order["me>a"], 16)
			})
		})
	}
}

// stopOwnPID stops the incarnation by the PID that protoactor knows it by.
func stopOwnPID(ctx actor.Context) {
	ctx.ActorSystem().Root.Stop(actor.NewPID(ctx.Self().Address, ctx.Self().Id+"@1"))
}

// A zombie keeps nothing of what it took at once, and gets nothing more when it wakes up.
func TestBatchIsTakenFromAZombie(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		m := newMidway(t, actors.Lifecycle{}, always(), nil)
		require.NoError(t, m.tree.Kill(midwayPath))
		synctest.Wait()
		requireRunning(t, m.tree, midwayPath, 2)
		require.Zero(t, m.depth(t), "the next incarnation has handled it")
		require.Len(t, m.tr.order["me>a"], 10)
		m.post(5)
		synctest.Wait()
		require.Len(t, m.tr.order["me>a"], 15)
		handled, dead := m.end(t) // now the zombie wakes up
		require.Equal(t, []int{15, 0}, []int{handled, dead})
	})
}

func TestBatchOfAHungChildIsTakenOver(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		m := newMidway(t, actors.Lifecycle{Shutdown: time.Second}, always(), nil)
		require.NoError(t, m.tree.TerminateChild(t.Context(), midwayPath), "it is abandoned")
		require.Equal(t, midwayLeft, m.depth(t))
		m.post(2)
		_, err := m.tree.RestartChild(t.Context(), midwayPath)
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, m.tr.order["me>a"], 12)
		handled, dead := m.end(t)
		require.Equal(t, []int{12, 0}, []int{handled, dead})
	})
}

func TestBatchBecomesDeadLettersWithItsNode(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		m := newMidway(t, actors.Lifecycle{}, always(), nil)
		go func() { time.Sleep(time.Second); m.gate.open() }()
		stop(t, m.tree)
		handled, dead := m.tr.check(t)
		require.Equal(t, []int{5, midwayLeft}, []int{handled, dead})
	})
}

// A dynamic child is forgotten when its supervisor is killed, while it is still running.
func TestBatchBecomesDeadLettersWithADynamicChild(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		first, second := newGate(t), newGate(t)
		tr := newTraffic()
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{actors.Supervisor{ID: "sup"}}}, actors.WithSubscription(tr.events))
		tr.listen(tree)
		pid, err := tree.StartChild(t.Context(), "root/sup", plain("a", hooks{receive: tr.receive}))
		require.NoError(t, err)
		tree.ActorSystem().Root.Send(pid, do(func(actor.Context) { first.wait() }))
		synctest.Wait()
		for i := range 10 {
			p := tr.make("me", "a", false, nil)
			if i == 4 {
				p.act = func(actor.Context) { second.wait() }
			}
			tr.post(tree, pid, p)
		}
		first.open()
		synctest.Wait()
		require.NoError(t, tree.Kill("root/sup"))
		synctest.Wait()
		require.Len(t, tr.dead, 5)
		second.open()
		synctest.Wait()
		stop(t, tree)
		handled, dead := tr.check(t)
		require.Equal(t, []int{5, 5}, []int{handled, dead})
	})
}

func TestPoisonPillInABatch(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		m := newMidway(t, actors.Lifecycle{}, always(), nil)
		m.tree.ActorSystem().Root.Poison(m.pid) // a terminate call, after what is queued
		m.gate.open()
		synctest.Wait()
		require.Zero(t, m.depth(t))
		require.Equal(t, actors.StatusStopped, node(t, m.tree, midwayPath).Status)
		m.post(3)
		require.Equal(t, 3, m.depth(t))
		handled, dead := m.end(t)
		require.Equal(t, []int{10, 3}, []int{handled, dead})
	})
}

// Floods from several senders, so that there are always batches, under everything that takes one back: crashes, exits, hangs, kills, resumes, dropped
// messages, blocked senders, more and less room.
func TestLaw1HoldsForBatchesUnderAFlood(t *testing.T) {
	seeded(t, 16, func(t *testing.T, r *rand.Rand) {
		letReturn(t)
		tr := newTraffic()
		life := actors.Lifecycle{Shutdown: time.Second, Queue: 1 << r.IntN(9), Overflow: actors.Overflow(r.IntN(2))}
		if r.IntN(4) == 0 {
			life.Shutdown = actors.BrutalKill
		}
		policy := always()
		if r.IntN(2) == 0 {
			policy.Decider = func(err error) actor.Directive {
				if errors.Is(err, errBoom) {
					return actor.ResumeDirective
				}
				return actor.RestartDirective
			}
		}
		if r.IntN(2) == 0 {
			policy = policy.WithBackoff(strategies.Fixed(time.Millisecond))
		}
		spec := func() actors.Supervisor {
			return actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{plain("a", hooks{receive: tr.receive}).With(life)}}
		}
		tree := start(t, spec(), actors.WithSubscription(tr.events), actors.WithAbandonLimit(1<<20))
		tr.listen(tree)
		pid := tree.PID("root/a")
		var senders sync.WaitGroup
		for k := range 4 {
			s := rand.New(rand.NewPCG(r.Uint64(), 2))
			senders.Go(func() {
				from := fmt.Sprint("sender-", k)
				for range 600 {
					p := tr.make(from, "a", false, nil)
					switch n := s.IntN(400); {
					case n < 4:
						p.crashes = true
					case n < 8:
						p.act = func(ctx actor.Context) { actors.Exit(ctx, errBoom) }
					case n == 8:
						p.act = func(actor.Context) { time.Sleep(3 * time.Second) } // longer than it may take to stop
					case n < 20:
						p.act = func(actor.Context) { time.Sleep(time.Microsecond) }
					case n == 20:
						p.act = func(ctx actor.Context) { ctx.Poison(ctx.Self()) }
					}
					if k%2 == 0 {
						tr.post(tree, pid, p)
					} else {
						ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+s.IntN(20))*time.Millisecond)
						if err := actors.Send(ctx, tree, pid, p); err != nil {
							tr.takeBack(p)
						}
						cancel()
					}
					if s.IntN(100) == 0 {
						time.Sleep(time.Duration(s.IntN(500)) * time.Microsecond)
					}
				}
			})
		}
		for range 20 {
			time.Sleep(time.Duration(r.IntN(3000)) * time.Microsecond)
			require.LessOrEqual(t, node(t, tree, "root/a").Queue, 1<<8, "more than any capacity")
			switch r.IntN(4) {
			case 0:
				if err := tree.Kill("root/a"); err != nil && !errors.Is(err, actors.ErrStopped) {
					t.Error(err)
				}
			case 1:
				if err := tree.TerminateChild(within(t, time.Hour), "root/a"); err != nil {
					t.Error(err)
				}
				if _, err := tree.RestartChild(within(t, time.Hour), "root/a"); err != nil && !errors.Is(err, actors.ErrRunning) {
					t.Error(err)
				}
			case 2:
				life.Queue = 1 << r.IntN(9)
				require.NoError(t, tree.Reconfigure(within(t, time.Hour), "root", spec()))
			}
		}
		senders.Wait()
		if r.IntN(2) == 0 {
			time.Sleep(time.Hour)
		}
		if err := tree.Stop(within(t, time.Hour)); err != nil { // what sleeps may be left behind
			var left *actors.AbandonedError
			require.ErrorAs(t, err, &left)
		}
		time.Sleep(time.Minute)
		tr.check(t)
		requireNoGoroutines(t)
	})
}
