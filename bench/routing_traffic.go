package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/router"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
)

const (
	workers      = 8
	manyRequests = 1000 // in flight
)

// theTask is the kind of task that all cases submit.
var theTask = routing.NewType[*question, *answer]("task")

func answerAtOnce(context.Context, *question) (*answer, error) { return theAnswer, nil }

// agents starts a tree with eight of them.
func agents(handle func(context.Context, *question) (*answer, error), opts ...actors.Option) *actors.Tree {
	tree, err := actors.Start(context.Background(), actors.Supervisor{ID: "root", Strategy: oneForOne(), Children: []actors.Child{
		actors.Pool(workers, actors.Agent("agent", theTask, handle)),
	}}, opts...)
	if err != nil {
		panic(err)
	}
	return tree
}

// measured runs do a tenth as often to warm up, and then measures it.
func measured(p *probe, n int, do func(n int)) {
	do(n / 10)
	p.time(n, func() { do(n) })
}

// oneInFlight: one goroutine submits a task and waits for its result, then the next.
func oneInFlight(s size) benchmark {
	n := s.of(20_000, 100_000)
	return benchmark{"submit to result, one in flight", nanoseconds, proto, []contender{
		{name: floor, run: func(p *probe) {
			questions, answers := make(chan *question), make(chan *answer)
			for range workers {
				go func() {
					for range questions {
						answers <- theAnswer
					}
				}()
			}
			defer close(questions)
			measured(p, n, func(n int) {
				for range n {
					questions <- theQuestion
					<-answers
				}
			})
		}},
		{name: proto, run: func(p *probe) {
			f := raise(protoOneForOne(), ids(1), newSubject)
			defer f.stop()
			request(p, n, 1, f.system, f.children[0])
		}},
		{name: proto + ", round robin", run: func(p *probe) {
			system, pid, end := roundRobin()
			defer end()
			request(p, n, 1, system, pid)
		}},
		{name: ours, target: 0.75, run: func(p *probe) {
			tree := agents(answerAtOnce)
			defer mustStop(tree)
			ctx := context.Background()
			measured(p, n, func(n int) {
				for range n {
					if _, err := theTask.Do(ctx, tree, theQuestion); err != nil {
						panic(err)
					}
				}
			})
		}},
		{name: ours + ", in a context that can end", run: func(p *probe) {
			tree := agents(answerAtOnce)
			defer mustStop(tree)
			measured(p, n, func(n int) {
				for range n {
					if _, err := theTask.Do(oneHour, tree, theQuestion); err != nil {
						panic(err)
					}
				}
			})
		}},
	}}
}

// manyInFlight: one goroutine keeps 1,000 tasks in flight: it waits for the oldest and submits another.
func manyInFlight(s size) benchmark {
	n := s.of(200_000, 1_000_000)
	const futures, bareReplies = proto + ", round robin", proto + ", round robin, bare replies"
	inFlight := func(p *probe, opts ...routing.SubmitOption) {
		tree := agents(answerAtOnce)
		defer mustStop(tree)
		ctx := context.Background()
		measured(p, n, func(n int) {
			flying(n, func() *routing.Handle[*answer] {
				handle, err := theTask.Submit(ctx, tree, theQuestion, opts...)
				if err != nil {
					panic(err)
				}
				return handle
			}, func(handle *routing.Handle[*answer]) {
				if _, err := handle.Await(ctx); err != nil {
					panic(err)
				}
			})
		})
	}
	return benchmark{"1,000 in flight, a task", nanoseconds, futures, []contender{
		{name: futures, run: func(p *probe) {
			system, pid, end := roundRobin()
			defer end()
			request(p, n, manyRequests, system, pid)
		}},
		{name: bareReplies, run: func(p *probe) {
			system, pid, end := roundRobin()
			defer end()
			c := &counter{credit: newCredit(manyRequests)}
			self, _ := system.ProcessRegistry.Add(c, "counter")
			measured(p, n, func(n int) {
				for range n {
					c.credit.take()
					system.Root.RequestWithCustomSender(pid, theQuestion, self)
				}
				c.credit.all()
			})
		}},
		{name: ours, target: 0.6, run: func(p *probe) { inFlight(p) }},
		{name: ours + " to bare replies", against: bareReplies, target: 2, run: func(p *probe) { inFlight(p) }},
		{name: ours + ", with a deadline", run: func(p *probe) { inFlight(p, routing.Deadline(time.Now().Add(time.Hour))) }},
	}}
}

// flying keeps many in flight: n are begun, and ended when that many are out. Then half of them are ended at once, the youngest first: the
// one wait is for that, the others have ended meanwhile.
func flying[T any](n int, begin func() T, end func(T)) {
	const half = manyRequests / 2
	out := make([]T, 0, manyRequests)
	land := func(k int) {
		for i := k - 1; i >= 0; i-- {
			end(out[i])
		}
		out = append(out[:0], out[k:]...)
	}
	for range n {
		if len(out) == manyRequests {
			land(half)
		}
		out = append(out, begin())
	}
	land(len(out))
}

func roundRobin() (system *actor.ActorSystem, to *actor.PID, end func()) {
	system = newSystem()
	pid := system.Root.Spawn(router.NewRoundRobinPool(workers, actor.WithProducer(newSubject)))
	return system, pid, func() {
		system.Root.StopFuture(pid).Wait()
		system.Shutdown()
	}
}

// request measures requests with a future each.
func request(p *probe, n, inFlight int, system *actor.ActorSystem, to *actor.PID) {
	ask := func() *actor.Future { return system.Root.RequestFuture(to, theQuestion, time.Minute) }
	answered := func(f *actor.Future) {
		if _, err := f.Result(); err != nil {
			panic(err)
		}
	}
	measured(p, n, func(n int) {
		if inFlight > 1 {
			flying(n, ask, answered)
			return
		}
		for range n {
			answered(ask())
		}
	})
}

// counter is a process that answers are sent to.
type counter struct{ credit *credit }

func (c *counter) SendUserMessage(*actor.PID, any)   { c.credit.giveBack() }
func (c *counter) SendSystemMessage(*actor.PID, any) {}
func (c *counter) Stop(*actor.PID)                   {}

// credit bounds what one goroutine has in flight whose answers it doesn't wait for one by one. Used up, it is waited for until half of it
// is back, so that neither side wakes the other for each answer.
type credit struct {
	limit  int64
	left   atomic.Int64
	wanted atomic.Int64 // signalled when so much is left
	back   chan struct{}
}

func newCredit(limit int64) *credit {
	c := &credit{limit: limit, back: make(chan struct{}, 1)}
	c.left.Store(limit)
	c.wanted.Store(-1)
	return c
}

func (c *credit) take() {
	if c.left.Load() == 0 {
		c.await(c.limit / 2)
	}
	c.left.Add(-1)
}

// all waits until nothing is in flight.
func (c *credit) all() { c.await(c.limit) }

func (c *credit) await(n int64) {
	c.wanted.Store(n)
	for c.left.Load() < n {
		<-c.back
	}
	c.wanted.Store(-1)
}

func (c *credit) giveBack() {
	if left := c.left.Add(1); left == c.wanted.Load() {
		select {
		case c.back <- struct{}{}:
		default:
		}
	}
}
