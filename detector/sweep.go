package detector

import "time"

// Sweep judges everything that is watched, and tells the subscriber what has changed, on the calling goroutine. now must not go back
// from one call to the next. A call while another one is under way, such as one by the subscriber, does nothing.
//
// Its cost is that of reading one deadline for each healthy thing.
func (r *Registry) Sweep(now time.Duration) {
	if !r.sweeping.TryLock() {
		return
	}
	defer r.sweeping.Unlock()
	for i := range r.shards {
		r.events = r.shards[i].sweep(now, r.events)
		for _, e := range r.events {
			r.tell(e)
		}
		clear(r.events)
		r.events = r.events[:0]
	}
}

// tell calls the subscriber, and survives it.
func (r *Registry) tell(e Event) {
	if r.cfg.Subscriber == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			r.cfg.Panicked(e, p)
		}
	}()
	r.cfg.Subscriber(e)
}

// sweep appends what has changed to events.
func (s *shard) sweep(now time.Duration, events []Event) []Event {
	events = s.review(now, events)
	for _, b := range *s.slabs.Load() {
		wake := b.wake
		for i := range wake {
			if int64(now) >= wake[i].Load() {
				events = s.look(place{b, uint32(i)}, now, events)
			}
		}
	}
	return events
}

// review looks again at what is in trouble.
func (s *shard) review(now time.Duration, events []Event) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var w words
	still := s.trouble[:0]
	for _, p := range s.trouble {
		r := p.record()
		p.line().read(&w)
		v := w.view()
		switch verdict := v.verdict(now); {
		case verdict == Healthy:
			events = append(events, p.judge(&w, now, Healthy))
			p.arm()
			continue
		case verdict == Failed && r.verdict == Suspected:
			events = append(events, p.judge(&w, now, Failed))
		}
		still = append(still, p)
	}
	clear(s.trouble[len(still):])
	s.trouble = still
	return events
}

// look is for a thing whose moment has come. Mostly, heartbeats have moved it on.
func (s *shard) look(p place, now time.Duration, events []Event) []Event {
	if v := p.line().view(); v.verdict(now) == Healthy {
		p.arm()
		return events
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var w words
	p.line().read(&w)
	r, v := p.record(), w.view()
	verdict := v.verdict(now)
	if verdict == Healthy {
		p.arm()
		return events
	}
	p.slab.wake[p.index].Store(never) // review looks at it from now on
	if r.verdict != Healthy {
		return events
	}
	r.since = now
	events = append(events, p.judge(&w, now, Suspected))
	if verdict == Failed {
		events = append(events, p.judge(&w, now, Failed))
	}
	s.trouble = append(s.trouble, p)
	return events
}

// judge records the verdict, and returns the event.
func (p place) judge(w *words, now time.Duration, verdict Verdict) Event {
	r, last := p.record(), time.Duration(w.last>>1)
	r.verdict = verdict
	return Event{
		Verdict: verdict, Watch: p.watch(), Name: r.name, Data: r.data,
		Phi: w.phi(now), Now: now, Last: last, Elapsed: max(0, saturatingSub(now, last)), Since: r.since,
	}
}

// verdict is what the silence up to now means.
func (v *view) verdict(now time.Duration) Verdict {
	switch {
	case now < v.suspectAt():
		return Healthy
	case now < v.failAt():
		return Suspected
	default:
		return Failed
	}
}
