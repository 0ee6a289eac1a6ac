package actors

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/detector"
	"github.com/mistersmith/mistersmith/routing"
)

// Defaults of a Breaker's Stream.
const (
	DefaultStreamPhi = 8.0
	DefaultStreamMin = time.Second
	DefaultStreamMax = 2 * time.Minute
)

// GuardStream makes a call whose answer comes in pieces, such as that of a language model, through a breaker node, as [Guard] does. fn calls beat
// with each piece. How long the pieces of this breaker's answers usually are apart is learned, and how long it takes until the first; a
// silence that is too suspicious for the breaker's Stream ends fn's context, counts as a failure of the dependency, and comes back as a
// [*breaker.StalledError]: returned from the handler, the task is tried again. The breaker's operation timeout doesn't apply: a long
// answer that goes on is a good one. (Its half-open lease does: give it the time that an answer may take. And it bounds how long the call waits for the node, as with Guard.)
//
// An External whose Retry counts, see [Guard], makes the call again by itself; each attempt is a stream of its own.
//
// While fn waits for something that has a time limit of its own, such as a Guard or another task, the stream isn't judged, and how long that takes isn't learned.
//
// The events Suspected, Hung and Recovered of a stream are those of its breaker's node, with the ID of the task.
//
// A Stream that only reports, or ignores, what stalls ends nothing; then the pieces are beats of the handler, and its agent's Liveness decides.
func GuardStream[T any](ctx context.Context, name string, fn func(ctx context.Context, beat func()) (T, error)) (T, error) {
	var zero T
	n, err := guardOf(ctx, name)
	if err != nil {
		return zero, err
	}
	rest := newRespite(ctx)
	defer rest.end()
	stalled := 0
	return throughGuard(ctx, n, func(ctx context.Context) (T, error) {
		s := &stream{node: n, stalled: stalled, rest: newRespite(ctx)}
		defer s.rest.end()
		defer rest.set(true)
		s.ctx, s.cancel = context.WithCancelCause(routing.ObserveWaits(ctx, s.wait))
		defer func() {
			if _, ended := context.Cause(s.ctx).(*breaker.StalledError); ended {
				stalled++
			}
			s.cancel(nil)
		}()
		return inTurn(s.ctx, n, breaker.ThroughWatched[T], func(ctx context.Context) (T, error) {
			s.began = time.Now()
			defer s.over.Store(true)
			s.liveness()
			rest.set(false)
			n.tree.watchman.sign(&s.life, s)
			return fn(ctx, s.beat)
		})
	})
}

// stream is one attempt at a guarded call that beats.
type stream struct {
	node    *node // of the breaker
	stalled int   // earlier attempts of the same call
	ctx     context.Context
	cancel  context.CancelCauseFunc
	rest    *respite // of the handler, while it is the stream that is judged
	began   time.Time

	life   detector.Stamp
	chunks atomic.Int64
	last   atomic.Int64 // sign of life, in nanoseconds since it began
	waits  atomic.Int64 // of fn for something else with a limit of its own
	waited atomic.Bool  // since the last piece
	over   atomic.Bool
}

var _ worker = (*stream)(nil)

// streamPaces is what is known of the answers behind a breaker.
type streamPaces struct{ first, next detector.Pace }

// beat notes a piece. As elsewhere, what took less than a look is taken for half of one: that a network brings several pieces at once doesn't say how long it may take until the next.
// The watchman's clock is too coarse for it, but knows of what the process stood still.
func (s *stream) beat() {
	if s.ctx.Err() != nil {
		return // what it left running goes on
	}
	now := int64(time.Since(s.began))
	before := s.last.Swap(now)
	w := s.node.tree.watchman
	interval := min(time.Duration(now-before), w.now()-s.life.Last()+2*w.every)
	if pace := s.pace(s.chunks.Add(1) - 1); !s.waited.Swap(s.waits.Load() > 0) {
		pace.Observe(max(interval, w.every/2))
	}
	w.sign(&s.life, s)
	routing.Beat(s.ctx)
}

// wait notes that fn begins, or ends, to wait for something that has a limit of its own. That says nothing about the answer. The sign of life is given while it doesn't wait.
func (s *stream) wait(waiting bool) {
	w := s.node.tree.watchman
	s.waited.Store(true)
	if waiting {
		w.sign(&s.life, s)
		s.waits.Add(1)
	} else {
		s.waits.Add(-1)
		w.sign(&s.life, s)
	}
}

// pace is that of the next piece, after so many.
func (s *stream) pace(chunks int64) *detector.Pace {
	if chunks == 0 {
		return &s.node.guard.streams.first
	}
	return &s.node.guard.streams.next
}

func (s *stream) atWork() (busy, judged bool) {
	return !s.over.Load() && s.ctx.Err() == nil, s.waits.Load() == 0
}

func (s *stream) cutShort() bool { return false }

// strikes takes each earlier attempt of the task that was charged for one that stalled.
func (s *stream) strikes() (before int, last bool) {
	before = s.stalled
	if of, ok := routing.FromContext(s.ctx); ok {
		if task, ok := s.node.tree.hub.Inspect(of.ID); ok {
			before += task.Errors + task.Strikes
		}
	}
	return before, false
}

func (s *stream) kindOfWork() (string, *detector.Pace) { return "", s.pace(s.chunks.Load()) }

// liveness leaves the handler to its agent as long as a stream that stalls isn't ended: that may change.
func (s *stream) liveness() Liveness {
	terms := s.node.streamLiveness()
	s.rest.set(terms.OnHung == HungFail)
	return terms
}

// streamLiveness is that of the answers behind a breaker node.
func (n *node) streamLiveness() Liveness {
	defaults := Liveness{OnHung: HungFail, Phi: DefaultStreamPhi, Suspect: DefaultSuspectPhi, Min: DefaultStreamMin, Max: DefaultStreamMax}
	spec := n.spec().rarely()
	if spec.external != nil {
		return spec.external.Stream.or(defaults)
	}
	return spec.breaker.Stream.or(defaults)
}

func (s *stream) suspected(reason *HungError) {
	s.publish(Event{Kind: Suspected, Delay: reason.Silence, Phi: reason.Phi})
}

func (s *stream) recovered() { s.publish(Event{Kind: Recovered}) }

func (s *stream) hangs(reason *HungError, fails bool) {
	stall := &breaker.StalledError{Name: s.node.guard.Breaker().Name(), Chunks: int(s.chunks.Load()), Silence: reason.Silence, Phi: reason.Phi, Max: reason.Max}
	s.publish(Event{Kind: Hung, Delay: reason.Silence, Phi: reason.Phi, Err: stall})
	if fails {
		s.cancel(stall)
	}
}

// publish says something of the stream at its breaker's node.
func (s *stream) publish(e Event) {
	if of, ok := routing.FromContext(s.ctx); ok {
		e.Message = of.ID
	}
	s.node.publish(e)
}
