package actors

import (
	"io"
	"strings"
	"unicode/utf8"
)

// strokes are what a tree in text is drawn with.
type strokes struct{ branch, last, through, none, to string }

var (
	lines = strokes{branch: "├─ ", last: "└─ ", through: "│  ", none: "   ", to: " … "}
	ascii = strokes{branch: "|- ", last: "`- ", through: "|  ", none: "   ", to: " .. "}
)

// WriteText draws the tree for people: one line a node, with its status if it runs, what its spec makes of it, and what happened to it. Siblings of a pool
// that don't differ are drawn as one. Names and errors are cut and cleaned of control characters, so it is safe on a terminal.
func (s NodeSnapshot) WriteText(w io.Writer) error { return s.writeText(w, lines) }

// WriteASCII is WriteText for terminals and files that know nothing else. What isn't ASCII in names and errors becomes a question mark.
func (s NodeSnapshot) WriteASCII(w io.Writer) error { return s.writeText(asciiWriter{w}, ascii) }

type textLine struct{ name, status, about string }

func (s NodeSnapshot) writeText(w io.Writer, draw strokes) error {
	var table []textLine
	var walk func(r row, first, rest string)
	walk = func(r row, first, rest string) {
		about := strings.Join(append([]string{r.what()}, r.news()...), "; ")
		table = append(table, textLine{first + r.label(draw.to), r.Status.String(), about})
		below := r.rows()
		for i, child := range below {
			if i == len(below)-1 {
				walk(child, rest+draw.last, rest+draw.none)
			} else {
				walk(child, rest+draw.branch, rest+draw.through)
			}
		}
	}
	walk(row{NodeSnapshot: s, n: 1}, "", "")

	names, statuses := 0, 0
	for _, l := range table {
		names = max(names, utf8.RuneCountInString(l.name))
		if l.status != StatusPlanned.String() {
			statuses = max(statuses, len(l.status))
		}
	}
	var b strings.Builder
	for _, l := range table {
		b.WriteString(l.name)
		b.WriteString(strings.Repeat(" ", names-utf8.RuneCountInString(l.name)+2))
		if statuses > 0 {
			b.WriteString(l.status)
			b.WriteString(strings.Repeat(" ", max(statuses-len(l.status), 0)+2))
		}
		b.WriteString(l.about)
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// asciiWriter replaces what isn't ASCII.
type asciiWriter struct{ to io.Writer }

func (a asciiWriter) Write(text []byte) (int, error) {
	plain := make([]byte, 0, len(text))
	for _, r := range string(text) {
		switch {
		case r == '…':
			plain = append(plain, '~')
		case r < utf8.RuneSelf:
			plain = append(plain, byte(r))
		default:
			plain = append(plain, '?')
		}
	}
	if _, err := a.to.Write(plain); err != nil {
		return 0, err
	}
	return len(text), nil
}
