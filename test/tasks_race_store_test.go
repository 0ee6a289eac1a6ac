package test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/mistersmith/mistersmith/actors"
	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/routing/boltstore"
)

// mortal is a file as the store of a process that can die.
type mortal struct {
	*boltstore.Store

	mu      sync.Mutex
	dying   bool // the next commit is the last, and nobody hears that it was made
	dead    bool // nothing more is written
	unheard bool
}

var errDead = errors.New("the process is dead")

func openMortal(t *testing.T, path string) *mortal {
	t.Helper()
	file, err := boltstore.Open(path, boltstore.Options{})
	require.NoError(t, err)
	return &mortal{Store: file}
}

func (m *mortal) Commit(ctx context.Context, changes []routing.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return errDead
	}
	err := m.Store.Commit(ctx, changes)
	if err == nil && m.dying {
		m.dead, m.unheard = true, true
		return errDead
	}
	return err
}

// die lets the process die before its next commit, or just after it.
func (m *mortal) die(afterCommit bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead, m.dying = !afterCommit, afterCommit
}

// still calls f while nothing is written.
func (m *mortal) still(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

// close closes the file, whoever still uses it.
func (m *mortal) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	_ = m.Store.Close() // that is what dies
}

// readFile returns what is in a file that nobody uses.
func readFile(t *testing.T, path string) *routing.Contents {
	t.Helper()
	file, err := boltstore.Open(path, boltstore.Options{})
	require.NoError(t, err)
	defer file.Close()
	found, err := routing.ReadStore(file)
	require.NoError(t, err)
	return found
}

// die lets the process end in one of three ways, once it has accepted so many tasks.
func (l *raceTime) die() {
	for l.tree.Hub().Counts().Accepted < l.accepts {
		if !l.pause(100 * time.Microsecond) {
			return
		}
	}
	switch l.lives % 3 {
	case 0:
		l.store.die(false)
	case 1:
		l.store.die(true)
	default: // in good order; who hangs is left behind
		err := l.tree.Stop(within(l.t, time.Minute))
		var left *actors.AbandonedError
		assert.True(l.t, err == nil || errors.As(err, &left), "stop: %v", err)
	}
}

// stopped reports whether the hub was closed.
func (l *raceTime) stopped() bool {
	select {
	case <-l.tree.Done():
		return true
	default:
		return false
	}
}

// readCopy copies the file at some moment, as a process that was killed at that moment would leave it, and holds what was told until then against it,
// and what a hub makes of it.
func (l *raceTime) readCopy() {
	r := rand.New(rand.NewPCG(l.seed, uint64(2000+l.lives)))
	if !l.pause(time.Duration(r.IntN(200)) * time.Millisecond) {
		return
	}
	l.mu.Lock()
	before := &raceTime{tasksRace: l.tasksRace, told: make(map[string]routing.State, len(l.told))}
	for id, state := range l.told {
		before.told[id] = state
	}
	l.mu.Unlock()
	var data []byte
	var err error
	l.store.still(func() { data, err = os.ReadFile(l.path) })
	path := l.path + ".copy"
	if !assert.NoError(l.t, err) || !assert.NoError(l.t, os.WriteFile(path, data, 0o600)) {
		return
	}
	file, err := boltstore.Open(path, boltstore.Options{})
	if !assert.NoError(l.t, err) {
		return
	}
	defer file.Close()
	found, err := routing.ReadStore(file)
	if !assert.NoError(l.t, err) {
		return
	}
	before.agrees(found)
	hub, err := routing.NewHub(routing.Options{Store: file, Results: raceResults, Quarantine: 1 << 30, Interruptions: 1000})
	if !assert.NoError(l.t, err) {
		return
	}
	want, got := found.Counts, hub.Counts()
	want.Waiting, want.Leased = want.Waiting+want.Leased, 0
	want.Blocked = got.Blocked // that isn't in the record
	assert.Equal(l.t, want, got, "the next hub goes on with all")
	hub.Close(nil)
	assert.NoError(l.t, hub.StoreErr())
	l.copies.Add(1)
}
