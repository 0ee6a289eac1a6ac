package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

var orders = routing.NewType[order, uint64]("order")

// TestTasksStress lets everything happen in virtual time to a tree whose agents work on scripted tasks, and checks law 3 and that each task ends
// as its script says: agents crash, hang, stop, join and are killed, so are their supervisors and the hub; types, spokes and the hub are
// paused; tasks are cancelled, have deadlines and subtasks, leave quarantine again. Run one again with -run 'TestTasksStress/seed_7$'.
func TestTasksStress(t *testing.T) {
	seeded(t, 12, func(t *testing.T, r *rand.Rand) {
		newTasksStress(t, r, scriptRates{failing: 60, poisoned: 60, retried: 200, parted: 150, slow: 500, later: 100, pause: 300 * time.Millisecond, hang: true}).run(150)
	})
}

// tasksStress is one run. Its own fields belong to the test's goroutine.
type tasksStress struct {
	t        *testing.T
	r        *rand.Rand
	rates    scriptRates
	perform  *performer
	tree     *actors.Tree
	books    *taskBooks
	pools    int
	helpers  sync.WaitGroup
	log      []string
	expected map[string]*expectation

	mu    sync.Mutex
	ended map[string]routing.State // by id; of quarantined tasks the latest time
	bad   []string
}

// expectation is how a task that was submitted by the test may end.
type expectation struct {
	order     order
	fate      routing.State
	handle    *routing.Handle[uint64]
	cancelled bool // somebody may have cancelled it
	deadline  bool
}

var stressBalancers = map[string]func(seed uint64) routing.Balancer{
	"least loaded":    func(uint64) routing.Balancer { return routing.LeastLoaded() },
	"round robin":     func(uint64) routing.Balancer { return routing.RoundRobin() },
	"random":          func(seed uint64) routing.Balancer { return routing.Random(seed) },
	"power of two":    func(seed uint64) routing.Balancer { return routing.PowerOfTwo(seed) },
	"consistent hash": func(uint64) routing.Balancer { return routing.ConsistentHash() },
}

func newTasksStress(t *testing.T, r *rand.Rand, rates scriptRates) *tasksStress {
	letReturn(t)
	s := &tasksStress{t: t, r: r, rates: rates, expected: map[string]*expectation{}, ended: map[string]routing.State{}}
	s.books = newTaskBooks(s.end)
	s.books.told = map[string][]routing.Event{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what was done:\n%s", strings.Join(s.log, "\n"))
		}
	})
	balancer := pick(r, "least loaded", "round robin", "random", "power of two", "consistent hash", "consistent hash")
	s.say("balancer %s", balancer)
	s.perform = &performer{rates: rates, hang: time.Minute, kind: orders, hub: func() *routing.Hub { return s.tree.Hub() }}
	policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(50 * time.Millisecond))
	strategy := func() strategies.Strategy {
		return pick(r, strategies.OneForOne(policy), strategies.OneForAll(policy), strategies.RestForOne(policy))
	}
	root := actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy)}
	s.pools = 3
	for i := range s.pools {
		root.Children = append(root.Children, actors.Supervisor{ID: fmt.Sprint("pool", i), Strategy: strategy(), Children: []actors.Child{actors.Pool(3, s.agent("w"))}})
	}
	var store routing.Store
	if r.IntN(2) == 0 {
		s.say("with a store")
		store = newShelf()
	}
	s.tree = start(t, root, actors.WithAbandonLimit(1<<20), actors.WithHub(routing.Options{
		OnEvent: s.books.hear, AttemptTimeout: 5 * time.Second, Balancer: stressBalancers[balancer](r.Uint64()), Capacity: 100, Results: pick(r, -1, 10, 1000),
		Store: store,
	}))
	return s
}

func (s *tasksStress) say(format string, args ...any) {
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

func (s *tasksStress) agent(id string) actors.AgentSpec {
	a := actors.Agent(id, orders, s.perform.handle)
	a.Credits = 1 + s.r.IntN(3)
	a.Shutdown = time.Duration(100+s.r.IntN(3000)) * time.Millisecond
	if s.r.IntN(5) == 0 {
		a.Shutdown = actors.BrutalKill
	}
	return a
}

// end is told by the books how a task ended.
func (s *tasksStress) end(id string, state routing.State, strikes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[id] = state
	if state == routing.StateQuarantined && strikes != 3 {
		s.bad = append(s.bad, fmt.Sprintf("%s is in quarantine after %d strikes", id, strikes))
	}
}

func (s *tasksStress) run(steps int) {
	for range steps {
		s.step()
		time.Sleep(time.Duration(s.r.IntN(100)) * time.Millisecond)
		require.True(s.t, s.tree.Hub().Counts().Balanced())
		synctest.Wait()
		require.Empty(s.t, s.books.difference(s.tree.Hub().Counts()))
	}
	s.helpers.Wait()
	s.tree.Hub().Resume()
	_ = s.tree.Hub().ResumeType(orders.Name())
	for _, spoke := range s.tree.Hub().Spokes() {
		_ = s.tree.Hub().ResumeSpoke(spoke.ID.Path)
	}
	s.settleAll()
	if err := s.tree.Stop(within(s.t, time.Hour)); err != nil {
		var left *actors.AbandonedError
		require.ErrorAs(s.t, err, &left)
	}
	time.Sleep(2 * time.Minute) // who is deaf returns, with results that nobody wants
	s.check()
	requireNoGoroutines(s.t)
}

// settleAll waits until all tasks are settled.
func (s *tasksStress) settleAll() {
	for _, e := range s.expected {
		_, err := e.handle.Await(within(s.t, 24*time.Hour))
		if err != nil {
			var settled *routing.TaskError
			require.ErrorAs(s.t, err, &settled, "task %s is %v: nobody works on it", e.handle.ID(), e.handle.Status())
		}
	}
	require.NoError(s.t, s.tree.Hub().Drain(within(s.t, 24*time.Hour)), "subtasks")
}

// check closes the books.
func (s *tasksStress) check() {
	hub := s.tree.Hub()
	counts := hub.Counts()
	require.Empty(s.t, s.books.difference(counts))
	require.Zero(s.t, counts.Unsettled())
	require.Empty(s.t, s.bad)
	quarantined := map[string]routing.TaskSnapshot{}
	for _, q := range hub.Quarantined() {
		quarantined[q.ID] = q
	}
	for id, e := range s.expected {
		state := s.ended[id]
		allowed := state == e.fate || e.cancelled && state == routing.StateCancelled || e.deadline && state == routing.StateExpired
		require.True(s.t, allowed, "%s is %v, was to be %v: %+v\n%s", id, state, e.fate, e.order.script(s.rates), s.books.story(id))
		switch state {
		case routing.StateDone:
			got, err := e.handle.Await(s.t.Context())
			require.NoError(s.t, err)
			require.Equal(s.t, e.order.sum(s.rates), got)
		case routing.StateQuarantined:
			s.checkQuarantined(quarantined[id])
			delete(quarantined, id)
		}
	}
	require.Empty(s.t, quarantined, "nobody else is in quarantine")
	for id, state := range s.ended {
		if s.expected[id] == nil { // a subtask; its parent may have been cut short
			require.Contains(s.t, []routing.State{routing.StateDone, routing.StateCancelled, routing.StateExpired}, state, id)
		}
	}
}

// checkQuarantined checks that the last three strikes of a task are on record, with the stacks of those that panicked.
func (s *tasksStress) checkQuarantined(q routing.TaskSnapshot) {
	require.Equal(s.t, routing.StateQuarantined, q.State)
	require.Equal(s.t, 3, q.Strikes, q.ID)
	strikes := 0
	for _, a := range q.Attempts {
		switch a.Outcome {
		case routing.OutcomeCrashed:
			strikes++
			if !errors.Is(a.Err, actors.ErrGoexit) {
				require.Contains(s.t, a.Stack(), "(*performer).play", "of attempt %d of %s", a.Number, q.ID)
			}
		case routing.OutcomeHung, routing.OutcomeTimedOut:
			strikes++
		}
	}
	require.GreaterOrEqual(s.t, strikes, 3)
}

// ---- what happens

func (s *tasksStress) step() {
	switch n := s.r.IntN(100); {
	case n < 60:
		s.submit()
	case n < 66:
		s.cancel()
	case n < 76:
		s.kill()
	case n < 84:
		s.reshape()
	case n < 92:
		s.pause()
	default:
		s.release()
	}
}

func (s *tasksStress) submit() {
	o := order{Number: s.r.Uint64()}
	e := &expectation{order: o, fate: o.script(s.rates).fate}
	options := []routing.SubmitOption{routing.ID(fmt.Sprint("t", len(s.expected))), routing.Priority(s.r.IntN(5) - 2)}
	if s.r.IntN(3) == 0 {
		options = append(options, routing.Key(pick(s.r, "a", "b", "c", "d")))
	}
	if s.r.IntN(8) == 0 {
		options = append(options, routing.Deadline(time.Now().Add(time.Duration(1+s.r.IntN(5000))*time.Millisecond)))
		e.deadline = true
	}
	handle, err := orders.Submit(s.t.Context(), s.tree, o, options...)
	var full *routing.QueueFullError
	if errors.As(err, &full) {
		time.Sleep(full.RetryAfter())
		return
	}
	require.NoError(s.t, err)
	e.handle = handle
	s.expected[handle.ID()] = e
	again, err := orders.Submit(s.t.Context(), s.tree, o, options...)
	if handle.Status() == routing.StateWaiting {
		require.NoError(s.t, err)
		require.Equal(s.t, handle.ID(), again.ID())
	}
	if err == nil { // it may be another: the hub may have forgotten the first already
		e.handle = again
	}
	s.say("submit %s: %+v", handle.ID(), o.script(s.rates))
}

func (s *tasksStress) some() *expectation {
	if len(s.expected) == 0 {
		return nil
	}
	return s.expected[fmt.Sprint("t", s.r.IntN(len(s.expected)))]
}

func (s *tasksStress) cancel() {
	if e := s.some(); e != nil {
		e.cancelled = true
		s.say("cancel %s: %t", e.handle.ID(), e.handle.Cancel(errBoom))
	}
}

func (s *tasksStress) poolPath() string { return fmt.Sprint("root/pool", s.r.IntN(s.pools)) }

func (s *tasksStress) agentPath() string { return fmt.Sprintf("%s/w-%d", s.poolPath(), 1+s.r.IntN(3)) }

func (s *tasksStress) kill() {
	path := pick(s.r, "root/$hub", s.poolPath(), s.agentPath(), s.agentPath(), s.agentPath())
	s.say("kill %s: %v", path, s.tree.Kill(path))
}

// reshape takes agents away, brings them back, and adds more.
func (s *tasksStress) reshape() {
	path, delay := pick(s.r, s.poolPath(), s.agentPath()), time.Duration(s.r.IntN(2000))*time.Millisecond
	if s.r.IntN(2) == 0 {
		s.say("take %s away for %v", path, delay)
		s.helpers.Go(func() {
			_ = s.tree.TerminateChild(context.Background(), path)
			time.Sleep(delay)
			_, _ = s.tree.RestartChild(context.Background(), path)
		})
		return
	}
	pool, agent := s.poolPath(), s.agent(fmt.Sprint("extra", len(s.log)))
	s.say("%s is in %s for %v", agent.ID, pool, delay)
	s.helpers.Go(func() {
		if _, err := s.tree.StartChild(context.Background(), pool, agent); err != nil {
			return // the pool may be away
		}
		time.Sleep(delay)
		_ = s.tree.TerminateChild(context.Background(), pool+"/"+agent.ID)
		_ = s.tree.DeleteChild(context.Background(), pool+"/"+agent.ID)
	})
}

func (s *tasksStress) pause() {
	hub, path := s.tree.Hub(), s.agentPath()
	stop, resume := hub.Pause, hub.Resume
	switch s.r.IntN(3) {
	case 0:
		stop, resume = func() { _ = hub.PauseType(orders.Name()) }, func() { _ = hub.ResumeType(orders.Name()) }
	case 1:
		stop, resume = func() { _ = hub.PauseSpoke(path) }, func() { _ = hub.ResumeSpoke(path) }
	}
	s.say("pause, at most %s", path)
	stop()
	time.AfterFunc(time.Duration(s.r.IntN(3000))*time.Millisecond, resume)
}

// release takes something out of quarantine: to be tried again, which will be in vain.
func (s *tasksStress) release() {
	for _, q := range s.tree.Hub().Quarantined() {
		if e := s.expected[q.ID]; e != nil && s.r.IntN(2) == 0 {
			err := s.tree.Hub().Requeue(q.ID)
			s.say("requeue %s: %v", q.ID, err)
			if err == nil {
				again, err := orders.Submit(s.t.Context(), s.tree, e.order, routing.ID(q.ID)) // another one, if its deadline has passed and it is forgotten
				require.NoError(s.t, err)
				e.handle = again
			}
			return
		}
	}
}
