package actors

import "sync"

// inFlight counts what is going on. Unlike a sync.WaitGroup it may begin anew while somebody waits.
type inFlight struct {
	mu   sync.Mutex
	n    int
	over chan struct{} // closed when n is 0; nil when nobody waits
}

func (f *inFlight) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

func (f *inFlight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 && f.over != nil {
		close(f.over)
		f.over = nil
	}
}

// none is closed as soon as nothing is going on.
func (f *inFlight) none() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == 0 {
		return closed
	}
	if f.over == nil {
		f.over = make(chan struct{})
	}
	return f.over
}
