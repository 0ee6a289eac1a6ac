package actors

import (
	"sync"
	"sync/atomic"
	"time"
)

// bus numbers events and hands them to subscribers. Publishing never blocks and never runs a subscriber's code.
type bus struct {
	wanted atomic.Uint64 // the kinds of all subscriptions; written under mu

	mu     sync.Mutex
	seq    uint64
	subs   map[*Subscription]struct{}
	closed bool
}

// publish stamps the event and returns its number.
func (b *bus) publish(e Event) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seq++
	if len(b.subs) == 0 {
		return b.seq
	}
	e.Seq = b.seq
	e.Time = time.Now()
	for s := range b.subs {
		if s.kinds&(1<<e.Kind) == 0 {
			continue
		}
		select {
		case s.events <- e:
		default:
			s.missed.Add(1)
		}
	}
	return e.Seq
}

func (b *bus) subscribe(s *Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.bus.Store(b)
	if b.closed {
		close(s.events)
		return
	}
	if b.subs == nil {
		b.subs = make(map[*Subscription]struct{})
	}
	b.subs[s] = struct{}{}
	b.want()
}

func (b *bus) unsubscribe(s *Subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.subs[s]; ok {
		delete(b.subs, s)
		close(s.events)
		b.want()
	}
}

// close ends all subscriptions after what they have been sent.
func (b *bus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for s := range b.subs {
		close(s.events)
	}
	b.subs = nil
	b.want()
}

// wants reports whether somebody has subscribed to the kind.
func (b *bus) wants(k EventKind) bool { return b.wanted.Load()&(1<<k) != 0 }

func (b *bus) want() {
	kinds := uint64(0)
	for s := range b.subs {
		kinds |= s.kinds
	}
	b.wanted.Store(kinds)
}

// Subscription receives a tree's events in order.
type Subscription struct {
	bus    atomic.Pointer[bus]
	events chan Event
	kinds  uint64 // a bit for each EventKind that is wanted
	missed atomic.Uint64
}

// NewSubscription makes a subscription for [WithSubscription]: to events of the kinds given, or else of all, with room for so many that
// wait to be read. A subscriber that is too slow misses events; they are counted.
func NewSubscription(room int, kinds ...EventKind) *Subscription {
	s := &Subscription{events: make(chan Event, max(room, 1))}
	for _, k := range kinds {
		s.kinds |= 1 << k
	}
	if len(kinds) == 0 {
		s.kinds = ^uint64(0)
	}
	return s
}

// Events is closed when the tree has ended or Close was called, after the events sent until then.
func (s *Subscription) Events() <-chan Event { return s.events }

// Missed counts the events that found the buffer full. They are lost for this subscriber.
func (s *Subscription) Missed() uint64 { return s.missed.Load() }

// Close ends the subscription. It may be called more than once, from anywhere.
func (s *Subscription) Close() {
	if b := s.bus.Load(); b != nil {
		b.unsubscribe(s)
	}
}
