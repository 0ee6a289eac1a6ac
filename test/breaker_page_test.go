package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	breakerCases    = regexp.MustCompile(`(?m)^\| (\d+) \| [^|]+ \| [^|]+ \| (.*) \|$`)
	breakerTests    = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z]+)`")
	breakerFeatures = regexp.MustCompile("`([A-Z][A-Za-z]*(?:\\.[A-Z][A-Za-z]*)?)`")
)

// TestBreakerPage checks that docs/BREAKER.md has a row for every tricky case, and that the tests and the names on it exist.
func TestBreakerPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "BREAKER.md"))
	require.NoError(t, err)
	page := string(text)
	var tests []string
	for _, folder := range []string{"../breaker", "../routing", "../actors", "."} {
		tests = append(tests, declared(t, folder, "*_test.go")...)
	}
	for _, m := range breakerTests.FindAllStringSubmatch(page, -1) {
		require.Contains(t, tests, m[1])
	}
	cases := breakerCases.FindAllStringSubmatch(page, -1)
	require.Len(t, cases, 25)
	for i, m := range cases {
		require.Equal(t, strconv.Itoa(i+1), m[1])
		require.True(t, breakerTests.MatchString(m[2]), "case %d names no test", i+1)
	}

	_, after, found := strings.Cut(page, "\n## What it has\n")
	require.True(t, found)
	table, _, found := strings.Cut(after, "\n## ")
	require.True(t, found)
	names := declared(t, "../breaker", "*.go")
	features := breakerFeatures.FindAllStringSubmatch(table, -1)
	require.Greater(t, len(features), 40)
	for _, m := range features {
		require.Contains(t, names, m[1])
	}
}

// declared lists what the files of a folder declare: functions, types, constants, and as Type.Name methods and fields.
func declared(t *testing.T, folder, pattern string) []string {
	t.Helper()
	var names []string
	files, err := filepath.Glob(filepath.Join(folder, pattern))
	require.NoError(t, err)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names = append(names, receiver(d)+d.Name.Name)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					names = append(names, specNames(s)...)
				}
			}
		}
	}
	return names
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	at := f.Recv.List[0].Type
	if star, ok := at.(*ast.StarExpr); ok {
		at = star.X
	}
	if id, ok := at.(*ast.Ident); ok {
		return id.Name + "."
	}
	return "."
}

func specNames(s ast.Spec) (names []string) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			names = append(names, name.Name)
		}
	case *ast.TypeSpec:
		names = append(names, s.Name.Name)
		if fields, ok := s.Type.(*ast.StructType); ok {
			for _, f := range fields.Fields.List {
				for _, name := range f.Names {
					names = append(names, s.Name.Name+"."+name.Name)
				}
			}
		}
	}
	return slices.Compact(names)
}
