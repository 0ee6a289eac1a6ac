package report

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// audited does the work of a run on the input without agents.
func audited(t *testing.T, in *source.Input) (books.Run, []books.Record) {
	t.Helper()
	var (
		files   []*audit.File
		records []books.Record
	)
	for _, f := range in.Files {
		files = append(files, audit.Parse(f.Path, f.Data))
	}
	add := func(id string, result any) {
		r, err := books.NewRecord(id, books.Done, result)
		require.NoError(t, err)
		records = append(records, r)
	}
	glossary := audit.NewGlossary(files...)
	for _, f := range files {
		s := audit.Summary{Path: f.Path(), Text: model.Answer(audit.Prompt(audit.Document(f)))}
		m := audit.Measure(f)
		add(task.SummarizeID(f.Path()), s)
		add(task.MetricsID(f.Path()), m)
		add(task.ReviewID(f.Path()), audit.Assess(s, m, glossary.In(f)))
	}
	return books.NewRun(in, chaos.Plan{Seed: 1, Level: chaos.Mild}, books.EmbeddedModel), records
}

func pageOf(t *testing.T, run books.Run, records []books.Record) string {
	t.Helper()
	r, err := New(run, records)
	require.NoError(t, err)
	return string(r.Markdown())
}

func TestThePageOfTheSample(t *testing.T) {
	in, err := source.Open(t.Context(), source.Embedded)
	require.NoError(t, err)
	run, records := audited(t, in)
	page := pageOf(t, run, records)
	for _, want := range []string{
		"# Audit of `embedded`\n\n6 files, summarised by the embedded extractive model. Seed 1, chaos mild.\n",
		"| Exported names | 37 |\n",
		"| Function | Where | Complexity | Lines |\n| --- | --- | ---: | ---: |\n| `Tariff.Price` | `tariff.go:32` | 26 | 66 |\n",
		"| `EncodeLabel` | func | `label.go:13` |\n",
		"| `doc.go` | A | 8 | 0 | 0 | 0 | Package parcel tracks parcels from the counter to the door.",
	} {
		assert.Contains(t, page, want)
	}
	assertTablesAreSound(t, page)

	slices.Reverse(records)
	assert.Equal(t, page, pageOf(t, run, records), "the order of the records does not matter")
}

func TestGapsAndFaultsAreSaid(t *testing.T) {
	in := &source.Input{Name: "x", Files: []source.File{{Path: "bad.go", Data: []byte("nope")}, {Path: "good.go", Data: []byte("package p")}}}
	run, records := audited(t, in)
	records[3] = books.Record{ID: records[3].ID, Type: records[3].Type, Status: books.Failed}
	page := pageOf(t, run, records)
	assert.Contains(t, page, "**Not complete:** not all tasks were done for `good.go`.")
	assert.Contains(t, page, "**Not valid Go:** `bad.go`.")
	assert.Contains(t, page, "- `bad.go` (E): does not parse: bad.go:1:1: expected 'package', found nope.\n")
	assert.Contains(t, page, "| `good.go` | A | 1 | 0 | 0 | 0 | *no summary* |")
	assertTablesAreSound(t, page)

	nothing := pageOf(t, run, nil)
	assert.Contains(t, nothing, "| `bad.go` | – | – | – | – | – | *no summary* |")
	assertTablesAreSound(t, nothing)

	records[0].Result = json.RawMessage(`"text"`)
	_, err := New(run, records)
	require.ErrorContains(t, err, "summarize:bad.go")
}

func TestNamesAndTextsCannotBreakThePage(t *testing.T) {
	nasty := "a|b`c``d\n# <script>\u202e\x1b[31m\\|.go"
	run := books.Run{Input: nasty, Model: nasty, Files: []books.FileEntry{{Path: nasty, Bytes: 1}}}
	record := func(id string, v any) books.Record {
		r, err := books.NewRecord(id, books.Done, v)
		require.NoError(t, err)
		return r
	}
	fn := []audit.Func{{Name: nasty, Line: 1, Lines: 2, Complexity: 3}}
	page := pageOf(t, run, []books.Record{
		record(task.SummarizeID(nasty), audit.Summary{Text: "[x](y) | *z* " + nasty}),
		record(task.MetricsID(nasty), audit.Metrics{Worst: fn, Longest: fn, Undocumented: []audit.Name{{Name: nasty, Kind: "var"}}}),
		record(task.ReviewID(nasty), audit.Review{Grade: "E", Findings: []string{nasty}}),
	})
	assert.NotContains(t, page, "\x1b")
	assert.NotContains(t, page, "\u202e")
	assert.Contains(t, page, `\[x\](y) \| \*z\* a\|b\`+"`")
	assert.NotContains(t, page, "\n# <")
	assertTablesAreSound(t, page)
}

func TestLongListsAreCutAndCounted(t *testing.T) {
	var src strings.Builder
	src.WriteString("package p\n")
	for i := range MaxUndocumented + 5 {
		fmt.Fprintf(&src, "func F%d() {}\n", i)
	}
	in := &source.Input{Name: "x"}
	for i := range MaxFiles + 2 {
		in.Files = append(in.Files, source.File{Path: fmt.Sprintf("f%04d.go", i), Data: []byte("package p")})
	}
	in.Files[0].Data = []byte(src.String())
	run, records := audited(t, in)
	page := pageOf(t, run, records)
	assert.Contains(t, page, "\nand 5 more.\n")
	assert.Contains(t, page, "\nand 2 more.\n")
	assert.Contains(t, page, "1,002 files")
	assert.Less(t, strings.Count(page, "\n"), MaxFiles+MaxUndocumented+100)
}

func TestCells(t *testing.T) {
	assert.Equal(t, []string{"0", "999", "1,000", "1,234,567", "-12", "-123", "-1,234"},
		[]string{number(0), number(999), number(1000), number(1234567), number(-12), number(-123), number(-1234)})
	assert.Equal(t, "`` a`b ``", verbatim("a`b").markdown())
	assert.Equal(t, "``` `` ```", verbatim("``").markdown())
	assert.Equal(t, "`a b`", verbatim("a\n\tb").markdown())
	assert.Equal(t, strings.TrimSpace(strings.Repeat("word ", 31))+"…", oneLine(strings.Repeat("word ", 50)))
	assert.Equal(t, strings.Repeat("ü", 159)+"…", oneLine(strings.Repeat("ü", 500)))
	assert.Equal(t, "`a|b`", verbatim("a|b").markdown())
	assert.Equal(t, "`a\\|b`", verbatim("a|b").cell(), "a bar ends a table's cell, even in code")
	assert.Equal(t, "a, b and 2 more", listed([]text{words("a"), words("b"), words("c"), words("d")}, 2).markdown())
}

var escapedPipe = regexp.MustCompile(`\\\|`)

// assertTablesAreSound checks that every table has as many cells in each row as in its head, and none is broken off.
func assertTablesAreSound(t *testing.T, page string) {
	t.Helper()
	columns := 0
	for _, line := range strings.Split(page, "\n") {
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		n := strings.Count(escapedPipe.ReplaceAllString(line, ""), "|")
		if columns == 0 {
			columns = n
		}
		assert.Equal(t, columns, n, line)
	}
}
