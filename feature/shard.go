package feature

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// shard owns the heads of a range of slots. Its goroutine is the only one that adds heads to the map,
// drops them, or appends rows; it takes the lock for that, so that it may look heads up without it.
type shard struct {
	store    *Store
	id       int
	in       chan message
	complete bool // every stored head is in memory: one that is not in the map does not exist
	mem      atomic.Int64
	full     atomic.Bool   // complete, for readers
	epoch    atomic.Uint32 // counts checkpoints
	unsaved  atomic.Int64  // bytes of rows counted since the last checkpoint took the dirty heads

	mu    sync.RWMutex
	heads map[string]*head // by state prefix
	dirty []*head

	found []*head // scratch of apply
	key   []byte
}

// message is a batch to apply or a request to evict.
type message struct {
	batch *batch
	evict int64 // bytes to free
}

// batch is rows of one partition for one shard. An entry of buf is the length of the state prefix as
// a uvarint, the prefix, the row's offset less base as a uvarint, and the encoded row.
type batch struct {
	buf     []byte
	base    int64
	part    *Partition
	mark    *mark
	arrival event.Time // newest of the rows
	rows    int
}

func (s *shard) run(ctx context.Context) {
	s.full.Store(s.complete)
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-s.in:
			if m.batch == nil {
				s.evict(m.evict)
				continue
			}
			if err := s.apply(m.batch); err != nil {
				s.store.fail(err)
				return
			}
			s.store.queued.Add(-int64(len(m.batch.buf)))
			m.batch.part.done(m.batch)
		}
	}
}

// apply counts a batch: first it finds the heads, without the lock but for new ones, then it appends
// all rows under the lock, so that readers and captures see every record whole.
func (s *shard) apply(b *batch) error {
	if b.rows == 0 {
		return nil
	}
	s.found = s.found[:0]
	for buf := b.buf; len(buf) > 0; {
		prefix, _, rest := splitBatch(buf)
		h := s.heads[string(prefix)]
		if h == nil {
			var err error
			if h, err = s.load(prefix); err != nil {
				return err
			}
		}
		s.found = append(s.found, h)
		buf = rest.next
	}
	var grown, added int64
	epoch := s.epoch.Load()
	s.mu.Lock()
	buf := b.buf
	for _, h := range s.found {
		_, off, rest := splitBatch(buf)
		buf = rest.next
		off += b.base
		if off < h.counted(b.part.num) {
			continue
		}
		was, more := cap(h.rows), cap(h.more)
		h.rows = append(h.rows, rest.row...)
		added += int64(len(rest.row))
		h.n++
		h.added++
		h.count(b.part.num, off+1)
		grown += int64(cap(h.rows) - was + 16*(cap(h.more)-more))
		h.epoch = epoch
		if !h.dirty {
			h.dirty = true
			s.dirty = append(s.dirty, h)
		}
		if len(h.rows) > urgentBytes && !h.urgent && !h.flushes {
			h.urgent = true
			s.store.work.askUrgent(s, h)
		}
	}
	s.mu.Unlock()
	s.mem.Add(grown)
	s.unsaved.Add(added)
	if f := s.store.opt.Observe.Servable; f != nil && b.arrival != event.MinTime && b.part.src.plan.File == nil {
		f(time.Duration(s.store.opt.Now().Sub(b.arrival)) * time.Microsecond)
	}
	return nil
}

type batchRest struct{ row, next []byte }

// splitBatch takes the first entry of a batch apart; the batch was made by this process.
func splitBatch(buf []byte) (prefix []byte, off int64, rest batchRest) {
	n, w := binary.Uvarint(buf)
	prefix = buf[w : w+int(n)]
	buf = buf[w+int(n):]
	o, w := binary.Uvarint(buf)
	buf = buf[w:]
	size := 2 + int(binary.LittleEndian.Uint16(buf))
	return prefix, int64(o), batchRest{buf[:size], buf[size:]}
}

// load brings a head into the map: the stored one, or a new one.
func (s *shard) load(prefix []byte) (*head, error) {
	h := &head{key: string(prefix), epoch: s.epoch.Load()}
	if !s.complete {
		snap := s.store.snap.acquire()
		s.key = headKey(s.key, h.key)
		v, err := snap.Get(s.key, nil)
		s.store.snap.release(snap)
		switch {
		case errors.Is(err, state.ErrNotFound):
		case err != nil:
			return nil, fmt.Errorf("read head: %w", err)
		default:
			stored, err := decodeHead(v)
			if err != nil {
				return nil, err
			}
			if err := h.load(stored); err != nil {
				return nil, err
			}
		}
	}
	s.mu.Lock()
	s.heads[h.key] = h
	s.mu.Unlock()
	s.mem.Add(h.memory())
	return h, nil
}

// evict drops clean heads until about free bytes are gone, those not used since the last checkpoint
// first. A commit that holds the newest rows of a clean head has returned, so it can be read again.
func (s *shard) evict(free int64) {
	var gone []*head
	epoch := s.epoch.Load()
	s.mu.RLock()
	for _, recent := range []bool{false, true} {
		for _, h := range s.heads {
			if free <= 0 {
				break
			}
			if h.dirty || h.flushes || (h.epoch == epoch) != recent {
				continue
			}
			free -= h.memory()
			gone = append(gone, h)
		}
	}
	s.mu.RUnlock()
	if len(gone) == 0 {
		return
	}
	s.complete = false
	s.full.Store(false)
	s.mu.Lock()
	for _, h := range gone {
		delete(s.heads, h.key)
	}
	s.mu.Unlock()
	for _, h := range gone {
		s.mem.Add(-h.memory())
	}
}

// takeDirty hands over the heads with rows that no capture holds, sorted by key.
func (s *shard) takeDirty() []*head {
	s.mu.Lock()
	list := s.dirty
	s.dirty = nil
	s.epoch.Add(1)
	s.unsaved.Store(0)
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b *head) int { return strings.Compare(a.key, b.key) })
	return list
}

// memory sums what all shards hold and what waits for them.
func (s *Store) memory() int64 {
	m := s.queued.Load()
	for _, sh := range s.shards {
		m += sh.mem.Load()
	}
	return m
}
