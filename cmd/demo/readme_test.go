package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// between is what stands in the README between two texts.
func between(t *testing.T, from, to string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, after, begins := strings.Cut(string(readme), from)
	text, _, ends := strings.Cut(after, to)
	require.True(t, begins && ends, "README has no %q before %q", from, to)
	return text
}

// The picture is that of the tree. How many restarts are borne depends on the files of one's Go.
func TestReadmeShowsTheTree(t *testing.T) {
	numbers := regexp.MustCompile(`\d+ restarts`)
	code, tree, stderr := demo("tree", "--format", "mermaid", "--ascii=false")
	require.Equal(t, summary.ExitOK, code, stderr)
	require.Equal(t, numbers.ReplaceAllString(tree, "some restarts"), numbers.ReplaceAllString(between(t, "```mermaid\n", "```"), "some restarts"))
}

// The sample shows each mechanism as it was seen, and the table says what each is.
func TestReadmeExplainsTheSummary(t *testing.T) {
	sample, lines, drills := between(t, "```text\ntasks", "\nreport "), between(t, "| line | says |", "| drill |"), between(t, "| drill | what happens |", "\n\n")
	for name := range mechanisms {
		name = strings.ReplaceAll(name, "_", " ")
		require.Regexp(t, name+` [1-9]`, sample)
		group, one, _ := strings.Cut(name, " ")
		require.True(t, strings.Contains(drills, name) || strings.Contains(drills, group) && strings.Contains(drills, one), "%s isn't explained", name)
	}
	for line := range strings.Lines("tasks" + sample) {
		if name, _, _ := strings.Cut(line, " "); strings.TrimSpace(name) != "" {
			require.Contains(t, lines, "| "+name+" |")
		}
	}
}
