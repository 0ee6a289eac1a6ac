package actors

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/internal/supervise"
)

// sequence carries out what a supervisor's state machine ordered, one child after the other, on a goroutine of its own, so that
// the supervisor's mailbox goes on meanwhile. A supervisor has one at a time. When it is through, or a start has failed, it reports to
// the incarnation that began it.
type sequence struct {
	owner   *incarnation
	id      uint64
	cause   uint64
	abortMu sync.Once
	aborted chan struct{}
}

// target is an incarnation to be stopped: of a node, or an orphan whose node may have the next one already.
type target struct {
	node *node
	in   *incarnation // nil if it has ended
	last outcome      // how it did
	supervise.Target
}

func newSequence(owner *incarnation, id, cause uint64) *sequence {
	return &sequence{owner: owner, id: id, cause: cause, aborted: make(chan struct{})}
}

// abort lets the child that is being started fail. The ones after it aren't tried.
func (q *sequence) abort() { q.abortMu.Do(func() { close(q.aborted) }) }

func (q *sequence) done(results []supervise.Result) {
	q.owner.post(&sequenceDone{supervise.Done{Sequence: q.id, Results: results}})
	q.owner.node.tree.sequences.Done()
}

// stop stops the targets in the order given.
func (q *sequence) stop(targets []target) {
	q.owner.node.tree.sequences.Add(1)
	q.owner.node.tree.dispatcher.Schedule(func() {
		results := make([]supervise.Result, 0, len(targets))
		for _, t := range targets {
			o := t.stop(q.cause, t.node.shutdown())
			if !t.Expected(o.machine()) {
				t.node.shutdownError(t.Incarnation, o)
			}
			results = append(results, supervise.Result{ID: t.node.spec().id, Outcome: o.machine()})
		}
		q.done(results)
	})
}

// stopTogether stops all targets at once, under one time limit, and reports what didn't end as it should have by its kind, not one by one.
func (q *sequence) stopTogether(targets []target) {
	q.owner.node.tree.sequences.Add(1)
	q.owner.node.tree.dispatcher.Schedule(func() {
		var results []supervise.Result
		unexpected := make(map[Class]int)
		limit := targets[0].node.shutdown()
		began := time.Now()
		for _, t := range targets {
			if t.in != nil && limit != 0 {
				t.in.stop(q.cause)
			}
		}
		for _, t := range targets {
			left := limit
			if limit > 0 {
				left = max(limit-time.Since(began), time.Nanosecond)
			}
			o := t.stop(q.cause, left)
			if !t.Expected(o.machine()) {
				unexpected[o.class]++
			}
			results = append(results, supervise.Result{ID: t.node.spec().id, Outcome: o.machine()})
		}
		supervisor := q.owner.node
		template := supervisor.spec().supervisor.template
		for _, class := range slices.Sorted(maps.Keys(unexpected)) {
			supervisor.tree.publish(Event{Kind: Failed, Context: ContextShutdownError, Path: template.path, Node: template.kind, Cause: q.cause, Class: class, Group: unexpected[class]})
		}
		q.done(results)
	})
}

// stop ends one incarnation as its spec says, and returns how it ended: brutally at once, else within its shutdown time. An incarnation that
// ended by itself before has its own outcome.
func (t target) stop(cause uint64, limit time.Duration) outcome {
	in := t.in
	if in == nil {
		return t.last
	}
	if limit == 0 {
		in.order(cause)
		in.fence(outcome{Killed, ErrKilled}, false)
	} else if !waitFor(in.stop(cause), limit, in.node.tree.killed) {
		in.fence(outcome{Killed, fmt.Errorf("%w: did not stop within %s", ErrKilled, limit)}, true)
	}
	_, o, _ := in.result()
	return o
}

// start starts the nodes in the order given, until one fails.
func (q *sequence) start(nodes []*node) {
	q.owner.node.tree.sequences.Add(1)
	q.owner.node.tree.dispatcher.Schedule(func() {
		var results []supervise.Result
		for _, n := range nodes {
			r := q.startOne(n)
			results = append(results, r)
			if r.Err != nil {
				break
			}
		}
		q.done(results)
	})
}

func (q *sequence) startOne(n *node) supervise.Result {
	r := supervise.Result{ID: n.spec().id}
	in := newIncarnation(n, q.owner, q.cause)
	if in == nil {
		r.Err = &StartError{n.path, ErrStartAborted}
		return r
	}
	err := q.bringUp(in)
	switch {
	case err == nil:
		r.Incarnation = in.number
	case errors.Is(err, ErrIgnore):
		r.Ignored = true
		in.publish(Event{Kind: Ignored, Cause: q.cause})
	default:
		r.Err = &StartError{n.path, err}
		n.startFailed(in, err)
	}
	return r
}

// bringUp starts an incarnation and waits until it is up, or down again.
func (q *sequence) bringUp(in *incarnation) error {
	n := in.node
	limit := n.spec().life.StartTimeout
	if limit == NoLimit {
		limit = -1
	}
	begun := time.Now()
	if err := n.embody(in, limit, q.aborted); err != nil {
		in.fence(outcome{Crash, err}, false)
		return err
	}
	if limit > 0 {
		limit = max(limit-time.Since(begun), 0)
	}
	if waitFor(in.settled(), limit, q.aborted) {
		if wasUp, o, _ := in.result(); !wasUp {
			if o.err == nil {
				return ErrExitedInStart
			}
			return o.err
		}
		return nil
	}
	// Its time ran out, or its supervisor is to stop: it goes the way of any child that must stop.
	err := fmt.Errorf("%w after %s", ErrStartTimeout, n.spec().life.StartTimeout)
	select {
	case <-q.aborted:
		err = ErrStartAborted
	default:
	}
	if !waitFor(in.stop(q.cause), n.shutdown(), n.tree.killed) {
		in.fence(outcome{Killed, err}, true)
	}
	return err
}

// waitFor waits for done, no longer than the limit (negative: none) and until giveUp. It reports whether done came.
func waitFor(done <-chan struct{}, limit time.Duration, giveUp <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
	}
	var timeout <-chan time.Time
	if limit >= 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-done:
		return true
	case <-timeout:
	case <-giveUp:
	}
	return false
}
