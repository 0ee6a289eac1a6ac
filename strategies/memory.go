package strategies

import (
	"reflect"
	"slices"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/ctxext"
)

// memory is what the strategies remember about one plain parent. It hangs on the parent's own context, so it is gone when the
// parent is, and only the parent's goroutine touches it.
type memory struct {
	incarnation actor.Actor  // whose budget it is: a parent that was restarted in place starts with a new one
	budget      *Budget      // over all children
	stopping    []*actor.PID // children told to stop that haven't ended yet; compared by pointer, as a name can be taken again
}

var memoryID = ctxext.NextContextExtensionID()

// ExtensionID implements [ctxext.ContextExtension].
func (*memory) ExtensionID() ctxext.ContextExtensionID { return memoryID }

// recall returns the memory of the parent's present incarnation, rid of what has ended.
func recall(parent actor.Context) *memory {
	m := attached(parent)
	if m == nil || differ(m.incarnation, parent.Actor()) {
		m = &memory{incarnation: parent.Actor()}
		m.startAnew()
		parent.Set(m)
	}
	m.retain(parent.Children())
	return m
}

// attached returns the memory attached to the parent, or nil. Get panics for an id it has no slot for as long as nothing was Set.
func attached(parent actor.Context) (m *memory) {
	survives(func() { m, _ = parent.Get(memoryID).(*memory) })
	return m
}

// differ reports whether a and b are certainly two instances. Actors that are functions can't be told apart.
func differ(a, b actor.Actor) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a != b
}

// startAnew forgets what was spent. Limits are set before each Spend, from the policy then in force.
func (m *memory) startAnew() { m.budget = NewBudget(0, 0) }

// retain forgets about stopping children that have ended.
func (m *memory) retain(children []*actor.PID) {
	m.stopping = slices.DeleteFunc(m.stopping, func(pid *actor.PID) bool { return !slices.Contains(children, pid) })
}

func (m *memory) isStopping(pid *actor.PID) bool { return slices.Contains(m.stopping, pid) }
