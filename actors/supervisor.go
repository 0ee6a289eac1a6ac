package actors

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/internal/hold"
	"github.com/mistersmith/mistersmith/internal/supervise"
	"github.com/mistersmith/mistersmith/strategies"
)

// StartError says which node could not be started, and why. Of a supervisor that is the StartError of a child.
type StartError struct {
	Path string
	Err  error
}

func (e *StartError) Error() string { return fmt.Sprintf("start %s: %v", e.Path, e.Err) }
func (e *StartError) Unwrap() error { return e.Err }

// supervisor is the actor of one incarnation of a supervisor: it feeds the state machine, and carries out what that decides. All its
// fields belong to its goroutine.
type supervisor struct {
	in      *incarnation
	spec    *supervisorSpec
	ctx     context.Context // of Init
	cancel  context.CancelFunc
	machine *supervise.Machine
	timers  map[uint64]*time.Timer // of backoffs, by token
	broken  bool                   // the machine panicked

	waiting  atomic.Int64 // dynamic calls that were put to it, and aren't answered
	watch    *watch
	running  atomic.Pointer[sequence] // being carried out; nil when none is
	orphaned atomic.Bool              // fenced off because its own supervisor was killed
	closed   bool                     // it has quit
	why      uint64                   // the last event with which it told of a failure; that is why it ends, if it does
}

var (
	_ body            = (*supervisor)(nil)
	_ strategies.Host = (*supervisor)(nil)
)

func newSupervisor(in *incarnation) *supervisor {
	s := &supervisor{in: in, spec: in.node.spec().supervisor, timers: make(map[uint64]*time.Timer), watch: newWatch()}
	s.ctx, s.cancel = context.WithCancel(in.node.tree.context)
	return s
}

// Messages that a supervisor gets through its control queue.
type (
	exitNotice struct { // a child ended by itself
		who       *incarnation
		directive actor.Directive
	}
	sequenceDone struct{ event supervise.Done }
	backoffOver  struct{ event supervise.Due }
	tryAgain     struct{ event supervise.Retry }
)

// Receive implements actor.Actor.
func (s *supervisor) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *actor.Started:
		s.boot()
	case *exitNotice:
		s.exited(m.who.node, m.who.number, m.directive)
	case *sequenceDone:
		s.running.Store(nil)
		s.step(m.event)
	case *backoffOver:
		delete(s.timers, m.event.Token)
		s.step(m.event)
	case *tryAgain:
		s.step(m.event)
	case *dynamicCall:
		s.call(m)
	case *withdrawal:
		s.step(supervise.Withdraw{To: m.call})
	case hold.Order:
		close(m.Held)
		<-m.Release
	case actor.SystemMessage, actor.AutoReceiveMessage:
	default:
		ctx.ActorSystem().DeadLetter.SendUserMessage(s.in.node.pid, m)
	}
}

// HandleFailure implements actor.SupervisorStrategy: the strategy of the spec decides, and hands its decision back.
func (s *supervisor) HandleFailure(system *actor.ActorSystem, sup actor.Supervisor, child *actor.PID, rs *actor.RestartStatistics, reason, message any) {
	s.spec.Strategy.HandleFailure(system, sup, child, rs, reason, message)
}

// HandleDecision implements strategies.Host.
func (s *supervisor) HandleDecision(d strategies.Decision) {
	n, number := s.child(d.Child)
	if n == nil {
		return
	}
	if d.Fault != nil {
		s.in.publish(Event{Kind: Faulty, Err: d.Fault})
	}
	in, _ := n.running(number)
	switch {
	case in == nil:
		s.exited(n, number, d.Directive)
	case d.Directive == actor.ResumeDirective:
		in.resume()
	default:
		in.condemn(d.Directive)
	}
}

// child finds the node and the incarnation behind the PID "path/id@number".
func (s *supervisor) child(pid *actor.PID) (*node, uint64) {
	at := strings.LastIndexByte(pid.Id, '@')
	if at < 0 {
		return nil, 0
	}
	number, err := strconv.ParseUint(pid.Id[at+1:], 10, 64)
	if err != nil {
		return nil, 0
	}
	return s.node(pid.Id[strings.LastIndexByte(pid.Id[:at], '/')+1 : at]), number
}

func (s *supervisor) node(id string) *node { return s.in.node.child(id) }

func (s *supervisor) exited(n *node, number uint64, d actor.Directive) {
	n.ref.mu.Lock()
	last := n.lastExit
	n.ref.mu.Unlock()
	if last.incarnation == number {
		s.step(supervise.Exit{ID: n.spec().id, Incarnation: number, Outcome: last.outcome().machine(), Directive: d, Cause: last.seq})
	}
}

// boot begins the start. The static children are there again, whatever became of them under an earlier incarnation.
func (s *supervisor) boot() {
	if s.spec.Init != nil {
		if err := s.spec.Init(s.ctx); err != nil {
			s.closed = true
			s.in.exit(err)
			return
		}
	}
	s.in.publish(Event{Kind: Starting, Cause: s.in.causeNow()})
	if !s.settleIn() {
		return
	}
	config := s.spec.machine()
	config.Throttle = s.in.node.tree.throttle(s.in.node.kind)
	s.machine = supervise.New(config)
	s.step(supervise.Boot{})
}

// settleIn puts the node's children in order for this incarnation. It is false if that was fenced off meanwhile: they may be its successor's already,
// which waits here for its turn to put them in order again.
func (s *supervisor) settleIn() bool {
	return s.unlessFenced(func(n *node) {
		n.install(s.spec.children)
		n.dropDynamic() // what an earlier incarnation had besides
	})
}

// unlessFenced changes which children the node has, if they are still this incarnation's to rule. If it is fenced off in the middle of that, its successor
// puts them in order afterwards.
func (s *supervisor) unlessFenced(change func(*node)) bool {
	n := s.in.node
	n.settling.Lock()
	defer n.settling.Unlock()
	if s.in.isFenced() {
		return false
	}
	change(n)
	return true
}

func (s *supervisor) startsLater() bool { return true }

// told implements body: an Init that is running hears of it.
func (s *supervisor) told() { s.cancel() }

// drain implements body: the children are stopped before the supervisor is.
func (s *supervisor) drain(outcome) bool {
	s.cancel()
	if s.machine == nil || s.closed {
		return true
	}
	if s.broken {
		s.fenced()
		return true
	}
	s.step(supervise.ShutdownOrder{})
	return s.closed
}

// fenced implements body. The children of a supervisor that is killed are killed with it. A supervisor among them is fenced off too, but, as it would in
// OTP, takes its own children down in order; meanwhile the killed one may be started again already.
func (s *supervisor) fenced() {
	s.cancel()
	s.abort()
	targets := s.livingChildren()
	s.in.node.dropDynamic()
	if len(targets) == 0 {
		return
	}
	cause := s.in.causeNow() // its end
	if s.orphaned.Load() {
		q := newSequence(s.in, newWatch(), 0, cause) // beside the one that was aborted, perhaps
		if s.in.node.spec().supervisor.template != nil {
			q.stopTogether(targets)
		} else {
			q.stops = targets
			q.begin()
		}
		return
	}
	for _, t := range targets {
		if sub, ok := t.in.bodyNow().(*supervisor); ok {
			sub.orphaned.Store(true)
		}
		t.in.blame(cause)
		t.in.fence(outcome{Killed, fmt.Errorf("%w with its supervisor", ErrKilled)}, false)
	}
}

// livingChildren are the present incarnations of the children, in reverse start order.
func (s *supervisor) livingChildren() []target {
	var living []target
	for _, n := range slices.Backward(s.in.node.offspring()) {
		if in := n.current(); in != nil && in.owner == s.in {
			living = append(living, target{node: n, in: in, Target: supervise.TargetOf(n.spec().machine(), in.number)})
		}
	}
	return living
}

// step feeds the machine one event and carries out what it decides.
func (s *supervisor) step(e supervise.Event) {
	if s.machine == nil || s.closed {
		if d, ok := e.(supervise.Call); ok {
			s.answer(d.To, supervise.Answer{Err: supervise.ErrStopped, ID: d.ID})
		}
		return
	}
	s.broken = true
	actions := s.machine.Step(time.Now(), e)
	s.broken = false
	for _, a := range actions {
		s.carryOut(a)
	}
}

func (s *supervisor) carryOut(a supervise.Action) {
	if _, reply := a.(supervise.Reply); !reply && s.in.isFenced() {
		return // the next incarnation rules the children
	}
	switch a := a.(type) {
	case supervise.Stop:
		q := s.begin(a.Sequence, cmp.Or(a.Cause, s.cause(a.For)))
		if a.Together {
			q.stopTogether(s.targets(a.Targets))
		} else {
			q.stops = s.targets(a.Targets)
			s.in.errand = q
		}
	case supervise.Start:
		q := s.begin(a.Sequence, s.cause(a.For))
		q.starts = s.prepared(q.oneStart[:0], a.Children)
		s.in.errand = q
	case supervise.Abort:
		s.abort()
	case supervise.Wait:
		n := s.node(a.ID)
		n.backOff(true)
		n.publish(Event{Kind: BackingOff, Cause: s.cause(a.ID), Delay: a.Delay})
		s.timers[a.Token] = time.AfterFunc(a.Delay, func() {
			s.in.post(&backoffOver{supervise.Due{ID: a.ID, Token: a.Token}})
		})
	case supervise.Cancel:
		if n := s.node(a.ID); n != nil {
			n.backOff(false)
		}
		if timer := s.timers[a.Token]; timer != nil {
			timer.Stop()
			delete(s.timers, a.Token)
		}
	case supervise.Again:
		s.in.post(&tryAgain{supervise.Retry(a)})
	case supervise.Report:
		s.report(a)
	case supervise.GroupRestart:
		n := s.node(a.ID)
		n.publish(Event{Kind: GroupRestart, Cause: s.cause(a.ID), Group: a.Size, Strategy: s.spec.Strategy.String()})
	case supervise.Rested:
		if n := s.node(a.ID); n != nil {
			n.rest()
		}
	case supervise.Drop:
		s.unlessFenced(func(own *node) {
			if n := own.child(a.ID); n != nil {
				own.disown(n)
			}
		})
	case supervise.Reconfigured:
		s.unlessFenced(func(*node) { s.reconfigured(a.Data) })
	case supervise.Reply:
		s.annotate(&a.Answer.Child)
		for i := range a.Answer.Children {
			s.annotate(&a.Answer.Children[i])
		}
		s.answer(a.To, a.Answer)
	case supervise.Ready:
		s.in.ready()
	case supervise.Quit:
		s.quit(a)
	}
}

// annotate adds what only the node knows.
func (s *supervisor) annotate(c *supervise.Status) {
	if n := s.node(c.ID); n != nil {
		c.Data = n.spec()
	}
}

func (s *supervisor) begin(id, cause uint64) *sequence {
	q := newSequence(s.in, s.watch, id, cause)
	s.running.Store(q)
	return q
}

func (s *supervisor) abort() {
	if q := s.running.Load(); q != nil {
		q.abort()
	}
}

// cause is the event that told of the failure of a child.
func (s *supervisor) cause(id string) uint64 {
	if id == "" {
		return s.in.causeNow()
	}
	n := s.node(id)
	if n == nil {
		return 0
	}
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	return n.read().failedSeq
}

func (s *supervisor) report(r supervise.Report) {
	n := s.node(r.ID)
	if n == nil || n.kind == KindRoot {
		return // what becomes of the root is the tree's to tell
	}
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	e := Event{Path: n.path, Node: n.kind, Incarnation: n.lastExit.incarnation, Cause: n.lastExit.seq, Class: Class(r.Outcome.Class), Err: r.Outcome.Err}
	switch r.Context {
	case supervise.ChildTerminated:
		e.Kind, e.Context = Failed, ContextChildTerminated
	case supervise.StartError:
		e.Kind, e.Context = Failed, ContextStartError
	case supervise.BudgetSpent:
		e.Kind, e.Context, e.Cause = Failed, ContextBudgetSpent, n.read().failedSeq
	case supervise.Escalated:
		e.Kind, e.Cause = Escalated, n.read().failedSeq
		e.Path, e.Node, e.Incarnation = s.in.node.path, s.in.node.kind, s.in.number
	}
	seq := n.tree.publish(e)
	if e.Kind == Failed {
		n.books().failedSeq = seq
	}
	s.why = seq
}

// targets looks the machine's targets up.
func (s *supervisor) targets(targets []supervise.Target) []target {
	ts := make([]target, 0, len(targets))
	for _, t := range targets {
		n := s.node(t.ID)
		if n == nil { // this supervisor is an orphan, and its successor has dropped the child
			if in := s.in.node.tree.lingerer(s.in.node.path+"/"+t.ID, t.Incarnation); in != nil {
				ts = append(ts, target{in.node, in, outcome{}, t})
			}
			continue
		}
		in, last := n.running(t.Incarnation)
		ts = append(ts, target{n, in, last, t})
	}
	return ts
}

// prepared looks the nodes up that are to be started, makes those of new children, and appends them to nodes.
func (s *supervisor) prepared(nodes []*node, specs []supervise.Spec) []*node {
	nodes = slices.Grow(nodes, len(specs))
	for _, spec := range specs {
		n := s.node(spec.ID)
		if n == nil {
			n = s.in.node.tree.plant(spec.Data.(*nodeSpec), s.in.node)
		}
		nodes = append(nodes, n)
	}
	if s.in.isFenced() {
		s.in.node.dropDynamic() // what was planted after the fence
	}
	return nodes
}

// quit ends the supervisor after its machine.
func (s *supervisor) quit(q supervise.Quit) {
	s.closed = true
	s.watch.stop()
	for _, timer := range s.timers {
		timer.Stop()
	}
	clear(s.timers)
	s.unlessFenced((*node).dropDynamic)
	o := outcome{Class(q.Outcome.Class), q.Outcome.Err}
	switch {
	case q.Failed != "":
		o.class = Crash
	case o.err == nil:
		o.err = ErrShutdown
	default:
		o.err = fmt.Errorf("%w: %w", ErrShutdown, o.err)
	}
	s.in.quit(o, q.Final, cmp.Or(q.Cause, s.why))
}
