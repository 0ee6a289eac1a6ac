package report

import (
	"encoding/xml"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
)

// rough is a run in which a lot happened.
func rough() Course {
	return Course{
		Began: time.Date(2031, 5, 4, 3, 2, 1, 0, time.UTC), Took: 2740 * time.Millisecond,
		Outcome: []string{"tasks      4 accepted: 4 done", "verdict    ok (seed 1, exit code 0)"},
		Tasks: []TaskCourse{
			{"review:a.go", "review", 1, "done"}, {"review:b.go", "review", 12, "done"}, {"metrics:a.go", "metrics", 1, "done"}, {"drill:poison-1", "drill.poison", 3, "quarantined"},
		},
		Recoveries: []Recovery{{"root/review/reviewer-1", "review", time.Second, 12 * time.Millisecond}, {"root/code/index", "code", 2 * time.Second, 40 * time.Microsecond}},
		Incidents: []Incident{
			{time.Second, "review", Failed, "root/review/reviewer-1 failed: child_terminated (crash): panic: planned"},
			{time.Second, "review", Group, "root/review/reviewer-1 group restart of 3"},
			{1500 * time.Millisecond, "review", Abandoned, "left"}, {1600 * time.Millisecond, "review", Escalated, "gave up"},
		},
		Outages: []Outage{{"drills/outage/drill-llm", "open", time.Second, 1400 * time.Millisecond}, {"drills/outage/drill-llm", "half-open", 1400 * time.Millisecond, 2740 * time.Millisecond}},
	}
}

func reportOfTheSample(t *testing.T) *Report {
	t.Helper()
	in, err := source.Open(t.Context(), source.Embedded)
	require.NoError(t, err)
	run, records := audited(t, in)
	r, err := New(run, records)
	require.NoError(t, err)
	return r
}

// elements parses a page and counts its elements; it fails if any isn't closed.
func elements(t *testing.T, page []byte) map[string]int {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(page)))
	d.Entity = xml.HTMLEntity
	counts := map[string]int{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			return counts
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok {
			counts[start.Name.Local]++
		}
	}
}

func TestTheHTMLPageIsTheMarkdownPageAndMore(t *testing.T) {
	r := reportOfTheSample(t)
	page := r.HTML(rough())
	counts := elements(t, page)
	assert.Equal(t, 6, counts["svg"], "timeline, recoveries, attempts, grades, complexity, length")
	assert.Equal(t, 1, counts["h1"])
	text := string(page)
	for _, line := range strings.Split(string(r.Markdown()), "\n") {
		if name, ok := strings.CutPrefix(line, "## "); ok {
			assert.Contains(t, text, "<h2>"+name+"</h2>")
		}
	}
	assert.Contains(t, text, "<code>Tariff.Price</code>")
	assert.Contains(t, text, ">8 and more</text>")
	assert.Contains(t, text, "<title>1 task of review with 8 attempts or more</title>", "the one with twelve")
	assert.Contains(t, text, "<title>1 task of drills with 3 attempts</title>", "whatever its drill is")
	assert.Contains(t, text, "drills/outage/drill-llm open from 1.000 s to 1.400 s")
}

// Whatever stands in a chart stands within it, and no two things in a legend look the same.
func TestChartsHoldWhatTheyShow(t *testing.T) {
	many := rough()
	for i, kind := range task.AllDrills {
		many.Tasks = append(many.Tasks, TaskCourse{ID: kind.ID(1), Type: kind.Type(), Attempts: i})
	}
	for i := range 9 {
		many.Tasks = append(many.Tasks, TaskCourse{ID: "x", Type: strings.Repeat("t", 10+i), Attempts: 1})
	}
	for _, c := range []Course{rough(), many} {
		page := string(reportOfTheSample(t).HTML(c))
		labels := regexp.MustCompile(`<text class="tick" text-anchor="start" x="([0-9.]+)"[^>]*>([^<]*)</text>`).FindAllStringSubmatch(page, -1)
		require.NotEmpty(t, labels)
		for _, l := range labels {
			x, err := strconv.ParseFloat(l[1], 64)
			require.NoError(t, err)
			assert.LessOrEqual(t, x+tickWidth*float64(utf8.RuneCountInString(l[2])), float64(chartWidth), l[2])
		}
	}
	attempts := regexp.MustCompile(`<rect class="(series-[0-9])"[^>]*/>`).FindAllStringSubmatch(string(reportOfTheSample(t).HTML(rough())), -1)
	var classes []string
	for _, a := range attempts {
		classes = append(classes, a[1])
	}
	assert.Equal(t, []string{"series-0", "series-1", "series-2"}, classes, "drills, metrics, review")
}

// What was broken into lines for a terminal is whole again, and a sentence is a row of its own.
func TestTheOutcomeIsWhole(t *testing.T) {
	c := Course{Outcome: []string{"tasks      4 accepted: 4 done,", "           0 failed; 0 lost", "verdict    tasks failed (seed 1, exit code 3)", "           tasks failed: 1"}}
	page := string(reportOfTheSample(t).HTML(c))
	assert.Contains(t, page, "<td>4 accepted: 4 done, 0 failed; 0 lost</td>")
	assert.Contains(t, page, "<td></td><td>tasks failed: 1</td>")
}

// All that differs between two runs with the same books is in the section that says so.
func TestOnlyOneSectionDependsOnTheCourse(t *testing.T) {
	r := reportOfTheSample(t)
	rest := func(page []byte) string {
		before, after, ok := strings.Cut(string(page), "<h2>How this run went</h2>")
		require.True(t, ok)
		_, after, ok = strings.Cut(after, "<h2>Summary</h2>")
		require.True(t, ok)
		return before + after
	}
	assert.Equal(t, rest(r.HTML(Course{})), rest(r.HTML(rough())))
	assert.NotEqual(t, r.HTML(Course{}), r.HTML(rough()))
	assert.Equal(t, r.HTML(rough()), r.HTML(rough()))
	elements(t, r.HTML(Course{}))
}

// The page needs no network: nothing in it is loaded from anywhere.
func TestTheHTMLPageIsSelfContained(t *testing.T) {
	text := string(reportOfTheSample(t).HTML(rough()))
	text = strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, "")
	assert.NotRegexp(t, regexp.MustCompile(`(?i)\b(src|href|srcset|action)\s*=|url\(|@import|<script|<link|https?://`), text)
}

func TestNamesAndTextsCannotBreakTheHTMLPage(t *testing.T) {
	nasty := "</title></svg><script>alert(1)</script>\x1b[31m\x00\"'&\xff`|"
	run := books.Run{Input: nasty, Model: nasty, Chaos: nasty, Files: []books.FileEntry{{Path: nasty, Bytes: 1}}}
	record := func(id string, v any) books.Record {
		r, err := books.NewRecord(id, books.Done, v)
		require.NoError(t, err)
		return r
	}
	fn := []audit.Func{{Name: nasty, Line: 1, Lines: 2, Complexity: 3}}
	r, err := New(run, []books.Record{
		record(task.SummarizeID(nasty), audit.Summary{Text: nasty}),
		record(task.MetricsID(nasty), audit.Metrics{Worst: fn, Longest: fn, Undocumented: []audit.Name{{Name: nasty, Kind: nasty}}, Fault: nasty}),
		record(task.ReviewID(nasty), audit.Review{Grade: "E", Findings: []string{nasty}}),
	})
	require.NoError(t, err)
	page := r.HTML(Course{
		Outcome: []string{nasty}, Tasks: []TaskCourse{{nasty, nasty, 2, nasty}}, Recoveries: []Recovery{{nasty, nasty, 1, 1}},
		Incidents: []Incident{{1, nasty, Failed, nasty}}, Outages: []Outage{{nasty, nasty, 1, 2}},
	})
	counts := elements(t, page)
	assert.Zero(t, counts["script"])
	assert.Equal(t, 6, counts["svg"])
	assert.NotContains(t, string(page), "\x1b")
}

func TestAxesEndAtRoundMarks(t *testing.T) {
	for least, want := range map[float64]float64{0.03: 0.05, 1: 1, 1.1: 2, 2.5: 5, 7: 10, 0: 0.01, -1: 0.01, math.NaN(): 0.01} {
		assert.InDelta(t, want, niceStep(least), 1e-12)
	}
	a := seconds(2740 * time.Millisecond)
	assert.Equal(t, 3.0, a.to)
	assert.Equal(t, "0.5 s", a.ticks[1].label)
	a = decades([]float64{0.004, 700, 1200})
	assert.Equal(t, []tick{{0.001, "0.001 ms"}, {0.01, "0.01 ms"}, {0.1, "0.1 ms"}, {1, "1 ms"}, {10, "10 ms"}, {100, "100 ms"}, {1000, "1 s"}, {10000, "10 s"}}, roundTicks(a.ticks))
	assert.Equal(t, 100.0, axis{from: 0, to: 0}.place(5, 100, 50), "an empty axis has everything at its start")
}

func roundTicks(ticks []tick) []tick {
	for i := range ticks {
		ticks[i].at = math.Round(ticks[i].at*1e6) / 1e6
	}
	return ticks
}

func TestLongLabelsAreCutInTheMiddle(t *testing.T) {
	assert.Equal(t, "abcdefghij", cut("abcdefghij", 10))
	assert.Equal(t, "abcd…ghijk", cut("abcdefghijk", 10))
	assert.Equal(t, 10, len([]rune(cut("ääääääääääääääää", 10))))
}
