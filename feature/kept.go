package feature

import (
	"math"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/window"
)

// keptScan reads the rows of an entity that count, in a view with dedupe.
type keptScan struct {
	r      *Reader
	sc     *viewScan
	head   []byte
	root   *node
	newest event.Time // no row of the past is later
	oldest event.Time // no row of the entity is earlier
	rows   []idRow
	kept   []idRow
}

// scanKept counts the rows of a view with dedupe. How far back last-N and session windows reach is found by
// reading ever further back.
func (r *Reader) scanKept(sc *viewScan, head []byte, root *node) error {
	k := &sc.kept
	*k = keptScan{r: r, sc: sc, head: head, root: root, newest: event.MinTime, oldest: event.MaxTime, rows: k.rows, kept: k.kept}
	if err := k.bounds(); err != nil {
		return err
	}
	from := event.MaxTime
	if len(sc.lasts)+len(sc.sessions) > 0 {
		from = k.newest.Add(-sc.q.v.plan.Dedupe.Within)
		for {
			if from < k.oldest {
				from = event.MinTime
			}
			if err := k.load(from); err != nil {
				return err
			}
			if k.enough(from) {
				break
			}
			from = k.deeper(from)
		}
	}
	reach := event.MaxTime
	for i := range sc.planes {
		sc.planes[i].reset(sc.asOf, sc.span)
		reach = min(reach, sc.planes[i].reach())
	}
	if err := r.scanBase(sc, root); err != nil {
		return err
	}
	if reach < from {
		if err := k.load(reach); err != nil {
			return err
		}
	}
	if err := k.count(); err != nil {
		return err
	}
	return k.see()
}

// bounds finds between which instants the entity's rows lie.
func (k *keptScan) bounds() error {
	for b := k.head; len(b) > 0; {
		_, rest, err := splitRow(b)
		if err != nil {
			return err
		}
		t := rowTime(b)
		k.oldest = min(k.oldest, t)
		if t < k.sc.asOf {
			k.newest = max(k.newest, t)
		}
		b = rest
	}
	if k.root == nil {
		return nil
	}
	for i := range k.root.entries {
		e := &k.root.entries[i]
		k.oldest = min(k.oldest, e.minT)
		if e.minT < k.sc.asOf {
			k.newest = max(k.newest, min(e.maxT, k.sc.asOf-1))
		}
	}
	return nil
}

// deeper is four times as far back as from.
func (k *keptScan) deeper(from event.Time) event.Time {
	span := k.newest.Sub(from)
	if span > math.MaxInt64/4 {
		return event.MinTime
	}
	return k.newest.Add(-4 * span)
}

// load lists the rows that count at or after from, in tie order.
func (k *keptScan) load(from event.Time) error {
	v := k.sc.q.v
	d := v.plan.Dedupe
	k.rows, k.kept = k.rows[:0], k.kept[:0]
	lo := from.Add(-d.Within)
	if err := k.collect(lo, k.sc.asOf, nil); err != nil {
		return err
	}
	if err := sortTie(v.c, len(v.plan.Inputs), k.rows); err != nil {
		return err
	}
	if lo > event.MinTime {
		if open := openChains(d, k.rows, from); len(open) > 0 {
			for len(open) > 0 {
				hi, n := lo, len(k.rows)
				lo = earliest(open).Add(-d.Within)
				if err := k.collect(lo, hi, open); err != nil {
					return err
				}
				older := k.rows[n:]
				if err := sortTie(v.c, len(v.plan.Inputs), older); err != nil {
					return err
				}
				follow(d, open, older, lo)
			}
			if err := sortTie(v.c, len(v.plan.Inputs), k.rows); err != nil {
				return err
			}
		}
	}
	keptRows(d, k.rows, func(r *idRow, kept bool) {
		if kept && r.t >= from {
			k.kept = append(k.kept, *r)
		}
	})
	return nil
}

// collect lists the rows of [lo, hi) that are part of the past that is asked for; if ids is not nil, only
// those of these.
func (k *keptScan) collect(lo, hi event.Time, ids map[event.Value]event.Time) error {
	if err := k.pick(k.head, lo, hi, ids); err != nil {
		return err
	}
	if k.root == nil {
		return nil
	}
	return k.walk(k.root, lo, hi, ids)
}

func (k *keptScan) walk(n *node, lo, hi event.Time, ids map[event.Value]event.Time) error {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= hi || e.maxT < lo {
			continue
		}
		if n.level > 0 {
			child, err := k.r.node(e)
			if err != nil {
				return err
			}
			if err := k.walk(child, lo, hi, ids); err != nil {
				return err
			}
			continue
		}
		b, err := k.r.leaf(e.id, true)
		if err != nil {
			return err
		}
		if err := k.pick(b, lo, hi, ids); err != nil {
			return err
		}
	}
	return nil
}

// pick lists rows of b.
func (k *keptScan) pick(b []byte, lo, hi event.Time, ids map[event.Value]event.Time) error {
	sc := k.sc
	input := sc.q.v.plan.Dedupe.Input
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return err
		}
		row := b[:len(b)-len(rest)]
		b = rest
		t := rowTime(row)
		if t < lo || t >= hi {
			continue
		}
		if _, err := sc.q.v.c.next(row, &sc.row); err != nil {
			return err
		}
		id := sc.row.Values[input]
		if ids != nil {
			if _, ok := ids[id]; !ok {
				continue
			}
		}
		if sc.counts() {
			sc.see(t)
			k.rows = append(k.rows, idRow{t: t, id: id, pass: sc.row.Pass, b: row})
		}
	}
	return nil
}

// enough finds the query's sessions, and tells whether rows before from cannot change them, nor the last-N
// windows.
func (k *keptScan) enough(from event.Time) bool {
	whole := from == event.MinTime
	for i, w := range k.sc.q.sessions {
		if !k.session(i, w, from) && !whole {
			return false
		}
	}
	if whole {
		return true
	}
	for i := range k.sc.lasts {
		l := &k.sc.lasts[i]
		n := 0
		for j := range k.kept {
			if l.filter < 0 || k.kept[j].pass&(1<<l.filter) != 0 {
				n++
			}
		}
		if n < l.n {
			return false
		}
	}
	return true
}

// session finds where a session window lies, by the rows at or after from; false if earlier ones may be of it.
func (k *keptScan) session(i int, w window.Spec, from event.Time) bool {
	s := &sessionScan{gap: w.Size, closed: w.Closed, asOf: k.sc.asOf}
	for j := len(k.kept) - 1; j >= 0 && !s.done; j-- {
		s.add(k.kept[j].t, k.kept[j].t)
	}
	found := &k.sc.sessions[i]
	found.start, found.end = 0, 0
	if s.any && (s.done || s.complete()) {
		found.start, found.end = s.lo, s.hi+1
	}
	return s.done || s.any && s.complete() && s.lo.Sub(from) >= s.gap
}

// count counts the rows in planes and last-N windows.
func (k *keptScan) count() error {
	sc := k.sc
	for i := range k.kept {
		if _, err := sc.q.v.c.next(k.kept[i].b, &sc.row); err != nil {
			return err
		}
		for j := range sc.planes {
			pl := &sc.planes[j]
			if !pl.has(sc.row.Time) {
				continue
			}
			if pl.q.derived {
				if err := k.r.derive(sc, pl); err != nil {
					return err
				}
			}
			if sc.trace != nil {
				sc.trace.row(sc, pl)
			}
			pl.add(&sc.row) // in tie order: ordered ones take it at once
		}
		for j := range sc.lasts {
			sc.lasts[j].add(&sc.row)
		}
	}
	return nil
}

// see tells whether the entity is known: of the rows that make it so, one counts.
func (k *keptScan) see() error {
	sc := k.sc
	for b := k.head; len(b) > 0 && !sc.seen; {
		var err error
		if b, err = sc.q.v.c.next(b, &sc.row); err != nil {
			return err
		}
		sc.seen = sc.row.Time >= sc.since && sc.counts()
	}
	if sc.seen || k.root == nil {
		return nil
	}
	var err error
	sc.seen, err = k.r.anyRow(sc, k.root)
	return err
}
