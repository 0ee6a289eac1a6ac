package task

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
)

func TestAnIDTellsItsType(t *testing.T) {
	tests := []struct {
		id, kind     string
		known, drill bool
	}{
		{SummarizeID("a/b.go"), TypeSummarize, true, false},
		{MetricsID("odd:name.go"), TypeMetrics, true, false},
		{ReviewID("b.go"), TypeReview, true, false},
		{Poison.ID(1), "drill.poison", true, true},
		{Breaker.ID(12), "drill.breaker", true, true},
		{Leaf.ID(3), "drill.leaf", true, true},
		{"drill:poison-0", "", false, true},
		{"drill:poison-01", "", false, true},
		{"drill:poison-", "", false, true},
		{"drill:other-1", "", false, true},
		{"summarize:", "", false, false},
		{"summarize", "", false, false},
		{"", "", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.id, func(t *testing.T) {
			kind, known := TypeOf(tt.id)
			assert.Equal(t, tt.known, known)
			assert.Equal(t, tt.kind, kind)
			assert.Equal(t, tt.drill, IsDrill(tt.id))
		})
	}
}

func TestSubjectsAreDifferentAndCanBePrinted(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a.go", "a b.go", "ä.go", "a\"b.go", "a\tb.go", `"a\tb.go"`, `a\tb.go`, "a\u00a0b.go", "a\u200db", "a\u202eb", "\x00", "\xff.go", "\xfe.go", "\ufffd.go"} {
		subject := Subject(name)
		assert.NotContains(t, seen, subject, name)
		seen[subject] = name
		assert.False(t, strings.ContainsFunc(subject, func(r rune) bool { return !unicode.IsPrint(r) }), subject)
	}
	assert.Equal(t, "a b.go", Subject("a b.go"))
	assert.Equal(t, "metrics:\"a\\tb.go\"", MetricsID("a\tb.go"))
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
