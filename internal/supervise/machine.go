package supervise

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/internal/ring"
	"github.com/mistersmith/mistersmith/strategies"
)

// Refusals of dynamic calls.
var (
	ErrAlreadyStarted = errors.New("child is already started")
	ErrAlreadyPresent = errors.New("child is already present, but not running")
	ErrRunning        = errors.New("child is running")
	ErrRestarting     = errors.New("child is restarting")
	ErrNotFound       = errors.New("no such child")
	ErrStopped        = errors.New("supervisor is stopping or has stopped")
	ErrWithdrawn      = errors.New("call was withdrawn before it was its turn")
	ErrDynamic        = errors.New("supervisor is dynamic: its children are instances of one template")
	// ErrBudgetSpent is wrapped by the reason with which a supervisor ends whose restart budget is spent.
	ErrBudgetSpent = errors.New("restart budget spent")
	// ErrEscalated is wrapped by the reason with which a supervisor ends because a failure was escalated.
	ErrEscalated = errors.New("failure escalated")
	// ErrAutoShutdown is the reason with which a supervisor ends after its significant children.
	ErrAutoShutdown = errors.New("significant children have ended")
)

// Config of a machine.
type Config struct {
	Strategy     strategies.Strategy
	Policy       strategies.RestartPolicy // with all defaults filled in
	AutoShutdown AutoShutdown
	Children     []Spec // in start order
	Template     *Spec  // of a dynamic supervisor, which begins without children; nil for any other
	Random       func() float64
	Throttle     func(now time.Time) time.Duration // how long a restart has to wait for the sake of the whole tree; nil for not at all
	Data         any                               // the owner's; it comes back in Reconfigured
}

// Machine is one incarnation of a supervisor. It isn't safe for concurrent use: its supervisor's goroutine owns it.
type Machine struct {
	strategy strategies.Strategy
	policy   strategies.RestartPolicy
	budget   *strategies.Budget
	auto     AutoShutdown
	random   func() float64
	throttle func(time.Time) time.Duration
	template *Spec
	alone    bool // the strategy never takes siblings along

	slots []*child // in start order; nil where a child was removed
	gaps  int      // nil slots
	byID  map[string]*child

	just [1]*child // group's

	began   time.Time
	now     time.Time
	task    *task // what is being carried out: current; nil when idle
	current task
	queue   ring.Ring[Event] // what arrived meanwhile
	closed  bool
	serial  uint64 // of sequences and tokens
	streak  streak // of group restarts
	actions []Action
}

// task is the one sequence that is being carried out, and what it is for.
type task struct {
	kind     kind
	sequence uint64
	child    *child // the failed child, or the one a call is about
	waited   bool   // groupStopping: the backoff is over already
	to       any    // of the call
	quit     Quit   // closing
}

// cause names the child whose failure the task is about.
func (t *task) cause() string {
	if t.child == nil || t.to != nil {
		return ""
	}
	return t.child.ID
}

type kind uint8

const (
	booting        kind = iota
	groupStopping       // a failed child's group goes down
	groupStarting       // …and comes up
	callStarting        // OpStart
	callRestarting      // OpRestart
	callStopping        // OpTerminate
	closing             // everything goes down, for good
)

// New returns a machine that waits for Boot.
func New(c Config) *Machine {
	m := &Machine{
		strategy: c.Strategy,
		policy:   c.Policy,
		budget:   strategies.NewBudget(c.Policy.MaxRestarts, c.Policy.Window),
		auto:     c.AutoShutdown,
		random:   c.Random,
		throttle: c.Throttle,
		template: c.Template,
		byID:     make(map[string]*child, len(c.Children)),
	}
	m.alone = alone(c.Strategy)
	children := make([]child, len(c.Children))
	m.slots = make([]*child, 0, len(children))
	for i, s := range c.Children {
		children[i].Spec = s
		m.append(&children[i])
	}
	return m
}

// alone reports whether a strategy treats each child by itself.
func alone(s strategies.Strategy) bool {
	for failed := range 2 {
		if from, to := s.Group(failed, 2); from != failed || to != failed+1 {
			return false
		}
	}
	return true
}

// Step handles one event at the time now. The actions returned are to be carried out in order, before the next Step: the slice is used again.
func (m *Machine) Step(now time.Time, e Event) []Action {
	if m.began.IsZero() {
		m.began = now
	}
	m.now = now
	m.actions = m.actions[:0]
	switch e := e.(type) {
	case Done:
		if m.task != nil && m.task.sequence == e.Sequence {
			m.finish(e.Results)
		}
	case ShutdownOrder:
		m.queue.PushFront(e)
		if t := m.task; t != nil && (t.kind == booting || t.kind == groupStarting || t.kind == callStarting || t.kind == callRestarting) {
			m.act(Abort{t.sequence})
		}
	case Withdraw:
		for range m.queue.Len() {
			q := m.queue.Pop()
			if c, ok := q.(Call); ok && c.To == e.To {
				m.act(Reply{e.To, Answer{Err: ErrWithdrawn}})
			} else {
				m.queue.Push(q)
			}
		}
	default:
		m.queue.Push(e)
	}
	for m.task == nil && !m.closed && m.queue.Len() > 0 {
		m.handle(m.queue.Pop())
	}
	if m.closed {
		for m.queue.Len() > 0 {
			if c, ok := m.queue.Pop().(Call); ok {
				m.act(Reply{c.To, Answer{Err: ErrStopped, ID: c.ID}})
			}
		}
	}
	return m.actions
}

// Idle reports whether nothing is being carried out or queued. A backoff that is waited out doesn't count.
func (m *Machine) Idle() bool { return m.task == nil && m.queue.Len() == 0 }

func (m *Machine) handle(e Event) {
	switch e := e.(type) {
	case Boot:
		m.start(task{kind: booting}, m.all())
	case Exit:
		m.exited(e)
	case Due:
		if c := m.awaiting(e.ID, e.Token); c != nil {
			m.bringDown(c, true)
		}
	case Retry:
		if c := m.awaiting(e.ID, e.Token); c != nil {
			m.restart(c)
		}
	case ShutdownOrder:
		m.close(nil, Quit{Outcome: Outcome{Class: Shutdown}})
	case Call:
		m.call(e)
	}
}

// awaiting returns the child if it is still waiting for the backoff or retry with that token.
func (m *Machine) awaiting(id string, token uint64) *child {
	c := m.byID[id]
	if c == nil || c.state != Restarting || c.token != token {
		return nil
	}
	c.token, c.backingOff = 0, false
	return c
}

// exited handles a child's own exit. An exit of an incarnation that isn't the present one was consumed by a stop.
func (m *Machine) exited(e Exit) {
	c := m.byID[e.ID]
	if c == nil || c.state != Up || c.incarnation != e.Incarnation {
		return
	}
	c.state, c.incarnation = Undefined, 0
	abnormal := e.Outcome.Class.Abnormal()
	again := (c.Restart == Permanent || c.Restart == Transient && abnormal) && e.Directive != actor.StopDirective
	if again || abnormal {
		m.report(ChildTerminated, c, e.Outcome)
	}
	if e.Directive == actor.EscalateDirective {
		m.escalate(c, fmt.Errorf("%w: %s: %w", ErrEscalated, c.ID, reason(e.Outcome)))
		return
	}
	if again {
		m.restart(c)
		return
	}
	m.rest(c)
	m.autoShutdown(c, e.Cause)
}

// rest leaves a child undefined that is down and won't be restarted. A temporary one goes for good, and so does an instance.
func (m *Machine) rest(c *child) {
	m.lieDown(c)
	if c.Restart == Temporary || m.template != nil {
		m.remove(c)
	}
}

// lieDown leaves a child undefined, whatever it is.
func (m *Machine) lieDown(c *child) {
	m.settleDown(c)
	c.held = false
	m.act(Rested{c.ID})
}

func reason(o Outcome) error {
	if o.Err == nil {
		return errors.New("normal exit")
	}
	return o.Err
}

// restart is entered for every attempt: after an exit, and again after each failed start. Each attempt is one entry in the budget.
func (m *Machine) restart(c *child) {
	if !m.budget.Spend(m.now) {
		spent := fmt.Errorf("%w: more than %d in %s, last by %s", ErrBudgetSpent, m.budget.Max(), m.budget.Window(), c.ID)
		switch m.policy.WhenSpent {
		case strategies.SpentIgnore:
		case strategies.SpentStopChild:
			m.report(BudgetSpent, c, Outcome{Shutdown, spent})
			m.giveUp(c)
			return
		case strategies.SpentStopSupervisor:
			m.report(BudgetSpent, c, Outcome{Shutdown, spent})
			c.state = Undefined
			m.close(c, Quit{Outcome: Outcome{ShutdownWith, spent}, Final: true})
			return
		default:
			m.report(BudgetSpent, c, Outcome{Shutdown, spent})
			c.state = Undefined
			m.escalate(c, spent)
			return
		}
	}
	m.bringDown(c, false)
}

// giveUp leaves c down for good. Siblings that went down for its sake come up without it.
func (m *Machine) giveUp(c *child) {
	held := m.heldFor(c)
	m.rest(c)
	m.autoShutdown(c, 0)
	if m.closed || m.task != nil {
		return
	}
	m.release(c, held)
}

// heldFor lists the siblings that are down for the sake of c, and nothing else.
func (m *Machine) heldFor(c *child) []*child {
	return slices.DeleteFunc(m.group(c), func(g *child) bool { return g == c || !g.held })
}

// release starts those that were held for c, which won't come.
func (m *Machine) release(c *child, held []*child) {
	if len(held) > 0 {
		m.start(task{kind: groupStarting, child: c}, held)
	}
}

// toldToStop reports whether the supervisor is to end as soon as what it is doing is done.
func (m *Machine) toldToStop() bool {
	if m.queue.Len() == 0 {
		return false
	}
	_, told := m.queue.Front().(ShutdownOrder)
	return told
}

// bringDown stops what is up of c's group. Restarts that were pending in the group are superseded.
func (m *Machine) bringDown(c *child, waited bool) {
	group := m.group(c)
	c.state = Restarting
	if len(group) > 1 && !waited {
		m.act(GroupRestart{c.ID, len(group)})
	}
	for _, g := range group {
		if g != c && g.state == Restarting {
			m.settleDown(g)
			g.held = true
		}
	}
	if targets := reversed(group); len(targets) > 0 {
		m.stop(task{kind: groupStopping, child: c, waited: waited}, targets)
		return
	}
	m.down(c, waited)
}

// down goes on when c's group is down: temporaries are gone for good, then comes the backoff, unless it was waited out already. c itself may have been
// made temporary while it waited for an earlier attempt; then the others come up without it.
func (m *Machine) down(c *child, waited bool) {
	var group []*child
	for _, g := range m.group(c) {
		if g.Restart == Temporary && (g != c || !m.alone) {
			m.remove(g)
		} else {
			group = append(group, g)
		}
	}
	if !waited && m.byID[c.ID] == c {
		if delay := m.delay(c); delay > 0 {
			c.token, c.backingOff = m.next(), true
			m.act(Wait{c.ID, c.token, delay})
			return
		}
	}
	m.start(task{kind: groupStarting, child: c}, group)
}

func (m *Machine) delay(c *child) time.Duration {
	s := &m.streak
	if m.alone {
		s = &c.streak
	}
	delay := m.policy.Backoff.Delay(s.next(m.now.Sub(m.began), m.policy.Backoff.QuietTime()), m.random())
	if m.throttle != nil {
		delay = max(delay, m.throttle(m.now))
	}
	return delay
}

// finish takes the results of the sequence that was being carried out.
func (m *Machine) finish(results []Result) {
	t := *m.task
	m.task = nil
	switch t.kind {
	case booting:
		if f := m.started(results, (*Machine).rest); f != nil {
			m.report(StartError, f, Outcome{Crash, lastError(results)})
			f.state = Undefined
			m.close(f, Quit{Outcome: Outcome{Shutdown, lastError(results)}, Failed: f.ID})
			return
		}
		m.act(Ready{})
	case groupStopping:
		m.stopped(results)
		if m.toldToStop() {
			return
		}
		for _, r := range results {
			m.byID[r.ID].held = true
		}
		m.down(t.child, t.waited)
	case groupStarting:
		ignored := (*Machine).rest
		if m.alone && m.template == nil {
			ignored = (*Machine).lieDown
		}
		if f := m.started(results, ignored); f != nil {
			m.report(StartError, f, Outcome{Crash, lastError(results)})
			if t.child.state == Restarting {
				t.child.state = Undefined // it hasn't been tried: now it waits for f
			}
			f.state, f.token = Restarting, m.next()
			m.act(Again{f.ID, f.token})
		}
	case callStarting:
		a := Answer{ID: t.child.ID}
		if f := m.started(results, (*Machine).rest); f != nil {
			m.remove(f)
			a.Err = lastError(results)
		} else {
			a.Child = t.child.status()
		}
		m.act(Reply{t.to, a})
	case callRestarting:
		a := Answer{ID: t.child.ID}
		if f := m.started(results, (*Machine).lieDown); f != nil {
			a.Err = lastError(results)
		}
		a.Child = t.child.status()
		m.act(Reply{t.to, a})
	case callStopping:
		m.stopped(results)
		m.rest(t.child)
		m.act(Reply{t.to, Answer{ID: t.child.ID, Child: t.child.status()}})
	case closing:
		m.stopped(results)
		m.quit(t.quit)
	}
}

// started enters the results of a Start and returns the child that failed, if one did. One that asks to be ignored stays or goes, as the caller says:
// a child that was there before and is started alone stays, even a temporary one.
func (m *Machine) started(results []Result, ignored func(*Machine, *child)) (failed *child) {
	for _, r := range results {
		c := m.byID[r.ID]
		switch {
		case r.Err != nil:
			c.state = Undefined
			failed = c
		case r.Ignored:
			ignored(m, c)
		default:
			c.state, c.incarnation, c.token, c.held = Up, r.Incarnation, 0, false
			c.Data = nil // the owner knows it by now
		}
	}
	return failed
}

func lastError(results []Result) error { return results[len(results)-1].Err }

// stopped enters the results of a Stop.
func (m *Machine) stopped(results []Result) {
	for _, r := range results {
		c := m.byID[r.ID]
		c.state, c.incarnation = Undefined, 0
	}
}

// autoShutdown is asked after c ended by itself and wasn't restarted.
func (m *Machine) autoShutdown(c *child, cause uint64) {
	if !c.Significant || m.auto == Never {
		return
	}
	if m.auto == All {
		for _, s := range m.slots {
			if s != nil && s.Significant && s.state != Undefined {
				return
			}
		}
	}
	m.close(c, Quit{Outcome: Outcome{Shutdown, ErrAutoShutdown}, Cause: cause})
}

func (m *Machine) escalate(c *child, why error) {
	m.report(Escalated, c, Outcome{Shutdown, why})
	m.close(c, Quit{Outcome: Outcome{Shutdown, why}})
}

// close ends the supervisor: all children that are up are stopped in reverse start order, pending restarts are forgotten. The
// cause is the child that led to it, if one did.
func (m *Machine) close(cause *child, q Quit) {
	for _, c := range m.slots {
		if c != nil && c.state == Restarting {
			m.settleDown(c)
		}
	}
	if targets := reversed(m.slots); len(targets) > 0 {
		m.stop(task{kind: closing, child: cause, quit: q}, targets)
		m.together()
		return
	}
	m.quit(q)
}

func (m *Machine) quit(q Quit) {
	m.closed = true
	m.act(q)
}

// settleDown takes a pending backoff or retry back.
func (m *Machine) settleDown(c *child) {
	if c.token != 0 {
		m.act(Cancel{c.ID, c.token})
	}
	c.state, c.token, c.backingOff = Undefined, 0, false
}

func (m *Machine) start(t task, group []*child) {
	specs := make([]Spec, 0, len(group))
	for _, c := range group {
		if c != nil && c.state != Up {
			specs = append(specs, c.Spec)
		}
	}
	t.sequence = m.next()
	m.current = t
	m.task = &m.current
	m.act(Start{t.sequence, specs, t.cause()})
}

func (m *Machine) stop(t task, targets []Target) {
	t.sequence = m.next()
	m.current = t
	m.task = &m.current
	m.act(Stop{Sequence: t.sequence, Targets: targets, For: t.cause(), Cause: t.quit.Cause})
}

// together makes the Stop that was just ordered a stop of all at once, if the supervisor is dynamic.
func (m *Machine) together() {
	if m.template == nil {
		return
	}
	last := len(m.actions) - 1
	s := m.actions[last].(Stop)
	s.Together = true
	m.actions[last] = s
}

// reversed lists those of the children that are up, in reverse start order.
func reversed(children []*child) []Target {
	var ts []Target
	for i := len(children) - 1; i >= 0; i-- {
		if c := children[i]; c != nil && c.state == Up {
			if ts == nil {
				ts = make([]Target, 0, i+1)
			}
			ts = append(ts, TargetOf(c.Spec, c.incarnation))
		}
	}
	return ts
}

func (m *Machine) report(ctx Context, c *child, o Outcome) { m.act(Report{ctx, c.ID, o}) }

func (m *Machine) act(a Action) { m.actions = append(m.actions, a) }

func (m *Machine) next() uint64 {
	m.serial++
	return m.serial
}
