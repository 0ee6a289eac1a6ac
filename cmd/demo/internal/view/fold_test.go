package view

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
)

// A tree is folded until it fits, the deepest branches first, and says no less of restarts for it.
func TestATreeThatIsTooTallIsFolded(t *testing.T) {
	one := func(id string, children ...actors.NodeSnapshot) actors.NodeSnapshot {
		return actors.NodeSnapshot{ID: id, Kind: actors.KindSupervisor, Status: actors.StatusRunning, Restarts: 1, Children: children}
	}
	m := Model{Tree: one("root",
		one("a", one("b", one("c", one("d")), one("e")), one("f", pooled("g", 3, nil)...)),
		one("h", pooled("i", 2, nil)...))}
	drawn := func(room int) string { return strings.Join(m.tree(painter{Look{ASCII: true}}, room), "\n") }

	require.Equal(t, drawn(10), drawn(100), "it fits into ten")
	for room, want := range []int{0: 3, 1: 3, 2: 3, 3: 3, 4: 4, 5: 4, 6: 6, 7: 7, 8: 7, 9: 9, 10: 10} {
		require.Equal(t, want, strings.Count(drawn(room), "\n")+1, "in %d rows:\n%s", room, drawn(room))
	}
	require.Equal(t, `root  *         1 restart
|- a  ********  6 restarts
`+"`"+`- h  ***       1 restart`, drawn(3))
}
