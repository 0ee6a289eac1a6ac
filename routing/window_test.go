package routing

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTheWindowForgetsInTheOrderOfSettling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var want []*task
		seq := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				seq++
				settled := &task{seq: seq, state: StateDone}
				if rapid.Bool().Draw(t, "named") {
					settled.id = "name"
				}
				w.push(settled)
				want = append(want, settled)
			},
			"pop": func(t *rapid.T) {
				if len(want) == 0 {
					t.Skip("empty")
				}
				oldest := w.pop()
				require.Equal(t, want[0].remembered(), oldest)
				require.Equal(t, want[0].id != "", oldest.named != nil, "only one with a name is kept by the window itself")
				want = want[1:]
			},
			"": func(t *rapid.T) { require.Equal(t, len(want), w.size) },
		})
		for _, settled := range want {
			require.Equal(t, settled.remembered(), w.pop())
		}
	})
}

func TestTheWindowDropsWhatIsNotSettledAfterAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var want []*task
		for range rapid.IntRange(0, 20).Draw(t, "forgotten before") {
			w.push(&task{})
			w.pop()
		}
		for i, settled := range rapid.SliceOf(rapid.Bool()).Draw(t, "settled") {
			member := &task{id: "name", seq: uint64(i)}
			if settled {
				member.state = StateDone
				want = append(want, member)
			}
			w.push(member)
		}
		w.drop(func(t *task) bool { return !t.state.Settled() })
		require.Equal(t, len(want), w.size)
		for _, member := range want {
			require.Same(t, member, w.pop().named)
		}
	})
}
