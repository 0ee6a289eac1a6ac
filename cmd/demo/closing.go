package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// closing makes the summary of a run: it stops what runs, counts, and holds the counts against each other.
type closing struct {
	stop   context.Context // whose cause says whether the run was cut short
	cfg    config
	drills chaos.Drills
	owed   map[string]int // of them, by mechanism
	job    *job
	watch  *watch
	crew   *crew
	record *record
}

// begin is what is known of any run.
func (c closing) begin() (summary.Summary, summary.Facts) {
	s := summary.Summary{Seed: c.cfg.seed, Planted: byName(c.drills)}
	f := summary.Facts{
		Interrupted: errors.Is(context.Cause(c.stop), errInterrupted),
		OutOfTime:   errors.Is(context.Cause(c.stop), errOutOfTime),
	}
	f.Planned = plannedEndings(c.drills)
	return s, f
}

// plannedEndings are those of the drills that aim at something else than a result.
func plannedEndings(drills chaos.Drills) (planned summary.Endings) {
	for _, id := range drills.All() {
		switch task.EndingOf(id) {
		case task.Quarantined:
			planned.Quarantined = append(planned.Quarantined, id)
		case task.Cancelled:
			planned.Cancelled = append(planned.Cancelled, id)
		case task.Expired:
			planned.Expired = append(planned.Expired, id)
		}
	}
	return planned
}

func (c closing) summary(tree *actors.Tree, server *model.Server) summary.Summary {
	s, f := c.begin()
	broken := func(format string, args ...any) { f.Broken = append(f.Broken, fmt.Sprintf(format, args...)) }
	for _, fault := range c.job.faults {
		broken("%v", fault)
	}
	nodes := tree.Snapshot()
	s.Breaker.Rejected = rejected(nodes)

	if err := stopTree(tree); err != nil {
		broken("the tree did not stop as it should: %v", err)
	}
	<-c.watch.finished
	if err := closeServer(server); err != nil {
		broken("the model server did not stop as it should: %v", err)
	}

	counts := tree.Hub().Counts()
	s.Attempts, s.LateResultsRefused = int(counts.Attempts), int(counts.Late)
	s.Tasks, f.Ended = c.watch.settledTasks(c.job.submitted, func(id string) bool {
		t, known := tree.Hub().Inspect(id)
		return c.job.durable && known && !t.State.Settled()
	})
	s.Restarts, s.Escalations, s.Abandoned = c.watch.counts.restarts, c.watch.counts.escalations, c.watch.counts.abandoned
	s.GroupRestarts = summary.Groups{OneForAll: c.watch.counts.oneForAll, RestForOne: c.watch.counts.restForOne}
	s.Breaker.Opened, s.Breaker.Closed = c.watch.counts.opened, c.watch.counts.closed
	s.RecoveryMS = summary.Percentiles(c.watch.recovery)
	s.Drills, s.Resumed = c.crew.seen.summary(c.owed), len(c.record.begun) > 0

	if missed := c.watch.events.Missed() + counts.EventsDropped; missed > 0 {
		broken("%d events were missed: the counts can't be trusted", missed)
	}
	if !counts.Balanced() || int(counts.Accepted) != s.Tasks.Accepted || int(counts.Done) != s.Tasks.Done || int(counts.Quarantined) != s.Tasks.Quarantined ||
		int(counts.Cancelled) != s.Tasks.Cancelled || int(counts.Expired) != s.Tasks.Expired {
		broken("the hub's books (%+v) are not what was seen of them (%+v)", counts, s.Tasks)
	}
	received := server.Stats()
	s.Model = summary.Model{Requests: received.Total, RetriedByTwoLayers: received.Repeated, BeforeRetryAfter: received.Early}
	s.Breaker.SentWhileOpen = max(c.watch.whileOpen(c.crew.sent.all()), c.watch.whileOpen(received.Periods))
	c.compare(received, broken)
	s.Judge(f)
	return s
}

// stopTree stops the tree. Whoever had no time to end in time, because the machine stood still, may return afterwards; one that hangs doesn't.
func stopTree(tree *actors.Tree) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := tree.Stop(ctx)
	var left *actors.AbandonedError
	if ctx.Err() != nil || !errors.As(err, &left) {
		return err
	}
	until(context.Background(), stopTimeout, func() bool { return len(tree.Abandoned()) == 0 })
	return tree.Stop(context.Background())
}

// compare holds what the embedded server received against what was sent: every attempt asks once, and what arrived was sent.
func (c closing) compare(received model.Stats, broken func(string, ...any)) {
	for _, call := range received.Calls {
		if call.Requests > 1 {
			broken("attempt %d of %s asked the model %d times", call.Attempt, call.Task, call.Requests)
		}
	}
	sent := c.crew.sent.all()
	for p, n := range received.Periods {
		if n > sent[p] {
			broken("the model server received %d requests of period %q, but only %d were sent", n, p, sent[p])
		}
	}
}

// rejected counts the calls that the tree's breakers refused.
func rejected(n actors.NodeSnapshot) int { return int(breakers(n).Rejected) }

// breakers adds up what the breakers of a subtree did.
func breakers(n actors.NodeSnapshot) (sum breaker.Totals) {
	if n.Breaker != nil {
		sum = n.Breaker.Totals
	}
	for _, child := range n.Children {
		t := breakers(child)
		sum.Rejected += t.Rejected
		sum.Opened += t.Opened
		sum.Closed += t.Closed
	}
	return sum
}

func closeServer(server *model.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return server.Close(ctx)
}
