package breaker

import (
	"cmp"
	"container/list"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Defaults of a RegistryConfig.
const (
	DefaultMaxBreakers = 1024
	DefaultIdleAfter   = 5 * time.Minute

	maxBreakers = 1_000_000
)

// RegistryConfig describes a registry. Its zero value works.
type RegistryConfig struct {
	// Config is that of every breaker. Its Name is put before the key, with a slash, if there is one.
	Config Config

	// Configure, if given, makes the configuration of one key out of the common one. It runs on the goroutine of the first
	// Get of that key, without a lock, perhaps several times.
	Configure func(key string, common Config) Config

	// Max bounds the breakers. Default 1,024, at most 1,000,000.
	Max int

	// IdleAfter is how long nobody may have asked for a breaker before it can be evicted. Default 5 min. It should be longer
	// than a call takes: the results of calls in flight are lost with their breaker.
	IdleAfter time.Duration
}

// Validate reports every fault of the configuration at once.
func (c RegistryConfig) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Max < 0 || c.Max > maxBreakers {
		fault("Max is %d: must be between 0 (default) and %d", c.Max, maxBreakers)
	}
	if c.IdleAfter < 0 || c.IdleAfter > maxDuration {
		fault("IdleAfter is %v: must be between 0 (default) and %v", c.IdleAfter, maxDuration)
	}
	return invalid("registry", c.Config.Name, append(faults, c.Config.Validate()))
}

// Registry has a breaker for each key: an endpoint, a host, a model. It is bounded: when it is full, the breaker that has
// been idle longest makes room, if it is closed. One that is open, half-open or was moved by hand knows something that must
// not be forgotten, and stays. All methods may be called from any goroutine.
type Registry struct {
	cfg RegistryConfig

	mu      sync.Mutex // guards what follows
	entries map[string]*list.Element
	recent  list.List // of *entry, most recently asked for first
	closed  bool
}

type entry struct {
	key     string
	breaker *Breaker
	asked   time.Time
}

// NewRegistry makes an empty registry. The error names every fault of the configuration.
func NewRegistry(cfg RegistryConfig) (*Registry, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	setDefault(&cfg.Max, DefaultMaxBreakers)
	setDefault(&cfg.IdleAfter, DefaultIdleAfter)
	return &Registry{cfg: cfg, entries: make(map[string]*list.Element)}, nil
}

// Get returns the breaker of a key, and makes it if there is none. The error is ErrRegistryFull if none can be evicted,
// ErrStopped after Close, or that of New if Configure made an invalid configuration. Ask for each call: a breaker that was
// evicted goes on working for whoever still has it, but others get another.
func (r *Registry) Get(key string) (*Breaker, error) {
	if b, err := r.lookup(key); b != nil || err != nil {
		return b, err
	}
	fresh, err := r.make(key)
	if err != nil {
		return nil, err
	}
	b, err := r.insert(key, fresh)
	if b != fresh {
		fresh.Close()
	}
	return b, err
}

func (r *Registry) lookup(key string) (*Breaker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrStopped
	}
	at := r.entries[key]
	if at == nil {
		return nil, nil
	}
	r.recent.MoveToFront(at)
	e := at.Value.(*entry)
	e.asked = time.Now()
	return e.breaker, nil
}

func (r *Registry) make(key string) (*Breaker, error) {
	cfg := r.cfg.Config
	if cfg.Name == "" {
		cfg.Name = key
	} else {
		cfg.Name += "/" + key
	}
	if r.cfg.Configure != nil {
		cfg = r.cfg.Configure(key, cfg)
	}
	return New(cfg)
}

// insert puts a new breaker in, unless somebody else was quicker.
func (r *Registry) insert(key string, fresh *Breaker) (*Breaker, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, ErrStopped
	}
	if at := r.entries[key]; at != nil {
		return at.Value.(*entry).breaker, nil
	}
	now := time.Now()
	if len(r.entries) >= r.cfg.Max && !r.evict(now) {
		return nil, ErrRegistryFull
	}
	r.entries[key] = r.recent.PushFront(&entry{key, fresh, now})
	return fresh, nil
}

// evict makes room for one. The caller holds mu.
func (r *Registry) evict(now time.Time) bool {
	for at := r.recent.Back(); at != nil; at = at.Prev() {
		e := at.Value.(*entry)
		if now.Sub(e.asked) < r.cfg.IdleAfter {
			return false // and so are all before it
		}
		if e.breaker.State() == Closed {
			r.recent.Remove(at)
			delete(r.entries, e.key)
			return true
		}
	}
	return false
}

// Len is how many breakers there are.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}

// Snapshots are those of all breakers, by name.
func (r *Registry) Snapshots() []Snapshot {
	var all []Snapshot
	for _, b := range r.breakers() {
		all = append(all, b.Snapshot())
	}
	slices.SortFunc(all, func(a, b Snapshot) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Close closes all breakers, and the registry for good.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	for _, b := range r.breakers() {
		b.Close()
	}
}

func (r *Registry) breakers() []*Breaker {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*Breaker, 0, len(r.entries))
	for at := r.recent.Front(); at != nil; at = at.Next() {
		all = append(all, at.Value.(*entry).breaker)
	}
	return all
}
