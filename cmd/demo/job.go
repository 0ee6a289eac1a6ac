package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/audit"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
)

// job submits the tasks of a run and collects what becomes of them.
type job struct {
	tree    *actors.Tree
	stop    context.Context // ends when nothing more is to be submitted
	durable bool            // what isn't settled is kept for the next process

	mu        sync.Mutex
	submitted map[string]bool // by earlier processes of the run too
	records   []books.Record
	faults    []error // what kept a task from being submitted or recorded
	cancels   []func(error)
}

// run submits everything and waits until all of it is settled.
func (j *job) run(in *source.Input, drills []drill) {
	var wg sync.WaitGroup
	for _, f := range in.Files {
		wg.Go(func() { j.audit(f) })
	}
	for _, d := range drills {
		wg.Go(func() { d.run(j) })
	}
	wg.Wait()
	slices.SortFunc(j.records, func(a, b books.Record) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
}

// audit runs the three tasks of a file: its review starts when its summary and its figures are in.
func (j *job) audit(f source.File) {
	var in reviewInput
	var summaryErr, metricsErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		in.Summary, summaryErr = do(j, summarizeType, task.SummarizeID(f.Path), audit.Document(audit.Parse(f.Path, f.Data)))
	})
	wg.Go(func() { in.Metrics, metricsErr = do(j, metricsType, task.MetricsID(f.Path), f.Path) })
	wg.Wait()
	id := task.ReviewID(f.Path)
	if err := errors.Join(summaryErr, metricsErr); err != nil {
		j.record(id, nil, fmt.Errorf("%s: not started, because what it needs is missing: %w", id, err))
		return
	}
	_, _ = do(j, reviewType, id, in) // the record says what became of it
}

// do submits one task and waits for its outcome, which it records.
func do[In, Out any](j *job, t routing.Type[In, Out], id string, in In, opts ...routing.SubmitOption) (Out, error) {
	h, err := submit(j, t, id, in, opts...)
	if err != nil {
		var zero Out
		return zero, err
	}
	return finish(j, h)
}

// submit submits one task. A refusal is recorded; what is accepted is to be finished.
func submit[In, Out any](j *job, t routing.Type[In, Out], id string, in In, opts ...routing.SubmitOption) (*routing.Handle[Out], error) {
	h, err := t.Submit(j.stop, j.tree, in, append(opts, routing.ID(id), routing.Wait())...)
	if err != nil {
		j.record(id, nil, err)
		if j.stop.Err() == nil {
			j.fault(fmt.Errorf("%s was refused: %w", id, err))
		}
		return nil, err
	}
	j.accepted(id)
	j.mu.Lock()
	j.cancels = append(j.cancels, func(cause error) {
		if h.Status() == routing.StateWaiting {
			h.Cancel(cause)
		}
	})
	j.mu.Unlock()
	return h, nil
}

// accepted notes that the hub has accepted a task.
func (j *job) accepted(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.submitted[id] = true
}

// finish waits for the outcome of a task, and records it.
func finish[Out any](j *job, h *routing.Handle[Out]) (Out, error) {
	out, err := h.Await(context.Background()) // every accepted task is settled: that is the point
	j.record(h.ID(), out, err)
	return out, err
}

// fault notes what must not happen.
func (j *job) fault(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faults = append(j.faults, err)
}

// cancelWaiting cancels what no agent is working on.
func (j *job) cancelWaiting(cause error) {
	j.mu.Lock()
	cancels := slices.Clone(j.cancels)
	j.mu.Unlock()
	for _, cancel := range cancels {
		cancel(cause)
	}
}

func (j *job) record(id string, result any, err error) {
	if err != nil && j.durable && (errors.Is(err, routing.ErrKept) || j.stop.Err() != nil && errors.Is(err, context.Cause(j.stop))) {
		return // the next process goes on with it
	}
	status := books.Failed
	switch {
	case err == nil:
		status = books.Done
	case errors.Is(err, routing.ErrQuarantined):
		status = books.Quarantined
	case errors.Is(err, routing.ErrCancelled), errors.Is(err, routing.ErrClosed), errors.Is(err, errInterrupted), errors.Is(err, errOutOfTime):
		status = books.Cancelled
	case errors.Is(err, routing.ErrExpired):
		status = books.Expired
	}
	r, fault := books.NewRecord(id, status, result)
	j.mu.Lock()
	defer j.mu.Unlock()
	if fault != nil {
		j.faults = append(j.faults, fault)
		return
	}
	j.records = append(j.records, r)
}
