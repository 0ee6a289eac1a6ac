package boltstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/mistersmith/mistersmith/routing"
	"github.com/mistersmith/mistersmith/routing/boltstore"
)

func open(t *testing.T, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func contents(t *testing.T, s *boltstore.Store) map[string]string {
	t.Helper()
	got := map[string]string{}
	require.NoError(t, s.Load(t.Context(), func(r routing.Record) error {
		got[r.Key] = string(r.Data)
		return nil
	}))
	return got
}

func change(key, data string) routing.Record { return routing.Record{Key: key, Data: []byte(data)} }

func TestCommitsAreThereWhenTheFileIsOpenedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	assert.Empty(t, contents(t, s))
	require.NoError(t, s.Commit(t.Context(), []routing.Record{change("a", "1"), change("b", "2"), change("a", "3"), {Key: "none"}}))
	require.NoError(t, s.Commit(t.Context(), []routing.Record{{Key: "b"}, change("c", ""), change("d", "4"), {Key: "d"}}))
	want := map[string]string{"a": "3", "c": ""}
	assert.Equal(t, want, contents(t, s))
	require.NoError(t, s.Close())
	assert.Equal(t, want, contents(t, open(t, path)))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "what tasks are about is nobody else's business")
}

func TestACommitIsMadeWholeOrNotAtAll(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	require.NoError(t, s.Commit(t.Context(), []routing.Record{change("a", "1")}))
	require.Error(t, s.Commit(t.Context(), []routing.Record{change("a", "2"), change("", "no key")}))
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(routing.ErrStoreTimeout)
	require.ErrorIs(t, s.Commit(ended, []routing.Record{change("a", "3")}), routing.ErrStoreTimeout)
	require.ErrorIs(t, s.Load(ended, func(routing.Record) error { return nil }), routing.ErrStoreTimeout)
	assert.Equal(t, map[string]string{"a": "1"}, contents(t, s))
}

func TestAFileIsOneStoresAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	_, err := boltstore.Open(path, boltstore.Options{LockTimeout: 100 * time.Millisecond})
	require.ErrorIs(t, err, boltstore.ErrLocked)
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "for 100ms")
	require.NoError(t, s.Close())
	open(t, path)
}

func TestWhatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	_, err := boltstore.Open(filepath.Join(dir, "none", "store.db"), boltstore.Options{})
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = boltstore.Open(dir, boltstore.Options{})
	assert.Error(t, err)
	_, err = boltstore.Open(filepath.Join(dir, "x"), boltstore.Options{LockTimeout: -1})
	assert.ErrorContains(t, err, "LockTimeout")

	other := filepath.Join(dir, "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("users")); return err }))
	require.NoError(t, db.Close())
	_, err = boltstore.Open(other, boltstore.Options{})
	require.ErrorIs(t, err, routing.ErrStoreCorrupt)
	assert.ErrorContains(t, err, `it has "users"`)

	text := filepath.Join(dir, "text")
	require.NoError(t, os.WriteFile(text, []byte(strings.Repeat("no store\n", 5000)), 0o600))
	_, err = boltstore.Open(text, boltstore.Options{})
	assert.ErrorIs(t, err, routing.ErrStoreCorrupt)
	same, err := os.ReadFile(text)
	require.NoError(t, err)
	assert.Len(t, same, 45000, "it was left as it is")
}

// filled is the bytes of a file with a hundred records, some of them long.
func filled(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	for i := range 10 {
		var changes []routing.Record
		for j := range 10 {
			changes = append(changes, change(fmt.Sprintf("key-%d-%d", i, j), strings.Repeat(fmt.Sprint(i, j), 1+200*j)))
		}
		require.NoError(t, s.Commit(t.Context(), changes))
	}
	require.NoError(t, s.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func loaded(t *testing.T, data []byte) (records int, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	err = s.Load(t.Context(), func(r routing.Record) error {
		var i, j int
		if _, err := fmt.Sscanf(r.Key, "key-%d-%d", &i, &j); err != nil {
			t.Errorf("a strange key came out: %q", r.Key)
		}
		if string(r.Data) != strings.Repeat(fmt.Sprint(i, j), 1+200*j) {
			t.Errorf("record %s came out changed", r.Key)
		}
		records++
		return nil
	})
	return records, err
}

func TestACutFileIsRefused(t *testing.T) {
	data := filled(t)
	for _, keep := range []int{1, 100, 4096, 8192, 8193, len(data) / 2, len(data) * 3 / 4} {
		_, err := loaded(t, data[:keep])
		assert.ErrorIs(t, err, routing.ErrStoreCorrupt, "%d of %d bytes", keep, len(data))
	}
}

// A file that was refused isn't held: whoever opens it next hears the same.
func TestACutFileIsLetGo(t *testing.T) {
	data := filled(t)
	path := filepath.Join(t.TempDir(), "store.db")
	for keep := 4096; keep < len(data); keep += 4096 {
		require.NoError(t, os.WriteFile(path, data[:keep], 0o600))
		for range 2 {
			s, err := boltstore.Open(path, boltstore.Options{LockTimeout: time.Millisecond})
			if err == nil {
				require.NoError(t, s.Close())
				continue
			}
			require.ErrorIs(t, err, routing.ErrStoreCorrupt, "%d of %d bytes", keep, len(data))
		}
	}
}

// A changed byte is refused, or was in what isn't used: it is never read as something else, and never ends the process.
func TestAChangedByteIsNeverTakenForData(t *testing.T) {
	data := filled(t)
	dice := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 150 {
		changed := append([]byte(nil), data...)
		at := dice.IntN(len(changed))
		if changed[at] ^= byte(1 + dice.IntN(255)); at < 2*4096 && changed[at] == data[at] {
			continue
		}
		if _, err := loaded(t, changed); err != nil {
			refused++
		}
	}
	assert.Greater(t, refused, 20)
}

func TestAHubGoesOnFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	for life := range 3 {
		s := open(t, path)
		hub, err := routing.NewHub(routing.Options{Store: s})
		require.NoError(t, err)
		require.NoError(t, hub.Declare(double.Name()))
		_, err = double.Submit(t.Context(), hub, life, routing.ID(fmt.Sprint("task ", life)))
		require.NoError(t, err)
		assert.EqualValues(t, life+1, hub.Counts().Accepted)
		hub.Close(nil)
		require.NoError(t, hub.StoreErr())
		require.NoError(t, s.Close())
	}
}

// A hub whose file was closed under it says so, and doesn't hang.
func TestAClosedFileIsAStoreThatFails(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	hub, err := routing.NewHub(routing.Options{Store: s})
	require.NoError(t, err)
	require.NoError(t, hub.Declare(double.Name()))
	require.NoError(t, s.Close())
	_, err = double.Submit(t.Context(), hub, 1)
	var failed *routing.StoreError
	require.ErrorAs(t, err, &failed)
	hub.Close(nil)
	assert.Error(t, errors.Join(hub.StoreErr()))
}
