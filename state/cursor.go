package state

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/tidwall/btree"
)

// Cursor implements Snapshot.
func (s *badgerSnapshot) Cursor() (Cursor, error) {
	v, ok := s.retain()
	if !ok {
		return nil, ErrClosed
	}
	if s.b.Err() != nil { // an iterator that panics while it is made stays open
		if _, err := v.get(idKey); err != nil && !errors.Is(err, badger.ErrKeyNotFound) {
			s.b.release(v)
			return nil, fmt.Errorf("open a cursor: %w", err)
		}
	}
	opt := badger.DefaultIteratorOptions
	opt.PrefetchValues = false
	opt.Prefix = []byte{spaceData}
	return &badgerCursor{s: s, v: v, it: v.txn.NewIterator(opt)}, nil
}

// badgerCursor keeps its view until it is closed.
type badgerCursor struct {
	s   *badgerSnapshot
	v   *view
	it  *badger.Iterator
	buf []byte
}

// Seek implements Cursor.
func (c *badgerCursor) Seek(key []byte) bool {
	c.buf = append(append(c.buf[:0], spaceData), key...)
	c.it.Seek(c.buf)
	return c.it.Valid()
}

// Next implements Cursor.
func (c *badgerCursor) Next() bool {
	c.it.Next()
	return c.it.Valid()
}

// Key implements Cursor.
func (c *badgerCursor) Key() []byte { return c.it.Item().Key()[1:] }

// Value implements Cursor.
func (c *badgerCursor) Value(dst []byte) ([]byte, error) {
	item := c.it.Item()
	err := item.Value(func(stored []byte) error {
		payload, err := unseal(item.Key(), stored)
		dst = append(dst[:0], payload...)
		return err
	})
	return dst, err
}

// Close implements Cursor.
func (c *badgerCursor) Close() {
	if c.v == nil {
		return
	}
	c.it.Close()
	c.s.b.release(c.v)
	c.v = nil
}

// Cursor implements Snapshot.
func (s *memorySnapshot) Cursor() (Cursor, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	return &memoryCursor{tree: s.tree.Copy()}, nil
}

// memoryCursor walks a copy of the snapshot's tree.
type memoryCursor struct {
	tree *btree.BTreeG[Entry]
	at   Entry
}

// Seek implements Cursor.
func (c *memoryCursor) Seek(key []byte) bool { return c.find(key, false) }

// Next implements Cursor.
func (c *memoryCursor) Next() bool { return c.find(c.at.Key, true) }

// find moves to the first entry at or, with beyond, above key.
func (c *memoryCursor) find(key []byte, beyond bool) (found bool) {
	c.tree.Ascend(Entry{Key: key}, func(e Entry) bool {
		if beyond && bytes.Equal(e.Key, key) {
			return true
		}
		c.at, found = e, true
		return false
	})
	return found
}

// Key implements Cursor.
func (c *memoryCursor) Key() []byte { return c.at.Key }

// Value implements Cursor.
func (c *memoryCursor) Value(dst []byte) ([]byte, error) { return append(dst[:0], c.at.Value...), nil }

// Close implements Cursor.
func (c *memoryCursor) Close() {}
