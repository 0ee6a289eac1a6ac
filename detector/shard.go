package detector

import (
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	shardCount = 32

	// Blocks of these sizes are what the runtime allocates on a cache line; in between it puts a word before them. A shard begins with
	// smallSlabs small ones.
	smallSlab  = 8
	smallSlabs = 16
	largeSlab  = 1024
)

// shard is a part of a registry's things. Its lock is not needed for heartbeats, nor to sweep over things that are healthy.
type shard struct {
	registry *Registry
	slabs    atomic.Pointer[[]*slab] // only ever longer; replaced under mu

	mu      sync.Mutex // guards what follows, and the records in the slabs
	names   map[string]place
	free    []place // a queue: what was closed last is used again last
	head    int     // of the queue
	trouble []place // what is suspected or has failed
}

// slab is a block of things. Their deadlines lie side by side: a sweep over healthy things reads nothing else.
type slab struct {
	shard       *shard
	lines       []line
	wake        []atomic.Int64  // see arm
	generations []atomic.Uint32 // odd while in use: a watch of another generation has been closed
	records     []record
}

// record is what a heartbeat doesn't need. Guarded by the shard's lock.
type record struct {
	name       string
	unlisted   bool
	class      *Class
	data       any
	firstPause float64 // that it was watched with
	verdict    Verdict
	since      time.Duration // when it was first suspected, in its present trouble
}

// place is where a thing is kept.
type place struct {
	slab  *slab
	index uint32
}

func (p place) line() *line        { return &p.slab.lines[p.index] }
func (p place) record() *record    { return &p.slab.records[p.index] }
func (p place) watch() Watch       { return Watch{p, p.generation()} }
func (p place) generation() uint32 { return p.slab.generations[p.index].Load() }

func (s *shard) init(r *Registry) {
	s.registry = r
	s.names = make(map[string]place)
	s.slabs.Store(new([]*slab))
}

func (s *shard) open(now time.Duration, t Thing) (Watch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.Unlisted {
		if _, ok := s.names[t.Name]; ok {
			return Watch{}, fmt.Errorf("%w: %q", ErrWatched, t.Name)
		}
	}
	p := s.take()
	if !t.Unlisted {
		s.names[t.Name] = p
	}
	r, l := p.record(), p.line()
	*r = record{name: t.Name, unlisted: t.Unlisted, class: t.Class, data: t.Data}
	var v view
	l.begin(&v)
	v.reset(t.Class.settings.Load())
	r.firstPause = t.Class.endow(&v)
	if t.First > 0 {
		v.expect(now, t.First)
	}
	l.commit(&v)
	p.slab.generations[p.index].Add(1)
	if t.First > 0 {
		p.arm()
	}
	return p.watch(), nil
}

// take returns a free place, and makes a slab if there is none.
func (s *shard) take() place {
	if s.head == len(s.free) {
		s.grow()
	}
	p := s.free[s.head]
	s.free[s.head] = place{}
	if s.head++; s.head > len(s.free)/2 {
		s.free = append(s.free[:0], s.free[s.head:]...)
		s.head = 0
	}
	return p
}

func (s *shard) grow() {
	slabs := *s.slabs.Load()
	n := smallSlab
	if len(slabs) >= smallSlabs {
		n = largeSlab
	}
	b := &slab{s, make([]line, n), make([]atomic.Int64, n), make([]atomic.Uint32, n), make([]record, n)}
	for i := range n {
		b.wake[i].Store(never)
		b.lines[i].deadline.Store(never)
		s.free = append(s.free, place{b, uint32(i)})
	}
	longer := append(slices.Clip(slabs), b)
	s.slabs.Store(&longer)
}

// close ends the watch of that generation, and says whether it was open.
func (s *shard) close(w Watch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.open() {
		return false
	}
	r, l := w.record(), w.line()
	r.class.bequeath(l.view(), r.firstPause)
	var v view
	l.begin(&v)
	w.slab.generations[w.index].Add(1) // under the line's lock: a heartbeat finds its own generation, or is dropped
	v.reset(v.settings)
	l.commit(&v)
	w.slab.wake[w.index].Store(never)
	if r.verdict != Healthy {
		s.trouble = slices.DeleteFunc(s.trouble, func(p place) bool { return p == w.place })
	}
	if !r.unlisted {
		delete(s.names, r.name)
	}
	*r = record{}
	s.free = append(s.free, w.place)
	s.registry.things.Add(-1)
	return true
}

func (s *shard) lookup(name string) (Watch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.names[name]
	if !ok {
		return Watch{}, false
	}
	return p.watch(), true
}

func (s *shard) all() []Watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []Watch
	for p := range s.places() {
		if w := p.watch(); w.open() {
			open = append(open, w)
		}
	}
	return open
}

// places are all of them, free or not.
func (s *shard) places() iter.Seq[place] {
	return func(yield func(place) bool) {
		for _, b := range *s.slabs.Load() {
			for i := range b.lines {
				if !yield(place{b, uint32(i)}) {
					return
				}
			}
		}
	}
}

func (s *shard) reconfigure(c *Class, to *settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.places() {
		r := p.record()
		if r.class != c {
			continue
		}
		if was, is := p.line().configure(to); was > 0 {
			r.firstPause *= is / was // new bounds are nothing that was learned
		} else {
			r.firstPause = is
		}
		p.arm()
	}
}

// arm sets when the sweep is to look at the thing: when it becomes suspect, as far as is known. A heartbeat moves that moment
// on, but doesn't say so here; the sweep looks, finds the thing healthy and arms again. Only what brings it forward has to be
// said, see wakeBefore. Both first write their side and then read the other's: one of them notices.
func (p place) arm() {
	wake := &p.slab.wake[p.index]
	for {
		v := p.line().view()
		at := int64(v.suspectAt())
		wake.Store(at)
		v = p.line().view()
		if int64(v.suspectAt()) >= at {
			return
		}
	}
}

// wakeBefore makes the sweep look at the thing not later than that.
func (p place) wakeBefore(at time.Duration) {
	wake := &p.slab.wake[p.index]
	for old := wake.Load(); int64(at) < old; old = wake.Load() {
		if wake.CompareAndSwap(old, int64(at)) {
			return
		}
	}
}
