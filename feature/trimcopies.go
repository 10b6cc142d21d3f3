package feature

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// shown shows the rows before an instant in tie order: of is when the row happened that counts for r, itself if
// it is kept.
func (p *beginning) shown(until event.Time, show func(r *event.Row, of event.Time, kept bool)) error {
	w := &p.walk
	*w = tieWalk{t: p.t, until: until, show: show, inputs: len(p.v.plan.Inputs)}
	w.copies.begin(p.v.plan.Dedupe)
	head, err := splitRows(nil, p.x.rows)
	if err != nil {
		return err
	}
	for _, r := range head {
		if r.t < until {
			w.head = append(w.head, idRow{t: r.t, b: r.b})
		}
	}
	slices.SortStableFunc(w.head, func(a, b idRow) int { return cmp.Compare(a.t, b.t) })
	if p.x.root != nil {
		if err := w.node(p.x.root); err != nil {
			return err
		}
	}
	w.rows = append(w.rows, w.head...)
	w.head = nil
	return w.flush(event.MaxTime)
}

// tieWalk shows the rows of an entity in tie order.
type tieWalk struct {
	t      *trimmer
	until  event.Time
	show   func(r *event.Row, of event.Time, kept bool)
	inputs int
	head   []idRow // those of the head whose turn has not come, sorted by time
	rows   []idRow // that are shown next; rows of the latest instant may be missing
	size   int     // of the encoded row that is shown
	copies copyJudge
}

func (w *tieWalk) node(n *node) error {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= w.until {
			return nil
		}
		if n.level > 0 {
			if err := w.t.under(e, w.node); err != nil {
				return err
			}
			continue
		}
		b, err := w.t.leaf(e)
		if err == nil {
			err = w.leaf(e, b)
		}
		if err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
	}
	return nil
}

func (w *tieWalk) leaf(e *entry, b []byte) error {
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return err
		}
		if t := rowTime(b); t < w.until {
			w.rows = append(w.rows, idRow{t: t, b: b[:len(b)-len(rest)]})
		}
		b = rest
	}
	n := 0
	for n < len(w.head) && w.head[n].t <= e.maxT {
		n++
	}
	w.rows, w.head = append(w.rows, w.head[:n]...), w.head[n:]
	return w.flush(e.maxT) // the next leaf may have rows of the same instant
}

// flush shows the rows before an instant; before MaxTime all.
func (w *tieWalk) flush(before event.Time) error {
	if err := sortTie(w.t.w.c, w.inputs, w.rows); err != nil {
		return err
	}
	row, n := &w.t.w.row, 0
	for n < len(w.rows) && (w.rows[n].t < before || before == event.MaxTime) {
		b := w.rows[n].b
		if _, err := w.t.w.c.next(b, row); err != nil {
			return err
		}
		of, kept := w.copies.judge(row)
		w.size = len(b)
		w.show(row, of, kept)
		n++
	}
	w.rows = append(w.rows[:0], w.rows[n:]...)
	return nil
}

// copyGoes tells that an encoded row is a copy of one that goes.
func (t *trimmer) copyGoes(row []byte) (bool, error) {
	at := rowTime(row)
	if len(t.copies) == 0 || at >= t.copiesEnd {
		return false, nil
	}
	if _, err := t.w.c.next(row, &t.w.row); err != nil {
		return false, err
	}
	of, ok := t.copies[t.w.row.Values[t.dedupe.Input]]
	return ok && at.Sub(of) <= t.dedupe.Within, nil
}

// leafCopies lets the copies in a leaf go whose row goes.
func (t *trimmer) leafCopies(kept []entry, e *entry) (_ []entry, cut bool, err error) {
	b, err := t.leaf(e)
	if err != nil {
		return nil, false, err
	}
	list, err := splitRows(nil, b)
	if err != nil {
		return nil, false, fmt.Errorf("read block %d: %w", e.id, err)
	}
	rest := list[:0]
	for _, r := range list {
		goes, err := t.copyGoes(r.b)
		if err != nil {
			return nil, false, fmt.Errorf("read block %d: %w", e.id, err)
		}
		if !goes {
			rest = append(rest, r)
		}
	}
	if int64(len(rest)) == e.rows {
		return append(kept, *e), false, nil
	}
	t.w.gone = append(t.w.gone, e.id)
	if len(rest) == 0 {
		return kept, true, nil
	}
	kept, err = t.w.writeLeaves(kept, rest, true)
	return kept, true, err
}
