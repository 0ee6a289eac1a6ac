package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxFaults bounds how many faults an error spells out; the rest are counted.
const maxFaults = 8

// read collects the Go files of root, which the user knows as place, with or without what lies in folders below it.
func read(ctx context.Context, root fs.FS, place string, below bool) ([]File, error) {
	var (
		files  []File
		faults []string
		total  int
	)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			faults = append(faults, fault(name, err))
			return nil
		case entry.IsDir():
			if name != "." && (!below || passedOver(entry.Name())) {
				return fs.SkipDir
			}
			return nil
		case !isSource(entry):
			return nil
		case len(files) == MaxFiles:
			return fmt.Errorf("%s: %w: more than %d Go files", place, ErrTooLarge, MaxFiles)
		}
		data, err := readFile(root, name)
		switch {
		case errors.Is(err, ErrTooLarge):
			return fmt.Errorf("%s: %w: %s has more than %d bytes", place, ErrTooLarge, name, MaxFileBytes)
		case err != nil:
			faults = append(faults, fault(name, err))
			return nil
		}
		if total += len(data); total > MaxBytes {
			return fmt.Errorf("%s: %w: its Go files have more than %d bytes together", place, ErrTooLarge, MaxBytes)
		}
		files = append(files, newFile(name, data))
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(faults) > 0:
		return nil, fmt.Errorf("%s: parts of it %w:\n%s", place, ErrUnreadable, joinFaults(faults))
	case len(files) == 0:
		return nil, fmt.Errorf("%s: %w in it (tests, vendor, testdata and hidden folders do not count)", place, ErrEmpty)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// readFile reads no more than one byte beyond the limit, whatever the file system says of the size.
func readFile(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxFileBytes {
		return nil, ErrTooLarge
	}
	return data, nil
}

func passedOver(dir string) bool {
	return dir == "vendor" || dir == "testdata" || isHidden(dir)
}

// isHidden tells names the go command passes over too.
func isHidden(name string) bool { return name[0] == '.' || name[0] == '_' }

func isSource(entry fs.DirEntry) bool {
	name := entry.Name()
	return entry.Type().IsRegular() && path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") && !isHidden(name)
}

// fault says what is wrong with name, without the path an *fs.PathError repeats.
func fault(name string, err error) string {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return name + ": " + strings.ReplaceAll(err.Error(), "\n", " ")
}

func joinFaults(faults []string) string {
	slices.Sort(faults)
	if rest := len(faults) - maxFaults; rest > 0 {
		faults = append(faults[:maxFaults:maxFaults], fmt.Sprintf("and %d more", rest))
	}
	return strings.Join(faults, "; ")
}
