package main

import (
	"github.com/asynkron/protoactor-go/actor"

	"github.com/mistersmith/mistersmith/actors"
)

// population of one supervisor.
func population(s size) int { return s.of(20_000, 100_000) }

// startOfChildren: one supervisor starts all its children; until every one of them is up.
func startOfChildren(s size) benchmark {
	return livesOf(population(s), "start of a child", func(p *probe, n int, start func() (stop func())) {
		var stop func()
		p.time(n, func() { stop = start() })
		stop()
	})
}

// stopOfChildren: the supervisor is stopped; until every child has stopped.
func stopOfChildren(s size) benchmark {
	return livesOf(population(s), "stop of a child", func(p *probe, n int, start func() (stop func())) {
		stop := start()
		p.time(n, stop)
	})
}

func livesOf(n int, name string, measure func(p *probe, n int, start func() (stop func()))) benchmark {
	names := ids(n)
	return benchmark{name, nanoseconds, proto, []contender{
		{name: floor, run: func(p *probe) {
			measure(p, n, func() func() {
				up := newCountdown(n)
				s := supervisePlainly(services(n, 0, up.tick))
				up.wait()
				return s.stop
			})
		}},
		{name: proto, run: func(p *probe) {
			measure(p, n, func() func() {
				up := newCountdown(n)
				f := raise(protoOneForOne(), names, func() actor.Actor { return &subject{started: up.tick} })
				up.wait()
				return f.stop
			})
		}},
		{name: ours, target: 1.5, run: func(p *probe) {
			measure(p, n, func() func() {
				up := newCountdown(n)
				tree := mustStart(actors.Supervisor{ID: "root", Children: children(names, 0, func() actor.Actor { return &subject{started: up.tick} })})
				up.wait()
				return func() { mustStop(tree) }
			})
		}},
		{name: sutur, run: func(p *probe) {
			measure(p, n, func() func() {
				up := newCountdown(n)
				s := superviseWithSuture(services(n, 0, up.tick))
				up.wait()
				return s.stop
			})
		}},
	}}
}

// idleChildren are many, since what a system occupies without any child is counted, too.
const idleChildren = 100_000

// idleChild: what a child occupies that is up and has nothing to do, its name and spec included.
func idleChild() benchmark {
	n := idleChildren
	return benchmark{"memory of an idle child", bytes, proto, []contender{
		{name: floor, run: func(p *probe) {
			var s *sutured
			p.occupy(n, func() {
				up := newCountdown(n)
				s = supervisePlainly(services(n, 0, up.tick))
				up.wait()
			})
			s.stop()
		}},
		{name: proto, run: func(p *probe) {
			var f *family
			p.occupy(n, func() {
				up := newCountdown(n)
				f = raise(protoOneForOne(), ids(n), func() actor.Actor { return &subject{started: up.tick} })
				up.wait()
			})
			f.stop()
		}},
		{name: ours, against: limit, target: 1, run: func(p *probe) {
			var tree *actors.Tree
			p.occupy(n, func() {
				up := newCountdown(n)
				tree = mustStart(actors.Supervisor{ID: "root", Children: children(ids(n), 0, func() actor.Actor { return &subject{started: up.tick} })})
				up.wait()
			})
			mustStop(tree)
		}},
		{name: sutur, run: func(p *probe) {
			var s *sutured
			p.occupy(n, func() {
				up := newCountdown(n)
				s = superviseWithSuture(services(n, 0, up.tick))
				up.wait()
			})
			s.stop()
		}},
		{name: limit, run: func(p *probe) { p.value = 1500 }},
	}}
}

const limit = "limit"
