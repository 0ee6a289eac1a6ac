package ring

import (
	"math"
	"sync/atomic"
)

// Batch is what a taker has taken out of a Ring in one go, to get at the elements one by one without the lock that guards the ring. Each element is had
// once: whoever moves the index past it owns it.
//
//	Fill ──▶ Claim, Claim, … ──▶ over
//	            └─ Recall ────────▲
//
// Fill and Recall, and Claim by anybody but the taker, need the ring's lock. The taker may Claim without it. So whoever holds the lock can take back
// what the taker hasn't claimed, exactly: a taker that comes later finds the batch over, and has to turn to the ring.
//
// The zero value is over.
type Batch[T any] struct {
	next  atomic.Int64 // index of the next element; beyond the last one when the batch is over
	items []T          // its length is the taker's, under the lock; each element is whose who claimed it
}

// over is an index beyond all batches, with room for takers that try again and again.
const over = math.MaxInt64 / 2

// Fill takes up to most elements out of the ring. The batch must be over. It is the taker's, and needs the lock.
func (b *Batch[T]) Fill(from *Ring[T], most int) {
	n := min(most, from.Len())
	if n > cap(b.items) {
		b.items = make([]T, n, min(most, max(first, 2*n)))
	}
	b.items = b.items[:n]
	from.PopInto(b.items)
	b.next.Store(0)
}

// Claim takes the next element. It is false if the batch is over.
func (b *Batch[T]) Claim() (v T, ok bool) {
	i := b.next.Add(1) - 1
	if i >= int64(len(b.items)) {
		return v, false
	}
	var zero T
	v, b.items[i] = b.items[i], zero
	return v, true
}

// Recall puts what is left back into the ring, before all that is there: the batch is over. It needs the lock.
func (b *Batch[T]) Recall(to *Ring[T]) {
	from := b.next.Swap(over)
	var zero T
	for i := int64(len(b.items)) - 1; i >= from; i-- {
		to.PushFront(b.items[i])
		b.items[i] = zero
	}
}

// Left returns how many elements can be claimed. It needs the lock; the taker may claim more at any moment.
func (b *Batch[T]) Left() int { return int(max(int64(len(b.items))-b.next.Load(), 0)) }
