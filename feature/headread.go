package feature

import (
	"errors"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// head finds the rows and the archive's root of r.prefix: in memory, in the state, or in both. What it
// returns stays valid.
func (r *Reader) head() (rows []byte, root *node, err error) {
	return r.headBy(nil)
}

// headBy is head; in a cut what is not at hand is read by w, if there is one.
func (r *Reader) headBy(w *headWalk) (rows []byte, root *node, err error) {
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
	var b []byte
	if r.cut != nil && w != nil {
		b, err = w.get(r.cut, r.key)
	} else {
		b, err = r.snapshot().Get(r.key, nil)
	}
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
