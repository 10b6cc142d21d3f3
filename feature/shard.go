package feature

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-ml/penstock/event"
)

// shard owns the heads of a range of slots. Its goroutine is the only one that adds heads and appends rows;
// the committer takes rows away. Both hold the lock for it.
type shard struct {
	store   *Store
	id      int
	in      chan message
	epoch   atomic.Uint32 // counts checkpoints; heads keep its last byte
	mem     atomic.Int64  // what the heads hold
	unsaved atomic.Int64  // bytes of rows that no capture holds
	misses  atomic.Int64  // rows whose head was not in memory
	count   atomic.Int64  // heads

	mu    sync.RWMutex
	heads *heads
	whole bool // every stored head is in memory: one that is not does not exist

	record []headLane // scratch of apply: heads that have rows of the record under way
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
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-s.in:
			if m.batch == nil {
				s.evict(m.evict)
				continue
			}
			s.apply(m.batch)
			s.store.queued.Add(-int64(len(m.batch.buf)))
			m.batch.part.done(m.batch)
		}
	}
}

// applyRows is how many rows are appended before readers get their turn.
const applyRows = 256

// apply counts a batch. The lock is held from the first row of a record to its last, so that readers and
// captures see every record whole.
func (s *shard) apply(b *batch) {
	if b.rows == 0 {
		return
	}
	last, held := int64(-1), 0
	epoch := uint8(s.epoch.Load())
	var added int64
	s.mu.Lock()
	for buf := b.buf; len(buf) > 0; held++ {
		prefix, off, rest := splitBatch(buf)
		buf = rest.next
		off += b.base
		if off != last {
			s.countRecord(last)
			last = off
			if held >= applyRows {
				s.mu.Unlock()
				held = 0
				s.mu.Lock()
			}
		}
		lane := b.part.num
		if s.store.united {
			lane = s.store.views[viewOf(prefix)].lane(b.part.src, lane)
		}
		added += s.applyRow(prefix, rest.row, lane, off, epoch)
	}
	s.countRecord(last)
	s.heads.tidy(4)
	s.measure()
	s.mu.Unlock()
	s.unsaved.Add(added)
	if f := s.store.opt.Observe.Servable; f != nil && b.arrival != event.MinTime && b.part.src.plan.File == nil {
		f(time.Duration(s.store.opt.Now().Sub(b.arrival)) * time.Microsecond)
	}
}

// applyRow appends a row to its head, unless the head has counted it, and returns its size.
func (s *shard) applyRow(prefix, row []byte, lane int32, off int64, epoch uint8) int64 {
	t := s.heads
	tab, hash := t.tab(prefix), hashPrefix(prefix)
	id, h := t.lookup(tab, prefix, hash)
	if h == nil {
		id, h = t.add(tab, prefix, hash, len(row))
		if !s.whole {
			h.flags |= headBlind
			s.misses.Add(1)
		}
	}
	h.epoch = epoch
	if off < t.counted(h, lane) {
		return 0
	}
	t.appendRow(id, h, row)
	s.record = append(s.record, headLane{id, lane})
	if !h.is(headDirty) {
		h.flags |= headDirty
		tab.dirty = append(tab.dirty, id)
	}
	if h.size > urgentBytes && !h.is(headUrgent|headFlushes) {
		h.flags |= headUrgent
		s.store.work.askUrgent(s, id)
	}
	return int64(len(row))
}

// headLane is a head, and the lane by which rows came to it.
type headLane struct {
	id   uint32
	lane int32
}

// countRecord notes that the record at off is counted by the heads that have rows of it.
func (s *shard) countRecord(off int64) {
	for _, x := range s.record {
		s.heads.countTo(x.id, s.heads.at(x.id), x.lane, off+1)
	}
	s.record = s.record[:0]
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

// evict drops clean heads until about free bytes are gone, those not used since the last checkpoint
// first. The commit that holds the newest rows of a clean head has returned, so it can be read again.
func (s *shard) evict(free int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.heads
	goal := t.memory() - free
	t.tighten()
	s.dropTo(goal, 0)
	t.tighten()
	for had := int64(0); t.memory() > goal+free/2 && t.count != had; t.tighten() {
		// Too many holes cannot be closed: heads must go instead, or who waits for room waits for ever.
		had = t.count
		s.dropTo(goal, t.mem.holes())
	}
	s.measure()
}

// dropTo drops clean heads until memory is at the goal, once their holes are closed; stay bytes of holes cannot be.
func (s *shard) dropTo(goal, stay int64) {
	t := s.heads
	epoch := uint8(s.epoch.Load())
	for _, recent := range []bool{false, true} {
		for n := len(t.pages) * headPage; n > 0 && t.count > 0 && t.memory()-(t.mem.holes()-stay)*9/10 > goal; n-- {
			if t.hand++; int(t.hand) >= len(t.pages)*headPage {
				t.hand = 0
			}
			id := t.hand
			h := t.at(id)
			if h.flags&^(headRooted|headBlind) == headLive && (h.epoch == epoch) == recent {
				s.drop(id)
			}
		}
	}
}

// measure publishes what the heads hold.
func (s *shard) measure() {
	s.mem.Store(s.heads.memory())
	s.count.Store(s.heads.count)
}

// drop forgets a head that is stored whole. Memory no longer knows all there is.
func (s *shard) drop(id uint32) {
	s.whole = false
	s.heads.remove(id)
}

// dirtyHeads are the heads of a slot to flush, in the order of their keys.
type dirtyHeads struct {
	list []dirtyHead
	keys []byte
}

type dirtyHead struct {
	id       uint32
	from, to uint32 // of the key
}

// takeDirty hands over the heads of a slot with rows that no capture holds.
func (s *shard) takeDirty(slot int, d *dirtyHeads) {
	d.list, d.keys = d.list[:0], d.keys[:0]
	s.mu.Lock()
	tab := &s.heads.tabs[slot-s.heads.first]
	for _, id := range tab.dirty {
		h := s.heads.live(id)
		if !h.is(headDirty) {
			continue
		}
		from := uint32(len(d.keys))
		d.keys = append(d.keys, s.heads.key(h)...)
		d.list = append(d.list, dirtyHead{id, from, uint32(len(d.keys))})
	}
	tab.dirty = tab.dirty[:0]
	s.mu.Unlock()
	slices.SortFunc(d.list, func(a, b dirtyHead) int { return bytes.Compare(d.keys[a.from:a.to], d.keys[b.from:b.to]) })
}

// memory sums what all shards hold and what waits for them.
func (s *Store) memory() int64 {
	m := s.queued.Load()
	for _, sh := range s.shards {
		m += sh.mem.Load()
	}
	return m
}
