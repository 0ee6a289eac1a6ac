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
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			for range rapid.IntRange(0, 200).Draw(t, "pushes") {
				r.Push(next)
				model = append(model, next)
				next++
			}
			for range rapid.IntRange(0, len(model)).Draw(t, "pops") {
				if got := r.Pop(); got != model[0] {
					t.Fatalf("popped %d, want %d", got, model[0])
				}
				model = model[1:]
			}
			if r.Len() != len(model) {
				t.Fatalf("length %d, want %d", r.Len(), len(model))
			}
		}
	})
}
