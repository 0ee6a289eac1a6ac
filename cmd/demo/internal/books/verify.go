package books

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// Kind sorts findings.
type Kind string

const (
	KindInput   Kind = "input"   // the input changed since the run
	KindPlan    Kind = "plan"    // not what seed and level say
	KindFormat  Kind = "format"  // a line that is not a record
	KindOrder   Kind = "order"   // a line out of order
	KindMissing Kind = "missing" // a task without a line
	KindTwice   Kind = "twice"   // a task with several lines
	KindUnknown Kind = "unknown" // a line for a task that the run did not have
	KindType    Kind = "type"    // a task with another type than its id says
	KindStatus  Kind = "status"  // a task that ended otherwise than planned
	KindFigure  Kind = "figure"  // a result that another computation does not confirm
)

// Finding is one thing that is wrong with the books.
type Finding struct {
	ID     string // the task, or the file; empty for what concerns neither
	Kind   Kind
	Detail string

	line int
}

func (f Finding) String() string {
	if f.ID == "" {
		return fmt.Sprintf("%s: %s", f.Kind, f.Detail)
	}
	return fmt.Sprintf("%s: %s: %s", task.Subject(f.ID), f.Kind, f.Detail)
}

// Findings are all that is wrong, sorted by id, then line, kind and detail. None means that the books are right.
type Findings []Finding

func (fs Findings) sorted() Findings {
	slices.SortFunc(fs, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), cmp.Compare(a.line, b.line), cmp.Compare(a.Kind, b.Kind), strings.Compare(a.Detail, b.Detail))
	})
	return fs
}

// Verify checks a run's records against its input, which it computes everything from again:
//
//   - the input's files are those of the run, byte for byte; else it says which are not, and leaves the figures alone
//   - the planted drills, and what goes wrong with the tasks on the files, are those that seed and level demand
//   - every task has exactly one record of the right type, in order if they were read from a file; no other task has one
//   - every task ended as it is meant to: all are done, but for the drills that are to be quarantined, cancelled or expired
//   - every figure, review and drill's answer is as recomputed, and so is every summary of the embedded model; of
//     another model's summary only the form can be checked, and the review must quote it
//
// What Read found goes in front by way of append.
func Verify(run Run, in *source.Input, records []Record) Findings {
	v := verifier{run: run}
	changed := v.checkInput(in)
	v.checkPlan()
	v.checkLines(records)
	v.checkStatuses()
	if !changed {
		v.recompute(in)
	}
	return v.findings.sorted()
}

type verifier struct {
	run      Run
	findings Findings
	byID     map[string]Record // the first record of each expected task
}

func (v *verifier) find(id string, kind Kind, format string, args ...any) {
	v.findings = append(v.findings, Finding{ID: id, Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

func (v *verifier) checkInput(in *source.Input) (changed bool) {
	now := map[string]source.File{}
	for _, f := range in.Files {
		now[f.Path] = f
	}
	before, listed := len(v.findings), map[string]bool{}
	for _, f := range v.run.Files {
		switch file, there := now[f.Path]; {
		case listed[f.Path]:
			v.find(f.Path, KindInput, "the run lists the file twice")
		case !there:
			v.find(f.Path, KindInput, "the file is gone since the run")
		case file.SHA256 != f.SHA256 || len(file.Data) != f.Bytes:
			v.find(f.Path, KindInput, "the file changed since the run: sha256 %.12s… then, %.12s… now", f.SHA256, file.SHA256)
		}
		listed[f.Path] = true
		delete(now, f.Path)
	}
	for path := range now {
		v.find(path, KindInput, "the file is new since the run")
	}
	return len(v.findings) > before
}

func (v *verifier) checkPlan() {
	plan, err := v.run.Plan()
	if err != nil {
		v.find("", KindPlan, "%v", err)
		return
	}
	want, got := plan.Drills(), v.run.Planted
	kinds := maps.Clone(want)
	maps.Copy(kinds, got)
	var differ []string
	for _, d := range slices.Sorted(maps.Keys(kinds)) {
		switch {
		case len(got[d]) != len(want[d]):
			differ = append(differ, fmt.Sprintf("%s has %d tasks, must have %d", d, len(got[d]), len(want[d])))
		case !slices.Equal(got[d], want[d]):
			differ = append(differ, fmt.Sprintf("%s has other tasks", d))
		}
	}
	if len(differ) > 0 {
		v.find("", KindPlan, "planted is not what seed %d at level %s plants: %s", plan.Seed, plan.Level, strings.Join(differ, "; "))
	}
	v.checkDisturbed(plan)
}

func (v *verifier) checkDisturbed(plan chaos.Plan) {
	want, got := plan.Events(task.ForFiles(v.run.Paths())), v.run.Disturbed
	for i := range max(len(want), len(got)) {
		if i < len(want) && i < len(got) && want[i] == got[i] {
			continue
		}
		first := "nothing more"
		if i < len(want) {
			first = fmt.Sprintf("attempt %d of %s", want[i].Attempt, want[i].Task)
		}
		v.find("", KindPlan, "disturbed is not what seed %d at level %s has in store: %d attempts, must be %d; the first that differs must be %s",
			plan.Seed, plan.Level, len(got), len(want), first)
		return
	}
}

func (v *verifier) checkLines(records []Record) {
	expected := map[string]bool{}
	for _, id := range v.run.Expected() {
		expected[id] = true
	}
	v.byID = make(map[string]Record, len(expected))
	lines, last := map[string][]int{}, ""
	for i, r := range records {
		if r.line == 0 {
			r.line = i + 1 // not read from a file, which would have an order
		} else if r.ID < last {
			v.find(r.ID, KindOrder, "line %d comes after %s", r.line, last)
		}
		last = r.ID
		if !expected[r.ID] {
			v.find(r.ID, KindUnknown, "line %d: the run had no such task", r.line)
			continue
		}
		if lines[r.ID] = append(lines[r.ID], r.line); len(lines[r.ID]) == 1 {
			v.byID[r.ID] = r
		}
		if kind, _ := task.TypeOf(r.ID); r.Type != kind {
			v.find(r.ID, KindType, "the type is %q, must be %q", r.Type, kind)
		}
	}
	for id := range expected {
		switch n := len(lines[id]); {
		case n == 0:
			v.find(id, KindMissing, "the task has no record")
		case n > 1:
			v.find(id, KindTwice, "the task has %d records, lines %s", n, strings.Trim(fmt.Sprint(lines[id]), "[]"))
		}
	}
}

func (v *verifier) checkStatuses() {
	for id, r := range v.byID {
		if want := Status(task.EndingOf(id)); r.Status != want {
			v.find(id, KindStatus, "the task is %s, must be %s", r.Status, want)
		}
	}
}

// recompute does the run's work again and compares.
func (v *verifier) recompute(in *source.Input) {
	files := make([]*audit.File, len(in.Files))
	for i, f := range in.Files {
		files[i] = audit.Parse(f.Path, f.Data)
	}
	glossary := audit.NewGlossary(files...)
	for _, f := range files {
		metrics := audit.Measure(f)
		v.compare(task.MetricsID(f.Path()), metrics)
		if summary, ok := v.summary(f); ok {
			v.compare(task.ReviewID(f.Path()), audit.Assess(summary, metrics, glossary.In(f)))
		}
	}
	for _, id := range v.run.Planted.All() {
		if want, ok := drillResult(id); ok {
			v.compare(id, want)
		}
	}
}

// drillResult is what a drill task must have yielded, if it yields anything.
func drillResult(id string) (task.DrillResult, bool) {
	if d, _, _ := task.DrillOf(id); d.AsksModel() {
		return task.DrillResult{Answer: model.Answer(task.DrillPrompt(id))}, true
	}
	return task.ExpectedResult(id)
}

// summary is what the review had to be made from: recomputed if the model was ours, else as recorded.
func (v *verifier) summary(f *audit.File) (audit.Summary, bool) {
	id := task.SummarizeID(f.Path())
	if v.run.Model == EmbeddedModel {
		want := audit.Summary{Path: f.Path(), Text: model.Answer(audit.Prompt(audit.Document(f)))}
		v.compare(id, want)
		return want, true
	}
	r, there := v.byID[id]
	if !there || r.Status != Done {
		return audit.Summary{}, false
	}
	var got audit.Summary
	switch err := strict(r.Result, &got); {
	case err != nil:
		v.find(id, KindFigure, "the result is not a summary: %v", err)
		return audit.Summary{}, false
	case got.Path != f.Path():
		v.find(id, KindFigure, "path is %q, must be %q", got.Path, f.Path())
	case strings.TrimSpace(got.Text) == "":
		v.find(id, KindFigure, "the summary is empty")
	}
	return got, true
}

// compare checks the result of a task that is done against the one it must have.
func (v *verifier) compare(id string, want any) {
	r, there := v.byID[id]
	if !there || r.Status != Done {
		return // said already
	}
	data, err := json.Marshal(want)
	if err != nil {
		v.find(id, KindFigure, "cannot be recomputed: %v", err)
		return
	}
	if bytes.Equal(data, r.Result) {
		return
	}
	if changes := differences(r.Result, data); len(changes) > 0 {
		v.find(id, KindFigure, "%s", strings.Join(changes, "; "))
		return
	}
	v.find(id, KindFigure, "the figures are right but written in another form")
}
