package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tree writes files below a fresh folder and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

func at(roots ...string) func(context.Context) []string {
	return func(context.Context) []string { return roots }
}

func TestAFolderIsReadToItsDepths(t *testing.T) {
	dir := tree(t, map[string]string{
		"b.go": "package b", "a.go": "package a", "sub/deep/c.go": "package c", "sub.go": "not go at all",
		"a_test.go": "x", "notes.md": "x", "vendor/v.go": "x", "sub/testdata/t.go": "x", ".git/g.go": "x", "_old/o.go": "x",
		".hidden.go": "x", "_draft.go": "x",
	})
	require.NoError(t, os.Symlink(filepath.Join(dir, "a.go"), filepath.Join(dir, "link.go")))

	in, err := Open(t.Context(), dir)
	require.NoError(t, err)
	assert.Equal(t, []string{"a.go", "b.go", "sub.go", "sub/deep/c.go"}, in.Paths())
	assert.Equal(t, dir, in.Name)
	assert.Equal(t, dir, in.Dir)
	assert.Empty(t, in.Note)
	sum := sha256.Sum256([]byte("package a"))
	assert.Equal(t, File{Path: "a.go", Data: []byte("package a"), SHA256: hex.EncodeToString(sum[:])}, in.Files[0])
	assert.Equal(t, 9+9+13+9, in.Bytes())

	again, err := Open(t.Context(), dir)
	require.NoError(t, err)
	assert.Equal(t, in, again)
}

func TestARelativeFolderIsFoundAgainByItsDir(t *testing.T) {
	dir := tree(t, map[string]string{"p/a.go": "package a"})
	t.Chdir(dir)
	in, err := Open(t.Context(), "./p/")
	require.NoError(t, err)
	assert.Equal(t, "p", in.Name)
	again, err := Open(t.Context(), in.Dir)
	require.NoError(t, err)
	assert.Equal(t, in.Files, again.Files)
}

func TestAGorootPackageIsItsOwnFolderOnly(t *testing.T) {
	root := tree(t, map[string]string{"src/net/http/server.go": "package http", "src/net/http/httptest/x.go": "package httptest"})
	for _, name := range []string{"", "goroot:net/http"} {
		in, err := open(t.Context(), name, at("/nowhere", root))
		require.NoError(t, err)
		assert.Equal(t, []string{"server.go"}, in.Paths())
		assert.Equal(t, "goroot:net/http", in.Name)
		assert.Empty(t, in.Note)
	}
}

func TestTheGoInstallationOfThisMachineIsFound(t *testing.T) {
	in, err := Open(t.Context(), "goroot:encoding/json")
	if errors.Is(err, ErrNoSource) {
		t.Skip("Go is installed without its sources")
	}
	require.NoError(t, err)
	assert.Contains(t, in.Paths(), "decode.go")
	assert.True(t, slices.IsSorted(in.Paths()))
}

func TestWithoutGoSourceTheDefaultIsTheSampleAndSaysSo(t *testing.T) {
	stripped := tree(t, map[string]string{"src/net/http/README": "x", "src/fmt/a.go": "package fmt"})
	var in *Input
	for _, root := range []string{"/nowhere", t.TempDir(), filepath.Join(stripped, "src"), stripped} {
		var err error
		in, err = open(t.Context(), "", at(root))
		require.NoError(t, err)
		assert.Equal(t, Embedded, in.Name)
		assert.Contains(t, in.Note, "is not on this machine")
		assert.Equal(t, []string{"doc.go", "label.go", "parcel.go", "route.go", "store.go", "tariff.go"}, in.Paths())
	}

	named, err := Open(t.Context(), Embedded)
	require.NoError(t, err)
	assert.Empty(t, named.Note)
	assert.Equal(t, in.Files, named.Files)
}

func TestAnErrorNamesThePlaceInThreeLines(t *testing.T) {
	root := tree(t, map[string]string{"src/fmt/a.go": "package fmt", "src/empty/README": "x"})
	dir := tree(t, map[string]string{"only_test.go": "x", "vendor/a.go": "x", "file.go": "x"})
	empty := tree(t, map[string]string{"only_test.go": "x", "vendor/a.go": "x"})
	tests := []struct {
		name, input string
		want        error
		mentions    string
	}{
		{"no such package", "goroot:net/htp", ErrNotFound, filepath.Join(root, "src")},
		{"package without Go files", "goroot:empty", ErrEmpty, filepath.Join(root, "src", "empty")},
		{"package path that climbs", "goroot:../../etc", ErrName, "../../etc"},
		{"no package path", "goroot:", ErrName, "goroot:"},
		{"no such folder", filepath.Join(dir, "nope"), ErrNotFound, filepath.Join(dir, "nope")},
		{"a file", filepath.Join(dir, "file.go"), ErrName, "file.go"},
		{"a folder without Go files", empty, ErrEmpty, empty},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, err := open(t.Context(), tt.input, at(root))
			require.ErrorIs(t, err, tt.want)
			assert.Nil(t, in)
			assert.Contains(t, err.Error(), tt.mentions)
			assert.LessOrEqual(t, strings.Count(err.Error(), "\n"), 2)
		})
	}
	_, err := open(t.Context(), "goroot:fmt", at("/nowhere"))
	require.ErrorIs(t, err, ErrNoSource, "a named input is never replaced by the sample")
}

func TestEveryUnreadableFileIsNamed(t *testing.T) {
	root := faulty{fstest.MapFS{"a.go": {}, "b.go": {}, "ok.go": {Data: []byte("package ok")}}, "ok.go"}
	_, err := read(t.Context(), root, "the place", true)
	require.ErrorIs(t, err, ErrUnreadable)
	assert.Equal(t, "the place: parts of it cannot be read:\na.go: permission denied; b.go: permission denied", err.Error())

	many := fstest.MapFS{}
	for _, c := range "abcdefghijklm" {
		many[string(c)+".go"] = &fstest.MapFile{}
	}
	_, err = read(t.Context(), faulty{many, ""}, "the place", true)
	assert.Contains(t, err.Error(), "and 5 more")
	assert.Equal(t, 1, strings.Count(err.Error(), "\n"))
}

func TestAnInputIsBounded(t *testing.T) {
	_, err := read(t.Context(), fstest.MapFS{"big.go": {Data: make([]byte, MaxFileBytes+1)}}, "p", true)
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = read(t.Context(), fstest.MapFS{"big.go": {Data: make([]byte, MaxFileBytes)}}, "p", true)
	require.NoError(t, err)

	many := fstest.MapFS{}
	for i := range MaxFiles + 1 {
		many["f"+strings.Repeat("x", i%50)+"/"+string(rune('a'+i/1000))+strings.Repeat("y", i/50%20)+".go"] = &fstest.MapFile{}
	}
	require.Len(t, many, MaxFiles+1)
	_, err = read(t.Context(), many, "p", true)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestReadingStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, t.TempDir())
	require.ErrorIs(t, err, context.Canceled)
}

// faulty lets only one file be opened.
type faulty struct {
	fstest.MapFS
	readable string
}

func (f faulty) Open(name string) (fs.File, error) {
	if filepath.Ext(name) == ".go" && name != f.readable {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.MapFS.Open(name)
}
