package state

import (
	"bytes"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// Memory is the in-memory twin of Badger: the same contract and the same refusals, nothing durable.
type Memory struct {
	mu             sync.Mutex
	tree           *btree.BTreeG[Entry]
	entries, bytes int
	held           int64 // bytes of keys and values
	commits        uint64
	snapshots      int
	closed         bool
	failNext       error
	failed         error
}

var _ Store = (*Memory)(nil)

func newTree() *btree.BTreeG[Entry] {
	return btree.NewBTreeGOptions(func(a, b Entry) bool { return bytes.Compare(a.Key, b.Key) < 0 },
		btree.Options{NoLocks: true})
}

// NewMemory makes an empty store with the limits of a Badger store of 256 MiB.
func NewMemory() *Memory {
	n, b := batchLimits(settingsFor(0).memtable)
	return &Memory{tree: newTree(), entries: n, bytes: b}
}

// SetLimits sets what Limits answers and Commit enforces, so that tests reach them.
func (m *Memory) SetLimits(entries, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries, m.bytes = entries, bytes
}

// FailNext lets the next Commit fail with err and store nothing, after which the store is failed as
// Badger would be: every later Commit returns the same error.
func (m *Memory) FailNext(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failNext = err
}

// Reopen acts as a crash and a start: m is closed, whatever snapshots it has, and a store with the
// commits that m has returned takes its place.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return &Memory{
		tree: m.tree.Copy(), entries: m.entries, bytes: m.bytes,
		held: m.held, commits: m.commits,
	}
}

// Limits implements Store.
func (m *Memory) Limits() (entries, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries, m.bytes
}

// Err returns the error of the commit that failed the store, or nil.
func (m *Memory) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failed
}

// Stats implements Store.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Stats{MemoryBytes: m.held, Commits: m.commits}
}

// Commit implements Store.
func (m *Memory) Commit(b *Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ErrClosed
	case m.failed != nil:
		return m.failed
	}
	if err := checkBatch(b, m.entries, m.bytes); err != nil {
		return err
	}
	if b.Len() == 0 {
		return nil
	}
	if m.failNext != nil {
		m.failed = fmt.Errorf("commit %d: %w", m.commits+1, m.failNext)
		return m.failed
	}
	for _, o := range b.ops {
		key := b.buf[o.key:o.val]
		var old Entry
		var had bool
		if o.end < 0 {
			old, had = m.tree.Delete(Entry{Key: key})
		} else {
			e := Entry{Key: bytes.Clone(key), Value: bytes.Clone(b.buf[o.val:o.end])}
			if e.Key == nil {
				e.Key = []byte{}
			}
			m.held += int64(len(e.Key) + len(e.Value))
			old, had = m.tree.Set(e)
		}
		if had {
			m.held -= int64(len(old.Key) + len(old.Value))
		}
	}
	m.commits++
	return nil
}

// Snapshot implements Store.
func (m *Memory) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &memorySnapshot{m: m}
	if m.closed {
		s.closed.Store(true)
		return s
	}
	s.tree = m.tree.Copy()
	m.snapshots++
	return s
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	if m.snapshots > 0 {
		return fmt.Errorf("close state: %d snapshots are open", m.snapshots)
	}
	m.closed = true
	m.tree = newTree()
	return nil
}

type memorySnapshot struct {
	m      *Memory
	tree   *btree.BTreeG[Entry]
	closed atomic.Bool
}

func (s *memorySnapshot) Get(key, dst []byte) ([]byte, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	e, ok := s.tree.Get(Entry{Key: key})
	if !ok {
		return nil, ErrNotFound
	}
	return append(dst[:0], e.Value...), nil
}

func (s *memorySnapshot) Scan(from, to []byte) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if s.closed.Load() {
			yield(Entry{}, ErrClosed)
			return
		}
		var key, value []byte // reused, as Badger does: an entry is valid until the next
		s.tree.Ascend(Entry{Key: from}, func(e Entry) bool {
			if to != nil && bytes.Compare(e.Key, to) >= 0 {
				return false
			}
			key, value = append(key[:0], e.Key...), append(value[:0], e.Value...)
			return yield(Entry{Key: key, Value: value}, nil)
		})
	}
}

func (s *memorySnapshot) Close() {
	if s.closed.Swap(true) {
		return
	}
	s.m.mu.Lock()
	s.m.snapshots--
	s.m.mu.Unlock()
}
