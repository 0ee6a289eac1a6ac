package test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/internal/hold"
	"github.com/mistersmith/mistersmith/strategies"
)

var errSecond = errors.New("second")

// A node that has failed runs nothing more until the decider has spoken. So nothing that fails after that is decided with it, or forgotten.
func TestNothingOfANodeRunsUntilItsFailureIsDecided(t *testing.T) {
	deciders := map[string]struct {
		word     actor.Directive
		resumed  int
		exitedBy error
	}{
		"resume":  {actor.ResumeDirective, 1, errSecond},
		"restart": {actor.RestartDirective, 0, errBoom},
	}
	for name, d := range deciders {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				policy := always()
				policy.Decider = func(err error) actor.Directive {
					if errors.Is(err, errSecond) {
						return actor.RestartDirective
					}
					return d.word
				}
				events := actors.NewSubscription(100, actors.Resumed, actors.Exited)
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{plain("a", hooks{})}},
					actors.WithSubscription(events))
				ran := false
				future := actor.NewFuture(tree.ActorSystem(), time.Hour)
				send(tree, "root/a", do(func(ctx actor.Context) {
					ctx.ReenterAfter(future, func(any, error) { ran = true; panic(errSecond) })
				}))
				synctest.Wait()
				held, release := make(chan struct{}), make(chan struct{})
				send(tree, "root", hold.Order{Held: held, Release: release})
				<-held
				send(tree, "root/a", do(crash))
				synctest.Wait()
				tree.ActorSystem().Root.Send(future.PID(), "now")
				synctest.Wait()
				require.False(t, ran, "before the decider has spoken")
				close(release)
				synctest.Wait()
				require.Equal(t, d.word == actor.ResumeDirective, ran)
				requireRunning(t, tree, "root/a", 2)
				requireAlive(t, tree, "root/a")
				require.Equal(t, 1, node(t, tree, "root/a").Failures)
				stop(t, tree)
				var resumed, exited []error
				for _, e := range drain(events) {
					if e.Kind == actors.Resumed {
						resumed = append(resumed, e.Err)
					} else if e.Class == actors.Crash {
						exited = append(exited, e.Err)
					}
				}
				require.Len(t, resumed, d.resumed)
				for _, err := range resumed {
					require.ErrorIs(t, err, errBoom)
				}
				require.Len(t, exited, 1)
				require.ErrorIs(t, exited[0], d.exitedBy)
			})
		})
	}
}

// What ends a node from outside while it waits for the decider's word ends it, whatever that word is.
func TestFailureFromOutsideEndsWhatWaitsForTheDecider(t *testing.T) {
	for _, word := range []actor.Directive{actor.ResumeDirective, actor.RestartDirective, actor.StopDirective} {
		t.Run(word.String(), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) {
				policy := always()
				policy.Decider = func(err error) actor.Directive {
					if errors.Is(err, errSecond) {
						return actor.RestartDirective
					}
					return word
				}
				g := newGate(t)
				events := actors.NewSubscription(100, actors.Resumed, actors.Exited)
				slow := plain("a", hooks{stopping: func(actor.Context) { g.wait() }})
				tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: []actors.Child{
					slow.With(actors.Lifecycle{Restart: actors.Transient}),
				}}, actors.WithSubscription(events))
				held, release := make(chan struct{}), make(chan struct{})
				send(tree, "root", hold.Order{Held: held, Release: release})
				<-held
				send(tree, "root/a", do(crash))
				synctest.Wait()
				require.NoError(t, tree.Fail("root/a", errSecond))
				synctest.Wait()
				close(release)
				synctest.Wait()
				require.Empty(t, pending(events), "it stops")
				g.open()
				synctest.Wait()
				requireRunning(t, tree, "root/a", 2)
				requireAlive(t, tree, "root/a")
				exited := pending(events)
				require.Len(t, exited, 1)
				require.Equal(t, actors.Exited, exited[0].Kind)
				require.ErrorIs(t, exited[0].Err, errSecond)
				require.IsType(t, do(nil), exited[0].Message, "what its first failure was about is lost")
				stop(t, tree)
			})
		})
	}
}
