package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/source"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/task"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/routing/boltstore"
)

// record is the store of a run, and what earlier processes of the run left in it. Without a store there is none of that.
type record struct {
	store *boltstore.Store
	run   *storedRun // nil in a new store

	tasks   []string
	settled map[string]routing.State // of these
	crashes int                      // of poison, that are recorded
	begun   map[string]bool          // tasks that some agent has had, or that are settled
}

// accepted returns the tasks that earlier processes have submitted.
func (r *record) accepted() map[string]bool {
	accepted := make(map[string]bool)
	for _, id := range r.tasks {
		accepted[id] = true
	}
	return accepted
}

// storedRun is what a store says of the run that it belongs to.
type storedRun struct {
	Books books.Run `json:"run"`
	LLM   string    `json:"llm,omitempty"`
	Out   string    `json:"out,omitempty"` // if it was named
}

const (
	runKey       = routing.ApplicationPrefix + "run"
	storeTimeout = time.Minute // of a commit: a run isn't given up because the machine stands still
)

// openRecord opens the store, if there is to be one, and takes from it what the command line doesn't say.
func openRecord(cfg *config, c *console) (*record, error) {
	if cfg.store == "" {
		return &record{}, nil
	}
	return openStore(cfg, c, func(r *record) error {
		err := r.read()
		if err == nil && r.run != nil {
			err = r.adopt(cfg)
		}
		return err
	})
}

// openStore opens the store that the command line names, or makes it, and lets begin read what is in it.
func openStore(cfg *config, c *console, begin func(*record) error) (*record, error) {
	switch _, err := os.Stat(cfg.store); {
	case err == nil && !cfg.resume:
		return nil, fmt.Errorf("--store: %s exists: go on with it by --resume, or name another file", cfg.store)
	case errors.Is(err, os.ErrNotExist) && cfg.resume:
		c.logger.Warn("there is no such store: starting fresh", "store", cfg.store)
	}
	r := &record{settled: make(map[string]routing.State), begun: make(map[string]bool)}
	var err error
	if r.store, err = boltstore.Open(cfg.store, boltstore.Options{}); err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	if err := begin(r); err != nil {
		return nil, errors.Join(fmt.Errorf("--store: %s: %w", cfg.store, err), r.close())
	}
	if r.run != nil || len(r.tasks) > 0 {
		c.logger.Info("going on", "store", cfg.store, "accepted", len(r.tasks), "settled", len(r.settled))
	}
	return r, nil
}

// read reads what there is.
func (r *record) read() error {
	contents, err := routing.ReadStore(r.store)
	if err != nil {
		return err
	}
	for _, t := range contents.Tasks {
		r.tasks = append(r.tasks, t.ID)
		if t.State.Settled() {
			r.settled[t.ID] = t.State
		}
		for _, a := range t.Attempts {
			if t.Type == task.Poison.Type() && a.Outcome == routing.OutcomeCrashed {
				r.crashes++
			}
		}
		if t.Attempt > 0 || t.State.Settled() {
			r.begun[t.ID] = true
		}
	}
	return r.store.Load(context.Background(), func(e routing.Record) error {
		if e.Key != runKey {
			return nil
		}
		r.run = &storedRun{}
		return json.Unmarshal(e.Data, r.run)
	})
}

// adopt takes over what the run is about. What the command line says otherwise is refused.
func (r *record) adopt(cfg *config) error {
	err := cfg.adopt(r.run.Books.Seed, r.run.Books.Chaos, r.run.LLM, r.run.Books.Model)
	if !cfg.chosen["input"] {
		cfg.input = r.run.Books.Reopen()
	}
	if !cfg.chosen["out"] {
		cfg.out = r.run.Out
	}
	return err
}

// adopt takes over what a stored run was begun with. What the command line says otherwise is refused.
func (cfg *config) adopt(seed uint64, chaosLevel, llm, model string) error {
	level, err := chaos.ParseLevel(chaosLevel)
	if err != nil {
		return err
	}
	if llm == "" {
		model = "" // the embedded one, which no flag names
	}
	var faults []error
	differs := func(flag string, is bool, stored any) {
		if cfg.chosen[flag] && is {
			faults = append(faults, fmt.Errorf("it is of a run with --%s %v", flag, stored))
		}
	}
	differs("seed", cfg.seed != seed, seed)
	differs("chaos", cfg.chaos != level, level)
	differs("llm", cfg.llm != llm, llm)
	differs("model", cfg.model != model, model)
	cfg.seed, cfg.chaos, cfg.llm, cfg.model = seed, level, llm, model
	return errors.Join(faults...)
}

// begin checks that the input is the one that the run began with, or notes in a new store what run it belongs to.
func (r *record) begin(cfg *config, in *source.Input) error {
	if r.store == nil {
		return nil
	}
	now := newStoredRun(cfg, in)
	if r.run != nil {
		then := r.run.Books
		switch {
		case then.Input != now.Books.Input || then.Dir != now.Books.Dir:
			return fmt.Errorf("--store: %s is of a run on %s, not on %s", cfg.store, then.Input, now.Books.Input)
		case !reflect.DeepEqual(then.Files, now.Books.Files):
			return fmt.Errorf("--store: %s: the input, %s, is not what it was when the run began", cfg.store, then.Input)
		}
		return nil
	}
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := r.store.Commit(ctx, []routing.Record{{Key: runKey, Data: data}}); err != nil {
		return fmt.Errorf("--store: %w", err)
	}
	return nil
}

func newStoredRun(cfg *config, in *source.Input) storedRun {
	model := books.EmbeddedModel
	if cfg.llm != "" {
		model = cfg.model
	}
	run := storedRun{Books: books.NewRun(in, chaos.Plan{Seed: cfg.seed, Level: cfg.chaos}, model), LLM: cfg.llm}
	if cfg.out != "" {
		if out, err := filepath.Abs(cfg.out); err == nil {
			run.Out = out
		}
	}
	return run
}

// close closes the store; twice does nothing.
func (r *record) close() error {
	if r == nil || r.store == nil {
		return nil
	}
	store := r.store
	r.store = nil
	return store.Close()
}
