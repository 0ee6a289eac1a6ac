package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// TestTasksRace is TestTasksStress in real time, where whatever can happen at the same time does: many tasks by several submitters, agents that
// crash, hang, are killed, leave and join, pools that grow and shrink, the hub that crashes. In some runs the tasks need a service that comes and
// goes, behind a breaker; in some the ledger is in a file, and the process dies again and again. The soak makes it millions of tasks.
func TestTasksRace(t *testing.T) {
	for seed := firstSeed(); seed < firstSeed()+2; seed++ {
		variants := []struct {
			name string
			raceVariant
		}{
			{"least loaded", raceVariant{balancer: "least loaded"}},
			{"consistent hash", raceVariant{balancer: "consistent hash"}},
			{"circuits", raceVariant{balancer: "consistent hash", circuits: true}},
			{"durable", raceVariant{balancer: "consistent hash", durable: true}},
		}
		if seed%2 == 1 {
			variants[3].name = "durable, circuits"
			variants[3].raceVariant = raceVariant{balancer: "least loaded", durable: true, circuits: true}
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			for _, v := range variants {
				t.Run(v.name, func(t *testing.T) { newTasksRace(t, seed, v.raceVariant).run(2_400 * soak()) })
			}
		})
	}
}

// raceVariant is what a race is about.
type raceVariant struct {
	balancer string
	circuits bool // tasks need a service outside, which comes and goes
	durable  bool // the ledger is in a file, and the process dies now and then
}

const (
	// raceHang is the time limit of tasks that hang.
	raceHang = 5 * time.Millisecond
	// raceLag is how many tasks and attempts the events may be behind before submitters wait for them, and handlers for a while: a hub drops events
	// that nobody takes in time, some 4,000 of them, and each of the tasks that were accepted since, or are in the hub, makes a few.
	raceLag        = 200
	raceCapacity   = 300
	raceSubmitters = 4
	// raceLife is how many tasks a process that is to die accepts before, in the mean.
	raceLife = 300
	// raceResults is how many tasks such a process remembers: more than those that were settled while it lived and in the life before.
	raceResults = 20 * raceLife
	// The hub's backoff doubles with each crash, from 1 ms, until none has come for 5 s: it crashes so often, and then not for so long.
	raceHubCrashes = 6
	raceHubQuiet   = 6 * time.Second
)

var errOutage = errors.New("the service is down")

// tasksRace is one run: one life of a process, or many, of which each goes on with what the one before has left in its file.
type tasksRace struct {
	raceVariant
	t          *testing.T
	seed       uint64
	rates      scriptRates
	path       string // of the file
	submitters [raceSubmitters]raceSubmitter
	down       atomic.Bool  // the service
	odd        atomic.Int64 // tasks in quarantine, but not for three strikes

	// For the log.
	lives   int
	opened  uint64       // breakers, how often
	shutOut atomic.Int64 // tasks that waited for a circuit when somebody looked
	copies  atomic.Int64 // of the file, that were read
}

func newTasksRace(t *testing.T, seed uint64, v raceVariant) *tasksRace {
	s := &tasksRace{raceVariant: v, t: t, seed: seed, path: filepath.Join(t.TempDir(), "tasks.db"),
		rates: scriptRates{failing: 10, poisoned: 4, retried: 20, parted: 20, slow: 20, later: 5, pause: time.Millisecond}}
	for i := range s.submitters {
		s.submitters[i] = raceSubmitter{race: s, number: i, r: rand.New(rand.NewPCG(seed, uint64(10+i)))}
	}
	return s
}

func (s *tasksRace) run(n int) {
	if s.durable {
		n /= 2
	}
	for i := range s.submitters {
		s.submitters[i].left = n / raceSubmitters
	}
	var found *routing.Contents // of the file
	for last := false; !last; s.lives++ {
		l := s.begin(found)
		last = l.run()
		if last {
			l.check()
		}
		found = l.end(last)
	}
	if s.circuits {
		require.NotZero(s.t, s.opened, "the breaker has opened")
	}
}

// raceTime is one life.
type raceTime struct {
	*tasksRace
	r       *rand.Rand
	books   *taskBooks
	tree    *actors.Tree
	started chan struct{} // tree is there
	over    chan struct{} // the submitters have ended
	trouble sync.WaitGroup
	store   *mortal // nil in memory
	accepts uint64  // tasks until it dies

	mu   sync.Mutex
	told map[string]routing.State // what submitters were told of the ends of tasks; nil in memory
}

func (s *tasksRace) begin(found *routing.Contents) *raceTime {
	l := &raceTime{tasksRace: s, r: rand.New(rand.NewPCG(s.seed, uint64(100+s.lives))), started: make(chan struct{}), over: make(chan struct{})}
	l.books = newTaskBooks(func(_ string, state routing.State, strikes int) {
		if state == routing.StateQuarantined && strikes != 3 {
			s.odd.Add(1)
		}
	})
	o := routing.Options{
		OnEvent: l.books.hear, Balancer: stressBalancers[s.balancer](s.seed), Capacity: raceCapacity, Results: 1000, Quarantine: 1 << 30,
		RetryBackoff: routing.Backoff{Min: time.Microsecond, Max: time.Millisecond},
	}
	if s.durable {
		l.told = map[string]routing.State{}
		l.store = openMortal(s.t, s.path)
		l.accepts = 1 + l.r.Uint64N(2*raceLife)
		o.Store, o.Results, o.Interruptions = l.store, raceResults, 1000
	}
	if found != nil {
		l.books.goOn(found)
		l.accepts += found.Counts.Accepted
	}
	tree, err := actors.Start(context.Background(), l.spec(), actors.WithAbandonLimit(1<<20), actors.WithHub(o))
	require.NoError(s.t, err)
	l.tree = tree
	close(l.started)
	return l
}

// spec is the tree: two pools whose agents all call the service when there is one; at least those of one aren't given tasks while it is away.
func (l *raceTime) spec() actors.Supervisor {
	agent := l.agent()
	guarded := agent
	policy := strategies.AlwaysRestart()
	root := actors.Supervisor{ID: "root", Strategy: strategies.OneForOne(policy)}
	if l.circuits {
		root.Children = append(root.Children, actors.External{ID: "service", Config: breaker.ExternalConfig{Breaker: breaker.Config{
			FailureThreshold: 3, ResetTimeout: 2 * time.Millisecond, HalfOpenMaxCalls: 2,
			Probe: func(ctx context.Context) error { _, err := l.call(ctx); return err },
		}}})
		guarded = guarded.GuardedBy("service")
		if l.r.IntN(2) == 0 {
			agent = guarded
		}
	}
	root.Children = append(root.Children,
		actors.Supervisor{ID: "pool0", Strategy: strategies.OneForOne(policy), Children: []actors.Child{actors.Pool(4, agent)}},
		actors.Supervisor{ID: "pool1", Strategy: strategies.OneForAll(policy), Children: []actors.Child{actors.Pool(4, guarded)}},
	)
	return root
}

func (l *raceTime) agent() actors.AgentSpec {
	perform := &performer{rates: l.rates, kind: orders, hub: func() *routing.Hub { <-l.started; return l.tree.Hub() }}
	agent := actors.Agent("w", orders, func(ctx context.Context, o order) (uint64, error) {
		if l.circuits { // what is put off again and again makes events again and again
			for i := 0; i < 50 && l.lags(); i++ {
				time.Sleep(100 * time.Microsecond)
			}
		}
		if l.circuits && o.Number%8 == 0 {
			switch _, err := actors.Guard(ctx, "service", l.call); {
			case errors.Is(err, errOutage):
				return 0, notNow{time.Millisecond}
			case err != nil:
				return 0, err
			}
		}
		switch {
		case !o.hangs():
			return perform.handle(ctx, o)
		case o.Number%2 == 0:
			<-ctx.Done()
		default:
			time.Sleep(4 * raceHang)
		}
		return 0, ctx.Err()
	})
	agent.Credits = 2
	if l.durable {
		agent.Credits = 8 // that share commits
	}
	agent.Shutdown = 2 * raceHang
	return agent
}

// hangs reports whether each attempt at the order hangs: it goes into quarantine for that.
func (o order) hangs() bool { return o.Number%1000 == 7 && o.Depth == 0 }

// call is what the service does.
func (s *tasksRace) call(context.Context) (struct{}, error) {
	if s.down.Load() {
		return struct{}{}, errOutage
	}
	return struct{}{}, nil
}

// run reports whether this life was the last: all is submitted and settled.
func (l *raceTime) run() (last bool) {
	l.trouble.Go(l.audit)
	l.trouble.Go(l.makeTrouble)
	if l.circuits {
		l.trouble.Go(l.makeWeather)
	}
	if l.durable {
		l.trouble.Go(l.readCopy)
		l.trouble.Go(l.die)
	}
	var submitting sync.WaitGroup
	var finished [raceSubmitters]bool
	for i := range l.submitters {
		submitting.Go(func() { finished[i] = l.submitters[i].work(l) })
	}
	submitting.Wait()
	close(l.over)
	l.trouble.Wait()
	return finished == [raceSubmitters]bool{true, true, true, true}
}

// pause waits. It is false if the life is over.
func (l *raceTime) pause(d time.Duration) bool {
	select {
	case <-l.over:
		return false
	case <-time.After(d):
		return true
	}
}

// proceed waits until so many attempts have begun: however slow the machine is, there is work done between two troubles. It is false if the life
// is over.
func (l *raceTime) proceed(attempts uint64) bool {
	for until := l.tree.Hub().Counts().Attempts + attempts; l.tree.Hub().Counts().Attempts < until; {
		if !l.pause(200 * time.Microsecond) {
			return false
		}
	}
	return true
}

// lags reports whether the books are so far behind the hub that it should make no more events.
func (l *raceTime) lags() bool {
	<-l.started
	return l.books.behind(l.tree.Hub().Counts()) > raceLag
}

// audit looks into the books all the time.
func (l *raceTime) audit() {
	for l.pause(10 * time.Microsecond) {
		c := l.tree.Hub().Counts()
		if !c.Balanced() {
			l.t.Errorf("the books don't balance: %+v", c)
			return
		}
		l.shutOut.Add(int64(c.ShutOut))
	}
}

// makeWeather lets the service go and come, for the first time until the breaker has noticed.
func (l *raceTime) makeWeather() {
	r := rand.New(rand.NewPCG(l.seed, uint64(l.lives)))
	b, _ := l.tree.Breaker("root/service")
	l.down.Store(true)
	for b.Snapshot().Totals.Opened == 0 && l.pause(100*time.Microsecond) {
	}
	for l.pause(time.Duration(r.IntN(4000)) * time.Microsecond) {
		l.down.Store(!l.down.Load())
	}
	l.down.Store(false)
}

// makeTrouble kills, takes away and adds agents, supervisors and the hub, and resizes pools.
func (l *raceTime) makeTrouble() {
	ctx, tree, agent, r := context.Background(), l.tree, l.agent(), rand.New(rand.NewPCG(l.seed, uint64(1000+l.lives)))
	crashes, crashed := 0, time.Time{} // of the hub
	for i := 0; l.pause(time.Duration(r.IntN(5))*time.Millisecond) && l.proceed(r.Uint64N(40)); i++ {
		pool := fmt.Sprint("root/pool", r.IntN(2))
		path := fmt.Sprintf("%s/w-%d", pool, 1+r.IntN(4))
		switch r.IntN(10) {
		case 0:
			if time.Since(crashed) > raceHubQuiet {
				crashes = 0
			}
			if crashes < raceHubCrashes {
				_ = tree.Kill("root/$hub")
				crashes, crashed = crashes+1, time.Now()
			}
		case 1:
			_ = tree.Kill(pool)
		case 2, 3:
			_ = tree.Kill(path)
		case 4:
			_ = tree.TerminateChild(ctx, path)
			_, _ = tree.RestartChild(ctx, path)
		case 5:
			extra := agent
			extra.ID = fmt.Sprint("extra", i)
			if _, err := tree.StartChild(ctx, pool, extra); err == nil {
				_ = tree.TerminateChild(ctx, pool+"/"+extra.ID)
				_ = tree.DeleteChild(ctx, pool+"/"+extra.ID)
			}
		case 6:
			tree.Hub().Pause()
			tree.Hub().Resume()
		case 7:
			_ = tree.Hub().PauseSpoke(path)
			_ = tree.Hub().ResumeSpoke(path)
		case 8:
			if l.circuits {
				_ = tree.Kill("root/service")
			}
		case 9:
			_ = tree.Resize(ctx, pool+"/w", 2+r.IntN(4))
		}
	}
}

// end ends the life, if it hasn't yet, and returns what it has left.
func (l *raceTime) end(last bool) *routing.Contents {
	counts := l.tree.Hub().Counts()
	if b, ok := l.tree.Breaker("root/service"); ok {
		l.opened += b.Snapshot().Totals.Opened
	}
	kill(l.tree)
	if !l.durable {
		return nil
	}
	l.store.close()
	found := readFile(l.t, l.path)
	require.True(l.t, found.Counts.Balanced(), "in the file: %+v", found.Counts)
	l.agrees(found)
	require.Zero(l.t, counts.EventsDropped)
	if !l.store.unheard { // else the last commit told nobody what it made
		require.Eventually(l.t, func() bool { return l.books.differenceTo(found) == "" }, time.Minute, time.Millisecond,
			"what the events told is what is in the file: %s", l.books.differenceTo(found))
	}
	require.True(l.t, !last || found.Counts.Unsettled() == 0)
	return found
}

// agrees holds what submitters were told against what is in a file.
func (l *raceTime) agrees(found *routing.Contents) {
	recorded := make(map[string]routing.State, len(found.Tasks))
	for _, task := range found.Tasks {
		recorded[task.ID] = task.State
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, state := range l.told {
		got, ok := recorded[id]
		assert.True(l.t, ok && got == state, "%s was told to be %v: in the record it is %v (%t)", id, state, got, ok)
	}
}

// tell notes how a task has ended, as a submitter was told.
func (l *raceTime) tell(id string, state routing.State) {
	if l.told == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told[id] = state
}

// check closes the books.
func (l *raceTime) check() {
	hub := l.tree.Hub()
	require.NoError(l.t, hub.Drain(within(l.t, time.Minute)))
	require.Zero(l.t, hub.Counts().EventsDropped)
	require.Eventually(l.t, func() bool { return l.books.difference(hub.Counts()) == "" }, time.Minute, time.Millisecond,
		"the last events come: %s", l.books.difference(hub.Counts()))
	counts := hub.Counts()
	planned := 0
	for i := range l.submitters {
		planned += l.submitters[i].planned
	}
	require.EqualValues(l.t, planned, counts.Quarantined, "exactly what was planted is in quarantine")
	require.Len(l.t, hub.Quarantined(), planned)
	require.Zero(l.t, l.odd.Load(), "each after three strikes")
	l.t.Logf("%d tasks in %d attempts: %d done, %d failed, %d quarantined, %d cancelled, %d expired; %d late results; %d lives, %d copies read; shut out %d",
		counts.Accepted, counts.Attempts, counts.Done, counts.Failed, counts.Quarantined, counts.Cancelled, counts.Expired, counts.Late,
		l.lives+1, l.copies.Load(), l.shutOut.Load())
}
