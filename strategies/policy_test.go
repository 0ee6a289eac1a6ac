package strategies_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/strategies"
)

var errBoom = errors.New("boom")

func alwaysStop(error) actor.Directive { return actor.StopDirective }

func TestZeroPolicy(t *testing.T) {
	var p strategies.RestartPolicy
	assert.True(t, p.IsZero())
	assert.NoError(t, p.Validate())

	p = p.WithDefaults()
	assert.Equal(t, 3, p.MaxRestarts)
	assert.Equal(t, 5*time.Second, p.Window)
	assert.True(t, p.Backoff.IsNone())
	assert.Equal(t, strategies.SpentEscalate, p.WhenSpent)
	assert.Nil(t, p.Decider)
}

func TestPolicyIsNotZeroOnceAnythingIsSet(t *testing.T) {
	for name, p := range map[string]strategies.RestartPolicy{
		"MaxRestarts": {MaxRestarts: 1},
		"Window":      {Window: 1},
		"Backoff":     {Backoff: strategies.Backoff{ResetAfter: 1}},
		"WhenSpent":   {WhenSpent: strategies.SpentIgnore},
		"Decider":     {Decider: alwaysStop},
	} {
		assert.False(t, p.IsZero(), name)
	}
}

func TestPresets(t *testing.T) {
	tests := []struct {
		name   string
		policy strategies.RestartPolicy
		max    int
		window time.Duration
	}{
		{"MaxRestarts", strategies.MaxRestarts(4, time.Minute), 4, time.Minute},
		{"MaxRestarts of none", strategies.MaxRestarts(0, time.Minute), strategies.NoRestarts, time.Minute},
		{"MaxRestarts with the default window", strategies.MaxRestarts(2, 0), 2, 5 * time.Second},
		{"AlwaysRestart", strategies.AlwaysRestart(), math.MaxInt, 5 * time.Second},
		{"NeverRestart", strategies.NeverRestart(), strategies.NoRestarts, 5 * time.Second},
		{"ExponentialBackoff", strategies.ExponentialBackoff(), 15, 5 * time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.NoError(t, tt.policy.Validate())
			assert.False(t, tt.policy.IsZero())
			p := tt.policy.WithDefaults()
			assert.Equal(t, tt.max, p.MaxRestarts)
			assert.Equal(t, tt.window, p.Window)
			require.NoError(t, p.Validate())
		})
	}
}

// A child that fails at once after each restart must run into the budget, whatever the dice say, and not before the backoff has
// given the outside world some minutes.
func TestExponentialBackoffSpendsItsBudget(t *testing.T) {
	p := strategies.ExponentialBackoff()
	spentAfter := func(random float64) time.Duration {
		start := time.Unix(0, 0)
		now, budget := start, strategies.NewBudget(p.MaxRestarts, p.Window)
		for attempt := 1; budget.Spend(now); attempt++ {
			require.LessOrEqual(t, attempt, p.MaxRestarts, "never spent")
			now = now.Add(p.Backoff.Delay(attempt, random))
		}
		return now.Sub(start)
	}
	assert.Equal(t, 231*time.Second+100*time.Millisecond, spentAfter(0))
	assert.Greater(t, spentAfter(math.Nextafter(1, 0)), 3*time.Minute)
}

func TestPolicyCopies(t *testing.T) {
	base := strategies.MaxRestarts(2, time.Minute)
	p := base.WithBackoff(strategies.Fixed(time.Second)).WithWhenSpent(strategies.SpentStopChild).WithDecider(alwaysStop)

	assert.Equal(t, 2, p.MaxRestarts)
	assert.Equal(t, strategies.Fixed(time.Second), p.Backoff)
	assert.Equal(t, strategies.SpentStopChild, p.WhenSpent)
	assert.NotNil(t, p.Decider)
	assert.Equal(t, strategies.MaxRestarts(2, time.Minute), base)
}

func TestValidateReportsEveryFaultAtOnce(t *testing.T) {
	err := strategies.RestartPolicy{
		MaxRestarts: -2,
		Window:      -time.Second,
		WhenSpent:   9,
		Backoff: strategies.Backoff{
			Initial: -1, Step: -1, Factor: 0.5, Max: -1, Jitter: math.NaN(), ResetAfter: -1,
		},
	}.Validate()
	require.Error(t, err)

	var fields []string
	for _, fault := range err.(interface{ Unwrap() []error }).Unwrap() {
		var field *strategies.FieldError
		require.ErrorAs(t, fault, &field)
		fields = append(fields, field.Field)
	}
	assert.Equal(t, []string{
		"MaxRestarts", "Window", "Backoff.Initial", "Backoff.Step", "Backoff.Factor", "Backoff.Max", "Backoff.Jitter", "Backoff.ResetAfter", "WhenSpent",
	}, fields)
	assert.ErrorContains(t, err, "MaxRestarts is -2, must be -1 (NoRestarts) or more")
}

func TestValidateBackoff(t *testing.T) {
	tests := []struct {
		backoff strategies.Backoff
		fault   string // "" for none
	}{
		{strategies.NoBackoff(), ""},
		{strategies.Fixed(time.Minute), ""},
		{strategies.Linear(time.Second, time.Minute), ""},
		{strategies.Exponential(time.Second, time.Second), ""},
		{strategies.Backoff{Initial: time.Hour}, ""},
		{strategies.Backoff{Initial: 1, Factor: 1.01}, ""},
		{strategies.Backoff{Initial: 1, Factor: 100, Jitter: 1}, ""},
		{strategies.Fixed(-1), "Initial is -1ns, must be 0 or more"},
		{strategies.Exponential(time.Minute, time.Second), "Max is 1s, must be at least Initial, 1m0s"},
		{strategies.Backoff{Factor: 1.001}, "Factor is 1.001, must be 0 or 1 (for no growth) or 1.01 to 100"},
		{strategies.Backoff{Factor: math.Inf(1)}, "Factor is +Inf"},
		{strategies.Backoff{Jitter: 1.1}, "Jitter is 1.1, must be 0 to 1"},
	}
	for _, tt := range tests {
		err := tt.backoff.Validate()
		if tt.fault == "" {
			assert.NoError(t, err, "%+v", tt.backoff)
		} else {
			assert.ErrorContains(t, err, tt.fault)
		}
	}
}

func TestDecide(t *testing.T) {
	typed := &strategies.PanicError{Value: 7}
	tests := []struct {
		name    string
		decider strategies.Decider
		want    actor.Directive
		fault   string
	}{
		{"none", nil, actor.RestartDirective, ""},
		{"restart", func(error) actor.Directive { return actor.RestartDirective }, actor.RestartDirective, ""},
		{"stop", alwaysStop, actor.StopDirective, ""},
		{"resume", func(error) actor.Directive { return actor.ResumeDirective }, actor.ResumeDirective, ""},
		{"escalate", func(error) actor.Directive { return actor.EscalateDirective }, actor.EscalateDirective, ""},
		{"above the range", func(error) actor.Directive { return actor.EscalateDirective + 1 }, actor.RestartDirective, "unknown directive 4"},
		{"below the range", func(error) actor.Directive { return -1 }, actor.RestartDirective, "unknown directive -1"},
		{"panics", func(error) actor.Directive { panic("oops") }, actor.RestartDirective, "panicked (oops)"},
		{"panics with an error", func(error) actor.Directive { panic(typed) }, actor.RestartDirective, "panicked (panic: 7)"},
		{"panics with nil", func(error) actor.Directive { panic(nil) }, actor.RestartDirective, "panicked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, fault := strategies.RestartPolicy{Decider: tt.decider}.Decide(errBoom)
			assert.Equal(t, tt.want, d)
			if tt.fault == "" {
				assert.NoError(t, fault)
				return
			}
			var decider *strategies.DeciderError
			require.ErrorAs(t, fault, &decider)
			assert.ErrorContains(t, fault, tt.fault)
		})
	}
	_, fault := strategies.RestartPolicy{Decider: func(error) actor.Directive { panic(typed) }}.Decide(errBoom)
	assert.ErrorIs(t, fault, typed, "what the decider panicked with stays reachable")
}

func TestDeciderSeesTheReason(t *testing.T) {
	var seen error
	p := strategies.RestartPolicy{Decider: func(reason error) actor.Directive {
		seen = reason
		return actor.StopDirective
	}}
	_, _ = p.Decide(errBoom)
	assert.Same(t, errBoom, seen)
}

func TestWhenSpentNames(t *testing.T) {
	for w, name := range map[strategies.WhenSpent]string{
		strategies.SpentEscalate:       "escalate",
		strategies.SpentStopChild:      "stop_child",
		strategies.SpentStopSupervisor: "stop_supervisor",
		strategies.SpentIgnore:         "ignore",
		9:                              "WhenSpent(9)",
	} {
		assert.Equal(t, name, w.String())
	}
}
