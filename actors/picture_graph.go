package actors

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// colours of the statuses: fill, and line. What is only planned, or stopped, is grey.
var colours = map[Status][2]string{
	StatusPlanned:    {"#eef2f7", "#64748b"},
	StatusStopped:    {"#e5e7eb", "#6b7280"},
	StatusStarting:   {"#dbeafe", "#2563eb"},
	StatusRunning:    {"#dcfce7", "#15803d"},
	StatusBackingOff: {"#fef3c7", "#b45309"},
	StatusStopping:   {"#dbeafe", "#2563eb"},
	StatusFailed:     {"#fee2e2", "#b91c1c"},
	StatusAbandoned:  {"#f3e8ff", "#7e22ce"},
}

// graph walks a picture and numbers its nodes from 0, the parent before its children. The root's parent is -1.
func (s NodeSnapshot) graph(visit func(number, parent int, r row)) {
	number := 0
	var walk func(r row, parent int)
	walk = func(r row, parent int) {
		me := number
		number++
		visit(me, parent, r)
		for _, child := range r.rows() {
			walk(child, me)
		}
	}
	walk(row{NodeSnapshot: s, n: 1}, -1)
}

// graphLines are the lines in a node of a graph.
func (r row) graphLines() []string {
	lines := append([]string{r.label(" … ")}, wrapped(r.what())...)
	if r.Status != StatusPlanned {
		lines = append(lines, wrapped(strings.Join(append([]string{r.Status.String()}, r.news()...), ", "))...)
	}
	return lines
}

// graphWidth is about how wide a node of a graph is, in characters.
const graphWidth = 40

// wrapped breaks a list at its commas.
func wrapped(list string) []string {
	var lines []string
	for _, item := range strings.SplitAfter(list, ", ") {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+len(item) <= graphWidth {
			lines[last] += item
		} else {
			lines = append(lines, item)
		}
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// WriteDOT writes the tree as a graph in Graphviz's language: dot -Tsvg.
func (s NodeSnapshot) WriteDOT(w io.Writer) error {
	shapes := map[Kind]string{KindAgent: "ellipse", KindActor: "ellipse", KindBreaker: "octagon"}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;")
	var b strings.Builder
	b.WriteString("digraph tree {\n\tgraph [rankdir=LR, ordering=out];\n\tnode [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", fontsize=11];\n\tedge [arrowhead=none, color=\"#94a3b8\"];\n")
	s.graph(func(number, parent int, r row) {
		label := r.graphLines()
		for i := range label {
			label[i] = quote.Replace(label[i])
		}
		shape := ""
		if name, ok := shapes[r.Kind]; ok {
			shape = ", shape=" + name + ", style=filled"
		}
		fmt.Fprintf(&b, "\tn%d [label=\"%s\", fillcolor=%q, color=%q%s];\n", number, strings.Join(label, `\n`), colours[r.Status][0], colours[r.Status][1], shape)
		if parent >= 0 {
			fmt.Fprintf(&b, "\tn%d -> n%d;\n", parent, number)
		}
	})
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteMermaid writes the tree as a Mermaid flowchart, which GitHub and others draw in Markdown.
func (s NodeSnapshot) WriteMermaid(w io.Writer) error {
	brackets := map[Kind][2]string{KindAgent: {"([", "])"}, KindActor: {"([", "])"}, KindBreaker: {"{{", "}}"}}
	used := make(map[Status]bool)
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	s.graph(func(number, parent int, r row) {
		used[r.Status] = true
		label := r.graphLines()
		for i := range label {
			label[i] = mermaidText(label[i])
		}
		shape, ok := brackets[r.Kind]
		if !ok {
			shape = [2]string{"[", "]"}
		}
		fmt.Fprintf(&b, "    n%d%s\"%s\"%s:::%s\n", number, shape[0], strings.Join(label, "<br/>"), shape[1], class(r.Status))
		if parent >= 0 {
			fmt.Fprintf(&b, "    n%d --- n%d\n", parent, number)
		}
	})
	for status := StatusStopped; status <= StatusPlanned; status++ {
		if used[status] {
			fmt.Fprintf(&b, "    classDef %s fill:%s,stroke:%s,color:#111827\n", class(status), colours[status][0], colours[status][1])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mermaidWords mean something to Mermaid wherever they stand, in quotes too: it goes over the lines before it parses them. Their first letters stay: what stands before goes by those.
var mermaidWords = strings.NewReplacer("style", "s#116;yle", "classDef", "c#108;assDef", "direction", "d#105;rection")

// mermaidText writes a line of text so that Mermaid shows it as it is. Besides its grammar it has an eye for directives, icons, formulas, Markdown and HTML, for some of them before it
// decodes characters that are written by their numbers (#35;), for some after. So whatever isn't plain text to all of them is written by its number, and a word joiner, which nobody
// sees, keeps it apart from what follows.
func mermaidText(line string) string {
	const numbered = "#%d;#8288;"
	var b strings.Builder
	runes := []rune(line)
	at := func(i int) rune {
		if i < 0 || i >= len(runes) {
			return ' '
		}
		return runes[i]
	}
	for i, r := range runes {
		if plainInMermaid(at(i-1), r, at(i+1)) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, numbered, r)
		}
	}
	return mermaidWords.Replace(b.String())
}

// plainInMermaid reports whether a character means nothing but itself between those two.
func plainInMermaid(before, r, after rune) bool {
	switch r {
	case ' ', ',', '\'':
		return true
	case '-', '.', '_', '/':
		return inWord(before) && inWord(after)
	case ':':
		return after == ' '
	case '(':
		return inWord(after)
	case ')':
		return inWord(before) && !unicode.IsDigit(before) // 1) begins a list
	case 'ﬂ', '¶': // its own marks of numbers that it will decode
		return false
	default:
		return r > unicode.MaxASCII || inWord(r)
	}
}

// inWord reports whether a character is a letter or a digit, and is written as such.
func inWord(r rune) bool { return unicode.IsLetter(r) && r != 'ﬂ' || unicode.IsDigit(r) }

// class is the name of a status in Mermaid.
func class(s Status) string { return strings.ReplaceAll(s.String(), " ", "") }
