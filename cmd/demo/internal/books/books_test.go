package books

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// honest does the work of a whole run on the sample, without agents. A foreign model's summaries are of its own making.
func honest(t *testing.T, modelName string) (Run, *source.Input, []Record) {
	t.Helper()
	in, err := source.Open(t.Context(), source.Embedded)
	require.NoError(t, err)
	run := NewRun(in, chaos.Plan{Seed: 3, Level: chaos.Mild}, modelName)
	var records []Record
	add := func(id string, status Status, result any) {
		r, err := NewRecord(id, status, result)
		require.NoError(t, err)
		records = append(records, r)
	}
	var files []*audit.File
	for _, f := range in.Files {
		files = append(files, audit.Parse(f.Path, f.Data))
	}
	glossary := audit.NewGlossary(files...)
	for _, f := range files {
		summary := audit.Summary{Path: f.Path(), Text: model.Answer(audit.Prompt(audit.Document(f)))}
		if modelName != EmbeddedModel {
			summary.Text = "Something <else> & new."
		}
		metrics := audit.Measure(f)
		add(task.SummarizeID(f.Path()), Done, summary)
		add(task.MetricsID(f.Path()), Done, metrics)
		add(task.ReviewID(f.Path()), Done, audit.Assess(summary, metrics, glossary.In(f)))
	}
	for _, id := range run.Planted.All() {
		result, _ := drillResult(id)
		add(id, Status(task.EndingOf(id)), result)
	}
	return run, in, records
}

// written is the results file of the records, read back after edit has had its way with the lines.
func written(t *testing.T, records []Record, edit func(lines []string) []string) ([]Record, error) {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, WriteResults(&file, records))
	lines := strings.SplitAfter(strings.TrimSuffix(file.String(), "\n"), "\n")
	lines[len(lines)-1] += "\n"
	return ReadResults(strings.NewReader(strings.Join(edit(lines), "")))
}

func TestHonestBooksHaveNoFindings(t *testing.T) {
	for _, name := range []string{EmbeddedModel, "gpt-x"} {
		run, in, records := honest(t, name)
		dir := filepath.Join(t.TempDir(), "new", "folder")
		slices.Reverse(records) // the order of the run is not the order of the books
		require.NoError(t, Write(dir, run, records))

		gotRun, got, faults, err := Read(dir)
		require.NoError(t, err)
		assert.Empty(t, faults)
		assert.Equal(t, run, gotRun)
		assert.Len(t, got, 3*6+len(run.Planted.All()))
		assert.Empty(t, Verify(gotRun, in, got))

		again := filepath.Join(t.TempDir(), "again")
		require.NoError(t, Write(again, run, got))
		for _, name := range []string{RunFile, ResultsFile} {
			one, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			two, err := os.ReadFile(filepath.Join(again, name))
			require.NoError(t, err)
			assert.Equal(t, string(one), string(two))
		}
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, left, 2, "no temporary files are left")
	}
}

func TestVerifyFindsWhatWasDoneToTheLines(t *testing.T) {
	run, in, records := honest(t, EmbeddedModel)
	at := func(lines []string, id string) int {
		return slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, `{"id":"`+id+`"`) })
	}
	replace := func(id, old, new string) func([]string) []string {
		return func(lines []string) []string {
			i := at(lines, id)
			edited := strings.Replace(lines[i], old, new, 1)
			require.NotEqual(t, lines[i], edited, "the edit must change something")
			lines[i] = edited
			return lines
		}
	}
	tests := []struct {
		name string
		edit func([]string) []string
		want []string
	}{
		{"a line is removed", func(lines []string) []string {
			i := at(lines, "metrics:label.go")
			return slices.Delete(lines, i, i+1)
		}, []string{"metrics:label.go: missing: the task has no record"}},
		{"a line is doubled", func(lines []string) []string {
			i := at(lines, "drill:breaker-1")
			return slices.Insert(lines, i, lines[i])
		}, []string{"drill:breaker-1: twice: the task has 2 records, lines 4 5"}},
		{"a figure is changed", replace("metrics:route.go", `"max":7`, `"max":5`),
			[]string{"metrics:route.go: figure: complexity.max is 5, recomputed 7"}},
		{"a figure is removed", replace("metrics:doc.go", `"code":1,`, ``),
			[]string{"metrics:doc.go: figure: lines.code is nothing, recomputed 1"}},
		{"a name is added", replace("metrics:doc.go", `"undocumented":[]`, `"undocumented":[{"name":"X","kind":"var","line":1}]`),
			[]string{`metrics:doc.go: figure: undocumented[0] is {"kind":"var","line":1,"name":"X"}, recomputed nothing`}},
		{"a grade is changed", replace("review:doc.go", `"grade":"A"`, `"grade":"B"`),
			[]string{`review:doc.go: figure: grade is "B", recomputed "A"`}},
		{"a summary is changed", replace("summarize:doc.go", `tracks`, `loses`), nil},
		{"another form of the same", replace("metrics:doc.go", `"max":0`, `"max": 0`),
			[]string{"metrics:doc.go: figure: the figures are right but written in another form"}},
		{"a key twice", replace("metrics:doc.go", `"max":0`, `"max":7,"max":0`),
			[]string{"metrics:doc.go: figure: the figures are right but written in another form"}},
		{"a drill's answer is changed", replace("drill:breaker-7", `through`, `around`), nil},
		{"poison is cured", replace("drill:poison-1", `"quarantined"`, `"done","result":1`),
			[]string{"drill:poison-1: status: the task is done, must be quarantined"}},
		{"a cancelled drill has a result", replace("drill:cancel-1", `"cancelled"`, `"done","result":{}`),
			[]string{"drill:cancel-1: status: the task is done, must be cancelled"}},
		{"an expired drill was cancelled", replace("drill:expire-2", `"expired"`, `"cancelled"`),
			[]string{"drill:expire-2: status: the task is cancelled, must be expired"}},
		{"a drill that hung is given up", replace("drill:hang-1", `"done"`, `"quarantined"`), nil},
		{"a running sum starts anew", replace("drill:sum-4", `"sum":10`, `"sum":4`),
			[]string{"drill:sum-4: figure: sum is 4, recomputed 10"}},
		{"a leaf is left out", replace("drill:trunk-1", `"sum":30`, `"sum":14`),
			[]string{"drill:trunk-1: figure: sum is 14, recomputed 30"}},
		{"a stalled answer is another", replace("drill:stall-1", `and the second time it is whole.`, `and`), nil},
		{"a subtask is removed", func(lines []string) []string {
			i := at(lines, "drill:leaf-3")
			return slices.Delete(lines, i, i+1)
		}, []string{"drill:leaf-3: missing: the task has no record"}},
		{"a refused task is recorded", func(lines []string) []string {
			i := at(lines, "drill:hang-1")
			return slices.Insert(lines, i, `{"id":"drill:full-3","type":"drill.full","status":"failed"}`+"\n")
		}, []string{"drill:full-3: unknown: line 22: the run had no such task"}},
		{"a task failed", replace("drill:breaker-2", `"done"`, `"failed"`), nil},
		{"a type is changed", replace("drill:poison-2", `"drill.poison"`, `"drill"`),
			[]string{`drill:poison-2: type: the type is "drill", must be "drill.poison"`}},
		{"a stranger", func(lines []string) []string {
			return append(lines, `{"id":"summarize:zzz.go","type":"summarize","status":"failed"}`+"\n")
		}, []string{"summarize:zzz.go: unknown: line 60: the run had no such task"}},
		{"two lines change places", func(lines []string) []string {
			lines[0], lines[1] = lines[1], lines[0]
			return lines
		}, []string{"drill:all-1: order: line 2 comes after drill:branch-1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			edited, err := written(t, records, tt.edit)
			if faults := (*FormatError)(nil); err != nil {
				require.ErrorAs(t, err, &faults)
			}
			findings := Verify(run, in, edited)
			require.NotEmpty(t, findings)
			assert.Equal(t, findings, Verify(run, in, edited), "twice the same")
			if tt.want == nil {
				assert.Len(t, findings, 1)
				return
			}
			var got []string
			for _, f := range findings {
				got = append(got, f.String())
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestManyFindingsAreSortedByID(t *testing.T) {
	run, in, _ := honest(t, EmbeddedModel)
	findings := Verify(run, in, nil)
	assert.Len(t, findings, len(run.Expected()))
	assert.True(t, slices.IsSortedFunc(findings, func(a, b Finding) int { return strings.Compare(a.ID, b.ID) }))
}

func TestAChangedInputIsSaidAndNothingElse(t *testing.T) {
	run, in, records := honest(t, EmbeddedModel)
	changed := *in
	changed.Files = slices.Clone(in.Files)
	changed.Files[1].SHA256 = strings.Repeat("0", 64)
	changed.Files[2].Path = "renamed.go"
	findings := Verify(run, &changed, records)
	require.Len(t, findings, 3)
	for i, id := range []string{"label.go", "parcel.go", "renamed.go"} {
		assert.Equal(t, id, findings[i].ID)
		assert.Equal(t, KindInput, findings[i].Kind)
	}
}

func TestAFileIsListedOnce(t *testing.T) {
	run, in, records := honest(t, EmbeddedModel)
	run.Files = append(slices.Clone(run.Files), run.Files[0])
	findings := Verify(run, in, records)
	require.Len(t, findings, 1)
	assert.Equal(t, run.Files[0].Path+": input: the run lists the file twice", findings[0].String())
}

func TestPlantedDrillsMustBeThoseOfTheSeed(t *testing.T) {
	run, in, records := honest(t, EmbeddedModel)
	run.Planted[task.Poison] = run.Planted[task.Poison][:1]
	run.Planted[task.Sum] = slices.Concat(run.Planted[task.Sum][1:], []string{"drill:sum-7"})
	kinds := map[Kind]int{}
	for _, f := range Verify(run, in, records) {
		kinds[f.Kind]++
		if f.Kind == KindPlan {
			assert.Equal(t, "plan: planted is not what seed 3 at level mild plants: poison has 1 tasks, must have 2; sum has other tasks", f.String())
		}
	}
	assert.Equal(t, map[Kind]int{KindPlan: 1, KindUnknown: 2, KindMissing: 1}, kinds)

	run, in, records = honest(t, EmbeddedModel)
	require.NotEmpty(t, run.Disturbed)
	for _, disturb := range []func(){
		func() { run.Seed = 4 },
		func() { run.Disturbed = run.Disturbed[1:] },
		func() { run.Disturbed[0].Panics = !run.Disturbed[0].Panics },
		func() {
			run.Disturbed = append(run.Disturbed, chaos.Event{Task: "review:doc.go", Attempt: 1, Panics: true})
		},
	} {
		run, in, records = honest(t, EmbeddedModel)
		disturb()
		findings := Verify(run, in, records)
		require.Len(t, findings, 1)
		assert.Equal(t, KindPlan, findings[0].Kind)
		assert.Contains(t, findings[0].Detail, fmt.Sprintf("disturbed is not what seed %d at level mild has in store", run.Seed))
	}

	run.Chaos = "loud"
	assert.Contains(t, fmt.Sprint(Verify(run, in, records)), `chaos level "loud" is unknown`)
}

func TestAForeignModelsSummaryMustBeThereAndQuoted(t *testing.T) {
	run, in, records := honest(t, "gpt-x")
	edited, err := written(t, records, func(lines []string) []string {
		for i, l := range lines {
			if strings.HasPrefix(l, `{"id":"summarize:doc.go"`) {
				lines[i] = `{"id":"summarize:doc.go","type":"summarize","status":"done","result":{"path":"doc.go","text":" "}}` + "\n"
			}
		}
		return lines
	})
	require.NoError(t, err)
	findings := Verify(run, in, edited)
	require.Len(t, findings, 2)
	assert.Equal(t, "review:doc.go", findings[0].ID)
	assert.Equal(t, "summarize:doc.go: figure: the summary is empty", findings[1].String())
}

func TestEveryBadLineIsListed(t *testing.T) {
	good := `{"id":"a","type":"t","status":"failed"}`
	file := strings.Join([]string{
		good, ``, `{`, `[]`, good + good, `{"id":"a","type":"t","status":"failed","more":1}`, `{"type":"t","status":"failed"}`,
		`{"id":"a","status":"failed"}`, `{"id":"a","type":"t","status":"fine"}`, `{"id":"a","type":"t","status":"done"}`,
		`{"id":"a","type":"t","status":"failed","result":1}`, `{"id":"` + strings.Repeat("x", maxLine) + `"}`, good,
	}, "\n")
	records, err := ReadResults(strings.NewReader(file))
	var faults *FormatError
	require.ErrorAs(t, err, &faults)
	assert.Len(t, records, 1)
	var lines []int
	for _, f := range faults.Faults {
		lines = append(lines, f.Line)
	}
	assert.Equal(t, []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, lines)
	assert.Contains(t, err.Error(), "line 12: has more than 4194304 bytes")
	assert.Contains(t, err.Error(), "line 13: ends without a newline")
	assert.Len(t, faults.findings(), 12)
}

func TestBooksThatCannotBeRead(t *testing.T) {
	run, _, records := honest(t, EmbeddedModel)
	dir := t.TempDir()
	require.NoError(t, Write(dir, run, records))
	tests := []struct{ name, run, want string }{
		{"another format", `{"format":1}`, "has format 1, this program reads format 2"},
		{"a stranger's field", `{"format":2,"extra":true}`, "unknown field"},
		{"two values", `{"format":2}{}`, "more than one JSON value"},
		{"nothing", ``, "empty"},
	}
	for _, tt := range tests {
		require.NoError(t, os.WriteFile(filepath.Join(dir, RunFile), []byte(tt.run), 0o644))
		_, _, _, err := Read(dir)
		require.ErrorContains(t, err, tt.want)
		require.ErrorContains(t, err, dir)
	}
	_, _, _, err := Read(t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, Write(dir, run, records))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ResultsFile), []byte("rubbish\n"), 0o644))
	_, got, faults, err := Read(dir)
	require.NoError(t, err)
	assert.Empty(t, got)
	assert.Len(t, faults, 1)

	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.Error(t, Write(filepath.Join(file, "below"), run, records))
}

func TestARecordKnowsItsType(t *testing.T) {
	r, err := NewRecord("drill:poison-1", Quarantined, "not kept")
	require.NoError(t, err)
	assert.Equal(t, Record{ID: "drill:poison-1", Type: task.Poison.Type(), Status: Quarantined}, r)
	_, err = NewRecord("who knows", Done, 1)
	require.Error(t, err)
	_, err = NewRecord("review:a.go", Done, func() {})
	require.Error(t, err)
}

func TestARunFindsItsInputAgain(t *testing.T) {
	assert.Equal(t, "goroot:net/http", Run{Input: "goroot:net/http", Dir: "/go/src/net/http"}.Reopen())
	assert.Equal(t, "/abs/p", Run{Input: "p", Dir: "/abs/p"}.Reopen())
	assert.Equal(t, "embedded", Run{Input: "embedded"}.Reopen())
}

func FuzzReadResults(f *testing.F) {
	f.Add([]byte(`{"id":"a","type":"t","status":"done","result":{"x":1}}` + "\n"))
	f.Add([]byte("\n\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := ReadResults(bytes.NewReader(data))
		lines := bytes.Count(data, []byte{'\n'})
		if len(data) > 0 && data[len(data)-1] != '\n' {
			lines++
		}
		faults := 0
		if e := (*FormatError)(nil); err != nil {
			require.ErrorAs(t, err, &e)
			faults = len(e.Faults)
		}
		require.Equal(t, lines, len(records)+faults, "every line is a record or a fault")
		for _, r := range records {
			require.True(t, r.Result == nil || json.Valid(r.Result))
			differences(r.Result, []byte(`{"x":[1,{"y":null}]}`))
		}
	})
}
