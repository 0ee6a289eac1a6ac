package actors_test

import (
	"fmt"
	"html"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mistersmith/mistersmith/actors"
)

// graphRead is what a program that reads a picture makes of it: the text in each node, and the node above it, by their numbers.
type graphRead struct {
	texts   map[int]string
	parents map[int]int
}

// Whatever nodes and errors are called, both graphs can be read, have every node in its place, and show what it is called.
func TestGraphsShowNamesAsTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tree := nastyTree(t, 0)
		want := graphRead{texts: map[int]string{}, parents: map[int]int{}}
		expect(&want, tree, -1)
		dot, err := readDOT(drawing(t, tree.WriteDOT))
		require.NoError(t, err)
		require.Equal(t, want, dot)
		mermaid, err := readMermaid(drawing(t, tree.WriteMermaid))
		require.NoError(t, err)
		require.Equal(t, want, mermaid)
	})
}

// The readers refuse what the programs that they stand for would.
func TestTheReadersOfGraphsAreStrict(t *testing.T) {
	dot := "digraph tree {\n%s}\n"
	for _, line := range []string{
		`n0 [label="a"b"]`, `n0 [label="a\"]`, `n0 [label=a]`, `n0 -> n1`, `n0 [label="\N"]`, `n0 [label="a" color="b"]`, `end [label="a"]`, `n0 [label="a"]` + "\n", `n0 [label="a"];;`,
	} {
		_, err := readDOT(fmt.Sprintf(dot, "\t"+line+";\n"))
		require.Error(t, err, line)
	}
	for _, line := range []string{
		`n0["a"b"]`, "n0[\"`a`\"]", `n0["a`, `n0(["a"]`, `end["a"]`, `n0[a]`, `n0["direction LR"]`, `n0["%%{init: {}}%%"]`, `n0["style:x#35;"]`, `n0["classDef a:x#35;"]`, `n0["<b>a</b>"]`,
		`n0["*a*"]`, `n0["1. a"]`, `n0["a\nb"]`, `n0["fa:fa-bug"]`, `n0["#36;#36;a#36;#36;"]`, `n0["fa#58;fa-bug"]`, `n0["#92;n"]`, `n0["ﬂ°a"]`, `n0["_a_"]`, `n0 --- n1`,
	} {
		_, err := readMermaid("flowchart LR\n    " + line + ":::planned\n    classDef planned fill:#eef2f7,stroke:#64748b,color:#111827\n")
		require.Error(t, err, line)
	}
}

// drawing is what a renderer writes.
func drawing(t *rapid.T, with func(io.Writer) error) string {
	var b strings.Builder
	require.NoError(t, with(&b))
	return b.String()
}

// nastyWords mean something to a language that graphs are written in, to what reads their labels, or to those who look over the text before.
var nastyWords = []string{
	"end", "graph", "subgraph", "digraph", "node", "edge", "strict", "style", "style:#1", "classDef x:#1;", "class", "click", "direction LR", "direction  TB", "flowchart", "default",
	"%%", "%%{init: {}}%%", "---", "-->", "-.->", "===", ":::x", "@{shape: x}", "{{", "}}", "[[", "])", "([", "]", "(", ")", "|", `"`, "'", "`", "\"`", "`\"", `\`, `\n`, `\N`, `\G`, `\l`, `\"`,
	"#quot;", "#35;", "#", ";", "&", "&amp;", "&lt", "&#35;", "<br/>", "<b>", "</script>", "*a*", "**a**", "_a_", "__a__", "~~a~~", "1. a", "2) a", "- a", "+ a", "> a", "[a](b)", "![a](b)",
	"fa:fa-bug", "fab:fa-x", "$$", "ﬂ°°35¶ß", "ﬂ°", "¶ß", "http://a.b", "a, b", "é", "e\u0301", "日本", "🎉", "…", "reader-1", "reader_x.y", "accTitle: x", "//", "/* a */",
}

// nastyTree draws a tree whose nodes are called whatever comes to mind, and fail for reasons of the same kind.
func nastyTree(t *rapid.T, depth int) actors.NodeSnapshot {
	text := rapid.Custom(func(t *rapid.T) string {
		words := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(nastyWords), rapid.StringN(1, 6, -1)), 1, 4).Draw(t, "words")
		return strings.Join(words, rapid.SampledFrom([]string{"", " "}).Draw(t, "between"))
	})
	s := actors.NodeSnapshot{
		ID: text.Draw(t, "id"), Kind: rapid.SampledFrom([]actors.Kind{actors.KindActor, actors.KindBreaker, actors.KindSupervisor, actors.KindAgent}).Draw(t, "kind"),
		Restarts: 1, // with news of its own it is never drawn as one with its siblings
		Status:   rapid.SampledFrom([]actors.Status{actors.StatusPlanned, actors.StatusRunning, actors.StatusBackingOff, actors.StatusFailed}).Draw(t, "status"),
	}
	if s.Kind == actors.KindAgent {
		s.Types = []string{text.Draw(t, "type")}
	}
	if rapid.Bool().Draw(t, "has failed") {
		s.Failures, s.History = 1, []actors.Failure{{Err: textError(text.Draw(t, "error"))}}
	}
	if depth < 2 {
		for range rapid.IntRange(0, 3).Draw(t, "children") {
			s.Children = append(s.Children, nastyTree(t, depth+1))
		}
	}
	return s
}

type textError string

func (e textError) Error() string { return string(e) }

// expect notes what a picture of the tree has to show.
func expect(d *graphRead, s actors.NodeSnapshot, parent int) {
	me := len(d.texts)
	d.parents[me] = parent
	d.texts[me] = spaceless(actors.GraphText(s))
	for _, child := range s.Children {
		expect(d, child, me)
	}
}

// spaceless leaves out where lines are broken, and the word joiners that nobody sees.
func spaceless(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), ""), "\u2060", "")
}

// readDOT reads the part of Graphviz's language that is used here (https://graphviz.org/doc/info/lang.html): a quoted string ends at a quote without a backslash before it, its backslashes
// are then those of an escString, and its entities those of HTML.
func readDOT(text string) (graphRead, error) {
	d := graphRead{texts: map[int]string{}, parents: map[int]int{0: -1}}
	body, begins := strings.CutPrefix(text, "digraph tree {\n")
	body, ends := strings.CutSuffix(body, "}\n")
	if !begins || !ends {
		return d, fmt.Errorf("no graph: %q", text)
	}
	const name, quoted = `[A-Za-z]+`, `"(?:[^"\\]|\\.)*"`
	attribute := name + `=(?:` + name + `|[0-9]+|` + quoted + `)`
	statement := regexp.MustCompile(`^\t(graph|node|edge|n[0-9]+) \[(` + attribute + `(?:, ` + attribute + `)*)\];$`)
	edge := regexp.MustCompile(`^\tn([0-9]+) -> n([0-9]+);$`)
	label := regexp.MustCompile(`^label="((?:[^"\\]|\\.)*)"`)
	for _, line := range strings.Split(strings.TrimSuffix(body, "\n"), "\n") {
		if m := edge.FindStringSubmatch(line); m != nil {
			if err := d.join(m[1], m[2]); err != nil {
				return d, err
			}
			continue
		}
		m := statement.FindStringSubmatch(line)
		if m == nil {
			return d, fmt.Errorf("no statement: %q", line)
		}
		number, isNode := strings.CutPrefix(m[1], "n")
		if !isNode || m[1] == "node" {
			continue
		}
		text := label.FindStringSubmatch(m[2])
		if text == nil {
			return d, fmt.Errorf("no label: %q", line)
		}
		shown, err := escString(text[1])
		if err != nil {
			return d, err
		}
		d.add(number, html.UnescapeString(shown))
	}
	return d, nil
}

// escString reads the escapes of a label: https://graphviz.org/docs/attr-types/escString.
func escString(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		switch i++; text[i] {
		case '\\', '"':
			b.WriteByte(text[i])
		case 'n':
			b.WriteByte('\n')
		default:
			return "", fmt.Errorf("an escape that means something else: %q", text)
		}
	}
	return b.String(), nil
}

// What Mermaid does with a text besides parsing it, by its utils, its flow.jison and its createText: before, between, and with the decoded label.
var (
	overLines = regexp.MustCompile(`%%|(?:style|classDef).*:\S*#.*;|direction\s+(?:TB|BT|RL|LR)`)
	entity    = regexp.MustCompile(`#([0-9]+);`)
	inLabels  = regexp.MustCompile(`\\n|fa[bklrs]?:fa-|\$\$|ﬂ°|¶ß|~~|\]\(|^(?:[0-9]+[.)]|[-+#>])(?:\s|$)`)
	markdown  = regexp.MustCompile("[*`~<>&\\[\\]\\\\]|(?:^|\\s)(?:[0-9]+[.)]|[-+#>])(?:\\s|$)|(?:^|[^\\pL\\pN_])_|_(?:[^\\pL\\pN_]|$)|__")
)

// readMermaid reads the part of Mermaid's flowcharts that is used here.
func readMermaid(text string) (graphRead, error) {
	d := graphRead{texts: map[int]string{}, parents: map[int]int{0: -1}}
	body, ok := strings.CutPrefix(text, "flowchart LR\n")
	if !ok || !strings.HasSuffix(body, "\n") {
		return d, fmt.Errorf("no flowchart: %q", text)
	}
	if m := overLines.FindString(body); m != "" {
		return d, fmt.Errorf("Mermaid takes this out of its line: %q", m)
	}
	node := regexp.MustCompile(`^    n([0-9]+)(\["([^"]*)"\]|\(\["([^"]*)"\]\)|\{\{"([^"]*)"\}\}):::([a-z]+)$`)
	edge := regexp.MustCompile(`^    n([0-9]+) --- n([0-9]+)$`)
	class := regexp.MustCompile(`^    classDef ([a-z]+) fill:#[0-9a-f]{6},stroke:#[0-9a-f]{6},color:#[0-9a-f]{6}$`)
	used, defined := map[string]bool{}, map[string]bool{}
	for _, line := range strings.Split(strings.TrimSuffix(body, "\n"), "\n") {
		if m := edge.FindStringSubmatch(line); m != nil {
			if err := d.join(m[1], m[2]); err != nil {
				return d, err
			}
			continue
		}
		if m := class.FindStringSubmatch(line); m != nil {
			defined[m[1]] = true
			continue
		}
		m := node.FindStringSubmatch(line)
		if m == nil {
			return d, fmt.Errorf("no statement: %q", line)
		}
		used[m[6]] = true
		var shown []string
		for _, written := range strings.Split(m[3]+m[4]+m[5], "<br/>") {
			if m := markdown.FindString(written); m != "" {
				return d, fmt.Errorf("Markdown or HTML sees %q in %q", m, written)
			}
			text := entity.ReplaceAllStringFunc(written, func(e string) string { return html.UnescapeString("&" + e) })
			if m := inLabels.FindString(text); m != "" {
				return d, fmt.Errorf("Mermaid sees %q in %q", m, text)
			}
			shown = append(shown, text)
		}
		d.add(m[1], strings.Join(shown, "\n"))
	}
	for name := range used {
		if !defined[name] {
			return d, fmt.Errorf("class %s isn't defined", name)
		}
	}
	return d, nil
}

func (d graphRead) add(number, text string) {
	n, _ := strconv.Atoi(number) // digits, by its pattern
	d.texts[n] = spaceless(text)
}

// join notes an edge between two nodes that are there.
func (d graphRead) join(parent, child string) error {
	p, _ := strconv.Atoi(parent)
	c, _ := strconv.Atoi(child)
	if _, ok := d.texts[p]; !ok {
		return fmt.Errorf("an edge from n%d, which isn't there", p)
	}
	if _, ok := d.texts[c]; !ok {
		return fmt.Errorf("an edge to n%d, which isn't there", c)
	}
	d.parents[c] = p
	return nil
}
