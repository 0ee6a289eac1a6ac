package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/view"
)

// keptEvents is how many of the last events the view has.
const keptEvents = 64

// live is the view of a run that is being drawn, and what happened lately. A nil one is none.
type live struct {
	began time.Time
	title string

	mu      sync.Mutex
	program *view.Program // nil while nothing is drawn
	note    string
	events  []view.Event
	pace    view.Pace
}

// canDraw reports whether the view is of use: on a terminal that can show it, unless the user wants something else there.
func canDraw(cfg config, out, log io.Writer, getenv func(string) string) bool {
	if cfg.plain || cfg.quiet || getenv("TERM") == "dumb" || cfg.json && isTerminal(out) {
		return false
	}
	f, ok := log.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	if !inForeground(f) {
		return false // a terminal stops who draws on it from behind
	}
	width, height, err := term.GetSize(int(f.Fd()))
	return err == nil && width >= view.SmallestWidth && height >= view.SmallestHeight
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// wantsColour reads --color, and on auto looks at what there is.
func wantsColour(cfg config, log io.Writer, getenv func(string) string) bool {
	switch cfg.colour {
	case "always":
		return true
	case "never":
		return false
	default:
		return isTerminal(log) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	}
}

// draw begins to draw the run of a tree with so many tasks.
func (l *live) draw(c *console, tree *actors.Tree, total int) {
	keyboard := io.Reader(nil)
	if term.IsTerminal(int(os.Stdin.Fd())) {
		keyboard = os.Stdin
	}
	p := view.Start(view.Config{
		Look: view.Look{Colour: c.colour, ASCII: c.ascii}, Screen: c.log, Keyboard: keyboard, Environ: os.Environ(),
		Now: func() view.Model { return l.now(tree, total) }, Interrupt: func() { c.interrupt(os.Interrupt) },
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.program = p
}

// now is what there is to see.
func (l *live) now(tree *actors.Tree, total int) view.Model {
	counts, picture := tree.Hub().Counts(), tree.Snapshot()
	l.mu.Lock()
	defer l.mu.Unlock()
	elapsed := time.Since(l.began)
	settled := int(counts.Settled())
	l.pace.Note(elapsed, settled)
	return view.Model{
		Title: l.title, Note: l.note, Elapsed: elapsed, Total: total, Settled: settled, Running: int(counts.Leased), Waiting: int(counts.Waiting),
		Attempts: int(counts.Attempts), Restarts: restartsIn(picture), Quarantined: int(counts.Quarantined), Failed: int(counts.Failed),
		Rate: l.pace.Rate(), Left: l.pace.Left(total - settled), Tree: picture, Events: slices.Clone(l.events),
	}
}

func restartsIn(n actors.NodeSnapshot) int {
	sum := n.Restarts
	for _, child := range n.Children {
		sum += restartsIn(child)
	}
	return sum
}

// end leaves the terminal as it was. It may be called more than once.
func (l *live) end() error {
	l.mu.Lock()
	p := l.program
	l.mu.Unlock()
	if p == nil {
		return nil
	}
	err := p.End()
	l.mu.Lock()
	l.program = nil
	l.mu.Unlock()
	return err
}

// tell shows something that the user should know now.
func (l *live) tell(note string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note = note
}

// take takes in what would be logged, if the view is there instead.
func (l *live) take(r slog.Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) == keptEvents {
		l.events = slices.Delete(l.events, 0, 1)
	}
	l.events = append(l.events, view.Event{At: r.Time.Sub(l.began), Grave: r.Level >= slog.LevelWarn, Text: sentence(r)})
	return l.program != nil
}

// sentence is a log record in short: where, what, and the rest.
func sentence(r slog.Record) string {
	where, rest := "", []string{}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "path":
			where = a.Value.String() + " "
		case "incarnation", "context", "class":
		case "reason":
			rest = append(rest, a.Value.String())
		default:
			rest = append(rest, a.Key+" "+a.Value.String())
		}
		return true
	})
	text := where + r.Message
	if len(rest) > 0 {
		text += ": " + strings.Join(rest, ", ")
	}
	return text
}

// instead is a log handler that gives way to the view while that is there.
type instead struct {
	slog.Handler
	live *live
}

func (h instead) Handle(ctx context.Context, r slog.Record) error {
	if h.live.take(r) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h instead) WithAttrs(attrs []slog.Attr) slog.Handler {
	return instead{h.Handler.WithAttrs(attrs), h.live}
}

func (h instead) WithGroup(name string) slog.Handler {
	return instead{h.Handler.WithGroup(name), h.live}
}

// follow shows how far the run is until the function it returns is called: as a view, or else with a line now and then.
func (c *console) follow(tree *actors.Tree, total int) (end func()) {
	if c.live == nil {
		return c.progress(tree.Hub(), total)
	}
	c.live.draw(c, tree, total)
	return func() {
		if err := c.live.end(); err != nil {
			c.logger.Warn("the view ended early", "error", err)
		}
	}
}

// leave leaves the terminal as it was, when the process ends at once.
func (c *console) leave() {
	if c.live != nil {
		_ = c.live.end() // there is nobody left to tell
	}
}

// notice tells the user of something at once, in the view or in the log.
func (c *console) notice(text string, attrs ...any) {
	c.logger.Warn(text, attrs...)
	if c.live != nil {
		c.live.tell(text)
	}
}

// title is what a run works on, in a line.
func title(cfg config, input string) string {
	return fmt.Sprintf("auditing %s, seed %d, chaos %s", input, cfg.seed, cfg.chaos)
}
