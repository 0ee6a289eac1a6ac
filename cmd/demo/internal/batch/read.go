package batch

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a file. Those of OpenAI's Batch API are the same, but that it has none for a line.
const (
	MaxItems = 50_000
	MaxBytes = 200 << 20
	MaxLine  = 4 << 20
	MaxID    = 512 // bytes
)

// Bounds of what an error spells out.
const (
	maxSpelled = 4
	maxText    = 120 // bytes of what is wrong with a line
)

// ErrFile is wrapped by every error that says that a file is no batch.
var ErrFile = errors.New("not a batch")

// LineFault is what is wrong with one line.
type LineFault struct {
	Line int // from 1
	Text string
}

// FormatError lists every line that is not what it should be.
type FormatError struct {
	Name   string
	Faults []LineFault // in the order of the lines
}

// Error has two lines: what is wrong, and where.
func (e *FormatError) Error() string {
	var text strings.Builder
	lines := "lines"
	if len(e.Faults) == 1 {
		lines = "line"
	}
	fmt.Fprintf(&text, "input %q: %v: %d faulty %s, and nothing was done\n", e.Name, ErrFile, len(e.Faults), lines)
	for i, f := range e.Faults {
		if i == maxSpelled {
			fmt.Fprintf(&text, "; and %d more", len(e.Faults)-i)
			break
		}
		if i > 0 {
			text.WriteString("; ")
		}
		fmt.Fprintf(&text, "line %d: %s", f.Line, f.Text)
	}
	return text.String()
}

func (e *FormatError) Unwrap() error { return ErrFile }

// Read reads and checks the file with that name. Its error is that of the file system or wraps ErrFile, names every faulty line, as a *FormatError, and has at most three lines.
func Read(name string) (*File, error) {
	info, err := os.Stat(name) // opening a pipe would wait for somebody to write to it
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("input %q: %w: not a regular file", name, ErrFile)
	}
	f, err := os.Open(name)
	if err != nil {
		if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, fmt.Errorf("input %q: %w", name, err)
	}
	defer f.Close()
	file, err := Parse(name, f)
	if err != nil {
		return nil, err
	}
	if file.Name, err = filepath.Abs(name); err != nil {
		return nil, fmt.Errorf("input %q: %w: %w", name, ErrFile, err)
	}
	return file, nil
}

// line is one that isn't blank.
type line struct {
	number int
	fields map[string]json.RawMessage
	fault  string
}

// Parse reads a file of that name from r. See Read.
func Parse(name string, r io.Reader) (*File, error) {
	sum := sha256.New()
	counted := &counter{r: io.TeeReader(io.LimitReader(r, MaxBytes+1), sum)}
	lines, err := split(bufio.NewReaderSize(counted, 64<<10))
	switch {
	case err != nil:
		return nil, fmt.Errorf("input %q: %w: %w", name, ErrFile, err)
	case counted.n > MaxBytes:
		return nil, fmt.Errorf("input %q: %w: more than %d bytes", name, ErrFile, MaxBytes)
	case len(lines) == 0:
		return nil, fmt.Errorf("input %q: %w: it has no lines\n%s", name, ErrFile, wanted)
	}
	f := &File{Name: name, SHA256: hex.EncodeToString(sum.Sum(nil)), Bytes: counted.n, Form: formOf(lines)}
	if f.Form == "" {
		return nil, &FormatError{name, []LineFault{{lines[0].number, either(lines[0].fault, wanted)}}}
	}
	var faults []LineFault
	seen := make(map[string]int, len(lines))
	for _, l := range lines {
		item, fault := Item{}, l.fault
		if fault == "" {
			item, fault = l.item(f.Form)
		}
		if first := seen[item.ID]; fault == "" && first > 0 {
			fault = fmt.Sprintf("the id %q is that of line %d", clip(item.ID), first)
		}
		if fault != "" {
			faults = append(faults, LineFault{l.number, clip(fault)})
			continue
		}
		seen[item.ID] = l.number
		f.Items = append(f.Items, item)
	}
	if len(faults) > 0 {
		return nil, &FormatError{name, faults}
	}
	return f, nil
}

// wanted says what a line has to be.
const wanted = `a line is {"id","type","input"}, or {"custom_id","method","url","body"}`

// split reads all lines but the blank ones.
func split(r *bufio.Reader) ([]line, error) {
	var lines []line
	for n := 1; ; n++ {
		text, tooLong, err := readLine(r)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if n == 1 {
			text = bytes.TrimPrefix(text, []byte("\ufeff"))
		}
		l := line{number: n}
		switch text = bytes.TrimSpace(text); {
		case tooLong:
			l.fault = fmt.Sprintf("has more than %d bytes", MaxLine)
		case len(text) == 0:
			if err == io.EOF {
				return lines, nil
			}
			continue
		default:
			l.fields, l.fault = object(text)
		}
		if len(lines) == MaxItems {
			return nil, fmt.Errorf("more than %d lines", MaxItems)
		}
		lines = append(lines, l)
		if err == io.EOF {
			return lines, nil
		}
	}
}

// readLine reads a line of any length but keeps at most MaxLine bytes of it.
func readLine(r *bufio.Reader) (text []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > MaxLine {
			tooLong = true
		} else {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, tooLong, err
		}
	}
}

// object reads a JSON object.
func object(text []byte) (fields map[string]json.RawMessage, fault string) {
	if !utf8.Valid(text) {
		return nil, "is not UTF-8"
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		if mistyped := (*json.UnmarshalTypeError)(nil); errors.As(err, &mistyped) {
			return nil, "is not a JSON object"
		}
		return nil, "is not JSON: " + err.Error()
	}
	if fields == nil {
		return nil, "is not a JSON object"
	}
	return fields, ""
}

// formOf tells from the first line that says what a file's form is. Empty is that none does.
func formOf(lines []line) Form {
	for _, l := range lines {
		if _, request := l.fields["custom_id"]; request {
			return Requests
		}
		if _, task := l.fields["id"]; task {
			return Tasks
		}
	}
	return ""
}

func (l line) item(form Form) (Item, string) {
	if form == Requests {
		return l.request()
	}
	return l.task()
}

// request reads a line of OpenAI's form.
func (l line) request() (Item, string) {
	item := Item{Line: l.number, Type: TypeRequest}
	var method string
	fault := l.only("custom_id", "method", "url", "body")
	fault = either(fault, l.text("custom_id", &item.ID))
	fault = either(fault, badID("custom_id", item.ID))
	fault = either(fault, l.text("method", &method))
	if fault == "" && method != "POST" {
		fault = fmt.Sprintf("method is %q, must be POST", clip(method))
	}
	fault = either(fault, l.text("url", &item.URL))
	if fault == "" && !slices.Contains(endpoints, item.URL) {
		fault = fmt.Sprintf("url is %q, must be one of %s", clip(item.URL), strings.Join(endpoints, ", "))
	}
	if fault != "" {
		return item, fault
	}
	item.Body = l.fields["body"]
	body, fault := object(item.Body)
	var stream bool
	switch {
	case fault != "":
		return item, "body " + fault
	case body["stream"] != nil && (json.Unmarshal(body["stream"], &stream) != nil || stream):
		return item, "body.stream must be false: nobody would see the stream"
	}
	return item, ""
}

// task reads a line of our own form.
func (l line) task() (Item, string) {
	item := Item{Line: l.number}
	fault := l.only("id", "type", "input")
	fault = either(fault, l.text("id", &item.ID))
	fault = either(fault, badID("id", item.ID))
	fault = either(fault, l.text("type", &item.Type))
	if fault != "" {
		return item, fault
	}
	input := line{}
	var plain string
	if raw := bytes.TrimSpace(l.fields["input"]); len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &plain); err != nil {
			return item, "input: " + err.Error()
		}
		name := "text"
		if item.Type == TypeChat {
			name = "prompt"
		}
		input.fields = map[string]json.RawMessage{name: raw}
	} else if input.fields, fault = object(raw); fault != "" {
		return item, "input is neither a string nor an object"
	}
	switch item.Type {
	case TypeChat:
		fault = either(input.only("prompt"), input.text("prompt", &item.Prompt))
	case TypeSummarize, TypeMetrics, TypeReview:
		fault = either(input.only("path", "text"), input.text("text", &item.Text))
		item.Path = item.ID
		if _, named := input.fields["path"]; named {
			fault = either(fault, input.text("path", &item.Path))
		}
	default:
		return item, fmt.Sprintf("type is %q, must be chat, summarize, metrics or review", clip(item.Type))
	}
	if fault != "" {
		return item, "input: " + fault
	}
	return item, ""
}

// text reads a field that has to be there and to say something.
func (l line) text(name string, into *string) string {
	raw, there := l.fields[name]
	switch {
	case !there:
		return "has no " + name
	case json.Unmarshal(raw, into) != nil || bytes.Equal(raw, []byte("null")):
		return name + " is not a string"
	case strings.TrimSpace(*into) == "":
		return name + " is empty"
	}
	return ""
}

// only wants no other fields than these.
func (l line) only(known ...string) string {
	for _, name := range slices.Sorted(maps.Keys(l.fields)) {
		if !slices.Contains(known, name) {
			return fmt.Sprintf("has the unknown field %q", clip(name))
		}
	}
	return ""
}

func badID(name, id string) string {
	if len(id) > MaxID {
		return fmt.Sprintf("%s has more than %d bytes", name, MaxID)
	}
	return ""
}

// either is the first fault of two.
func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// clip puts a text on one line of bounded length.
func clip(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
