// Package report turns a run's books into a page for a person to read. As Markdown it takes nothing else, so the page can be
// made again from a run's folder, and the same books always make the same bytes. As HTML it is the same page with drawings, and with one
// section more: how this run went, which is different each time.
//
//	page, err := report.New(run, records)
//	os.WriteFile("report.md", page.Markdown(), 0o644)
//	os.WriteFile("report.html", page.HTML(course), 0o644)
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

// Markdown is the page, made of nothing but the books.
func (r *Report) Markdown() []byte { return markdown(r.document()) }

// document is what the books say.
func (r *Report) document() document {
	d := r.head()
	d = append(d, r.totals()...)
	d = append(d, r.grades()...)
	d = append(d, r.complex()...)
	d = append(d, r.longest()...)
	d = append(d, r.undocumented()...)
	d = append(d, r.findings()...)
	return append(d, r.perFile()...)
}

func (r *Report) head() document {
	d := document{
		title(join(words("Audit of "), verbatim(r.run.Input))),
		paragraph(join(words(plural(len(r.files), "file")+", summarised by "), r.modelName(), words(fmt.Sprintf(". Seed %d, chaos ", r.run.Seed)), plain(r.run.Chaos), words("."))),
	}
	var gaps, faults []text
	for _, f := range r.files {
		if f.summary == nil || f.metrics == nil || f.review == nil {
			gaps = append(gaps, verbatim(f.path))
		}
		if f.metrics != nil && f.metrics.Fault != "" {
			faults = append(faults, verbatim(f.path))
		}
	}
	if len(gaps) > 0 {
		d = append(d, paragraph(join(text{{strong, "Not complete:"}}, words(" not all tasks were done for "), listed(gaps, MaxFunctions), words("."))))
	}
	if len(faults) > 0 {
		d = append(d, paragraph(join(text{{strong, "Not valid Go:"}}, words(" "), listed(faults, MaxFunctions), words("."))))
	}
	return d
}

func (r *Report) modelName() text {
	if r.run.Model == books.EmbeddedModel {
		return words("the embedded extractive model")
	}
	return join(words("the model "), verbatim(r.run.Model))
}

func (r *Report) totals() document {
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
	t := table{align: "->", head: []string{"", ""}}
	row := func(name, figure string) { t.rows = append(t.rows, []text{words(name), words(figure)}) }
	row("Files", number(len(r.files)))
	row("Bytes", number(bytes))
	row("Lines", number(lines.Total))
	row("… of code", number(lines.Code)+share(lines.Code, lines.Total))
	row("… of comment", number(lines.Comment)+share(lines.Comment, lines.Total))
	row("… blank", number(lines.Blank)+share(lines.Blank, lines.Total))
	row("Functions", number(functions))
	row("Mean complexity", ratio(complexity, functions))
	row("Exported names", number(exported))
	row("… undocumented", number(undocumented)+share(undocumented, exported))
	return document{section("Summary"), t}
}

// gradeNames are the grades of a review, best first.
var gradeNames = []string{"A", "B", "C", "D", "E"}

func (r *Report) grades() document {
	counts := map[string]int{}
	for _, f := range r.files {
		if f.review != nil {
			counts[f.review.Grade]++
		}
	}
	t := table{align: ">>>>>", head: gradeNames, rows: [][]text{{}}}
	var columns []column
	for _, g := range gradeNames {
		t.rows[0] = append(t.rows[0], words(number(counts[g])))
		columns = append(columns, column{label: g, parts: []part{{counts[g], "grade-" + g, plural(counts[g], "file") + " graded " + g}}})
	}
	return document{section("Grades"), figure(drawColumns("Files by grade", "files", columns, nil)), t}
}

// ranked is a function of some file.
type ranked struct {
	audit.Func
	path string
}

func (f ranked) where() string { return fmt.Sprintf("%s:%d", f.path, f.Line) }

func (r *Report) complex() document {
	all := r.rank(func(m *audit.Metrics) []audit.Func { return m.Worst }, func(f audit.Func) int { return f.Complexity })
	note := join(words("Cyclomatic complexity: 1, and 1 for each "), verbatim("if"), words(", "), verbatim("for"), words(", "), verbatim("range"), words(", "),
		verbatim("case"), words(", "), verbatim("&&"), words(" and "), verbatim("||"), words("."))
	return r.functions("Most complex functions", note, all, func(f ranked) int { return f.Complexity }, "complexity")
}

func (r *Report) longest() document {
	all := r.rank(func(m *audit.Metrics) []audit.Func { return m.Longest }, func(f audit.Func) int { return f.Lines })
	note := join(words("Lines from "), verbatim("func"), words(" to the closing brace."))
	return r.functions("Longest functions", note, all, func(f ranked) int { return f.Lines }, "lines")
}

// rank sorts functions of all files. Each file's list holds its own first audit.Top, so the first MaxFunctions are exact.
func (r *Report) rank(list func(*audit.Metrics) []audit.Func, figure func(audit.Func) int) []ranked {
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
	return all[:min(len(all), MaxFunctions)]
}

func (r *Report) functions(name string, note text, all []ranked, size func(ranked) int, unit string) document {
	if len(all) == 0 {
		return document{section(name), paragraph(words("None."))}
	}
	t := table{align: "-->>", head: []string{"Function", "Where", "Complexity", "Lines"}}
	var bars []bar
	for _, fn := range all {
		t.rows = append(t.rows, []text{verbatim(fn.Name), verbatim(fn.where()), words(number(fn.Complexity)), words(number(fn.Lines))})
		bars = append(bars, bar{fn.Name, size(fn), fn.where()})
	}
	return document{section(name), figure(drawBars(name, unit, bars)), paragraph(note), t}
}

func (r *Report) undocumented() document {
	t := table{align: "---", head: []string{"Name", "Kind", "Where"}}
	left := 0
	for _, f := range r.files {
		if f.metrics == nil {
			continue
		}
		for _, n := range f.metrics.Undocumented {
			if len(t.rows) == MaxUndocumented {
				left++
				continue
			}
			t.rows = append(t.rows, []text{verbatim(n.Name), plain(n.Kind), verbatim(fmt.Sprintf("%s:%d", f.path, n.Line))})
		}
	}
	if len(t.rows) == 0 {
		return document{section("Undocumented exports"), paragraph(words("None."))}
	}
	if left > 0 {
		t.rest = "and " + number(left) + " more."
	}
	return document{section("Undocumented exports"), t}
}

// findings spells out the reviews of the files that did worst.
func (r *Report) findings() document {
	worst := slices.DeleteFunc(slices.Clone(r.files), func(f file) bool { return f.review == nil || f.review.Grade < "D" })
	slices.SortStableFunc(worst, func(a, b file) int {
		return cmp.Or(strings.Compare(b.review.Grade, a.review.Grade), cmp.Compare(b.review.Points, a.review.Points))
	})
	if len(worst) == 0 {
		return nil
	}
	var items list
	for i, f := range worst {
		if i == MaxFunctions {
			items = append(items, words("and "+number(len(worst)-i)+" more graded D or E."))
			break
		}
		items = append(items, join(verbatim(f.path), words(" ("), plain(f.review.Grade), words("): "), plain(strings.Join(f.review.Findings, "; ")), words(".")))
	}
	return document{section("Where to look first"), items}
}

func (r *Report) perFile() document {
	t := table{align: "-->>>>-", head: []string{"File", "Grade", "Lines", "Functions", "Worst", "Undocumented", "What it is for"}}
	for i, f := range r.files {
		if i == MaxFiles {
			t.rest = "and " + number(len(r.files)-i) + " more."
			break
		}
		grade, lines, functions, worst, undocumented, summary := "–", "–", "–", "–", "–", text{{emphasis, "no summary"}}
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
		t.rows = append(t.rows, []text{verbatim(f.path), plain(grade), words(lines), words(functions), words(worst), words(undocumented), summary})
	}
	return document{section("Files"), t}
}
