package routing

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ringOf is a ring whose members are their names.
func ringOf(names []string, points int) *ring[string] {
	r := &ring[string]{}
	for _, name := range names {
		r.add(name, name, points)
	}
	return r
}

func (r *ring[M]) owner(key string) (owner M) {
	for m := range r.from(xxhash.Sum64String(key)) {
		return m
	}
	return owner
}

func testKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("key-", i)
	}
	return keys
}

func TestARingDoesWhatASortedListOfAllPointsDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &ring[string]{}
		members := map[string]int{}
		names := rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				name, n := names.Draw(t, "name"), rapid.IntRange(1, 40).Draw(t, "points")
				if members[name] == 0 {
					r.add(name, name, n)
					members[name] = n
				}
			},
			"remove": func(t *rapid.T) {
				name := names.Draw(t, "name")
				r.remove(name, members[name])
				delete(members, name)
			},
			"": func(t *rapid.T) {
				var all []point[string]
				for name, n := range members {
					for i := range n {
						all = append(all, point[string]{pointHash(name, i), name, name})
					}
				}
				slices.SortFunc(all, point[string].compare)
				hash := rapid.Uint64().Draw(t, "hash")
				if len(all) > 0 && rapid.Bool().Draw(t, "at a point?") {
					hash = rapid.SampledFrom(all).Draw(t, "point").hash
				}
				from := slices.IndexFunc(all, func(p point[string]) bool { return p.hash >= hash })
				if from > 0 {
					all = append(slices.Clone(all[from:]), all[:from]...)
				}
				var want, got []string
				for _, p := range all {
					want = append(want, p.name)
				}
				for m := range r.from(hash) {
					got = append(got, m)
				}
				require.Equal(t, want, got)
				require.Equal(t, len(want), r.points)
			},
		})
	})
}

func TestOnlyTheShareOfWhoComesOrGoesMoves(t *testing.T) {
	keys := testKeys(4000)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "members")
		prefix := rapid.StringMatching(`[a-z]{1,8}/`).Draw(t, "prefix")
		var names []string
		for i := range n {
			names = append(names, fmt.Sprint(prefix, i))
		}
		r := ringOf(names, pointsPerCredit)
		before := map[string]string{}
		for _, key := range keys {
			before[key] = r.owner(key)
		}
		losers := r.add("new", "new", pointsPerCredit)
		moved := 0
		for _, key := range keys {
			if now := r.owner(key); now != before[key] {
				require.Equal(t, "new", now, "keys move to the one that came only")
				require.Contains(t, losers, before[key])
				moved++
			}
		}
		share := float64(len(keys)) / float64(n+1)
		require.InDelta(t, share, moved, 5*share/math.Sqrt(pointsPerCredit)+5*math.Sqrt(share), "its share, give or take")
		r.remove("new", pointsPerCredit)
		for _, key := range keys {
			require.Equal(t, before[key], r.owner(key), "all is as it was")
		}
	})
}

func TestTheOrderInWhichMembersCameDoesNotMatter(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	r, s := ringOf(names, 10), ringOf([]string{"d", "a", "e", "c", "b"}, 10)
	for _, key := range testKeys(1000) {
		require.Equal(t, r.owner(key), s.owner(key))
	}
}

// The bound on the load makes other keys wander than those whose spoke comes or goes, but few.
func TestABoundedLoadMovesAboutAsFewKeys(t *testing.T) {
	for _, n := range []int{4, 10, 50} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			const keys = 3000
			bounded := func(seats []*seat) map[string]*seat {
				c := ConsistentHash().(*consistentHash)
				for _, s := range seats {
					s.owned = 0
					c.Come("t", Seat{s})
				}
				owners := map[string]*seat{}
				for i, key := range testKeys(keys) {
					s := c.Place("t", key, i).seat
					s.owned++
					owners[key] = s
				}
				return owners
			}
			var seats []*seat
			for i := range n + 1 {
				seats = append(seats, &seat{spoke: &Spoke{id: SpokeID{Path: fmt.Sprint("root/pool/agent-", i)}, credits: 1}})
			}
			few, many := bounded(seats[:n]), bounded(seats)
			moved := 0
			for key, s := range few {
				if many[key] != s {
					moved++
				}
			}
			t.Logf("%d spokes: %d of %d keys move, their share is %d", n, moved, keys, keys/(n+1))
			require.LessOrEqual(t, moved, 3*keys/(n+1))
			for _, s := range seats {
				require.LessOrEqual(t, s.owned, int(math.Ceil(defaultBound*keys/float64(n+1))))
			}
		})
	}
}
