package report

import (
	"bytes"
	"slices"
	"strings"
)

// markdown writes a document as Markdown. Figures are left out.
func markdown(d document) []byte {
	var b bytes.Buffer
	d = slices.DeleteFunc(slices.Clone(d), func(b block) bool { _, drawn := b.(figure); return drawn })
	for i, block := range d {
		switch block := block.(type) {
		case title:
			b.WriteString("# " + text(block).markdown() + "\n\n")
		case section:
			b.WriteString("\n## " + string(block) + "\n\n")
		case paragraph:
			if i > 0 && !leadsIn(d[i-1]) {
				b.WriteByte('\n')
			}
			b.WriteString(text(block).markdown() + "\n")
			if i+1 < len(d) {
				if _, ok := d[i+1].(table); ok {
					b.WriteByte('\n')
				}
			}
		case list:
			for _, item := range block {
				b.WriteString("- " + item.markdown() + "\n")
			}
		case table:
			block.markdown(&b)
		}
	}
	return b.Bytes()
}

// leadsIn reports whether a block ends with an empty line already.
func leadsIn(before block) bool {
	switch before.(type) {
	case title, section:
		return true
	}
	return false
}

func (t table) markdown(b *bytes.Buffer) {
	row := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	row(t.head)
	b.WriteByte('|')
	for _, a := range t.align {
		if a == '>' {
			b.WriteString(" ---: |")
		} else {
			b.WriteString(" --- |")
		}
	}
	b.WriteByte('\n')
	cells := make([]string, len(t.align))
	for _, r := range t.rows {
		for i, cell := range r {
			cells[i] = cell.cell()
		}
		row(cells)
	}
	if t.rest != "" {
		b.WriteString("\n" + t.rest + "\n")
	}
}

func (t text) markdown() string { return t.write(fenced) }

// cell is the line within a table, where a bar ends the cell, even in code.
func (t text) cell() string {
	return t.write(func(code string) string { return strings.ReplaceAll(fenced(code), "|", `\|`) })
}

func (t text) write(fenced func(string) string) string {
	var b strings.Builder
	for _, s := range t {
		switch s.kind {
		case foreign:
			b.WriteString(escaped(s.text))
		case code:
			b.WriteString(fenced(s.text))
		case strong:
			b.WriteString("**" + s.text + "**")
		case emphasis:
			b.WriteString("*" + s.text + "*")
		default:
			b.WriteString(s.text)
		}
	}
	return b.String()
}

// fenced is text in backticks: the fence is longer than any run of backticks in the text.
func fenced(text string) string {
	text = clean(text)
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

// escaped is text as it is, with everything escaped that could be taken for markup.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range clean(text) {
		if strings.ContainsRune(special, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
