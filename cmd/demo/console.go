package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/routing"
)

// console is the face of a run: results to stdout, the log to stderr.
type console struct {
	out    io.Writer
	json   bool
	logger *slog.Logger

	mu sync.Mutex // guards out: events come from several goroutines
}

// progressEvery is how often a run says how far it is.
const progressEvery = 2 * time.Second

func newConsole(out, log io.Writer, asJSON bool) *console {
	return &console{out: out, json: asJSON, logger: newLogger(log, os.Getenv)}
}

// newLogger logs in colour on a terminal, unless NO_COLOR says no, and plainly elsewhere.
func newLogger(w io.Writer, getenv func(string) string) *slog.Logger {
	colour := false
	if f, ok := w.(*os.File); ok {
		colour = term.IsTerminal(int(f.Fd())) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: slog.LevelInfo, TimeFormat: "15:04:05.000", NoColor: !colour}))
}

func (c *console) begin(cfg config, in *source.Input) {
	if in.Note != "" {
		c.logger.Warn(in.Note)
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
	if err != nil {
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

// summary prints the last word of a run.
func (c *console) summary(s summary.Summary, dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.json {
		return s.WriteJSON(c.out)
	}
	if err := s.WriteText(c.out); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.out, "\nreport   %s\nresults  %s\n", filepath.Join(dir, htmlFile), dir)
	return err
}
