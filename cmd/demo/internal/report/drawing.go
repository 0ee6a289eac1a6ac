package report

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// This file draws charts as SVG. Colours are classes of the page's style sheet, so that they follow its theme; every mark has a title that a pointer
// shows, and every chart a name for those who can't see it.

// chartWidth is the width of all charts, in their own units; they are scaled to the page.
const chartWidth = 760

// drawing is an SVG in the making. All text goes through label, mark or begin, which escape it.
type drawing struct{ strings.Builder }

func begin(name string, height int) *drawing {
	d := &drawing{}
	fmt.Fprintf(d, `<svg class="chart" role="img" aria-label="%s" viewBox="0 0 %d %d" xmlns="http://www.w3.org/2000/svg">`, html.EscapeString(clean(name)), chartWidth, height)
	return d
}

func (d *drawing) end() string {
	d.WriteString("</svg>")
	return d.String()
}

// label writes text at a point; anchor is start, middle or end.
func (d *drawing) label(class, anchor string, x, y float64, text string) {
	fmt.Fprintf(d, `<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`, class, anchor, x, y, html.EscapeString(clean(text)))
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

func (d *drawing) box(class string, x, y, width, height float64, title string) {
	fmt.Fprintf(d, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"><title>%s</title></rect>`, class, x, y, max(width, 1), height, html.EscapeString(clean(title)))
}

func (d *drawing) dot(class string, x, y, radius float64, title string) {
	fmt.Fprintf(d, `<circle class="%s" cx="%.1f" cy="%.1f" r="%.1f"><title>%s</title></circle>`, class, x, y, radius, html.EscapeString(clean(title)))
}

// tickWidth is how wide a character of a tick is, about.
const tickWidth = 6.6

// Places of a legend.
const (
	legendLeft = 8
	legendRow  = 18 // from one row to the next
	swatch     = 15 // from an entry to its text
	legendGap  = 17 // from its text to the next
)

// legend says what classes mean, in as many rows as that takes.
type legend [][2]string

// lay places the entries one after the other and tells where each begins, and how high they are together; 0 without any.
func (l legend) lay() (at [][2]float64, height int) {
	if len(l) == 0 {
		return nil, 0
	}
	x, y := float64(legendLeft), float64(legendRow)
	for _, e := range l {
		width := swatch + tickWidth*float64(utf8.RuneCountInString(e[1]))
		if x > legendLeft && x+width > chartWidth {
			x, y = legendLeft, y+legendRow
		}
		at = append(at, [2]float64{x, y})
		x += width + legendGap
	}
	return at, int(y) + 12
}

func (d *drawing) legend(l legend) {
	at, _ := l.lay()
	for i, e := range l {
		x, y := at[i][0], at[i][1]
		fmt.Fprintf(d, `<rect class="%s" x="%.1f" y="%.1f" width="10" height="10" rx="2"/>`, e[0], x, y-9)
		d.label("tick", "start", x+swatch, y, e[1])
	}
}

// cut shortens a label to so many runes, in the middle.
func cut(text string, most int) string {
	runes := []rune(clean(text))
	if len(runes) <= most {
		return string(runes)
	}
	head := (most - 1) / 2
	return string(runes[:head]) + "…" + string(runes[len(runes)-(most-1-head):])
}

// bar is one of a chart of bars from left to right.
type bar struct {
	label string
	value int
	title string
}

// drawBars draws the largest first, as they are given.
func drawBars(name, unit string, bars []bar) string {
	const row, left, right, top = 24, 250, 50, 6
	most := 1
	for _, b := range bars {
		most = max(most, b.value)
	}
	d := begin(name, top*2+row*len(bars))
	for i, b := range bars {
		y := float64(top + i*row)
		width := float64(chartWidth-left-right) * float64(b.value) / float64(most)
		d.label("name", "end", left-8, y+16, cut(b.label, 34))
		d.box("bar", left, y+4, width, row-8, fmt.Sprintf("%s, %s: %s %s", b.label, b.title, number(b.value), unit))
		d.label("tick", "start", left+width+6, y+16, number(b.value))
	}
	return d.end()
}

// column is one of a chart of columns, made of parts from below.
type column struct {
	label string
	parts []part
}

type part struct {
	value int
	class string
	title string
}

// drawColumns draws columns side by side, with a legend if there is one.
func drawColumns(name, unit string, columns []column, l legend) string {
	const height, bottom, left = 150, 24, 40
	_, top := l.lay()
	top += 20
	most := 1
	for _, c := range columns {
		most = max(most, c.sum())
	}
	d := begin(name, top+height+bottom)
	d.legend(l)
	base := float64(top + height)
	d.line("axis", left, base, chartWidth, base)
	step := float64(chartWidth-left) / float64(max(len(columns), 1))
	for i, c := range columns {
		width := min(step*0.7, 90)
		x := left + step*(float64(i)+0.5) - width/2
		y := base
		for _, p := range c.parts {
			if p.value == 0 {
				continue
			}
			h := float64(height) * float64(p.value) / float64(most)
			y -= h
			d.box(p.class, x, y, width, h, p.title)
		}
		d.label("tick", "middle", x+width/2, y-6, number(c.sum()))
		d.label("name", "middle", x+width/2, base+17, c.label)
	}
	d.label("tick", "end", left-6, base, unit)
	return d.end()
}

func (c column) sum() int {
	sum := 0
	for _, p := range c.parts {
		sum += p.value
	}
	return sum
}

// sample is a point of a chart of lanes.
type sample struct {
	lane  string
	x     float64
	class string
	title string
}

// axis is what a chart of lanes has below.
type axis struct {
	from, to float64
	log      bool
	ticks    []tick
}

type tick struct {
	at    float64
	label string
}

func (a axis) place(x, left, width float64) float64 {
	from, to := a.from, a.to
	if a.log {
		from, to, x = math.Log(from), math.Log(to), math.Log(max(x, a.from))
	}
	return left + width*(min(max(x, from), to)-from)/max(to-from, 1e-9)
}

// band is a stretch of a lane.
type band struct {
	lane     string
	from, to float64
	class    string
	title    string
}

// drawLanes draws points and bands in lanes of their own, one below the other.
func drawLanes(name string, lanes []string, a axis, bands []band, samples []sample, l legend) string {
	const row, left, right, bottom = 30, 170, 24, 26
	_, top := l.lay()
	top += 6
	height := top + row*len(lanes) + bottom
	d := begin(name, height)
	d.legend(l)
	const width = chartWidth - left - right
	base := float64(top + row*len(lanes))
	for _, t := range a.ticks {
		x := a.place(t.at, left, width)
		d.line("grid", x, float64(top), x, base)
		d.label("tick", "middle", x, base+17, t.label)
	}
	d.line("axis", left, base, left+width, base)
	for i, lane := range lanes {
		y := float64(top+i*row) + row/2
		d.label("name", "end", left-8, y+4, cut(lane, 22))
		d.line("lane", left, y, left+width, y)
		for _, b := range bands {
			if b.lane == lane {
				x := a.place(b.from, left, width)
				d.box(b.class, x, y-8, a.place(b.to, left, width)-x, 16, b.title)
			}
		}
		n := 0
		for _, s := range samples {
			if s.lane == lane {
				d.dot(s.class, a.place(s.x, left, width), y+[...]float64{0, -5, 5}[n%3], 4.5, s.title)
				n++
			}
		}
	}
	return d.end()
}

// seconds is an axis of time that ends at a round mark.
func seconds(end time.Duration) axis {
	step := niceStep(end.Seconds() / 6)
	a := axis{to: math.Max(math.Ceil(end.Seconds()/step)*step, step)}
	for x := 0.0; x <= a.to+step/2; x += step {
		a.ticks = append(a.ticks, tick{x, fmt.Sprintf("%g s", math.Round(x*1000)/1000)})
	}
	return a
}

// niceStep is the next of 1, 2 and 5 times a power of ten.
func niceStep(least float64) float64 {
	if !(least > 0) {
		return 0.01
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= least*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// decades is a logarithmic axis of milliseconds that holds all values.
func decades(values []float64) axis {
	low, high := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if len(values) == 0 {
		low, high = 1, 1
	}
	low = math.Pow(10, math.Floor(math.Log10(max(low, 0.001))))
	high = math.Pow(10, math.Ceil(math.Log10(max(high, low*10))-1e-9))
	a := axis{from: low, to: high, log: true}
	for x := low; x <= high*1.01; x *= 10 {
		label := fmt.Sprintf("%.3g ms", x)
		if x > 999 {
			label = fmt.Sprintf("%.3g s", x/1000)
		}
		a.ticks = append(a.ticks, tick{x, label})
	}
	return a
}
