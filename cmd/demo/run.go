package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/report"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/telemetry"
	"github.com/mistersmith/mistersmith/routing"
)

// Limits of a run's parts.
const (
	stopTimeout    = time.Minute      // of the tree and of the model server: neither should take long, but the machine may
	attemptTimeout = 30 * time.Second // of one attempt at a task

	// patience is how often in a row a task may be in hand when the process dies: as long as somebody kills the demo, that isn't the task's fault.
	patience = 1000
)

// What can cut a run short.
var (
	errInterrupted = errors.New("interrupted")
	errOutOfTime   = errors.New("out of time")
)

// Names of files in a run's folder, besides the books.
const (
	summaryFile = "summary.json" // what the run counted; no two runs count the same
	reportFile  = "report.md"    // what the results yield, and nothing else
	htmlFile    = "report.html"  // the same, drawn, and how the run went
)

// run is the run command: from flags to exit code.
func run(ctx context.Context, c *cli.Command) error {
	cfg, err := readConfig(c, os.Getenv)
	if err != nil {
		return err
	}
	console := newConsole(c.Root().Writer, c.Root().ErrWriter, cfg, os.Getenv)
	asBatch, err := meansBatch(&cfg)
	if err != nil {
		return err
	}
	stop, release := interrupts(console, cfg.timeout)
	defer release()
	if asBatch {
		return runBatch(ctx, stop, cfg, console)
	}
	rec, err := openRecord(&cfg, console)
	if err != nil {
		return err
	}
	in, err := source.Open(ctx, cfg.input)
	if err != nil {
		return errors.Join(err, rec.close())
	}
	if err := rec.begin(&cfg, in); err != nil {
		return errors.Join(err, rec.close())
	}
	if cfg.out, err = outputFolder(cfg.out, batch.RunFile, batch.StoreFile); err != nil {
		return errors.Join(err, rec.close())
	}
	tell, closeTelemetry, err := openTelemetry(ctx, cfg, console)
	if err != nil {
		return errors.Join(err, rec.close())
	}
	defer closeTelemetry()

	s, err := conduct(stop, cfg, in, rec, console, tell)
	err = errors.Join(err, rec.close())
	s.Break(err)
	pointers := []pointer{{"results", cfg.out}}
	if page := filepath.Join(cfg.out, htmlFile); err == nil && exists(page) {
		pointers = append([]pointer{{"report", page}}, pointers...)
	}
	return exitOf(s, errors.Join(err, console.summary(s, pointers...)))
}

// openTelemetry opens what the flags ask for. What can't be sent at its end is logged.
func openTelemetry(ctx context.Context, cfg config, console *console) (tell *telemetry.Telemetry, done func(), err error) {
	cfg.tell.Logger = console.logger
	tell, err = telemetry.Open(ctx, cfg.tell)
	if err != nil {
		return nil, nil, err
	}
	return tell, func() {
		if err := tell.Close(context.WithoutCancel(ctx)); err != nil {
			console.logger.Warn("telemetry is lost", "error", err)
		}
	}, nil
}

// pushTelemetry sends the metrics of a run whose tree still runs. See [telemetry.Telemetry.Push].
func pushTelemetry(tell *telemetry.Telemetry, console *console) {
	if err := tell.Push(context.Background()); err != nil {
		console.logger.Warn("telemetry is lost", "error", err)
	}
}

// exitOf is the error, with its exit code, that a run ends with; nil if all is as it should be.
func exitOf(s summary.Summary, err error) error {
	switch {
	case err != nil:
		return exitError{err, max(s.ExitCode, summary.ExitBroken)}
	case s.ExitCode != summary.ExitOK:
		return exitError{nil, s.ExitCode}
	default:
		return nil
	}
}

// outputFolder makes the folder for the files, and sees that they can be written to it, before any work is done. A folder with one of the others, files of
// another kind of run, is refused: verify could check one of the two only.
func outputFolder(dir string, others ...string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "mistersmith-")
	}
	for _, name := range others {
		if exists(filepath.Join(dir, name)) {
			return "", fmt.Errorf("--out: %s is there, of another kind of run: name a folder of its own", filepath.Join(dir, name))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("--out: %w", err)
	}
	probe, err := os.CreateTemp(dir, ".mistersmith-*")
	if err != nil {
		return "", fmt.Errorf("--out: nothing can be written there: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return "", fmt.Errorf("--out: %w", err)
	}
	return filepath.Abs(dir)
}

// conduct runs the job from its tree to its files. stop ends when the run is to be cut short, with errInterrupted or errOutOfTime as its cause.
func conduct(stop context.Context, cfg config, in *source.Input, rec *record, console *console, tell *telemetry.Telemetry) (summary.Summary, error) {
	plan := chaos.Plan{Seed: cfg.seed, Level: cfg.chaos}
	planted := plan.Drills()
	console.begin(cfg, in)
	if url := tell.MetricsURL(); url != "" {
		console.logger.Info("metrics are served", "url", url)
	}

	server, err := model.Listen(model.Config{Faults: plan.ModelFault})
	if err != nil {
		return neverBegun(stop, cfg, planted, err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: cfg.workers, IdleConnTimeout: time.Minute}
	defer transport.CloseIdleConnections()
	embedded := model.Client{BaseURL: server.URL(), Model: books.EmbeddedModel, HTTP: &http.Client{Transport: transport}}
	crew := &crew{plan: plan, sent: newSentLog(), tell: tell, seen: newSightings(), over: newOnce(),
		model: line{breaker: modelBreaker, client: embedded}, outage: line{breaker: outageBreaker, client: embedded}, stream: line{breaker: stallBreaker, client: embedded}}
	if cfg.llm != "" {
		crew.model.client = model.Client{BaseURL: cfg.llm, Model: cfg.model, Key: cfg.key, HTTP: embedded.HTTP}
	}
	if tell.Wanted() {
		crew.model.client.Tokens = &model.TokenCount{}
	}

	drills := newDrills(planted, crew)
	owed := owed(drills, rec.begun)
	crew.seen.add(poisonings, rec.crashes)

	course, sees := newCourse(), crew.seen.watcher(drills)
	watch := newWatch(func(e actors.Event) { console.event(e); course.event(e); sees(e) })
	watch.remember(rec.settled)
	go watch.follow()
	options := append(tell.Options(),
		actors.WithLogger(console.logger), actors.WithSubscription(watch.events),
		actors.WithHub(routing.Options{
			AttemptTimeout: attemptTimeout, Interruptions: patience, StoreTimeout: storeTimeout, Results: len(taskIDs(in, planted)) + 1, Types: typeOptions(drills),
			OnEvent: func(e routing.Event) { watch.task(e); console.task(e); course.task(e) },
		}))
	if rec.store != nil {
		options = append(options, actors.WithStore(rec.store))
	}
	tree, err := actors.Start(stop, newTree(crew, in, cfg.workers, countPlanned(plan, in), drills), options...)
	if err != nil {
		return neverBegun(stop, cfg, planted, errors.Join(err, closeServer(server)))
	}

	j := &job{tree: tree, stop: stop, durable: rec.store != nil, submitted: rec.accepted()}
	cut := context.AfterFunc(stop, func() { cutShort(j, context.Cause(stop)) })
	progress := console.follow(tree, len(taskIDs(in, planted)))
	j.run(in, drills)
	crew.rest(stop, tree, owed)
	progress()
	cut()

	pushTelemetry(tell, console)
	c := closing{stop: stop, cfg: cfg, drills: planted, owed: owed, job: j, watch: watch, crew: crew, record: rec}
	s := c.summary(tree, server)
	err = writeFiles(cfg, in, plan, j.records, &s, course.end(s))
	return s, err
}

// neverBegun closes a run whose system could not be started. Being cut short meanwhile is no error.
func neverBegun(stop context.Context, cfg config, drills chaos.Drills, err error) (summary.Summary, error) {
	c := closing{stop: stop, cfg: cfg, drills: drills}
	s, f := c.begin()
	s.Judge(f)
	if f.Interrupted || f.OutOfTime {
		return s, nil
	}
	s.Break(err)
	return s, err
}

// taskIDs lists the tasks of a run.
func taskIDs(in *source.Input, drills chaos.Drills) []string {
	return append(task.ForFiles(in.Paths()), drills.All()...)
}

// writeFiles puts the books, the report, in both its forms, and the summary into the folder of the run. The summary comes last, and says what could not be written.
func writeFiles(cfg config, in *source.Input, plan chaos.Plan, records []books.Record, s *summary.Summary, course report.Course) error {
	name := books.EmbeddedModel
	if cfg.llm != "" {
		name = cfg.model
	}
	run := books.NewRun(in, plan, name)
	err := books.Write(cfg.out, run, records)
	if err == nil {
		err = writeReport(cfg.out, run, records, course)
	}
	s.Break(err)
	var counts bytes.Buffer
	if err := s.WriteJSON(&counts); err != nil {
		return err
	}
	return errors.Join(err, books.WriteFile(filepath.Join(cfg.out, summaryFile), counts.Bytes()))
}

func writeReport(dir string, run books.Run, records []books.Record, course report.Course) error {
	page, err := report.New(run, records)
	if err != nil {
		return err
	}
	return errors.Join(
		books.WriteFile(filepath.Join(dir, reportFile), page.Markdown()),
		books.WriteFile(filepath.Join(dir, htmlFile), page.HTML(course)))
}
