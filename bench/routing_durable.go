package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/routing/boltstore"
)

const (
	// durablePace is the time that a task may take at 20,000 a second.
	durablePace = float64(time.Second/time.Nanosecond) / 20_000
	// durableCredits is how many leases each agent may hold: all eight together, what is in flight.
	durableCredits = manyRequests / workers
)

// durableTasks: a thousand submitters at a time, each of which waits for its result before it submits again, with a ledger in a file. A task's
// acceptance is committed before its submit returns, its lease before the agent has it, its result before its submitter.
//
// "a commit a task" writes what a hub does about a settled task, its record and the books, to the same kind of file, in a transaction
// of its own, and nothing else: no hub, no agents, and one commit where the hub would make two or three.
func durableTasks(s size) benchmark {
	n, few := s.of(40_000, 200_000), s.of(1000, 5000)
	const single = "bbolt, a commit a task"
	file := func() (*boltstore.Store, func()) {
		dir, err := os.MkdirTemp("", "bench")
		if err != nil {
			panic(err)
		}
		store, err := boltstore.Open(filepath.Join(dir, "tasks.db"), boltstore.Options{})
		if err != nil {
			panic(err)
		}
		return store, func() {
			if err := store.Close(); err != nil {
				panic(err)
			}
			if err := os.RemoveAll(dir); err != nil {
				panic(err)
			}
		}
	}
	durable := func(credits int) func(*probe) {
		return func(p *probe) {
			store, end := file()
			defer end()
			agent := actors.Agent("agent", theTask, answerAtOnce)
			agent.Credits = credits
			tree, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Strategy: oneForOne(), Children: []actors.Child{
				actors.Pool(workers, agent),
			}}, actors.WithStore(store))
			if err != nil {
				panic(err)
			}
			defer mustStop(tree)
			measured(p, n, func(n int) { thousand(n, tree) })
		}
	}
	return benchmark{"durable, 1,000 in flight, a task", nanoseconds, single, []contender{
		{name: single, run: func(p *probe) {
			store, end := file()
			defer end()
			ctx := context.Background()
			records := settledRecords()
			measured(p, few, func(n int) {
				for i := range n {
					records[0].Key = fmt.Sprintf("task/%016x", i)
					if err := store.Commit(ctx, records); err != nil {
						panic(err)
					}
				}
			})
		}},
		{name: limit, run: func(p *probe) { p.value = durablePace }},
		{name: ours, target: 1.0 / 20, run: durable(durableCredits)},
		{name: ours + " to 20,000 a second", against: limit, target: 1, run: durable(durableCredits)},
		{name: ours + ", 16 credits an agent", run: durable(16)},
	}}
}

// thousand runs n tasks, a thousand at a time.
func thousand(n int, tree *actors.Tree) {
	ctx := context.Background()
	turns := make(chan struct{}, manyRequests)
	var submitters sync.WaitGroup
	for range manyRequests {
		submitters.Go(func() {
			for range turns {
				if _, err := theTask.Do(ctx, tree, theQuestion); err != nil {
					panic(err)
				}
			}
		})
	}
	for range n {
		turns <- struct{}{}
	}
	close(turns)
	submitters.Wait()
}

// lastCommit is a store that remembers the last commit.
type lastCommit struct{ records []routing.Record }

func (*lastCommit) Load(context.Context, func(routing.Record) error) error { return nil }

func (c *lastCommit) Commit(_ context.Context, changes []routing.Record) error {
	c.records = nil
	for _, r := range changes {
		c.records = append(c.records, routing.Record{Key: r.Key, Data: append([]byte(nil), r.Data...)})
	}
	return nil
}

// settledRecords is what a hub commits when a task is done: the record of that, and the books.
func settledRecords() []routing.Record {
	store := &lastCommit{}
	tree := agents(answerAtOnce, actors.WithStore(store))
	if _, err := theTask.Do(context.Background(), tree, theQuestion); err != nil {
		panic(err)
	}
	mustStop(tree)
	if len(store.records) != 2 {
		panic(fmt.Sprintf("a task was settled in a commit of %d records", len(store.records)))
	}
	return store.records
}
