package actors

import (
	"time"

	"github.com/mistersmith/mistersmith/detector"
	"github.com/mistersmith/mistersmith/routing"
)

var (
	_ worker           = (*incarnation)(nil)
	_ worker           = (*job)(nil)
	_ worker           = (*saving)(nil)
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
	return in.staysUp() && in.scheduled && !in.suspended, true
}

func (in *incarnation) cutShort() bool {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	return !in.staysUp() || in.suspended
}

func (in *incarnation) strikes() (before int, last bool) { return in.node.guesses(""), false }

func (in *incarnation) kindOfWork() (string, *detector.Pace) {
	return "actor " + in.node.species(), nil
}

// guessMemory is for how long a node that was ended on a guess is given more time.
const guessMemory = 24 * time.Hour

// guesses is how often of late the node was ended because phi said that it hung, outside of a task and in the code of that name. Nothing was learned of what it did then.
func (n *node) guesses(in string) (count int) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	since := time.Now().Add(-guessMemory)
	for _, f := range n.read().history {
		if hung, ok := f.Err.(*HungError); ok && f.Time.After(since) && !hung.Max && hung.Task == "" && hung.In == in {
			count++
		}
	}
	return count
}

// species is the path of the node, or of the template whose instance it is.
func (n *node) species() string {
	if n.parent == nil || n.parent.spec().supervisor.template == nil {
		return n.path
	}
	return n.parent.spec().supervisor.template.path
}

func (in *incarnation) liveness() Liveness { return in.node.liveness() }

func (in *incarnation) suspected(reason *HungError) { in.silent(Suspected, reason, nil) }

// recovered says so of what is up: the end of what was suspected is an event of its own.
func (in *incarnation) recovered() {
	in.node.ref.mu.Lock()
	defer in.node.ref.mu.Unlock()
	if in.staysUp() {
		in.publish(Event{Kind: Recovered})
	}
}

// hangs fences the incarnation off if it fails by it: nothing else gets it off its goroutine. That is done in one go: what it is fenced off for is the message that is blamed.
func (in *incarnation) hangs(reason *HungError, fails bool) {
	in.node.ref.mu.Lock()
	if !in.staysUp() || in.ordered { // since it was looked at
		in.node.ref.mu.Unlock()
		return
	}
	message := in.at()
	seq := in.silent(Hung, reason, message)
	if !fails {
		in.node.ref.mu.Unlock()
		return
	}
	in.cause = seq
	in.convict(message)
	in.fenceOff(outcome{Crash, reason}, false)
}

// silent publishes what its silence has come to, in which message or task.
func (in *incarnation) silent(k EventKind, reason *HungError, message any) uint64 {
	e := Event{Kind: k, Delay: reason.Silence, Phi: reason.Phi, Message: message}
	if k == Hung {
		e.Err = reason
	}
	return in.publish(e)
}

// ---- an agent's job

// Progressed implements routing.Observer. What the handler of an earlier lease has left running doesn't count.
func (j *job) Progressed(l *routing.Lease) {
	if j.handled.Load() == l {
		j.agent.in.node.tree.watchman.sign(&j.life, j)
	}
}

// Waits implements routing.Observer. The sign of life is given while the handler doesn't wait: what a look sees of a wait doesn't count as work.
func (j *job) Waits(l *routing.Lease, waiting bool) {
	if waiting {
		j.Progressed(l)
		j.wait(l, 1)
	} else {
		j.wait(l, -1)
		j.Progressed(l)
	}
}

func (j *job) wait(l *routing.Lease, change int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handled.Load() == l {
		j.waits += change
	}
}

func (j *job) atWork() (busy, judged bool) {
	if !j.agent.in.isUp() {
		return false, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	handled := j.handled.Load()
	return handled != nil, handled == j.seen && j.waits == 0 && !j.begun.Limited()
}

func (j *job) cutShort() bool {
	if !j.agent.in.isUp() {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lost || j.revoked == j.seen
}

func (j *job) strikes() (before int, last bool) { return j.seen.Strikes() }

func (j *job) kindOfWork() (string, *detector.Pace) {
	j.seen = j.last()
	return "task " + j.seen.Type(), nil
}

func (j *job) last() *routing.Lease {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.begun
}

func (j *job) liveness() Liveness { return j.agent.in.node.liveness() }

func (j *job) suspected(reason *HungError) { j.silent(Suspected, reason) }

func (j *job) recovered() {
	j.mu.Lock()
	lost := j.lost
	j.mu.Unlock()
	if !lost {
		j.agent.in.recovered()
	}
}

func (j *job) silent(k EventKind, reason *HungError) uint64 {
	reason.Task = j.seen.ID()
	if j.saving.Load() {
		reason.In = "Snapshot"
	}
	return j.agent.in.silent(k, reason, reason.Task)
}

// hangs takes the lease from the handler and its agent from its supervisor: the task is charged with the hang, and tried again elsewhere. The handler's
// context ends, and it has its agent's shutdown time to return before it is abandoned.
func (j *job) hangs(reason *HungError, fails bool) {
	l := j.seen
	if fails && !j.giveUp(l) {
		return
	}
	seq := j.silent(Hung, reason)
	if !fails {
		return
	}
	j.agent.cancel(reason)
	l.SettleHung(reason)
	j.agent.hung(reason, seq)
}

// hung ends the agent, for what the event says.
func (a *agent) hung(reason *HungError, event uint64) {
	a.cancel(reason)
	a.in.blame(event)
	a.in.fail(reason)
}

// ---- an agent that saves its state while no handler runs

func (s *saving) atWork() (busy, judged bool) { return s.goesOn() && s.keeper.agent.in.isUp(), true }

func (s *saving) goesOn() bool {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	return s.keeper.saving == s
}

func (s *saving) cutShort() bool { return !s.keeper.agent.in.isUp() }

func (s *saving) strikes() (before int, last bool) {
	return s.keeper.agent.in.node.guesses("Snapshot"), false
}

func (s *saving) kindOfWork() (string, *detector.Pace) {
	return "snapshot " + s.keeper.agent.in.node.species(), nil
}

func (s *saving) liveness() Liveness { return s.keeper.agent.in.node.liveness() }

func (s *saving) suspected(reason *HungError) { s.silent(Suspected, reason) }

func (s *saving) recovered() { s.keeper.agent.in.recovered() }

func (s *saving) silent(k EventKind, reason *HungError) uint64 {
	reason.In = "Snapshot"
	return s.keeper.agent.in.silent(k, reason, nil)
}

// hangs takes the agent from its supervisor. The tasks that wait for the snapshot go back to the hub.
func (s *saving) hangs(reason *HungError, fails bool) {
	if !s.goesOn() {
		return
	}
	seq := s.silent(Hung, reason)
	if fails {
		s.keeper.agent.hung(reason, seq)
	}
}
