package ring_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/internal/ring"
)

// Whatever is taken in batches, claimed, and recalled: it comes out in the order in which it went in. A recall tells what was claimed last.
func TestBatchKeepsTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring.Ring[int]
		var b ring.Batch[int]
		in, out := 1, 1
		at, claimed := 0, false // as a recall should say
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
				at, claimed = 0, false
				if b.Left() != min(n, most) {
					t.Fatalf("%d in the batch, of %d and at most %d", b.Left(), n, most)
				}
			},
			"claim": func(t *rapid.T) {
				left := b.Left()
				v, ok := b.Claim()
				at, claimed = v, true
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
			"recall": func(t *rapid.T) {
				if left := b.Left(); left == 0 && !claimed {
					t.Skip("it is over")
				}
				if v, ok := b.Recall(&r); v != at || ok != claimed {
					t.Fatalf("it is at %d, %t, want %d, %t", v, ok, at, claimed)
				}
				at, claimed = 0, false
				if rapid.Bool().Draw(t, "forget") {
					b.Forget()
				}
			},
			"": func(t *rapid.T) {
				if n := b.Left() + r.Len(); n != in-out {
					t.Fatalf("%d there, want %d", n, in-out)
				}
			},
		})
	})
}

// Takers come and go, each with a batch of its own. The one before may still be claiming from its own when that is recalled for the next. Meanwhile a thief
// takes the oldest under the lock, as a full queue does that drops the oldest. Everything is had once, and in order. Each recall tells what the taker is at: what it had last or, if it
// is on its way to the next, the one before.
func TestBatchIsHadOnceWhoeverTakesIt(t *testing.T) {
	const total, takers = 20_000, 200
	for round := range 5 {
		var (
			mu      sync.Mutex
			r       ring.Ring[int]
			current *ring.Batch[int]
			had     sync.Map
			all     sync.WaitGroup
			at      []int // what takers were at
		)
		once := func(by string, v int) {
			if other, twice := had.LoadOrStore(v, by); twice {
				t.Errorf("%d was had by %s and by %s", v, other, by)
			}
		}
		recall := func() {
			if v, claimed := current.Recall(&r); claimed && v != 0 {
				at = append(at, v)
			}
		}
		take := func() {
			b := new(ring.Batch[int])
			mu.Lock()
			if current != nil {
				recall()
			}
			current = b
			mu.Unlock()
			all.Go(func() {
				last := -1
				for {
					v, ok := b.Claim()
					if !ok {
						mu.Lock()
						b.Forget()
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
		next := 1
		for next <= total {
			take()
			for range total / takers {
				mu.Lock()
				r.Push(next)
				next++
				if random.IntN(10) == 0 {
					recall()
					if r.Len() > 0 {
						once("the thief", r.Pop())
					}
				}
				if random.IntN(50) == 0 {
					recall()
				}
				mu.Unlock()
				if random.IntN(20) == 0 {
					runtime.Gosched()
				}
			}
		}
		mu.Lock()
		recall()
		current = nil
		mu.Unlock()
		all.Wait()
		for r.Len() > 0 {
			once("the end", r.Pop())
		}
		for v := 1; v <= total; v++ {
			if _, ok := had.Load(v); !ok {
				t.Fatalf("%d is lost", v)
			}
		}
		for _, v := range at {
			if by, _ := had.Load(v); by != "a taker" {
				t.Fatalf("a taker was at %d, which was had by %v", v, by)
			}
		}
	}
}
