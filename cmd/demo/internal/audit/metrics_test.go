package audit

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryLineIsCodeCommentOrBlank(t *testing.T) {
	tests := []struct {
		name, src string
		want      Lines
	}{
		{"nothing", "", Lines{}},
		{"one newline", "\n", Lines{Total: 1, Blank: 1}},
		{"no newline at the end", "package p", Lines{Total: 1, Code: 1}},
		{"newline at the end", "package p\n", Lines{Total: 1, Code: 1}},
		{"white space is blank", "package p\n \t\n", Lines{Total: 2, Code: 1, Blank: 1}},
		{"comment behind code is code", "package p // yes\n", Lines{Total: 1, Code: 1}},
		{"comment alone", "// a\npackage p\n//b\n", Lines{Total: 3, Code: 1, Comment: 2}},
		{"block comment with a blank line in it", "/*\n\n*/\npackage p\n", Lines{Total: 4, Code: 1, Comment: 3}},
		{"code behind a block comment", "/* a\n*/ package p\n", Lines{Total: 2, Code: 1, Comment: 1}},
		{"raw string over four lines", "package p\nvar s = `a\n\n// no comment\n`\n", Lines{Total: 5, Code: 5}},
		{"carriage returns", "package p\r\n\r\n// c\r\nvar s = `a\r\nb`\r\n", Lines{Total: 5, Code: 3, Comment: 1, Blank: 1}},
		{"line directives change nothing", "package p\n//line x.go:100\nvar a int\n", Lines{Total: 3, Code: 2, Comment: 1}},
		{"not Go at all", "what # is\n\nthis? `open\n\n", Lines{Total: 4, Code: 3, Blank: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := countLines([]byte(tt.src))
			assert.Equal(t, tt.want, got)
			assert.Equal(t, got.Total, got.Code+got.Comment+got.Blank)
		})
	}
}

func TestComplexityCountsBranches(t *testing.T) {
	tests := []struct {
		name, body string
		want       int
	}{
		{"empty", ``, 1},
		{"if", `if a {}`, 2},
		{"if else", `if a {} else {}`, 2},
		{"else if", `if a {} else if b {} else {}`, 3},
		{"for", `for {}; for i := 0; i < 3; i++ {}`, 3},
		{"range", `for range 3 {}`, 2},
		{"and, or", `_ = a && b || !a`, 3},
		{"bit operators are no branches", `_ = 1 & 2 | 3`, 1},
		{"switch", `switch { case a: case b, !b: default: }`, 3},
		{"type switch", `switch any(a).(type) { case int: case nil: default: }`, 3},
		{"select", `var c chan int; select { case <-c: case c <- 1: default: }`, 3},
		{"a literal counts towards its function", `f := func() { if a {} }; f()`, 2},
		{"goto and labels are no branches", `x: if a { goto x }`, 2},
		{"nested", `for { if a && b { switch { case a: for range 3 {} } } }`, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := Measure(Parse("x.go", []byte("package p\nfunc f(a, b bool) {\n"+tt.body+"\n}\n")))
			require.Empty(t, m.Fault)
			assert.Equal(t, Complexity{Total: tt.want, Max: tt.want}, m.Complexity)
		})
	}
}

const shapes = `// Package p is here.
package p

import "fmt"

// A is documented.
const A = 1

const B = 2 // so is B

// The group is documented.
const (
	C = 3
	d = 4
)

const (
	E, F = 5, 6

	// G is documented.
	G = 7
)

var H, i int

type (
	J struct{ K int }
	// L is documented.
	L[T any] []T
	m int
)

//go:noinline
func N() {}

/* O is documented. */
func O() {
	fmt.Println()
}

func (j *J) P()        {}
func (l L[T]) Q()      {}
func (l *L[_]) r()     {}
func (m) S()           {}
func t()               {}
var u = func() { if true {} }
`

func TestAFileIsMeasured(t *testing.T) {
	m := Measure(Parse("shapes.go", []byte(shapes)))
	assert.Equal(t, Metrics{
		Path: "shapes.go", Package: "p",
		Lines:      Lines{Total: 46, Code: 28, Comment: 7, Blank: 11},
		Functions:  7,
		Complexity: Complexity{Total: 7, Max: 1},
		Longest: []Func{
			{"O", 37, 3, 1}, {"N", 34, 1, 1}, {"(*J).P", 41, 1, 1}, {"L.Q", 42, 1, 1}, {"(*L).r", 43, 1, 1}, {"m.S", 44, 1, 1}, {"t", 45, 1, 1},
		},
		Worst: []Func{
			{"N", 34, 1, 1}, {"O", 37, 3, 1}, {"(*J).P", 41, 1, 1}, {"L.Q", 42, 1, 1}, {"(*L).r", 43, 1, 1}, {"m.S", 44, 1, 1}, {"t", 45, 1, 1},
		},
		Exported: 13,
		Undocumented: []Name{
			{"E", "const", 18}, {"F", "const", 18}, {"H", "var", 24}, {"J", "type", 27},
			{"N", "func", 34}, {"(*J).P", "method", 41}, {"L.Q", "method", 42},
		},
	}, m)
}

func TestTheWorstComeFirstAndAreTenAtMost(t *testing.T) {
	var src strings.Builder
	src.WriteString("package p\n")
	for i := range 15 {
		fmt.Fprintf(&src, "func f%d() {%s\n}\n", i, strings.Repeat(" if true {};", i%5))
	}
	m := Measure(Parse("x.go", []byte(src.String())))
	require.Len(t, m.Worst, Top)
	require.Len(t, m.Longest, Top)
	var names []string
	for _, fn := range m.Worst {
		names = append(names, fn.Name)
	}
	assert.Equal(t, []string{"f4", "f9", "f14", "f3", "f8", "f13", "f2", "f7", "f12", "f1"}, names)
	assert.Equal(t, Complexity{Total: 15 + 3*(0+1+2+3+4), Max: 5}, m.Complexity)
}

func TestAFileThatDoesNotParseSaysSo(t *testing.T) {
	f := Parse("bad.go", []byte("package p\n\nfunc {\n"))
	m := Measure(f)
	assert.Equal(t, Metrics{
		Path: "bad.go", Fault: "does not parse: bad.go:3:6: expected 'IDENT', found '{'",
		Lines: Lines{Total: 3, Code: 2, Blank: 1}, Longest: []Func{}, Worst: []Func{}, Undocumented: []Name{},
	}, m)
	assert.Equal(t, m.Fault, f.Fault())
	assert.Contains(t, Document(f).Text, "is not valid Go")
	assert.Empty(t, NewGlossary(f).Terms())
	assert.Equal(t, "E", Assess(Summary{}, m, nil).Grade)
}

// Real files, twice: all figures are equal, survive JSON, and the lines add up.
func TestTheSameFileAlwaysGivesTheSame(t *testing.T) {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(goroot)), "src", "net", "http", "c*.go"))
	require.NoError(t, err)
	files = append(files, "metrics.go", "review.go")
	for _, name := range files {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		one, two := Parse(name, data), Parse(name, data)
		m := Measure(one)
		require.Equal(t, m, Measure(two))
		require.Equal(t, Document(one), Document(two))
		require.Equal(t, NewGlossary(one).In(one), NewGlossary(two).In(two))
		require.Equal(t, m.Lines.Total, m.Lines.Code+m.Lines.Comment+m.Lines.Blank)
		require.LessOrEqual(t, len(m.Undocumented), m.Exported)

		encoded, err := json.Marshal(m)
		require.NoError(t, err)
		var decoded Metrics
		require.NoError(t, json.Unmarshal(encoded, &decoded))
		require.Equal(t, m, decoded)
	}
}

func FuzzAnyBytesCanBeAudited(f *testing.F) {
	f.Add([]byte(shapes))
	f.Add([]byte("package p\nfunc ("))
	f.Add([]byte("\xef\xbb\xbfpackage p\n/*"))
	f.Add([]byte("package p\nfunc (struct{}) X() {}\nfunc () Y() {}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		file := Parse("x.go", src)
		m := Measure(file)
		require.Equal(t, m.Lines.Total, m.Lines.Code+m.Lines.Comment+m.Lines.Blank)
		d := Document(file)
		require.NotEmpty(t, d.Text)
		require.LessOrEqual(t, len(d.Text), MaxText)
		Assess(Summary{}, m, NewGlossary(file).In(file))
	})
}
