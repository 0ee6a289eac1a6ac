package routing

// ordered is an element of an indexed heap. Its position is kept one-based in the element itself; 0 is "not in the heap".
type ordered[T any] interface {
	before(T) bool
	position() *int32
}

// indexedHeap is a binary heap whose elements know where they are, so that any of them can be moved or removed in O(log n).
type indexedHeap[T ordered[T]] struct {
	items []T
}

func (h *indexedHeap[T]) len() int       { return len(h.items) }
func (h *indexedHeap[T]) has(x T) bool   { return *x.position() != 0 }
func (h *indexedHeap[T]) put(i int, x T) { h.items[i] = x; *x.position() = int32(i + 1) }

// update puts x where its order now demands, adding it if it is not in the heap.
func (h *indexedHeap[T]) update(x T) {
	if !h.has(x) {
		h.items = append(h.items, x)
		h.up(len(h.items) - 1)
		return
	}
	i := int(*x.position()) - 1
	if !h.down(i) {
		h.up(i)
	}
}

// remove takes x out, if it is in.
func (h *indexedHeap[T]) remove(x T) {
	if !h.has(x) {
		return
	}
	var none T
	i, last := int(*x.position())-1, len(h.items)-1
	moved := h.items[last]
	h.items[last] = none
	h.items = h.items[:last]
	*x.position() = 0
	if i == last {
		return
	}
	h.put(i, moved)
	if !h.down(i) {
		h.up(i)
	}
}

func (h *indexedHeap[T]) up(i int) {
	x := h.items[i]
	for i > 0 {
		parent := (i - 1) / 2
		if !x.before(h.items[parent]) {
			break
		}
		h.put(i, h.items[parent])
		i = parent
	}
	h.put(i, x)
}

func (h *indexedHeap[T]) down(start int) (moved bool) {
	i, x := start, h.items[start]
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if right := child + 1; right < len(h.items) && h.items[right].before(h.items[child]) {
			child = right
		}
		if !h.items[child].before(x) {
			break
		}
		h.put(i, h.items[child])
		i = child
	}
	h.put(i, x)
	return i != start
}
