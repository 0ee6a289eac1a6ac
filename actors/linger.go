package actors

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
			t.lingering = make(map[string]*incarnation)
		}
		t.lingering[n.path] = in
	}
}

// lingered notes the end of an incarnation.
func (t *Tree) lingered(in *incarnation) {
	if !t.forgot.Load() {
		return
	}
	t.lingeringMu.Lock()
	defer t.lingeringMu.Unlock()
	if t.lingering[in.node.path] == in {
		delete(t.lingering, in.node.path)
	}
}

// lingers returns the number of the incarnation that lingers under a path, or 0.
func (t *Tree) lingers(path string) uint64 {
	t.lingeringMu.Lock()
	defer t.lingeringMu.Unlock()
	if in := t.lingering[path]; in != nil {
		return in.number
	}
	return 0
}
