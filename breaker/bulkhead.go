package breaker

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"
)

// Defaults of a BulkheadConfig and a LimiterConfig.
const (
	DefaultMaxConcurrent = 64
	DefaultMaxWait       = 10 * time.Second
	DefaultMaxWaiting    = 1024

	// NoWaiting as MaxWaiting refuses a call at once that cannot go on at once.
	NoWaiting = -1

	maxPlaces = 1_000_000
)

// BulkheadConfig describes a bulkhead. Its zero value works.
type BulkheadConfig struct {
	Name          string        // in errors. Default "bulkhead"
	MaxConcurrent int           // calls at once. Default 64, at most 1,000,000
	MaxWaiting    int           // calls that wait for a place. Default MaxConcurrent, NoWaiting is none
	MaxWait       time.Duration // for a place. Default 10 s, at most 30 days
}

func (c BulkheadConfig) withDefaults() BulkheadConfig {
	setDefault(&c.Name, "bulkhead")
	setDefault(&c.MaxConcurrent, DefaultMaxConcurrent)
	setDefault(&c.MaxWaiting, c.MaxConcurrent)
	setDefault(&c.MaxWait, DefaultMaxWait)
	return c
}

// Validate reports every fault of the configuration at once.
func (c BulkheadConfig) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.MaxConcurrent < 0 || c.MaxConcurrent > maxPlaces {
		fault("MaxConcurrent is %d: must be between 0 (default) and %d", c.MaxConcurrent, maxPlaces)
	}
	validateWaiting(c.MaxWaiting, c.MaxWait, fault)
	return invalid("bulkhead", c.Name, faults)
}

func validateWaiting(waiting int, wait time.Duration, fault func(string, ...any)) {
	if waiting < NoWaiting || waiting > maxPlaces {
		fault("MaxWaiting is %d: must be NoWaiting, or between 0 (default) and %d", waiting, maxPlaces)
	}
	if wait < 0 || wait > maxDuration {
		fault("MaxWait is %v: must be between 0 (default) and %v", wait, maxDuration)
	}
}

// Bulkhead bounds how many calls run at once, and how many wait for that and for how long, so that one slow dependency
// cannot take all goroutines, connections or memory. Places are given in the order in which they were asked for.
// All methods may be called from any goroutine.
type Bulkhead struct {
	cfg BulkheadConfig

	mu      sync.Mutex // guards what follows
	running int
	waiters list.List // of chan struct{}, closed when the place is given
}

// NewBulkhead makes a bulkhead. The error names every fault of the configuration.
func NewBulkhead(cfg BulkheadConfig) (*Bulkhead, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Bulkhead{cfg: cfg.withDefaults()}, nil
}

// Acquire waits for a place. release gives it back, once, however often it is called. The error is a *SaturatedError
// (errors.Is ErrSaturated) if too many wait already or MaxWait is over, or ctx.Err().
func (b *Bulkhead) Acquire(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	if b.running < b.cfg.MaxConcurrent {
		b.running++
		b.mu.Unlock()
		return sync.OnceFunc(b.release), nil
	}
	if b.waiters.Len() >= b.cfg.MaxWaiting {
		defer b.mu.Unlock()
		return nil, b.saturated()
	}
	given := make(chan struct{})
	place := b.waiters.PushBack(given)
	b.mu.Unlock()

	timer := time.NewTimer(b.cfg.MaxWait)
	defer timer.Stop()
	select {
	case <-given:
		return sync.OnceFunc(b.release), nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-given:
		b.handOver()
	default:
		b.waiters.Remove(place)
	}
	if err == nil {
		err = b.saturated()
	}
	return nil, err
}

// Load is how many calls run, and how many wait.
func (b *Bulkhead) Load() (running, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running, b.waiters.Len()
}

func (b *Bulkhead) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handOver()
}

// handOver gives a place that is free to the first who waits. The caller holds mu.
func (b *Bulkhead) handOver() {
	first := b.waiters.Front()
	if first == nil {
		b.running--
		return
	}
	close(b.waiters.Remove(first).(chan struct{}))
}

// saturated is the refusal. The caller holds mu.
func (b *Bulkhead) saturated() error {
	return &SaturatedError{Name: b.cfg.Name, Running: b.running, Waiting: b.waiters.Len()}
}
