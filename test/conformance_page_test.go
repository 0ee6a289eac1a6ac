package test

import (
	"bufio"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pageRow is one row of the table of docs/OTP.md.
type pageRow struct {
	number     int
	name, port string
	shownBy    string
	tests      []string
}

var (
	pageRows  = regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]+) \| [^|]+ \| ([YAN]) \| (.*) \|$`)
	pageTests = regexp.MustCompile("`((?:Test|Benchmark|Example)[^`]*)`")
)

// TestConformancePage checks that docs/OTP.md has a row for every case, and that what it names is there.
func TestConformancePage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "OTP.md"))
	require.NoError(t, err)
	page := string(text)
	existing := testNames(t)

	var rows []pageRow
	for _, m := range pageRows.FindAllStringSubmatch(page, -1) {
		number, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		rows = append(rows, pageRow{number, m[2], m[3], m[4], namedTests(m[4])})
	}
	require.Len(t, rows, 93)
	cases := make(map[string]bool)
	ours := make(map[string]int) // row of the subtests of TestConformance
	for i, row := range rows {
		require.Equal(t, i+1, row.number)
		require.False(t, cases[row.name], "%s stands there twice", row.name)
		cases[row.name] = true
		require.NotEmpty(t, row.shownBy, "row %d", row.number)
		require.Equal(t, row.port == "N", len(row.tests) == 0, "row %d: Y and A name a test, N says why there is none", row.number)
		for _, name := range row.tests {
			if sub, ok := strings.CutPrefix(name, "TestConformance/"); ok {
				ours[sub] = row.number
			}
		}
	}
	for _, c := range conformance {
		require.Equal(t, c.row, ours[c.name], "%s stands in another row", c.name)
		require.Equal(t, rows[c.row-1].name, c.name, "it is named after the case")
	}

	named := namedTests(page)
	for _, name := range named {
		require.True(t, matches(name, existing), "no test %s", name)
	}
	for _, name := range existing {
		if strings.HasPrefix(name, "TestOTP/d:") {
			require.True(t, namesIt(named, name), "%s isn't on the page", name)
		}
	}
}

func namedTests(text string) []string {
	var names []string
	for _, m := range pageTests.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

// matches reports whether a name, with * for anything, is that of a test.
func matches(pattern string, names []string) bool {
	for _, name := range names {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// namesIt reports whether one of the names, with * for anything, is that of the test.
func namesIt(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if matches(pattern, []string{name}) {
			return true
		}
	}
	return false
}

// testNames lists the test functions of this folder, and the subtests of those that the page speaks of.
func testNames(t *testing.T) []string {
	t.Helper()
	var names []string
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names = append(names, f.Name.Name)
			}
		}
	}
	for _, c := range conformance {
		names = append(names, "TestConformance/"+c.name)
	}
	return append(names, directedNames(t)...)
}

// directedNames lists the recordings that were written for a case. They are those of the repository, whatever is replayed.
func directedNames(t *testing.T) []string {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "otp", "directed.jsonl"))
	require.NoError(t, err)
	defer file.Close()
	var names []string
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var r recording
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		names = append(names, "TestOTP/"+r.Scenario.Name)
	}
	require.NoError(t, lines.Err())
	return names
}
