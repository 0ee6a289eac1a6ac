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
// All but Claim needs the ring's lock, and all but Recall and Left is the taker's. So whoever holds the lock can take back what the taker hasn't claimed,
// exactly: a taker that comes later finds the batch over, and has to turn to the ring. What it claimed last stays in its place until it claims again, so
// Recall can also tell what the taker is at.
//
// The zero value is over.
type Batch[T any] struct {
	next  atomic.Int64 // index of the next element; beyond the last one when the batch is over
	items []T          // its length is the taker's, under the lock. Those from next on are whose has the lock; the taker reads the one before, and clears it when it claims again
	left  int          // where Recall had to leave what the taker was at, from 1 on; 0 for nowhere; under the lock
}

// over is an index beyond all batches, with room for takers that try again and again.
const over = math.MaxInt64 / 2

// Fill takes up to most elements out of the ring. The batch must be over. It is the taker's, and needs the lock.
func (b *Batch[T]) Fill(from *Ring[T], most int) {
	b.Forget()
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
	i, n := b.next.Add(1)-1, int64(len(b.items))
	if 0 < i && i <= n {
		var zero T
		b.items[i-1] = zero
	}
	if i >= n {
		return v, false
	}
	return b.items[i], true
}

// Recall puts what is left back into the ring, before all that is there: the batch is over. If the taker has claimed anything, at is what it claimed last,
// or zero if it has tried to claim more since.
func (b *Batch[T]) Recall(to *Ring[T]) (at T, claimed bool) {
	i, n := b.next.Swap(over), int64(len(b.items))
	if i < n {
		to.PushAllFront(b.items[i:])
		clear(b.items[i:])
	}
	if 0 < i && i <= n {
		at, b.left = b.items[i-1], int(i) // the taker may be reading it
	}
	return at, i > 0
}

// Forget clears what Recall had to leave. The taker calls it when it is through with that.
func (b *Batch[T]) Forget() {
	if b.left > 0 {
		var zero T
		b.items[b.left-1], b.left = zero, 0
	}
}

// Left returns how many elements can be claimed. It needs the lock; the taker may claim more at any moment.
func (b *Batch[T]) Left() int { return int(max(int64(len(b.items))-b.next.Load(), 0)) }
