package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// The tree that is printed is the one that would run: its budgets are those of the seed, its pools those of --workers.
func TestTreeIsPrintedWithoutRunningIt(t *testing.T) {
	input := project(t, oneFile)
	code, stdout, stderr := demo("tree", "--input", input, "--workers", "3", "--ascii=false")
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Empty(t, stderr)
	require.Contains(t, stdout, "├─ research                        one_for_one, 11 restarts in 1m, backoff 10ms to 200ms\n")
	require.Contains(t, stdout, "│  └─ summarizer-1 … summarizer-3  agent of summarize\n")

	_, off, _ := demo("tree", "--input", input, "--chaos", "off")
	_, mild, _ := demo("tree", "--input", input)
	require.NotEqual(t, off, mild, "the budget of the poison drill's supervisor")

	for format, first := range map[string]string{"text": "root ", "dot": "digraph ", "mermaid": "flowchart ", "json": "{"} {
		code, stdout, stderr := demo("tree", "--input", input, "--format", format)
		require.Equal(t, summary.ExitOK, code, stderr)
		require.True(t, strings.HasPrefix(stdout, first), stdout)
		require.Equal(t, format == "json", json.Valid([]byte(stdout)))
	}
}

func TestTreeInASCII(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"text": "summarizer-1 .. summarizer-4", "dot": "summarizer-1 &#8230; summarizer-4", "mermaid": "summarizer-1 #8230; summarizer-4", "json": `"summarizer-1"`} {
		code, stdout, stderr := demo("tree", "--input", source.Embedded, "--ascii", "--format", format)
		require.Equal(t, summary.ExitOK, code, stderr)
		require.Contains(t, stdout, want)
		require.False(t, strings.ContainsFunc(stdout, func(r rune) bool { return r > unicode.MaxASCII }), stdout)
	}
}

func TestTreeSpeaksTheLocalesLanguage(t *testing.T) {
	input := project(t, oneFile)
	for locale, wantASCII := range map[string]bool{"": false, "C": true, "de_DE.ISO-8859-1": true, "en_GB.UTF-8": false, "C.utf8": false} {
		t.Setenv("LC_ALL", locale)
		t.Setenv("LC_CTYPE", "")
		t.Setenv("LANG", "")
		code, stdout, _ := demo("tree", "--input", input)
		require.Equal(t, summary.ExitOK, code)
		require.Equal(t, wantASCII, strings.Contains(stdout, "|- llm"), "%q:\n%s", locale, stdout)
	}
}

func TestTreeUsageErrors(t *testing.T) {
	for _, args := range [][]string{{"--format", "svg"}, {"--workers", "0"}, {"--input", "/nonexistent/place"}, {"extra"}, {"--timeout", "1s"}} {
		code, stdout, stderr := demo(append([]string{"tree"}, args...)...)
		require.Equal(t, summary.ExitUsage, code, args)
		require.Empty(t, stdout)
		require.NotEmpty(t, stderr)
	}
}
