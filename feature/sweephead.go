package feature

import (
	"context"
	"fmt"

	"github.com/penstock-ml/penstock/state"
)

// sweepHead counts a stored head, and trims it.
//
// What is trimmed is the head as it is stored. Rows that have come since are in memory: behind the stored ones,
// or alone in a blind head; they stay where they are.
func (c *committer) sweepHead(ctx context.Context, snap state.Snapshot, at *swept, sum *census) error {
	s, err := decodeHead(at.head)
	if err != nil {
		return err
	}
	n, err := countRows(s.rows)
	if err != nil {
		return err
	}
	sum.rows = int64(n) + s.root.count()
	v := at.v
	if !v.trimmable(s.root, s.rows) {
		return nil
	}
	if s, err = decodeHead(append([]byte(nil), at.head...)); err != nil { // its root may stay in memory
		return err
	}
	x := captured{key: at.prefix, rows: s.rows, counted: s.counted, n: n, fresh: len(s.rows)}
	x.archive, x.took, x.size = archive{s.root, s.lastID}, n, uint32(len(s.rows))
	w := c.tree[v.id]
	w.gone = w.gone[:0]
	put := c.sweep.blocks
	changed, empty, err := c.trim(snap, w, &x, v)
	if err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	if !changed && !empty {
		return nil
	}
	if err := c.attach(&x, empty); err != nil {
		return err
	}
	before, size := sum.rows, len(at.head)
	if empty {
		err = c.dropHead(ctx, &x)
		*sum = census{}
	} else {
		err = c.putHead(ctx, w, &x, v, x.rows)
		sum.rows = int64(x.n) + x.root.count()
		sum.bytes += int64(len(c.value) - size)
	}
	if err != nil {
		return err
	}
	c.sweep.trimmed[v.id].Add(before - sum.rows)
	if !empty {
		sum.blocks += c.sweep.blocks.blocks - put.blocks - int64(len(w.gone))
		sum.bytes += c.sweep.blocks.bytes - put.bytes
		for _, id := range w.gone {
			sum.bytes -= at.named[id]
		}
	}
	return c.deleteGone(ctx, w, &x)
}

// count is how many rows lie below n.
func (n *node) count() (rows int64) {
	if n != nil {
		for i := range n.entries {
			rows += n.entries[i].rows
		}
	}
	return rows
}

// attach finds the head in memory that is to become what is stored now, if there is one: a blind one takes
// what is stored from the state, whenever it is looked at.
func (c *committer) attach(x *captured, empty bool) error {
	sh := c.store.shards[c.store.shardOf(prefixSlot(x.key))]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	id, h := sh.heads.find(x.key)
	if h == nil || h.is(headBlind) {
		return nil
	}
	if h.is(headFlushes) || h.old != x.size {
		return fmt.Errorf("the head in memory holds %d bytes of rows that are stored, and the state %d", h.old, x.size)
	}
	h.flags |= headFlushes // stays in memory until the commit has returned
	x.sh, x.id, x.replace, x.kept, x.empty = sh, id, true, x.n, empty
	x.rest = c.later.keep(x.rows)
	return nil
}

// dropHead deletes a head.
func (c *committer) dropHead(ctx context.Context, x *captured) error {
	c.keys = headKey(c.keys, string(x.key))
	if err := c.reserve(ctx, len(c.keys), 1); err != nil {
		return err
	}
	c.cur.batch.Delete(c.keys)
	if x.sh != nil {
		c.cur.heads = append(c.cur.heads, x.completion)
	}
	return nil
}
