package routing_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/routing"
)

var (
	double = routing.NewType[int, int]("double")
	shout  = routing.NewType[string, string]("shout")
)

// world is a hub with its actor and hand-made spokes, in a bubble of virtual time.
type world struct {
	t       testingT
	hub     *routing.Hub
	options routing.Options
	system  *actor.ActorSystem
	driver  *actor.PID

	mu     sync.Mutex
	events []routing.Event
}

// inWorld runs a test in virtual time, once with a hub that has no store and once with one that has. At its end the hub is closed, the actor stopped, and no
// goroutine may be left.
func inWorld(t *testing.T, options routing.Options, test func(w *world)) {
	t.Helper()
	t.Run("in memory", func(t *testing.T) { inWorldOf(t, options, test) })
	if _, stateful := options.Balancer.(routing.Placer); stateful {
		return // it can't be shared by two hubs; the model has both
	}
	t.Run("with a store", func(t *testing.T) {
		options.Store = &memory{}
		inWorldOf(t, options, test)
	})
}

// inWorldOf runs a test with a hub that has the store of its options, or none.
func inWorldOf(t *testing.T, options routing.Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, quietSystem(), options)
		defer w.end()
		test(w)
	})
}

func quietSystem() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
}

func newWorld(t testingT, system *actor.ActorSystem, options routing.Options) *world {
	w := newWorldOf(t, system, options)
	require.NoError(t, w.hub.Declare(double.Name(), shout.Name()))
	synctest.Wait()
	return w
}

// newWorldOf is newWorld with a hub that knows no types but those in its store.
func newWorldOf(t testingT, system *actor.ActorSystem, options routing.Options) *world {
	w := &world{t: t, system: system}
	if options.RetryBackoff == (routing.Backoff{}) {
		options.RetryBackoff = routing.Backoff{Min: time.Second, Max: time.Second, Jitter: -1}
	}
	callback := options.OnEvent
	options.OnEvent = func(e routing.Event) {
		w.mu.Lock()
		w.events = append(w.events, e)
		w.mu.Unlock()
		if callback != nil {
			callback(e)
		}
	}
	hub, err := routing.NewHub(options)
	require.NoError(t, err)
	w.hub, w.options = hub, options
	w.startDriver()
	return w
}

func (w *world) startDriver() {
	w.driver = w.system.Root.Spawn(actor.PropsFromProducer(w.hub.Actor()))
	synctest.Wait()
}

func (w *world) stopDriver() {
	if w.driver != nil {
		w.system.Root.Stop(w.driver)
		w.driver = nil
		synctest.Wait()
	}
}

func (w *world) end() {
	w.hub.Close(nil)
	w.stopDriver()
	require.True(w.t, w.hub.Counts().Balanced())
}

// pass lets virtual time pass, and everything happen that happens then.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) submit(n int, options ...routing.SubmitOption) *routing.Handle[int] {
	w.t.Helper()
	handle, err := double.Submit(context.Background(), w.hub, n, options...)
	require.NoError(w.t, err)
	synctest.Wait()
	return handle
}

func (w *world) kinds(kinds ...routing.EventKind) (found []routing.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if slices.Contains(kinds, e.Kind) {
			found = append(found, e)
		}
	}
	return found
}

// spoke is a hand-made spoke: it keeps the leases that it is delivered until the test settles them.
type spoke struct {
	*routing.Spoke
	w *world

	mu   sync.Mutex
	held []*routing.Lease
}

func (w *world) join(path string, incarnation uint64, credits int, types ...string) *spoke {
	w.t.Helper()
	return w.joinBehind(nil, path, incarnation, credits, types...)
}

// joinBehind joins a spoke that is behind circuits.
func (w *world) joinBehind(circuits []string, path string, incarnation uint64, credits int, types ...string) *spoke {
	w.t.Helper()
	if types == nil {
		types = []string{double.Name()}
	}
	s := &spoke{w: w}
	joined, err := w.hub.Join(routing.SpokeSpec{
		ID: routing.SpokeID{Path: path, Incarnation: incarnation}, Types: types, Credits: credits, Circuits: circuits,
		Deliver: s.take,
	})
	require.NoError(w.t, err)
	s.Spoke = joined
	synctest.Wait()
	return s
}

func (s *spoke) take(l *routing.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, l)
}

func (s *spoke) leases() []*routing.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.held)
}

// only returns the one lease that the spoke holds.
func (s *spoke) only() *routing.Lease {
	s.w.t.Helper()
	held := s.leases()
	require.Len(s.w.t, held, 1, "leases held by %v", s.ID())
	return held[0]
}

func (s *spoke) holdsNothing() {
	s.w.t.Helper()
	require.Empty(s.w.t, s.leases(), "leases held by %v", s.ID())
}

// settle settles a lease; the next one that comes with it is held too.
func (s *spoke) settle(l *routing.Lease, o routing.Outcome) (accepted bool) {
	s.mu.Lock()
	s.held = slices.DeleteFunc(s.held, func(h *routing.Lease) bool { return h == l })
	s.mu.Unlock()
	next, accepted := l.Settle(o)
	if next != nil {
		s.take(next)
	}
	synctest.Wait()
	return accepted
}

// settleOnly settles the one lease that the spoke holds.
func (s *spoke) settleOnly(o routing.Outcome) {
	s.w.t.Helper()
	require.True(s.w.t, s.settle(s.only(), o), "outcome accepted")
}

// crash reports a crash and replaces the spoke by its next incarnation.
func (s *spoke) crash(stack string) *spoke {
	s.w.t.Helper()
	s.settleOnly(routing.Crashed(fmt.Errorf("panic in %s", stack), func() string { return stack }))
	s.Leave(nil)
	id := s.ID()
	return s.w.join(id.Path, id.Incarnation+1, 1)
}

// serve makes a spoke that runs its leases by itself.
func (w *world) serve(path string, fn func(context.Context, int) (int, error)) *routing.Spoke {
	w.t.Helper()
	handler := routing.HandlerOf(double, fn)
	work := func(l *routing.Lease) {
		for l != nil {
			out, err := handler.Run(l.Context(context.Background()), l.Input())
			outcome := routing.Done(out)
			if err != nil {
				outcome = routing.Error(err)
			}
			l, _ = l.Settle(outcome)
		}
	}
	s, err := w.hub.Join(routing.SpokeSpec{
		ID: routing.SpokeID{Path: path}, Types: []string{double.Name()},
		Deliver: func(l *routing.Lease) { go work(l) },
	})
	require.NoError(w.t, err)
	return s
}

func await(t testingT, handle *routing.Handle[int]) (int, error) {
	t.Helper()
	select {
	case <-handle.Done():
	default:
		require.FailNow(t, "the task is not settled", "it is %v", handle.Status())
	}
	return handle.Await(context.Background())
}

// testingT is what tests and property tests have in common.
type testingT interface {
	require.TestingT
	Helper()
}
