package feature

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/failpoint"
	"github.com/penstock-ml/penstock/state"
)

// The sweeper walks through all that is stored, entity by entity in key order: it counts, trims what no answer
// needs any more, and deletes blocks that a crash has left without a head that names them. It is the committer
// between its other work, so nobody else commits heads meanwhile. A chunk of a pass begins and ends with nothing
// in flight: what its snapshot shows of an entity is all there is, but for rows in memory, and a block that no
// tree names is nobody's.

const (
	sweepHeads = 256                  // of a chunk, at most
	sweepBytes = 1 << 20              // of a chunk, about
	sweepTime  = 5 * time.Millisecond // of a chunk, about
	sweepEvery = 10 * time.Second     // how often is looked whether a pass is due
	sweepShare = 1.0 / 20             // of the committer's time
	hurryShare = 3.0 / 10             // when the horizon moves faster than passes end
	strayLimit = 1 << 16              // of one entity in one pass
)

// sweeper is how far the committer has come; but for what is atomic, it is the committer's.
type sweeper struct {
	cursor  []byte // the next chunk begins here; nil: no pass is under way
	at      swept
	pass    passMark // of the pass under way
	sums    []census // by view id, of the pass under way
	last    passMark // of the last pass that ended
	waiters []chan error
	blocks  census // blocks put since the start

	written   atomic.Int64 // bytes of all commits
	spent     atomic.Int64 // nanoseconds
	trimmed   []atomic.Int64
	published atomic.Pointer[published]
}

// census is what is stored of a view. Bytes are those of keys and values.
type census struct{ keys, rows, blocks, bytes int64 }

// passMark is what decides whether another pass is due.
type passMark struct {
	written int64
	limits  []event.Time // by view id
}

// swept is the entity that a pass is at.
type swept struct {
	prefix []byte // nil: none
	v      *view
	head   []byte // its value; nil: none
	named  map[uint64]int64
	stray  []uint64
	blocks int64
	bytes  int64
	torn   bool // its entries were read in several chunks
}

func (w *sweeper) init(views []*view) {
	w.trimmed = make([]atomic.Int64, len(views))
	w.last.limits = make([]event.Time, len(views))
}

// Sweep walks through all that is stored, at once, after making durable what was handed over so far: it counts,
// trims and deletes what nobody needs. A running store does so by itself, now and then (see Options.After).
func (s *Store) Sweep(ctx context.Context) error {
	if err := s.Flush(ctx); err != nil {
		return err
	}
	return s.ask(ctx, &s.work.sweeps)
}

// takeSweeps begins a new pass for those who have asked for one.
func (c *committer) takeSweeps() bool {
	c.mu.Lock()
	list := c.sweeps
	c.sweeps = nil
	c.mu.Unlock()
	if len(list) == 0 {
		return false
	}
	c.sweep.waiters = append(c.sweep.waiters, list...)
	c.beginPass()
	return true
}

// sweepOn sweeps a chunk if a pass is under way or due, and returns how long to wait until the next.
func (c *committer) sweepOn(ctx context.Context) (time.Duration, error) {
	w := &c.sweep
	if w.cursor == nil {
		if !c.passDue() {
			return sweepPause(), nil
		}
		c.beginPass()
	}
	start := time.Now()
	whole, err := c.sweepChunk(ctx)
	took := time.Since(start)
	w.spent.Add(int64(took))
	if err != nil {
		err = fmt.Errorf("sweep: %w", err)
	}
	if whole || err != nil {
		c.answer(w.waiters, err)
		w.waiters = nil
		return sweepPause(), err
	}
	if len(w.waiters) > 0 {
		return 0, nil
	}
	share := sweepShare
	if c.moved(w.pass, 2) {
		share = hurryShare
	}
	return time.Duration(float64(took) * (1 - share) / share), nil
}

// passDue tells that what the last pass has counted is not true any more, or that there is something to trim.
func (c *committer) passDue() bool {
	w := &c.sweep
	p := w.published.Load()
	if p == nil || failpoint.Armed() == failpoint.Sweep {
		return true
	}
	total := int64(0)
	for _, x := range p.sums {
		total += x.bytes
	}
	return w.written.Load()-w.last.written > total/4+(1<<10) || c.moved(w.last, 8)
}

// moved tells that the limit of some view has moved by a part of what the view keeps.
func (c *committer) moved(since passMark, part event.Duration) bool {
	for _, v := range c.store.views {
		now, was := event.Time(v.limit.Load()), since.limits[v.id]
		if now != event.MinTime && (was == event.MinTime || now.Sub(was) > v.plan.Keep/part) {
			return true
		}
	}
	return false
}

// sweepPause is how long nothing is swept after a pass, or if none is due. A process that is to die sweeps more
// often.
func sweepPause() time.Duration {
	if failpoint.Armed() != "" {
		return 20 * time.Millisecond
	}
	return sweepEvery
}

func (c *committer) beginPass() {
	w := &c.sweep
	w.cursor, w.at = []byte{}, swept{}
	w.sums = make([]census, len(c.store.views))
	w.pass = passMark{written: w.written.Load(), limits: make([]event.Time, len(c.store.views))}
	for _, v := range c.store.views {
		w.pass.limits[v.id] = event.Time(v.limit.Load())
	}
}

// settle waits until all that was put is durable.
func (c *committer) settle(ctx context.Context) error {
	if err := c.emit(ctx); err != nil {
		return err
	}
	return c.drain(ctx)
}

// sweepChunk goes on with a pass; whole tells that it has ended.
func (c *committer) sweepChunk(ctx context.Context) (whole bool, err error) {
	w := &c.sweep
	if err := c.settle(ctx); err != nil {
		return false, err
	}
	snap := c.store.snap.acquire()
	defer c.store.snap.release(snap)
	if whole, err = c.sweepEntries(ctx, snap); err != nil {
		return false, err
	}
	if whole {
		if err := c.sweepEntity(ctx, snap); err != nil {
			return false, err
		}
	}
	own := int64(c.cur.batch.Size())
	if err := c.settle(ctx); err != nil {
		return false, err
	}
	failpoint.Hit(failpoint.Sweep)
	w.pass.written += own
	if !whole {
		return false, nil
	}
	return true, c.endPass(ctx)
}

// sweepEntries takes entries from the cursor on, as many as a chunk has.
func (c *committer) sweepEntries(ctx context.Context, snap state.Snapshot) (whole bool, err error) {
	w := &c.sweep
	start, from := time.Now(), w.cursor
	w.at.torn = w.at.prefix != nil
	n, heads, size := 0, 0, 0
	for e, err := range snap.Scan(from, []byte(metaPrefix)) {
		if err != nil {
			return false, err
		}
		late := n%32 == 31 && len(w.waiters) == 0 && time.Since(start) > sweepTime
		if heads >= sweepHeads || size >= sweepBytes || late {
			w.cursor = bytes.Clone(e.Key)
			return false, nil
		}
		head, err := c.sweepEntry(ctx, snap, e)
		if err != nil {
			return false, fmt.Errorf("key %x: %w", e.Key, err)
		}
		n, size = n+1, size+len(e.Value)
		if head {
			heads++
		}
	}
	return true, nil
}

// sweepEntry takes an entry; head tells that it is a head.
func (c *committer) sweepEntry(ctx context.Context, snap state.Snapshot, e state.Entry) (head bool, err error) {
	w := &c.sweep
	if len(e.Key) < 4 || int(viewOf(e.Key)) >= len(c.store.views) {
		return false, errors.New("no view has it")
	}
	v := c.store.views[viewOf(e.Key)]
	n := v.prefixEnd(e.Key)
	if n < 0 {
		return false, errors.New("it is neither a head nor a block")
	}
	if w.at.prefix == nil || !bytes.Equal(w.at.prefix, e.Key[:n]) {
		if err := c.sweepEntity(ctx, snap); err != nil {
			return false, err
		}
		w.at.prefix, w.at.v = append(w.at.prefix, e.Key[:n]...), v
	}
	at := &w.at
	if e.Key[n] == kindHead {
		at.head = append(at.head[:0], e.Value...)
		at.bytes += int64(len(e.Key) + len(e.Value))
		return true, nil
	}
	if at.named == nil {
		if at.named, err = c.named(snap, string(at.prefix), at.head); err != nil {
			return false, err
		}
	}
	id := binary.BigEndian.Uint64(e.Key[n+1:])
	if _, ok := at.named[id]; !ok {
		if len(at.stray) < strayLimit {
			at.stray = append(at.stray, id)
		}
		return false, nil
	}
	size := int64(len(e.Key) + len(e.Value))
	at.named[id] = size
	at.blocks++
	at.bytes += size
	return false, nil
}

// named lists the blocks of a head's tree.
func (c *committer) named(snap state.Snapshot, prefix string, head []byte) (map[uint64]int64, error) {
	ids := map[uint64]int64{}
	if len(head) == 0 {
		return ids, nil
	}
	s, err := decodeHead(head)
	if err != nil || s.root == nil {
		return ids, err
	}
	return ids, c.nameBelow(snap, prefix, s.root, ids)
}

func (c *committer) nameBelow(snap state.Snapshot, prefix string, n *node, ids map[uint64]int64) error {
	for i := range n.entries {
		id := n.entries[i].id
		ids[id] = 0
		if n.level == 0 {
			continue
		}
		b, err := snap.Get(blockKey(nil, prefix, id), nil)
		if err != nil {
			return fmt.Errorf("read block %d: %w", id, err)
		}
		child, err := decodeNode(b)
		if err != nil {
			return fmt.Errorf("read block %d: %w", id, err)
		}
		if err := c.nameBelow(snap, prefix, child, ids); err != nil {
			return err
		}
	}
	return nil
}

// sweepEntity deals with the entity all of whose entries have been taken, if there is one.
func (c *committer) sweepEntity(ctx context.Context, snap state.Snapshot) error {
	at := &c.sweep.at
	if at.prefix == nil {
		return nil
	}
	if at.torn {
		if err := c.takeAnew(snap, at); err != nil {
			return err
		}
	}
	for _, id := range at.stray {
		c.keys = blockKey(c.keys, string(at.prefix), id)
		if err := c.reserve(ctx, len(c.keys), 1); err != nil {
			return err
		}
		c.cur.batch.Delete(c.keys)
	}
	sum := census{keys: 1, blocks: at.blocks, bytes: at.bytes}
	if len(at.head) == 0 {
		sum = census{}
	} else if err := c.sweepHead(ctx, snap, at, &sum); err != nil {
		return err
	}
	all := &c.sweep.sums[at.v.id]
	all.keys, all.rows, all.blocks, all.bytes = all.keys+sum.keys, all.rows+sum.rows, all.blocks+sum.blocks, all.bytes+sum.bytes
	*at = swept{prefix: nil, head: at.head[:0], stray: at.stray[:0]}
	return nil
}

// takeAnew reads the head again, which other commits may have changed while the blocks were taken chunk by
// chunk: what looked as if nobody named it may be new.
func (c *committer) takeAnew(snap state.Snapshot, at *swept) error {
	was := len(at.head)
	b, err := snap.Get(headKey(nil, string(at.prefix)), at.head)
	if errors.Is(err, state.ErrNotFound) {
		b, err = nil, nil
	}
	if err != nil {
		return err
	}
	at.head = b
	at.bytes += int64(len(b) - was)
	if len(at.stray) == 0 {
		return nil
	}
	named, err := c.named(snap, string(at.prefix), at.head)
	if err != nil {
		return err
	}
	at.stray = slices.DeleteFunc(at.stray, func(id uint64) bool { _, ok := named[id]; return ok })
	return nil
}

// prefixEnd is where the entity ends in the key of a head or of a block; -1 if the key is neither.
func (v *view) prefixEnd(key []byte) int {
	rest := key[min(4, len(key)):]
	for _, k := range v.plan.Entity.Keys {
		n, w := binary.Uvarint(rest) // a zigzag varint is as long
		if w <= 0 {
			return -1
		}
		rest = rest[w:]
		if k.Type.Kind == event.String || k.Type.Kind == event.Bytes {
			if n > uint64(len(rest)) {
				return -1
			}
			rest = rest[n:]
		}
	}
	if len(rest) == 1 && rest[0] == kindHead || len(rest) == 9 && rest[0] == kindBlock {
		return len(key) - len(rest)
	}
	return -1
}

// sweepAfter is ready when the sweeper may go on.
func (c *committer) sweepAfter(d time.Duration) <-chan time.Time {
	opt := &c.store.opt
	switch {
	case d == 0:
		now := make(chan time.Time, 1)
		now <- time.Time{}
		return now
	case opt.Offline:
		return nil
	case opt.After != nil:
		return opt.After(d)
	}
	return time.After(d)
}
