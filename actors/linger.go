package actors

import "slices"

// An incarnation may still be on its way down when its node is forgotten, and a node with the same path be planted meanwhile. The numbers of that one
// go on from there, so that whoever tells incarnations apart by path and number, as the hub does, isn't misled.

// linger notes the present incarnation of a node that is being forgotten.
func (t *Tree) linger(n *node) {
	n.ref.mu.Lock()
	defer n.ref.mu.Unlock()
	if in := n.ref.current; in != nil {
		t.lingeringMu.Lock()
		defer t.lingeringMu.Unlock()
		if t.lingering == nil {
			t.lingering = make(map[string][]*incarnation)
		}
		t.lingering[n.path] = append(t.lingering[n.path], in)
	}
}

// lingered notes the end of an incarnation.
func (t *Tree) lingered(in *incarnation) {
	if !t.forgot.Load() {
		return
	}
	t.lingeringMu.Lock()
	defer t.lingeringMu.Unlock()
	left := slices.DeleteFunc(t.lingering[in.node.path], func(l *incarnation) bool { return l == in })
	if len(left) == 0 {
		delete(t.lingering, in.node.path)
	} else {
		t.lingering[in.node.path] = left
	}
}

// lingers returns the highest number of those that linger under a path, or 0.
func (t *Tree) lingers(path string) (number uint64) {
	t.lingeringMu.Lock()
	defer t.lingeringMu.Unlock()
	for _, in := range t.lingering[path] {
		number = max(number, in.number)
	}
	return number
}

// lingerer returns the incarnation with that number that lingers under a path, or nil.
func (t *Tree) lingerer(path string, number uint64) *incarnation {
	t.lingeringMu.Lock()
	defer t.lingeringMu.Unlock()
	for _, in := range t.lingering[path] {
		if in.number == number {
			return in
		}
	}
	return nil
}
