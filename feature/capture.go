package feature

import (
	"context"
	"fmt"
)

// captured is a head as it was when a commit took it.
type captured struct {
	sh      *shard
	h       *head
	rows    []byte
	n       int32
	added   int32
	counted []offset
	root    *node
	lastID  uint64
	keep    []byte // rows left after spilling; nil with spilled false: all
	kept    int32
	spilled bool
}

const captureChunk = 256

// flushUrgent writes the heads that have asked for it.
func (c *committer) flushUrgent(ctx context.Context) error {
	c.mu.Lock()
	list := c.urgent
	c.urgent = nil
	c.mu.Unlock()
	for _, h := range list {
		sh := c.store.shards[c.store.shardOf(prefixSlot([]byte(h.key[:2])))]
		if err := c.flushHeads(ctx, sh, []*head{h}); err != nil {
			return err
		}
	}
	return nil
}

// flushHeads captures and encodes heads of one shard.
func (c *committer) flushHeads(ctx context.Context, sh *shard, list []*head) error {
	caps := make([]captured, 0, len(list))
	counted := make([]offset, 0, len(list)+16) // of all of them, one after the other
	var again []*head
	sh.mu.Lock()
	for _, h := range list {
		h.urgent = false
		if h.flushes {
			again = append(again, h)
			continue
		}
		if h.added == 0 {
			h.dirty = false
			continue // written since, by an urgent flush
		}
		h.prune(c.store.views[viewOf(h.key)].src.restart)
		from := len(counted)
		counted = append(append(counted, h.first), h.more...)
		caps = append(caps, captured{
			sh: sh, h: h, rows: h.rows[:len(h.rows):len(h.rows)], n: h.n, added: h.added,
			counted: counted[from:len(counted):len(counted)], root: h.root, lastID: h.lastID,
		})
		h.added, h.dirty, h.flushes = 0, false, true
	}
	sh.mu.Unlock()
	for i := range caps {
		if err := c.writeHead(ctx, &caps[i]); err != nil {
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

// writeHead spills what is too much and puts the head into the current job.
func (c *committer) writeHead(ctx context.Context, x *captured) error {
	root, rows := x.root, x.rows
	w := c.tree[viewOf(x.h.key)]
	w.gone = w.gone[:0]
	lastID := x.lastID
	if needsSplit(x.n, len(x.rows), x.added) {
		var err error
		if c.rows, err = splitRows(c.rows[:0], x.rows); err != nil {
			return err
		}
		sortRows(c.rows)
		spill, keep := splitSpill(c.rows, x.added)
		if len(spill) > 0 {
			snap := c.store.snap.acquire()
			w.snap, w.prefix, w.lastID = snap, x.h.key, x.lastID
			root, err = w.addRoot(x.root, spill)
			c.store.snap.release(snap)
			if err != nil {
				return fmt.Errorf("archive rows: %w", err)
			}
			lastID = w.lastID
			x.keep = make([]byte, 0, keepSize(keep))
			for _, r := range keep {
				x.keep = append(x.keep, r.b...)
			}
			x.kept, x.spilled = int32(len(keep)), true
			rows = x.keep
		}
	}
	src := c.store.views[viewOf(x.h.key)].src
	c.value = appendHead(c.value[:0], lastID, x.counted, src.restart, root, rows)
	c.keys = headKey(c.keys, x.h.key)
	if err := c.reserve(ctx, len(c.value)+(1+len(w.gone))*(len(c.keys)+8), 1+len(w.gone)); err != nil {
		return err
	}
	c.cur.batch.Put(c.keys, c.value)
	x.root, x.lastID = root, lastID
	c.cur.heads = append(c.cur.heads, x)
	// Late rows all over a large archive replace more blocks than one commit takes: the rest goes after.
	for _, id := range w.gone {
		c.keys = blockKey(c.keys, x.h.key, id)
		if err := c.reserve(ctx, len(c.keys), 1); err != nil {
			return err
		}
		c.cur.batch.Delete(c.keys)
	}
	return nil
}

func keepSize(rows []rowRef) (n int) {
	for _, r := range rows {
		n += len(r.b)
	}
	return n
}

// complete makes the head what the commit has stored, and what came since. It needs the shard's lock.
func (x *captured) complete() {
	h := x.h
	h.flushes = false
	if !x.spilled {
		return
	}
	was := h.memory()
	since := h.rows[len(x.rows):]
	rows := make([]byte, 0, len(x.keep)+len(since))
	h.rows = append(append(rows, x.keep...), since...)
	h.n = x.kept + h.n - x.n
	h.root, h.lastID = x.root, x.lastID
	x.sh.mem.Add(h.memory() - was)
}
