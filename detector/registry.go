package detector

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of a Registry.
var (
	// ErrFull says that the registry watches as many things as it may: close some, or raise MaxThings.
	ErrFull = errors.New("detector: registry is full")
	// ErrWatched says that a thing of this name is being watched: close it first, or find it with Lookup.
	ErrWatched = errors.New("detector: name is already watched")
	// ErrClosed says that the watch has been closed.
	ErrClosed = errors.New("detector: watch is closed")
	// ErrForeign says that a class belongs to another registry.
	ErrForeign = errors.New("detector: class belongs to another registry")
)

// DefaultMaxThings is how many things a registry watches at most.
const DefaultMaxThings = 100_000

// RegistryConfig describes a registry. Its zero value is a working configuration.
type RegistryConfig struct {
	// Default is the class of things that are given none.
	Default ClassConfig

	// MaxThings bounds the registry. Default 100,000; at most 16,777,216. A thing takes about 250 bytes, and its name.
	MaxThings int

	// Subscriber is told what happens, one event after the other. It is called by whoever calls Sweep, without any lock held: it may
	// watch, close, suspend and configure, and it may block, which holds up the events and nothing else. May be nil.
	Subscriber func(Event)

	// Panicked is told when the subscriber panics: at which event, and the recovered value. It must not panic itself. The default
	// writes an error to slog's default logger.
	Panicked func(e Event, recovered any)
}

const maxThings = 1 << 24

// Registry watches things: it notices when their heartbeats stop, and tells a subscriber. Heartbeats take no lock. All methods
// may be called from any goroutine.
//
// It reads no clock and has no goroutine: somebody calls Sweep, usually a Sweeper.
//
//	           phi ≥ suspect              phi ≥ threshold
//	healthy ─────────────────▶ suspected ─────────────────▶ failed
//	   ▲                           │                          │
//	   └────────── recovered ──────┴──────────────────────────┘
//
// A thing that is closed says nothing more. One of which nothing has been heard, and one that is unknown or suspended, isn't judged: its
// phi is 0, and it is available.
type Registry struct {
	cfg    RegistryConfig // immutable
	seed   maphash.Seed
	class  *Class // the default
	things atomic.Int64
	wake   chan struct{} // has room for one: somebody has begun to watch something
	next   atomic.Uint32 // shard of the next unlisted thing
	shards [shardCount]shard

	sweeping sync.Mutex // held by Sweep; guards events
	events   []Event    // of the shard that is being swept
}

// NewRegistry makes a registry that watches nothing yet. The error names every fault of the configuration.
func NewRegistry(cfg RegistryConfig) (*Registry, error) {
	if cfg.MaxThings < 0 || cfg.MaxThings > maxThings {
		fault := fmt.Errorf("detector: MaxThings is %d: must be between 0 (default) and %d", cfg.MaxThings, maxThings)
		return nil, errors.Join(fault, cfg.Default.Validate())
	}
	if cfg.Panicked == nil {
		cfg.Panicked = logPanic
	}
	if cfg.MaxThings == 0 {
		cfg.MaxThings = DefaultMaxThings
	}
	r := &Registry{cfg: cfg, seed: maphash.MakeSeed(), wake: make(chan struct{}, 1)}
	for i := range r.shards {
		r.shards[i].init(r)
	}
	class, err := r.NewClass(cfg.Default)
	if err != nil {
		return nil, err
	}
	r.class = class
	return r, nil
}

// NewClass makes a class of things to watch. The error names every fault of the configuration.
func (r *Registry) NewClass(cfg ClassConfig) (*Class, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Class{registry: r}
	c.settings.Store(cfg.settings())
	c.inherit.Store(cfg.Inherit)
	return c, nil
}

// Default is the class of things that were given none: configuring it changes them all.
func (r *Registry) Default() *Class { return r.class }

// Thing says what is to be watched.
type Thing struct {
	// Name stands in its events, and finds it. It must be unique, unless the thing is unlisted.
	Name string

	// Unlisted things can't be found by name, only by their watch. Their names need not be unique.
	Unlisted bool

	// Class is how it's judged. Default: the registry's.
	Class *Class

	// First is how long the first heartbeat may take. 0: the thing isn't judged before it has been heard.
	First time.Duration

	// Data is handed back in the thing's events.
	Data any
}

// Watch begins to watch a thing. It is quick enough to be done for each call that streams its answer, and allocates nothing once the
// registry has grown. The error is ErrFull, ErrWatched or ErrForeign.
func (r *Registry) Watch(now time.Duration, t Thing) (Watch, error) {
	if t.Class == nil {
		t.Class = r.class
	} else if t.Class.registry != r {
		return Watch{}, fmt.Errorf("%w: %q", ErrForeign, t.Name)
	}
	if n := r.things.Add(1); n > int64(r.cfg.MaxThings) {
		r.things.Add(-1)
		return Watch{}, fmt.Errorf("%w: %q would be thing %d", ErrFull, t.Name, r.cfg.MaxThings+1)
	}
	w, err := r.shardOf(t).open(now, t)
	if err != nil {
		r.things.Add(-1)
		return Watch{}, err
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return w, nil
}

// Lookup finds a thing by its name.
func (r *Registry) Lookup(name string) (Watch, bool) { return r.named(name).lookup(name) }

// Heartbeat records a sign of life of the thing of that name, and begins to watch it if it isn't known. A Watch's Beat is several
// times as fast. The error is ErrFull.
func (r *Registry) Heartbeat(name string, now time.Duration) error {
	for {
		w, ok := r.Lookup(name)
		if !ok {
			var err error
			if w, err = r.Watch(now, Thing{Name: name}); errors.Is(err, ErrWatched) {
				continue
			} else if err != nil {
				return err
			}
		}
		w.Beat(now)
		return nil
	}
}

// Remove closes the watch of the thing of that name, and says whether there was one.
func (r *Registry) Remove(name string) bool {
	w, ok := r.Lookup(name)
	return ok && w.Close()
}

// Phi is the present suspicion of the thing of that name: 0 if it's unknown.
func (r *Registry) Phi(name string, now time.Duration) float64 {
	w, _ := r.Lookup(name)
	return w.Phi(now)
}

// Available says whether the thing of that name counts as alive: if it's unknown, it does.
func (r *Registry) Available(name string, now time.Duration) bool {
	w, _ := r.Lookup(name)
	return w.Available(now)
}

// Monitoring says whether there has been a heartbeat of the thing of that name.
func (r *Registry) Monitoring(name string) bool {
	w, _ := r.Lookup(name)
	return w.Monitoring()
}

// Len is how many things are watched.
func (r *Registry) Len() int { return int(r.things.Load()) }

// All calls fn with each thing that is watched, in no order, until it returns false. Things that are watched or closed meanwhile may be
// missed. No lock is held during fn.
func (r *Registry) All(fn func(Watch) bool) {
	for i := range r.shards {
		for _, w := range r.shards[i].all() {
			if !fn(w) {
				return
			}
		}
	}
}

func (r *Registry) named(name string) *shard {
	return &r.shards[maphash.String(r.seed, name)%shardCount]
}

func (r *Registry) shardOf(t Thing) *shard {
	if t.Unlisted {
		return &r.shards[r.next.Add(1)%shardCount]
	}
	return r.named(t.Name)
}

func (r *Registry) reconfigure(c *Class, s *settings) {
	for i := range r.shards {
		r.shards[i].reconfigure(c, s)
	}
}
