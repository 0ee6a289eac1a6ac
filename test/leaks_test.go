package test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// ---- law 8: after Stop no goroutine is left but the abandoned, and those are reported

func TestLaw8NothingIsLeftAfterAQuietLife(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		work := routing.NewType[int, int]("work")
		double := func(_ context.Context, n int) (int, error) { return 2 * n, nil }
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm"}, plain("a", hooks{}), actors.Pool(3, actors.Agent("w", work, double)),
			actors.Supervisor{ID: "d", Template: actors.Agent("t", work, double)},
		}})
		_, err := tree.StartInstance(t.Context(), "root/d", "")
		require.NoError(t, err)
		for i := range 50 {
			_, err := work.Do(t.Context(), tree, i)
			require.NoError(t, err)
		}
		stop(t, tree)
		requireNoGoroutines(t)
	})
}

func TestLaw8WhatIsLeftIsReported(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		work := routing.NewType[int, int]("work")
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			plain("a", hooks{}), plain("b", hooks{}),
			actors.Agent("w", work, func(context.Context, int) (int, error) { g.wait(); return 0, nil }),
		}})
		_, err := work.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		send(tree, "root/b", do(func(actor.Context) { g.wait() }))
		synctest.Wait()
		err = tree.Stop(context.Background())
		var left *actors.AbandonedError
		require.ErrorAs(t, err, &left)
		require.ElementsMatch(t, []string{"root/b", "root/w"}, []string{left.Left[0].Path, left.Left[1].Path})
		require.Len(t, left.Left, 2)
		synctest.Wait()
		require.Len(t, libraryGoroutines(), 2)
		g.open()
		requireNoGoroutines(t)
		require.Empty(t, tree.Abandoned())
	})
}

// Code that was cut off and is on its way back isn't left behind because others have the processor just now.
func TestLaw8WhatIsAboutToReturnIsWaitedFor(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		work := routing.NewType[int, int]("work")
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Agent("w", work, func(ctx context.Context, _ int) (int, error) {
				<-ctx.Done()
				for range 20_000 {
					runtime.Gosched()
				}
				return 0, nil
			}),
		}})
		_, err := work.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, tree.Kill("root/w"))
		stop(t, tree)
		requireNoGoroutines(t)
	})
}

// What a call through a breaker node runs is a goroutine of the tree's as well.
func TestLaw8GuardedCallThatDoesNotReturnIsReported(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		work := routing.NewType[int, int]("work")
		g := newGate(t)
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Agent("w", work, func(ctx context.Context, n int) (int, error) {
				return actors.Guard(ctx, "llm", func(context.Context) (int, error) { g.wait(); return n, nil })
			}),
		}})
		_, err := work.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		synctest.Wait()
		err = tree.Stop(context.Background())
		synctest.Wait() // those that are about to go
		require.Len(t, libraryGoroutines(), 1)
		var left *actors.AbandonedError
		require.ErrorAs(t, err, &left)
		require.Equal(t, "root/llm", left.Left[0].Path)
		g.open()
		requireNoGoroutines(t)
		require.Empty(t, tree.Abandoned())
	})
}

func TestLaw8NothingIsLeftOfATreeThatDoesNotStart(t *testing.T) {
	roots := map[string]actors.Supervisor{
		"bad spec":     {ID: "root/"},
		"start error":  {ID: "root", Children: []actors.Child{plain("a", hooks{}), plain("b", hooks{started: crash})}},
		"ignored root": {ID: "root", Init: func(context.Context) error { return actors.ErrIgnore }, Children: []actors.Child{plain("a", hooks{})}},
		"failing Init": {ID: "root", Init: func(context.Context) error { return errBoom }},
		"late":         {ID: "root", Children: []actors.Child{plain("a", hooks{started: func(actor.Context) { time.Sleep(time.Hour) }}).With(actors.Lifecycle{StartTimeout: time.Second})}},
	}
	for name, root := range roots {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				_, err := actors.Start(t.Context(), root)
				require.Error(t, err)
				time.Sleep(2 * time.Hour)
				requireNoGoroutines(t)
			})
		})
	}
}

func TestLaw8NothingIsLeftOfATreeThatEndedByItself(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.Escalate(), Children: []actors.Child{plain("a", hooks{}), plain("b", hooks{})}})
		send(tree, "root/a", do(crash))
		<-tree.Done()
		require.ErrorIs(t, tree.Err(), actors.ErrBudgetSpent)
		require.NoError(t, tree.Stop(context.Background()))
		requireNoGoroutines(t)
	})
}

// A start whose context ends at any moment leaves nothing behind either.
func TestLaw8StartThatIsGivenUpAtAnyMoment(t *testing.T) {
	seeded(t, 20, func(t *testing.T, r *rand.Rand) {
		var j journal
		letReturn(t)
		d := newDice(r)
		nap := func(actor.Context) { time.Sleep(time.Duration(d.IntN(1000)) * time.Millisecond) }
		h := hooks{produce: nap, started: nap, stopping: nap}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.IntN(5000))*time.Millisecond)
		defer cancel()
		tree, err := actors.Start(ctx, actors.Supervisor{ID: "root", Children: []actors.Child{
			scripted("a", &j, h), actors.Supervisor{ID: "s", Children: []actors.Child{scripted("b", &j, h), scripted("c", &j, h)}}, scripted("d", &j, h),
		}})
		if err == nil {
			stop(t, tree)
		} else {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		time.Sleep(time.Minute) // a producer that was given up on may take its second
		requireNoGoroutines(t)
		up, down := 0, 0
		for _, l := range j.take() {
			switch l[:2] {
			case "up":
				up++
			case "do":
				down++
			}
		}
		require.GreaterOrEqual(t, down, up)
	})
}

func TestLaw8StopAtAnyMoment(t *testing.T) {
	work := routing.NewType[int, int]("work")
	seeded(t, 25, func(t *testing.T, r *rand.Rand) {
		letReturn(t)
		dice := newDice(r)
		nap := func(actor.Context) { time.Sleep(time.Duration(dice.IntN(300)) * time.Millisecond) }
		policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(300 * time.Millisecond))
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Supervisor{ID: "group", Strategy: strategies.OneForAll(policy), Children: []actors.Child{
				plain("a", hooks{stopping: nap}), plain("b", hooks{started: nap}), plain("c", hooks{}),
			}},
			actors.Supervisor{ID: "pool", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
				actors.Pool(3, actors.Agent("w", work, func(ctx context.Context, n int) (int, error) {
					switch n % 6 {
					case 0:
						panic(errBoom)
					case 1:
						time.Sleep(30 * time.Second) // deaf
					case 2:
						<-ctx.Done()
						return 0, ctx.Err()
					case 3:
						return actors.Guard(ctx, "llm", func(ctx context.Context) (int, error) {
							time.Sleep(time.Duration(n) * time.Millisecond)
							return n, errors.New("outside")
						})
					}
					return n, nil
				}).With(actors.Lifecycle{Shutdown: time.Second})),
			}},
		}}, actors.WithAbandonLimit(1000))
		ctx, cancel := context.WithCancel(context.Background())
		go func() { // everything happens
			paths := []string{"root/group", "root/group/a", "root/group/b", "root/group/c", "root/pool", "root/pool/w-1", "root/llm", "root/$hub"}
			for ctx.Err() == nil {
				path := paths[dice.IntN(len(paths))]
				switch dice.IntN(6) {
				case 0:
					_ = tree.Kill(path)
				case 1:
					if pid := tree.PID("root/group/a"); pid != nil {
						tree.ActorSystem().Root.Send(pid, do(crash))
					}
				case 2:
					_, _ = work.Submit(ctx, tree, dice.IntN(1000), routing.Timeout(time.Second))
				case 3:
					go func() { _ = tree.TerminateChild(ctx, path); _, _ = tree.RestartChild(ctx, path) }()
				case 4:
					go func() { _, _ = tree.StartChild(ctx, "root/group", plain("new", hooks{started: nap})) }()
				case 5:
					if pid := tree.PID("root/group/c"); pid != nil {
						tree.ActorSystem().Root.Send(pid, do(func(actor.Context) { time.Sleep(10 * time.Second) }))
					}
				}
				time.Sleep(time.Duration(dice.IntN(200)) * time.Millisecond)
			}
		}()
		time.Sleep(time.Duration(r.IntN(10_000)) * time.Millisecond)
		limit := context.Background()
		if r.IntN(3) == 0 {
			limit = within(t, time.Duration(r.IntN(2000))*time.Millisecond)
		}
		err := tree.Stop(limit)
		cancel()
		var left *actors.AbandonedError
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			require.ErrorAs(t, err, &left)
		}
		synctest.Wait()
		if ours := libraryGoroutines(); len(ours) > len(tree.Abandoned()) {
			t.Errorf("%v are reported, and there are\n%s", tree.Abandoned(), strings.Join(ours, "\n\n"))
		}
		time.Sleep(time.Minute)
		require.Empty(t, tree.Abandoned())
		requireNoGoroutines(t)
		require.True(t, tree.Hub().Counts().Balanced())
		require.Zero(t, tree.Hub().Counts().Unsettled())
	})
}

// A call through a breaker that was cut off as the tree stopped, or just before, and that returns as soon as it notices, wasn't left behind.
func TestStopWaitsForCallsThatReturn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		calling := make(chan struct{})
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{
			actors.Breaker{ID: "llm"},
			actors.Agent("w", job, func(ctx context.Context, n int) (int, error) {
				return actors.Guard(ctx, "llm", func(ctx context.Context) (int, error) {
					close(calling)
					<-ctx.Done()
					time.Sleep(busyGrace / 2)
					return n, ctx.Err()
				})
			}),
		}})
		_, err := job.Submit(t.Context(), tree, 1)
		require.NoError(t, err)
		<-calling
		held, err := stopTime(context.Background(), tree)
		require.NoError(t, err)
		require.Equal(t, busyGrace/2, held)
		require.Empty(t, tree.Abandoned())
	})
}

// A producer that is at work when its tree stops, and then returns, wasn't left behind.
func TestStopWaitsForAProducerThatReturns(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		again := make(chan struct{})
		lives := 0
		tree := start(t, actors.Supervisor{ID: "root", Children: []actors.Child{plain("a", hooks{produce: func(actor.Context) {
			if lives++; lives == 2 {
				close(again)
				time.Sleep(busyGrace / 2)
			}
		}})}})
		events := tree.Subscribe(100, actors.Abandoned)
		send(tree, "root/a", do(crash))
		<-again
		held, err := stopTime(context.Background(), tree)
		require.NoError(t, err)
		require.Equal(t, busyGrace/2, held)
		require.Empty(t, drain(events))
	})
}
