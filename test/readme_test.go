package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's Go code is part of the examples, which compile and run.
func TestReadmeCodeIsReal(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	require.NoError(t, err)
	files, err := filepath.Glob("example_*_test.go")
	require.NoError(t, err)
	var code strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		require.NoError(t, err)
		code.Write(text)
	}
	blocks := strings.Split(string(readme), "```go\n")[1:]
	require.NotEmpty(t, blocks)
	for _, b := range blocks {
		block, _, ok := strings.Cut(b, "```")
		require.True(t, ok, "a block without an end")
		require.Contains(t, code.String(), block)
	}
}
