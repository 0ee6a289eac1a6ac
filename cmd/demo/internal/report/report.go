// Package report turns a run's books into a Markdown page for a person to read. It takes nothing else, so the page can be
// made again from a run's folder, and the same books always make the same bytes.
//
//	page, err := report.New(run, records)
//	os.WriteFile("report.md", page.Markdown(), 0o644)
package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// Bounds of the tables. What does not fit is counted below the table.
const (
	MaxFunctions    = 10
	MaxUndocumented = 60
	MaxFiles        = 1_000
)

// Report is what the page shows. Make one with New.
type Report struct {
	run   books.Run
	files []file // sorted by path
}

// file is one file of the input with the results of its tasks, nil where a task was not done.
type file struct {
	path    string
	bytes   int
	summary *audit.Summary
	metrics *audit.Metrics
	review  *audit.Review
}

// New reads the results of the files' tasks; drills are left out. A task that is not done leaves a gap that the page
// shows. An error means that a result is not of its type.
func New(run books.Run, records []books.Record) (*Report, error) {
	byID := make(map[string]books.Record, len(records))
	for _, r := range records {
		byID[r.ID] = r
	}
	r := &Report{run: run}
	for _, entry := range run.Files {
		f := file{path: entry.Path, bytes: entry.Bytes}
		var err error
		if f.summary, err = result[audit.Summary](byID, task.SummarizeID(f.path)); err != nil {
			return nil, err
		}
		if f.metrics, err = result[audit.Metrics](byID, task.MetricsID(f.path)); err != nil {
			return nil, err
		}
		if f.review, err = result[audit.Review](byID, task.ReviewID(f.path)); err != nil {
			return nil, err
		}
		r.files = append(r.files, f)
	}
	slices.SortFunc(r.files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return r, nil
}

func result[T any](byID map[string]books.Record, id string) (*T, error) {
	r, ok := byID[id]
	if !ok || r.Status != books.Done {
		return nil, nil
	}
	var v T
	if err := json.Unmarshal(r.Result, &v); err != nil {
		return nil, fmt.Errorf("report: result of %s: %w", id, err)
	}
	return &v, nil
}

// Markdown is the page.
func (r *Report) Markdown() []byte {
	p := &page{}
	r.head(p)
	r.totals(p)
	r.grades(p)
	r.functions(p, "Most complex functions", "Cyclomatic complexity: 1, and 1 for each `if`, `for`, `range`, `case`, `&&` and `||`.",
		func(m *audit.Metrics) []audit.Func { return m.Worst }, func(f audit.Func) int { return f.Complexity })
	r.functions(p, "Longest functions", "Lines from `func` to the closing brace.",
		func(m *audit.Metrics) []audit.Func { return m.Longest }, func(f audit.Func) int { return f.Lines })
	r.undocumented(p)
	r.findings(p)
	r.perFile(p)
	return p.bytes()
}

func (r *Report) head(p *page) {
	p.printf("# Audit of %s\n\n", code(r.run.Input))
	p.printf("%s, summarised by %s. Seed %d, chaos %s.\n", plural(len(r.files), "file"), r.modelName(), r.run.Seed, r.run.Chaos)
	var gaps, faults []string
	for _, f := range r.files {
		if f.summary == nil || f.metrics == nil || f.review == nil {
			gaps = append(gaps, code(f.path))
		}
		if f.metrics != nil && f.metrics.Fault != "" {
			faults = append(faults, code(f.path))
		}
	}
	if len(gaps) > 0 {
		p.printf("\n**Not complete:** not all tasks were done for %s.\n", listed(gaps, MaxFunctions))
	}
	if len(faults) > 0 {
		p.printf("\n**Not valid Go:** %s.\n", listed(faults, MaxFunctions))
	}
}

func (r *Report) modelName() string {
	if r.run.Model == books.EmbeddedModel {
		return "the embedded extractive model"
	}
	return "the model " + code(r.run.Model)
}

func (r *Report) totals(p *page) {
	var bytes, functions, complexity, exported, undocumented int
	var lines audit.Lines
	for _, f := range r.files {
		bytes += f.bytes
		if m := f.metrics; m != nil {
			lines.Total += m.Lines.Total
			lines.Code += m.Lines.Code
			lines.Comment += m.Lines.Comment
			lines.Blank += m.Lines.Blank
			functions += m.Functions
			complexity += m.Complexity.Total
			exported += m.Exported
			undocumented += len(m.Undocumented)
		}
	}
	p.section("Summary")
	p.table("->", "", "")
	p.row("Files", number(len(r.files)))
	p.row("Bytes", number(bytes))
	p.row("Lines", number(lines.Total))
	p.row("… of code", number(lines.Code)+share(lines.Code, lines.Total))
	p.row("… of comment", number(lines.Comment)+share(lines.Comment, lines.Total))
	p.row("… blank", number(lines.Blank)+share(lines.Blank, lines.Total))
	p.row("Functions", number(functions))
	p.row("Mean complexity", ratio(complexity, functions))
	p.row("Exported names", number(exported))
	p.row("… undocumented", number(undocumented)+share(undocumented, exported))
}

func (r *Report) grades(p *page) {
	counts := map[string]int{}
	for _, f := range r.files {
		if f.review != nil {
			counts[f.review.Grade]++
		}
	}
	p.section("Grades")
	p.table(">>>>>", "A", "B", "C", "D", "E")
	p.row(number(counts["A"]), number(counts["B"]), number(counts["C"]), number(counts["D"]), number(counts["E"]))
}

// functions ranks functions of all files. Each file's list holds its own first audit.Top, so the first MaxFunctions are exact.
func (r *Report) functions(p *page, title, note string, list func(*audit.Metrics) []audit.Func, figure func(audit.Func) int) {
	type ranked struct {
		audit.Func
		path string
	}
	var all []ranked
	for _, f := range r.files {
		if f.metrics != nil {
			for _, fn := range list(f.metrics) {
				all = append(all, ranked{fn, f.path})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(figure(b.Func), figure(a.Func)), strings.Compare(a.path, b.path), cmp.Compare(a.Line, b.Line))
	})
	p.section(title)
	if len(all) == 0 {
		p.printf("None.\n")
		return
	}
	p.printf("%s\n\n", note)
	p.table("-->>", "Function", "Where", "Complexity", "Lines")
	for _, fn := range all[:min(len(all), MaxFunctions)] {
		p.row(code(fn.Name), code(fmt.Sprintf("%s:%d", fn.path, fn.Line)), number(fn.Complexity), number(fn.Lines))
	}
}

func (r *Report) undocumented(p *page) {
	p.section("Undocumented exports")
	total, shown := 0, 0
	for _, f := range r.files {
		if f.metrics != nil {
			total += len(f.metrics.Undocumented)
		}
	}
	if total == 0 {
		p.printf("None.\n")
		return
	}
	p.table("---", "Name", "Kind", "Where")
	for _, f := range r.files {
		if f.metrics == nil {
			continue
		}
		for _, n := range f.metrics.Undocumented {
			if shown == MaxUndocumented {
				p.printf("\nand %s more.\n", number(total-shown))
				return
			}
			shown++
			p.row(code(n.Name), n.Kind, code(fmt.Sprintf("%s:%d", f.path, n.Line)))
		}
	}
}

// findings spells out the reviews of the files that did worst.
func (r *Report) findings(p *page) {
	worst := slices.DeleteFunc(slices.Clone(r.files), func(f file) bool { return f.review == nil || f.review.Grade < "D" })
	slices.SortStableFunc(worst, func(a, b file) int {
		return cmp.Or(strings.Compare(b.review.Grade, a.review.Grade), cmp.Compare(b.review.Points, a.review.Points))
	})
	if len(worst) == 0 {
		return
	}
	p.section("Where to look first")
	for i, f := range worst {
		if i == MaxFunctions {
			p.printf("- and %s more graded D or E.\n", number(len(worst)-i))
			return
		}
		p.printf("- %s (%s): %s.\n", code(f.path), f.review.Grade, plain(strings.Join(f.review.Findings, "; ")))
	}
}

func (r *Report) perFile(p *page) {
	p.section("Files")
	p.table("-->>>>-", "File", "Grade", "Lines", "Functions", "Worst", "Undocumented", "What it is for")
	for i, f := range r.files {
		if i == MaxFiles {
			p.printf("\nand %s more.\n", number(len(r.files)-i))
			return
		}
		grade, lines, functions, worst, undocumented, summary := "–", "–", "–", "–", "–", "*no summary*"
		if m := f.metrics; m != nil {
			lines, functions = number(m.Lines.Total), number(m.Functions)
			worst, undocumented = number(m.Complexity.Max), number(len(m.Undocumented))
		}
		if f.summary != nil {
			summary = plain(oneLine(f.summary.Text))
		}
		if f.review != nil {
			grade = f.review.Grade
		}
		p.row(code(f.path), grade, lines, functions, worst, undocumented, summary)
	}
}
