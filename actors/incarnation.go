package actors

import (
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/detector"
	"github.com/mistersmith/mistersmith/internal/ring"
)

// phase of an incarnation.
//
//	starting ──▶ up ──▶ stopping ──▶ ended
//	    └─ it fails ───────▲
//
// A fence leads from anywhere to ended, at once.
type phase uint8

const (
	starting phase = iota
	up
	stopping
	ended
)

// body is the actor that an incarnation runs: user code in a shell, a supervisor, or an agent.
type body interface {
	actor.Actor
	// startsLater reports whether handling Started only begins the start; ready is called when it is complete.
	startsLater() bool
	// told is called when the incarnation has been ordered to stop, before drain and on any goroutine. It must not block.
	told()
	// drain begins to end what must be ended before the actor itself stops, and reports whether there is nothing of the
	// kind; otherwise drained is called when it is done.
	drain(why outcome) bool
	// fenced is called once when the incarnation has been fenced off. It may be called on any goroutine, and must not block.
	fenced()
}

// incarnation is one life of a node: a fresh protoactor actor, its mailbox and the record of how it is doing. It is a
// protoactor actor.Mailbox that takes user messages from its node's queue and has a queue of its own for everything that
// controls the actor. Panics are recovered here, once, whatever code of the actor they come from.
//
// All fields below the line are guarded by the lock of the node's ref. The record is the truth; messages about it are only
// wake-ups, since protoactor lets system messages overtake others.
type incarnation struct {
	node   *node
	number uint64
	owner  *incarnation // the supervisor's that started it; nil at the top

	batch *ring.Batch[any] // of messages it has taken out of the queue; nil until there was one. See ref

	deadline  int32       // place in the tree's deadlines, from 1 on; theirs
	fencedOff atomic.Bool // written with the lock held

	// ---- the run's own
	errand    *sequence      // a supervisor's, to be carried out when there is nothing else to do
	overtaken uint8          // control messages that the errand has let go before
	halted    bool           // protoactor was told to stop
	forced    bool           // a stop that a hook cut short was pushed on
	gotLast   bool           // protoactor's last message, Stopped: it has taken the process out of its registry
	life      detector.Stamp // of user code's messages

	// ---- guarded by node.ref.mu
	phase     phase
	scheduled bool // somebody runs it, or is about to
	lent      bool // that is the sequence that starts it
	fresh     bool // it has taken no message yet
	suspended bool // waits for the decider's word on its failure, and runs nothing until then
	outOfTime bool // fenced off because it didn't end in time
	abandoned bool // and was running something at that moment
	wasUp     bool
	ordered   bool // to stop, by its supervisor
	limited   bool // has had a deadline, for an end that nobody ordered
	todo      todo
	decided   verdict
	body      body                 // set before it is spawned
	invoker   actor.MessageInvoker // set when it is; the run reads both without the lock
	cause     uint64               // event that led to its start, then to its stop, at last that of its end; 0 while it is up
	control   ring.Ring[any]
	outcome   outcome
	message   any  // that it handles, unless that is still in its batch
	guilty    bool // that is what it ends or is suspended for
	upped     chan struct{}
	gone      chan struct{}
	late      *lateFailure  // of code that ran on after it was fenced off
	spawned   *[]*actor.PID // by the actor through protoactor; nil if it has spawned none
}

// lateFailure is a panic of a zombie, and the message it was handling.
type lateFailure struct {
	err     error
	message any
}

// verdict is the directive that an end is reported with; the zero value is none.
type verdict int8

func verdictOf(d actor.Directive) verdict    { return verdict(d) + 1 }
func (v verdict) directive() actor.Directive { return actor.Directive(v - 1) }

// todo are steps of the mailbox. All but the first two are noted in the record, and come before any message.
type todo uint8

const (
	toRest    todo = 0         // there is nothing to do
	toHandle  todo = 1 << iota // a control message
	toReceive                  // a user message
	toStop                     // begin to stop
	toFinish                   // drained: stop the actor
	toForce                    // a hook failed while stopping: end without it
	toClean                    // fenced off: let go of what it holds
	toStart                    // tell the actor to start
)

var _ actor.Mailbox = (*incarnation)(nil)

// newIncarnation makes the next incarnation of a node, to which its queue belongs from now on. It is nil if its owner has ended: whoever
// ends an owner finds all that it has begun.
func newIncarnation(n *node, owner *incarnation, cause uint64) *incarnation {
	in := n.blank()
	in.node, in.owner, in.cause = n, owner, cause
	in.scheduled, in.lent, in.fresh = true, true, true
	r := &n.ref
	r.mu.Lock()
	defer r.mu.Unlock()
	if owner != nil && owner.hasEnded() {
		return nil
	}
	// A zombie may still hold the name: of an earlier node with the same path, the numbers of this one begin at 1 again.
	for taken := true; taken; {
		n.incarnations++
		in.number = n.incarnations
		taken = n.tree.forgot.Load() && in.registered()
	}
	r.recall()
	if old := r.current; old != nil { // of a supervisor that was killed further up, whose successor this one's owner is below
		n.books().orphans = append(n.books().orphans, old)
	}
	r.current = in
	r.resting = false
	n.backingOff = false
	return in
}

// blank returns an incarnation that isn't one yet. That of a plain actor comes with its shell.
func (n *node) blank() *incarnation {
	if n.kind != KindActor {
		return new(incarnation)
	}
	both := new(struct {
		incarnation
		shell
	})
	in := &both.incarnation
	both.shell.ctx.in = in
	in.body = &both.shell
	return in
}

// pid is name@number, or nil before it is spawned.
func (in *incarnation) pid() *actor.PID {
	if in.invoker == nil {
		return nil
	}
	return in.invoker.(actor.Context).Self()
}

// name is what protoactor knows the incarnation by.
func (in *incarnation) name() string {
	if pid := in.pid(); pid != nil {
		return pid.Id
	}
	var room [128]byte
	return string(strconv.AppendUint(append(append(room[:0], in.node.path...), '@'), in.number, 10))
}

// ---- actor.Mailbox

// RegisterHandlers is called when the actor is there, and has to be told to start. If it was fenced off before, it is let go of again.
func (in *incarnation) RegisterHandlers(invoker actor.MessageInvoker, _ actor.Dispatcher) {
	r := &in.node.ref
	r.mu.Lock()
	in.invoker = invoker
	if in.isFenced() {
		in.todo |= toClean
	} else {
		in.todo |= toStart
	}
	claimed := in.claimForTodo()
	r.mu.Unlock()
	claimed.schedule()
}

// embody sets the body, unless the incarnation has been fenced off meanwhile.
func (in *incarnation) embody(b body) bool {
	if in.body == b { // from the beginning
		return !in.isFenced()
	}
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	if in.fencedOff.Load() {
		return false
	}
	in.body = b
	return true
}

func (in *incarnation) Start() {}

// UserMessageCount returns the length of the node's queue.
func (in *incarnation) UserMessageCount() int {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.node.ref.waiting()
}

// PostSystemMessage queues what protoactor sends to the actor's own PID. That it has started is known already.
func (in *incarnation) PostSystemMessage(message any) {
	if _, ok := message.(*actor.Started); !ok {
		in.post(message)
	}
}

// own is a message that was sent to the incarnation's own PID, not to its node's name. It dies with the incarnation.
type own struct {
	in      *incarnation
	message any
}

// PostUserMessage queues what was sent to the incarnation's own PID, such as protoactor's ReceiveTimeout.
func (in *incarnation) PostUserMessage(message any) {
	in.node.ref.SendUserMessage(in.pid(), own{in, message})
}

// post queues a control message. It reports whether the incarnation may still handle it.
func (in *incarnation) post(message any) bool {
	claimed, ok := in.queue(message)
	claimed.schedule()
	return ok
}

// postClaimed queues a control message and returns the incarnation if the caller has to run it.
func (in *incarnation) postClaimed(message any) *incarnation {
	claimed, _ := in.queue(message)
	return claimed
}

func (in *incarnation) queue(message any) (claimed *incarnation, ok bool) {
	r := &in.node.ref
	r.mu.Lock()
	defer r.mu.Unlock()
	if in.phase == ended && !in.fencedOff.Load() {
		return nil, false
	}
	if _, ok := message.(*actor.Terminated); in.fencedOff.Load() && !ok {
		return nil, false
	}
	in.control.Push(message)
	in.recall()
	return in.claim(), true
}

// claim marks the incarnation as scheduled, and returns it if it wasn't. The caller holds the lock.
func (in *incarnation) claim() *incarnation {
	if in.scheduled {
		return nil
	}
	in.scheduled = true
	return in
}

// recall makes the run come to the lock before it goes on: there is something to do before the next message. The caller holds the lock.
func (in *incarnation) recall() {
	if in.node.ref.current == in {
		in.node.ref.recall()
	}
}

// schedule runs a claimed incarnation. A nil one needs no run.
func (in *incarnation) schedule() {
	if in != nil {
		in.node.tree.dispatcher.schedule(in)
	}
}

// ---- the run

// run handles what there is, on a goroutine that has nothing else to do. Then the same goroutine does what comes of that, rather than hand it to another:
// if an incarnation has ended, that is for its supervisor to hear; if that leaves the supervisor with a sequence to carry out, it does that next, and then
// handles the report; and last it runs the child that the sequence has started.
func (in *incarnation) run() {
	var child *incarnation
	defer func() { child.schedule() }() // only if runtime.Goexit takes the goroutine
	for in != nil {
		idle, next := in.handleAll()
		switch {
		case !idle:
		case next.errand != nil:
			child.schedule() // it has waited for its supervisor, and doesn't wait for another sequence
			child = nil
			in, child = next.errand.run()
			if in == nil {
				in, child = child, nil
			} else if child != nil && in.isBusy() {
				child.schedule()
				child = nil
			}
		case next.owner != nil:
			in = next.owner
		default:
			in, child = child, nil
		}
	}
}

// runLent handles what there is on a goroutine that is only lent. It returns the incarnation if that is up and has to be run on.
func (in *incarnation) runLent() (rest *incarnation) {
	for in != nil {
		idle, next := in.handleAll()
		switch {
		case !idle:
		case next.errand != nil:
			var child *incarnation
			in, child = next.errand.run()
			child.schedule()
		default:
			next.owner.schedule()
			return next.rest
		}
	}
	return nil
}

// next is what a run comes to when there is nothing left to handle. At most one of them is set.
type next struct {
	errand *sequence    // to be carried out
	owner  *incarnation // claimed: it has something to handle
	rest   *incarnation // claimed: the incarnation itself is up, and there is more to do than the start that the goroutine was lent for
}

// isBusy reports whether an incarnation has more to handle than one message.
func (in *incarnation) isBusy() bool {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.control.Len() > 1
}

// handleAll handles messages until there are none. It isn't idle if a panic cut it short.
func (in *incarnation) handleAll() (idle bool, then next) {
	var message any
	complete := false
	defer func() {
		if complete {
			return
		}
		if value := recover(); value != nil {
			in.failed(newPanicError(value), message)
			return
		}
		// runtime.Goexit: this goroutine is lost, the actor isn't.
		in.failed(ErrGoexit, message)
		in.schedule()
	}()
	for n := 1; ; n++ {
		step, m := in.next()
		switch message = m; step {
		case toRest:
			complete = true
			switch m := m.(type) {
			case *sequence:
				then.errand = m
			case *incarnation:
				then.rest = m
			}
			return true, then
		case toReceive:
			in.receive(m)
		case toHandle:
			in.handle(m)
		case toStop:
			if in.body == nil || in.body.drain(in.reason()) {
				in.halt()
			}
		case toFinish:
			in.halt()
		case toForce:
			if in.forced {
				in.tearOut()
			} else {
				in.forced = true
				in.force()
			}
		case toClean:
			in.clean()
		case toStart:
			in.invoker.InvokeSystemMessage(startedMessage)
			if !in.body.startsLater() {
				in.ready()
			}
		}
		if in.halted {
			if owner := in.checkEnded(); owner != nil {
				then.owner = owner
			}
		}
		if n%throughput == 0 {
			runtime.Gosched()
		}
	}
}

// mostOvertaking is how many control messages a sequence lets go before it, to have its supervisor's goroutine after them, before it goes on one of its own.
const mostOvertaking = 64

// next takes the next step, or else the next message; with neither the mailbox is idle, and what it returns is the errand. It returns the incarnation
// itself if its start is over, but not what it has to do: the next child is waiting for the goroutine.
func (in *incarnation) next() (todo, any) {
	if in.batch != nil {
		if m, ok := in.batch.Claim(); ok {
			return toReceive, m
		}
	}
	r := &in.node.ref
	r.mu.Lock()
	if in.batch != nil {
		in.batch.Forget()
	}
	busy := in.todo != 0 || in.control.Len() > 0 && !in.suspended
	if !busy && in.phase == up && !in.suspended && r.current == in && r.queue.Len() > 0 {
		if !in.lent {
			m := r.take()
			in.handles(m)
			r.mu.Unlock()
			return toReceive, m
		}
		busy = true
	}
	defer r.mu.Unlock()
	in.handles(nil)
	if !busy {
		errand := in.errand
		in.errand, in.overtaken, in.scheduled, in.lent = nil, 0, false, false
		if errand == nil {
			return toRest, nil
		}
		return toRest, errand
	}
	if in.lent && in.phase == up {
		in.lent = false
		return toRest, in
	}
	if in.errand != nil {
		if in.overtaken++; in.todo != 0 || in.overtaken > mostOvertaking {
			in.errand.begin() // elsewhere
			in.errand, in.overtaken = nil, 0
		}
	}
	for _, step := range [...]todo{toClean, toForce, toStop, toFinish, toStart} {
		if in.todo&step != 0 {
			in.todo &^= step
			if step == toStop {
				in.phase = stopping
			}
			return step, nil
		}
	}
	m := in.control.Pop()
	in.handles(m)
	return toHandle, m
}

// handles notes what the incarnation is at. The caller holds the lock.
func (in *incarnation) handles(message any) {
	if !in.guilty {
		in.message = message
	}
}

// convict says that the incarnation ends, or is suspended, for a message. The caller holds the lock.
func (in *incarnation) convict(message any) {
	in.message, in.guilty = unwrap(message), true
}

// at is what the incarnation handles at the moment, or nil. The caller holds the lock.
func (in *incarnation) at() any {
	in.recall()
	return unwrap(in.message)
}

// handle handles what goes ahead of user messages: protoactor's system messages, and our own to the body.
func (in *incarnation) handle(message any) {
	switch m := message.(type) {
	case *actor.Stop:
		in.exit(nil)
	case *actor.Watch, *actor.Unwatch, *actor.Terminated, *actor.Failure:
		in.sign()
		in.invoker.InvokeSystemMessage(m)
	case *actor.SuspendMailbox, *actor.ResumeMailbox, *actor.Restart:
		// Down is always a stop, and up a new incarnation.
	case actor.SystemMessage: // a continuation of ReenterAfter
		if in.alive() {
			in.sign()
			in.invoker.InvokeSystemMessage(m)
		}
	default:
		in.invoker.InvokeUserMessage(m)
	}
}

// receive handles a message from the node's queue.
func (in *incarnation) receive(message any) {
	in.sign()
	switch m := message.(type) {
	case *actor.PoisonPill:
		in.node.tree.terminateLater(in.node)
	case own:
		if m.in != in {
			in.node.ref.deadLetter(in.pid(), m)
		} else if _, ok := m.message.(*actor.PoisonPill); ok {
			in.exit(nil)
		} else {
			in.invoker.InvokeUserMessage(m.message)
		}
	default:
		in.invoker.InvokeUserMessage(m)
	}
}

// unwrap returns the message as it was sent.
func unwrap(message any) any {
	if o, ok := message.(own); ok {
		message = o.message
	}
	return actor.UnwrapEnvelopeMessage(message)
}

// overdue reports whether the incarnation was fenced off because it didn't end in time.
func (in *incarnation) overdue() bool {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.outOfTime
}

func (in *incarnation) isSpawned() bool {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.invoker != nil
}

func (in *incarnation) hasEnded() bool {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.phase == ended
}

// isUp is staysUp for who doesn't hold the lock.
func (in *incarnation) isUp() bool {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.staysUp()
}

// staysUp reports whether it is up and wasn't told to stop. The caller holds the lock.
func (in *incarnation) staysUp() bool { return in.phase == up && in.todo&toStop == 0 }

func (in *incarnation) alive() bool {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.phase == starting || in.phase == up
}

func (in *incarnation) bodyNow() body {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.body
}

func (in *incarnation) causeNow() uint64 {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.cause
}

func (in *incarnation) reason() outcome {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.outcome
}

// ---- up

// ready says that the start is complete.
func (in *incarnation) ready() {
	r := &in.node.ref
	r.mu.Lock()
	if in.phase != starting || in.todo != 0 {
		r.mu.Unlock()
		return
	}
	in.phase, in.wasUp = up, true
	in.publish(Event{Kind: Started, Cause: in.cause, Delay: in.node.recovered()})
	in.cause = 0
	if in.upped != nil {
		close(in.upped)
	}
	claimed := r.wake()
	r.mu.Unlock()
	claimed.schedule()
}

// resume lets a suspended incarnation go on, unless it has begun to end meanwhile.
func (in *incarnation) resume() {
	r := &in.node.ref
	r.mu.Lock()
	if !in.suspended {
		r.mu.Unlock()
		return
	}
	in.suspended = false
	in.publish(Event{Kind: Resumed, Err: in.outcome.err, Message: in.message})
	in.outcome, in.message, in.guilty = outcome{}, nil, false
	claimed := r.wake()
	if claimed == nil && in.control.Len() > 0 {
		claimed = in.claim()
	}
	r.mu.Unlock()
	claimed.schedule()
}

// ---- down

// exit is what Exit, and stopping oneself, come to: the end begins once the message at hand is done.
func (in *incarnation) exit(reason error) {
	r := &in.node.ref
	r.mu.Lock()
	switch in.phase {
	case ended:
	case stopping:
		if in.outcome.class != Crash {
			in.outcome = outcomeOf(reason)
		}
	default:
		in.beginStop(outcomeOf(reason))
	}
	claimed := in.claimForTodo()
	r.mu.Unlock()
	claimed.schedule()
}

// stop is the supervisor's order to end. It returns the incarnation if the caller has to run it for that.
func (in *incarnation) stop(cause uint64) *incarnation {
	r := &in.node.ref
	r.mu.Lock()
	in.ordered = true
	if in.phase < stopping {
		in.cause = cause
		if in.todo&toStop == 0 && !in.suspended {
			in.outcome = outcome{Shutdown, ErrShutdown}
		}
		in.suspended = false
		in.todo |= toStop
	}
	claimed := in.claimForTodo()
	b := in.body
	r.mu.Unlock()
	if b != nil {
		b.told()
	}
	return claimed
}

// quit is a supervisor's own end, after its children. A final one isn't restarted, whatever its restart type.
func (in *incarnation) quit(o outcome, final bool, cause uint64) {
	r := &in.node.ref
	r.mu.Lock()
	if in.phase == stopping {
		in.todo |= toFinish
	} else if in.phase != ended {
		in.cause = cause
		if final {
			in.decided = verdictOf(actor.StopDirective)
		}
		in.beginStop(o)
	}
	claimed := in.claimForTodo()
	r.mu.Unlock()
	claimed.schedule()
}

// condemn ends a suspended incarnation whose failure is not forgiven.
func (in *incarnation) condemn(directive actor.Directive) {
	r := &in.node.ref
	r.mu.Lock()
	if in.suspended {
		in.decided = verdictOf(directive)
		in.beginStop(in.outcome)
	}
	claimed := in.claimForTodo()
	r.mu.Unlock()
	claimed.schedule()
}

func (in *incarnation) claimForTodo() *incarnation {
	if in.todo == 0 {
		return nil
	}
	in.recall()
	return in.claim()
}

// fail ends the incarnation from outside its goroutine, as a crash. It is how a failed job, or what a detector found, enters.
func (in *incarnation) fail(reason error) {
	r := &in.node.ref
	r.mu.Lock()
	if in.phase < stopping && in.todo&toStop == 0 {
		in.beginStop(outcome{Crash, reason})
	}
	claimed := in.claimForTodo()
	r.mu.Unlock()
	claimed.schedule()
}

// failed takes a panic of the actor's code. It runs in the deferred function that recovered it, so it only notes what is to
// be done.
func (in *incarnation) failed(reason error, message any) {
	r := &in.node.ref
	r.mu.Lock()
	in.recall()
	switch {
	case in.phase == ended: // a zombie's
		in.late = &lateFailure{reason, unwrap(message)}
	case in.phase == stopping:
		in.outcome = outcome{Crash, reason}
		in.todo |= toForce
	case in.phase == up && in.node.mayResume() && in.owner != nil && in.todo == 0:
		in.suspended = true
		in.convict(message)
		in.outcome = outcome{Crash, reason}
		r.mu.Unlock()
		in.owner.post(&actor.Failure{Who: in.pid(), Reason: reason, RestartStats: actor.NewRestartStatistics(), Message: message})
		return
	default:
		in.convict(message)
		in.todo &^= toStop
		in.beginStop(outcome{Crash, reason})
	}
	r.mu.Unlock()
}

// beginStop begins an end that nobody ordered. Nobody waits for it either, so it has a time limit of its own. The word on an earlier failure isn't waited for
// any more: the end has a reason of its own, that the decider is asked about. The caller holds the lock.
func (in *incarnation) beginStop(o outcome) {
	if in.todo&toStop != 0 && in.outcome.class == Crash {
		return
	}
	in.suspended = false
	in.outcome = o
	in.todo |= toStop
	if limit := in.node.patience(); in.node.shutdown() >= 0 && !in.limited && !in.ordered {
		in.limited = true
		in.node.tree.deadlines.add(in, limit, o)
	}
}

// drained says that what the body had to end has ended.
func (in *incarnation) drained() {
	r := &in.node.ref
	r.mu.Lock()
	if in.phase == stopping {
		in.todo |= toFinish
	}
	claimed := in.claimForTodo()
	r.mu.Unlock()
	claimed.schedule()
}

// halt stops the protoactor actor: Stopping, then its children, then Stopped.
func (in *incarnation) halt() {
	in.halted = true
	if in.invoker == nil { // it was never spawned, or not to the end
		in.unregister()
		return
	}
	in.invoker.InvokeSystemMessage(stopMessage)
}

// force goes on with a stop that a failing hook cut short: protoactor has got as far as that hook and no further.
func (in *incarnation) force() {
	if !in.registered() {
		return // it was Stopped that failed: protoactor is done
	}
	for _, child := range in.childPIDs() {
		in.node.tree.system.Root.Stop(child)
	}
	in.invoker.InvokeSystemMessage(&actor.Terminated{Who: nobody})
}

// tearOut ends a stop without protoactor: pushing it on has failed too.
func (in *incarnation) tearOut() {
	for _, child := range in.childPIDs() {
		in.node.tree.system.Root.Stop(child)
	}
	in.unregister()
}

// clean lets go of what a fenced incarnation holds, on whatever goroutine it got back: its hooks run, its messages don't.
func (in *incarnation) clean() {
	defer in.returned()
	defer func() {
		if recover() != nil {
			in.unregister()
		}
	}()
	in.halt()
}

func (in *incarnation) registered() bool {
	_, ok := in.node.tree.system.ProcessRegistry.GetLocal(in.name())
	return ok
}

func (in *incarnation) unregister() {
	in.node.tree.system.ProcessRegistry.Remove(&actor.PID{Id: in.name()})
}

// checkEnded notes the end of a stopping incarnation: protoactor takes the process out of its registry when it is done. It returns the supervisor's
// incarnation if that has to be run to hear of it.
func (in *incarnation) checkEnded() *incarnation {
	if !in.gotLast && in.registered() {
		return nil
	}
	r := &in.node.ref
	r.mu.Lock()
	if in.phase != stopping || in.todo != 0 {
		r.mu.Unlock()
		return nil
	}
	in.end()
	ordered := in.ordered && in.owner != nil
	r.mu.Unlock()
	if ordered {
		return nil
	}
	return in.tellOwner()
}

// end makes the incarnation a thing of the past, and says so to the world and to those who wait for it. The caller holds the
// lock, and calls tellOwner without it.
func (in *incarnation) end() {
	in.recall()
	in.phase = ended
	in.suspended = false
	in.handles(nil)
	n := in.node
	if n.ref.current == in {
		n.ref.current = nil
	} else if n.record != nil {
		n.record.orphans = slices.DeleteFunc(n.record.orphans, func(o *incarnation) bool { return o == in })
	}
	if in.limited {
		n.tree.deadlines.remove(in)
	}
	n.tree.lingered(in)
	var seq uint64
	if in.wasUp {
		seq = in.publish(Event{Kind: Exited, Cause: in.cause, Class: in.outcome.class, Err: in.outcome.err, Message: in.message})
		in.cause = seq
	}
	n.ended(in, seq)
	if in.upped != nil && !in.wasUp {
		close(in.upped)
	}
	if in.gone != nil {
		close(in.gone)
	}
}

// blame notes what is about to end the incarnation.
func (in *incarnation) blame(cause uint64) {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	if in.phase != ended && !in.ordered {
		in.cause = cause
	}
}

// order notes that the supervisor wants the incarnation to end.
func (in *incarnation) order(cause uint64) {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	in.ordered, in.cause = true, cause
}

// returned says that a fenced incarnation's goroutine has come back and cleaned up.
func (in *incarnation) returned() {
	abandoned := in.node.tree.cameBack(in)
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	if last := &in.node.lastExit; last.incarnation == in.number {
		last.abandoned = false
	}
	if abandoned || in.late != nil {
		e := Event{Kind: Returned, Cause: in.cause}
		if in.late != nil {
			e.Err, e.Message = in.late.err, in.late.message
		}
		in.publish(e)
		in.late = nil
	}
}

// fence cuts the incarnation off, whatever it is doing: from now on it gets no message, and what it does changes nothing. If
// code of the actor is running, it is left behind and counted until it returns.
func (in *incarnation) fence(o outcome, abandon bool) {
	r := &in.node.ref
	r.mu.Lock()
	if in.phase == ended {
		r.mu.Unlock()
		return
	}
	in.fenceOff(o, abandon)
}

// fenceOff is fence for who holds the lock, which it gives up. The incarnation hasn't ended.
func (in *incarnation) fenceOff(o outcome, abandon bool) {
	r := &in.node.ref
	in.fencedOff.Store(true)
	in.outcome = o
	in.todo = toClean
	in.control = ring.Ring[any]{}
	spawned := in.spawned
	in.spawned = nil
	in.late = nil
	in.outOfTime = abandon
	in.abandoned = abandon && in.scheduled // else nothing of it is running
	if in.abandoned {
		in.publish(Event{Kind: Abandoned, Cause: in.cause, Err: o.err})
	}
	if in.abandoned { // before its end is known: that may be all that the tree waits for to end itself
		in.node.tree.leave(in, in, 0, false)
	} else {
		in.node.tree.leave(in, in, abandonGrace, !in.scheduled) // it has to clean up, and may be busy
	}
	in.end()
	claimed := in.claim()
	b := in.body
	r.mu.Unlock()

	if spawned != nil {
		for _, child := range *spawned {
			in.node.tree.system.Root.Stop(child)
		}
	}
	if b != nil {
		b.fenced()
	}
	in.tellOwner().schedule()
	claimed.schedule()
}

// tellOwner tells the supervisor of an end that it didn't order. A failure goes through its strategy. It returns the supervisor's incarnation if the
// caller has to run it for that.
func (in *incarnation) tellOwner() *incarnation {
	r := &in.node.ref
	r.mu.Lock()
	o, message, decided, expected := in.outcome, in.message, in.decided, in.ordered || !in.wasUp
	r.mu.Unlock()
	switch {
	case in.owner == nil:
		in.node.tree.topEnded(o)
	case expected:
	case decided != 0:
		return in.owner.postClaimed(&exitNotice{who: in, directive: decided.directive()})
	case o.class.Abnormal():
		return in.owner.postClaimed(&actor.Failure{Who: in.pid(), Reason: o.err, RestartStats: actor.NewRestartStatistics(), Message: message})
	default:
		return in.owner.postClaimed(&exitNotice{who: in, directive: actor.RestartDirective})
	}
	return nil
}

// wait returns a channel that is closed by whoever finds it there, or is closed already. The caller holds the lock.
func wait(c *chan struct{}, already bool) <-chan struct{} {
	if already {
		return closed
	}
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

// over is closed when the incarnation has ended.
func (in *incarnation) over() <-chan struct{} {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return wait(&in.gone, in.phase == ended)
}

// result is how the incarnation is doing: whether it came up, and if it has ended, how.
func (in *incarnation) result() (wasUp bool, o outcome, hasEnded bool) {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.wasUp, in.outcome, in.phase == ended
}

// settled is closed when the incarnation is up or has ended.
func (in *incarnation) settled() <-chan struct{} {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return wait(&in.upped, in.wasUp || in.phase == ended)
}

func (in *incarnation) publish(e Event) uint64 {
	e.Path, e.Node, e.Incarnation = in.node.path, in.node.kind, in.number
	return in.node.tree.publish(e)
}

var (
	startedMessage = &actor.Started{}
	stopMessage    = &actor.Stop{}
	nobody         = &actor.PID{Address: "nonhost", Id: "nobody"} // a child that never was
	closed         = func() chan struct{} { c := make(chan struct{}); close(c); return c }()
)
