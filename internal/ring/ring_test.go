package ring_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/internal/ring"
)

func TestRingIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring.Ring[int]
		var model []int
		next := 0
		pop := func(got int) {
			if got != model[0] {
				t.Fatalf("popped %d, want %d", got, model[0])
			}
			model = model[1:]
		}
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			for range rapid.IntRange(0, 200).Draw(t, "pushes") {
				r.Push(next)
				model = append(model, next)
				next++
			}
			for range rapid.IntRange(0, len(model)).Draw(t, "pops") {
				front := r.Front()
				pop(r.Pop())
				if len(model) > 0 && r.Front() != model[0] {
					t.Fatalf("%d is in front after %d, want %d", r.Front(), front, model[0])
				}
			}
			for range rapid.IntRange(0, 20).Draw(t, "pushes in front") {
				r.PushFront(next)
				model = append([]int{next}, model...)
				next++
			}
			all := make([]int, rapid.IntRange(0, 100).Draw(t, "pushed in front at once"))
			for i := range all {
				all[i] = next
				next++
			}
			r.PushAllFront(all)
			model = append(all, model...)
			dst := make([]int, rapid.IntRange(0, 100).Draw(t, "room"))
			n := r.PopInto(dst)
			if n != min(len(dst), len(model)) {
				t.Fatalf("popped %d at once, there were %d and room for %d", n, len(model), len(dst))
			}
			for _, got := range dst[:n] {
				pop(got)
			}
			if r.Len() != len(model) {
				t.Fatalf("length %d, want %d", r.Len(), len(model))
			}
		}
	})
}
