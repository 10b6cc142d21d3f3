package state

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
)

// A view is one read transaction shared by all snapshots taken between two commits. To open one of
// its own, a snapshot would have to wait for the commit under way and its sync; and a read-only
// transaction of Badger keeps nothing of what it reads, so many may read from it at once.
type view struct {
	txn  *badger.Txn
	refs int // guarded by Badger.mu; one is the store's while the view is the newest
}

// release drops a reference, and the transaction with the last.
func (b *Badger) release(v *view) {
	b.mu.Lock()
	v.refs--
	last := v.refs == 0
	b.mu.Unlock()
	if last {
		v.txn.Discard()
	}
}

// Snapshot implements Store. It never waits for a commit.
func (b *Badger) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &badgerSnapshot{b: b}
	if b.closed {
		s.closed.Store(true)
		return s
	}
	s.v = b.view
	s.v.refs++
	b.snapshots++
	return s
}

type badgerSnapshot struct {
	b      *Badger
	v      *view
	closed atomic.Bool
}

var keyBuffers = sync.Pool{New: func() any { return new([]byte) }}

// get is the transaction's Get. A database that failed to make a new memory table is left without
// any, and panics: that is an error here.
func (v *view) get(key []byte) (item *badger.Item, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the database is broken: %v", p)
		}
	}()
	return v.txn.Get(key)
}

// Get implements Snapshot.
func (s *badgerSnapshot) Get(key, dst []byte) ([]byte, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	if len(key) > MaxKey {
		return nil, ErrNotFound
	}
	buf := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(buf)
	*buf = append(append((*buf)[:0], spaceData), key...)
	item, err := s.v.get(*buf)
	switch {
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil, ErrNotFound
	case errors.Is(err, badger.ErrDBClosed), errors.Is(err, badger.ErrDiscardedTxn):
		return nil, ErrClosed
	case err != nil:
		return nil, fmt.Errorf("read key %x: %w", key, err)
	}
	err = item.Value(func(stored []byte) error {
		payload, err := unseal(*buf, stored)
		if err == nil {
			dst = append(dst[:0], payload...)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// Scan implements Snapshot.
func (s *badgerSnapshot) Scan(from, to []byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		v, ok := s.retain()
		if !ok {
			yield(Entry{}, ErrClosed)
			return
		}
		defer s.b.release(v)
		if s.b.Err() != nil { // an iterator that panics while it is made stays open
			if _, err := v.get(idKey); err != nil {
				yield(Entry{}, fmt.Errorf("scan: %w", err))
				return
			}
		}
		opt := badger.DefaultIteratorOptions
		opt.PrefetchValues = false          // values lie beside their keys; fetching ahead only copies them
		opt.Prefix = sharedPrefix(from, to) // tables without it are left out
		it := v.txn.NewIterator(opt)
		defer it.Close()
		var value []byte
		for it.Seek(append([]byte{spaceData}, from...)); it.Valid(); it.Next() {
			item := it.Item()
			key := item.Key()
			if to != nil && bytes.Compare(key[1:], to) >= 0 {
				return
			}
			err := item.Value(func(stored []byte) error {
				payload, err := unseal(key, stored)
				value = append(value[:0], payload...)
				return err
			})
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if !yield(Entry{Key: key[1:], Value: value}, nil) {
				return
			}
		}
	}
}

// sharedPrefix is the stored prefix of all keys between from and to.
func sharedPrefix(from, to []byte) []byte {
	p := []byte{spaceData}
	for i := 0; to != nil && i < len(from) && i < len(to) && from[i] == to[i]; i++ {
		p = append(p, from[i])
	}
	return p
}

// retain keeps the view for the length of a scan, even if the snapshot is closed meanwhile.
func (s *badgerSnapshot) retain() (*view, bool) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.closed.Load() {
		return nil, false
	}
	s.v.refs++
	return s.v, true
}

// Close implements Snapshot.
func (s *badgerSnapshot) Close() {
	if s.closed.Swap(true) {
		return
	}
	s.b.mu.Lock()
	s.b.snapshots--
	s.b.mu.Unlock()
	s.b.release(s.v)
}
