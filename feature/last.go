package feature

import (
	"fmt"
	"slices"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// lastRows keeps the n latest rows, in tie order, that pass a filter: a heap with the oldest on top.
type lastRows struct {
	n, filter int
	ordered   bool // the sum takes rows in tie order only
	heap      []event.Row
	sum       *agg.Partial
}

func (l *lastRows) reset() {
	l.heap = l.heap[:0]
	l.sum.Reset()
}

// full tells that only rows at or after the returned instant can still come in.
func (l *lastRows) full() (event.Time, bool) {
	if len(l.heap) < l.n {
		return 0, false
	}
	return l.heap[0].Time, true
}

// add takes a copy of r if it is among the latest; what its values alias must outlive the read.
func (l *lastRows) add(r *event.Row) {
	if l.filter >= 0 && r.Pass&(1<<l.filter) == 0 {
		return
	}
	if len(l.heap) < l.n {
		l.heap = append(l.heap, event.Row{})
		c := &l.heap[len(l.heap)-1]
		*c = *r
		c.Values = slices.Clone(r.Values)
		l.up(len(l.heap) - 1)
		return
	}
	if l.n == 0 || r.Before(&l.heap[0]) {
		return
	}
	vals := append(l.heap[0].Values[:0], r.Values...)
	l.heap[0] = *r
	l.heap[0].Values = vals
	l.down(0)
}

func (l *lastRows) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !l.heap[i].Before(&l.heap[parent]) {
			return
		}
		l.heap[i], l.heap[parent] = l.heap[parent], l.heap[i]
		i = parent
	}
}

func (l *lastRows) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(l.heap) {
			return
		}
		if c+1 < len(l.heap) && l.heap[c+1].Before(&l.heap[c]) {
			c++
		}
		if !l.heap[c].Before(&l.heap[i]) {
			return
		}
		l.heap[i], l.heap[c] = l.heap[c], l.heap[i]
		i = c
	}
}

// fold aggregates the rows kept.
func (l *lastRows) fold() {
	if l.ordered {
		slices.SortFunc(l.heap, func(a, b event.Row) int { return a.Compare(&b) })
	}
	for i := range l.heap {
		l.sum.Add(&l.heap[i])
	}
}

// scanLast offers the archive's rows below n to l, newest first, as far as they may come in.
func (r *Reader) scanLast(sc *viewScan, l *lastRows, n *node) error {
	order := make([]int, len(n.entries))
	for i := range order {
		order[i] = i
	}
	sort.Slice(order, func(a, b int) bool { return n.entries[order[a]].maxT > n.entries[order[b]].maxT })
	for _, i := range order {
		e := &n.entries[i]
		if e.minT >= sc.asOf {
			continue
		}
		if oldest, full := l.full(); full && e.maxT < oldest {
			return nil // the rest is older still
		}
		if n.level > 0 {
			child, err := r.node(e)
			if err != nil {
				return err
			}
			if err := r.scanLast(sc, l, child); err != nil {
				return err
			}
			continue
		}
		if err := r.scanLeafLast(sc, l, e); err != nil {
			return err
		}
	}
	return nil
}

// scanLeafLast offers the rows of a leaf to l; those it keeps alias the leaf.
func (r *Reader) scanLeafLast(sc *viewScan, l *lastRows, e *entry) error {
	b, err := r.leaf(e.id, true)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		row := b
		b = rest
		t := rowTime(row)
		if t >= sc.asOf {
			return nil
		}
		if oldest, full := l.full(); full && t < oldest {
			continue
		}
		if _, err := sc.q.v.c.next(row, &sc.row); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		if sc.counts() {
			sc.see(t)
			l.add(&sc.row)
		}
	}
	return nil
}
