// Package boltstore keeps a hub's ledger in a file, with bbolt.
//
//	store, err := boltstore.Open("tasks.db", boltstore.Options{})
//	...
//	defer store.Close()
//	hub, err := routing.NewHub(routing.Options{Store: store})
//
// A commit is one transaction of bbolt, with everything that changed since the one before, and one or two fsyncs. A process killed at any moment, or a machine that loses
// power, leaves the file as it was after some commit. Every record has a checksum. The file is locked while it is open. It grows with what is in it and is reused,
// but never shrinks.
package boltstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/mistersmith/mistersmith/routing"
)

// ErrLocked says that the file is in use, by another process or another Store.
var ErrLocked = errors.New("the file is in use by another process")

// Options of a store. The zero value has the defaults.
type Options struct {
	// LockTimeout is how long Open waits while the file is in use. Default 2 s.
	LockTimeout time.Duration
}

// Store is an open file. It implements [routing.Store].
type Store struct {
	path string
	db   *bbolt.DB
}

var _ routing.Store = (*Store)(nil)

// bucketName is what the records are in. A file with anything else isn't a store.
var bucketName = []byte("mistersmith/1")

// minSize is the size of an empty file of bbolt's: four pages.
const minSize = 4 * 4096

// Open opens the file, or makes it. It fails with [ErrLocked] if the file is in use for longer than the options say, and with
// [routing.ErrStoreCorrupt] if it isn't the file of a store, or not any more.
func Open(path string, o Options) (*Store, error) {
	if o.LockTimeout < 0 {
		return nil, fmt.Errorf("open store: field Options.LockTimeout is %v: it must not be negative", o.LockTimeout)
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = 2 * time.Second
	}
	file, err := os.Stat(path)
	fresh := errors.Is(err, os.ErrNotExist)
	if err == nil && file.Mode().IsRegular() && file.Size() > 0 && file.Size() < minSize {
		return nil, fmt.Errorf("open store %s: %w: the file has %d bytes, fewer than an empty one", path, routing.ErrStoreCorrupt, file.Size())
	}
	s := &Store{path: path}
	if err := s.open(o); err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if fresh {
		if err := syncFolder(path); err != nil {
			return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), s.Close())
		}
	}
	return s, nil
}

func (s *Store) open(o Options) error {
	var db *bbolt.DB
	var file *os.File
	returned := false
	err := reading(func() (err error) {
		db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: o.LockTimeout, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
			OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
				file, err = os.OpenFile(name, flag, mode)
				return file, err
			}})
		returned = true
		return err
	})
	if !returned && file != nil { // bbolt panicked, and let go of nothing
		err = errors.Join(err, unlock(file), file.Close())
	}
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%w, and was for %s", ErrLocked, o.LockTimeout)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %w", routing.ErrStoreCorrupt, err)
	case err != nil:
		return err
	}
	s.db = db
	if err := reading(s.prepare); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// prepare makes the bucket in a new file, and checks that it is there, and all of the file, in an old one.
func (s *Store) prepare() error {
	file, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	empty := false
	err = s.db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > file.Size() {
			return fmt.Errorf("%w: the file has %d bytes of %d", routing.ErrStoreCorrupt, file.Size(), tx.Size())
		}
		name, _ := tx.Cursor().First()
		empty = name == nil
		if !empty && tx.Bucket(bucketName) == nil {
			return fmt.Errorf("%w: it is a file of bbolt, but not one of this package: it has %q", routing.ErrStoreCorrupt, name)
		}
		return nil
	})
	if err != nil || !empty {
		return err
	}
	return s.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucketName)
		return err
	})
}

// syncFolder makes a new file's name durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// reading runs code that reads the file's pages. They are mapped into memory: what is wrong with them can show as a fault of the processor or a panic of bbolt's.
func reading(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", routing.ErrStoreCorrupt, r)
		}
	}()
	return do()
}

// Load implements [routing.Store].
func (s *Store) Load(ctx context.Context, each func(routing.Record) error) error {
	err := reading(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketName).ForEach(func(key, value []byte) error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				data, err := open(key, value)
				if err != nil {
					return err
				}
				return each(routing.Record{Key: string(key), Data: data})
			})
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
}

// Commit implements [routing.Store].
func (s *Store) Commit(ctx context.Context, changes []routing.Record) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	size := 0
	for _, c := range changes {
		size += sealSize + len(c.Key) + len(c.Data)
	}
	buf := make([]byte, 0, size)
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketName)
		for _, c := range changes {
			start := len(buf)
			buf = append(buf, c.Key...)
			key := buf[start:]
			if c.Data == nil {
				if err := b.Delete(key); err != nil {
					return err
				}
				continue
			}
			start = len(buf)
			buf = seal(buf, key, c.Data)
			if err := b.Put(key, buf[start:len(buf):len(buf)]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	return nil
}

// Close closes the file, after a commit that is under way.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store %s: %w", s.path, err)
	}
	return nil
}

// sealSize is the length of a record's checksum.
const sealSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends the data with their checksum before them. It covers the key too.
func seal(buf, key, data []byte) []byte {
	buf = binary.LittleEndian.AppendUint32(buf, checksum(key, data))
	return append(buf, data...)
}

// open returns the data of a sealed value.
func open(key, value []byte) ([]byte, error) {
	if len(value) < sealSize || binary.LittleEndian.Uint32(value) != checksum(key, value[sealSize:]) {
		return nil, fmt.Errorf("%w: record %q has another checksum than when it was written", routing.ErrStoreCorrupt, key)
	}
	return value[sealSize:], nil
}

func checksum(key, data []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, data)
}
