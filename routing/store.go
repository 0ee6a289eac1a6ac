package routing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Store makes a hub's ledger outlive its process: see [Options.Store]. Without one the ledger is in memory. Package boltstore has one in a file; a store of
// one's own needs no more than these two methods.
//
// The hub loads once and commits after that, one call at a time, each with a context that ends after [Options.StoreTimeout]. It doesn't close the
// store: whoever opened it does, after [Hub.Close]. A store belongs to one hub at a time.
type Store interface {
	// Load calls each with every record there is, in any order. It ends with the error of each, if that returns one. The callee keeps nothing of Data.
	Load(ctx context.Context, each func(Record) error) error
	// Commit makes the changes, in their order: all of them or none, and for good once it returns nil. It keeps nothing of what it is given. After an error
	// the hub asks for nothing more.
	Commit(ctx context.Context, changes []Record) error
}

// ApplicationPrefix is what the keys of records begin with that are the application's own. The hub leaves them alone.
const ApplicationPrefix = "app/"

// Record is an entry of a store, or in a commit a change of one.
type Record struct {
	Key  string // at most 5,000 bytes
	Data []byte // nil: there is to be no such entry any more
}

var (
	// ErrStoreNewer says that a store was written by a newer version of this package, which this one can't read.
	ErrStoreNewer = errors.New("the store was written by a newer version")
	// ErrStoreCorrupt says that what a store holds isn't what was written to it.
	ErrStoreCorrupt = errors.New("the store is corrupt")
	// ErrStoreTimeout says that a store took longer than [Options.StoreTimeout].
	ErrStoreTimeout error = deadlineError("the store took too long")
	// ErrKept is in the chain of the error with which those hear of a task's fate who wait for it while its hub is closed, or its store fails: the task isn't settled. It is
	// kept in the store, and goes on when a hub is made with that again.
	ErrKept = errors.New("task is kept in the store")
)

// StoreError says that a store failed. When it does so in a commit, the hub accepts nothing and leases nothing from then on: what it acknowledged
// before is in the store, and goes on when a hub is made with that again, mended.
type StoreError struct {
	Op  string // "load" or "commit"
	Err error
}

func (e *StoreError) Error() string {
	if e.Op == "load" {
		return fmt.Sprintf("load from store: %v", e.Err)
	}
	return fmt.Sprintf("the store failed, the hub does nothing more: %s: %v", e.Op, e.Err)
}

func (e *StoreError) Unwrap() error { return e.Err }

// guarded calls the store's code, or the user's. A panic in it is an error.
func guarded(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return call()
}

var errGoexit = errors.New("runtime.Goexit was called")

// loadAll reads the whole store. It gives up when no record comes for so long; a store that is deaf to its context is left behind.
func loadAll(s Store, timeout time.Duration, each func(Record) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	timer := time.AfterFunc(timeout, func() { cancel(fmt.Errorf("%w: no record in %s", ErrStoreTimeout, timeout)) })
	defer timer.Stop()

	var mu sync.Mutex
	over := false
	result := make(chan error, 1)
	go func() {
		err := errGoexit
		defer func() { result <- err }()
		err = guarded(func() error {
			return s.Load(ctx, func(r Record) error {
				mu.Lock()
				defer mu.Unlock()
				if over {
					return context.Cause(ctx)
				}
				timer.Reset(timeout)
				return each(r)
			})
		})
	}()
	select {
	case err := <-result:
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	case <-ctx.Done():
		mu.Lock()
		defer mu.Unlock()
		over = true
		return context.Cause(ctx)
	}
}
