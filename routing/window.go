package routing

// window remembers which tasks were settled last, in the order in which they were. It has a ring that grows as far as the limit.
//
// A task is in it by what the index finds it by, so that forgetting the oldest doesn't touch its record: with many remembered, that
// has not been in any cache for long.
type window struct {
	ring  []remembered
	first int // the oldest's place
	size  int
}

// remembered is a task in the window: itself if it has a name, or else its number.
type remembered struct {
	named *task
	seq   uint64
}

func (t *task) remembered() remembered {
	if t.id != "" {
		return remembered{t, t.seq}
	}
	return remembered{seq: t.seq}
}

// push adds the task settled last.
func (w *window) push(t *task) {
	if w.size == len(w.ring) {
		w.grow()
	}
	w.ring[(w.first+w.size)&(len(w.ring)-1)] = t.remembered()
	w.size++
}

// pop takes the oldest out.
func (w *window) pop() remembered {
	r := w.ring[w.first]
	w.ring[w.first] = remembered{}
	w.first = (w.first + 1) & (len(w.ring) - 1)
	w.size--
	return r
}

// grow doubles the ring. Its length is a power of two.
func (w *window) grow() {
	ring := make([]remembered, max(2*len(w.ring), 8))
	n := copy(ring, w.ring[w.first:])
	copy(ring[n:], w.ring[:w.first])
	w.ring, w.first = ring, 0
}

// drop takes out those that turned out not to belong there. All must have names.
func (w *window) drop(out func(*task) bool) {
	for range w.size {
		if r := w.pop(); !out(r.named) {
			w.push(r.named)
		}
	}
}
