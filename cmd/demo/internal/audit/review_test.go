package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAGradeFollowsTheLimits(t *testing.T) {
	fn := func(lines, complexity int) Metrics {
		worst := []Func{{Name: "f", Line: 3, Lines: lines, Complexity: complexity}}
		return Metrics{Path: "x.go", Longest: worst, Worst: worst}
	}
	exports := func(all, undocumented int) Metrics {
		m := Metrics{Path: "x.go", Exported: all}
		for i := range undocumented {
			m.Undocumented = append(m.Undocumented, Name{Name: fmt.Sprintf("N%d", i)})
		}
		return m
	}
	tests := []struct {
		name     string
		metrics  Metrics
		points   int
		grade    string
		findings []string
	}{
		{"nothing in it", Metrics{}, 0, "A", nil},
		{"at the limits", fn(60, 10), 0, "A", nil},
		{"complexity 11", fn(1, 11), 1, "B", []string{"f (line 3) has a complexity of 11"}},
		{"complexity 21", fn(1, 21), 2, "B", []string{"f (line 3) has a complexity of 21"}},
		{"complexity 41", fn(1, 41), 3, "C", []string{"f (line 3) has a complexity of 41"}},
		{"61 lines", fn(61, 1), 1, "B", []string{"f (line 3) is 61 lines long"}},
		{"241 lines", fn(241, 1), 3, "C", []string{"f (line 3) is 241 lines long"}},
		{"long and complex", fn(241, 41), 6, "D", []string{"f (line 3) has a complexity of 41", "f (line 3) is 241 lines long"}},
		{"all documented", exports(9, 0), 0, "A", nil},
		{"one of a thousand", exports(1000, 1), 1, "B", []string{"1 of 1000 exported names are undocumented: N0"}},
		{"a quarter", exports(4, 1), 1, "B", []string{"1 of 4 exported names are undocumented: N0"}},
		{"over a half", exports(12, 7), 3, "C", []string{"7 of 12 exported names are undocumented: N0, N1, N2, N3, N4 and 2 more"}},
		{"the only one", exports(1, 1), 3, "C", []string{"1 of 1 exported name is undocumented: N0"}},
		{"large file", Metrics{Lines: Lines{Code: 3001}}, 2, "B", []string{"3001 lines of code in one file"}},
		{"does not parse", Metrics{Fault: "does not parse: x"}, 0, "E", []string{"does not parse: x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Assess(Summary{Text: " One.\nTwo. "}, tt.metrics, []Term{{"Server", 9}, {"Client", 3}})
			assert.Equal(t, tt.points, r.Points)
			assert.Equal(t, tt.grade, r.Grade)
			assert.Equal(t, append([]string{}, tt.findings...), r.Findings)
			assert.Equal(t, "One. Two.", r.Summary)
			assert.Equal(t, []string{"Server", "Client"}, r.Terms)
		})
	}
	assert.Equal(t, []string{"A", "B", "B", "C", "C", "D", "D", "E", "E"}, func() (grades []string) {
		for points := range 9 {
			grades = append(grades, gradeFor(points))
		}
		return grades
	}())
}

func TestDocumentHoldsWhatTheDeclarationsSay(t *testing.T) {
	d := Document(Parse("a.go", []byte(`// Copyright, which is no documentation.

// Package p does it. It does
// it [Well], see [net/http.Get].
//
// # Heading
//
//	code()
//
// Second paragraph.
//
// Third.
//
// Fourth.
package p

// Get gets.
//
// At length.
func Get() {}

// hidden is not exported.
func hidden() {}

// Put puts, and belongs to an unexported type.
func (t hiddenType) Put() {}

// Values are grouped.
const (
	// One is 1.
	One = 1
	// two is 2.
	two = 2
)
`)))
	assert.Equal(t, Doc{Path: "a.go", Package: "p", Text: strings.Join([]string{
		"Package p does it. It does it Well, see net/http.Get.", "Second paragraph.", "Third.", "Get gets.", "Values are grouped.", "One is 1.",
	}, "\n\n")}, d)
	assert.True(t, strings.HasSuffix(Prompt(d), "\n\nDocumentation:\n\n"+d.Text))
	assert.Contains(t, Prompt(d), "the file a.go of the Go package p is for")
}

func TestAFileWithoutPublicDocumentationIsDescribedByItsDeclarations(t *testing.T) {
	tests := []struct{ src, want string }{
		{"package p\n// f does it.\nfunc f() {}\n// m too.\nfunc (t *t) m() {}", "f does it.\n\nm too."},
		{"package p\n// f does it.\nfunc f() {}\n// F too.\nfunc F() {}", "F too."},
		{"package p", "The file a.go of package p declares nothing."},
		{"package p\nfunc F() {}\nfunc (t *T) G() {}\ntype T int\nvar x, y int",
			"The file a.go of package p has no documentation and declares 1 type (T), 2 functions (F, (*T).G), 2 values (x, y)."},
	}
	for _, tt := range tests {
		assert.Equal(t, tt.want, Document(Parse("a.go", []byte(tt.src))).Text)
	}
	many := "package p\n" + strings.Repeat("func F() {}\n", 20)
	assert.Contains(t, Document(Parse("a.go", []byte(many))).Text, "20 functions (F, F, F, F, F, F, F, F, F, F, F, F and 8 more)")
}

func TestTextIsBounded(t *testing.T) {
	var src strings.Builder
	src.WriteString("package p\n")
	for i := range 200 {
		fmt.Fprintf(&src, "// F%d %s\nfunc F%d() {}\n", i, strings.Repeat("wörd ", 300), i)
	}
	text := Document(Parse("a.go", []byte(src.String()))).Text
	assert.LessOrEqual(t, len(text), MaxText)
	assert.Greater(t, len(text), MaxText-2*maxParagraph)
	for _, p := range strings.Split(text, "\n\n") {
		require.LessOrEqual(t, len(p), maxParagraph)
		require.True(t, strings.HasSuffix(p, "wörd…"), p)
	}
	assert.Equal(t, "ää…", shorten("äääää", 8), "a rune is not cut in two")
}

func TestAGlossaryHoldsTheMostUsedTerms(t *testing.T) {
	a := Parse("a.go", []byte("package p\ntype Server struct{}\ntype conn int\nfunc Serve(s *Server, c conn) {}\nfunc hidden() {}\nvar Limit int\n"))
	b := Parse("b.go", []byte("package p\nfunc (s *Server) Stop(x Server) { Serve(s, 0) }\nvar _ = Limit\n"))
	want := []Term{{"Server", 4}, {"Limit", 2}, {"Serve", 2}, {"conn", 2}}
	assert.Equal(t, want, NewGlossary(a, b).Terms())
	assert.Equal(t, want, NewGlossary(b, a).Terms(), "the order of the files does not matter")
	assert.Equal(t, []Term{{"Server", 2}, {"Limit", 1}, {"Serve", 1}}, NewGlossary(a, b).In(b))
	assert.Equal(t, []Term{}, NewGlossary(a, b).In(Parse("c.go", []byte("package q"))))

	var src strings.Builder
	src.WriteString("package p\n")
	for i := range MaxTerms + 50 {
		fmt.Fprintf(&src, "type T%d int\n", i)
	}
	big := Parse("big.go", []byte(src.String()))
	assert.Len(t, NewGlossary(big).Terms(), MaxTerms)
	assert.Len(t, NewGlossary(big).In(big), MaxFileTerms)
}

func Example() {
	src := []byte(`// Package greet greets.
package greet

func Greet(name string) string {
	if name == "" {
		return "hello"
	}
	return "hello, " + name
}
`)
	file := Parse("greet.go", src)
	metrics := Measure(file)
	review := Assess(Summary{Path: "greet.go", Text: "It greets."}, metrics, NewGlossary(file).In(file))
	fmt.Println(metrics.Lines.Code, metrics.Complexity.Max, review.Grade, review.Findings)
	// Output: 7 2 C [1 of 1 exported name is undocumented: Greet]
}
