// Package ring is a first-in, first-out queue in a circular buffer, and batches that are taken out of it.
package ring

// Ring is a queue whose zero value is empty and owns no memory. It grows by doubling and gives its buffer back when it runs
// empty after having grown large. It is not safe for concurrent use.
type Ring[T any] struct {
	buf  []T
	head uint32
	n    uint32
}

const (
	first = 4    // elements of the first buffer
	keep  = 1024 // larger buffers are given back when empty
)

// Len returns how many elements are queued.
func (r *Ring[T]) Len() int { return int(r.n) }

// Push adds v at the end.
func (r *Ring[T]) Push(v T) {
	if int(r.n) == len(r.buf) {
		r.grow()
	}
	r.buf[int(r.head+r.n)&(len(r.buf)-1)] = v
	r.n++
}

// PushFront adds v before all others.
func (r *Ring[T]) PushFront(v T) {
	if int(r.n) == len(r.buf) {
		r.grow()
	}
	r.head = (r.head - 1) & uint32(len(r.buf)-1)
	r.buf[r.head] = v
	r.n++
}

// PushAllFront adds vs, in their order, before all others.
func (r *Ring[T]) PushAllFront(vs []T) {
	for int(r.n)+len(vs) > len(r.buf) {
		r.grow()
	}
	r.head = (r.head - uint32(len(vs))) & uint32(len(r.buf)-1)
	r.n += uint32(len(vs))
	copy(r.buf, vs[copy(r.buf[r.head:], vs):]) // the rest wraps around
}

// Front returns the oldest element. It must not be called on an empty ring.
func (r *Ring[T]) Front() T { return r.buf[r.head] }

// Pop removes the oldest element. It must not be called on an empty ring.
func (r *Ring[T]) Pop() T {
	var zero T
	v := r.buf[r.head]
	r.buf[r.head] = zero
	r.drop(1)
	return v
}

// PopInto removes the oldest elements, as many as there are and fit into dst, and returns how many that are.
func (r *Ring[T]) PopInto(dst []T) int {
	n := min(len(dst), int(r.n))
	if n == 0 {
		return 0
	}
	front := r.buf[r.head:min(int(r.head)+n, len(r.buf))]
	rest := r.buf[:n-len(front)] // what has wrapped around
	copy(dst, front)
	copy(dst[len(front):], rest)
	clear(front)
	clear(rest)
	r.drop(uint32(n))
	return n
}

// drop forgets the first n elements, which have been cleared.
func (r *Ring[T]) drop(n uint32) {
	r.head = (r.head + n) & uint32(len(r.buf)-1)
	r.n -= n
	if r.n == 0 {
		r.head = 0
		if len(r.buf) > keep {
			r.buf = nil
		}
	}
}

func (r *Ring[T]) grow() {
	buf := make([]T, max(first, 2*len(r.buf)))
	n := copy(buf, r.buf[r.head:])
	copy(buf[n:], r.buf[:r.head])
	r.buf, r.head = buf, 0
}
