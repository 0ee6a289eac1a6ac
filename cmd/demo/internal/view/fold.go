package view

import "github.com/mistersmith/mistersmith/actors"

// fold chooses the supervisors that are drawn as one row with all that is below them, so that the tree fits into so many rows if it can: the deepest first, and of those the
// one that saves the most. The choice depends on the tree's shape alone, so it doesn't flicker.
func fold(root *actors.NodeSnapshot, room int) map[*actors.NodeSnapshot]bool {
	folded := make(map[*actors.NodeSnapshot]bool)
	for {
		var best *actors.NodeSnapshot
		bestDepth, bestRows := 0, 0
		var walk func(n *actors.NodeSnapshot, depth int) (rows int)
		walk = func(n *actors.NodeSnapshot, depth int) (rows int) {
			if folded[n] {
				return 1
			}
			for list := n.Children; len(list) > 0; {
				run := pool(list)
				list = list[len(run):]
				if len(run) > 1 {
					rows++
				} else {
					rows += walk(&run[0], depth+1)
				}
			}
			if rows > 0 && depth > 0 && (depth > bestDepth || depth == bestDepth && rows > bestRows) {
				best, bestDepth, bestRows = n, depth, rows
			}
			return rows + 1
		}
		if walk(root, 0) <= room || best == nil {
			return folded
		}
		folded[best] = true
	}
}

// family is a node and all below it.
func family(n actors.NodeSnapshot) []actors.NodeSnapshot {
	all := []actors.NodeSnapshot{n}
	for _, child := range n.Children {
		all = append(all, family(child)...)
	}
	return all
}
