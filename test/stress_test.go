package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// TestStress generates trees, lets everything happen to them in virtual time, and checks the laws: 1, 2, 4, 5, 6, 7 and 8.
func TestStress(t *testing.T) {
	seeded(t, 40, func(t *testing.T, r *rand.Rand) { newStress(t, r, wild).run(50, anyEnd) })
}

// TestStressStoppedAfterEveryStep stops the tree in the midst of it, after each step that there is: nothing is left.
func TestStressStoppedAfterEveryStep(t *testing.T) {
	for seed := range uint64(soak()) {
		for steps := range 50 {
			t.Run(fmt.Sprintf("seed %d, step %d", seed, steps), func(t *testing.T) {
				inVirtualTime(t, func(t *testing.T) { newStress(t, rand.New(rand.NewPCG(seed, 2)), wild).run(steps, endInTheMidst) })
			})
		}
	}
}

// TestStressRegressions are seeds that found something, with what there was to find it with.
func TestStressRegressions(t *testing.T) {
	for _, found := range []struct {
		seed  uint64
		scope scope
	}{{2, plainTrees}, {3, plainTrees}, {12, plainTrees}, {14, plainTrees}, {204, plainTrees}} {
		t.Run(fmt.Sprint(found.seed), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T) { newStress(t, rand.New(rand.NewPCG(found.seed, 1)), found.scope).run(50, anyEnd) })
		})
	}
}

// scope is what a run draws lots about. A seed means another run with another one.
type scope int

const (
	plainTrees scope = iota
	wild             // besides, supervisors end with significant children, and have an Init that fails, takes its time or asks to be ignored
)

// ending is how a run ends: a tree at rest is stopped, or one in the midst of it.
type ending int

const (
	anyEnd ending = iota
	endInTheMidst
)

const (
	stressPatience  = time.Hour        // within which any call must be answered
	stressQuiet     = 10 * time.Minute // after which nothing goes on any more
	stressAbandoned = 1000
)

// stress is one run. Its own fields belong to the test's goroutine.
type stress struct {
	t       *testing.T
	r       *rand.Rand
	scope   scope
	tree    *actors.Tree
	traffic *traffic
	specs   map[string]actors.Child
	serial  int
	touched map[string]bool // supervisors with a child that somebody took down by a call
	log     []string

	mu    sync.Mutex
	moods map[string]*mood // of the actors, by path
}

// mood is how an actor behaves from now on. Each entry wears off when it has had its effect.
type mood struct {
	failStarts int
	ignore     bool
	slowStart  time.Duration
	slowStop   time.Duration
	panicStop  bool
}

func newStress(t *testing.T, r *rand.Rand, scope scope) *stress {
	s := &stress{t: t, r: r, scope: scope, traffic: newTraffic(), specs: map[string]actors.Child{}, touched: map[string]bool{}, moods: map[string]*mood{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what was done:\n%s", strings.Join(s.log, "\n"))
		}
	})
	return s
}

func (s *stress) say(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

func (s *stress) name(kind string) string {
	s.serial++
	return fmt.Sprintf("%s%d", kind, s.serial)
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// ---- the tree

func (s *stress) strategy() strategies.Strategy {
	policy := strategies.AlwaysRestart()
	switch s.r.IntN(4) {
	case 0:
		policy = strategies.MaxRestarts(s.r.IntN(4), time.Duration(1+s.r.IntN(10))*time.Second)
	case 1:
		policy = strategies.MaxRestarts(s.r.IntN(4), 10*time.Second).WithWhenSpent(pick(s.r, strategies.SpentStopChild, strategies.SpentStopSupervisor, strategies.SpentIgnore))
	}
	if s.r.IntN(2) == 0 {
		policy = policy.WithBackoff(strategies.Exponential(time.Duration(1+s.r.IntN(500))*time.Millisecond, 2*time.Second))
	}
	if s.r.IntN(5) == 0 {
		policy = policy.WithDecider(func(reason error) actor.Directive {
			switch {
			case errors.Is(reason, errResume):
				return actor.ResumeDirective
			case errors.Is(reason, errEscalate):
				return actor.EscalateDirective
			}
			return actor.RestartDirective
		})
	}
	switch s.r.IntN(3) {
	case 0:
		return strategies.OneForAll(policy)
	case 1:
		return strategies.RestForOne(policy)
	}
	return strategies.OneForOne(policy)
}

var (
	errResume   = errors.New("resume me")
	errEscalate = errors.New("escalate me")
)

func (s *stress) lifecycle(supervisor bool) actors.Lifecycle {
	l := actors.Lifecycle{Restart: pick(s.r, actors.Permanent, actors.Permanent, actors.Permanent, actors.Transient, actors.Temporary)}
	switch s.r.IntN(4) {
	case 0:
		l.Shutdown = actors.BrutalKill
	case 1:
		l.Shutdown = time.Duration(1+s.r.IntN(3000)) * time.Millisecond
	}
	if !supervisor {
		l.StartTimeout = time.Duration(1+s.r.IntN(3)) * time.Second
		l.Queue = 1 + s.r.IntN(20)
		l.Overflow = pick(s.r, actors.Reject, actors.DropOldest)
	}
	return l
}

func (s *stress) actor(parent string) actors.ActorSpec {
	id := s.name("a")
	spec := actors.Actor(id, func() actor.Actor {
		var ready bool
		return actor.ReceiveFunc(func(ctx actor.Context) {
			path := ctx.Self().Id
			switch m := ctx.Message().(type) {
			case *actor.Started:
				if ready {
					panic("started twice")
				}
				ready = true
				s.starting(ctx, path)
			case *actor.Stopping:
				s.stopping(path)
			case *parcel:
				if !ready {
					panic("a message before Started")
				}
				s.traffic.begin(ctx, m)
			case do:
				m(ctx)
			}
		})
	})
	return spec.With(s.lifecycle(false))
}

func (s *stress) mood(path string) *mood {
	m := s.moods[path]
	if m == nil {
		m = &mood{}
		s.moods[path] = m
	}
	return m
}

func (s *stress) change(path string, f func(*mood)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.mood(path))
}

// startMood is how a node is to start, this time.
func (s *stress) startMood(path string) (delay time.Duration, fails, ignore bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.mood(path)
	delay, fails, ignore = m.slowStart, m.failStarts > 0, m.ignore
	m.slowStart, m.ignore = 0, false
	if fails {
		m.failStarts--
	}
	return delay, fails, ignore
}

func (s *stress) starting(ctx actor.Context, path string) {
	delay, fails, ignore := s.startMood(path)
	time.Sleep(delay)
	switch {
	case fails:
		panic(errBoom)
	case ignore:
		actors.Exit(ctx, actors.ErrIgnore)
	}
}

func (s *stress) stopping(path string) {
	s.mu.Lock()
	m := s.mood(path)
	delay, panics := m.slowStop, m.panicStop
	m.slowStop, m.panicStop = 0, false
	s.mu.Unlock()
	time.Sleep(delay)
	if panics {
		panic(errBoom)
	}
}

func (s *stress) supervisor(parent string, depth int) actors.Supervisor {
	sup := actors.Supervisor{ID: s.name("s"), Lifecycle: s.lifecycle(true)}
	path := parent + "/" + sup.ID
	sup.Init = func(context.Context) error { return s.init(path) }
	if s.r.IntN(5) == 0 {
		sup.Template = s.actor(path)
		policy := strategies.AlwaysRestart()
		if s.r.IntN(2) == 0 {
			policy = strategies.MaxRestarts(2, 5*time.Second)
		}
		sup.Strategy = strategies.OneForOne(policy)
	} else {
		sup.Strategy = s.strategy()
		if s.scope == wild && s.r.IntN(5) == 0 {
			sup.AutoShutdown = pick(s.r, actors.AutoShutdownAny, actors.AutoShutdownAll)
		}
		for range 1 + s.r.IntN(4) {
			sup.Children = append(sup.Children, s.significant(s.child(path, depth-1), sup.AutoShutdown))
		}
	}
	s.specs[path] = sup
	return sup
}

// significant makes an actor significant now and then, where it may be.
func (s *stress) significant(c actors.Child, auto actors.AutoShutdown) actors.Child {
	a, ok := c.(actors.ActorSpec)
	if ok && auto != actors.AutoShutdownNever && a.Restart != actors.Permanent {
		a.Significant = s.r.IntN(2) == 0
		return a
	}
	return c
}

// init is the Init of a supervisor: as it is in the mood for.
func (s *stress) init(path string) error {
	switch delay, fails, ignore := s.startMood(path); {
	case fails:
		time.Sleep(delay)
		return errBoom
	case ignore:
		return actors.ErrIgnore
	default:
		time.Sleep(delay)
		return nil
	}
}

func (s *stress) child(parent string, depth int) actors.Child {
	if depth > 0 && s.r.IntN(3) == 0 {
		return s.supervisor(parent, depth)
	}
	return s.actor(parent)
}

// ---- what happens

// nodes lists the paths of all nodes below the root, and of those that are supervisors.
func (s *stress) nodes() (all []actors.NodeSnapshot) {
	var walk func(n actors.NodeSnapshot)
	walk = func(n actors.NodeSnapshot) {
		for _, c := range n.Children {
			all = append(all, c)
			walk(c)
		}
	}
	walk(s.tree.Snapshot())
	return all
}

func (s *stress) some(kind actors.Kind) (actors.NodeSnapshot, bool) {
	all := slices.DeleteFunc(s.nodes(), func(n actors.NodeSnapshot) bool { return n.Kind != kind })
	if len(all) == 0 {
		return actors.NodeSnapshot{}, false
	}
	return pick(s.r, all...), true
}

func (s *stress) run(steps int, end ending) {
	var children []actors.Child
	for range 2 + s.r.IntN(3) {
		children = append(children, s.child("root", 3))
	}
	policy := strategies.AlwaysRestart().WithBackoff(strategies.Fixed(10 * time.Millisecond))
	tree, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy), Children: children},
		actors.WithSubscription(s.traffic.events), actors.WithAbandonLimit(stressAbandoned))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { kill(tree); time.Sleep(stressQuiet) })
	s.tree = tree
	s.traffic.listen(tree)
	quietEnd := end == anyEnd && s.r.IntN(2) == 0
	for range steps {
		s.step()
		s.checkAlways()
		switch s.r.IntN(6) {
		case 0:
			s.settle()
		case 1, 2:
			time.Sleep(time.Duration(s.r.IntN(2000)) * time.Millisecond)
		case 3:
			synctest.Wait()
		}
	}
	if quietEnd {
		s.settle()
		s.stopInOrder()
	} else {
		s.say("stop in the midst of it")
		s.stopTree(stressPatience)
	}
	s.traffic.check(s.t)
	require.Empty(s.t, tree.Abandoned())
}

func (s *stress) step() {
	switch op := s.r.IntN(22); op {
	case 0, 1, 2, 3:
		s.toActor("crash", do(crash))
	case 4:
		s.toActor("exit", do(func(ctx actor.Context) { actors.Exit(ctx, pickReason(ctx)) }))
	case 5:
		s.toActor("stop itself", do(func(ctx actor.Context) { ctx.Stop(ctx.Self()) }))
	case 6:
		d := time.Duration(s.r.IntN(20_000)) * time.Millisecond
		s.toActor(fmt.Sprintf("hang for %s", d), do(func(actor.Context) { time.Sleep(d) }))
	case 7:
		reason := pick(s.r, errResume, errEscalate)
		s.toActor(reason.Error(), do(func(actor.Context) { panic(reason) }))
	case 8:
		if n, ok := s.some(s.starter()); ok {
			k := s.r.IntN(4)
			s.say("%s: the next %d starts fail, slowly", n.Path, k)
			s.change(n.Path, func(m *mood) { m.failStarts = k; m.slowStart = time.Duration(s.r.IntN(4000)) * time.Millisecond })
		}
	case 9:
		if n, ok := s.some(actors.KindActor); ok {
			s.say("%s: the next stop is slow or panics", n.Path)
			s.change(n.Path, func(m *mood) {
				m.slowStop = time.Duration(s.r.IntN(10_000)) * time.Millisecond
				m.panicStop = s.r.IntN(3) == 0
			})
		}
	case 10:
		if n, ok := s.some(s.starter()); ok {
			s.say("%s: the next start is ignored", n.Path)
			s.touched[parentOf(n.Path)] = true
			s.change(n.Path, func(m *mood) { m.ignore = true })
		}
	case 11, 12:
		n := pick(s.r, append(s.nodes(), node(s.t, s.tree, "root/$hub"))...)
		s.say("kill %s: %v", n.Path, s.tree.Kill(n.Path))
	case 13, 14, 15:
		s.send()
	default:
		s.call(op - 16)
	}
}

// starter is the kind of a node whose start is to go wrong.
func (s *stress) starter() actors.Kind {
	if s.scope == wild {
		return pick(s.r, actors.KindActor, actors.KindActor, actors.KindSupervisor)
	}
	return actors.KindActor
}

func pickReason(ctx actor.Context) error {
	switch len(ctx.Self().Id) % 3 {
	case 0:
		return nil
	case 1:
		return actors.ErrShutdown
	}
	return errBoom
}

func parentOf(path string) string { return path[:strings.LastIndexByte(path, '/')] }

func (s *stress) toActor(what string, message any) {
	if n, ok := s.some(actors.KindActor); ok {
		s.say("%s: %s", n.Path, what)
		s.tree.ActorSystem().Root.Send(n.PID, message)
	}
}

// send sends a burst, now and then with a crash or a nap in it.
func (s *stress) send() {
	n, ok := s.some(actors.KindActor)
	if !ok {
		return
	}
	s.say("%s: a burst", n.Path)
	for range 1 + s.r.IntN(30) {
		d := time.Duration(s.r.IntN(100)) * time.Millisecond
		p := s.traffic.make("test", n.Path, s.r.IntN(30) == 0, func(actor.Context) { time.Sleep(d) })
		s.traffic.post(s.tree, n.PID, p)
	}
}

// refusals are the errors that a call may come back with.
var refusals = []error{actors.ErrAlreadyPresent, actors.ErrAlreadyStarted, actors.ErrDynamic, actors.ErrNotFound, actors.ErrNotSupervisor, actors.ErrRestarting,
	actors.ErrRunning, actors.ErrStopped}

func (s *stress) call(op int) {
	ctx, cancel := context.WithTimeout(context.Background(), stressPatience)
	defer cancel()
	sup, ok := s.some(actors.KindSupervisor)
	if !ok || s.r.IntN(5) == 0 {
		sup = s.tree.Snapshot()
	}
	any := pick(s.r, append(s.nodes(), sup)...)
	var err error
	var what string
	begun := time.Now()
	switch op {
	case 0:
		what = "start in " + sup.Path
		_, err = s.tree.StartChild(ctx, sup.Path, s.child(sup.Path, 2))
		s.touched[sup.Path] = true
	case 1:
		what = "start instance of " + sup.Path
		_, err = s.tree.StartInstance(ctx, sup.Path, fmt.Sprintf("i%d", s.r.IntN(5)))
		if err != nil && strings.Contains(err.Error(), "not a dynamic supervisor") {
			err = nil
		}
	case 2, 3:
		if any.Kind == actors.KindRoot {
			return
		}
		what = "terminate " + any.Path
		s.touched[parentOf(any.Path)] = true
		err = s.tree.TerminateChild(ctx, any.Path)
	case 4:
		if any.Kind == actors.KindRoot {
			return
		}
		what = "restart or delete " + any.Path
		if s.r.IntN(3) > 0 {
			_, err = s.tree.RestartChild(ctx, any.Path)
		} else {
			err = s.tree.DeleteChild(ctx, any.Path)
		}
	case 5:
		what = "reconfigure " + sup.Path
		err = s.reconfigure(ctx, sup.Path)
	}
	s.say("%s: %v", what, err)
	require.NotErrorIs(s.t, err, context.DeadlineExceeded, "%s: nobody answers", what)
	require.Less(s.t, time.Since(begun), stressPatience)
	var failed *actors.StartError
	if err != nil && !errors.As(err, &failed) {
		require.True(s.t, slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) }), "%s: %v", what, err)
	}
}

// reconfigure shuffles the children of a supervisor and gives it another strategy.
func (s *stress) reconfigure(ctx context.Context, path string) error {
	n, ok := s.tree.Node(path)
	if !ok || n.Kind == actors.KindRoot {
		return nil
	}
	old, ok := s.specs[path].(actors.Supervisor)
	if !ok {
		return nil
	}
	spec := old
	if spec.Template == nil {
		spec.Strategy = s.strategy()
		spec.Children = slices.Clone(spec.Children)
		s.r.Shuffle(len(spec.Children), func(i, j int) { spec.Children[i], spec.Children[j] = spec.Children[j], spec.Children[i] })
		if s.r.IntN(2) == 0 && len(spec.Children) > 1 {
			spec.Children = spec.Children[1:]
		}
		spec.Children = append(spec.Children, s.actor(path))
	}
	err := s.tree.Reconfigure(ctx, path, spec)
	if err == nil {
		s.specs[path] = spec
		s.touched[path] = true
	}
	return err
}

// ---- the laws

// checkAlways checks what holds at any moment.
func (s *stress) checkAlways() {
	select {
	case <-s.tree.Done():
		require.FailNow(s.t, "the tree ended", "%v", s.tree.Err())
	default:
	}
	require.LessOrEqual(s.t, len(s.tree.Abandoned()), stressAbandoned)
	for _, n := range s.nodes() {
		require.LessOrEqual(s.t, len(n.History), 100)
		require.LessOrEqual(s.t, n.Queue, actors.DefaultQueue)
		require.LessOrEqual(s.t, len(n.History), n.Failures)
	}
}

// settle lets everything come to rest, and compares what there is with what everybody thinks there is.
func (s *stress) settle() {
	time.Sleep(stressQuiet)
	synctest.Wait()
	s.say("settled")
	s.checkAlways()
	require.Empty(s.t, s.tree.Abandoned(), "everything has come back")
	s.books(s.tree.Snapshot())
}

// books checks a running supervisor, and those below it.
func (s *stress) books(n actors.NodeSnapshot) {
	ctx, cancel := context.WithTimeout(context.Background(), stressPatience)
	defer cancel()
	infos, err := s.tree.Children(ctx, n.Path)
	require.NoError(s.t, err, n.Path)
	count, err := s.tree.CountChildren(ctx, n.Path)
	require.NoError(s.t, err, n.Path)
	spec := s.specs[n.Path]
	sup, _ := spec.(actors.Supervisor)
	dynamic := sup.Template != nil

	want := actors.ChildCount{Specs: len(infos)}
	if dynamic {
		want.Specs = 1
	}
	var ids, held []string
	for _, c := range infos {
		ids = append(ids, c.ID)
		if c.Kind == actors.KindSupervisor {
			want.Supervisors++
		} else {
			want.Workers++
		}
		if c.State == actors.ChildUp {
			want.Active++
		}
	}
	require.Equal(s.t, want, count, n.Path)
	for _, c := range n.Children {
		held = append(held, c.ID)
	}
	require.Equal(s.t, ids, held, "%s: Children and Snapshot differ", n.Path)
	for i, c := range infos {
		m := n.Children[i]
		require.NotEqual(s.t, actors.ChildRestarting, c.State, "%s is still restarting", m.Path)
		require.True(s.t, c.PID.Equal(m.PID))
		if c.State != actors.ChildUp {
			require.Contains(s.t, []actors.Status{actors.StatusStopped, actors.StatusFailed}, m.Status, "%s is undefined, and %s", m.Path, m.Status)
			if c.Restart == actors.Permanent && !s.touched[n.Path] && !dynamic && patient(sup) && !s.mayEnd(m.Path) {
				require.Fail(s.t, "a permanent child is down, and nobody took it down", "%s in %s", m.Path, n.Path)
			}
			continue
		}
		require.Equal(s.t, actors.StatusRunning, m.Status, "%s is up, and %s", m.Path, m.Status)
		require.Equal(s.t, c.Incarnation, m.Incarnation, m.Path)
		if c.Kind == actors.KindSupervisor {
			s.books(m)
			continue
		}
		require.Zero(s.t, m.Queue, "%s doesn't take its messages", m.Path)
		got, err := actors.Ask[string](ctx, s.tree, m.PID, do(func(ctx actor.Context) { ctx.Respond("here") }))
		require.NoError(s.t, err, m.Path)
		require.Equal(s.t, "here", got)
	}
}

// patient reports whether a supervisor never gives a child up.
func patient(s actors.Supervisor) bool {
	if s.Strategy == nil {
		return false
	}
	p := s.Strategy.Policy()
	return p.WhenSpent != strategies.SpentStopChild
}

// mayEnd reports whether a child is a supervisor that ends for good when its budget is spent.
func (s *stress) mayEnd(path string) bool {
	sup, ok := s.specs[path].(actors.Supervisor)
	return ok && sup.Strategy.Policy().WhenSpent == strategies.SpentStopSupervisor
}

// stopInOrder stops a tree that is at rest, and checks law 2: every supervisor's children go down in reverse order, one after the other, and
// before it does.
func (s *stress) stopInOrder() {
	exits := s.tree.Subscribe(10_000, actors.Exited)
	var want []string
	var walk func(n actors.NodeSnapshot)
	walk = func(n actors.NodeSnapshot) {
		sup, _ := s.specs[n.Path].(actors.Supervisor)
		children := slices.Clone(n.Children)
		slices.Reverse(children)
		for _, c := range children {
			if c.Status == actors.StatusRunning {
				walk(c)
			}
		}
		if sup.Template == nil || len(n.Children) < 2 {
			want = append(want, n.Path)
		}
	}
	walk(s.tree.Snapshot())
	unordered := map[string]bool{}
	for _, n := range append(s.nodes(), s.tree.Snapshot()) {
		if sup, _ := s.specs[n.Path].(actors.Supervisor); sup.Template != nil || n.Status != actors.StatusRunning {
			unordered[n.Path] = true
		}
		if s.brutal(n.Path) { // its children are killed with it, or take themselves down
			unordered[n.Path] = true
		}
	}
	s.stopTree(stressPatience)
	skip := func(path string) bool {
		for up := path; ; up = parentOf(up) {
			if unordered[up] || strings.HasSuffix(up, "$hub") {
				return true
			}
			if !strings.Contains(up, "/") {
				return false
			}
		}
	}
	var got []string
	for _, e := range drain(exits) {
		if !skip(e.Path) {
			got = append(got, e.Path)
		}
	}
	require.Equal(s.t, slices.DeleteFunc(want, skip), got)
}

// brutal reports whether a supervisor's time to stop may be too short for its children.
func (s *stress) brutal(path string) bool {
	sup, ok := s.specs[path].(actors.Supervisor)
	return ok && sup.Shutdown != 0
}

func (s *stress) stopTree(limit time.Duration) {
	begun := time.Now()
	err := s.tree.Stop(within(s.t, limit))
	require.Less(s.t, time.Since(begun), limit)
	var left *actors.AbandonedError
	if err != nil {
		require.ErrorAs(s.t, err, &left)
	}
	synctest.Wait()
	ours := len(libraryGoroutines())
	abandoned := len(s.tree.Abandoned())
	require.LessOrEqual(s.t, ours, abandoned, "goroutines that nobody reports")
	time.Sleep(stressQuiet)
	requireNoGoroutines(s.t)
	synctest.Wait()
}
