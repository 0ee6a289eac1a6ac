package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
)

// That nothing can be written to the folder of a run is known before the run, not after it.
func TestAFolderThatCannotBeWrittenTo(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o555))
	if probe, err := os.Create(filepath.Join(dir, "probe")); err == nil { // root may
		require.NoError(t, probe.Close())
		dir = "/proc/self" // where nobody may make a file
		if _, err := os.Stat(dir); err != nil {
			t.Skip("everything can be written to here")
		}
	}
	code, stdout, stderr := demo("--input", source.Embedded, "--chaos", "off", "--out", dir)
	require.Equal(t, summary.ExitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "demo: --out: nothing can be written there: ")
}

func TestVerifyOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	code, _, stderr := demo("verify", file)
	require.Equal(t, summary.ExitUsage, code)
	require.NotContains(t, stderr, "batch")
}
