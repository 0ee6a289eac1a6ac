package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/strategies"
)

// drill makes one mechanism or a few happen, in a subtree of its own that nothing else needs.
type drill struct {
	tree actors.Supervisor
	ids  []string // of its tasks

	// run submits its tasks and returns when all are settled. When j.stop ends, it lets go of whatever it holds up.
	run func(j *job)

	// owes says how often each of its mechanisms is to be seen, at least. A run that finds some of its tasks begun in its store owes none of them.
	owes map[string]int

	// recorded says that earlier processes' share of what it owes is known from the store, so that the debt stands.
	recorded bool

	// sees says which of them an event of the tree shows, or none. The rest are noted by run and the drill's agents. It is called by one goroutine.
	sees func(e actors.Event) string

	types map[string]routing.TypeOptions
}

// newDrills makes the drills of a plan, by name.
func newDrills(planted chaos.Drills, c *crew) []drill {
	if len(planted) == 0 {
		return nil
	}
	return []drill{
		cancelDrill(planted[task.Cancel], c),
		escalateDrill(planted[task.Escalate]),
		expireDrill(planted[task.Expire], c),
		fullDrill(planted[task.Full], c),
		groupDrill(task.All, planted[task.All]),
		groupDrill(task.Rest, planted[task.Rest]),
		hangDrill(planted[task.Hang], c),
		hubDrill(planted[task.Hub]),
		outageDrill(planted[task.Breaker], c),
		poisonDrill(planted[task.Poison], c),
		stallDrill(planted[task.Stall], c),
		subtasksDrill(planted, c),
		sumDrill(planted[task.Sum], c),
	}
}

// drillTask is a type of drill tasks. In: the task's id, which says all there is to say.
type drillTask = routing.Type[string, task.DrillResult]

func newDrillTask(d task.Drill) drillTask {
	return routing.NewType[string, task.DrillResult](d.Type())
}

// subtree is a drill's, unless it wants another strategy: it bears that many crashes, and some.
func subtree(d task.Drill, crashes int, children ...actors.Child) actors.Supervisor {
	return actors.Supervisor{ID: string(d), Strategy: strategies.OneForOne(budget(crashes)), Children: children}
}

// atOnce submits a drill's tasks together.
func atOnce(t drillTask, ids []string, opts ...routing.SubmitOption) func(*job) {
	return func(j *job) {
		together(ids, func(id string) { _, _ = do(j, t, id, id, opts...) }) // the record says what became of it
	}
}

// inTurn submits a drill's tasks one after the other.
func inTurn(t drillTask, ids []string) func(*job) {
	return func(j *job) {
		for _, id := range ids {
			_, _ = do(j, t, id, id) // likewise
		}
	}
}

// drillsPath is where the drills' subtrees hang.
const drillsPath = rootID + "/drills"

// drillPath is that of a drill's subtree, and of a node below it.
func drillPath(d task.Drill, below ...string) string {
	path := drillsPath + "/" + string(d)
	for _, id := range below {
		path += "/" + id
	}
	return path
}

// budget bears that many crashes, and some that nobody has planned.
func budget(crashes int) strategies.RestartPolicy {
	return strategies.MaxRestarts(10+crashes, time.Minute)
}

// sightings counts how often each mechanism was seen.
type sightings struct {
	mu sync.Mutex
	n  map[string]int
}

func newSightings() *sightings { return &sightings{n: make(map[string]int)} }

func (s *sightings) add(mechanism string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n[mechanism] += n
}

func (s *sightings) of(mechanism string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n[mechanism]
}

// watcher tells of what the events of a tree show.
func (s *sightings) watcher(drills []drill) func(actors.Event) {
	return func(e actors.Event) {
		for _, d := range drills {
			if d.sees == nil {
				continue
			}
			if mechanism := d.sees(e); mechanism != "" {
				s.add(mechanism, 1)
			}
		}
	}
}

// owed adds up what drills owe, but for those that an earlier process of the run has begun with.
func owed(drills []drill, begun map[string]bool) map[string]int {
	all := make(map[string]int)
	for _, d := range drills {
		owes := d.recorded || !slices.ContainsFunc(d.ids, func(id string) bool { return begun[id] })
		for mechanism, n := range d.owes {
			if !owes {
				n = 0
			}
			all[mechanism] += n
		}
	}
	return all
}

// sightTimeout is how long what is owed may take after all tasks are settled: code that hangs has some time left before it is abandoned.
const sightTimeout = 3 * time.Second

// rest sees to it that the drills are over when the tree stops: it waits for what they still have to show, and lets those return who are deaf to everything else.
func (c *crew) rest(stop context.Context, tree *actors.Tree, owed map[string]int) {
	before := maps.Clone(owed)
	delete(before, abandonedReturn)
	until(stop, sightTimeout, func() bool { return c.seen.has(before) })
	c.over.give()
	until(stop, sightTimeout, func() bool { return c.seen.has(owed) })
	until(context.Background(), sightTimeout, func() bool { return len(tree.Abandoned()) == 0 }) // when the run was cut short, too
}

// lookEvery is how often until looks.
const lookEvery = 2 * time.Millisecond

// until waits for something to come true, for so long at least, or for stop to end. It counts its looks, so that time for which the whole process stood still isn't taken off.
func until(stop context.Context, patience time.Duration, is func() bool) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for looks := patience / lookEvery; looks > 0 && !is(); looks-- {
		select {
		case <-tick.C:
		case <-stop.Done():
			return
		}
	}
}

func (s *sightings) has(owed map[string]int) bool {
	for mechanism, n := range owed {
		if s.of(mechanism) < n {
			return false
		}
	}
	return true
}

// summary holds what was seen against what is owed.
func (s *sightings) summary(owed map[string]int) map[string]summary.Drill {
	all := make(map[string]summary.Drill, len(owed))
	for mechanism, n := range owed {
		all[mechanism] = summary.Drill{Planned: n, Seen: s.of(mechanism)}
	}
	return all
}

// typeOptions are those that drills need.
func typeOptions(drills []drill) map[string]routing.TypeOptions {
	all := make(map[string]routing.TypeOptions)
	for _, d := range drills {
		maps.Copy(all, d.types)
	}
	return all
}

// once is something that happens once, and that others wait for.
type once struct {
	do sync.Once
	c  chan struct{}
}

func newOnce() *once  { return &once{c: make(chan struct{})} }
func (s *once) give() { s.do.Do(func() { close(s.c) }) }

// wait waits for it, or for ctx to end.
func (s *once) wait(ctx context.Context) error {
	select {
	case <-s.c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// together does that for each of the ids at once.
func together(ids []string, do func(id string)) {
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { do(id) })
	}
	wg.Wait()
}
