package strategies

import (
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/ctxext"
	"github.com/stretchr/testify/assert"
)

// slotless is a context whose extension slots don't reach as far as our id.
type slotless struct {
	actor.Context
	set      ctxext.ContextExtension
	children []*actor.PID
}

func (c *slotless) Children() []*actor.PID { return c.children }

func (c *slotless) Get(ctxext.ContextExtensionID) ctxext.ContextExtension {
	if c.set == nil {
		panic("index out of range")
	}
	return c.set
}

func (c *slotless) Set(ext ctxext.ContextExtension) { c.set = ext }

func (c *slotless) Actor() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) }

func TestRecallWhereNothingWasEverSet(t *testing.T) {
	parent := &slotless{}
	first := recall(parent)
	assert.NotNil(t, first)
	assert.Same(t, first, recall(parent))
}

func TestDiffer(t *testing.T) {
	type pointer struct {
		actor.Actor
		_ int
	}
	one, two := &pointer{}, &pointer{}
	function := actor.ReceiveFunc(func(actor.Context) {})
	assert.True(t, differ(one, two))
	assert.False(t, differ(one, one))
	assert.False(t, differ(function, function), "functions can't be told apart")
	assert.False(t, differ(pointer{Actor: function}, pointer{Actor: function}), "nor what holds one")
}

func TestStoppingChildrenAreForgottenWhenTheyHaveEnded(t *testing.T) {
	old, again, other := actor.NewPID("here", "a"), actor.NewPID("here", "a"), actor.NewPID("here", "b")
	parent := &slotless{}
	recall(parent).stopping = []*actor.PID{old, other}
	parent.children = []*actor.PID{again, other}
	m := recall(parent)
	assert.False(t, m.isStopping(old))
	assert.False(t, m.isStopping(again), "a new child of an old name is a new child")
	assert.True(t, m.isStopping(other))
}

func TestARingIsNoLargerThanItsBudget(t *testing.T) {
	b := NewBudget(1000, time.Hour)
	for range 3000 {
		b.Spend(time.Unix(0, 0))
	}
	assert.Len(t, b.times, 1001)
}

func TestTopLevelBudgetsAreSweptOut(t *testing.T) {
	var tops topLevelBudgets
	policy := MaxRestarts(1, time.Second)
	now := time.Unix(0, 0)
	for range 10_000 { // ten actors fail in each window, each once
		now = now.Add(100 * time.Millisecond)
		assert.True(t, tops.spend(actor.NewPID("here", "a"), policy, now))
		assert.LessOrEqual(t, len(tops.budgets), 2*11+1)
	}
}
