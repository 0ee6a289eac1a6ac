package books

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of what is read.
const (
	maxFile    = 64 << 20 // of one JSON value
	maxLine    = 4 << 20
	maxRecords = 1_000_000
)

// Write puts both files into dir, which it makes if need be, the records sorted by id. Each file is written under another
// name and then renamed, so that a reader sees it whole or not at all.
func Write(dir string, run Run, records []Record) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("books: %w", err)
	}
	head, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return fmt.Errorf("books: %s: %w", RunFile, err)
	}
	var lines bytes.Buffer
	if err := WriteResults(&lines, records); err != nil {
		return err
	}
	return errors.Join(
		WriteFile(filepath.Join(dir, RunFile), append(head, '\n')),
		WriteFile(filepath.Join(dir, ResultsFile), lines.Bytes()),
	)
}

// WriteResults writes one line for each record, sorted by id.
func WriteResults(w io.Writer, records []Record) error {
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	for _, r := range sorted {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("books: %s: %w", r.ID, err)
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("books: %w", err)
		}
	}
	return nil
}

// WriteFile replaces a file in one step: other programs see the old text or the new, never a part.
func WriteFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("books: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("books: %w", err)
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// Read reads both files of a run. What is wrong with single lines of the results comes back as findings, next to the
// records that can be read; the error is for books that cannot be read at all.
func Read(dir string) (Run, []Record, Findings, error) {
	run, err := readRun(filepath.Join(dir, RunFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Run{}, nil, nil, fmt.Errorf("%s is not the folder of a run: %w", dir, err)
	}
	if err != nil {
		return Run{}, nil, nil, fmt.Errorf("books in %s: %w", dir, err)
	}
	f, err := os.Open(filepath.Join(dir, ResultsFile))
	if err != nil {
		return Run{}, nil, nil, fmt.Errorf("books in %s: %w", dir, err)
	}
	defer f.Close()
	records, err := ReadResults(f)
	if faults := (*FormatError)(nil); errors.As(err, &faults) {
		return run, records, faults.findings(), nil
	} else if err != nil {
		return Run{}, nil, nil, fmt.Errorf("books in %s: %w", dir, err)
	}
	return run, records, nil, nil
}

func readRun(path string) (Run, error) {
	var run Run
	if err := ReadJSON(path, &run); err != nil {
		return Run{}, err
	}
	if run.Format != Format {
		return Run{}, fmt.Errorf("%s has format %d, this program reads format %d", RunFile, run.Format, Format)
	}
	return run, nil
}

// ReadJSON reads a file that is one JSON value, strictly: it has no fields but the known ones, and nothing comes after it.
func ReadJSON(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := filepath.Base(path)
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxFile:
		return fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	if err := strict(data, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// LineFault is what is wrong with one line of the results.
type LineFault struct {
	Line int // from 1
	Text string
}

// FormatError lists every line of the results that is not a record.
type FormatError struct {
	Faults []LineFault // in the order of the lines
}

// maxSpelled bounds how many faults a FormatError spells out.
const maxSpelled = 20

func (e *FormatError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %d bad lines", ResultsFile, len(e.Faults))
	for i, f := range e.Faults {
		if i == maxSpelled {
			fmt.Fprintf(&text, "\nand %d more", len(e.Faults)-i)
			break
		}
		fmt.Fprintf(&text, "\nline %d: %s", f.Line, f.Text)
	}
	return text.String()
}

func (e *FormatError) findings() Findings {
	var all Findings
	for _, f := range e.Faults {
		all = append(all, Finding{Kind: KindFormat, Detail: fmt.Sprintf("line %d: %s", f.Line, f.Text), line: f.Line})
	}
	return all
}

// ReadResults reads results.jsonl strictly: one JSON object a line with the known fields and no others, each line ended by
// a newline. It returns the records it could read, in their order, and a *FormatError that lists every line it could not.
// It judges lines alone: what is missing, doubled or out of order is for Verify to find.
func ReadResults(r io.Reader) ([]Record, error) {
	var (
		records []Record
		faults  []LineFault
		lines   = bufio.NewReader(r)
	)
	for n := 1; ; n++ {
		line, tooLong, err := readLine(lines)
		if err == io.EOF && len(line) == 0 && !tooLong {
			break
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("%s: line %d: %w", ResultsFile, n, err)
		}
		if n > maxRecords {
			return nil, fmt.Errorf("%s has more than %d lines", ResultsFile, maxRecords)
		}
		record, fault := parseRecord(line)
		switch {
		case tooLong:
			fault = fmt.Sprintf("has more than %d bytes", maxLine)
		case err == io.EOF && fault == "":
			fault = "ends without a newline"
		}
		if fault != "" {
			faults = append(faults, LineFault{n, fault})
			continue
		}
		record.line = n
		records = append(records, record)
	}
	if len(faults) > 0 {
		return records, &FormatError{faults}
	}
	return records, nil
}

// readLine reads a line of any length but keeps at most maxLine bytes of it.
func readLine(r *bufio.Reader) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			tooLong = true
		} else {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte{'\n'}), tooLong, err
		}
	}
}

func parseRecord(line []byte) (Record, string) {
	var r Record
	if err := strict(line, &r); err != nil {
		return Record{}, "not a record: " + err.Error()
	}
	switch {
	case r.ID == "":
		return Record{}, "has no id"
	case r.Type == "":
		return Record{}, "has no type"
	case !slices.Contains(statuses, r.Status):
		return Record{}, fmt.Sprintf("has the unknown status %q", r.Status)
	case r.Status == Done && len(r.Result) == 0:
		return Record{}, "is done and has no result"
	case r.Status != Done && len(r.Result) > 0:
		return Record{}, fmt.Sprintf("is %s and has a result", r.Status)
	}
	return r, ""
}

// strict decodes one JSON value, and wants no unknown fields and nothing after it.
func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("empty")
		}
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}
