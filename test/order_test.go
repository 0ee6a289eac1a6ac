package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/strategies"
)

// ---- law 2: stop order is the reverse of start order, and a child starts only when the ones before it are up

// lines are what a journal says of children that start, or stop, one after the other.
func starts(ids ...string) (lines []string) {
	for _, id := range ids {
		lines = append(lines, "start "+id, "up "+id)
	}
	return lines
}

func stops(ids ...string) (lines []string) {
	for _, id := range ids {
		lines = append(lines, "stop "+id, "down "+id)
	}
	return lines
}

func together(parts ...[]string) []string { return slices.Concat(parts...) }

// slow are hooks of an actor that takes its time for everything.
func slow(r *rand.Rand) hooks {
	d := newDice(r)
	nap := func(actor.Context) { time.Sleep(time.Duration(d.IntN(2000)) * time.Millisecond) }
	return hooks{started: nap, stopping: nap, stopped: nap}
}

func TestLaw2GroupsGoDownInReverseAndComeUpInOrder(t *testing.T) {
	ids := []string{"a", "b", "c", "d"}
	groups := map[string]func(failed int) (from int){
		"one_for_all":  func(int) int { return 0 },
		"rest_for_one": func(failed int) int { return failed },
	}
	policies := map[string]strategies.RestartPolicy{
		"at once":       strategies.AlwaysRestart(),
		"after a while": strategies.AlwaysRestart().WithBackoff(strategies.Fixed(3 * time.Second)),
	}
	ends := map[string]any{"crash": do(crash), "normal": do(func(ctx actor.Context) { ctx.Stop(ctx.Self()) })}
	for pace, policy := range policies {
		for _, s := range []strategies.Strategy{strategies.OneForAll(policy), strategies.RestForOne(policy)} {
			for end, message := range ends {
				for failed, id := range ids {
					t.Run(fmt.Sprintf("%s %s, %s of %s", s, pace, end, id), func(t *testing.T) {
						inVirtualTime(t, func(t *testing.T) {
							r := rand.New(rand.NewPCG(uint64(failed), 3))
							var j journal
							var children []actors.Child
							for _, c := range ids {
								children = append(children, scripted(c, &j, slow(r)))
							}
							tree := start(t, actors.Supervisor{ID: "root", Strategy: s, Children: children})
							require.Equal(t, starts(ids...), j.take())
							send(tree, "root/"+id, message)
							time.Sleep(time.Minute)
							from := groups[s.String()](failed)
							down := slices.DeleteFunc(slices.Clone(ids[from:]), func(c string) bool { return c == id })
							slices.Reverse(down)
							require.Equal(t, together(stops(id), stops(down...), starts(ids[from:]...)), j.take())
							stop(t, tree)
							require.Equal(t, stops("d", "c", "b", "a"), j.take())
						})
					})
				}
			}
		}
	}
}

func TestLaw2NestedTreesStartAndStopInOrder(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var j journal
		r := rand.New(rand.NewPCG(1, 1))
		leaf := func(id string) actors.Child { return scripted(id, &j, slow(r)) }
		sup := func(id string, children ...actors.Child) actors.Supervisor {
			return actors.Supervisor{ID: id, Children: children, Init: func(context.Context) error { j.add("init %s", id); return nil }}
		}
		tree := start(t, sup("root", leaf("a"), sup("s", leaf("b"), sup("t", leaf("c"), leaf("d")), leaf("e")), leaf("f")))
		require.Equal(t, together([]string{"init root"}, starts("a"), []string{"init s"}, starts("b"), []string{"init t"}, starts("c", "d", "e", "f")), j.take())

		require.NoError(t, tree.TerminateChild(t.Context(), "root/s"))
		require.Equal(t, stops("e", "d", "c", "b"), j.take())
		_, err := tree.RestartChild(t.Context(), "root/s")
		require.NoError(t, err)
		require.Equal(t, together([]string{"init s"}, starts("b"), []string{"init t"}, starts("c", "d", "e")), j.take())

		_, err = tree.StartChild(t.Context(), "root/s", leaf("z"))
		require.NoError(t, err)
		j.take()
		stop(t, tree)
		require.Equal(t, stops("f", "z", "e", "d", "c", "b", "a"), j.take())
	})
}

func TestLaw2WhatIsUpGoesDownInReverseWhenAStartFails(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var j journal
		fails := func(actor.Context) { time.Sleep(time.Second); panic(errBoom) }
		_, err := actors.Start(t.Context(), actors.Supervisor{ID: "root", Children: []actors.Child{
			scripted("a", &j, hooks{}),
			actors.Supervisor{ID: "s", Children: []actors.Child{
				scripted("b", &j, hooks{}), scripted("c", &j, hooks{}), scripted("d", &j, hooks{started: fails}), scripted("e", &j, hooks{}),
			}},
			scripted("f", &j, hooks{}),
		}})
		var failed *actors.StartError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, "root", failed.Path)
		require.ErrorContains(t, err, "start root/s/d: ")
		require.ErrorIs(t, err, errBoom)
		lines := slices.DeleteFunc(j.take(), func(l string) bool { return strings.HasSuffix(l, " d") })
		require.Equal(t, together(starts("a", "b", "c"), stops("c", "b", "a")), lines)
	})
}

// A group whose member can't be started: what was started before goes down again, in reverse, before the next attempt.
func TestLaw2RetriesOfAGroupKeepTheOrder(t *testing.T) {
	inVirtualTime(t, func(t *testing.T) {
		var j journal
		starting := 0
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForAll(strategies.AlwaysRestart()), Children: []actors.Child{
			scripted("a", &j, hooks{}),
			scripted("b", &j, hooks{started: func(actor.Context) {
				if starting++; starting == 2 || starting == 3 {
					panic(errBoom)
				}
			}}),
			scripted("c", &j, hooks{}),
		}})
		j.take()
		send(tree, "root/c", do(crash))
		time.Sleep(time.Second)
		attempt := []string{"start a", "up a", "start b", "stop b", "down b", "stop a", "down a"}
		require.Equal(t, together(stops("c", "b", "a"), attempt, attempt, starts("a", "b", "c")), j.take())
		stop(t, tree)
	})
}

// In any tree, whatever its actors take their time for, starts and stops never overlap.
func TestLaw2RandomTrees(t *testing.T) {
	seeded(t, 15, func(t *testing.T, r *rand.Rand) {
		var j journal
		serial := 0
		var leaves []string // in start order
		var paths []string
		var build func(path string, depth int) []actors.Child
		build = func(path string, depth int) (children []actors.Child) {
			for range 1 + r.IntN(4) {
				serial++
				id := fmt.Sprintf("n%d", serial)
				if depth > 0 && r.IntN(3) == 0 {
					s := strategies.OneForAll(strategies.AlwaysRestart())
					children = append(children, actors.Supervisor{ID: id, Strategy: s, Children: build(path+"/"+id, depth-1)})
					continue
				}
				leaves = append(leaves, id)
				paths = append(paths, path+"/"+id)
				children = append(children, scripted(id, &j, slow(rand.New(rand.NewPCG(r.Uint64(), 1)))).With(actors.Lifecycle{Shutdown: actors.NoLimit}))
			}
			return children
		}
		tree := start(t, actors.Supervisor{ID: "root", Strategy: strategies.OneForAll(strategies.AlwaysRestart()), Children: build("root", 3)})
		require.Equal(t, starts(leaves...), j.take())
		for range 5 { // a crash takes the whole of its group along
			victim := r.IntN(len(paths))
			group := parentOf(paths[victim]) + "/"
			var members []string
			for i, p := range paths {
				if strings.HasPrefix(p, group) {
					members = append(members, leaves[i])
				}
			}
			send(tree, paths[victim], do(crash))
			time.Sleep(time.Hour)
			synctest.Wait()
			down := slices.DeleteFunc(slices.Clone(members), func(id string) bool { return id == leaves[victim] })
			slices.Reverse(down)
			require.Equal(t, together(stops(leaves[victim]), stops(down...), starts(members...)), j.take())
		}
		stop(t, tree)
		slices.Reverse(leaves)
		require.Equal(t, stops(leaves...), j.take())
	})
}
