package feature

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/state"
)

// How many rows are duplicates is counted when a head is flushed, by what its new rows change: a copy may
// bring one more duplicate, make one count again, or both. The sum of the changes is stored in the commit
// that stores the head, so neither a crash nor a replay counts a change twice.

// dropped is how many of a view's rows are duplicates, by Source.Index.
type dropped []atomic.Int64

// dropChange adds to by, by Source.Index, how many more duplicates the new rows of a captured head make.
func (c *committer) dropChange(snap state.Snapshot, w *treeWriter, x *captured, v *view, by []int64) error {
	w.snap, w.prefix = snap, string(x.key)
	f := flushCopies{w: w, v: v, ids: map[event.Value]bool{}, lo: event.MaxTime, hi: event.MinTime}
	if err := f.freshIDs(x.rows[x.fresh:]); err != nil {
		return err
	}
	if len(f.ids) == 0 {
		return nil
	}
	within := v.plan.Dedupe.Within
	f.lo, f.hi = f.lo.Add(-within), f.hi.Add(within)
	for {
		f.rows = f.rows[:0]
		if err := f.pick(x.rows[:x.fresh], false); err != nil {
			return err
		}
		if err := f.pick(x.rows[x.fresh:], true); err != nil {
			return err
		}
		if err := f.walk(x.root); err != nil {
			return err
		}
		if err := sortTie(v.c, len(v.plan.Inputs), f.rows); err != nil {
			return err
		}
		if !f.widen() {
			break
		}
	}
	keptRows(v.plan.Dedupe, f.rows, func(r *idRow, kept bool) {
		if !kept {
			by[r.src]++
		}
	})
	old := f.rows[:0]
	for _, r := range f.rows {
		if !r.fresh {
			old = append(old, r)
		}
	}
	keptRows(v.plan.Dedupe, old, func(r *idRow, kept bool) {
		if !kept {
			by[r.src]--
		}
	})
	return nil
}

// flushCopies gathers the rows of the ids of a head's new rows, as far as the new ones reach.
type flushCopies struct {
	w      *treeWriter
	v      *view
	ids    map[event.Value]bool
	rows   []idRow
	lo, hi event.Time // both within
}

// freshIDs notes the ids of new rows, and between which instants they lie.
func (f *flushCopies) freshIDs(b []byte) error {
	for len(b) > 0 {
		rest, err := f.v.c.next(b, &f.w.row)
		if err != nil {
			return err
		}
		b = rest
		if id := f.w.row.Values[f.v.plan.Dedupe.Input]; !id.IsNull() {
			f.ids[id] = true
			f.lo, f.hi = min(f.lo, f.w.row.Time), max(f.hi, f.w.row.Time)
		}
	}
	return nil
}

// pick lists the rows of b that have one of the ids and lie between lo and hi.
func (f *flushCopies) pick(b []byte, fresh bool) error {
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return err
		}
		row := b[:len(b)-len(rest)]
		b = rest
		if t := rowTime(row); t < f.lo || t > f.hi {
			continue
		}
		r := &f.w.row
		if _, err := f.v.c.next(row, r); err != nil {
			return err
		}
		if id := r.Values[f.v.plan.Dedupe.Input]; f.ids[id] {
			f.rows = append(f.rows, idRow{t: r.Time, id: id, b: row, fresh: fresh, src: r.Pos.Source})
		}
	}
	return nil
}

func (f *flushCopies) walk(n *node) error {
	if n == nil {
		return nil
	}
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT > f.hi || e.maxT < f.lo {
			continue
		}
		b, err := f.w.get(e.id)
		if err != nil {
			return err
		}
		if n.level > 0 {
			child, err := decodeNode(b)
			if err == nil {
				err = f.walk(child)
			}
			if err != nil {
				return fmt.Errorf("read block %d: %w", e.id, err)
			}
			continue
		}
		if b, err = leafOf(b); err == nil {
			err = f.pick(b, false)
		}
		if err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
	}
	return nil
}

// widen moves lo and hi to where the chains of new rows may go on; false if these are whole.
func (f *flushCopies) widen() bool {
	within := f.v.plan.Dedupe.Within
	type run struct {
		chain
		fresh bool
	}
	runs := map[event.Value]run{}
	lo, hi := f.lo, f.hi
	end := func(c run) {
		if c.fresh {
			lo, hi = min(lo, c.head.Add(-within)), max(hi, c.last.Add(within))
		}
	}
	for i := range f.rows {
		r := &f.rows[i]
		c, ok := runs[r.id]
		if !ok || r.t.Sub(c.last) > within {
			end(c)
			c = run{chain: chain{head: r.t}}
		}
		c.last, c.fresh = r.t, c.fresh || r.fresh
		runs[r.id] = c
	}
	for _, c := range runs {
		end(c)
	}
	wider := lo < f.lo || hi > f.hi
	f.lo, f.hi = lo, hi
	return wider
}

// addDropped counts a change that goes with the head that is put into the current job.
func (c *committer) addDropped(v *view, by []int64) {
	for i, n := range by {
		if n != 0 {
			v.dropped[i].Add(n)
			v.droppedMoved = true
		}
	}
}

// putDropped puts the counts that heads of the current job have changed into it.
func (c *committer) putDropped() {
	for _, v := range c.store.views {
		if !v.droppedMoved {
			continue
		}
		v.droppedMoved = false
		counts := map[string]int64{}
		for _, src := range v.srcs {
			counts[src.plan.Name] = v.dropped[src.plan.Index].Load()
		}
		text, err := json.Marshal(counts)
		if err != nil {
			panic(err) // strings and integers
		}
		c.cur.batch.Put([]byte(keyDropped+v.plan.Name), text)
	}
}

// restoreDropped reads how many of a view's rows are duplicates.
func (v *view) restoreDropped(snap state.Snapshot) error {
	counts, err := readDropped(snap, v.plan.Name)
	if err != nil {
		return err
	}
	for _, src := range v.srcs {
		v.dropped[src.plan.Index].Store(counts[src.plan.Name])
	}
	return nil
}

// readDropped reads how many rows of each source are duplicates in a view; nil if that was never counted.
func readDropped(snap state.Snapshot, view string) (counts map[string]int64, err error) {
	b, err := snap.Get([]byte(keyDropped+view), nil)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &counts)
	}
	if err != nil {
		return nil, fmt.Errorf("read the duplicates of view %q: %w", view, err)
	}
	return counts, nil
}
