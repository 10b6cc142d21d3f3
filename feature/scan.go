package feature

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// viewScan gathers what a viewQuery asks of one entity.
//
// The windows that end at the instant asked for lie within each other. So time is cut at their starts
// into rings, each row counts in one ring, and the rings are merged from the inside out.
type viewScan struct {
	q      *viewQuery
	rings  []*agg.Partial
	starts []event.Time // of the rings; descending
	lasts  []lastRows
	row    event.Row
	asOf   event.Time
	served bool // only rows that had arrived
	cut    map[int32]int64
	seen   bool // a row lies before asOf
	later  bool
}

func (sc *viewScan) init(q *viewQuery) {
	sc.q = q
	n := len(q.rings)
	if q.lifetime {
		n++
	}
	for range n {
		sc.rings = append(sc.rings, agg.NewPartial(&q.v.plan.Layout, q.groups))
	}
	sc.starts = make([]event.Time, n)
	sc.lasts = make([]lastRows, len(q.lasts))
	for i := range q.lasts {
		sc.lasts[i] = lastRows{n: q.lasts[i].n, filter: q.lasts[i].filter, sum: agg.NewPartial(&q.v.plan.Layout, q.lasts[i].groups)}
	}
	sc.row.Values = make([]event.Value, len(q.v.plan.Inputs))
}

func (sc *viewScan) reset(at Instant) {
	sc.asOf, sc.served, sc.seen, sc.later = at.AsOf, at.AsServed, false, false
	for i, p := range sc.rings {
		p.Reset()
		sc.starts[i] = event.MinTime
		if i < len(sc.q.rings) {
			sc.starts[i] = at.AsOf.Add(-sc.q.rings[i])
		}
	}
	for i := range sc.lasts {
		sc.lasts[i].reset()
	}
}

// ring is the ring that t lies in; len(rings) if in none.
func (sc *viewScan) ring(t event.Time) int {
	for i, s := range sc.starts {
		if t >= s {
			return i
		}
	}
	return len(sc.starts)
}

// counts tells whether sc.row is part of the past that is asked for.
func (sc *viewScan) counts() bool {
	row := &sc.row
	if row.Time >= sc.asOf {
		return false
	}
	if sc.cut != nil && row.Pos.Offset >= sc.cut[row.Pos.Partition] {
		return false
	}
	if row.Arrival > sc.asOf {
		sc.later = true
		if sc.served {
			return false
		}
	}
	return true
}

func (r *Reader) scan(sc *viewScan, at Instant) error {
	sc.reset(at)
	sc.cut = nil
	if r.cut != nil {
		sc.cut = r.cut.offsets[sc.q.v.src]
	}
	rows, root, err := r.head()
	if err != nil {
		return err
	}
	if err := sc.rows(rows); err != nil {
		return err
	}
	if root != nil {
		if len(sc.rings) > 0 {
			if err := r.scanRings(sc, root); err != nil {
				return err
			}
		}
		for i := range sc.lasts {
			if err := r.scanLast(sc, &sc.lasts[i], root); err != nil {
				return err
			}
		}
		if !sc.seen {
			if sc.seen, err = r.anyRow(sc, root); err != nil {
				return err
			}
		}
	}
	for i := 1; i < len(sc.rings); i++ {
		sc.rings[i].Merge(sc.rings[i-1])
	}
	for i := range sc.lasts {
		sc.lasts[i].fold()
	}
	return nil
}

// rows counts the rows of a head in rings and last-N windows. Most rows are out of reach: their time
// tells, before they are decoded.
func (sc *viewScan) rows(b []byte) error {
	reach := event.MaxTime // of the rings
	if n := len(sc.starts); n > 0 {
		reach = sc.starts[n-1]
	}
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return err
		}
		row := b
		b = rest
		t := rowTime(row)
		if t >= sc.asOf || (t < reach && sc.seen && !sc.lastsWant(t)) {
			continue
		}
		if _, err := sc.q.v.c.next(row, &sc.row); err != nil {
			return err
		}
		if !sc.counts() {
			continue
		}
		sc.seen = true
		if i := sc.ring(t); i < len(sc.rings) {
			sc.rings[i].Add(&sc.row)
		}
		for i := range sc.lasts {
			sc.lasts[i].add(&sc.row)
		}
	}
	return nil
}

// lastsWant tells whether a last-N window may still take a row of time t.
func (sc *viewScan) lastsWant(t event.Time) bool {
	for i := range sc.lasts {
		if oldest, full := sc.lasts[i].full(); !full || t >= oldest {
			return true
		}
	}
	return false
}

// usable tells whether all rows below e are part of the past that is asked for, times apart.
func (sc *viewScan) usable(e *entry) bool {
	for _, o := range e.offsets {
		if sc.cut != nil && o.next > sc.cut[o.part] {
			return false
		}
	}
	if e.maxArrival > sc.asOf {
		if sc.served {
			return false
		}
		sc.later = true
	}
	return true
}

// scanRings counts the archive below n: what lies in one ring by its summary, the rest by its rows.
func (r *Reader) scanRings(sc *viewScan, n *node) error {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= sc.asOf || sc.ring(e.maxT) == len(sc.rings) {
			continue
		}
		if ring := sc.ring(e.minT); ring < len(sc.rings) && ring == sc.ring(e.maxT) && e.maxT < sc.asOf && e.sum != nil && sc.usable(e) {
			if err := sc.rings[ring].MergeEncoded(e.sum); err != nil {
				return fmt.Errorf("merge block %d: %w", e.id, err)
			}
			sc.seen = true
			continue
		}
		if n.level > 0 {
			child, err := r.node(e)
			if err != nil {
				return err
			}
			if err := r.scanRings(sc, child); err != nil {
				return err
			}
			continue
		}
		if err := r.scanLeaf(sc, e); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) node(e *entry) (*node, error) {
	r.key = blockKey(r.key, event.Alias(r.prefix), e.id)
	if x := r.cache.get(r.key); x != nil {
		return x.node, nil
	}
	b, err := r.snapshot().Get(r.key, nil)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", e.id, err)
	}
	n, err := decodeNode(b)
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", e.id, err)
	}
	r.cache.put(r.key, cachedBlock{node: n}, 2*len(b))
	return n, nil
}

// scanLeaf counts the rows of a leaf in rings. They are sorted by time.
func (r *Reader) scanLeaf(sc *viewScan, e *entry) error {
	b, err := r.leaf(e.id, false)
	if err != nil {
		return err
	}
	reach := sc.starts[len(sc.starts)-1]
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		row := b
		b = rest
		t := rowTime(row)
		if t < reach {
			continue
		}
		if t >= sc.asOf {
			return nil
		}
		if _, err := sc.q.v.c.next(row, &sc.row); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		if sc.counts() {
			sc.seen = true
			sc.rings[sc.ring(t)].Add(&sc.row)
		}
	}
	return nil
}

// anyRow tells whether the archive holds a row of the past that is asked for.
func (r *Reader) anyRow(sc *viewScan, n *node) (bool, error) {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= sc.asOf {
			continue
		}
		if e.maxT < sc.asOf && sc.usable(e) {
			return true, nil
		}
		if n.level > 0 {
			child, err := r.node(e)
			if err != nil {
				return false, err
			}
			if found, err := r.anyRow(sc, child); found || err != nil {
				return found, err
			}
			continue
		}
		if err := r.scanLeafSeen(sc, e); err != nil || sc.seen {
			return sc.seen, err
		}
	}
	return false, nil
}

// scanLeafSeen sets sc.seen if a row of the leaf counts.
func (r *Reader) scanLeafSeen(sc *viewScan, e *entry) error {
	b, err := r.leaf(e.id, false)
	if err != nil {
		return err
	}
	for len(b) > 0 && !sc.seen {
		if b, err = sc.q.v.c.next(b, &sc.row); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		sc.seen = sc.counts()
	}
	return nil
}
