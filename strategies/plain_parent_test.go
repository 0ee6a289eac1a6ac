package strategies_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/strategies"
)

func TestRestartsTheGroup(t *testing.T) {
	policy := strategies.MaxRestarts(1, time.Minute)
	tests := []struct {
		strategy strategies.Strategy
		want     []string
	}{
		{strategies.OneForOne(policy), []string{"b:restarting", "b:started"}},
		{strategies.OneForAll(policy), []string{"a:restarting", "a:started", "b:restarting", "b:started", "c:restarting", "c:started"}},
		{strategies.RestForOne(policy), []string{"b:restarting", "b:started", "c:restarting", "c:started"}},
	}
	for _, tt := range tests {
		t.Run(tt.strategy.String(), func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.begin(tt.strategy, "a", "b", "c")
				h.fail("b", errBoom)
				assert.Equal(t, tt.want, h.settleSorted())

				for _, child := range []string{"a", "b", "c"} {
					h.system.Root.Send(h.pid(child), "hello")
				}
				assert.Equal(t, []string{"a:hello", "b:hello", "c:hello"}, h.settleSorted(), "nobody is left suspended")
				assert.Empty(t, h.reasons())
			})
		})
	}
}

func TestRestartKeepsTheMailbox(t *testing.T) {
	inHouse(t, func(h *house) {
		h.begin(strategies.OneForOne(strategies.RestartPolicy{}), "a")
		h.fail("a", errBoom)
		h.system.Root.Send(h.pid("a"), "one")
		h.system.Root.Send(h.pid("a"), "two")
		assert.Equal(t, []string{"a:restarting", "a:started", "a:one", "a:two"}, h.settle())
	})
}

// A sibling that is restarted for another's failure must not go on with its old instance while its own children stop.
func TestSiblingsAreSuspendedUntilTheyHaveRestarted(t *testing.T) {
	inHouse(t, func(h *house) {
		release := make(chan struct{})
		h.hook("b/slow", func(event string) any {
			if event == "stopping" {
				<-release
			}
			return nil
		})
		mid := actor.PropsFromFunc(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Started); ok {
				_, _ = ctx.SpawnNamed(h.childProps("a"), "a")
				_, _ = ctx.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
					if _, ok := ctx.Message().(*actor.Started); ok {
						_, _ = ctx.SpawnNamed(h.childProps("b/slow"), "slow")
					}
					h.childReceives("b", ctx)
				}), "b")
			}
		}, actor.WithSupervisor(strategies.OneForAll(strategies.RestartPolicy{})))
		h.beginWith(mid)

		h.fail("a", errBoom)
		assert.Equal(t, []string{"a:restarting", "a:started", "b/slow:stopping", "b:restarting"}, h.settleSorted())
		h.system.Root.Send(h.pid("b"), "hello")
		assert.Empty(t, h.settle(), "the old instance of b handles nothing")
		close(release)
		ofB := slices.DeleteFunc(h.settle(), func(line string) bool { return !strings.HasPrefix(line, "b:") })
		assert.Equal(t, []string{"b:started", "b:hello"}, ofB, "the new one does")
	})
}

func TestBudgetIsSharedByAllChildren(t *testing.T) {
	inHouse(t, func(h *house) {
		h.verdict = actor.StopDirective
		h.begin(strategies.OneForOne(strategies.MaxRestarts(2, 10*time.Second)), "a", "b", "c")
		h.fail("a", errBoom)
		h.settle()
		h.fail("b", errBoom)
		h.settle()
		assert.Empty(t, h.reasons())
		h.fail("c", errBoom)
		h.settle()
		assert.Len(t, h.reasons(), 1)
		assert.Empty(t, h.alive("top/mid", "a", "b", "c"))
	})
}

func TestBudgetLooksBackOneWindow(t *testing.T) {
	inHouse(t, func(h *house) {
		h.begin(strategies.OneForAll(strategies.MaxRestarts(1, 10*time.Second)), "a", "b")
		for range 5 {
			h.fail("a", errBoom)
			assert.Equal(t, []string{"a:restarting", "a:started", "b:restarting", "b:started"}, h.settleSorted())
			time.Sleep(10*time.Second + 1)
		}
		assert.Empty(t, h.reasons())
		h.fail("a", errBoom)
		h.settle()
		time.Sleep(10 * time.Second)
		h.fail("b", errBoom)
		h.settle()
		assert.Len(t, h.reasons(), 1, "exactly one window apart is still within it")
	})
}

func TestSpentBudgetEscalates(t *testing.T) {
	inHouse(t, func(h *house) {
		h.begin(strategies.RestForOne(strategies.MaxRestarts(1, time.Minute)), "a", "b", "c")
		h.fail("b", errBoom)
		h.settle()
		h.fail("b", errBoom)
		lines := h.settle()
		assert.Contains(t, lines, "mid:restarting")
		assert.Subset(t, lines, []string{"a:stopped", "b:stopped", "c:stopped", "mid:started", "a:started", "b:started", "c:started"})

		require.Len(t, h.reasons(), 1)
		reason := h.reasons()[0].(error)
		require.ErrorIs(t, reason, errBoom)
		var spent *strategies.BudgetSpentError
		require.ErrorAs(t, reason, &spent)
		assert.Equal(t, 1, spent.Max)
		assert.Equal(t, time.Minute, spent.Window)
		assert.EqualError(t, reason, "restart budget spent (more than 1 within 1m0s): boom")
	})
}

func TestANewIncarnationHasANewBudget(t *testing.T) {
	producers := map[string]func(*house, strategies.Strategy) *actor.Props{
		"of a struct": func(h *house, s strategies.Strategy) *actor.Props {
			return actor.PropsFromProducer(func() actor.Actor { return &parent{h, []string{"a"}} }, actor.WithSupervisor(s))
		},
		"of a function": func(h *house, s strategies.Strategy) *actor.Props {
			return actor.PropsFromFunc((&parent{h, []string{"a"}}).Receive, actor.WithSupervisor(s))
		},
	}
	for name, props := range producers {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.beginWith(props(h, strategies.OneForOne(strategies.MaxRestarts(1, time.Hour))))
				for failures := 1; failures <= 6; failures++ {
					h.fail("a", errBoom)
					h.settle()
					assert.Len(t, h.reasons(), failures/2, "after %d failures", failures)
				}
			})
		})
	}
	t.Run("after a restart for a reason of its own", func(t *testing.T) {
		inHouse(t, func(h *house) {
			h.begin(strategies.OneForOne(strategies.MaxRestarts(1, time.Hour)), "a")
			for range 3 {
				h.fail("a", errBoom)
				h.settle()
				mid, _ := h.system.ProcessRegistry.GetLocal("top/mid")
				mid.SendSystemMessage(nil, &actor.Restart{})
				h.settle()
			}
			assert.Empty(t, h.reasons())
		})
	})
}

func TestParentsThatShareAStrategyHaveBudgetsOfTheirOwn(t *testing.T) {
	inHouse(t, func(h *house) {
		shared := strategies.OneForOne(strategies.MaxRestarts(1, time.Hour))
		wing := func(name string) *actor.Props {
			return actor.PropsFromFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*actor.Started); ok {
					_, _ = ctx.SpawnNamed(h.childProps(name), "child")
				}
			}, actor.WithSupervisor(shared))
		}
		h.beginWith(actor.PropsFromFunc(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Started); ok {
				_, _ = ctx.SpawnNamed(wing("east"), "east")
				_, _ = ctx.SpawnNamed(wing("west"), "west")
			}
		}, actor.WithSupervisor(strategies.Escalate())))

		h.fail("east/child", errBoom)
		h.fail("west/child", errBoom)
		assert.Equal(t, []string{"east:restarting", "east:started", "west:restarting", "west:started"}, h.settleSorted())
		assert.Empty(t, h.reasons())
	})
}

func TestEscalateReachesTheGrandparent(t *testing.T) {
	for name, s := range map[string]strategies.Strategy{
		"strategy": strategies.Escalate(),
		"decider": strategies.OneForOne(strategies.RestartPolicy{Decider: func(error) actor.Directive {
			return actor.EscalateDirective
		}}),
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.begin(s, "a", "b")
				h.fail("a", errBoom)
				lines := h.settle()
				require.Len(t, h.reasons(), 1)
				assert.ErrorIs(t, h.reasons()[0].(error), errBoom)
				assert.Subset(t, lines, []string{"mid:restarting", "mid:started", "a:started", "b:started"})
				assert.Equal(t, []string{"a", "b"}, h.alive("a", "b"))
			})
		})
	}
}

// A level above that resumes the parent must not leave the failed child suspended, alive and deaf.
func TestAnEscalatedChildIsNotLeftSuspended(t *testing.T) {
	inHouse(t, func(h *house) {
		h.verdict = actor.ResumeDirective
		h.begin(strategies.Escalate(), "a", "b")
		h.fail("a", errBoom)
		assert.Equal(t, []string{"a:stopping", "a:stopped"}, h.settle())
		assert.Equal(t, []string{"top/mid", "b"}, h.alive("top/mid", "a", "b"))
		h.system.Root.Send(h.pid("b"), "hello")
		h.system.Root.Send(h.system.NewLocalPID("top/mid"), "hello")
		assert.Equal(t, []string{"b:hello", "mid:hello"}, h.settleSorted())
	})
}

func TestAParentWithNothingAboveStops(t *testing.T) {
	inHouse(t, func(h *house) {
		mid := actor.PropsFromProducer(func() actor.Actor { return &parent{h, []string{"a", "b"}} }, actor.WithSupervisor(strategies.Escalate()))
		pid, err := h.system.Root.SpawnNamed(mid, "mid")
		require.NoError(t, err)
		h.settle()
		h.system.Root.Send(h.system.NewLocalPID("mid/a"), crash{errBoom})
		lines := h.settle()
		assert.Equal(t, "mid:stopped", lines[len(lines)-1])
		_, registered := h.system.ProcessRegistry.Get(pid)
		assert.False(t, registered)
		assert.Contains(t, h.log(), "nothing to escalate to")
	})
}

func TestWhenSpent(t *testing.T) {
	tests := []struct {
		when  strategies.WhenSpent
		want  []string
		alive []string
	}{
		{strategies.SpentStopChild, []string{"a:stopped", "a:stopping"}, []string{"top/mid", "b"}},
		{strategies.SpentStopSupervisor, []string{"a:stopped", "a:stopping", "b:stopped", "b:stopping", "mid:stopped"}, []string{}},
		{strategies.SpentIgnore, []string{"a:restarting", "a:started", "b:restarting", "b:started"}, []string{"top/mid", "a", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.when.String(), func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.begin(strategies.OneForAll(strategies.NeverRestart().WithWhenSpent(tt.when)), "a", "b")
				h.fail("a", errBoom)
				assert.Equal(t, tt.want, h.settleSorted())
				assert.Equal(t, tt.alive, h.alive("top/mid", "a", "b"))
				assert.Empty(t, h.reasons())
			})
		})
	}
}

func TestDeciderOnAPlainParent(t *testing.T) {
	errBad, errGone := errors.New("bad message"), errors.New("gone")
	policy := strategies.RestartPolicy{Decider: func(reason error) actor.Directive {
		var text *strategies.PanicError
		switch {
		case errors.Is(reason, errBad):
			return actor.ResumeDirective
		case errors.Is(reason, errGone):
			return actor.StopDirective
		case errors.As(reason, &text) && text.Value == "odd":
			return 42
		}
		panic(reason)
	}}
	tests := []struct {
		name   string
		reason any
		want   []string
		log    string
	}{
		{"resume", errBad, []string{"a:hello"}, ""},
		{"stop stops the child alone", errGone, []string{"a:stopped", "a:stopping"}, ""},
		{"an unknown directive restarts", "odd", []string{"a:hello", "a:restarting", "a:started", "b:restarting", "b:started"}, "unknown directive 42"},
		{"a panic restarts", 4711, []string{"a:hello", "a:restarting", "a:started", "b:restarting", "b:started"}, "decider panicked (panic: 4711)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.begin(strategies.OneForAll(policy), "a", "b")
				h.fail("a", tt.reason)
				h.system.Root.Send(h.pid("a"), "hello")
				assert.Equal(t, tt.want, h.settleSorted())
				if tt.log == "" {
					assert.Empty(t, h.log())
				} else {
					assert.Contains(t, h.log(), tt.log)
				}
			})
		})
	}
}

// A Restart that follows a Stop would bring the child back, unregistered.
func TestAChildThatWasStoppedIsNotRevivedByItsGroup(t *testing.T) {
	inHouse(t, func(h *house) {
		release := make(chan struct{})
		h.hook("b", func(event string) any {
			if event == "stopping" {
				<-release
			}
			return nil
		})
		policy := strategies.RestartPolicy{Decider: func(reason error) actor.Directive {
			if errors.Is(reason, errBoom) {
				return actor.StopDirective
			}
			return actor.RestartDirective
		}}
		h.begin(strategies.OneForAll(policy), "a", "b")
		h.fail("b", errBoom)
		assert.Equal(t, []string{"b:stopping"}, h.settle())
		h.fail("a", errors.New("another"))
		assert.Equal(t, []string{"a:restarting", "a:started"}, h.settle())
		close(release)
		assert.Equal(t, []string{"b:stopped"}, h.settle())
		assert.Equal(t, []string{"a"}, h.alive("a", "b"))
	})
}

func TestAChildThatPanicsWhileItStopsEndsAllTheSame(t *testing.T) {
	tests := []struct {
		panics []string // in these hooks
		want   []string
	}{
		{[]string{"stopping"}, []string{"a:stopping", "a:terminated", "a:stopped"}},
		{[]string{"stopped"}, []string{"a:stopping", "a:stopped"}},
		{[]string{"stopping", "stopped"}, []string{"a:stopping", "a:terminated", "a:stopped"}},
		{[]string{"stopping", "terminated"}, []string{"a:stopping", "a:terminated"}},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.panics, " and "), func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.hook("a", func(event string) any {
					if slices.Contains(tt.panics, event) {
						return errBoom
					}
					return nil
				})
				h.begin(strategies.OneForAll(strategies.AlwaysRestart()), "a", "b")
				h.system.Root.Stop(h.pid("a"))
				assert.Equal(t, tt.want, h.settle())
				assert.Equal(t, []string{"b"}, h.alive("a", "b"))

				h.system.Root.Stop(h.system.NewLocalPID("top/mid"))
				assert.Equal(t, []string{"b:stopping", "b:stopped", "mid:stopped"}, h.settle(), "the parent isn't kept waiting")
			})
		})
	}
	t.Run("and isn't revived by its group", func(t *testing.T) {
		inHouse(t, func(h *house) {
			release := make(chan struct{})
			h.hook("a", func(event string) any {
				switch event {
				case "stopping":
					return errBoom
				case "terminated":
					<-release
				}
				return nil
			})
			h.begin(strategies.OneForAll(strategies.AlwaysRestart()), "a", "b")
			h.system.Root.Stop(h.pid("a"))
			assert.Equal(t, []string{"a:stopping", "a:terminated"}, h.settle())
			h.fail("b", errBoom)
			assert.Equal(t, []string{"b:restarting", "b:started"}, h.settle())
			close(release)
			assert.Equal(t, []string{"a:stopped"}, h.settle())
		})
	})
}

// Two children fail; the first failure brings the group down for good, so the second is no news.
func TestAFailureOfAChildThatIsBeingStoppedIsIgnored(t *testing.T) {
	tests := []struct {
		when        strategies.WhenSpent
		escalations int
		events      int
	}{
		{strategies.SpentEscalate, 1, 0},
		{strategies.SpentStopSupervisor, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.when.String(), func(t *testing.T) {
			inHouse(t, func(h *house) {
				events := 0
				h.system.EventStream.Subscribe(func(event any) {
					if _, ok := event.(*actor.SupervisorEvent); ok {
						events++
					}
				})
				free, end := make(chan struct{}), make(chan struct{})
				h.hook("b", func(event string) any {
					if event == "stopping" {
						<-end
					}
					return nil
				})
				h.verdict = actor.StopDirective
				h.beginBusy(strategies.OneForAll(strategies.NeverRestart().WithWhenSpent(tt.when)), free, "a", "b")
				h.fail("a", errBoom)
				h.settle()
				h.fail("b", errBoom)
				h.settle()
				close(free)
				h.settle()
				close(end)
				h.settle()
				assert.Len(t, h.reasons(), tt.escalations)
				assert.Equal(t, tt.events, events)
				assert.Empty(t, h.alive("top/mid", "a", "b"))
			})
		})
	}
}

// With children that run on their parent's goroutine the order in which they are told to stop can be seen.
func TestEscalationStopsTheGroupInReverseOrder(t *testing.T) {
	inHouse(t, func(h *house) {
		h.verdict = actor.ResumeDirective
		h.beginWith(actor.PropsFromFunc(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Started); ok {
				for _, child := range []string{"a", "b", "c", "d"} {
					_, _ = ctx.SpawnNamed(h.childProps(child, actor.WithDispatcher(actor.NewSynchronizedDispatcher(300))), child)
				}
			}
		}, actor.WithSupervisor(strategies.RestForOne(strategies.NeverRestart()))))
		h.fail("b", errBoom)
		assert.Equal(t, []string{"d:stopping", "d:stopped", "c:stopping", "c:stopped", "b:stopping", "b:stopped"}, h.settle())
		h.system.Root.Stop(h.system.NewLocalPID("top/mid"))
		assert.Equal(t, []string{"a:stopping", "a:stopped"}, h.settle(), "the parent's own list of children is intact")
		assert.Empty(t, h.alive("top/mid"))
	})
}

func TestAPanicInRestartingEndsWithTheBudget(t *testing.T) {
	inHouse(t, func(h *house) {
		h.verdict = actor.StopDirective
		h.hook("a", func(e string) any {
			if e == "restarting" {
				return errBoom
			}
			return nil
		})
		h.begin(strategies.OneForOne(strategies.MaxRestarts(5, time.Second)), "a")
		h.fail("a", errBoom)
		lines := h.settle()
		assert.Equal(t, []string{"a:restarting", "a:restarting", "a:restarting", "a:restarting", "a:restarting"}, lines[:5])
		assert.NotContains(t, lines[5:], "a:restarting")
		assert.Len(t, h.reasons(), 1)
	})
}

func TestSubscribersThatPanicChangeNothing(t *testing.T) {
	inHouse(t, func(h *house) {
		var seen []actor.Directive
		h.system.EventStream.Subscribe(func(event any) {
			if e, ok := event.(*actor.SupervisorEvent); ok {
				seen = append(seen, e.Directive)
				panic("subscriber")
			}
		})
		h.begin(strategies.OneForOne(strategies.MaxRestarts(1, time.Minute).WithWhenSpent(strategies.SpentStopChild)), "a")
		h.fail("a", errBoom)
		assert.Equal(t, []string{"a:restarting", "a:started"}, h.settle())
		h.fail("a", errBoom)
		assert.Equal(t, []string{"a:stopping", "a:stopped"}, h.settle())
		assert.Equal(t, []actor.Directive{actor.RestartDirective, actor.StopDirective}, seen)
		assert.Empty(t, h.reasons())
	})
}

// The parent hears of a failure and of the end of the same child at once: it is too late for a restart.
func TestAFailureOfAChildThatHasEndedIsPastRestarting(t *testing.T) {
	inHouse(t, func(h *house) {
		release := make(chan struct{})
		h.beginBusy(strategies.OneForAll(strategies.NeverRestart()), release, "a", "b")
		h.fail("a", errBoom)
		h.settle()
		h.system.Root.Stop(h.pid("a"))
		assert.Equal(t, []string{"a:stopping", "a:stopped"}, h.settle())
		close(release)
		assert.Empty(t, h.settle())
		assert.Empty(t, h.reasons())
		assert.Equal(t, []string{"top/mid", "b"}, h.alive("top/mid", "a", "b"))
	})
}

func TestASiblingThatHasEndedIsNotRevivedByItsGroup(t *testing.T) {
	inHouse(t, func(h *house) {
		release := make(chan struct{})
		h.beginBusy(strategies.OneForAll(strategies.RestartPolicy{}), release, "a", "b")
		h.fail("a", errBoom)
		h.settle()
		h.system.Root.Stop(h.pid("b"))
		assert.Equal(t, []string{"b:stopping", "b:stopped"}, h.settle())
		h.system.EventStream.Subscribe(func(event any) {
			if dead, ok := event.(*actor.DeadLetterEvent); ok {
				h.note(fmt.Sprintf("dead letter %T", dead.Message))
			}
		})
		close(release)
		assert.Equal(t, []string{"a:restarting", "a:started"}, h.settle())
	})
}

// beginBusy begins with a parent that handles nothing until it is released.
func (h *house) beginBusy(s strategies.Strategy, release chan struct{}, children ...string) {
	family := &parent{h, children}
	h.beginWith(actor.PropsFromFunc(func(ctx actor.Context) {
		family.Receive(ctx)
		if ctx.Message() == "wait" {
			<-release
		}
	}, actor.WithSupervisor(s)))
	h.system.Root.Send(h.system.NewLocalPID("top/mid"), "wait")
	h.settle()
}

// A child spawned in the parent's name, but not by it, is in no group.
func TestAChildTheParentDoesNotKnowRestartsAlone(t *testing.T) {
	inHouse(t, func(h *house) {
		h.beginWith(actor.PropsFromFunc(func(ctx actor.Context) {
			if _, ok := ctx.Message().(*actor.Started); ok {
				_, _ = ctx.SpawnNamed(h.childProps("a"), "a")
				_, _ = actor.DefaultSpawner(h.system, "top/mid/stray", h.childProps("stray"), ctx)
			}
		}, actor.WithSupervisor(strategies.OneForAll(strategies.RestartPolicy{}))))
		h.fail("stray", errBoom)
		assert.Equal(t, []string{"stray:restarting", "stray:started"}, h.settle())
	})
}

// Some of protoactor's strategies panic on a guardian, there where the failure is escalated.
func TestAParentWhoseGuardianPanicsStops(t *testing.T) {
	inHouse(t, func(h *house) {
		broken := actor.NewAllForOneStrategy(1, time.Second, actor.DefaultDecider)
		mid := actor.PropsFromProducer(func() actor.Actor { return &parent{h, []string{"a", "b"}} },
			actor.WithSupervisor(strategies.Escalate()), actor.WithGuardian(broken))
		_, err := h.system.Root.SpawnNamed(mid, "mid")
		require.NoError(t, err)
		h.settle()
		h.system.Root.Send(h.system.NewLocalPID("mid/a"), crash{errBoom})
		lines := h.settle()
		assert.Equal(t, "mid:stopped", lines[len(lines)-1])
		assert.Contains(t, h.log(), "guardian does not hold its children PIDs")
	})
}
