package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// The files of work in the documentation are ones.
func TestBatchesOfTheDocumentation(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "BATCH.md"))
	require.NoError(t, err)
	tried := 0
	for _, block := range strings.Split(string(text), "```jsonl\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if strings.Contains(block, "…") {
			continue // output
		}
		tried++
		out := t.TempDir()
		code, stdout, stderr := demo("--input", writeBatch(t, strings.TrimSpace(block)), "--out", out)
		want := summary.ExitOK
		if strings.Contains(block, `"messages":[]`) {
			want = summary.ExitTasks
		}
		require.Equal(t, want, code, stdout+stderr)
		code, stdout, stderr = demo("verify", out)
		require.Equal(t, summary.ExitOK, code, stdout+stderr)
	}
	require.Equal(t, 2, tried)
}
