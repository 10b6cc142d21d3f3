package feature

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// head finds the rows and the archive's root of r.prefix: in memory, in the state, or in both. What it
// returns stays valid.
func (r *Reader) head() (rows []byte, root *node, err error) {
	var fresh []byte // rows of a blind head
	if r.cut == nil {
		sh := r.s.shards[r.s.shardOf(prefixSlot(r.prefix))]
		sh.mu.RLock()
		if id, h := sh.heads.find(r.prefix); h != nil {
			rows, root = sh.heads.rows(h), sh.heads.archive(id, h).root
			if !sh.heads.mem.owned(h.at) {
				rows = r.copies.keep(rows)
			}
			if !h.is(headBlind) {
				sh.mu.RUnlock()
				return rows, root, nil
			}
			fresh = rows
		} else if sh.whole {
			sh.mu.RUnlock()
			return nil, nil, nil
		}
		// Under the lock: no commit can take rows away from the head between the look at it and the
		// snapshot. One that is under way may be in the snapshot: its positions tell.
		r.endSnapshot()
		r.snapshot()
		sh.mu.RUnlock()
	}
	r.key = headKey(r.key, event.Alias(r.prefix))
	if x := r.cache.get(r.key); x != nil {
		return x.bytes, x.node, nil
	}
	b, err := r.snapshot().Get(r.key, nil)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, nil, err
	}
	var h storedHead
	if err == nil {
		if h, err = decodeHead(b); err != nil {
			return nil, nil, err
		}
	}
	if len(fresh) > 0 {
		if h.rows, _, err = h.appendNew(h.rows[:len(h.rows):len(h.rows)], fresh); err != nil {
			return nil, nil, err
		}
	}
	r.cache.put(r.key, cachedBlock{bytes: h.rows, node: h.root}, len(b))
	return h.rows, h.root, nil
}

// walkedHead is head for who reads entities in order, each once: what it returns is valid until the next call for ix.
func (r *Reader) walkedHead(ix *entityIndex) (rows []byte, root *node, err error) {
	r.key = headKey(r.key, event.Alias(r.prefix))
	ix.walked = r.walks && r.trace == nil && ix.heads.inOrder(r.key)
	if !ix.walked {
		return r.head()
	}
	ix.held.reset()
	b, err := ix.heads.get(r.cut, r.key)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	h, err := ix.memory.decodeHead(b)
	return h.rows, h.root, err
}

// leaf reads the rows of a leaf; with keep they stay valid until the read ends, else until the next leaf.
func (r *Reader) leaf(id uint64, keep bool) ([]byte, error) {
	if ix := r.index; ix != nil && ix.walked && bytes.Equal(ix.prefix, r.prefix) {
		return r.walkedLeaf(ix, id)
	}
	r.key = blockKey(r.key, event.Alias(r.prefix), id)
	if x := r.cache.get(r.key); x != nil {
		return x.bytes, nil
	}
	buf := r.buf
	if keep || r.cache != nil {
		buf = nil
	}
	b, err := r.snapshot().Get(r.key, buf)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", id, err)
	}
	if buf != nil || !keep && r.cache == nil {
		r.buf = b
	}
	rows, err := leafOf(b)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", id, err)
	}
	r.cache.put(r.key, cachedBlock{bytes: rows}, len(b))
	return rows, nil
}

// walkedLeaf is leaf for the entity of ix: what it returns is valid until another is read by ix.
func (r *Reader) walkedLeaf(ix *entityIndex, id uint64) ([]byte, error) {
	if rows := ix.held.leaves[id]; rows != nil {
		return rows, nil
	}
	r.key = blockKey(r.key, event.Alias(r.prefix), id)
	if x := r.cache.get(r.key); x != nil {
		return x.bytes, nil
	}
	b, err := ix.heads.block(r.cut, r.key, ix.held.room())
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", id, err)
	}
	rows, err := leafOf(b)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", id, err)
	}
	if !ix.held.keep(id, b, rows) {
		r.cache.put(r.key, cachedBlock{bytes: rows}, len(b))
	}
	return rows, nil
}
