// Package state keeps ordered bytes durably and knows nothing of what they mean. Two stores fulfil
// one contract, proved by one conformance suite: Badger on disk, and an in-memory twin for tests.
package state

import (
	"errors"
	"iter"
)

// ErrNotFound is returned by Get for a key that is not there.
var ErrNotFound = errors.New("key not found")

// Store is an ordered map of bytes with atomic, durable commits and snapshots.
//
// Commit is called by one goroutine at a time (the committer); Snapshot by any. A *BatchError or a
// *DiskFullError of Commit says that nothing was written: the store is as before, and the caller may
// go on. After any other error the store is failed: what was committed is unknown until it is opened
// again, and every later Commit returns the same error (fail-stop). Reading goes on as far as the
// disk allows.
type Store interface {
	// Snapshot returns a read view of all commits that have returned, without waiting for one that
	// has not. Close it.
	Snapshot() Snapshot
	// Commit applies b atomically and returns when it is durable. A batch beyond Limits, an empty
	// value, a key beyond MaxKey or a value beyond MaxValue is a *BatchError. An empty batch is
	// nothing.
	Commit(b *Batch) error
	// Limits tells how many entries and bytes (keys and values) one batch may hold.
	Limits() (entries, bytes int)
	// Stats tells sizes, for metrics.
	Stats() Stats
	// Close releases the store. While a snapshot is open it is an error and the store stays open.
	Close() error
}

// Snapshot is a read view that later commits do not change. Its methods may be called concurrently.
type Snapshot interface {
	// Get appends the value of key to dst[:0] and returns it, or ErrNotFound. Any other error means
	// that the stored bytes are damaged (the error names the key) or the store is closed.
	Get(key, dst []byte) ([]byte, error)
	// Scan yields the entries with from <= key < to in key order; a nil to means no bound. An entry
	// is valid until the next one is asked for. After an error nothing follows.
	Scan(from, to []byte) iter.Seq2[Entry, error]
	// Cursor returns a cursor that stands nowhere yet. Close it; the snapshot may be closed before.
	Cursor() (Cursor, error)
	// Close releases the view.
	Close()
}

// Cursor walks over a snapshot in key order. Not safe for concurrent use.
type Cursor interface {
	// Seek moves to the first entry whose key is not below key, Next to the next entry; they tell whether
	// there is one. Without one, and before the first Seek, only Seek and Close may be called.
	Seek(key []byte) bool
	Next() bool
	// Key is the entry's key, valid until the cursor moves.
	Key() []byte
	// Value appends the entry's value to dst[:0] and returns it; an error says that the bytes are damaged.
	Value(dst []byte) ([]byte, error)
	Close()
}

// Entry is one key with its value.
type Entry struct{ Key, Value []byte }

// Stats are sizes of a store.
type Stats struct {
	DiskBytes   int64  // files of the store
	MemoryBytes int64  // memory that the store holds by its settings: caches, tables in memory
	Commits     uint64 // number of the last commit
}

// Batch gathers puts and deletes for one Commit; the last write to a key wins. The zero Batch is
// ready for use. Keys and values are copied into the batch's own buffer.
type Batch struct {
	ops []op
	buf []byte
}

type op struct {
	key, end, val int // buf[key:val] is the key, buf[val:end] the value; end < 0: a delete
}

// Put sets key to value. An empty value is refused by Commit (it is how damage looks).
func (b *Batch) Put(key, value []byte) {
	k := len(b.buf)
	b.buf = append(b.buf, key...)
	v := len(b.buf)
	b.buf = append(b.buf, value...)
	b.ops = append(b.ops, op{key: k, val: v, end: len(b.buf)})
}

// Delete removes key.
func (b *Batch) Delete(key []byte) {
	k := len(b.buf)
	b.buf = append(b.buf, key...)
	b.ops = append(b.ops, op{key: k, val: len(b.buf), end: -1})
}

// Len is the number of writes, Size their bytes.
func (b *Batch) Len() int { return len(b.ops) }

// Size is the number of bytes of all keys and values.
func (b *Batch) Size() int { return len(b.buf) }

// Reset empties b and keeps its memory.
func (b *Batch) Reset() { b.ops, b.buf = b.ops[:0], b.buf[:0] }

// Each calls f with every write in order; value is nil for a delete. The bytes are valid until Reset.
func (b *Batch) Each(f func(key, value []byte) error) error {
	for _, o := range b.ops {
		var v []byte
		if o.end >= 0 {
			v = b.buf[o.val:o.end:o.end]
		}
		if err := f(b.buf[o.key:o.val:o.val], v); err != nil {
			return err
		}
	}
	return nil
}
