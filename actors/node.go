package actors

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/strategies"
)

// node is a name in the tree with everything that outlives the incarnations: the queue, the counts, the history of failures.
type node struct {
	tree    *Tree
	parent  *node // nil at the top
	specs   atomic.Pointer[nodeSpec]
	path    string
	pid     *actor.PID // the logical one: &address
	guard   *guard     // of a breaker node
	*family            // of a supervisor; nil for any other node

	terminating atomic.Pointer[incarnation] // its supervisor's, with a terminate call about it on the way that nobody waits for

	kind       Kind
	backingOff bool        // guarded by ref.mu
	named      atomic.Bool // its name in the actor system is its own
	isStatic   atomic.Bool // it is in its supervisor's spec
	place      uint64      // among its siblings, by which they are in start order; guarded by the parent's ref.mu
	address    actor.PID
	ref        ref

	// ---- guarded by ref.mu
	incarnations uint64
	lastExit     exitRecord
	record       *record // nil until there is something to remember
}

// family is what a supervisor has and other nodes have not.
type family struct {
	settling sync.Mutex // held by the incarnation that puts the children in order

	// ---- guarded by the node's ref.mu
	children map[string]*node
	static   []*node // those of them that are in its spec, in start order
	places   uint64  // that were given to children
}

// record is what happened to a node that didn't just start and stop. Most nodes have none, which is what it is apart for.
type record struct {
	restarts  int
	failures  int
	history   []Failure // the last failureHistory ones, in a ring
	oldest    int       // index into that
	downSince time.Time // of a failure that isn't recovered from yet
	recovery  time.Duration
	failedSeq uint64         // of the last event Failed about it
	orphans   []*incarnation // that still have to be stopped, though the node has the next one already
}

const failureHistory = 100

// books returns the node's record, to write in. The caller holds ref.mu.
func (n *node) books() *record {
	if n.record == nil {
		n.record = new(record)
	}
	return n.record
}

// failuresInOrder returns a copy of the history, oldest first.
func (r *record) failuresInOrder() []Failure {
	return slices.Concat(r.history[r.oldest:], r.history[:r.oldest])
}

// read returns a copy of the node's record. The caller holds ref.mu.
func (n *node) read() record {
	if n.record == nil {
		return record{}
	}
	return *n.record
}

// Failure is one entry of a node's history.
type Failure struct {
	Time        time.Time
	Incarnation uint64
	Class       Class
	Err         error
	Event       uint64 // Seq of the event that told of it: what came of it is told by Consequences
}

// exitRecord is how the incarnation before the present one ended.
type exitRecord struct {
	incarnation uint64
	err         error
	class       Class
	abandoned   bool
	ignored     bool   // it asked not to be run
	seq         uint64 // of the event Exited or StartFailed
}

func (e *exitRecord) outcome() outcome { return outcome{e.class, e.err} }

// spec is how the node's supervisor treats it from now on.
func (n *node) spec() *nodeSpec { return n.specs.Load() }

// respec puts another spec in force, for the incarnation that is there too.
func (n *node) respec(spec *nodeSpec) {
	n.specs.Store(spec)
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	n.ref.capacity, n.ref.overflow = spec.life.Queue, spec.life.Overflow
	n.ref.admit()
}

// forgetStart lets go of what only a start needs, once a child is up that will never be started again.
func (n *node) forgetStart() {
	spec := n.spec()
	if spec.life.Restart != Temporary || n.isStatic.Load() {
		return
	}
	bare := *spec
	if len(spec.rarely().args) > 0 {
		bare.rare = &rareSpec{circuits: spec.rare.circuits}
	}
	switch {
	case spec.actor != nil:
		a := *spec.actor
		a.Producer, a.Options = nil, nil
		bare.actor = &a
	case spec.agent != nil:
		a := *spec.agent
		a.New = nil
		bare.agent = &a
	}
	n.specs.CompareAndSwap(spec, &bare)
}

// belowMadeUp reports whether the node's path was made up, at least in part: nobody will ask for it again.
func (n *node) belowMadeUp() bool {
	for ; n != nil; n = n.parent {
		if n.spec().madeUp {
			return true
		}
	}
	return false
}

// dropSnapshots drops those of a subtree that was forgotten, unless there are such nodes again.
func (n *node) dropSnapshots() {
	for _, child := range n.offspring() {
		child.dropSnapshots()
	}
	if n.kind == KindAgent && n.tree.lookup(n.path) == nil {
		n.tree.hub.DropSnapshot(n.path)
	}
}

// errorf wraps err with the path of the node.
func (n *node) errorf(err error) error { return fmt.Errorf("%s: %w", n.path, err) }

// shutdown returns how long the node may take to stop: 0 for a brutal kill, negative for no limit.
func (n *node) shutdown() time.Duration { return n.spec().shutdown() }

// mayResume reports whether a failure is put to a decider before the incarnation ends.
func (n *node) mayResume() bool {
	return n.kind == KindActor && n.parent != nil && n.parent.spec().supervisor.Policy().Decider != nil
}

// policyFor is the tree's default policy for supervisors of one kind.
func (n *node) policyFor(k Kind) strategies.RestartPolicy { return n.tree.options.policies[k] }

// ended notes the end of an incarnation that was told of with event seq. The caller holds ref.mu.
func (n *node) ended(in *incarnation, seq uint64) {
	if in.number > n.lastExit.incarnation { // else an orphan that outlived its successor
		n.lastExit = exitRecord{in.number, in.outcome.err, in.outcome.class, in.abandoned, !in.wasUp && errors.Is(in.outcome.err, ErrIgnore), seq}
	}
	if in.wasUp && in.outcome.class.Abnormal() && !in.ordered {
		n.failed(in.number, in.outcome, seq)
	}
}

// failed enters a failure into the books. The caller holds ref.mu.
func (n *node) failed(incarnation uint64, o outcome, seq uint64) {
	now := time.Now()
	r := n.books()
	r.failures++
	if r.downSince.IsZero() {
		r.downSince = now
	}
	f := Failure{now, incarnation, o.class, o.err, seq}
	if len(r.history) < failureHistory {
		r.history = append(r.history, f)
	} else {
		r.history[r.oldest] = f
		r.oldest = (r.oldest + 1) % failureHistory
	}
}

// recovered notes that the node is up and returns how long it took since it failed; 0 if it hadn't. The caller holds ref.mu.
func (n *node) recovered() time.Duration {
	n.backingOff = false
	if n.incarnations > 1 {
		n.books().restarts++
	}
	r := n.record
	if r == nil || r.downSince.IsZero() {
		return 0
	}
	r.recovery = time.Since(r.downSince)
	r.downSince = time.Time{}
	return r.recovery
}

// startFailed publishes a failed start.
func (n *node) startFailed(in *incarnation, err error) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	seq := in.publish(Event{Kind: StartFailed, Cause: in.cause, Err: err})
	n.lastExit.seq = seq
	n.failed(in.number, outcome{Crash, err}, seq)
}

// shutdownError publishes that an incarnation didn't end as it was told to.
func (n *node) shutdownError(incarnation uint64, o outcome) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	cause := uint64(0)
	if n.lastExit.incarnation == incarnation {
		cause = n.lastExit.seq
	}
	n.books().failedSeq = n.publish(Event{Kind: Failed, Context: ContextShutdownError, Incarnation: incarnation, Cause: cause, Class: o.class, Err: o.err})
}

// running returns the incarnation with that number, or nil and how it ended.
func (n *node) running(number uint64) (*incarnation, outcome) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	if in := n.ref.current; in != nil && in.number == number {
		return in, outcome{}
	}
	for _, in := range n.read().orphans {
		if in.number == number {
			return in, outcome{}
		}
	}
	return nil, n.lastExit.outcome()
}

func (n *node) current() *incarnation {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	return n.ref.current
}

// adopt adds a child in the order of calls.
func (n *node) adopt(child *node) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	n.places++
	child.place = n.places
	n.children[child.spec().id] = child
}

// disown takes a child away. Its queue becomes dead letters.
func (n *node) disown(child *node) {
	n.ref.mu.Lock()
	if n.children[child.spec().id] == child {
		delete(n.children, child.spec().id)
	}
	n.ref.mu.Unlock()
	n.tree.forget(child)
}

// offspring returns the children in start order.
func (n *node) offspring() []*node {
	if n.family == nil {
		return nil
	}
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	return slices.SortedFunc(maps.Values(n.children), inStartOrder)
}

// install makes the children of the specs the static ones of a supervisor, in this order and before all others. Those that are there, or were under an
// earlier incarnation, keep their queues.
func (n *node) install(specs []*nodeSpec) {
	if n.isInstalled(specs) {
		return
	}
	former := make(map[string]*node, len(n.static))
	for _, child := range n.static {
		former[child.spec().id] = child
		child.isStatic.Store(false)
	}
	static := make([]*node, 0, len(specs))
	for _, spec := range specs {
		child := n.child(spec.id)
		if child == nil {
			child = former[spec.id]
		}
		if child == nil {
			child = n.tree.plant(spec, n)
		} else if child != former[spec.id] || child.spec().version < spec.version { // else it may have been reconfigured itself since then
			child.respec(spec)
		}
		if n.child(spec.id) == nil || child.ref.isClosed() { // it had gone
			n.readopt(child)
		}
		child.isStatic.Store(true)
		static = append(static, child)
	}
	n.reorder(static)
}

// isInstalled reports whether the children are just those of the specs, as they were planted.
func (n *node) isInstalled(specs []*nodeSpec) bool {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	if n.incarnations > 1 || len(n.static) != len(specs) || len(n.children) != len(specs) {
		return false
	}
	for i, child := range n.static {
		if is := child.spec(); is.id != specs[i].id || is.version < specs[i].version || !child.named.Load() { // it may have been forgotten before its first start
			return false
		}
	}
	return true
}

// child returns the child with that ID, or nil.
func (n *node) child(id string) *node {
	if n.family == nil {
		return nil
	}
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	return n.children[id]
}

// readopt takes a child in again that was forgotten.
func (n *node) readopt(child *node) {
	n.adopt(child)
	n.tree.index(child)
	child.ref.open()
}

// reorder makes the given children the static ones, and puts them before all others.
func (n *node) reorder(static []*node) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	n.static = static
	for _, child := range n.children {
		child.place += uint64(len(static)) + 1
	}
	for i, child := range static {
		child.place = uint64(i) + 1
	}
	for _, child := range n.children {
		n.places = max(n.places, child.place)
	}
}

// dropDynamic forgets the children that aren't in the supervisor's spec: they live as long as its incarnation.
func (n *node) dropDynamic() {
	n.ref.mu.Lock()
	var dynamic []*node
	for _, child := range n.children {
		if !child.isStatic.Load() {
			dynamic = append(dynamic, child)
		}
	}
	slices.SortFunc(dynamic, inStartOrder)
	n.ref.mu.Unlock()
	for _, child := range dynamic {
		n.disown(child)
	}
}

func inStartOrder(a, b *node) int { return cmp.Compare(a.place, b.place) }

// rest notes that nobody is about to start the node again, nor anything below it.
func (n *node) rest() {
	for _, child := range n.offspring() {
		child.rest()
	}
	n.ref.rest()
}

// backOff notes that a restart is waited for, or isn't any more.
func (n *node) backOff(waits bool) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	n.backingOff = waits
}

// publish publishes an event about the node, not about one of its incarnations.
func (n *node) publish(e Event) uint64 {
	e.Path, e.Node = n.path, n.kind
	return n.tree.publish(e)
}

// parentPID is nil at the top.
func (n *node) parentPID() *actor.PID {
	if n.parent == nil {
		return nil
	}
	return n.parent.pid
}

// kill fences the node's present incarnation, and deals with what hangs below it as OTP does when a process is killed.
func (n *node) kill(reason error) bool {
	in := n.current()
	if in == nil {
		return false
	}
	in.fence(outcome{Killed, reason}, false)
	return true
}
