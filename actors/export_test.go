package actors

import "strings"

// Publish publishes an event.
func (t *Tree) Publish(e Event) { t.publish(e) }

// GraphText is what a node of a graph says.
func GraphText(s NodeSnapshot) string {
	return strings.Join(row{NodeSnapshot: s, n: 1}.graphLines(), "\n")
}
