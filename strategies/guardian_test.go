package strategies_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/strategies"
)

func (h *house) spawnGuarded(s strategies.Strategy, names ...string) {
	for _, name := range names {
		_, err := h.system.Root.SpawnNamed(h.childProps(name, actor.WithGuardian(s)), name)
		require.NoError(h.t, err)
	}
	h.settle()
}

func (h *house) failTop(name string, reason any) {
	h.system.Root.Send(h.system.NewLocalPID(name), crash{reason})
}

func TestAGuardianRestartsTheFailedActorAlone(t *testing.T) {
	for _, s := range []strategies.Strategy{
		strategies.OneForOne(strategies.RestartPolicy{}), strategies.OneForAll(strategies.RestartPolicy{}), strategies.RestForOne(strategies.RestartPolicy{}),
	} {
		t.Run(s.String(), func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.spawnGuarded(s, "a", "b")
				h.failTop("a", errBoom)
				assert.Equal(t, []string{"a:restarting", "a:started"}, h.settle())
			})
		})
	}
}

func TestAGuardianStopsWhatItWouldEscalate(t *testing.T) {
	spent := func(w strategies.WhenSpent) strategies.Strategy {
		return strategies.OneForAll(strategies.NeverRestart().WithWhenSpent(w))
	}
	stopped, restarted := []string{"a:stopping", "a:stopped"}, []string{"a:restarting", "a:started"}
	tests := []struct {
		name     string
		strategy strategies.Strategy
		want     []string
	}{
		{"Escalate", strategies.Escalate(), stopped},
		{"decider escalates", strategies.OneForOne(strategies.RestartPolicy{Decider: func(error) actor.Directive { return actor.EscalateDirective }}), stopped},
		{"decider stops", strategies.OneForOne(strategies.RestartPolicy{Decider: alwaysStop}), stopped},
		{"decider resumes", strategies.OneForOne(strategies.RestartPolicy{Decider: func(error) actor.Directive { return actor.ResumeDirective }}), nil},
		{"decider panics", strategies.OneForOne(strategies.RestartPolicy{Decider: func(error) actor.Directive { panic("oops") }}), restarted},
		{"spent: escalate", spent(strategies.SpentEscalate), stopped},
		{"spent: stop child", spent(strategies.SpentStopChild), stopped},
		{"spent: stop supervisor", spent(strategies.SpentStopSupervisor), stopped},
		{"spent: ignore", spent(strategies.SpentIgnore), restarted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.spawnGuarded(tt.strategy, "a", "b")
				h.failTop("a", errBoom)
				assert.Equal(t, tt.want, h.settle())
				h.system.Root.Send(h.system.NewLocalPID("b"), "hello")
				assert.Equal(t, []string{"b:hello"}, h.settle())
			})
		})
	}
}

func TestAGuardianKeepsABudgetPerActor(t *testing.T) {
	inHouse(t, func(h *house) {
		h.spawnGuarded(strategies.OneForOne(strategies.MaxRestarts(1, 10*time.Second)), "a", "b")
		h.failTop("a", errBoom)
		h.failTop("b", errBoom)
		assert.Equal(t, []string{"a:restarting", "a:started", "b:restarting", "b:started"}, h.settleSorted())
		time.Sleep(11 * time.Second)
		h.failTop("a", errBoom)
		assert.Equal(t, []string{"a:restarting", "a:started"}, h.settle())
		h.failTop("a", errBoom)
		assert.Equal(t, []string{"a:stopping", "a:stopped"}, h.settle())
	})
}

func TestAGuardianSurvivesPanicsOfSubscribersAndHooks(t *testing.T) {
	inHouse(t, func(h *house) {
		h.system.EventStream.Subscribe(func(event any) {
			if _, ok := event.(*actor.SupervisorEvent); ok {
				panic("subscriber")
			}
		})
		h.hook("a", func(event string) any {
			if event == "stopping" {
				return "hook"
			}
			return nil
		})
		h.spawnGuarded(strategies.OneForOne(strategies.AlwaysRestart()), "a")
		h.failTop("a", errBoom)
		assert.Equal(t, []string{"a:restarting", "a:started"}, h.settle())
		h.system.Root.Stop(h.system.NewLocalPID("a"))
		assert.Equal(t, []string{"a:stopping", "a:terminated", "a:stopped"}, h.settle())
	})
}

// Many top-level actors of several systems fail at once under one shared strategy.
func TestOneStrategyGuardsManyAtOnce(t *testing.T) {
	inHouse(t, func(h *house) {
		const n = 40
		shared := strategies.OneForOne(strategies.MaxRestarts(2, time.Minute))
		names := make([]string, n)
		for i := range names {
			names[i] = fmt.Sprint("actor-", i)
		}
		h.spawnGuarded(shared, names...)
		var all sync.WaitGroup
		for _, name := range names {
			all.Go(func() {
				for range 3 {
					h.failTop(name, errBoom)
				}
			})
		}
		all.Wait()
		counts := map[string]int{}
		for _, line := range h.settle() {
			counts[line]++
		}
		for _, name := range names {
			assert.Equal(t, 2, counts[name+":restarting"], name)
			assert.Equal(t, 1, counts[name+":stopped"], name)
		}
	})
}

// stranger is a supervisor that isn't an actor and fails in everything.
type stranger struct{}

func (stranger) Children() []*actor.PID        { panic("children") }
func (stranger) EscalateFailure(_, _ any)      { panic("escalate") }
func (stranger) RestartChildren(...*actor.PID) { panic("restart") }
func (stranger) StopChildren(...*actor.PID)    { panic("stop") }
func (stranger) ResumeChildren(...*actor.PID)  { panic("resume") }

func TestHandleFailureNeverPanics(t *testing.T) {
	inHouse(t, func(h *house) {
		child := h.system.NewLocalPID("nobody")
		for _, s := range []strategies.Strategy{
			strategies.OneForOne(strategies.RestartPolicy{}), strategies.OneForAll(strategies.RestartPolicy{}),
			strategies.RestForOne(strategies.RestartPolicy{}), strategies.Escalate(),
		} {
			assert.NotPanics(t, func() {
				s.HandleFailure(h.system, stranger{}, child, nil, errBoom, nil)
				s.HandleFailure(h.system, stranger{}, child, nil, nil, &actor.Stop{})
				s.HandleFailure(h.system, nil, nil, nil, nil, nil)
				s.HandleFailure(nil, nil, nil, nil, nil, nil)
				s.HandleFailure(nil, stranger{}, nil, nil, nil, &actor.Stop{})
			}, s.String())
		}
	})
}

// halfBroken is a supervisor that isn't an actor and can't restart.
type halfBroken struct {
	stranger
	stopped []*actor.PID
}

func (s *halfBroken) StopChildren(pids ...*actor.PID) { s.stopped = append(s.stopped, pids...) }

func TestAChildThatCannotBeRestartedIsStopped(t *testing.T) {
	inHouse(t, func(h *house) {
		child, supervisor := h.system.NewLocalPID("nobody"), &halfBroken{}
		strategies.OneForOne(strategies.RestartPolicy{}).HandleFailure(h.system, supervisor, child, nil, errBoom, nil)
		assert.Equal(t, []*actor.PID{child}, supervisor.stopped)
	})
}
