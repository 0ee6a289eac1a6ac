package actors

import (
	"github.com/mistersmith/mistersmith/detector"
	"github.com/mistersmith/mistersmith/routing"
)

var (
	_ worker           = (*incarnation)(nil)
	_ worker           = (*job)(nil)
	_ routing.Observer = (*job)(nil)
)

// ---- an actor's incarnation

// sign is a sign of life: user code gets another message. Agents and supervisors have none that runs on their mailbox.
func (in *incarnation) sign() {
	switch in.node.kind {
	case KindActor, KindHub, KindBreaker:
		in.node.tree.watchman.sign(&in.life, in)
	}
}

func (in *incarnation) atWork() (busy, judged bool) {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return in.phase == up && in.scheduled && !in.suspended, true
}

// kindOfWork is the node's, or that of all instances of its template.
func (in *incarnation) kindOfWork() (string, *detector.Pace) {
	if n := in.node; n.parent == nil || n.parent.spec().supervisor.template == nil {
		return "actor " + n.path, nil
	}
	return "actor " + in.node.parent.spec().supervisor.template.path, nil
}

func (in *incarnation) liveness() Liveness { return in.node.liveness() }

func (in *incarnation) suspected(reason *HungError) { in.silent(Suspected, reason) }

func (in *incarnation) recovered() { in.publish(Event{Kind: Recovered}) }

// hangs fences the incarnation off if it fails by it: nothing else gets it off its goroutine.
func (in *incarnation) hangs(reason *HungError, fails bool) {
	seq := in.silent(Hung, reason)
	if !fails {
		return
	}
	in.blame(seq)
	in.fence(outcome{Crash, reason}, false)
}

// silent publishes what its silence has come to.
func (in *incarnation) silent(k EventKind, reason *HungError) uint64 {
	e := Event{Kind: k, Delay: reason.Silence, Phi: reason.Phi}
	if reason.Task != "" {
		e.Message = reason.Task
	}
	if k == Hung {
		e.Err = reason
	}
	return in.publish(e)
}

// ---- an agent's job

// Progressed implements routing.Observer.
func (j *job) Progressed() { j.agent.in.node.tree.watchman.sign(&j.life, j) }

// Waits implements routing.Observer.
func (j *job) Waits(waiting bool) {
	change := 1
	if !waiting {
		j.Progressed()
		change = -1
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waits += change
}

func (j *job) atWork() (busy, judged bool) {
	if !j.agent.in.isUp() {
		return false, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.handled != nil, j.waits == 0 && !j.begun.Limited()
}

func (j *job) kindOfWork() (string, *detector.Pace) { return "task " + j.last().Type(), nil }

func (j *job) last() *routing.Lease {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.begun
}

func (j *job) liveness() Liveness { return j.agent.in.node.liveness() }

func (j *job) suspected(reason *HungError) { j.silent(Suspected, reason, j.last()) }

func (j *job) recovered() { j.agent.in.publish(Event{Kind: Recovered}) }

func (j *job) silent(k EventKind, reason *HungError, l *routing.Lease) uint64 {
	reason.Task = l.ID()
	return j.agent.in.silent(k, reason)
}

// hangs takes the lease from the handler and its agent from its supervisor: the task is charged with the hang, and tried again elsewhere. The handler's
// context ends, and it has its agent's shutdown time to return before it is abandoned.
func (j *job) hangs(reason *HungError, fails bool) {
	l := j.last()
	if fails && !j.giveUp(l) {
		return
	}
	in := j.agent.in
	seq := j.silent(Hung, reason, l)
	if !fails {
		return
	}
	in.blame(seq)
	j.agent.cancel(reason)
	l.Settle(routing.Hung(reason))
	in.fail(reason)
}
