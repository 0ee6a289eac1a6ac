package ring_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/internal/ring"
)

// Whatever is taken in batches, claimed, and recalled: it comes out in the order in which it went in.
func TestBatchKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring.Ring[int]
		var b ring.Batch[int]
		in, out := 0, 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "n") {
					r.Push(in)
					in++
				}
			},
			"fill": func(t *rapid.T) {
				if b.Left() > 0 {
					t.Skip("it isn't over")
				}
				n := r.Len()
				most := rapid.IntRange(1, 64).Draw(t, "most")
				b.Fill(&r, most)
				if b.Left() != min(n, most) {
					t.Fatalf("%d in the batch, of %d and at most %d", b.Left(), n, most)
				}
			},
			"claim": func(t *rapid.T) {
				left := b.Left()
				v, ok := b.Claim()
				if ok != (left > 0) {
					t.Fatalf("claimed: %t, though %d were left", ok, left)
				}
				if ok {
					if v != out {
						t.Fatalf("claimed %d, want %d", v, out)
					}
					out++
				}
			},
			"recall": func(*rapid.T) { b.Recall(&r) },
			"": func(t *rapid.T) {
				if n := b.Left() + r.Len(); n != in-out {
					t.Fatalf("%d there, want %d", n, in-out)
				}
			},
		})
	})
}

// Takers come and go, each with a batch of its own. The one before may still be claiming from its own when that is recalled for the next. Meanwhile a thief
// claims the oldest under the lock, as a full queue does that drops the oldest. Everything is had once, and in order.
func TestBatchIsHadOnceWhoeverTakesIt(t *testing.T) {
	const total, takers = 20_000, 200
	for round := range 5 {
		var (
			mu      sync.Mutex
			r       ring.Ring[int]
			current *ring.Batch[int]
			had     sync.Map
			all     sync.WaitGroup
		)
		once := func(by string, v int) {
			if other, twice := had.LoadOrStore(v, by); twice {
				t.Errorf("%d was had by %s and by %s", v, other, by)
			}
		}
		take := func() {
			b := new(ring.Batch[int])
			mu.Lock()
			if current != nil {
				current.Recall(&r)
			}
			current = b
			mu.Unlock()
			all.Go(func() {
				last := -1
				for {
					v, ok := b.Claim()
					if !ok {
						mu.Lock()
						replaced, n := current != b, r.Len()
						if !replaced && n > 0 {
							b.Fill(&r, 64)
						}
						mu.Unlock()
						if replaced || n == 0 && last >= 0 {
							return
						}
						runtime.Gosched()
						continue
					}
					once("a taker", v)
					if v <= last {
						t.Errorf("%d after %d", v, last)
					}
					last = v
				}
			})
		}
		random := rand.New(rand.NewPCG(uint64(round), 1))
		next := 0
		for next < total {
			take()
			for range total / takers {
				mu.Lock()
				r.Push(next)
				next++
				if random.IntN(10) == 0 {
					if v, ok := current.Claim(); ok {
						once("the thief", v)
					} else if r.Len() > 0 {
						once("the thief", r.Pop())
					}
				}
				if random.IntN(50) == 0 {
					current.Recall(&r)
				}
				mu.Unlock()
				if random.IntN(20) == 0 {
					runtime.Gosched()
				}
			}
		}
		mu.Lock()
		current.Recall(&r)
		current = nil
		mu.Unlock()
		all.Wait()
		for r.Len() > 0 {
			once("the end", r.Pop())
		}
		for v := range total {
			if _, ok := had.Load(v); !ok {
				t.Fatalf("%d is lost", v)
			}
		}
	}
}
