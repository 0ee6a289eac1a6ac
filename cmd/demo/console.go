package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lmittmann/tint"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/routing"
)

// console is the face of a run: results to stdout, the log to stderr.
type console struct {
	out    *audience
	log    io.Writer
	json   bool
	colour bool // of what goes to log
	ascii  bool
	logger *slog.Logger
	live   *live // nil without a view

	interrupts chan os.Signal // that are to be heard of

	mu        sync.Mutex // guards out, and what follows: events come from several goroutines
	unprinted error      // why a line could not be printed, if one couldn't
}

// progressEvery is how often a run says how far it is.
const progressEvery = 2 * time.Second

func newConsole(out, log io.Writer, cfg config, getenv func(string) string) *console {
	c := &console{log: log, json: cfg.json, colour: wantsColour(cfg, log, getenv), ascii: cfg.ascii, interrupts: make(chan os.Signal, 2)}
	left := func() { c.interrupt(syscall.SIGPIPE) }
	c.out = &audience{Writer: out, left: left}
	level := slog.LevelInfo
	if cfg.quiet {
		level = slog.LevelError
	}
	handler := slog.Handler(tint.NewTextHandler(&audience{Writer: log, left: left}, &tint.Options{Level: level, TimeFormat: "15:04:05.000", NoColor: !c.colour}))
	if canDraw(cfg, out, log, getenv) {
		c.live = &live{began: time.Now()}
		handler = instead{handler, c.live}
	}
	if cfg.quiet {
		handler = aside{handler}
	}
	c.logger = slog.New(handler)
	return c
}

func (c *console) begin(cfg config, in *source.Input) {
	if in.Note != "" {
		c.logger.Warn(in.Note)
	}
	if c.live != nil {
		c.live.title = title(cfg, in.Name)
		return
	}
	c.logger.Info("auditing", "input", in.Name, "files", len(in.Files), "bytes", in.Bytes(), "seed", cfg.seed, "chaos", cfg.chaos.String())
}

// line prints one JSON object.
func (c *console) line(v any) {
	if !c.json {
		return
	}
	b, err := json.Marshal(v)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		_, err = c.out.Write(append(b, '\n'))
	}
	if err != nil && c.unprinted == nil {
		c.unprinted = err
		c.logger.Error("cannot print", "error", err)
	}
}

// eventLine is a supervision event as a line of JSON.
type eventLine struct {
	Type        string  `json:"type"` // "event"
	Seq         uint64  `json:"seq"`
	Cause       uint64  `json:"cause,omitempty"`
	Kind        string  `json:"kind"`
	Path        string  `json:"path"`
	Incarnation uint64  `json:"incarnation,omitempty"`
	Delay       float64 `json:"delay_ms,omitempty"`
	Text        string  `json:"text"`
}

func (c *console) event(e actors.Event) {
	if e.Kind == actors.Started && e.Incarnation <= 1 {
		return
	}
	c.line(eventLine{"event", e.Seq, e.Cause, e.Kind.String(), e.Path, e.Incarnation, float64(e.Delay.Microseconds()) / 1000, e.String()})
}

// taskLine is a settled task as a line of JSON.
type taskLine struct {
	Type   string `json:"type"` // "task"
	ID     string `json:"id"`
	Status string `json:"status"`
}

func (c *console) task(e routing.Event) {
	if e.Kind == routing.EventSettled {
		c.line(taskLine{"task", e.Task, e.State.String()})
	}
}

// progress says every now and then how far the run is, until the function it returns is called.
func (c *console) progress(hub *routing.Hub, total int) (end func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				n := hub.Counts()
				c.logger.Info("progress", "settled", fmt.Sprintf("%d of %d", n.Settled(), total), "running", n.Leased, "waiting", n.Waiting, "attempts", n.Attempts)
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// pointer says where to find something that a run has left.
type pointer struct{ what, where string }

// summary prints the last word of a run, and on text what else there is.
func (c *console) summary(s summary.Summary, pointers ...pointer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var text strings.Builder // written in one go: whoever reads the first lines only needn't hear the rest
	if c.json {
		_ = s.WriteJSON(&text) // a builder takes everything
	} else {
		_ = s.WriteText(&text)
		text.WriteByte('\n')
		for _, p := range pointers {
			fmt.Fprintf(&text, "%-8s %s\n", p.what, p.where)
		}
	}
	err := printTo(c.out.Writer, text.String()) // the run is over: that nobody reads on can't end it any more
	if err == nil && c.unprinted != nil {
		err = fmt.Errorf("lines are missing from what was printed: %w", c.unprinted)
	}
	return err
}
