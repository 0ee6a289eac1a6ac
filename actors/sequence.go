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

// sequence carries out what a supervisor's state machine ordered, one child after the other, beside the supervisor's mailbox. A supervisor has one at
// a time. When it is through, or a start has failed, it reports to the incarnation that began it.
//
// What a child does to start or to stop runs right on the goroutine of the sequence, lent to it for that: handing it to another and waiting for it
// would cost several times as much. User code may keep the goroutine, though. So a watch looks in every now and then, and if the same child still has it, the
// sequence goes on elsewhere, waiting for that child as long as its time limit allows. Whoever holds the watch's turn owns the fields below the line.
type sequence struct {
	owner *incarnation
	id    uint64
	cause uint64

	watch *watch // its own only if its supervisor may have another sequence at the same time

	abortMu sync.Mutex
	abortCh chan struct{} // closed by abort; nil until somebody waits for that
	isAbort bool
	isOver  bool

	// ---- owned by whoever holds the turn
	starts  []*node
	stops   []target
	at      int          // index of the child that it is the turn of
	in      *incarnation // that is being started
	begun   time.Time
	results []supervise.Result

	// Room for a sequence of one child, as nearly all are that restart one, and for the report.
	oneStart  [1]*node
	oneResult [1]supervise.Result
	report    sequenceDone
}

// target is an incarnation to be stopped: of a node, or an orphan whose node may have the next one already.
type target struct {
	node *node
	in   *incarnation // nil if it has ended
	last outcome      // how it did
	supervise.Target
}

func newSequence(owner *incarnation, w *watch, id, cause uint64) *sequence {
	owner.node.tree.sequences.begin()
	q := &sequence{owner: owner, watch: w, id: id, cause: cause}
	w.sequence.Store(q)
	return q
}

// expect makes room for so many results.
func (q *sequence) expect(n int) {
	q.results = q.oneResult[:0]
	if n > 1 {
		q.results = make([]supervise.Result, 0, n)
	}
}

// abort lets the child that is being started fail. The ones after it aren't tried.
func (q *sequence) abort() {
	q.abortMu.Lock()
	defer q.abortMu.Unlock()
	if !q.isAbort {
		q.isAbort = true
		if q.abortCh != nil {
			close(q.abortCh)
		}
	}
	if !q.isOver {
		q.watch.takeBack() // whoever has the goroutine isn't waited for any longer
	}
}

// aborted is closed by abort.
func (q *sequence) aborted() <-chan struct{} {
	q.abortMu.Lock()
	defer q.abortMu.Unlock()
	if q.abortCh == nil {
		q.abortCh = make(chan struct{})
		if q.isAbort {
			close(q.abortCh)
		}
	}
	return q.abortCh
}

// ---- the turn

// goOn continues with the child that has the goroutine, on another one.
func (q *sequence) goOn() {
	q.owner.node.tree.dispatcher.Schedule(func() {
		if q.at < len(q.starts) {
			q.landed()
		} else {
			q.stopped()
		}
		q.runOn()
	})
}

// begin runs the sequence on a goroutine of its own.
func (q *sequence) begin() {
	q.owner.node.tree.dispatcher.Schedule(q.runOn)
}

// runOn carries the sequence out, and then what comes of it, on a goroutine that has nothing else to do.
func (q *sequence) runOn() {
	supervisor, child := q.run()
	child.schedule()
	if supervisor != nil {
		supervisor.run()
	}
}

// run carries the sequence out as far as it can. It returns the supervisor's incarnation if that has to be run next, to handle the report; and the child
// that was started last, if that has to be run after it.
func (q *sequence) run() (supervisor, child *incarnation) {
	for q.at < len(q.starts) {
		var mine bool
		last := q.at == len(q.starts)-1
		if child, mine = q.launch(); !mine || !last {
			child.schedule()
			child = nil
		}
		if !mine {
			return nil, nil
		}
		q.landed()
	}
	for q.at < len(q.stops) {
		if !q.stop() {
			return nil, nil
		}
		q.stopped()
	}
	return q.done(), child
}

func (q *sequence) done() *incarnation {
	q.abortMu.Lock()
	q.isOver = true
	q.abortMu.Unlock()
	q.watch.sequence.CompareAndSwap(q, nil) // it is large
	q.report.event = supervise.Done{Sequence: q.id, Results: q.results}
	supervisor := q.owner.postClaimed(&q.report)
	q.owner.node.tree.sequences.end()
	return supervisor
}

// ---- starts

// launch begins to start the next child.
func (q *sequence) launch() (child *incarnation, mine bool) {
	if q.results == nil {
		q.expect(len(q.starts))
	}
	q.begun = time.Now()
	in := newIncarnation(q.starts[q.at], q.owner, q.cause)
	if q.in = in; in == nil {
		return nil, true
	}
	mine = q.watch.lend(func() { child = in.launch() })
	return child, mine
}

// landed waits until the child is up, or down again, and enters the result. After a failure nothing more is started.
func (q *sequence) landed() {
	n := q.starts[q.at]
	r := supervise.Result{ID: n.spec().id}
	err := q.awaitStart()
	switch {
	case err == nil:
		r.Incarnation = q.in.number
		n.forgetStart()
	case errors.Is(err, ErrIgnore):
		r.Ignored = true
		q.in.publish(Event{Kind: Ignored, Cause: q.cause})
	default:
		r.Err = &StartError{n.path, err}
		if q.in != nil {
			n.startFailed(q.in, err)
		}
		q.starts = q.starts[:q.at+1]
	}
	q.results = append(q.results, r)
	q.at++
	q.in = nil
}

func (q *sequence) awaitStart() error {
	in := q.in
	if in == nil {
		return ErrStartAborted // the supervisor has ended
	}
	if wasUp, o, ended := in.result(); wasUp || ended {
		return startError(wasUp, o)
	}
	n := in.node
	limit, left := n.spec().life.StartTimeout, time.Duration(-1)
	if limit != NoLimit {
		left = max(limit-time.Since(q.begun), 0)
	}
	if waitFor(in.settled(), left, q.aborted()) {
		wasUp, o, _ := in.result()
		return startError(wasUp, o)
	}
	// Its time ran out, or its supervisor is to stop: it goes the way of any child that must stop.
	err := fmt.Errorf("%w after %s", ErrStartTimeout, limit)
	select {
	case <-q.aborted():
		err = ErrStartAborted
	default:
	}
	if !in.isSpawned() { // nobody could be told: the producer is at work, and hangs if its time is over
		in.fence(outcome{Killed, err}, errors.Is(err, ErrStartTimeout))
		return err
	}
	in.stop(q.cause).schedule()
	if !waitFor(in.over(), n.shutdown(), n.tree.killed) {
		in.fence(outcome{Killed, err}, true)
	}
	return err
}

func startError(wasUp bool, o outcome) error {
	switch {
	case wasUp:
		return nil
	case o.err == nil:
		return ErrExitedInStart
	default:
		return o.err
	}
}

// ---- stops

// stop begins to stop the next target.
func (q *sequence) stop() (mine bool) {
	if q.results == nil {
		q.expect(len(q.stops))
	}
	q.begun = time.Now()
	t := q.stops[q.at]
	if t.in == nil || t.node.shutdown() == 0 {
		return true
	}
	if in := t.in.stop(q.cause); in != nil {
		return q.watch.lend(func() { in.runLent().schedule() })
	}
	return true
}

// stopped waits until the target has ended, and enters how.
func (q *sequence) stopped() {
	t := q.stops[q.at]
	o, ended := t.ended()
	if !ended {
		limit := t.node.shutdown()
		if limit > 0 {
			limit = max(limit-time.Since(q.begun), time.Nanosecond)
		}
		o = t.awaitEnd(q.cause, limit)
	}
	if !t.Expected(o.machine()) {
		t.node.shutdownError(t.Incarnation, o)
	}
	q.results = append(q.results, supervise.Result{ID: t.ID, Outcome: o.machine()})
	q.at++
}

// ended returns how the target ended, if it has.
func (t target) ended() (outcome, bool) {
	if t.in == nil {
		return t.last, true
	}
	_, o, ended := t.in.result()
	return o, ended
}

// awaitEnd waits for a target that was told to stop, no longer than the limit, and returns how it ended. A limit of 0 is a brutal kill, which asks nobody.
func (t target) awaitEnd(cause uint64, limit time.Duration) outcome {
	in := t.in
	if in == nil {
		return t.last
	}
	if limit == 0 {
		in.order(cause)
		in.fence(outcome{Killed, ErrKilled}, false)
	} else if _, _, ended := in.result(); !ended && !waitFor(in.over(), limit, in.node.tree.killed) {
		in.fence(outcome{Killed, fmt.Errorf("%w: did not stop within %s", ErrKilled, in.node.shutdown())}, true)
	}
	_, o, _ := in.result()
	return o
}

// stopTogether stops all targets at once, instances of one template, under one time limit, and reports what didn't end as it should have by its kind, not one by one. There may be
// none left: those of an orphan may have ended since it counted them.
func (q *sequence) stopTogether(targets []target) {
	q.owner.node.tree.dispatcher.Schedule(func() {
		node := q.owner.node
		template := node.spec().supervisor.template
		unexpected := make(map[Class]int)
		q.expect(len(targets))
		limit := template.shutdown()
		began := time.Now()
		for _, t := range targets {
			if t.in != nil && limit != 0 {
				t.in.stop(q.cause).schedule()
			}
		}
		for _, t := range targets {
			left := limit
			if limit > 0 {
				left = max(limit-time.Since(began), time.Nanosecond)
			}
			o := t.awaitEnd(q.cause, left)
			if !t.Expected(o.machine()) {
				unexpected[o.class]++
			}
			q.results = append(q.results, supervise.Result{ID: t.ID, Outcome: o.machine()})
		}
		for _, class := range slices.Sorted(maps.Keys(unexpected)) {
			node.tree.publish(Event{Kind: Failed, Context: ContextShutdownError, Path: template.path, Node: template.kind, Cause: q.cause, Class: class, Group: unexpected[class]})
		}
		if supervisor := q.done(); supervisor != nil {
			supervisor.run()
		}
	})
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
