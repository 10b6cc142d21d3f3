package feature

import (
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// Some aggregates depend on the order of rows (agg.Func.Ordered): their partials take rows in tie order,
// and merge only with what lies behind. So the archive is walked from the earliest to the latest, the
// head's rows are put in where they belong, and a summary is used only if nothing else lies in its span.

// keepOrdered notes a row until it is its turn; what it aliases must outlive the read.
func (pl *plane) keepOrdered(r *event.Row) {
	c := *r
	c.Values = slices.Clone(r.Values)
	if pl.q.derived {
		for i := range c.Values {
			c.Values[i] = c.Values[i].Clone() // those of lookups are valid until the next one
		}
	}
	pl.pending = append(pl.pending, c)
}

// flushOrdered counts the pending rows before t.
func (pl *plane) flushOrdered(t event.Time) {
	if len(pl.pending) == 0 {
		return
	}
	slices.SortFunc(pl.pending, func(a, b event.Row) int { return a.Compare(&b) })
	n := 0
	for n < len(pl.pending) && pl.pending[n].Time < t {
		pl.add(&pl.pending[n])
		n++
	}
	pl.pending = slices.Delete(pl.pending, 0, n)
}

// orderedWalk is one walk over an archive.
type orderedWalk struct {
	r  *Reader
	sc *viewScan
	pl *plane
}

// scanOrdered counts the archive below root and the pending rows of the head.
func (r *Reader) scanOrdered(sc *viewScan, pl *plane, root *node) error {
	if root != nil {
		w := orderedWalk{r: r, sc: sc, pl: pl}
		if err := w.walk(root, event.MaxTime); err != nil {
			return err
		}
	}
	pl.flushOrdered(event.MaxTime)
	for i := range pl.pending { // a row at MaxTime
		pl.add(&pl.pending[i])
	}
	pl.pending = pl.pending[:0]
	return nil
}

// walk counts what is below n; next is where what follows n begins.
func (w *orderedWalk) walk(n *node, next event.Time) error {
	for i := range n.entries {
		e := &n.entries[i]
		follows := next
		if i+1 < len(n.entries) {
			follows = n.entries[i+1].minT
		}
		if e.minT >= w.sc.asOf {
			return nil
		}
		some, within := w.pl.wants(e.minT, e.maxT)
		if !some {
			continue
		}
		w.pl.flushOrdered(e.minT)
		if within && e.maxT < follows && w.pl.clear(e) && w.sc.summed(w.pl, e) {
			if err := w.r.merge(w.sc, w.pl, e, n.level); err != nil {
				return err
			}
			continue
		}
		if n.level > 0 {
			child, err := w.r.node(e)
			if err != nil {
				return err
			}
			if err := w.walk(child, follows); err != nil {
				return err
			}
			continue
		}
		if err := w.leaf(e); err != nil {
			return err
		}
	}
	return nil
}

// clear tells whether no pending row lies in the span of e. Those before it have been counted.
func (pl *plane) clear(e *entry) bool {
	for i := range pl.pending {
		if t := pl.pending[i].Time; t >= e.minT && t <= e.maxT {
			return false
		}
	}
	return true
}

// leaf notes the rows of a leaf.
func (w *orderedWalk) leaf(e *entry) error {
	b, err := w.r.leaf(e.id, true)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		if b, err = w.sc.q.v.c.next(b, &w.sc.row); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		if w.sc.counts() {
			w.sc.see(w.sc.row.Time)
			if err := w.r.addRow(w.sc, w.pl); err != nil {
				return err
			}
		}
	}
	return nil
}
