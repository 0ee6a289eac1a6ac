// Package source finds and reads the demo's input: the Go files of one package of the standard library, or of a folder.
//
//	in, err := source.Open(ctx, "")                  // goroot:net/http, or the sample in the binary if that is not to be found
//	in, err := source.Open(ctx, "goroot:go/types")   // a package of the user's own Go installation, without its sub-packages
//	in, err := source.Open(ctx, "../project")        // every .go file below a folder
//
// Which files count: regular files named *.go, without *_test.go, whatever their build constraints say. Below a folder,
// the folders vendor and testdata are passed over, and so are files and folders whose names begin with "." or "_" and
// symbolic links. The list is sorted by path, so the same tree always gives the same input. Files that are not valid Go
// are input all the same: to say so is the audit's part.
package source

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// Default is the input of a run that names none.
	Default = Goroot + "net/http"
	// Goroot is the prefix of a package in the user's Go installation.
	Goroot = "goroot:"
	// Embedded names the sample package in the binary.
	Embedded = "embedded"
)

// Limits of an input.
const (
	MaxFiles     = 5_000
	MaxFileBytes = 8 << 20
	MaxBytes     = 256 << 20
)

var (
	// ErrNoSource says that there is no Go source on this machine. Install Go with its sources, or name a folder.
	ErrNoSource = errors.New("no Go source on this machine")
	// ErrNotFound says that the named package or folder does not exist.
	ErrNotFound = errors.New("not found")
	// ErrEmpty says that there are no Go files in the named place.
	ErrEmpty = errors.New("no Go files")
	// ErrUnreadable says that the place, or a file in it, exists and cannot be read.
	ErrUnreadable = errors.New("cannot be read")
	// ErrTooLarge says that the input goes beyond a limit of this package.
	ErrTooLarge = errors.New("too large")
	// ErrName says that the input's name is not one.
	ErrName = errors.New("not an input")
)

// File is one file of an input, read and hashed.
type File struct {
	Path   string // relative to the input, with slashes
	Data   []byte // not to be changed
	SHA256 string // of Data, in lower-case hex
}

// Input is what a run works on. It is read once, so a file that changes under the run changes nothing.
type Input struct {
	Name  string // as the user would name it: goroot:net/http, embedded, or a folder
	Dir   string // where it was found; empty for the sample in the binary
	Note  string // what the user should know about how it was found, or empty
	Files []File // sorted by Path, at least one
}

// Paths lists the files' paths, sorted.
func (in *Input) Paths() []string {
	paths := make([]string, len(in.Files))
	for i, f := range in.Files {
		paths[i] = f.Path
	}
	return paths
}

// Bytes is the size of all files together.
func (in *Input) Bytes() int {
	total := 0
	for _, f := range in.Files {
		total += len(f.Data)
	}
	return total
}

//go:embed sample/*.go.txt
var sample embed.FS

// Open finds and reads the input with the given name. An empty name means Default, and, where its source is not to be
// found, the sample in the binary with a Note that says so; a name that is given is never replaced by another.
//
// An error names the place, lists every fault found there, has at most three lines, and wraps one of this
// package's sentinels. ctx bounds the question to the go command and the reading.
func Open(ctx context.Context, name string) (*Input, error) {
	return open(ctx, name, goroots)
}

// open takes the search for Go installations as an argument for the tests' sake.
func open(ctx context.Context, name string, roots func(context.Context) []string) (*Input, error) {
	switch pkg, isGoroot := strings.CutPrefix(name, Goroot); {
	case name == "":
		in, err := openGoroot(ctx, strings.TrimPrefix(Default, Goroot), roots)
		if !errors.Is(err, ErrNoSource) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrEmpty) {
			return in, err
		}
		if in, err = openEmbedded(ctx); in != nil {
			in.Note = "the source of net/http is not on this machine: the input is the sample package in the binary"
		}
		return in, err
	case name == Embedded:
		return openEmbedded(ctx)
	case isGoroot:
		return openGoroot(ctx, pkg, roots)
	default:
		return openFolder(ctx, name)
	}
}

func openGoroot(ctx context.Context, pkg string, roots func(context.Context) []string) (*Input, error) {
	name := Goroot + pkg
	if !fs.ValidPath(pkg) || pkg == "." {
		return nil, fmt.Errorf("input %q: %w: after %q comes the path of a package, such as net/http", name, ErrName, Goroot)
	}
	var looked []string
	for _, root := range roots(ctx) {
		src := filepath.Join(root, "src")
		if !isDir(src) {
			continue
		}
		dir := filepath.Join(src, filepath.FromSlash(pkg))
		if !isDir(dir) {
			looked = append(looked, src)
			continue
		}
		files, err := read(ctx, os.DirFS(dir), dir, false)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
		return &Input{Name: name, Dir: dir, Files: files}, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("input %s: %w", name, err)
	}
	if len(looked) == 0 {
		return nil, fmt.Errorf("input %s: %w\nname a folder with Go files, or the sample: --input %s", name, ErrNoSource, Embedded)
	}
	return nil, fmt.Errorf("input %s: package %w in %s", name, ErrNotFound, strings.Join(looked, " or "))
}

func openFolder(ctx context.Context, name string) (*Input, error) {
	dir, err := filepath.Abs(name)
	if err != nil {
		return nil, fmt.Errorf("input %q: %w: %w", name, ErrUnreadable, err)
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("input %q: folder %w (%s)\na package of the standard library is named %sPKG", name, ErrNotFound, dir, Goroot)
	case err != nil:
		return nil, fmt.Errorf("input %q: %w: %w", name, ErrUnreadable, err)
	case !info.IsDir():
		return nil, fmt.Errorf("input %q: %w: it is a file; name the folder it lies in", name, ErrName)
	}
	files, err := read(ctx, os.DirFS(dir), dir, true)
	if err != nil {
		return nil, fmt.Errorf("input %q: %w", name, err)
	}
	return &Input{Name: filepath.Clean(name), Dir: dir, Files: files}, nil
}

// openEmbedded reads the sample, whose files carry a second extension so that nothing but this package takes them for Go files.
func openEmbedded(ctx context.Context) (*Input, error) {
	entries, err := sample.ReadDir("sample")
	if err != nil {
		return nil, fmt.Errorf("input %s: %w: %w", Embedded, ErrUnreadable, err)
	}
	in := &Input{Name: Embedded}
	for _, e := range entries {
		data, err := sample.ReadFile("sample/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("input %s: %w: %w", Embedded, ErrUnreadable, err)
		}
		in.Files = append(in.Files, newFile(strings.TrimSuffix(e.Name(), ".txt"), data))
	}
	return in, ctx.Err()
}

func newFile(path string, data []byte) File {
	sum := sha256.Sum256(data)
	return File{Path: path, Data: data, SHA256: hex.EncodeToString(sum[:])}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
