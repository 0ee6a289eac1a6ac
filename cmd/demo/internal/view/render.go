package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/breaker"
)

// Render draws the model on a screen of that size: never more lines, and none wider. What doesn't fit is left out, the least important first.
func (m Model) Render(width, height int, look Look) string {
	if width < 1 || height < 1 {
		return ""
	}
	p := painter{look}
	head := m.head(p, width)
	room := height - len(head) - 1 // an empty line above the tree
	treeRoom := room
	if room > 8 {
		treeRoom -= min(len(m.Events), 3) + 1 // some events are worth some of the tree
	}
	tree := m.tree(p, treeRoom)
	treeRows := min(len(tree), treeRoom)
	eventRows := min(len(m.Events), max(room-treeRows-1, 0))
	lines := head[:min(len(head), height)]
	if treeRows > 0 {
		lines = append(lines, "")
		if treeRows < len(tree) {
			tree = append(tree[:treeRows-1:treeRows-1], p.dim(fmt.Sprintf("%s %d more", p.pick("…", "..."), len(tree)-treeRows+1)))
		}
		lines = append(lines, tree...)
	}
	if eventRows > 0 {
		lines = append(lines, "")
		for _, e := range m.Events[len(m.Events)-eventRows:] {
			lines = append(lines, m.event(p, e))
		}
	}
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], width, p.pick("…", "~"))
	}
	return strings.Join(lines, "\n")
}

// head is what is going on as a whole.
func (m Model) head(p painter, width int) []string {
	title, clock := p.bold(p.clean(m.Title)), clockOf(m.Elapsed)
	if gap := width - ansi.StringWidth(title) - len(clock); gap > 0 {
		title += strings.Repeat(" ", gap) + p.dim(clock)
	}
	lines := []string{title, m.progress(p, width), m.counts(p)}
	if m.Note != "" {
		lines = append(lines, p.warn(p.clean(m.Note)))
	}
	return lines
}

func (m Model) progress(p painter, width int) string {
	share := 0.0
	if m.Total > 0 {
		share = min(float64(m.Settled)/float64(m.Total), 1)
	}
	left := "time left unknown"
	switch {
	case m.Settled >= m.Total:
		left = "done"
	case m.Left >= 0:
		left = "about " + roughly(m.Left) + " left"
	}
	words := fmt.Sprintf(" %d of %d, %d %%  %.0f/s  %s", m.Settled, m.Total, int(100*share), m.Rate, left)
	room := width - ansi.StringWidth(words)
	if room < 5 {
		return strings.TrimSpace(words)
	}
	room = min(room, 60)
	full := int(share * float64(room))
	return p.good(strings.Repeat(p.pick("█", "#"), full)) + p.dim(strings.Repeat(p.pick("░", "."), room-full)) + words
}

func (m Model) counts(p painter) string {
	words := []string{fmt.Sprintf("%d running", m.Running), fmt.Sprintf("%d waiting", m.Waiting), fmt.Sprintf("%d attempts", m.Attempts)}
	if m.Restarts > 0 {
		words = append(words, plural(m.Restarts, "restart"))
	}
	if m.Quarantined > 0 {
		words = append(words, p.warn(fmt.Sprintf("%d quarantined", m.Quarantined)))
	}
	if m.Failed > 0 {
		words = append(words, p.bad(fmt.Sprintf("%d failed", m.Failed)))
	}
	return strings.Join(words, p.pick(" · ", ", "))
}

func (m Model) event(p painter, e Event) string {
	text := p.clean(e.Text)
	if e.Grave {
		text = p.warn(text)
	}
	return p.dim(fmt.Sprintf("%6.2fs ", e.At.Seconds())) + text
}

// row is a line of the tree before its columns are set.
type row struct{ name, marks, about string }

// tree draws the nodes: a pool on one line, with a mark for each of its agents.
func (m Model) tree(p painter, room int) []string {
	if m.Tree.ID == "" {
		return nil
	}
	folded := fold(&m.Tree, room)
	var rows []row
	var walk func(n *actors.NodeSnapshot, first, rest string)
	walk = func(n *actors.NodeSnapshot, first, rest string) {
		if folded[n] {
			rows = append(rows, p.row(first, n.ID, family(*n)))
			return
		}
		rows = append(rows, p.row(first, n.ID, []actors.NodeSnapshot{*n}))
		for list := n.Children; len(list) > 0; {
			run := pool(list)
			list = list[len(run):]
			branch, below := rest+p.pick("├─ ", "|- "), rest+p.pick("│  ", "|  ")
			if len(list) == 0 {
				branch, below = rest+p.pick("└─ ", "`- "), rest+"   "
			}
			if len(run) > 1 {
				name, _ := poolName(run[0])
				rows = append(rows, p.row(branch, fmt.Sprintf("%s %s%d", name, p.pick("×", "x"), len(run)), run))
			} else {
				walk(&run[0], branch, below)
			}
		}
	}
	walk(&m.Tree, "", "")

	names, marks := 0, 0
	for _, r := range rows {
		names, marks = max(names, ansi.StringWidth(r.name)), max(marks, min(ansi.StringWidth(r.marks), widestMarks))
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = strings.TrimRight(pad(r.name, names+2)+pad(r.marks, marks+2)+r.about, " ")
	}
	return lines
}

// widestMarks is how many agents of a pool have a mark of their own.
const widestMarks = 8

// pool is the first child with all of its pool that follow it.
func pool(list []actors.NodeSnapshot) []actors.NodeSnapshot {
	name, ok := poolName(list[0])
	n := 1
	for ok && n < len(list) {
		next, also := poolName(list[n])
		if !also || next != name {
			break
		}
		n++
	}
	return list[:n]
}

// poolName is the name of an agent without its number.
func poolName(n actors.NodeSnapshot) (string, bool) {
	if n.Kind != actors.KindAgent || len(n.Children) > 0 {
		return "", false
	}
	cut := strings.LastIndexByte(n.ID, '-')
	if cut < 1 {
		return "", false
	}
	_, err := strconv.Atoi(n.ID[cut+1:])
	return n.ID[:cut], err == nil
}

// row says how the nodes are, together.
func (p painter) row(prefix, name string, nodes []actors.NodeSnapshot) row {
	first := nodes[0]
	var marks strings.Builder
	restarts, queue, dropped := 0, 0, uint64(0)
	for i, n := range nodes {
		if i < widestMarks {
			marks.WriteString(p.mark(n.Status))
		}
		restarts, queue, dropped = restarts+n.Restarts, queue+n.Queue, dropped+n.Dropped
	}
	var about []string
	if first.Strategy != "" {
		about = append(about, p.dim(first.Strategy))
	}
	for _, n := range nodes {
		if b := n.Breaker; b != nil && (len(nodes) == 1 || b.State != breaker.Closed) {
			about = append(about, p.breaker(*b))
		}
	}
	if len(nodes) == 1 && first.Status != actors.StatusRunning {
		about = append(about, p.warn(first.Status.String()))
	}
	if restarts > 0 {
		about = append(about, plural(restarts, "restart"))
	}
	if queue > 0 {
		about = append(about, fmt.Sprintf("%d queued", queue))
	}
	if dropped > 0 {
		about = append(about, p.bad(fmt.Sprintf("%d dropped", dropped)))
	}
	return row{p.dim(prefix) + p.clean(name), marks.String(), strings.Join(about, p.dim(", "))}
}

func (p painter) breaker(b breaker.Snapshot) string {
	state := b.State.String()
	switch b.State {
	case breaker.Closed, breaker.Disabled:
		state = p.good(state)
	case breaker.HalfOpen:
		state = p.warn(state)
	default:
		state = p.bad(state)
	}
	if b.Totals.Rejected > 0 {
		state += p.dim(", ") + fmt.Sprintf("%d rejected", b.Totals.Rejected)
	}
	return state
}

func (p painter) mark(s actors.Status) string {
	switch s {
	case actors.StatusRunning:
		return p.good(p.pick("●", "*"))
	case actors.StatusStarting:
		return p.warn(p.pick("◌", "+"))
	case actors.StatusStopping:
		return p.warn(p.pick("◍", "-"))
	case actors.StatusBackingOff:
		return p.warn(p.pick("◐", "~"))
	case actors.StatusFailed:
		return p.bad(p.pick("✗", "x"))
	case actors.StatusAbandoned:
		return p.bad(p.pick("◆", "?"))
	default:
		return p.dim(p.pick("○", "o"))
	}
}

// painter has the words and the colours of a look.
type painter struct{ look Look }

// pick takes the second if only ASCII will do.
func (p painter) pick(text, ascii string) string {
	if p.look.ASCII {
		return ascii
	}
	return text
}

var (
	goodStyle = lipgloss.NewStyle().Foreground(lipgloss.Green)
	warnStyle = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	badStyle  = lipgloss.NewStyle().Foreground(lipgloss.Red)
	dimStyle  = lipgloss.NewStyle().Faint(true)
	boldStyle = lipgloss.NewStyle().Bold(true)
)

func (p painter) paint(s lipgloss.Style, text string) string {
	if !p.look.Colour || text == "" {
		return text
	}
	return s.Render(text)
}

func (p painter) good(text string) string { return p.paint(goodStyle, text) }
func (p painter) warn(text string) string { return p.paint(warnStyle, text) }
func (p painter) bad(text string) string  { return p.paint(badStyle, text) }
func (p painter) dim(text string) string  { return p.paint(dimStyle, text) }
func (p painter) bold(text string) string { return p.paint(boldStyle, text) }

// pad fills a text up to a width on the screen.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-ansi.StringWidth(text), 0))
}

// clean puts text on one line, without escape codes and control characters: it comes from outside.
func (p painter) clean(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return ' '
		case p.look.ASCII && r >= utf8.RuneSelf:
			return '?'
		}
		return r
	}, strings.ToValidUTF8(ansi.Strip(text), "?"))
	return strings.Join(strings.Fields(text), " ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// clockOf is minutes and seconds.
func clockOf(d time.Duration) string {
	seconds := int(d.Seconds())
	return fmt.Sprintf("%02d:%02d", seconds/60, seconds%60)
}

// roughly is as exact as a guess should be.
func roughly(d time.Duration) string {
	switch {
	case d < time.Second:
		return "1 s"
	case d < 90*time.Second:
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	case d < 90*time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()+0.5))
	default:
		return fmt.Sprintf("%d h", int(d.Hours()+0.5))
	}
}
