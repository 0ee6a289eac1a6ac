package report

// document is the page before it is Markdown or HTML.
type document []block

// block is one of title, section, paragraph, table, list, note and figure.
type block interface{ block() }

type (
	title     text   // of the page
	section   string // begins one
	paragraph text
	list      []text
	figure    string // an SVG drawing, for the pages that can show it
)

type table struct {
	align string // a character for each column: "-" left, ">" right
	head  []string
	rows  [][]text
	rest  string // what is said below of rows that were left out
}

func (title) block()     {}
func (section) block()   {}
func (paragraph) block() {}
func (list) block()      {}
func (figure) block()    {}
func (table) block()     {}

// text is a line of spans.
type text []span

// span is text of one kind.
type span struct {
	kind spanKind
	text string
}

type spanKind uint8

const (
	ours     spanKind = iota // words of the page's own, which need no care in Markdown
	foreign                  // words from outside
	code                     // names, paths and the like, from outside too
	strong                   // ours
	emphasis                 // ours
)

func words(s string) text    { return text{{ours, s}} }
func plain(s string) text    { return text{{foreign, s}} }
func verbatim(s string) text { return text{{code, s}} }

// join puts lines together.
func join(parts ...text) text {
	var all text
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// listed joins at most limit items with commas and counts the rest.
func listed(items []text, limit int) text {
	var all text
	for i, item := range items[:min(len(items), limit)] {
		if i > 0 {
			all = append(all, span{ours, ", "})
		}
		all = append(all, item...)
	}
	if rest := len(items) - limit; rest > 0 {
		all = append(all, span{ours, " and " + number(rest) + " more"})
	}
	return all
}
