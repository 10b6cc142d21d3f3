package feature

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-ml/penstock/internal/failpoint"
	"github.com/penstock-ml/penstock/state"
)

// captured is a head as it was when a commit took it; valid until the next capture.
type captured struct {
	completion
	key     []byte
	rows    []byte
	counted []offset
	n       int32 // rows, with what is stored of a blind head
	added   int32 // of them since the last capture
	fresh   int   // where the rows begin that no capture has held
}

// completion is what a head becomes once the commit that took it has returned.
type completion struct {
	sh    *shard
	id    uint32
	size  uint32 // of the rows taken
	took  int32  // rows
	blind bool
	archive

	replace bool // rest takes the place of the rows taken
	rest    []byte
	kept    int32    // rows of rest
	known   []offset // of a blind head that stays in memory: what the stored one had counted
	forget  bool     // a blind head that does not
	empty   bool     // nothing is stored of the head any more
}

const captureChunk = 256

// urgentHead is a head that has asked for a commit of its own.
type urgentHead struct {
	sh *shard
	id uint32
}

// flushUrgent writes the heads that have asked for it.
func (c *committer) flushUrgent(ctx context.Context) error {
	c.mu.Lock()
	list := c.urgent
	c.urgent = nil
	c.mu.Unlock()
	for _, x := range list {
		if err := c.flushHeads(ctx, x.sh, []dirtyHead{{id: x.id}}); err != nil {
			return err
		}
	}
	return nil
}

// flushSlot writes the dirty heads of a slot.
func (c *committer) flushSlot(ctx context.Context, sh *shard, slot int) error {
	sh.takeDirty(slot, &c.dirty)
	for list := c.dirty.list; len(list) > 0; {
		n := min(len(list), captureChunk)
		if err := c.flushHeads(ctx, sh, list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return c.flushUrgent(ctx)
}

// flushHeads captures and encodes heads of one shard.
func (c *committer) flushHeads(ctx context.Context, sh *shard, list []dirtyHead) error {
	again := c.capture(sh, list)
	snap := c.store.snap.acquire() // after the capture: it holds what captured heads have stored
	defer c.store.snap.release(snap)
	for i := range c.caps {
		if err := c.writeHead(ctx, snap, &c.caps[i]); err != nil {
			return err
		}
	}
	if len(again) == 0 {
		return nil
	}
	if err := c.emit(ctx); err != nil {
		return err
	}
	if err := c.drain(ctx); err != nil {
		return err
	}
	return c.flushHeads(ctx, sh, again)
}

// capture copies what heads are now; again are those whose last commit is still under way.
func (c *committer) capture(sh *shard, list []dirtyHead) (again []dirtyHead) {
	clear(c.caps)
	caps := c.caps[:0]
	c.copies.reset()
	counted := c.counted[:0] // of all of them, one after the other
	var taken int64
	sh.mu.Lock()
	t := sh.heads
	for _, x := range list {
		h := t.live(x.id)
		h.flags &^= headUrgent
		if !h.is(headDirty) {
			continue // written since by an urgent flush
		}
		if h.is(headFlushes) {
			again = append(again, x)
			continue
		}
		if h.size == h.old {
			h.flags &^= headDirty
			continue
		}
		key := t.key(h)
		t.prune(x.id, h, c.store.views[viewOf(key)].restart)
		from := len(counted)
		counted = t.appendCounted(counted, h)
		caps = append(caps, captured{
			completion: completion{
				sh: sh, id: x.id, size: h.size, took: h.n, blind: h.is(headBlind), archive: t.archive(x.id, h),
			},
			key: c.copies.copy(t.key(h)), rows: c.copies.copy(t.rows(h)),
			counted: counted[from:len(counted):len(counted)], n: h.n, added: h.added(), fresh: int(h.old),
		})
		taken += int64(h.size - h.old)
		h.old = h.size
		h.flags = h.flags&^headDirty | headFlushes
	}
	sh.mu.Unlock()
	sh.unsaved.Add(-taken)
	c.counted, c.caps = counted, caps
	return again
}

// writeHead merges a blind head with what is stored, spills what is too much, and puts the head into the
// current job.
func (c *committer) writeHead(ctx context.Context, snap state.Snapshot, x *captured) error {
	v := c.store.views[viewOf(x.key)]
	w := c.tree[v.id]
	w.gone = w.gone[:0]
	if x.blind {
		if err := c.merge(snap, x); err != nil {
			return fmt.Errorf("read head: %w", err)
		}
		if x.added == 0 { // all of it was stored
			c.cur.heads = append(c.cur.heads, x.completion)
			return nil
		}
	}
	var duplicates []int64
	if v.plan.Dedupe != nil {
		duplicates = make([]int64, len(c.store.sources))
		if err := c.dropChange(snap, w, x, v, duplicates); err != nil {
			return fmt.Errorf("count duplicates: %w", err)
		}
	}
	rows := x.rows
	if needsSplit(x.n, len(rows), x.added) {
		spilled, err := c.spill(snap, w, x)
		if err != nil {
			return fmt.Errorf("archive rows: %w", err)
		}
		if spilled {
			if err := c.pass(ctx, failpoint.HeadlessBlocks); err != nil {
				return err
			}
			rows = x.rest
		}
	}
	if err := c.putHead(ctx, w, x, v, rows); err != nil {
		return err
	}
	c.addDropped(v, duplicates)
	return c.deleteGone(ctx, w, x)
}

// putHead puts a head, with room for the blocks that it does not name any more.
func (c *committer) putHead(ctx context.Context, w *treeWriter, x *captured, v *view, rows []byte) error {
	c.value = appendHead(c.value[:0], x.lastID, x.counted, v.restart, x.root, rows)
	c.keys = append(append(c.keys[:0], x.key...), kindHead)
	if err := c.reserve(ctx, len(c.value)+(1+len(w.gone))*(len(c.keys)+8), 1+len(w.gone)); err != nil {
		return err
	}
	c.cur.batch.Put(c.keys, c.value)
	if x.sh != nil {
		c.cur.heads = append(c.cur.heads, x.completion)
	}
	return nil
}

// deleteGone deletes the blocks that a head that was put does not name any more. Late rows all over a large
// archive replace more blocks than one commit takes: the rest goes after.
func (c *committer) deleteGone(ctx context.Context, w *treeWriter, x *captured) error {
	for _, id := range w.gone {
		c.keys = blockKey(c.keys, string(x.key), id)
		if err := c.reserve(ctx, len(c.keys), 1); err != nil {
			return err
		}
		c.cur.batch.Delete(c.keys)
	}
	return nil
}

// merge puts the rows of a blind head behind those that are stored, without those that the stored head has
// counted. While there is memory the head stays there, and is not blind any more.
func (c *committer) merge(snap state.Snapshot, x *captured) error {
	c.keys = append(append(c.keys[:0], x.key...), kindHead)
	b, err := snap.Get(c.keys, c.stored)
	var s storedHead
	switch {
	case errors.Is(err, state.ErrNotFound):
	case err != nil:
		return err
	default:
		c.stored = b
		if s, err = decodeHead(b); err == nil && s.root != nil {
			s, err = decodeHead(append([]byte(nil), b...)) // it may stay
		}
		if err != nil {
			return err
		}
	}
	old, err := countRows(s.rows)
	if err != nil {
		return err
	}
	c.merged, x.added, err = s.appendNew(append(c.merged[:0], s.rows...), x.rows)
	if err != nil {
		return err
	}
	x.rows, x.n, x.fresh = c.merged, old+x.added, len(s.rows)
	for _, o := range s.counted {
		x.counted = raiseAny(x.counted, o)
	}
	x.archive = archive{s.root, s.lastID}
	if x.forget = c.store.memory() > c.store.headBudget*6/10; !x.forget {
		x.replace, x.rest, x.kept, x.known = true, c.later.keep(x.rows), x.n, s.counted
	}
	return nil
}

// raiseAny notes that everything below o has been counted.
func raiseAny(list []offset, o offset) []offset {
	for i := range list {
		if list[i].part == o.part || list[i].next == 0 {
			list[i] = offset{o.part, max(o.next, list[i].next)}
			return list
		}
	}
	return append(list, o)
}

// spill archives the older rows of a head that has too many.
func (c *committer) spill(snap state.Snapshot, w *treeWriter, x *captured) (bool, error) {
	var err error
	if c.rows, err = splitRows(c.rows[:0], x.rows); err != nil {
		return false, err
	}
	sortRows(c.rows)
	spill, keep := splitSpill(c.rows, x.added)
	if len(spill) == 0 {
		return false, nil
	}
	w.snap, w.prefix, w.lastID = snap, string(x.key), x.lastID
	if x.root, err = w.addRoot(x.root, spill); err != nil {
		return false, err
	}
	x.lastID = w.lastID
	rest := make([]byte, 0, keepSize(keep))
	for _, r := range keep {
		rest = append(rest, r.b...)
	}
	x.replace, x.rest, x.kept = true, rest, int32(len(keep))
	return true, nil
}

func keepSize(rows []rowRef) (n int) {
	for _, r := range rows {
		n += len(r.b)
	}
	return n
}

// complete makes the head what the commit has stored, and what came since. It needs the shard's lock.
func (x *completion) complete() error {
	t := x.sh.heads
	h := t.at(x.id)
	h.flags &^= headFlushes
	if !x.replace && !x.forget {
		return nil
	}
	since, n := t.rows(h)[x.size:], h.n-x.took
	if x.empty {
		if n == 0 { // whoever asks for it finds nothing, as it should be
			t.remove(x.id)
			return nil
		}
		t.setRows(x.id, h, n, since)
		h.old = 0
		t.setArchive(x.id, h, archive{lastID: x.lastID})
		return nil
	}
	if x.forget {
		if n == 0 {
			x.sh.drop(x.id)
			return nil
		}
		t.setRows(x.id, h, n, since)
		h.old = 0
		return nil
	}
	if x.blind {
		s := storedHead{counted: x.known}
		was := len(since)
		var err error
		if since, n, err = s.appendNew(nil, since); err != nil {
			return err
		}
		x.sh.unsaved.Add(int64(len(since) - was))
		h.flags &^= headBlind
	}
	t.setRows(x.id, h, x.kept+n, x.rest, since)
	h.old = uint32(len(x.rest))
	t.setArchive(x.id, h, x.archive)
	for _, o := range x.known {
		t.countTo(x.id, h, o.part, o.next)
	}
	return nil
}

// bump copies bytes behind one another.
type bump struct{ buf []byte }

const bumpBytes = 64 << 10

// reset gives all copies up.
func (m *bump) reset() { m.buf = m.buf[:0] }

func (m *bump) copy(b []byte) []byte {
	if len(b) > cap(m.buf)-len(m.buf) {
		m.buf = make([]byte, 0, max(bumpBytes, 2*cap(m.buf), len(b)))
	}
	from := len(m.buf)
	m.buf = append(m.buf, b...)
	return m.buf[from:len(m.buf):len(m.buf)]
}

// keep is copy for what is never given up: the chunks stay small.
func (m *bump) keep(b []byte) []byte {
	if len(b) > cap(m.buf)-len(m.buf) {
		m.buf = make([]byte, 0, max(bumpBytes, len(b)))
	}
	from := len(m.buf)
	m.buf = append(m.buf, b...)
	return m.buf[from:len(m.buf):len(m.buf)]
}
