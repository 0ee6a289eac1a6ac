package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
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

// A folder is of one kind of run: verify would pass over the other.
func TestAuditAndBatchHaveFoldersOfTheirOwn(t *testing.T) {
	t.Parallel()
	audit, work := []string{"--input", source.Embedded, "--chaos", "off", "--out"}, []string{"--input", writeBatch(t, requests(1)...), "--out"}
	for _, order := range [][2][]string{{audit, work}, {work, audit}} {
		out := t.TempDir()
		code, stdout, stderr := demo(append(order[0], out)...)
		require.Equal(t, summary.ExitOK, code, stdout+stderr)
		code, stdout, stderr = demo(append(order[1], out)...)
		require.Equal(t, summary.ExitUsage, code, stdout)
		require.Contains(t, stderr, "of another kind of run: name a folder of its own")
	}
}

// What can't be written when all is done is in the verdict, and nothing is pointed to that isn't there.
func TestFilesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ input, file string }{
		"audit": {source.Embedded, htmlFile}, "batch": {writeBatch(t, requests(2)...), batch.OutputFile},
	} {
		for _, form := range []string{"--json", "--quiet"} {
			t.Run(name+form, func(t *testing.T) {
				t.Parallel()
				out := t.TempDir()
				require.NoError(t, os.Mkdir(filepath.Join(out, test.file), 0o755)) // it stands in the way
				code, stdout, stderr := demo("--input", test.input, "--chaos", "off", "--out", out, form)
				require.Equal(t, summary.ExitBroken, code)
				require.Contains(t, stderr, "demo: books: rename ")
				if form == "--quiet" {
					require.Contains(t, stdout, "verdict    invariant broken (seed 1, exit code 1)\n           books: rename ")
					require.NotContains(t, stdout, "\nreport ")
					require.NotContains(t, stdout, "\noutput ")
					require.Equal(t, name == "batch", strings.Contains(stdout, "\ngo on    demo --resume --store "))
					return
				}
				s := summaryOf(t, stdout)
				require.Equal(t, summary.VerdictBroken, s.Verdict)
				require.Equal(t, summary.ExitBroken, s.ExitCode)
				require.Len(t, s.Problems, 1)
				if name == "audit" {
					require.Contains(t, read(t, out, summaryFile), `"verdict":"invariant broken"`)
				}
			})
		}
	}
}

// fullDisk takes as many bytes as there is room.
type fullDisk struct{ room int }

func (d *fullDisk) Write(p []byte) (int, error) {
	n := min(len(p), d.room)
	if d.room -= n; n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

// What can't be printed is no wrong use, and is told of once.
func TestWhatCannotBePrinted(t *testing.T) {
	t.Parallel()
	audit, work := t.TempDir(), t.TempDir()
	code, _, stderr := demo("--input", source.Embedded, "--chaos", "off", "--out", audit)
	require.Equal(t, summary.ExitOK, code, stderr)
	code, _, stderr = demo("--input", writeBatch(t, requests(1)...), "--out", work)
	require.Equal(t, summary.ExitOK, code, stderr)
	for _, args := range [][]string{
		{"version"}, {"tree"}, {"tree", "--format", "dot", "--ascii"}, {"verify", audit}, {"verify", work},
		{"--input", source.Embedded, "--chaos", "off", "--out", t.TempDir()}, {"--input", source.Embedded, "--chaos", "off", "--out", t.TempDir(), "--json"},
	} {
		var log bytes.Buffer
		require.Equal(t, summary.ExitBroken, execute(append([]string{"demo"}, args...), &fullDisk{5}, &log), args)
		require.Contains(t, log.String(), "demo: cannot print: "+syscall.ENOSPC.Error()+"\n")
		require.LessOrEqual(t, strings.Count(log.String(), "cannot print"), 2, "while it runs and at its end")
	}
}

func TestVerifyOfAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	code, _, stderr := demo("verify", file)
	require.Equal(t, summary.ExitUsage, code)
	require.NotContains(t, stderr, "batch")
}
