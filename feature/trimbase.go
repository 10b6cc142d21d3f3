package feature

import (
	"errors"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// In a view with lifetime windows, rows that go are summed up in the base of their entity's root: an entry
// without a block, with the partials of the groups that these windows read. It lies before all windows with a
// bound, and all that is in it had arrived by the horizon, so whoever asks from there on may use all of it.

// ErrTrimmed is returned for a past that cannot be told any more: only a part of the rows that were trimmed lies
// in it. No instant from the horizon on asks for one.
var ErrTrimmed = errors.New("a part of the rows that were trimmed would count: the past that is asked for lies before the horizon")

// maxBase bounds the sum of a base. A head that would need more keeps its rows.
const maxBase = 64 << 10

// folding sums up what goes from one head.
type folding struct {
	w    *treeWriter
	sum  *agg.Partial // of the groups of lifetime windows
	base entry
}

// begin begins with what has gone before.
func (f *folding) begin(w *treeWriter, root *node) error {
	*f = folding{w: w, sum: w.fold, base: entry{minT: event.MaxTime, maxT: event.MinTime, maxArrival: event.MinTime}}
	f.sum.Reset()
	if root == nil || root.base == nil {
		return nil
	}
	f.base = *root.base
	f.base.offsets = slices.Clone(f.base.offsets)
	return f.merge(root.base)
}

func (f *folding) merge(e *entry) error {
	if err := f.sum.MergeEncoded(e.sum); err != nil {
		return fmt.Errorf("merge block %d: %w", e.id, err)
	}
	return nil
}

func (f *folding) extend(e *entry) {
	b := &f.base
	b.minT, b.maxT, b.maxArrival = min(b.minT, e.minT), max(b.maxT, e.maxT), max(b.maxArrival, e.maxArrival)
	b.rows, b.bytes = b.rows+e.rows, b.bytes+e.bytes
	for _, o := range e.offsets {
		b.offsets = raise(b.offsets, o.part, o.next)
	}
}

// below folds all rows below an entry, by its summary if that has what is needed.
func (f *folding) below(level int, e *entry) error {
	if e.sum != nil && f.sum.Holds(e.sum) {
		f.extend(e)
		return f.merge(e)
	}
	b, err := f.w.get(e.id)
	if err != nil {
		return err
	}
	if level == 0 {
		if b, err = leafOf(b); err == nil {
			err = f.rows(b)
		}
	} else {
		var n *node
		if n, err = decodeNode(b); err == nil {
			for i := range n.entries {
				if err = f.below(n.level, &n.entries[i]); err != nil {
					break
				}
			}
		}
	}
	if err != nil {
		return fmt.Errorf("read block %d: %w", e.id, err)
	}
	return nil
}

// rows folds encoded rows.
func (f *folding) rows(b []byte) error {
	row := &f.w.row
	for len(b) > 0 {
		rest, err := f.w.c.next(b, row)
		if err != nil {
			return err
		}
		one := [1]offset{{f.w.c.lanes.of(row.Pos), row.Pos.Offset + 1}}
		f.extend(&entry{minT: row.Time, maxT: row.Time, maxArrival: row.Arrival, rows: 1, bytes: int64(len(b) - len(rest)), offsets: one[:]})
		f.sum.Add(row)
		b = rest
	}
	return nil
}

// done is the base of what was folded so far; nil if that is nothing.
func (f *folding) done() *entry {
	if f.base.rows == 0 {
		return nil
	}
	e := f.base
	e.offsets = slices.Clone(e.offsets)
	e.sum = f.sum.AppendKept(nil)
	return &e
}

func (e *entry) size() int {
	if e == nil {
		return 0
	}
	return entrySize(e)
}

// fold trims a head of a view with lifetime windows. First is found out what would become of the base: rows are
// kept where it would be larger than they are, or too large.
func (t *trimmer) fold(x *captured) (changed bool, err error) {
	f := &folding{}
	if err := f.begin(t.w, x.root); err != nil {
		return false, err
	}
	t.dry = f
	_, cut, err := t.tree(x.root)
	if err != nil {
		return false, err
	}
	var old *entry
	if x.root != nil {
		old = x.root.base
	}
	base := f.done()
	rest, n, err := t.head(x.rows)
	if err != nil {
		return false, err
	}
	if len(rest) < len(x.rows) {
		if err := f.rows(t.gone); err != nil {
			return false, err
		}
		more := f.done()
		switch saved := len(x.rows) - len(rest) - (more.size() - base.size()); {
		case more.size() <= maxBase && (cut && saved >= 0 || saved*4 >= len(x.rows)+old.size()):
			base = more
		default:
			rest, n = x.rows, x.n
		}
	}
	if !cut && len(rest) == len(x.rows) || base.size() > maxBase {
		return false, nil
	}
	t.dry = nil
	root, _, err := t.tree(x.root)
	if err != nil {
		return false, err
	}
	if root == nil {
		root = &node{}
	}
	x.rows, x.n, x.archive = rest, n, archive{&node{level: root.level, entries: root.entries, base: base}, t.w.lastID}
	return true, nil
}

// scanBase counts what was trimmed.
func (r *Reader) scanBase(sc *viewScan, root *node) error {
	if root == nil || root.base == nil || sc.asOf < r.horizon(sc.q.v) {
		return nil
	}
	e := root.base
	if e.maxT >= sc.asOf || !sc.usable(e) {
		return ErrTrimmed
	}
	sc.see(e.maxT)
	for i := range sc.planes {
		pl := &sc.planes[i]
		if pl.lifetime == nil || pl.done {
			continue
		}
		if _, within := pl.wants(e.minT, e.maxT); !within || !pl.lifetime.Holds(e.sum) {
			return ErrTrimmed
		}
		if err := pl.part(pl.segment(e.minT)).MergeEncoded(e.sum); err != nil {
			return fmt.Errorf("merge what was trimmed: %w", err)
		}
		if sc.trace != nil {
			if err := sc.trace.trimmed(sc, pl, e); err != nil {
				return err
			}
		}
	}
	return nil
}
