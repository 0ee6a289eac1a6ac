package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

// soak multiplies the rounds of random tests: the environment variable MISTERSMITH_SOAK, or 1.
func soak() int {
	n, _ := strconv.Atoi(os.Getenv("MISTERSMITH_SOAK"))
	return max(n, 1)
}

// firstSeed is where the seeds of random tests begin: the environment variable MISTERSMITH_SEED, or 0.
func firstSeed() uint64 {
	seed, _ := strconv.ParseUint(os.Getenv("MISTERSMITH_SEED"), 10, 64)
	return seed
}

// inVirtualTime runs a test in a bubble of its own: time passes only when everybody waits, and no goroutine may be left at the end.
func inVirtualTime(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // protoactor's dead letter throttle lives on for a moment
		f(t)
	})
}

// seeded runs a random test once for each seed, times the soak.
func seeded(t *testing.T, seeds int, f func(t *testing.T, r *rand.Rand)) {
	t.Helper()
	for seed := firstSeed(); seed < firstSeed()+uint64(seeds*soak()); seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) { f(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// journal is what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// take returns what was written since the last take.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// do is a message that an actor of these tests carries out.
type do func(ctx actor.Context)

func crash(actor.Context) { panic(errBoom) }

func goexit() { runtime.Goexit() }

var errBoom = fmt.Errorf("boom")

// hooks are what an actor does besides writing in its journal; each is optional.
type hooks struct {
	produce, started, stopping, stopped, receive func(ctx actor.Context)
}

func call(f func(actor.Context), ctx actor.Context) {
	if f != nil {
		f(ctx)
	}
}

// scripted is an actor that writes "start a" when its start begins, "up a" when it is through, "stop a" and "down a" when it stops, and
// carries out the orders it is sent.
func scripted(id string, j *journal, h hooks) actors.ActorSpec {
	return actors.Actor(id, func() actor.Actor {
		call(h.produce, nil)
		return actor.ReceiveFunc(func(ctx actor.Context) {
			switch m := ctx.Message().(type) {
			case *actor.Started:
				j.add("start %s", id)
				call(h.started, ctx)
				j.add("up %s", id)
			case *actor.Stopping:
				j.add("stop %s", id)
				call(h.stopping, ctx)
			case *actor.Stopped:
				call(h.stopped, ctx)
				j.add("down %s", id)
			case do:
				m(ctx)
			default:
				call(h.receive, ctx)
			}
		})
	})
}

// plain is a scripted actor without a journal.
func plain(id string, h hooks) actors.ActorSpec { return scripted(id, &journal{}, h) }

func start(t *testing.T, root actors.Supervisor, opts ...actors.Option) *actors.Tree {
	t.Helper()
	tree, err := actors.Start(context.Background(), root, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { kill(tree) })
	return tree
}

// kill stops a tree without waiting for anybody, so that a test that fails comes to its end.
func kill(tree *actors.Tree) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = tree.Stop(ctx)
}

// gate is what user code hangs at until it is opened, at the latest at the end of the test.
type gate struct {
	once   sync.Once
	opened chan struct{}
}

func newGate(t *testing.T) *gate {
	g := &gate{opened: make(chan struct{})}
	t.Cleanup(g.open)
	return g
}

func (g *gate) open() { g.once.Do(func() { close(g.opened) }) }
func (g *gate) wait() { <-g.opened }

// stop stops a tree that must stop cleanly.
func stop(t *testing.T, tree *actors.Tree) {
	t.Helper()
	require.NoError(t, tree.Stop(context.Background()))
}

func send(tree *actors.Tree, path string, message any) {
	tree.ActorSystem().Root.Send(tree.PID(path), message)
}

// submitMany submits the jobs 0 to n-1.
func submitMany(t *testing.T, tree *actors.Tree, n int) (handles []*routing.Handle[int]) {
	t.Helper()
	for i := range n {
		h, err := job.Submit(t.Context(), tree, i)
		require.NoError(t, err)
		handles = append(handles, h)
	}
	return handles
}

// busyGrace is how long a tree that ends waits for code that was just cut off.
const busyGrace = 10 * time.Millisecond

// stopTime stops a tree, and returns how long it took until it had ended, and what Stop says.
func stopTime(ctx context.Context, tree *actors.Tree) (time.Duration, error) {
	begun := time.Now()
	result := make(chan error, 1)
	go func() { result <- tree.Stop(ctx) }()
	<-tree.Done()
	held := time.Since(begun)
	return held, <-result
}

// node returns the snapshot of a node that must be there.
func node(t *testing.T, tree *actors.Tree, path string) actors.NodeSnapshot {
	t.Helper()
	n, ok := tree.Node(path)
	require.True(t, ok, "no node %s", path)
	return n
}

// requireRunning checks that a node is up as the incarnation given.
func requireRunning(t *testing.T, tree *actors.Tree, path string, incarnation int) {
	t.Helper()
	n := node(t, tree, path)
	require.Equal(t, actors.StatusRunning, n.Status, "%s is %s", path, n.Status)
	require.Equal(t, uint64(incarnation), n.Incarnation, path)
}

// requireAlive checks that a scripted actor answers.
func requireAlive(t *testing.T, tree *actors.Tree, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	got, err := actors.Ask[string](ctx, tree, tree.PID(path), do(func(ctx actor.Context) { ctx.Respond("here") }))
	require.NoError(t, err)
	require.Equal(t, "here", got)
}

// took returns how much time passes in f.
func took(f func()) time.Duration {
	begun := time.Now()
	f()
	return time.Since(begun)
}

// drain returns what a closed subscription was sent.
func drain(s *actors.Subscription) []actors.Event {
	var events []actors.Event
	for e := range s.Events() {
		events = append(events, e)
	}
	return events
}

// pending returns what a subscription was sent so far.
func pending(s *actors.Subscription) []actors.Event {
	var events []actors.Event
	for {
		select {
		case e, ok := <-s.Events():
			if !ok {
				return events
			}
			events = append(events, e)
		default:
			return events
		}
	}
}
