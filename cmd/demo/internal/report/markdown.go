package report

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// maxCell bounds a summary in a table, in runes.
const maxCell = 160

// page is Markdown in the making. Cells are taken as they are: they come from code, plain, number and the like.
type page struct{ buf bytes.Buffer }

func (p *page) bytes() []byte { return p.buf.Bytes() }

func (p *page) printf(format string, args ...any) { fmt.Fprintf(&p.buf, format, args...) }

func (p *page) section(title string) { p.printf("\n## %s\n\n", title) }

// table begins a table. align has a character for each column: "-" left, ">" right.
func (p *page) table(align string, titles ...string) {
	p.row(titles...)
	p.buf.WriteByte('|')
	for _, a := range align {
		switch a {
		case '-':
			p.buf.WriteString(" --- |")
		case '>':
			p.buf.WriteString(" ---: |")
		}
	}
	p.buf.WriteByte('\n')
}

func (p *page) row(cells ...string) { p.printf("| %s |\n", strings.Join(cells, " | ")) }

// code is text in backticks, safe in a table: the fence is longer than any run of backticks in the text.
func code(text string) string {
	text = strings.ReplaceAll(clean(text), "|", `\|`)
	if !strings.Contains(text, "`") {
		return "`" + text + "`"
	}
	longest, run := 0, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	return fence + " " + text + " " + fence
}

// special holds what Markdown and HTML would read something into.
const special = "\\`*_{}[]<>&|#~!$"

// plain is text as it is, with everything escaped that could be taken for markup.
func plain(text string) string {
	var b strings.Builder
	for _, r := range clean(text) {
		if strings.ContainsRune(special, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// clean puts text on one line and takes out control characters and invalid bytes.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.Join(strings.Fields(text), " ")
}

// oneLine shortens text to a cell, at a word if there is one.
func oneLine(text string) string {
	runes := []rune(clean(text))
	if len(runes) <= maxCell {
		return string(runes)
	}
	short := string(runes[:maxCell-1])
	if word := strings.LastIndexByte(short, ' '); word > 0 {
		short = short[:word]
	}
	return short + "…"
}

// number writes thousands apart: 12,345.
func number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func share(part, whole int) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f %%)", 100*float64(part)/float64(whole))
}

func ratio(sum, n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", float64(sum)/float64(n))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// listed joins at most limit items and counts the rest.
func listed(items []string, limit int) string {
	if rest := len(items) - limit; rest > 0 {
		return strings.Join(items[:limit], ", ") + fmt.Sprintf(" and %s more", number(rest))
	}
	return strings.Join(items, ", ")
}
