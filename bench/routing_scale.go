package main

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

const (
	fewWaiting  = 1000
	manyWaiting = 1_000_000
)

// waitingTasks: each task submits another when it is run, so that always the same number waits: a thousand, or a million more.
func waitingTasks(s size) benchmark {
	n := s.of(200_000, 1_000_000)
	few := ours + ", none"
	return benchmark{"more tasks waiting, a task", nanoseconds, few, []contender{
		{name: few, run: func(p *probe) { amongWaiting(p, n, fewWaiting) }},
		{name: ours + ", a million", target: 2.5, run: func(p *probe) { amongWaiting(p, n, fewWaiting+manyWaiting) }},
	}}
}

func amongWaiting(p *probe, n, waiting int) {
	ctx := context.Background()
	var tree atomic.Pointer[actors.Tree]
	var left atomic.Pointer[countdown]
	submit := func() {
		if _, err := theTask.Submit(ctx, tree.Load(), theQuestion); err != nil {
			panic(err)
		}
	}
	gate := make(chan struct{})
	tree.Store(agents(func(context.Context, *question) (*answer, error) {
		<-gate
		submit()
		left.Load().tick()
		return theAnswer, nil
	}, actors.WithHub(routing.Options{Capacity: 2 * waiting})))
	defer mustStop(tree.Load())
	defer left.Store(newCountdown(-1)) // what runs until the tree has stopped isn't counted
	for range waiting {
		submit()
	}
	left.Store(newCountdown(n / 10))
	close(gate)
	left.Load().wait()
	measuring := newCountdown(n)
	p.time(n, func() {
		left.Store(measuring)
		measuring.wait()
	})
}

const (
	fewSpokes  = 10
	manySpokes = 10_000
)

// spokes: every spoke is idle, and one task at a time goes to one of them. The number of spokes grows a thousandfold, its logarithm
// fourfold.
func spokes(s size, balancer string, make func() routing.Balancer) benchmark {
	n := s.of(50_000, 200_000)
	few := ours + among(fewSpokes)
	return benchmark{"spokes, " + balancer + ", a task", nanoseconds, few, []contender{
		{name: few, run: func(p *probe) { amongSpokes(p, n, fewSpokes, make()) }},
		{name: ours + among(manySpokes), target: 4, run: func(p *probe) { amongSpokes(p, n, manySpokes, make()) }},
	}}
}

func amongSpokes(p *probe, n, count int, balancer routing.Balancer) {
	hub, stop := loneHub(routing.Options{Balancer: balancer})
	defer stop()
	var run func(*routing.Lease)
	run = func(l *routing.Lease) {
		for l != nil {
			l, _ = l.Settle(routing.Done(theAnswer))
		}
	}
	for i := range count {
		_, err := hub.Join(routing.SpokeSpec{ID: routing.SpokeID{Path: "s" + strconv.Itoa(i)}, Types: []string{theTask.Name()}, Deliver: run})
		if err != nil {
			panic(err)
		}
	}
	ctx := context.Background()
	next := 0
	measured(p, n, func(n int) {
		for range n {
			next++
			if _, err := theTask.Do(ctx, hub, theQuestion, routing.Key(strconv.Itoa(next))); err != nil {
				panic(err)
			}
		}
	})
}

// loneHub makes a hub without a tree.
func loneHub(options routing.Options) (hub *routing.Hub, stop func()) {
	hub, err := routing.NewHub(options)
	if err != nil {
		panic(err)
	}
	if err := hub.Declare(theTask.Name()); err != nil {
		panic(err)
	}
	system := newSystem()
	pid := system.Root.Spawn(actor.PropsFromProducer(hub.Actor()))
	return hub, func() {
		hub.Close(nil)
		system.Root.StopFuture(pid).Wait()
		system.Shutdown()
	}
}

// taskLimit is what a waiting task may occupy beyond its payload.
const taskLimit = 300

// waitingMemory: what a task occupies that waits, its id and its place in all books included; of protoactor's, a request that waits for its
// actor with a future.
func waitingMemory() benchmark {
	const n = 200_000
	waiting := func(balancer routing.Balancer, options func(i int) []routing.SubmitOption) func(*probe) {
		return func(p *probe) {
			hub, stop := loneHub(routing.Options{Balancer: balancer, Capacity: n})
			defer stop()
			ctx := context.Background()
			p.occupy(n, func() {
				for i := range n {
					if _, err := theTask.Submit(ctx, hub, theQuestion, options(i)...); err != nil {
						panic(err)
					}
				}
			})
		}
	}
	keys := ids(n / 10) // payload
	none := func(int) []routing.SubmitOption { return nil }
	later := time.Now().Add(aWhile)
	return benchmark{"memory of a waiting task", bytes, limit, []contender{
		{name: limit, run: func(p *probe) { p.value = taskLimit }},
		{name: proto + ", request with a future", run: func(p *probe) {
			gate := make(chan struct{})
			system := newSystem()
			pid := system.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*question); ok {
					<-gate
					ctx.Respond(theAnswer)
				}
			}))
			futures := make([]*actor.Future, n)
			p.occupy(n, func() {
				for i := range futures {
					futures[i] = system.Root.RequestFuture(pid, theQuestion, aWhile)
				}
			})
			close(gate)
			var all sync.WaitGroup
			for _, f := range futures {
				all.Go(func() { f.Wait() })
			}
			all.Wait()
			system.Root.StopFuture(pid).Wait()
			system.Shutdown()
		}},
		{name: ours, target: 1, run: waiting(nil, none)},
		{name: ours + ", with a deadline", run: waiting(nil, func(int) []routing.SubmitOption { return []routing.SubmitOption{routing.Deadline(later)} })},
		{name: ours + ", ten to a key", run: waiting(routing.ConsistentHash(), func(i int) []routing.SubmitOption {
			return []routing.SubmitOption{routing.Key(keys[i/10])}
		})},
	}}
}
