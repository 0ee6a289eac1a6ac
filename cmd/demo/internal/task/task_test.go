package task

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAnIDTellsTypeAndPath(t *testing.T) {
	tests := []struct {
		id, kind, path string
		known          bool
	}{
		{SummarizeID("a/b.go"), TypeSummarize, "a/b.go", true},
		{MetricsID("odd:name.go"), TypeMetrics, "odd:name.go", true},
		{ReviewID("b.go"), TypeReview, "b.go", true},
		{Poison.ID(1), "drill.poison", "", true},
		{Breaker.ID(12), "drill.breaker", "", true},
		{Leaf.ID(3), "drill.leaf", "", true},
		{"drill:poison-0", "", "", false},
		{"drill:poison-01", "", "", false},
		{"drill:poison-", "", "", false},
		{"drill:other-1", "", "", false},
		{"summarize:", "", "", false},
		{"summarize", "", "", false},
		{"", "", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.id, func(t *testing.T) {
			kind, known := TypeOf(tt.id)
			assert.Equal(t, tt.known, known)
			assert.Equal(t, tt.kind, kind)
			if known {
				assert.Equal(t, tt.path, Path(tt.id))
				assert.Equal(t, tt.path == "", IsDrill(tt.id))
			}
		})
	}
}

func TestCallsOfOneBurstShareAKey(t *testing.T) {
	assert.Equal(t, "drill:breaker", DrillKey(Breaker.ID(1)))
	assert.Equal(t, DrillKey(Breaker.ID(1)), DrillKey(Breaker.ID(31)))
	assert.NotEqual(t, DrillKey(Breaker.ID(1)), DrillKey(Poison.ID(1)))
	assert.Equal(t, "plain", DrillKey("plain"))
}

func TestFilesGiveThreeTasksEachInOrder(t *testing.T) {
	ids := ForFiles([]string{"b.go", "a.go"})
	assert.Len(t, ids, 6)
	assert.True(t, slices.IsSorted(ids))
	assert.Contains(t, ids, "review:b.go")
	assert.Empty(t, ForFiles(nil))
}
