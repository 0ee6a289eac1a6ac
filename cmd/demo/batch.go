package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/model"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/summary"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/telemetry"
	"github.com/mistersmith/mistersmith/routing"
)

// batchAhead is how many items of a batch are with the hub at a time: enough for commits of the store to be shared.
const batchAhead = 512

// batchJob is a batch at work.
type batchJob struct {
	*job
	file    *batch.File
	earlier map[string]routing.State // what earlier processes settled, by task
	settled func(item batch.Item, ok bool)

	resultsMu sync.Mutex
	outcomes  map[string]batch.Outcome // by the item's id
}

// runBatch works a batch off, until stop ends: from its file to exit code. Nothing is done before all of the file is known to be right.
func runBatch(ctx, stop context.Context, cfg config, console *console) error {
	file, err := batch.Read(cfg.input)
	if err != nil {
		return err
	}
	rec, err := openBatchRecord(&cfg, file, console)
	if err != nil {
		return err
	}
	if err := needsModel(cfg, file); err != nil {
		return errors.Join(err, rec.close())
	}
	tell, closeTelemetry, err := openTelemetry(ctx, cfg, console)
	if err != nil {
		return errors.Join(err, rec.close())
	}
	defer closeTelemetry()

	s, err := conductBatch(stop, cfg, file, rec, console, tell)
	err = errors.Join(err, rec.close())
	s.Break(err)
	return exitOf(s, errors.Join(err, console.summary(s, batchPointers(s, cfg, err == nil)...)))
}

// needsModel checks that the model can do what the batch wants of it.
func needsModel(cfg config, file *batch.File) error {
	for _, item := range file.Items {
		switch {
		case cfg.llm == "" && item.Type == batch.TypeRequest && item.URL != batch.ChatURL:
			return fmt.Errorf("input %q: line %d: the embedded model has no %s: name one that has by --llm", cfg.input, item.Line, item.URL)
		case cfg.llm != "" && cfg.model == "" && item.Type != batch.TypeRequest && item.AsksModel():
			return fmt.Errorf("--llm and --model go together: the tasks of %q name no model", cfg.input)
		}
	}
	return nil
}

// conductBatch runs the batch from its tree to its files. See conduct.
func conductBatch(stop context.Context, cfg config, file *batch.File, rec *record, console *console, tell *telemetry.Telemetry) (summary.Summary, error) {
	plan := chaos.Plan{Seed: cfg.seed, Level: cfg.chaos}
	console.beginBatch(cfg, file)
	if url := tell.MetricsURL(); url != "" {
		console.logger.Info("metrics are served", "url", url)
	}
	server, err := model.Listen(model.Config{Faults: func(id string, attempt int) chaos.Fault { return plan.ModelFault(disturbed(id), attempt) }})
	if err != nil {
		return neverBegun(stop, cfg, chaos.Drills{}, err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: cfg.workers, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	client := model.Client{BaseURL: server.URL(), Model: books.EmbeddedModel, HTTP: &http.Client{Transport: transport}}
	if cfg.llm != "" {
		client.BaseURL, client.Model, client.Key = cfg.llm, cfg.model, cfg.key
	}
	crew := &batchCrew{
		crew: crew{plan: plan, sent: newSentLog(), tell: tell, model: line{breaker: modelBreaker, client: client}},
		file: file, items: make(map[string]batch.Item, len(file.Items)), override: cfg.model,
	}
	for _, item := range file.Items {
		crew.items[item.ID] = item
	}

	watch := newWatch(console.event)
	watch.remember(rec.settled)
	go watch.follow()
	options := append(tell.Options(),
		actors.WithLogger(console.logger), actors.WithSubscription(watch.events), actors.WithStore(rec.store),
		actors.WithHub(routing.Options{
			AttemptTimeout: requestTimeout + time.Minute, MaxAttempts: requestAttempts, Interruptions: patience, StoreTimeout: storeTimeout, Results: len(file.Items) + 1,
			OnEvent: watch.task,
		}))
	tree, err := actors.Start(stop, newBatchTree(crew, cfg.workers), options...)
	if err != nil {
		return neverBegun(stop, cfg, chaos.Drills{}, errors.Join(err, closeServer(server)))
	}

	j := &batchJob{
		job:  &job{tree: tree, stop: stop, durable: true, submitted: rec.accepted()},
		file: file, earlier: rec.settled, settled: console.item, outcomes: make(map[string]batch.Outcome, len(file.Items)),
	}
	cut := context.AfterFunc(stop, func() { cutShort(j.job, context.Cause(stop)) })
	progress := console.follow(tree, len(file.Items))
	j.run()
	progress()
	cut()

	pushTelemetry(tell, console)
	c := closing{stop: stop, cfg: cfg, job: j.job, watch: watch, crew: &crew.crew, record: rec}
	s := c.summary(tree, server)
	j.judge(&s)
	return s, batch.Write(cfg.out, newBatchRun(&cfg, file), file, j.outcomes)
}

// run submits all items, in their order, and waits until each is settled or left to the store.
func (j *batchJob) run() {
	items := make(chan batch.Item)
	var wg sync.WaitGroup
	for range min(batchAhead, len(j.file.Items)) {
		wg.Go(func() {
			for item := range items {
				j.do(item)
			}
		})
	}
	for _, item := range j.file.Items {
		items <- item
	}
	close(items)
	wg.Wait()
	if n := len(j.file.Items) - len(j.outcomes); n > 0 && j.stop.Err() == nil {
		j.fault(fmt.Errorf("%d lines have no result, though nobody has cut the run short", n))
	}
}

// do submits one item and waits for its outcome.
func (j *batchJob) do(item batch.Item) {
	id, kind := batchTaskID(item.ID), batchModelType
	if !item.AsksModel() {
		kind = batchFiguresType
	}
	h, err := kind.Submit(j.stop, j.tree, item.ID, routing.ID(id), routing.Wait())
	if err != nil {
		if j.stop.Err() == nil {
			j.fault(fmt.Errorf("%s was refused: %w", id, err))
		}
		return
	}
	j.accepted(id)
	result, err := h.Await(context.Background())
	if errors.Is(err, routing.ErrKept) {
		return // the next process goes on with it
	}
	o, err := outcomeOf(item, result, err)
	if err != nil {
		j.fault(err)
		return
	}
	if _, before := j.earlier[id]; !before {
		j.settled(item, o.OK())
	}
	j.resultsMu.Lock()
	defer j.resultsMu.Unlock()
	j.outcomes[item.ID] = o
}

// outcomeOf says what came of an item, by what came of its task.
func outcomeOf(item batch.Item, result json.RawMessage, err error) (batch.Outcome, error) {
	switch {
	case err != nil:
		return batch.Outcome{Fault: faultOf(err)}, nil
	case item.Type != batch.TypeRequest:
		return batch.Outcome{Result: result}, nil
	}
	var reply batch.Reply
	if err := json.Unmarshal(result, &reply); err != nil {
		return batch.Outcome{}, fmt.Errorf("the reply to %s: %w", item.ID, err)
	}
	return batch.Outcome{Reply: &reply}, nil
}

func faultOf(err error) *batch.Fault {
	f := &batch.Fault{Code: batch.CodeFailed, Message: err.Error()}
	if failed := (*routing.TaskError)(nil); errors.As(err, &failed) && failed.Err != nil {
		f.Message = failed.Err.Error()
	}
	f.Message = strings.Join(strings.Fields(f.Message), " ")
	switch {
	case errors.Is(err, routing.ErrQuarantined):
		f.Code = batch.CodeQuarantined
	case errors.Is(err, routing.ErrCancelled):
		f.Code = batch.CodeCancelled
	case errors.Is(err, routing.ErrExpired):
		f.Code = batch.CodeExpired
	}
	return f
}

// judge counts the requests that the model refused as failed: to the hub, a refusal is a result.
func (j *batchJob) judge(s *summary.Summary) {
	refused := 0
	for _, o := range j.outcomes {
		if o.Fault == nil && !o.OK() {
			refused++
		}
	}
	if refused == 0 {
		return
	}
	s.Tasks.Done, s.Tasks.Failed = s.Tasks.Done-refused, s.Tasks.Failed+refused
	s.Problems = append(s.Problems, fmt.Sprintf("requests that the model refused: %d", refused))
	if s.ExitCode == summary.ExitOK {
		s.Verdict, s.ExitCode = summary.VerdictTasks, summary.ExitTasks
	}
}

func (c *console) beginBatch(cfg config, file *batch.File) {
	if c.live != nil {
		c.live.title = fmt.Sprintf("batch %s, %d %s", cfg.input, len(file.Items), file.Form)
		return
	}
	c.logger.Info("working off a batch", "input", cfg.input, "form", file.Form, "items", len(file.Items), "store", cfg.store, "chaos", cfg.chaos.String())
}

// item tells that an item is settled, by its own id.
func (c *console) item(item batch.Item, ok bool) {
	l := taskLine{"task", item.ID, batch.StatusDone}
	if !ok {
		l.Status = batch.StatusFailed
	}
	c.line(l)
}

// batchPointers say where the output of a batch is, if it was written, and how it goes on if it was cut short or wasn't.
func batchPointers(s summary.Summary, cfg config, written bool) (all []pointer) {
	for _, p := range []pointer{{"output", filepath.Join(cfg.out, batch.OutputFile)}, {"errors", filepath.Join(cfg.out, batch.ErrorsFile)}} {
		if written && exists(p.where) {
			all = append(all, p)
		}
	}
	if !written || s.ExitCode == summary.ExitInterrupted || s.ExitCode == summary.ExitTimeout {
		all = append(all, pointer{"go on", "demo --resume --store " + cfg.store})
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// isBatchFolder reports whether a folder is that of a batch.
func isBatchFolder(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, batch.RunFile))
	return err == nil
}

// verifyBatch is the verify command for the folder of a batch.
func verifyBatch(dir string, out io.Writer) error {
	v, err := batch.Verify(dir)
	if err != nil {
		return err
	}
	return verdict(out, v.Findings, fmt.Sprintf("verified: %d %s of %s, each with one line: %d done, %d failed; %d computed again\n",
		v.Run.Items, v.Run.Form, v.Run.Input, v.OK, v.Failed, v.Computed))
}
