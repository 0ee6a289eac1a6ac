package routing

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheIndexFindsWhatIsInItAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex("nonce")
		want := map[string]*task{}
		var order []string
		seq := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				seq += uint64(rapid.IntRange(1, 100).Draw(t, "gap"))
				task := &task{seq: seq}
				if rapid.Bool().Draw(t, "named?") {
					task.id = fmt.Sprintf("name-%d", seq)
				}
				x.put(task)
				want[x.id(task)] = task
				order = append(order, x.id(task))
			},
			"put in place of another": func(t *rapid.T) {
				if len(order) == 0 {
					t.Skip("none")
				}
				id := rapid.SampledFrom(order).Draw(t, "id")
				if old := want[id]; old != nil {
					again := &task{id: old.id, seq: old.seq}
					x.put(again)
					want[id] = again
				}
			},
			"remove": func(t *rapid.T) {
				if len(order) == 0 {
					t.Skip("none")
				}
				id := rapid.SampledFrom(order).Draw(t, "id")
				if old := want[id]; old != nil {
					x.remove(old.remembered())
					delete(want, id)
				}
			},
			"": func(t *rapid.T) {
				for _, id := range order {
					require.True(t, want[id] == x.find(id), id)
				}
				n := 0
				for task := range x.all() {
					require.Same(t, want[x.id(task)], task)
					n++
				}
				require.Equal(t, len(want), n)
			},
		})
		for _, task := range want {
			x.remove(task.remembered())
		}
		require.Empty(t, x.pages, "pages left")
		require.Empty(t, x.named)
	})
}

func TestAMadeUpIDIsFoundInItsOwnSpellingOnly(t *testing.T) {
	x := newIndex("nonce")
	made := &task{seq: 36}
	x.put(made)
	require.Equal(t, "nonce-10", x.id(made))
	require.Same(t, made, x.find("nonce-10"))
	for _, other := range []string{"", "nonce", "nonce-", "nonce10", "nonce-010", "nonce-+10", "nonce-1_0", "nonce-zzzzzzzzzzzzzzz", "other-10", "nonce-11", "nonce-10 "} {
		require.Nil(t, x.find(other), other)
	}
	made = &task{seq: 36 * 36}
	made.seq += 10
	x.put(made)
	require.Same(t, made, x.find("nonce-10a"))
	require.Nil(t, x.find("nonce-10A"))
}

func TestANameThatLooksMadeUpIsANameAllTheSame(t *testing.T) {
	x := newIndex("nonce")
	named := &task{id: "nonce-7", seq: 1}
	x.put(named)
	require.Same(t, named, x.find("nonce-7"))
}
