// Package ring is a first-in, first-out queue in a circular buffer.
package ring

// Ring is a queue whose zero value is empty and owns no memory. It grows by doubling and gives its buffer back when it runs
// empty after having grown large. It is not safe for concurrent use.
type Ring[T any] struct {
	buf  []T
	head int
	n    int
}

const (
	first = 4    // elements of the first buffer
	keep  = 1024 // larger buffers are given back when empty
)

// Len returns how many elements are queued.
func (r *Ring[T]) Len() int { return r.n }

// Push adds v at the end.
func (r *Ring[T]) Push(v T) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = v
	r.n++
}

// Pop removes the oldest element. It must not be called on an empty ring.
func (r *Ring[T]) Pop() T {
	var zero T
	v := r.buf[r.head]
	r.buf[r.head] = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 {
		r.head = 0
		if len(r.buf) > keep {
			r.buf = nil
		}
	}
	return v
}

func (r *Ring[T]) grow() {
	buf := make([]T, max(first, 2*len(r.buf)))
	n := copy(buf, r.buf[r.head:])
	copy(buf[n:], r.buf[:r.head])
	r.buf, r.head = buf, 0
}
