package actors

import (
	"errors"
	"fmt"
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

// target is an incarnation to be stopped.
type target struct {
	node *node
	supervise.Target
}

func newSequence(owner *incarnation, id, cause uint64) *sequence {
	return &sequence{owner: owner, id: id, cause: cause, aborted: make(chan struct{})}
}

// abort lets the child that is being started fail. The ones after it aren't tried.
func (q *sequence) abort() { q.abortMu.Do(func() { close(q.aborted) }) }

func (q *sequence) done(results []supervise.Result) {
	q.owner.post(&sequenceDone{supervise.Done{Sequence: q.id, Results: results}})
}

// stop stops the targets in the order given.
func (q *sequence) stop(targets []target) {
	q.owner.node.tree.dispatcher.Schedule(func() {
		results := make([]supervise.Result, 0, len(targets))
		for _, t := range targets {
			o := t.node.stop(t.Incarnation, q.cause)
			if !t.Expected(o.machine()) {
				t.node.shutdownError()
			}
			results = append(results, supervise.Result{ID: t.node.spec.id, Outcome: o.machine()})
		}
		q.done(results)
	})
}

// stop ends one incarnation as its spec says, and returns how it ended: brutally at once, else within its shutdown time. An incarnation that
// ended by itself before has its own outcome.
func (n *node) stop(number, cause uint64) outcome {
	in, o := n.running(number)
	if in == nil {
		return o
	}
	limit := n.shutdown()
	if limit == 0 {
		in.order(cause)
		in.fence(outcome{Killed, ErrKilled}, false)
	} else if !waitFor(in.stop(cause), limit, nil) {
		in.fence(outcome{Killed, fmt.Errorf("%w: did not stop within %s", ErrKilled, limit)}, true)
	}
	_, o, _ = in.result()
	return o
}

// start starts the nodes in the order given, until one fails.
func (q *sequence) start(nodes []*node) {
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
	r := supervise.Result{ID: n.spec.id}
	in := newIncarnation(n, q.owner, q.cause)
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
	if _, _, ownerEnded := q.owner.result(); ownerEnded {
		in.fence(outcome{Killed, ErrStartAborted}, false)
		return ErrStartAborted
	}
	limit := n.spec.life.StartTimeout
	if limit == NoLimit {
		limit = -1
	}
	begun := time.Now()
	if err := n.embody(in, limit, q.aborted); err != nil {
		in.fence(outcome{Crash, err}, errors.Is(err, ErrStartTimeout))
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
	err := fmt.Errorf("%w after %s", ErrStartTimeout, n.spec.life.StartTimeout)
	select {
	case <-q.aborted:
		err = ErrStartAborted
	default:
	}
	if !waitFor(in.stop(q.cause), n.shutdown(), nil) {
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
