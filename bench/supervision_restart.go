package main

import (
	"fmt"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
)

func newSubject() actor.Actor { return &subject{} }

// panicToAnswer: a child panics, is restarted and answers what was sent right after. Children take turns: protoactor keeps the times of all
// failures of a child, and counts them at each.
func panicToAnswer(s size) benchmark {
	const each = 100
	names := ids(s.of(20, 100))
	n := len(names) * each
	measure := func(p *probe, crash func(child int, ask *ping)) {
		ask := &ping{make(chan struct{}, 1)}
		p.time(n, func() {
			for i := range n {
				crash(i%len(names), ask)
				<-ask.pong
			}
		})
	}
	mailboxes := func(run func([]*service) *sutured) func(*probe) {
		return func(p *probe) {
			all := services(len(names), 2, nil)
			s := run(all)
			defer s.stop()
			measure(p, func(i int, ask *ping) { all[i].mailbox <- theBoom; all[i].mailbox <- ask })
		}
	}
	return benchmark{"panic to restarted and answering", nanoseconds, proto, []contender{
		{name: floor, run: mailboxes(supervisePlainly)},
		{name: proto, run: func(p *probe) {
			f := raise(protoOneForOne(), names, newSubject)
			defer f.stop()
			root := f.system.Root
			measure(p, func(i int, ask *ping) { root.Send(f.children[i], theBoom); root.Send(f.children[i], ask) })
		}},
		{name: ours, target: 1.3, run: func(p *probe) {
			tree := mustStart(actors.Supervisor{ID: "root", Strategy: oneForOne(), Children: children(names, 0, newSubject)})
			defer mustStop(tree)
			to, root := pids(tree, names), tree.ActorSystem().Root
			measure(p, func(i int, ask *ping) { root.Send(to[i], theBoom); root.Send(to[i], ask) })
		}},
		{name: sutur, run: mailboxes(superviseWithSuture)},
	}}
}

const stormChildren = 1000

func stormCrashes(s size) int { return s.of(10, 100) }

// restartStorm: a thousand children crash again and again at the same time; until all crashes are over and every child answers.
func restartStorm(s size) benchmark {
	names, crashes := ids(stormChildren), stormCrashes(s)
	n := len(names) * crashes
	measure := func(p *probe, send func(child int, message any)) {
		ask := &ping{make(chan struct{}, len(names))}
		p.time(n, func() {
			for range crashes {
				for i := range names {
					send(i, theBoom)
				}
			}
			for i := range names {
				send(i, ask)
			}
			for range names {
				<-ask.pong
			}
		})
	}
	mailboxes := func(run func([]*service) *sutured) func(*probe) {
		return func(p *probe) {
			all := services(len(names), crashes+1, nil)
			s := run(all)
			defer s.stop()
			measure(p, func(i int, message any) { all[i].mailbox <- message })
		}
	}
	return benchmark{fmt.Sprintf("restart in a storm of 1,000 × %d", crashes), nanoseconds, proto, []contender{
		{name: floor, run: mailboxes(supervisePlainly)},
		{name: proto, run: func(p *probe) {
			f := raise(protoOneForOne(), names, newSubject)
			defer f.stop()
			root := f.system.Root
			measure(p, func(i int, message any) { root.Send(f.children[i], message) })
		}},
		{name: ours, target: 2, run: func(p *probe) {
			tree := mustStart(actors.Supervisor{ID: "root", Strategy: oneForOne(), Children: children(names, 0, newSubject)})
			defer mustStop(tree)
			to, root := pids(tree, names), tree.ActorSystem().Root
			measure(p, func(i int, message any) { root.Send(to[i], message) })
		}},
		{name: sutur, run: mailboxes(superviseWithSuture)},
	}}
}

func groupCycles(s size, members int) int { return max(s.of(3_000, 30_000)/members, 5) }

// groupRestart: one of a group panics, and the whole group is restarted; until all have started, by child. Members crash in turn.
func groupRestart(s size, members int) benchmark {
	names := ids(members)
	b := benchmark{fmt.Sprintf("group restart of %d, a child", members), nanoseconds, proto, []contender{
		{name: proto, run: func(p *probe) {
			up := newCountdown(members)
			f := raise(protoAllForOne(), names, func() actor.Actor { return &subject{started: up.tick} })
			defer f.stop()
			up.wait()
			root := f.system.Root
			groupCrashes(p, groupCycles(s, members), members, up, func(i int) { root.Send(f.children[i], theBoom) })
		}},
		{name: ours, run: ourGroup(s, members)},
	}}
	if members == 100 {
		b.contenders[1].target = 1.5
	}
	return b
}

func ourGroup(s size, members int) func(*probe) {
	names := ids(members)
	return func(p *probe) {
		up := newCountdown(members)
		tree := mustStart(actors.Supervisor{ID: "root", Strategy: oneForAll(), Children: children(names, 0, func() actor.Actor { return &subject{started: up.tick} })})
		defer mustStop(tree)
		up.wait()
		to, root := pids(tree, names), tree.ActorSystem().Root
		groupCrashes(p, groupCycles(s, members), members, up, func(i int) { root.Send(to[i], theBoom) })
	}
}

func groupCrashes(p *probe, cycles, members int, up *countdown, crash func(child int)) {
	p.time(cycles*members, func() {
		for i := range cycles {
			up.left.Store(int64(members))
			crash((i * 7) % members)
			up.wait()
		}
	})
}

// noGrowth is how much dearer a restart may be and still count as the same: caches and noise.
const noGrowth = 1.5

const (
	fewSiblings  = 10
	manySiblings = 10_000
)

func manyRestarts(s size) int { return s.of(5_000, 20_000) }

// growthWithSiblings: one child crashes again and again, among few and among many siblings.
func growthWithSiblings() benchmark {
	few, many := fewSiblings, manySiblings
	return benchmark{"restart among siblings", nanoseconds, ours + among(few), []contender{
		{name: ours + among(few), run: ourRestarts(few, 0)},
		{name: ours + among(many), target: noGrowth, run: ourRestarts(many, 0)},
		{name: proto + among(few), run: protoRestarts(few, 0)},
		{name: proto + among(many), against: proto + among(few), run: protoRestarts(many, 0)},
	}}
}

func among(n int) string { return fmt.Sprintf(", %d", n) }

// growthWithRestarts: one child crashes again and again, with few and with many restarts before it in the window of the budget.
func growthWithRestarts(s size) benchmark {
	few, many := 0, manyRestarts(s)
	return benchmark{"restart after restarts in the window", nanoseconds, ours + among(few), []contender{
		{name: ours + among(few), run: ourRestarts(1, few)},
		{name: ours + among(many), target: noGrowth, run: ourRestarts(1, many)},
		{name: proto + among(few), run: protoRestarts(1, few)},
		{name: proto + among(many), against: proto + among(few), run: protoRestarts(1, many)},
	}}
}

// growthWithGroup: what a child costs in the restart of a small and of a large group.
func growthWithGroup(s size) benchmark {
	few, many := 10, 1000
	return benchmark{"restart in a group, a child", nanoseconds, ours + among(few), []contender{
		{name: ours + among(few), run: ourGroup(s, few)},
		{name: ours + among(many), target: noGrowth, run: ourGroup(s, many)},
	}}
}

// measuredRestarts is how many are measured for a growth.
const measuredRestarts = 500

func ourRestarts(siblings, before int) func(*probe) {
	names := ids(siblings)
	return func(p *probe) {
		tree := mustStart(actors.Supervisor{ID: "root", Strategy: oneForOne(), Children: children(names, 0, newSubject)})
		defer mustStop(tree)
		restarts(p, before, tree.ActorSystem().Root, tree.PID("root/c0"))
	}
}

func protoRestarts(siblings, before int) func(*probe) {
	names := ids(siblings)
	return func(p *probe) {
		f := raise(protoOneForOne(), names, newSubject)
		defer f.stop()
		restarts(p, before, f.system.Root, f.children[0])
	}
}

func restarts(p *probe, before int, root *actor.RootContext, to *actor.PID) {
	ask := &ping{make(chan struct{}, 1)}
	crash := func(n int) {
		for range n {
			root.Send(to, theBoom)
			root.Send(to, ask)
			<-ask.pong
		}
	}
	crash(before)
	p.time(measuredRestarts, func() { crash(measuredRestarts) })
}
