//go:build unix

package batch_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
)

// A pipe that nobody writes to is refused, not waited for.
func TestReadOfAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "work.jsonl")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err := batch.Read(pipe)
	require.ErrorIs(t, err, batch.ErrFile)
	require.ErrorContains(t, err, "not a regular file")
}
