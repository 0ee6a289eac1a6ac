package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"slices"
	"strings"
	"time"
)

//go:embed page.css
var style string

// HTML is the page as one file that needs nothing else, with drawings, and with one section that the Markdown hasn't: how this run went. That section
// alone differs between runs with the same seed, and says so.
func (r *Report) HTML(c Course) []byte {
	d := r.document()
	head := 0
	for head < len(d) {
		if _, ok := d[head].(section); ok {
			break
		}
		head++
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"+
		"<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>%s</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", html.EscapeString("Audit of "+clean(r.run.Input)), style)
	writeHTML(&b, d[:head])
	writeHTML(&b, c.document())
	writeHTML(&b, d[head:])
	b.WriteString("</main>\n</body>\n</html>\n")
	return b.Bytes()
}

func writeHTML(b *bytes.Buffer, d document) {
	for _, block := range d {
		switch block := block.(type) {
		case title:
			fmt.Fprintf(b, "<h1>%s</h1>\n", text(block).html())
		case section:
			fmt.Fprintf(b, "<h2>%s</h2>\n", html.EscapeString(string(block)))
		case paragraph:
			fmt.Fprintf(b, "<p>%s</p>\n", text(block).html())
		case figure:
			fmt.Fprintf(b, "<figure>%s</figure>\n", string(block))
		case list:
			b.WriteString("<ul>\n")
			for _, item := range block {
				fmt.Fprintf(b, "<li>%s</li>\n", item.html())
			}
			b.WriteString("</ul>\n")
		case table:
			block.html(b)
		}
	}
}

func (t table) html(b *bytes.Buffer) {
	class := func(i int) string {
		if t.align[i] == '>' {
			return ` class="figure"`
		}
		return ""
	}
	if !slices.ContainsFunc(t.head, func(h string) bool { return h != "" }) {
		b.WriteString("<div class=\"table\"><table class=\"pairs\">\n")
	} else {
		b.WriteString("<div class=\"table\"><table>\n<thead><tr>")
		for i, h := range t.head {
			fmt.Fprintf(b, "<th%s>%s</th>", class(i), html.EscapeString(h))
		}
		b.WriteString("</tr></thead>\n")
	}
	b.WriteString("<tbody>\n")
	for _, row := range t.rows {
		b.WriteString("<tr>")
		for i, cell := range row {
			fmt.Fprintf(b, "<td%s>%s</td>", class(i), cell.html())
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</tbody></table></div>\n")
	if t.rest != "" {
		fmt.Fprintf(b, "<p>%s</p>\n", html.EscapeString(t.rest))
	}
}

func (t text) html() string {
	tags := map[spanKind]string{code: "code", strong: "strong", emphasis: "em"}
	var b strings.Builder
	for _, s := range t {
		inner := s.text
		if s.kind != ours {
			inner = clean(inner)
		}
		inner = html.EscapeString(inner)
		if tag, ok := tags[s.kind]; ok {
			inner = "<" + tag + ">" + inner + "</" + tag + ">"
		}
		b.WriteString(inner)
	}
	return b.String()
}

// maxHardest is how many of the tasks that took the most attempts are named.
const maxHardest = 10

// document is what depends on how the run went.
func (c Course) document() document {
	d := document{section("How this run went"),
		paragraph(text{{emphasis, "This section, and nothing else on the page, depends on the scheduler: another run with the same seed has other times here, and the same results below. It is not in report.md."}})}
	if len(c.Outcome) > 0 {
		t := table{align: "--", head: []string{"", ""}}
		for _, row := range c.outcome() {
			t.rows = append(t.rows, []text{plain(row[0]), plain(row[1])})
		}
		d = append(d, t)
	}
	d = append(d, paragraph(words(fmt.Sprintf("Began %s, took %s.", c.Began.Format("2 January 2006, 15:04:05 MST"), c.Took.Round(10*time.Millisecond)))))
	d = append(d, section("Failure timeline"), figure(c.drawTimeline()))
	if c.Missed > 0 {
		d = append(d, paragraph(words(number(c.Missed)+" more are not drawn.")))
	}
	d = append(d, section("Recovery times"))
	if len(c.Recoveries) == 0 {
		d = append(d, paragraph(words("Nothing had to recover.")))
	} else {
		d = append(d, figure(c.drawRecoveries()), paragraph(words("From a node's failure until it, or the one that took its place, was up again: backoff, and the group's stop and start, included.")))
	}
	d = append(d, section("Attempts"), figure(c.drawAttempts()),
		paragraph(words("An attempt is a lease given to an agent. Those that the task isn't to blame for, such as a group restart or an open breaker, count too.")))
	if hardest := c.hardest(maxHardest); len(hardest) > 0 {
		t := table{align: "->-", head: []string{"Task", "Attempts", "Ended"}}
		for _, task := range hardest {
			t.rows = append(t.rows, []text{verbatim(task.ID), words(number(task.Attempts)), plain(task.State)})
		}
		d = append(d, t)
	}
	return d
}

func (c Course) drawTimeline() string {
	var lanes []string
	add := func(l string) string {
		if !slices.Contains(lanes, l) {
			lanes = append(lanes, l)
		}
		return l
	}
	var (
		samples []sample
		bands   []band
		used    [len(severities)]bool
		outages = map[string]bool{}
	)
	for _, o := range c.Outages {
		class := "outage-open"
		if o.State != "open" {
			class = "outage-half"
		}
		outages[class] = true
		bands = append(bands, band{add(o.Breaker), o.From.Seconds(), o.To.Seconds(), class,
			fmt.Sprintf("%s %s from %s to %s", o.Breaker, o.State, stamp(o.From), stamp(o.To))})
	}
	for _, i := range c.Incidents {
		used[i.Severity] = true
		samples = append(samples, sample{add(i.Lane), i.At.Seconds(), "mark-" + severities[i.Severity].class, stamp(i.At) + " " + i.Text})
	}
	slices.Sort(lanes)
	if len(lanes) == 0 {
		lanes = []string{"nothing failed"}
	}
	var legend [][2]string
	for s, is := range used {
		if is {
			legend = append(legend, [2]string{"mark-" + severities[s].class, severities[s].name})
		}
	}
	if outages["outage-open"] {
		legend = append(legend, [2]string{"outage-open", "breaker open"})
	}
	if outages["outage-half"] {
		legend = append(legend, [2]string{"outage-half", "breaker probes"})
	}
	return drawLanes("What failed, by supervisor, over the run", lanes, seconds(c.Took), bands, samples, legend)
}

func stamp(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

func (c Course) drawRecoveries() string {
	var (
		lanes   []string
		samples []sample
		values  []float64
	)
	for _, r := range c.Recoveries {
		l := r.Lane
		if !slices.Contains(lanes, l) {
			lanes = append(lanes, l)
		}
		ms := float64(r.Took.Microseconds()) / 1000
		values = append(values, ms)
		samples = append(samples, sample{l, ms, "mark-recovered", fmt.Sprintf("%s: %s, at %s", r.Path, r.Took.Round(time.Microsecond), stamp(r.At))})
	}
	slices.Sort(lanes)
	return drawLanes("Recovery times, by supervisor", lanes, decades(values), nil, samples, nil)
}

// maxAttemptColumns is how many columns the chart of attempts has; the last stands for all that took more.
const maxAttemptColumns = 8

func (c Course) drawAttempts() string {
	types, counts, most := c.tally()
	var columns []column
	for n := 1; n <= min(max(most, 1), maxAttemptColumns); n++ {
		col, took := column{label: number(n)}, plural(n, "attempt")
		if n == maxAttemptColumns && most > n {
			col.label += " and more"
			took += " or more"
		}
		for i, t := range types {
			value := counts[t][n]
			if n == maxAttemptColumns {
				for more := n + 1; more <= most; more++ {
					value += counts[t][more]
				}
			}
			col.parts = append(col.parts, part{value, series(i), fmt.Sprintf("%s of %s with %s", plural(value, "task"), t, took)})
		}
		columns = append(columns, col)
	}
	var legend [][2]string
	for i, t := range types {
		legend = append(legend, [2]string{series(i), t})
	}
	return drawColumns("Tasks by the attempts they took", "tasks", columns, legend)
}

// seriesColours is how many different ones there are.
const seriesColours = 6

func series(i int) string { return fmt.Sprintf("series-%d", i%seriesColours) }
