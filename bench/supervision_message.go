package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
)

// Senders are never more than a window ahead of their reader, which fits into a queue of the default size: what is measured is messages, not
// how a backlog grows and is collected again. The reader gives credit for one chunk at a time.
const (
	chunk  = 256
	window = 3 * chunk
)

// messageOneToOne: one goroutine sends to one supervised child, until all messages have been handled.
func messageOneToOne(s size) benchmark {
	return benchmark{"message, one to one", nanoseconds, proto, messages(s.of(1_000, 4_000), 1, 0.75)}
}

// messageEightToEight: eight goroutines send to a child each.
func messageEightToEight(s size) benchmark {
	return benchmark{"message, eight to eight", nanoseconds, proto, messages(s.of(250, 1_000), 8, 0.95)}
}

// messages sends so many chunks to each of several children.
func messages(chunks, pairs int, target float64) []contender {
	names := ids(pairs)
	return []contender{
		{name: floor, run: func(p *probe) {
			readers := newReaders(pairs)
			mailboxes := make([]chan *note, pairs)
			for i := range mailboxes {
				mailboxes[i] = make(chan *note, actors.DefaultQueue)
				defer close(mailboxes[i])
				go func() {
					for range mailboxes[i] {
						readers[i].read()
					}
				}()
			}
			converse(p, chunks, readers, func(i int) { mailboxes[i] <- theNote })
		}},
		{name: proto, run: func(p *probe) {
			readers := newReaders(pairs)
			f := raise(protoOneForOne(), names, next(readers))
			defer f.stop()
			root := f.system.Root
			converse(p, chunks, readers, func(i int) { root.Send(f.children[i], theNote) })
		}},
		{name: ours, target: target, noAlloc: true, run: func(p *probe) {
			readers := newReaders(pairs)
			tree := mustStart(actors.Supervisor{ID: "root", Children: children(names, 0, next(readers))})
			defer mustStop(tree)
			to, root := pids(tree, names), tree.ActorSystem().Root
			converse(p, chunks, readers, func(i int) { root.Send(to[i], theNote) })
		}},
		{name: ours + ", actors.Send", run: func(p *probe) {
			readers := newReaders(pairs)
			tree := mustStart(actors.Supervisor{ID: "root", Children: children(names, 0, next(readers))})
			defer mustStop(tree)
			to, ctx := pids(tree, names), context.Background()
			converse(p, chunks, readers, func(i int) {
				if err := actors.Send(ctx, tree, to[i], theNote); err != nil {
					panic(err)
				}
			})
		}},
	}
}

// converse measures a sender for each reader, after a tenth to warm up.
func converse(p *probe, chunks int, readers []*reader, send func(reader int)) {
	sendAll := func(chunks int) {
		var senders sync.WaitGroup
		for i, r := range readers {
			senders.Go(func() {
				for range chunks {
					<-r.credit
					for range chunk {
						send(i)
					}
				}
				for range window / chunk {
					<-r.credit
				}
				r.fill()
			})
		}
		senders.Wait()
	}
	sendAll(chunks / 10)
	p.time(chunks*chunk*len(readers), func() { sendAll(chunks) })
}

// reader reads notes, and gives credit for each chunk.
type reader struct {
	credit chan struct{}
	seen   int
}

// newReaders returns readers whose senders have all their credit.
func newReaders(n int) []*reader {
	all := make([]*reader, n)
	for i := range all {
		all[i] = &reader{credit: make(chan struct{}, window/chunk)}
		all[i].fill()
	}
	return all
}

// next produces one reader after the other.
func next(readers []*reader) actor.Producer {
	var i atomic.Int64
	return func() actor.Actor { return readers[i.Add(1)-1] }
}

func (r *reader) fill() {
	for range window / chunk {
		r.credit <- struct{}{}
	}
}

func (r *reader) read() {
	if r.seen++; r.seen == chunk {
		r.seen = 0
		r.credit <- struct{}{}
	}
}

func (r *reader) Receive(ctx actor.Context) {
	if _, ok := ctx.Message().(*note); ok {
		r.read()
	}
}

// askOneToOne: one goroutine asks, and waits for the answer. The time limit is a context's, or the future's.
func askOneToOne(s size) benchmark {
	n := s.of(20_000, 100_000)
	produce := func() actor.Actor { return &subject{} }
	measure := func(p *probe, ask func()) {
		for range n / 10 {
			ask()
		}
		p.time(n, func() {
			for range n {
				ask()
			}
		})
	}
	askAll := func(p *probe, in actors.System, to *actor.PID, ctx func() (context.Context, context.CancelFunc)) {
		measure(p, func() {
			c, cancel := ctx()
			if _, err := actors.Ask[*answer](c, in, to, theQuestion); err != nil {
				panic(err)
			}
			cancel()
		})
	}
	fresh := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), time.Minute)
	}
	shared := func() (context.Context, context.CancelFunc) { return oneHour, func() {} }
	own := func(ctx func() (context.Context, context.CancelFunc)) func(*probe) {
		return func(p *probe) {
			tree := mustStart(actors.Supervisor{ID: "root", Children: children(ids(1), 0, produce)})
			defer mustStop(tree)
			askAll(p, tree, tree.PID("root/c0"), ctx)
		}
	}
	return benchmark{"ask", nanoseconds, proto, []contender{
		{name: floor, run: func(p *probe) {
			questions, answers := make(chan any, 1), make(chan any, 1)
			go func() {
				for range questions {
					answers <- theAnswer
				}
			}()
			defer close(questions)
			measure(p, func() { questions <- theQuestion; <-answers })
		}},
		{name: proto, run: func(p *probe) {
			f := raise(protoOneForOne(), ids(1), produce)
			defer f.stop()
			measure(p, func() {
				if _, err := f.system.Root.RequestFuture(f.children[0], theQuestion, time.Minute).Result(); err != nil {
					panic(err)
				}
			})
		}},
		{name: ours, target: 0.25, run: own(shared)},
		{name: ours + ", a fresh deadline each", run: own(fresh)},
		{name: ours + ", of a protoactor PID", target: 0.75, run: func(p *probe) {
			tree := mustStart(actors.Supervisor{ID: "root"})
			defer mustStop(tree)
			system := tree.ActorSystem()
			pid := system.Root.Spawn(actor.PropsFromProducer(produce))
			defer func() { system.Root.StopFuture(pid).Wait() }()
			askAll(p, tree, pid, shared)
		}},
	}}
}

// oneHour is the deadline that a program's requests share.
var oneHour, _ = context.WithTimeout(context.Background(), aWhile)
