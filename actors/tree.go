package actors

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"golang.org/x/time/rate"

	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// Tree is a running supervision tree. All its methods may be called from any goroutine, but those that wait must not be called by
// an actor in its Receive: the tree may need just that actor to go on.
type Tree struct {
	options    options
	system     *actor.ActorSystem
	dispatcher *dispatcher
	spawner    *spawner
	hub        *routing.Hub
	context    context.Context // ends when the tree has
	cancel     context.CancelFunc
	bus        bus
	telemetry  *telemetry // nil if nobody asked for it
	leftovers  leftovers
	watchman   *watchman
	deadlines  deadlines
	desk       desk
	circuits   circuits
	restarts   *rate.Limiter // of the whole tree; nil for no limit

	top  *node // the hidden supervisor of the root and the tree's own nodes
	root *node

	instances  atomic.Uint64 // for made-up IDs
	versions   atomic.Uint64 // of specs
	deadLetter atomic.Int64  // when the last one was, in Unix nanoseconds, on a system of the tree's own
	sequences  inFlight      // that are being carried out
	resizes    resizes
	killed     chan struct{} // closed when nothing is waited for any more
	killOnce   sync.Once

	nodesMu sync.RWMutex
	nodes   map[string]*node // by path

	lingeringMu sync.Mutex
	forgot      atomic.Bool               // some node was forgotten: its name may be used again
	lingering   map[string][]*incarnation // by path: still on their way down, though their node is forgotten

	endMu  sync.Mutex
	asked  bool  // to stop
	reason error // why it ends, if not because it was asked to
	err    error // how it ended; set before done is closed
	done   chan struct{}
	logged chan struct{} // closed when the last event is logged; nil without a logger
}

// deadLetterPause is how long protoactor doesn't log dead letters after it has logged some; on a system of the tree's own it logs none.
const deadLetterPause = time.Millisecond

// ErrNameTaken says that the actor system has an actor with the path of a node already.
var ErrNameTaken = errors.New("name is taken in the actor system")

// ErrStopped says that the tree, or the supervisor that was asked, has stopped or is stopping.
var ErrStopped = errors.New("stopped")

// Start starts a tree, and returns when every node of it is up. Children are started in order. If one can't be started, those that are up
// are stopped in reverse and Start returns a [*StartError]; an invalid spec starts nothing and returns a [*SpecError]. ctx bounds the
// start only: when it ends first, what was started is stopped again.
func Start(ctx context.Context, root Supervisor, opts ...Option) (*Tree, error) {
	t, err := newTree(root, opts)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		t.end(nil)
		t.settle(context.Background())
		return nil, fmt.Errorf("start %s: %w", t.root.path, context.Cause(ctx))
	}
	if err := t.boot(ctx); err != nil {
		t.settle(context.Background())
		return nil, err
	}
	return t, nil
}

func newTree(root Supervisor, opts []Option) (*Tree, error) {
	o := newOptions(opts)
	spec, err := o.compile(root)
	if err != nil {
		o.endSubscriptions()
		return nil, err
	}

	t := &Tree{options: o, dispatcher: &dispatcher{}, nodes: make(map[string]*node, spec.size()), done: make(chan struct{}), killed: make(chan struct{}), desk: desk{keep: idleSlots},
		watchman: newWatchman(o.look)}
	if !o.storm.isNone() {
		t.restarts = o.storm.limiter()
	}
	t.context, t.cancel = context.WithCancel(context.Background())
	if t.telemetry, err = newTelemetry(&o, spec.id); err != nil {
		o.endSubscriptions()
		return nil, err
	}
	if err := t.openHub(spec); err != nil {
		o.endSubscriptions()
		return nil, err
	}
	t.system = o.system
	if t.system == nil {
		logger := o.logger
		if logger == nil {
			logger = slog.New(slog.DiscardHandler)
		}
		t.system = actor.NewActorSystem(actor.WithDeadLetterRequestLogging(false), actor.WithDeadLetterThrottleInterval(deadLetterPause),
			actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(warnings{logger.Handler()}) }))
	}
	if o.system == nil {
		t.system.EventStream.Subscribe(func(event any) {
			if _, ok := event.(*actor.DeadLetterEvent); ok {
				t.deadLetter.Store(time.Now().UnixNano())
			}
		})
	}
	t.spawner = newSpawner(t.system, t.dispatcher)
	for _, s := range o.subscriptions {
		t.bus.subscribe(s)
	}
	if err := errors.Join(t.telemetry.begin(t), t.plantAll(spec)); err != nil {
		t.end(err)
		return nil, err
	}
	if o.logger != nil {
		t.log(o.logger)
	}
	return t, nil
}

// openHub makes the hub that lives as long as the tree; its actor may come and go.
func (t *Tree) openHub(root *nodeSpec) error {
	o := t.options.hub
	if t.options.store != nil {
		o.Store = t.options.store
	}
	users, listening := o.OnEvent, o.Listening
	usersListen := func() bool { return users != nil && (listening == nil || listening()) }
	causes := taskCauses{tree: t}
	o.Carry = t.telemetry.carry(o.Carry)
	o.OnEvent = func(e routing.Event) {
		e = t.telemetry.task(e)
		causes.publish(e)
		if usersListen() {
			users(e)
		}
	}
	o.Listening = func() bool { return t.telemetry != nil || t.bus.wants(TaskChanged) || usersListen() }
	hub, err := routing.NewHub(o)
	var store *routing.StoreError
	switch {
	case errors.As(err, &store):
		return fmt.Errorf("start %s: %w", root.path, store)
	case err != nil:
		return &SpecError{[]Fault{{"WithHub", err.Error(), err}}}
	}
	t.hub = hub
	return hub.Declare(root.taskTypes()...)
}

// size counts the nodes that a spec makes.
func (s *nodeSpec) size() int {
	n := 1
	if s.supervisor != nil {
		for _, c := range s.supervisor.children {
			n += c.size()
		}
	}
	return n
}

// taskTypes lists the types that agents in the spec handle.
func (s *nodeSpec) taskTypes() []string {
	if s.agent != nil {
		return s.agent.Types
	}
	var types []string
	if s.supervisor != nil {
		for _, c := range s.supervisor.children {
			types = append(types, c.taskTypes()...)
		}
		if t := s.supervisor.template; t != nil {
			types = append(types, t.taskTypes()...)
		}
	}
	return types
}

// plantAll makes the nodes. Above the root is a supervisor that nobody sees: it keeps the tree's own nodes running and ends with the root.
func (t *Tree) plantAll(root *nodeSpec) error {
	hub := &nodeSpec{id: "$hub", path: root.path + "/$hub", kind: KindHub, life: Lifecycle{Queue: DefaultQueue, Shutdown: DefaultShutdown, StartTimeout: DefaultStartTimeout}}
	root.life.Restart, root.life.Significant = Temporary, true
	spec := Supervisor{
		ID:           "$tree",
		AutoShutdown: AutoShutdownAny,
		Strategy: strategies.OneForOne(strategies.AlwaysRestart().
			WithBackoff(strategies.Exponential(time.Millisecond, time.Second))),
	}
	top := &nodeSpec{id: spec.ID, path: root.path + "/$tree", kind: kindSystem, life: Lifecycle{Queue: DefaultQueue, Shutdown: NoLimit, StartTimeout: NoLimit},
		supervisor: &supervisorSpec{Supervisor: spec, children: []*nodeSpec{hub, root}}}
	t.top = t.plant(top, nil)
	t.root = t.top.static[1]
	for _, n := range t.all() {
		if !n.named.Load() {
			return n.errorf(ErrNameTaken)
		}
	}
	return nil
}

// plant makes a node and those below it, registers their names and puts them under their parent.
func (t *Tree) plant(spec *nodeSpec, parent *node) *node {
	n := &node{tree: t, parent: parent, path: spec.path, kind: spec.kind}
	n.pid = &n.address
	n.address.Address, n.address.Id = t.system.ProcessRegistry.Address, n.path
	n.specs.Store(spec)
	n.incarnations = t.lingers(n.path)
	n.ref.node, n.ref.capacity, n.ref.overflow = n, spec.life.Queue, spec.life.Overflow
	if n.kind == KindBreaker {
		n.guard = t.newGuard(n, spec)
	}
	if spec.supervisor != nil {
		n.family = &family{children: make(map[string]*node, len(spec.supervisor.children)), static: make([]*node, 0, len(spec.supervisor.children))}
	}
	t.index(n)
	t.register(n)
	if parent != nil {
		parent.adopt(n)
	}
	if spec.supervisor != nil {
		for _, child := range spec.supervisor.children {
			c := t.plant(child, n)
			c.isStatic.Store(true)
			n.static = append(n.static, c)
		}
	}
	return n
}

func (t *Tree) index(n *node) {
	t.nodesMu.Lock()
	t.nodes[n.path] = n
	t.nodesMu.Unlock()
	if n.guard != nil {
		t.tellHub(n.path)
	}
}

func (t *Tree) register(n *node) {
	n.named.Store(t.system.ProcessRegistry.LocalPIDs.GetBucket(n.path).SetIfAbsent(n.path, &n.ref)) // Add would make another PID of the name
}

// forget takes a node, and all below it, out of the tree.
func (t *Tree) forget(n *node) {
	for _, child := range n.offspring() {
		t.forget(child)
	}
	t.telemetry.forget(n)
	if n.kind == KindAgent && n.belowMadeUp() {
		t.hub.DropSnapshot(n.path)
	}
	t.nodesMu.Lock()
	if t.nodes[n.path] == n {
		delete(t.nodes, n.path)
	}
	t.nodesMu.Unlock()
	t.forgot.Store(true)
	t.linger(n)
	n.ref.close()
	if n.guard != nil {
		t.tellHub(n.path)
		if !n.isStatic.Load() {
			n.guard.Breaker().Close()
		}
	}
}

func (t *Tree) all() []*node {
	t.nodesMu.RLock()
	defer t.nodesMu.RUnlock()
	all := make([]*node, 0, len(t.nodes))
	for _, n := range t.nodes {
		all = append(all, n)
	}
	return all
}

func (t *Tree) lookup(path string) *node {
	t.nodesMu.RLock()
	defer t.nodesMu.RUnlock()
	return t.nodes[path]
}

// boot starts the top and waits for it.
func (t *Tree) boot(ctx context.Context) error {
	in := newIncarnation(t.top, nil, 0)
	t.dispatcher.Schedule(func() { in.launch().schedule() })
	if !waitFor(in.settled(), -1, ctx.Done()) {
		t.shutdown(context.Cause(ctx))
		if !waitFor(t.done, DefaultShutdown, nil) {
			t.killAll()
			<-t.done
		}
		return fmt.Errorf("start %s: %w", t.root.path, context.Cause(ctx))
	}
	if wasUp, o, _ := in.result(); !wasUp {
		<-t.done
		if o.err == nil {
			return t.root.errorf(ErrExitedInStart)
		}
		return o.err
	}
	if _, o := t.root.running(0); o.err != nil && errors.Is(o.err, ErrIgnore) {
		t.shutdown(nil)
		<-t.done
		return &StartError{t.root.path, ErrIgnore}
	}
	return nil
}

// Stop stops the tree: tasks that are not settled are cancelled, or with a store, left to it; then all children are stopped in reverse start order, each within its
// shutdown time. When ctx ends first, what is left is killed, and Stop says so. If code that doesn't return was left behind, Stop returns an
// [*AbandonedError]; if the store has failed, a [*routing.StoreError]. It may be called more than once, and waits each time until the tree has ended.
func (t *Tree) Stop(ctx context.Context) error {
	t.shutdown(nil)
	var err error
	if !waitFor(t.done, -1, ctx.Done()) {
		err = fmt.Errorf("stop %s: killed, because: %w", t.root.path, context.Cause(ctx))
		t.killAll()
		<-t.done
	}
	t.settle(ctx)
	err = errors.Join(err, t.hub.Flush())
	if left := t.Abandoned(); len(left) > 0 {
		err = errors.Join(err, &AbandonedError{left})
	}
	return err
}

// settle waits, after the tree has ended, until what it ran beside its nodes has too.
func (t *Tree) settle(ctx context.Context) {
	if t.logged != nil {
		waitFor(t.logged, DefaultShutdown, ctx.Done()) // a handler that blocks is left to itself
	}
	t.telemetry.settle(ctx)
	// protoactor's throttle has a goroutine that lives as long as its pause after a dead letter
	time.Sleep(2*deadLetterPause - time.Since(time.Unix(0, t.deadLetter.Load())))
}

// shutdown begins to stop the tree.
func (t *Tree) shutdown(reason error) {
	t.endMu.Lock()
	if !t.asked {
		t.asked, t.reason = true, reason
	}
	t.endMu.Unlock()
	t.hub.Close(ErrShutdown)
	if in := t.top.current(); in != nil {
		in.stop(0).schedule()
	}
}

// killAll ends everything at once.
func (t *Tree) killAll() {
	t.killOnce.Do(func() { close(t.killed) })
	t.top.kill(ErrKilled)
	for _, n := range t.all() {
		n.kill(ErrKilled)
	}
}

// topEnded is called when the last incarnation of the tree has ended.
func (t *Tree) topEnded(outcome) {
	t.endMu.Lock()
	err := t.reason
	asked := t.asked
	t.endMu.Unlock()
	if !asked {
		t.root.ref.mu.Lock()
		o := t.root.lastExit.outcome()
		t.root.ref.mu.Unlock()
		if o.err != nil {
			err = t.root.errorf(o.err)
		}
	}
	t.dispatcher.Schedule(func() {
		// What a killed supervisor left is still being stopped, in order.
		if !waitFor(t.sequences.none(), -1, t.killed) {
			waitFor(t.sequences.none(), abandonGrace, nil)
		}
		t.cleanUp()
		t.end(err)
	})
}

// end lets go of everything.
func (t *Tree) end(err error) {
	t.hub.Close(ErrShutdown)
	t.circuits.end()
	t.cancel()
	for _, n := range t.all() {
		n.ref.close()
		if n.guard != nil {
			n.guard.Breaker().Close()
		}
	}
	t.stopWatching()
	t.watchman.close()
	t.telemetry.end()
	t.bus.close()
	t.dispatcher.close()
	if t.system != nil {
		t.desk.close(t.system)
	}
	if t.options.system == nil && t.system != nil {
		t.system.Shutdown()
	}
	t.err = err
	close(t.done)
}

// Done is closed when the tree has ended: after Stop, or because the root gave up.
func (t *Tree) Done() <-chan struct{} { return t.done }

// Err says how the tree ended: nil before it has and after Stop, else why the root ended by itself.
func (t *Tree) Err() error {
	select {
	case <-t.done:
		return t.err
	default:
		return nil
	}
}

// Hub returns the hub of the tree: what tasks are submitted to. It implements routing.Submitter.
func (t *Tree) Hub() *routing.Hub { return t.hub }

// ActorSystem returns the protoactor system that the tree runs on.
func (t *Tree) ActorSystem() *actor.ActorSystem { return t.system }

// PID returns the logical PID of a node, "root/research/summarizer-3", or nil if there is none. It stays valid for the life of the node,
// through all restarts.
func (t *Tree) PID(path string) *actor.PID {
	if n := t.lookup(path); n != nil {
		return n.pid
	}
	return nil
}

// Subscribe returns a subscription to the tree's events from now on. See [NewSubscription], and [WithSubscription] for one that misses
// nothing of the start.
func (t *Tree) Subscribe(room int, kinds ...EventKind) *Subscription {
	s := NewSubscription(room, kinds...)
	t.bus.subscribe(s)
	return s
}

func (t *Tree) publish(e Event) uint64 {
	if e.Node == kindSystem {
		return 0
	}
	return t.bus.publish(e)
}

// tell sends a system message to any PID.
func (t *Tree) tell(pid *actor.PID, message any) {
	if p, ok := t.system.ProcessRegistry.Get(pid); ok {
		p.SendSystemMessage(pid, message)
	}
}
