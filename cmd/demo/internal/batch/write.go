package batch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
)

// Format is the version of a batch's folder.
const Format = 1

// Names of the files in a batch's folder.
const (
	RunFile    = "batch.json"
	OutputFile = "output.jsonl" // what was answered
	ErrorsFile = "errors.jsonl" // what wasn't; there is none if everything was
	StoreFile  = "batch.db"     // unless another is named
)

// Run says what a run worked on.
type Run struct {
	Format int    `json:"format"`
	Input  string `json:"input"` // absolute path
	SHA256 string `json:"sha256"`
	Form   Form   `json:"form"`
	Items  int    `json:"items"`
	Seed   uint64 `json:"seed"`
	Chaos  string `json:"chaos"`
	Model  string `json:"model"`         // books.EmbeddedModel, the name of another, or empty: each request names its own
	LLM    string `json:"llm,omitempty"` // where the model is, unless it is the embedded one
}

// Embedded reports whether the answers can be computed again.
func (r Run) Embedded() bool { return r.Model == books.EmbeddedModel && r.LLM == "" }

// requestLine is a line of OpenAI's output and error files.
type requestLine struct {
	ID       string `json:"id"`
	CustomID string `json:"custom_id"`
	Response *Reply `json:"response"`
	Error    *Fault `json:"error"`
}

// taskLine is a line on a task.
type taskLine struct {
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Status string          `json:"status"` // done or failed
	Result json.RawMessage `json:"result"`
	Error  *Fault          `json:"error"`
}

// Status of a task.
const (
	StatusDone   = "done"
	StatusFailed = "failed"
)

// encode writes what came of an item as one line.
func encode(f *File, item Item, o Outcome) ([]byte, error) {
	var v any
	if item.Type == TypeRequest {
		v = requestLine{ID: identity("batch_req_", f.SHA256, item.ID), CustomID: item.ID, Response: o.Reply, Error: o.Fault}
	} else {
		l := taskLine{ID: item.ID, Type: item.Type, Status: StatusDone, Result: o.Result, Error: o.Fault}
		if o.Fault != nil {
			l.Status = StatusFailed
		}
		v = l
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("batch: %s: %w", item.ID, err)
	}
	return append(data, '\n'), nil
}

// Write puts what came of the items into dir, each file in one step: a reader sees it whole or not at all. Items without an outcome get no line.
func Write(dir string, run Run, f *File, outcomes map[string]Outcome) error {
	var output, faulty bytes.Buffer
	for _, item := range f.Items {
		o, there := outcomes[item.ID]
		if !there {
			continue
		}
		line, err := encode(f, item, o)
		if err != nil {
			return err
		}
		if o.OK() {
			output.Write(line)
		} else {
			faulty.Write(line)
		}
	}
	head, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return fmt.Errorf("batch: %s: %w", RunFile, err)
	}
	return errors.Join(
		writeErrors(filepath.Join(dir, ErrorsFile), faulty.Bytes()),
		books.WriteFile(filepath.Join(dir, OutputFile), output.Bytes()),
		books.WriteFile(filepath.Join(dir, RunFile), append(head, '\n')))
}

// writeErrors writes the file of errors, or takes away that of an earlier run.
func writeErrors(path string, lines []byte) error {
	if len(lines) > 0 {
		return books.WriteFile(path, lines)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("batch: %w", err)
	}
	return nil
}
