package actors

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/mistersmith/mistersmith/strategies"
)

// This file says a snapshot in words; the forms it is written in are in files of their own.

// maxName bounds names, in characters.
const maxName = 64

// what is what the spec makes of the node.
func (s NodeSnapshot) what() string {
	var words []string
	switch {
	case s.Kind == KindAgent:
		types := make([]string, len(s.Types))
		for i, t := range s.Types {
			types[i] = printable(t, maxName)
		}
		words = append(words, "agent of "+strings.Join(types, ", "))
	case s.Strategy != "":
		words = append(words, printable(s.Strategy, maxName), budget(s.Policy))
		if b := s.Policy.Backoff; !b.IsNone() {
			words = append(words, "backoff "+backoff(b))
		}
		if w := s.Policy.WhenSpent; w != strategies.SpentEscalate {
			words = append(words, "when spent "+w.String())
		}
		if s.AutoShutdown != AutoShutdownNever {
			words = append(words, "auto-shutdown "+s.AutoShutdown.String())
		}
	default:
		words = append(words, s.Kind.String())
	}
	if s.Lifecycle.Restart != Permanent && s.Kind != KindRoot {
		words = append(words, s.Lifecycle.Restart.String())
	}
	if s.Lifecycle.Significant && s.Kind != KindRoot {
		words = append(words, "significant")
	}
	return strings.Join(words, ", ")
}

func budget(p strategies.RestartPolicy) string {
	switch p.MaxRestarts {
	case strategies.NoRestarts:
		return "no restarts"
	case strategies.Unlimited:
		return "restarts without limit"
	case 1:
		return "1 restart in " + short(p.Window)
	default:
		return fmt.Sprintf("%d restarts in %s", p.MaxRestarts, short(p.Window))
	}
}

func backoff(b strategies.Backoff) string {
	first, last := b.Delay(1, 0), b.Delay(1<<20, 0)
	if first == last {
		return short(first)
	}
	return short(first) + " to " + short(last)
}

// short is a duration without parts that are zero: 1m, not 1m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// news is what happened to a node that runs; nothing if all is quiet.
func (s NodeSnapshot) news() []string {
	var news []string
	count := func(n uint64, one, many string) {
		switch n {
		case 0:
		case 1:
			news = append(news, "1 "+one)
		default:
			news = append(news, strconv.FormatUint(n, 10)+" "+many)
		}
	}
	if s.Breaker != nil {
		news = append(news, s.Breaker.State.String())
		count(s.Breaker.Totals.Rejected, "call rejected", "calls rejected")
	}
	count(uint64(s.Restarts), "restart", "restarts")
	count(uint64(s.Failures), "failure", "failures")
	count(uint64(s.Queue), "message waits", "messages wait")
	count(s.Dropped, "message dropped", "messages dropped")
	if s.Failures > 0 && s.Status != StatusRunning {
		if last := s.History[len(s.History)-1]; last.Err != nil {
			news = append(news, "last: "+printable(last.Err.Error(), 80))
		}
	}
	return news
}

// printable puts text on one line, without characters that control what is around them, and bounds it.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// row is one line of a picture: a node, or a run of siblings of which there is nothing to say that isn't the same for each.
type row struct {
	NodeSnapshot
	last string // ID of the last of the run; empty for a single node
	n    int
	role string // "each" of a template
}

// runLength is how many siblings in a row, at least, are drawn as one: those of a pool that is as it should be.
const runLength = 3

// rows are the children as they are drawn.
func (s NodeSnapshot) rows() []row {
	var rows []row
	if s.Template != nil {
		t := *s.Template
		rows = append(rows, row{NodeSnapshot: t, n: 1, role: "template"})
	}
	for rest := s.Children; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].follows(rest[n-1]) {
			n++
		}
		if n < runLength {
			n = 1
		}
		r := row{NodeSnapshot: rest[0], n: n}
		if n > 1 {
			r.last = rest[n-1].ID
		}
		rows = append(rows, r)
		rest = rest[n:]
	}
	return rows
}

// follows reports whether a node is the next of a pool after another, and differs in nothing but its number.
func (s NodeSnapshot) follows(before NodeSnapshot) bool {
	name, number, ok := numbered(s.ID)
	nameBefore, numberBefore, okBefore := numbered(before.ID)
	return ok && okBefore && name == nameBefore && number == numberBefore+1 &&
		s.Kind == before.Kind && s.Status == before.Status && s.Lifecycle == before.Lifecycle && slices.Equal(s.Types, before.Types) &&
		s.isPlain() && before.isPlain()
}

// isPlain reports whether there is nothing to say of a node but what its spec says, and nothing below it.
func (s NodeSnapshot) isPlain() bool {
	return s.Strategy == "" && len(s.Children) == 0 && len(s.news()) == 0
}

// numbered takes apart "summarizer-3".
func numbered(id string) (name string, number int, ok bool) {
	cut := strings.LastIndexByte(id, '-')
	if cut < 1 {
		return "", 0, false
	}
	number, err := strconv.Atoi(id[cut+1:])
	return id[:cut], number, err == nil && number >= 0
}

// label is the row's name.
func (r row) label(through string) string {
	switch {
	case r.role != "":
		return "(" + r.role + ")"
	case r.last != "":
		return printable(r.ID, maxName) + through + printable(r.last, maxName)
	default:
		return printable(r.ID, maxName)
	}
}
