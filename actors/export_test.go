package actors

// Publish publishes an event.
func (t *Tree) Publish(e Event) { t.publish(e) }
