package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mistersmith/mistersmith/cmd/demo/internal/batch"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/books"
	"github.com/mistersmith/mistersmith/cmd/demo/internal/chaos"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/routing/boltstore"
)

// storedBatch is what a store says of the batch that it belongs to.
type storedBatch struct {
	Run batch.Run `json:"batch"`
	Out string    `json:"out"`
}

const batchKey = routing.ApplicationPrefix + "batch"

// isBatch reports whether an input's name is that of a batch.
func isBatch(input string) bool { return strings.EqualFold(filepath.Ext(input), ".jsonl") }

// hasStoreOfItsOwn reports whether a run may have a store that nobody named: that of a batch lies beside its output.
func hasStoreOfItsOwn(cfg config) bool { return isBatch(cfg.input) || cfg.input == "" && cfg.out != "" }

// forBatch sets what is otherwise for a batch where the user doesn't say: nothing goes wrong on purpose, and it takes as long as it takes.
func (cfg *config) forBatch() {
	if !cfg.chosen["chaos"] {
		cfg.chaos = chaos.Off
	}
	if !cfg.chosen["timeout"] {
		cfg.timeout = 0
	}
}

// meansBatch reports whether a run is a batch: by its input, or by the store that it goes on with. Of that it takes over the input then.
func meansBatch(cfg *config) (bool, error) {
	byName := isBatch(cfg.input)
	if !cfg.resume || byName && cfg.store != "" {
		return byName, nil // what is in the store is looked at when it is opened
	}
	store := cfg.store
	if store == "" && cfg.out != "" {
		store = filepath.Join(cfg.out, batch.StoreFile)
	}
	stored, err := peekBatch(store)
	switch {
	case byName && errors.Is(err, fs.ErrNotExist):
		return true, nil
	case cfg.store == "" && errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("--resume needs --store: there is no %s in --out %s", batch.StoreFile, cfg.out)
	case err != nil || stored == nil:
		return byName, nil // whoever opens it will say what is wrong with it
	case byName:
		return true, nil
	case cfg.input != "":
		return false, fmt.Errorf("--store: %s is of a batch, %s, not of %s", cfg.store, stored.Run.Input, cfg.input)
	}
	cfg.input = stored.Run.Input
	cfg.forBatch()
	return true, nil
}

// peekBatch reads what batch a store is of, nil if of none.
func peekBatch(path string) (*storedBatch, error) {
	if path == "" {
		return nil, fs.ErrNotExist
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	store, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return nil, err
	}
	stored, err := readBatch(store)
	return stored, errors.Join(err, store.Close())
}

func readBatch(store *boltstore.Store) (stored *storedBatch, err error) {
	err = store.Load(context.Background(), func(r routing.Record) error {
		if r.Key != batchKey {
			return nil
		}
		stored = &storedBatch{}
		return json.Unmarshal(r.Data, stored)
	})
	return stored, err
}

// openBatchRecord opens the store of a batch, which has one always, and takes from it what the command line doesn't say. cfg.out is set then.
func openBatchRecord(cfg *config, file *batch.File, c *console) (*record, error) {
	if cfg.store == "" && cfg.out == "" && cfg.resume {
		return nil, errors.New("--resume needs --out or --store: where to go on from")
	}
	if cfg.store == "" || cfg.out != "" {
		var err error
		if cfg.out, err = outputFolder(cfg.out, books.RunFile); err != nil {
			return nil, err
		}
	}
	if cfg.store == "" {
		cfg.store = filepath.Join(cfg.out, batch.StoreFile)
	}
	return openStore(cfg, c, func(r *record) error { return r.beginBatch(cfg, file) })
}

// beginBatch goes on with the batch that the store is of, which must be this one, or notes in a new store what it is of.
func (r *record) beginBatch(cfg *config, file *batch.File) error {
	if err := r.read(); err != nil {
		return err
	}
	stored, err := readBatch(r.store)
	switch {
	case err != nil:
		return err
	case stored != nil:
		return stored.adopt(cfg, file)
	case r.run != nil || len(r.tasks) > 0:
		return errors.New("it is not of a batch")
	}
	if cfg.out, err = outputFolder(cfg.out); err != nil {
		return err
	}
	data, err := json.Marshal(storedBatch{newBatchRun(cfg, file), cfg.out})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	return r.store.Commit(ctx, []routing.Record{{Key: batchKey, Data: data}})
}

// adopt takes over what the batch is about. What the command line says otherwise is refused.
func (s *storedBatch) adopt(cfg *config, file *batch.File) error {
	if s.Run.SHA256 != file.SHA256 {
		return fmt.Errorf("the input, %s, is not what it was when the run began", file.Name)
	}
	faults := cfg.adopt(s.Run.Seed, s.Run.Chaos, s.Run.LLM, s.Run.Model)
	if !cfg.chosen["out"] {
		cfg.out = s.Out
	}
	var err error
	cfg.out, err = outputFolder(cfg.out)
	return errors.Join(faults, err)
}

func newBatchRun(cfg *config, file *batch.File) batch.Run {
	model := cfg.model
	if cfg.llm == "" {
		model = books.EmbeddedModel
	}
	return batch.Run{
		Format: batch.Format, Input: file.Name, SHA256: file.SHA256, Form: file.Form, Items: len(file.Items),
		Seed: cfg.seed, Chaos: cfg.chaos.String(), Model: model, LLM: cfg.llm,
	}
}
