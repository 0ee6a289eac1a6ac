package routing_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/mistersmith/mistersmith/routing"
)

// memory is a store for tests: it remembers every commit, takes its time if told to, and fails when told to.
type memory struct {
	latency time.Duration
	failAt  int           // the commit that fails, from 1; 0 is none
	keeps   bool          // the one that fails is made nevertheless
	stuck   chan struct{} // if set, a commit waits for it, whatever its context says

	mu      sync.Mutex
	commits [][]routing.Record
	dead    bool
}

var errDisk = errors.New("no space left on device")

func (m *memory) Load(_ context.Context, each func(routing.Record) error) error {
	for key, data := range m.contents() {
		if err := each(routing.Record{Key: key, Data: data}); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Commit(_ context.Context, changes []routing.Record) error {
	time.Sleep(m.latency)
	if m.stuck != nil {
		<-m.stuck
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errors.New("the process is dead")
	}
	failing := len(m.commits)+1 == m.failAt
	if !failing || m.keeps {
		own := make([]routing.Record, len(changes))
		for i, c := range changes {
			own[i] = routing.Record{Key: c.Key, Data: slices.Clone(c.Data)}
		}
		m.commits = append(m.commits, own)
	}
	if failing {
		return errDisk
	}
	return nil
}

// kill makes the store what is left of a process that dies now: its hub can write nothing more.
func (m *memory) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.commits)
}

// contents are the records after all commits.
func (m *memory) contents() map[string][]byte { return m.after(m.count()) }

// after returns the records after so many commits.
func (m *memory) after(n int) map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	records := make(map[string][]byte)
	for _, changes := range m.commits[:n] {
		for _, c := range changes {
			if c.Data == nil {
				delete(records, c.Key)
			} else {
				records[c.Key] = c.Data
			}
		}
	}
	return records
}

// cut returns a store as it was after so many commits.
func (m *memory) cut(n int) *memory { return holding(m.after(n)) }

func holding(records map[string][]byte) *memory {
	var changes []routing.Record
	for _, key := range slices.Sorted(maps.Keys(records)) {
		changes = append(changes, routing.Record{Key: key, Data: records[key]})
	}
	m := &memory{}
	if len(changes) > 0 {
		m.commits = [][]routing.Record{changes}
	}
	return m
}

// rounds is how often a randomised test is repeated: more in a soak.
func rounds(n int) int {
	if soak, err := strconv.Atoi(os.Getenv("MISTERSMITH_SOAK")); err == nil && soak > 0 {
		return n * soak
	}
	return n
}
