// Package books keeps the books of a run: what it worked on (run.json) and what came of each task (results.jsonl).
//
// Nothing in them depends on scheduling: no attempts, no times, no names of agents. Two runs with the same seed on the
// same input leave the same bytes.
//
//	err := books.Write(dir, run, records)
//
//	run, records, faults, err := books.Read(dir)
//	findings := append(faults, books.Verify(run, input, records)...)   // empty: every figure stands
//
// [Verify] trusts nothing of the run. From the input's files alone it computes again what each task had to yield.
package books

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// Format is the version of both files.
const Format = 2

// Names of the files in a run's folder.
const (
	RunFile     = "run.json"
	ResultsFile = "results.jsonl"
)

// EmbeddedModel is the Model of a run that asked the server in the binary, whose answers can be computed again.
const EmbeddedModel = "embedded"

// Run says what a run worked on.
type Run struct {
	Format  int          `json:"format"`
	Input   string       `json:"input"`         // as the user named it
	Dir     string       `json:"dir,omitempty"` // where it was found, unless it is in the binary
	Seed    uint64       `json:"seed"`
	Chaos   string       `json:"chaos"`
	Model   string       `json:"model"` // EmbeddedModel, or the name of another
	Planted chaos.Drills `json:"planted"`
	Files   []FileEntry  `json:"files"` // sorted by path

	// Disturbed says what seed and level have in store for the tasks on the files, in the order of their ids.
	Disturbed []chaos.Event `json:"disturbed"`
}

// FileEntry is one file of the input as it was at the time of the run.
type FileEntry struct {
	Path   string `json:"path"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// NewRun describes a run of the plan on the input. model is EmbeddedModel or the name of the model that was asked.
func NewRun(in *source.Input, plan chaos.Plan, model string) Run {
	r := Run{
		Format: Format, Input: in.Name, Dir: in.Dir, Seed: plan.Seed, Chaos: plan.Level.String(), Model: model,
		Planted: plan.Drills(), Files: []FileEntry{},
	}
	for _, f := range in.Files {
		r.Files = append(r.Files, FileEntry{Path: f.Path, Bytes: len(f.Data), SHA256: f.SHA256})
	}
	r.Disturbed = plan.Events(task.ForFiles(r.Paths()))
	return r
}

// Reopen is the name under which source.Open finds the run's input again, from whatever folder.
func (r Run) Reopen() string {
	if r.Dir == "" || strings.HasPrefix(r.Input, source.Goroot) {
		return r.Input
	}
	return r.Dir
}

// Plan is the plan of the run.
func (r Run) Plan() (chaos.Plan, error) {
	level, err := chaos.ParseLevel(r.Chaos)
	return chaos.Plan{Seed: r.Seed, Level: level}, err
}

// Paths lists the input's files.
func (r Run) Paths() []string {
	paths := make([]string, len(r.Files))
	for i, f := range r.Files {
		paths[i] = f.Path
	}
	return paths
}

// Expected lists the ids of all tasks of the run, sorted.
func (r Run) Expected() []string {
	ids := append(task.ForFiles(r.Paths()), r.Planted.All()...)
	slices.Sort(ids)
	return ids
}

// Status is how a task ended.
type Status string

const (
	Done        Status = "done"
	Failed      Status = "failed"
	Quarantined Status = "quarantined"
	Cancelled   Status = "cancelled"
	Expired     Status = "expired"
)

var statuses = []Status{Done, Failed, Quarantined, Cancelled, Expired}

// Record is one line of results.jsonl.
type Record struct {
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Status Status          `json:"status"`
	Result json.RawMessage `json:"result,omitempty"` // only of a task that is done

	line int // where it was read, 0 if it was not
}

// NewRecord makes the record of the task with the given id. The result counts only if the task is done.
func NewRecord(id string, status Status, result any) (Record, error) {
	kind, known := task.TypeOf(id)
	if !known {
		return Record{}, fmt.Errorf("books: %q is no id of a task", id)
	}
	r := Record{ID: id, Type: kind, Status: status}
	if status != Done {
		return r, nil
	}
	data, err := json.Marshal(result)
	if err != nil {
		return Record{}, fmt.Errorf("books: result of %s: %w", id, err)
	}
	r.Result = data
	return r, nil
}
