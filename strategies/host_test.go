package strategies_test

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/strategies"
)

// host is a supervisor that takes decisions and lets the test see them.
type host struct {
	parent
	handle func(strategies.Decision)
}

func (h *host) HandleDecision(d strategies.Decision) { h.handle(d) }

func (h *house) beginHost(s strategies.Strategy, handle func(strategies.Decision), children ...string) {
	h.beginWith(actor.PropsFromProducer(func() actor.Actor {
		return &host{parent{h, children}, handle}
	}, actor.WithSupervisor(s)))
}

func TestAHostGetsTheDecisionAndNothingElseHappens(t *testing.T) {
	tests := []struct {
		name      string
		decider   strategies.Decider
		directive actor.Directive
		fault     bool
	}{
		{"no decider", nil, actor.RestartDirective, false},
		{"decider", alwaysStop, actor.StopDirective, false},
		{"decider that panics", func(error) actor.Directive { panic("oops") }, actor.RestartDirective, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.system.EventStream.Subscribe(func(event any) {
					if _, ok := event.(*actor.SupervisorEvent); ok {
						h.note("supervisor event")
					}
				})
				s := strategies.OneForAll(strategies.NeverRestart().WithDecider(tt.decider))
				var got []strategies.Decision
				h.beginHost(s, func(d strategies.Decision) { got = append(got, d) }, "a", "b")
				h.fail("b", errBoom)
				assert.Empty(t, h.settle())
				assert.Empty(t, h.reasons())
				assert.Empty(t, h.log())

				require.Len(t, got, 1)
				d := got[0]
				assert.Same(t, s, d.Strategy)
				assert.Equal(t, "top/mid/b", d.Child.Id)
				assert.Same(t, errBoom, d.Reason)
				assert.Equal(t, crash{errBoom}, d.Message)
				assert.Equal(t, tt.directive, d.Directive)
				assert.Equal(t, tt.fault, d.Fault != nil)
			})
		})
	}
}

func TestAReasonThatIsNoErrorIsWrapped(t *testing.T) {
	inHouse(t, func(h *house) {
		var got strategies.Decision
		h.beginHost(strategies.OneForOne(strategies.RestartPolicy{}), func(d strategies.Decision) { got = d }, "a")
		h.fail("a", "a string")
		h.settle()
		var wrapped *strategies.PanicError
		require.ErrorAs(t, got.Reason, &wrapped)
		assert.Equal(t, "a string", wrapped.Value)
		assert.EqualError(t, got.Reason, "panic: a string")
	})
}

func TestAHostThatPanicsFailsItself(t *testing.T) {
	inHouse(t, func(h *house) {
		h.beginHost(strategies.OneForOne(strategies.RestartPolicy{}), func(strategies.Decision) { panic("host") }, "a")
		h.fail("a", errBoom)
		assert.Subset(t, h.settle(), []string{"mid:restarting", "mid:started", "a:started"})
		assert.Equal(t, []any{"host"}, h.reasons())
		assert.Contains(t, h.log(), "handling a failure panicked")
	})
}

func TestAHostThatPanicsWithNothingAboveStops(t *testing.T) {
	inHouse(t, func(h *house) {
		_, err := h.system.Root.SpawnNamed(actor.PropsFromProducer(func() actor.Actor {
			return &host{parent{h, []string{"a"}}, func(strategies.Decision) { panic("host") }}
		}, actor.WithSupervisor(strategies.OneForOne(strategies.RestartPolicy{}))), "mid")
		require.NoError(t, err)
		h.settle()
		h.system.Root.Send(h.system.NewLocalPID("mid/a"), crash{errBoom})
		assert.Equal(t, []string{"a:stopping", "a:stopped", "mid:stopped"}, h.settle())
	})
}
