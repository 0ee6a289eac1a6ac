package routing_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/routing"
)

// The hub is driven at random, and what it says happened (its events) is held against what must be true after every step.

const (
	modelMaxAttempts = 3
	modelQuarantine  = 3
	modelTimeout     = 40 * time.Second
)

// story is a task's life as told by the events.
type story struct {
	key             string
	turn            int  // among those of its key
	loose           bool // others of its key may wait for it
	state           routing.State
	attempts        int
	errors, strikes int
	interrupted     int
	spoke           routing.SpokeID
	leasedAt        time.Time
	settlements     int
	lives           int
	deadline        time.Time
	priority        int
	kind            string
	inputs          []string
	parent          string
	tied            bool            // it ends with its parent
	pin             routing.SpokeID // of a part of a broadcast: where it must run
	handle          *routing.Handle[int]
}

// lost says that it has ended without a result.
func (s *story) lost() bool { return s.state.Settled() && s.state != routing.StateDone }

type modelSpoke struct {
	*spoke
	credits  int
	kind     string
	circuits []string
	paused   bool
	left     bool
	excess   int // leases beyond the credits that it may have, because their handlers have gone on
}

// awaiting is what a handler awaits, or has awaited.
type awaiting struct {
	spoke  *modelSpoke
	open   int      // calls that have not returned
	on     []string // the tasks that they await
	since  time.Time
	rested time.Duration
	ended  bool // since the last check
}

type returned struct {
	spoke *modelSpoke
	lease *routing.Lease
}

type model struct {
	keyed
	circuits   map[string]*modelCircuit
	broadcasts []*modelBroadcast
	t          *rapid.T
	w          *world
	system     *actor.ActorSystem
	balancer   func() routing.Balancer
	seen       int
	stories    map[string]*story
	order      []string
	spokes     []*modelSpoke
	lastOf     map[string]uint64
	returned   []returned
	late       uint64
	refused    uint64
	forgets    bool            // the hub remembers next to nothing
	paused     bool            // the hub is
	stopped    map[string]bool // types that are paused
	shelved    map[string]bool // paths of spokes that are paused
	names      int

	awaitMu sync.Mutex
	awaits  map[*routing.Lease]*awaiting
	ended   map[*modelSpoke]bool // by the last check: some of its handlers have gone on since the one before
}

// bubbleTB keeps rapid from asking the bubble's T what it must not be asked.
type bubbleTB struct{ testing.TB }

func TestModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		system := quietSystem()
		rapid.Check(bubbleTB{t}, func(rt *rapid.T) {
			m := &model{t: rt, system: system, keyed: newKeyed(), stories: make(map[string]*story), lastOf: make(map[string]uint64), stopped: make(map[string]bool),
				shelved: make(map[string]bool), awaits: make(map[*routing.Lease]*awaiting), circuits: newModelCircuits()}
			var store routing.Store
			if rapid.Bool().Draw(rt, "a store?") {
				store = &memory{}
			}
			results := rapid.SampledFrom([]int{-1, 3, 1000}).Draw(rt, "results")
			m.forgets = results < 1000
			m.balancer = modelBalancers[rapid.SampledFrom(slices.Sorted(maps.Keys(modelBalancers))).Draw(rt, "balancer")]
			balancer := m.balancer()
			_, m.keeps = balancer.(routing.Placer)
			m.w = newWorld(rt, system, routing.Options{
				Store: store, Capacity: 12, Balancer: balancer, MaxAttempts: modelMaxAttempts, QuarantineAfter: modelQuarantine,
				AttemptTimeout: modelTimeout, Results: results,
			})
			defer func() { // also of a model that fails: nobody may be left that waits
				m.w.stopDriver()
				m.w.hub.Close(nil)
				synctest.Wait()
			}()
			steps := map[string]func(*rapid.T){
				"submit": m.submit, "settle": m.settle, "strike": m.strike, "strike more": m.strike, "pass": m.pass, "pass more": m.pass,
				"join": seldom(m.join), "leave": seldom(m.leave), "pause": seldom(m.pause), "cancel": seldom(m.cancel),
				"settle again": seldom(m.settleAgain), "requeue": seldom(m.requeue), "progress": seldom(m.progress),
				"hub actor dies or returns": seldom(m.driver), "submit subtask": m.submitSubtask, "await": m.await, "process dies": seldom(m.die),
				"pause hub": seldom(m.pauseHub), "pause type": seldom(m.pauseType), "pause path": seldom(m.pausePath), "drain": seldom(m.drain),
				"set circuit": m.setCircuit, "broadcast": seldom(m.broadcast), "give up broadcast": seldom(m.giveUpBroadcast),
				"": m.check,
			}
			for i := range 3 {
				m.lastOf[string(rune('a'+i))] = 1
				m.spokes = append(m.spokes, &modelSpoke{spoke: m.w.join(string(rune('a'+i)), 1, 2, "double", "shout"), credits: 2, kind: "both"})
			}
			for range 6 { // Repeat makes some 30 steps
				rt.Repeat(steps)
			}
			m.finish()
		})
	})
}

// seldom takes a step only now and then.
func seldom(step func(*rapid.T)) func(*rapid.T) {
	return func(t *rapid.T) {
		if rapid.IntRange(0, 4).Draw(t, "now?") == 4 {
			step(t)
		}
	}
}

// wild is a balancer that often does what it must not.
type wild struct{}

func (wild) Pick(_ routing.TaskInfo, free routing.Candidates) int {
	if free.Len() < 2 {
		panic("asked without a choice")
	}
	switch i := int(free.At(0).Picked)%4 - 1; i {
	case 2:
		panic("wild")
	default:
		return i
	}
}

func (m *model) submit(t *rapid.T) { m.submitIn(t, context.Background(), "") }

// submitSubtask has a handler submit a task; what its lease is worth decides what comes of it.
func (m *model) submitSubtask(t *rapid.T) {
	s := m.spoke(t)
	held := s.leases()
	if len(held) == 0 {
		t.Skip("nothing held")
	}
	lease := rapid.SampledFrom(held).Draw(t, "lease")
	m.read()
	if m.current(s, lease) {
		m.submitIn(t, m.ctx(lease), lease.ID())
		return
	}
	_, err := double.Submit(context.WithoutCancel(m.ctx(lease)), m.w.hub, 1)
	require.ErrorIs(t, err, routing.ErrParentEnded)
}

// ctx returns the context of the lease's handler.
func (m *model) ctx(l *routing.Lease) context.Context { return l.Context(context.Background()) }

// unsettledOf counts the unsettled subtasks of a task.
func (m *model) unsettledOf(parent string) (n int) {
	for _, s := range m.stories {
		if s.parent == parent && !s.state.Settled() {
			n++
		}
	}
	return n
}

// await has a handler wait for a task.
func (m *model) await(t *rapid.T) {
	s := m.spoke(t)
	held := s.leases()
	if len(held) == 0 {
		t.Skip("nothing held")
	}
	lease := rapid.SampledFrom(held).Draw(t, "lease")
	handle := m.stories[rapid.SampledFrom(m.order).Draw(t, "awaited")].handle
	m.read()
	if handle == nil || !m.current(s, lease) || m.stories[handle.ID()].state.Settled() {
		return
	}
	ctx := m.ctx(lease)
	m.awaitMu.Lock()
	a := m.awaits[lease]
	if a == nil {
		a = &awaiting{spoke: s}
		m.awaits[lease] = a
	}
	m.awaitMu.Unlock()
	id := handle.ID()
	circular := m.waitsFor(id, lease.ID(), true)
	hopeless := m.isAbove(id, lease.ID()) || m.waitsFor(id, lease.ID(), false)
	refused := false
	m.beginAwait(a, id)
	go func() {
		_, err := handle.Await(ctx)
		refused = errors.Is(err, routing.ErrCircular)
		m.endAwait(a, id)
	}()
	synctest.Wait()
	if m.loosened() {
		require.True(t, circular, "a task needn't wait for its turn, though none before it waits for it")
	}
	require.Equal(t, hopeless, refused)
	require.True(t, refused || !m.waitsFor(id, lease.ID(), true), "a circle")
}

func (m *model) beginAwait(a *awaiting, id string) {
	m.awaitMu.Lock()
	defer m.awaitMu.Unlock()
	a.on = append(a.on, id)
	if a.open++; a.open == 1 {
		a.since = time.Now()
	}
}

func (m *model) endAwait(a *awaiting, id string) {
	m.awaitMu.Lock()
	defer m.awaitMu.Unlock()
	i := slices.Index(a.on, id)
	a.on = slices.Delete(a.on, i, i+1)
	if a.open--; a.open == 0 {
		a.rested += time.Since(a.since)
		a.ended = true
	}
}

// isAbove says whether a task is the other, or one whose subtask that is, as far as the hub remembers those in between.
func (m *model) isAbove(id, other string) bool {
	for id != other {
		s := m.stories[other]
		if _, remembered := m.w.hub.Inspect(s.parent); !remembered {
			return false
		}
		other = s.parent
	}
	return true
}

// active counts the leases of a spoke whose handlers don't await anything.
func (m *model) active(s *modelSpoke) (n int) {
	m.awaitMu.Lock()
	defer m.awaitMu.Unlock()
	for _, l := range s.leases() {
		if a := m.awaits[l]; a == nil || a.open == 0 {
			n++
		}
	}
	return n
}

func (m *model) pauseHub(*rapid.T) {
	m.read()
	if m.paused = !m.paused; m.paused {
		m.w.hub.Pause()
	} else {
		m.w.hub.Resume()
	}
}

func (m *model) pauseType(t *rapid.T) {
	m.read()
	kind := rapid.SampledFrom([]string{"double", "shout"}).Draw(t, "type")
	change := m.w.hub.PauseType
	if m.stopped[kind] {
		change = m.w.hub.ResumeType
	}
	m.stopped[kind] = !m.stopped[kind]
	require.NoError(t, change(kind))
}

func (m *model) pausePath(t *rapid.T) {
	m.read()
	path := m.spoke(t).ID().Path
	if m.shelved[path] {
		require.NoError(t, m.w.hub.ResumeSpoke(path))
		delete(m.shelved, path)
		return
	}
	if err := m.w.hub.PauseSpoke(path); err != nil { // it has left
		var unknown *routing.UnknownSpokeError
		require.ErrorAs(t, err, &unknown)
		return
	}
	m.shelved[path] = true
	for _, s := range m.spokes {
		if s.ID().Path == path {
			m.losesKeys(s)
		}
	}
}

// drain looks whether a spoke has anything left to do.
func (m *model) drain(t *rapid.T) {
	s := m.spoke(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := s.Drain(ctx)
	m.pauses(s)
	require.Equal(t, s.left || len(s.leases()) == 0, err == nil, "%v", err)
}

// submitIn submits a task, as a subtask if there is a parent.
func (m *model) submitIn(t *rapid.T, ctx context.Context, parent string) {
	var options []routing.SubmitOption
	var deadline time.Time
	if rapid.IntRange(0, 3).Draw(t, "deadline?") == 0 {
		deadline = time.Now().Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "deadline")) * time.Second)
		options = append(options, routing.Deadline(deadline))
	}
	priority := rapid.SampledFrom([]int{0, 0, 0, 1, -4, 4}).Draw(t, "priority")
	key := rapid.SampledFrom([]string{"", "", "k", "l", "m"}).Draw(t, "key")
	options = append(options, routing.Priority(priority), routing.Key(key))
	failFast := rapid.IntRange(0, 5).Draw(t, "fail fast?") == 0
	if failFast {
		options = append(options, routing.FailFast())
	}
	var inputs []string
	known := slices.DeleteFunc(slices.Clone(m.order), func(id string) bool { return m.stories[id].handle == nil }) // but those that a dead process forgot
	if len(known) > 0 && rapid.IntRange(0, 3).Draw(t, "inputs?") == 0 {
		inputs = rapid.SliceOfNDistinct(rapid.SampledFrom(known), 1, min(3, len(known)), rapid.ID[string]).Draw(t, "inputs")
		for _, id := range inputs {
			options = append(options, routing.After(m.stories[id].handle))
		}
	}
	if parent != "" && m.forgets { // else a forgotten subtask would be submitted again under its id
		m.names++
		options = append(options, routing.ID(fmt.Sprint("sub", m.names)))
	}
	m.read()
	before := m.w.hub.Counts()
	shut := map[string]bool{double.Name(): m.shutOut(double.Name()), shout.Name(): m.shutOut(shout.Name())}
	kind := shout.Name()
	var handle *routing.Handle[int]
	var err error
	if rapid.Bool().Draw(t, "double?") {
		kind = double.Name()
		handle, err = double.Submit(ctx, m.w.hub, 1, options...)
	} else {
		handle, err = routing.NewType[int, int](shout.Name()).Submit(ctx, m.w.hub, 1, options...)
	}
	isFull := before.Unsettled() >= 12 && (parent == "" || m.unsettledOf(parent) > 0)
	if err != nil {
		m.refused++
		var full *routing.QueueFullError
		if !errors.As(err, &full) {
			m.refusedByCircuit(t, err, kind, key, failFast)
			return
		}
		require.True(t, isFull)
		return
	}
	if m.w.hub.Counts().Accepted == before.Accepted { // an earlier attempt of the parent has submitted it
		require.Equal(t, parent, m.stories[handle.ID()].parent)
		require.False(t, m.stories[handle.ID()].state >= routing.StateFailed && m.stories[handle.ID()].state != routing.StateQuarantined)
		return
	}
	require.False(t, isFull)
	require.False(t, failFast && shut[kind], "accepted, though every spoke is shut")
	if parent != "" {
		if end := m.stories[parent].deadline; !end.IsZero() && (deadline.IsZero() || end.Before(deadline)) {
			deadline = end
		}
	}
	require.NotContains(t, m.stories, handle.ID())
	m.stories[handle.ID()] = &story{deadline: deadline, priority: priority, kind: kind, key: key, loose: m.heldAbove(parent, kind, key), inputs: inputs, parent: parent, handle: handle}
	m.order = append(m.order, handle.ID())
}

func (m *model) spoke(t *rapid.T) *modelSpoke {
	if len(m.spokes) == 0 {
		t.Skip("no spokes")
	}
	return m.spokes[len(m.spokes)-1-rapid.IntRange(0, min(len(m.spokes)-1, 4)).Draw(t, "spoke")]
}

func (m *model) settle(t *rapid.T) {
	m.settleWith(t, routing.Done(1), routing.Done(2), routing.Error(errBroken), routing.Error(routing.Permanent(errBroken)),
		routing.Error(notNow(5*time.Second)), routing.Refused(notNow(5*time.Second)), routing.Released(errBroken), routing.Outcome{})
}

// strike has a handler crash or hang, and mostly the spoke go on after it.
func (m *model) strike(t *rapid.T) {
	s := m.settleWith(t, routing.Crashed(errBroken, nil), routing.Hung(errBroken))
	if rapid.IntRange(0, 3).Draw(t, "resume?") > 0 {
		s.Resume()
		s.paused = false
	}
}

func (m *model) settleWith(t *rapid.T, outcomes ...routing.Outcome) *modelSpoke {
	s := m.spoke(t)
	held := s.leases()
	if len(held) == 0 {
		t.Skip("nothing held")
	}
	lease := rapid.SampledFrom(held).Draw(t, "lease")
	outcome := rapid.SampledFrom(outcomes).Draw(t, "outcome")
	m.read()
	known := m.stories[lease.ID()]
	current := m.current(s, lease)
	before, remembered := m.w.hub.Inspect(lease.ID())

	accepted := s.settle(lease, outcome)
	require.Equal(t, current, accepted, "outcome of %v by %v, accepted", lease.Info(), s.ID())
	m.returned = append(m.returned, returned{s, lease})
	released := outcome.Kind() == routing.OutcomeReleased || outcome.Kind() == routing.OutcomePending
	switch {
	case accepted && outcome.Kind() == routing.OutcomeDone:
		m.read()
		require.Equal(t, routing.StateDone, known.state)
	case !accepted && !released:
		m.late++
	}
	if !accepted && known.state.Settled() {
		m.unchanged(t, lease.ID(), before, remembered)
	}
	if outcome.Kind() == routing.OutcomeCrashed || outcome.Kind() == routing.OutcomeHung || released && accepted {
		m.pauses(s)
	}
	return s
}

// current says whether an outcome under this lease must be accepted now.
func (m *model) current(s *modelSpoke, l *routing.Lease) bool {
	known := m.stories[l.ID()]
	if known.state != routing.StateLeased || known.attempts != l.Attempt() || s.left {
		return false
	}
	now := time.Now()
	overdue := !known.deadline.IsZero() && !now.Before(known.deadline)
	m.awaitMu.Lock()
	defer m.awaitMu.Unlock()
	rested := time.Duration(0)
	if a := m.awaits[l]; a != nil {
		if a.open > 0 {
			return !overdue
		}
		rested = a.rested
	}
	return !overdue && now.Before(known.leasedAt.Add(modelTimeout+rested))
}

func (m *model) unchanged(t *rapid.T, id string, before routing.TaskSnapshot, remembered bool) {
	after, stillRemembered := m.w.hub.Inspect(id)
	if !stillRemembered { // others settled since and pushed it out of the window
		return
	}
	require.True(t, remembered)
	require.Equal(t, before.State, after.State)
	require.Equal(t, before.Attempts, after.Attempts)
	require.Equal(t, before.Err, after.Err)
}

func (m *model) settleAgain(t *rapid.T) {
	if len(m.returned) == 0 {
		t.Skip("nothing returned")
	}
	r := rapid.SampledFrom(m.returned).Draw(t, "returned")
	before, remembered := m.w.hub.Inspect(r.lease.ID())
	next, accepted := r.lease.Settle(routing.Done(666))
	require.Nil(t, next)
	require.False(t, accepted)
	m.late++
	m.unchanged(t, r.lease.ID(), before, remembered)
}

func (m *model) join(t *rapid.T) {
	path := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "path")
	kind := rapid.SampledFrom([]string{"double", "shout", "both"}).Draw(t, "types")
	types := []string{kind}
	if kind == "both" {
		types = []string{"double", "shout"}
	}
	for _, s := range m.spokes {
		if s.ID().Path == path {
			s.left = true
			m.losesKeys(s)
		}
	}
	m.lastOf[path]++
	credits := rapid.IntRange(1, 3).Draw(t, "credits")
	s := &modelSpoke{credits: credits, kind: kind, circuits: rapid.SampledFrom(modelCircuitNames).Draw(t, "circuits")}
	s.spoke = m.w.joinBehind(s.circuits, path, m.lastOf[path], credits, types...)
	m.spokes = append(m.spokes, s)
}

func (m *model) leave(t *rapid.T) {
	s := m.spoke(t)
	s.Leave(errBroken)
	s.left = true
	m.losesKeys(s)
}

func (m *model) pause(t *rapid.T) {
	s := m.spoke(t)
	if s.paused {
		s.Resume()
	} else {
		s.Pause()
		m.losesKeys(s)
	}
	s.paused = !s.paused
}

func (m *model) cancel(t *rapid.T) {
	if len(m.order) == 0 {
		t.Skip("no tasks")
	}
	id := rapid.SampledFrom(m.order).Draw(t, "task")
	m.read()
	unsettled := !m.stories[id].state.Settled()
	require.Equal(t, unsettled, m.w.hub.Cancel(id, errBroken))
	if unsettled {
		_, err := await(t, m.stories[id].handle)
		require.Error(t, err)
	}
}

func (m *model) pass(t *rapid.T) {
	m.w.pass(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "ms")) * time.Millisecond)
}

func (m *model) driver(*rapid.T) {
	if m.w.driver == nil {
		m.w.startDriver()
	} else {
		m.w.stopDriver()
	}
}

// die kills the process, and starts another on what is in the store.
func (m *model) die(t *rapid.T) {
	before, durable := m.w.options.Store.(*memory)
	if !durable {
		t.Skip("no store")
	}
	m.read()
	m.late, m.refused = 0, 0
	before.kill()
	m.w.stopDriver()
	m.w.hub.Close(nil) // nobody waits any more for what it will never tell
	m.spokes, m.returned, m.seen, m.paused = nil, nil, 0, false
	clear(m.stopped)
	clear(m.shelved)
	clear(m.owners)
	m.circuits, m.broadcasts = newModelCircuits(), nil
	m.awaitMu.Lock()
	m.awaits = make(map[*routing.Lease]*awaiting)
	m.awaitMu.Unlock()
	options := m.w.options
	options.OnEvent, options.Store, options.Balancer = nil, holding(before.contents()), m.balancer()
	m.w = newWorld(m.t, m.system, options)
	m.read() // what was overdue is settled, and may be forgotten
	counts := m.w.hub.Counts()
	m.late, m.refused = counts.Late, counts.Refused
	for id, s := range m.stories {
		if _, remembered := m.w.hub.Inspect(id); remembered {
			s.handle = m.find(t, id)
		} else {
			require.True(t, s.state.Settled(), "task %s was %v and is lost", id, s.state)
			s.handle = nil // that of the dead process would not hear of it
		}
	}
}

// find returns the handle of a task that the hub knows.
func (m *model) find(t *rapid.T, id string) *routing.Handle[int] {
	handle, err := double.Submit(context.Background(), m.w.hub, 0, routing.ID(id))
	if err != nil {
		handle, err = routing.NewType[int, int](shout.Name()).Submit(context.Background(), m.w.hub, 0, routing.ID(id))
	}
	require.NoError(t, err)
	return handle
}

func (m *model) requeue(t *rapid.T) {
	quarantined := m.w.hub.Quarantined()
	if len(quarantined) == 0 {
		t.Skip("nothing in quarantine")
	}
	id := rapid.SampledFrom(quarantined).Draw(t, "quarantined").ID
	if rapid.Bool().Draw(t, "discard?") {
		require.NoError(t, m.w.hub.Discard(id))
		return
	}
	s := m.stories[id]
	deadline := s.deadline
	var err error
	if later := rapid.IntRange(-1, 60).Draw(t, "deadline"); later < 0 {
		err = m.w.hub.Requeue(id)
	} else {
		deadline = time.Time{}
		if later > 0 {
			deadline = time.Now().Add(time.Duration(later) * time.Second)
		}
		err = m.w.hub.RequeueUntil(id, deadline)
	}
	overdue := !deadline.IsZero() && !time.Now().Before(deadline)
	require.Equal(t, overdue, errors.Is(err, routing.ErrExpired))
	if s.pinned() && m.requeuedPart(t, s, err) || err != nil {
		var full *routing.QueueFullError
		require.True(t, overdue || errors.As(err, &full) || s.pinned() && errors.Is(err, routing.ErrSpokeGone), "%v", err)
		return
	}
	s.deadline = deadline
	s.loose = s.loose || m.heldAbove(s.parent, s.kind, s.key)
	s.handle = m.find(t, id)
}

func (m *model) progress(t *rapid.T) {
	s := m.spoke(t)
	leases := s.leases()
	if len(leases) == 0 {
		return
	}
	l := leases[0]
	m.read()
	known := m.stories[l.ID()]
	before := known.handle.Progress()
	routing.Progress(m.ctx(l), l)
	if known.state == routing.StateLeased && known.attempts == l.Attempt() {
		require.Same(t, l, known.handle.Progress())
	} else {
		require.Equal(t, before, known.handle.Progress())
	}
	m.pass(t)
	m.read() // before it loses its keys: it may have begun some meanwhile
	s.settle(l, routing.Released(nil))
	m.pauses(s)
	s.Pause()
}

// read follows the events that came since.
func (m *model) read() {
	synctest.Wait()
	m.w.mu.Lock()
	events := m.w.events[m.seen:]
	m.seen = len(m.w.events)
	m.w.mu.Unlock()
	for _, e := range events {
		if e.Task != "" {
			m.follow(e)
		}
	}
}

// follow checks that what an event tells may happen, given what was told before.
func (m *model) follow(e routing.Event) {
	s := m.stories[e.Task]
	require.NotNil(m.t, s, "%v: of a task that was not accepted", e)
	tell := fmt.Sprintf("%v (was %v)", e, s.state)
	charge := func() {
		switch e.Outcome {
		case routing.OutcomeReleased:
		case routing.OutcomeInterrupted:
			s.interrupted++
		default:
			s.interrupted = 0
		}
		switch e.Outcome {
		case routing.OutcomeError:
			if routing.IsPermanent(e.Err) {
				require.Equal(m.t, routing.StateFailed, e.State, tell)
				return
			}
			if _, ok := e.Err.(notNow); !ok {
				s.errors++
			}
		case routing.OutcomeCrashed, routing.OutcomeHung, routing.OutcomeTimedOut:
			s.strikes++
		}
	}
	switch e.Kind {
	case routing.EventSubmitted:
		require.Zero(m.t, s.lives, tell)
		s.lives, s.state = 1, routing.StateWaiting
		s.tied = s.parent != ""
		m.takesTurn(s)
	case routing.EventLeased:
		require.Equal(m.t, routing.StateWaiting, s.state, tell)
		require.Equal(m.t, s.attempts+1, e.Attempt, tell)
		require.False(m.t, m.paused || m.stopped[e.Type] || m.shelved[e.Spoke.Path], tell)
		for _, id := range s.inputs {
			require.Equal(m.t, routing.StateDone, m.stories[id].state, "%s: before its input %s", tell, id)
		}
		require.True(m.t, s.deadline.IsZero() || e.Time.Before(s.deadline), "%s: started after its deadline", tell)
		m.nothingMoreUrgent(s, tell)
		m.letThrough(e.Spoke, tell)
		require.True(m.t, !s.pinned() || s.pin == e.Spoke, tell)
		m.keptTogether(s, e.Spoke, tell)
		s.state, s.attempts, s.spoke, s.leasedAt = routing.StateLeased, e.Attempt, e.Spoke, e.Time
	case routing.EventRetried:
		require.Equal(m.t, routing.StateLeased, s.state, tell)
		require.Equal(m.t, s.spoke, e.Spoke, tell)
		charge()
		require.Less(m.t, s.errors, modelMaxAttempts, tell)
		require.Less(m.t, s.strikes, modelQuarantine, tell)
		require.Less(m.t, s.interrupted, 3, tell)
		s.state = routing.StateWaiting
	case routing.EventSettled:
		require.False(m.t, s.state.Settled(), tell)
		charge()
		switch e.State {
		case routing.StateFailed:
			var missing *routing.InputError
			if errors.As(e.Err, &missing) {
				require.Contains(m.t, s.inputs, missing.ID, tell)
				require.True(m.t, m.stories[missing.ID].lost(), tell)
				require.Zero(m.t, s.attempts, tell)
				break
			}
			if errors.Is(e.Err, routing.ErrSpokeGone) {
				require.True(m.t, s.pinned(), tell)
				break
			}
			require.True(m.t, s.errors == modelMaxAttempts || routing.IsPermanent(e.Err), tell)
		case routing.StateCancelled:
			if errors.Is(e.Err, routing.ErrParentEnded) {
				require.True(m.t, m.stories[s.parent].lost(), tell)
			}
		case routing.StateQuarantined:
			require.True(m.t, s.strikes == modelQuarantine || s.interrupted == 3, tell)
			for _, sub := range m.stories {
				sub.tied = sub.tied && sub.parent != e.Task
			}
		case routing.StateExpired:
			require.False(m.t, e.Time.Before(s.deadline), tell)
		}
		s.state = e.State
		s.settlements++
		require.Equal(m.t, s.lives, s.settlements, tell)
		m.keyRests(s)
	case routing.EventRequeued:
		require.Equal(m.t, routing.StateQuarantined, s.state, tell)
		s.state, s.errors, s.strikes, s.interrupted = routing.StateWaiting, 0, 0, 0
		s.lives++
		s.tied = s.parent != "" && !m.stories[s.parent].state.Settled()
		m.takesTurn(s)
	}
}

// nothingMoreUrgent checks, when a task is leased, that no task of its type that was ready all along has a higher priority.
func (m *model) nothingMoreUrgent(s *story, tell string) {
	for id, other := range m.stories {
		ready := other.state == routing.StateWaiting && other.lives == 1 && other.attempts == 0 && !m.blocked(other) && !m.kept(other) && !other.pinned()
		require.False(m.t, ready && other.kind == s.kind && other.priority > s.priority, "%s: though %s is more urgent", tell, id)
	}
}

// blocked says whether a task waits for inputs.
func (m *model) blocked(s *story) bool {
	return s.state == routing.StateWaiting && slices.ContainsFunc(s.inputs, func(id string) bool { return m.stories[id].state != routing.StateDone })
}

// checkKin checks that no task is left that waits for what will not come, or that should have ended with its parent.
func (m *model) checkKin(t *rapid.T, id string, s *story) {
	if s.state.Settled() {
		return
	}
	for _, in := range s.inputs {
		require.False(t, m.stories[in].lost(), "%s waits for %s, which has no result", id, in)
	}
	if s.tied {
		parent := m.stories[s.parent]
		require.False(t, parent.lost(), "%s goes on, its parent %s is %v", id, s.parent, parent.state)
	}
}

// check holds the hub's books against the events, and the spokes against their credits.
func (m *model) check(t *rapid.T) {
	m.read()
	var want routing.Counts
	for id, s := range m.stories {
		if s.handle != nil {
			require.Equal(t, s.state, s.handle.Status(), id)
		}
		want.Accepted++
		want.Attempts += uint64(s.attempts)
		if m.blocked(s) {
			want.Blocked++
		}
		m.checkKin(t, id, s)
		*map[routing.State]*uint64{
			routing.StateWaiting: &want.Waiting, routing.StateLeased: &want.Leased, routing.StateDone: &want.Done, routing.StateFailed: &want.Failed,
			routing.StateQuarantined: &want.Quarantined, routing.StateCancelled: &want.Cancelled, routing.StateExpired: &want.Expired,
		}[s.state]++
	}
	got := m.w.hub.Counts()
	require.True(t, got.Balanced())
	want.Late, want.Refused, want.Paused = m.late, m.refused, m.paused
	want.ShutOut = m.checkShutOut(t, got.ShutOut)
	joined := map[string]*modelSpoke{}
	for _, s := range m.spokes {
		if !s.left {
			joined[s.ID().Path] = s
		}
	}
	m.checkCredits(t)
	want.Spokes = len(joined)
	require.Equal(t, want, got)
	m.checkCircuits(t)
	if m.w.driver != nil {
		m.nothingIdle(t, joined)
	}
}

// checkCredits checks that no spoke has more to do than its credits, but for handlers that had awaited something and have gone on.
func (m *model) checkCredits(t *rapid.T) {
	ended := make(map[*modelSpoke]bool)
	m.awaitMu.Lock()
	for _, a := range m.awaits {
		ended[a.spoke] = ended[a.spoke] || a.ended
		a.ended = false
	}
	m.ended = ended
	m.awaitMu.Unlock()
	for _, s := range m.spokes {
		active := m.active(s)
		if !ended[s] {
			require.LessOrEqual(t, active, max(s.credits, s.excess), "%v holds more than its credits", s.ID())
		}
		s.excess = active
	}
}

// nothingIdle checks that no free spoke and task that is ready for it wait for each other. A task that was charged may wait for its backoff or for another spoke.
func (m *model) nothingIdle(t *rapid.T, joined map[string]*modelSpoke) {
	for id, task := range m.stories {
		if task.state != routing.StateWaiting || task.attempts > 0 || m.blocked(task) || m.paused || m.stopped[task.kind] {
			continue
		}
		if m.kept(task) {
			m.keyIdle(t, id, task, joined)
			continue
		}
		for _, s := range joined {
			if s.takes(task) && !s.paused && !m.shelved[s.ID().Path] && !m.shut(s) && m.active(s) < s.credits {
				t.Fatalf("task %s waits and %v is free", id, s.ID())
			}
		}
	}
}

// unsettled tells what is not settled, and why.
func (m *model) unsettled() string {
	var b strings.Builder
	for _, id := range m.order {
		if s := m.stories[id]; !s.state.Settled() {
			snapshot, _ := m.w.hub.Inspect(id)
			fmt.Fprintf(&b, "\n%+v, loose %v, turn %d", snapshot, s.loose, s.turn)
		}
	}
	return b.String()
}

// finish lets everything come to its end: one good spoke must be able to settle all that is left.
func (m *model) finish() {
	if m.w.driver == nil {
		m.w.startDriver()
	}
	m.read()
	m.w.hub.Resume()
	m.paused = false
	for kind := range m.stopped {
		require.NoError(m.t, m.w.hub.ResumeType(kind))
	}
	clear(m.stopped)
	for _, s := range m.spokes {
		m.read()
		s.Leave(nil)
		s.left = true
		m.losesKeys(s)
	}
	good := &modelSpoke{credits: 1, kind: "both"}
	good.spoke = m.w.join("good", 1, 1, "double", "shout")
	m.spokes = append(m.spokes, good)
	for patience := 1000; m.w.hub.Counts().Unsettled() > 0; patience-- {
		if patience == 0 {
			m.t.Fatalf("unsettled for ever: %s", m.unsettled())
		}
		for held := good.leases(); len(held) > 0; held = good.leases() {
			m.read()
			current := m.current(good, held[0]) // its deadline may have passed
			require.Equal(m.t, current, good.settle(held[0], routing.Done(1)))
			if !current {
				m.late++
			}
		}
		m.w.pass(time.Second)
	}
	m.check(m.t)
	m.finishBroadcasts()
	for id, s := range m.stories {
		require.Equal(m.t, s.lives, s.settlements, "settlements of task %s", id)
		if s.handle == nil {
			continue
		}
		if _, err := await(m.t, s.handle); s.state == routing.StateDone {
			require.NoError(m.t, err)
		}
	}
	m.w.hub.Close(nil)
}
