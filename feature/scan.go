package feature

import (
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// viewScan gathers what a viewQuery asks of one entity.
type viewScan struct {
	q        *viewQuery
	planes   []plane
	lasts    []lastRows
	sessions []span // of q.sessions
	row      event.Row
	asOf     event.Time
	arrived  event.Time // rows that arrived later than this are not served, or make the answer another than as served
	served   bool       // only rows that had arrived
	lookups  *lookups   // nil if no feature of another view is read
	cut      map[int32]int64
	since    event.Time   // rows before it do not make the entity known
	seen     bool         // the entity is known: a row lies in [since, asOf)
	later    bool         // a row that arrived after asOf was met
	times    []event.Time // scratch
	kept     keptScan     // scratch
	index    entityIndex  // of a cut's reader
	slider   slider       // the same
	slid     bool         // in a run: what slides is known already
	slidTo   int          // of a run: at how many instants it slid
	lateSlid []bool       // of a run: what slid may differ as served
	late     []bool       // of a run: the rest may
	trace    *trace       // nil but for Explain
}

func (sc *viewScan) init(q *viewQuery) {
	sc.q = q
	sc.planes = make([]plane, len(q.planes))
	for i := range sc.planes {
		sc.planes[i].init(&q.planes[i], &q.v.plan.Layout)
	}
	sc.sessions = make([]span, len(q.sessions))
	sc.lasts = make([]lastRows, len(q.lasts))
	for i := range q.lasts {
		l := &q.lasts[i]
		sc.lasts[i] = lastRows{n: l.n, filter: l.filter, ordered: l.ordered, sum: agg.NewPartial(&q.v.plan.Layout, l.groups)}
	}
	sc.row.Values = make([]event.Value, len(q.v.plan.Inputs)+len(q.v.plan.Derived))
	if q.lookup != nil {
		sc.lookups = newLookups(q)
	}
}

func (sc *viewScan) reset(at Instant) {
	sc.asOf, sc.arrived, sc.served, sc.seen, sc.later = at.AsOf, at.AsOf, at.AsServed, false, false
	sc.since = sc.q.v.since(at.AsOf)
	if at.within {
		sc.arrived = at.arrived
	}
	if sc.lookups != nil {
		sc.lookups.incomplete = false
	}
	for i := range sc.planes {
		sc.planes[i].done = false
	}
	for i := range sc.lasts {
		sc.lasts[i].reset()
	}
}

// span tells where a session lies, once the sessions are found.
func (sc *viewScan) span(w window.Spec) (start, end event.Time) {
	s := sc.sessions[slices.Index(sc.q.sessions, w)]
	return s.start, s.end
}

// counts tells whether sc.row is part of the past that is asked for.
func (sc *viewScan) counts() bool {
	row := &sc.row
	if row.Time >= sc.asOf {
		return false
	}
	if sc.cut != nil && row.Pos.Offset >= sc.cut[sc.q.v.c.lanes.of(row.Pos)] {
		return false
	}
	if row.Arrival > sc.arrived {
		sc.later = true
		if sc.served {
			return false
		}
	}
	return true
}

func (r *Reader) scan(sc *viewScan, at Instant) error {
	sc.reset(at)
	if sc.trace = r.trace; sc.trace != nil {
		sc.trace.begin(sc.q)
	}
	sc.cut = nil
	if r.cut != nil {
		sc.cut = r.cut.lanes(sc.q.v)
	}
	rows, root, err := r.entity(sc)
	if err != nil {
		return err
	}
	if sc.q.v.plan.Dedupe != nil {
		err = r.scanKept(sc, rows, root)
	} else {
		err = r.scanAll(sc, rows, root)
	}
	if err != nil {
		return err
	}
	for i := range sc.planes {
		if pl := &sc.planes[i]; !sc.slid || !pl.q.slides {
			pl.fold()
		}
	}
	for i := range sc.lasts {
		sc.lasts[i].fold()
	}
	return nil
}

// scanAll counts the rows of a view in which every row counts.
func (r *Reader) scanAll(sc *viewScan, rows []byte, root *node) error {
	if err := r.findSessions(sc, rows, root); err != nil {
		return err
	}
	for i := range sc.planes {
		pl := &sc.planes[i]
		if pl.done = sc.slid && pl.q.slides; !pl.done {
			pl.reset(sc.asOf, sc.span)
		}
	}
	if err := r.scanBase(sc, root); err != nil {
		return err
	}
	if indexed, err := r.scanIndexed(sc); err != nil || indexed && sc.gathered() {
		return err
	}
	if err := r.scanRows(sc, rows); err != nil {
		return err
	}
	return r.scanArchive(sc, root)
}

// findSessions finds where the query's session windows lie.
func (r *Reader) findSessions(sc *viewScan, rows []byte, root *node) error {
	if len(sc.q.sessions) == 0 {
		return nil
	}
	times, err := sc.headTimes(rows)
	if err != nil {
		return err
	}
	for i, w := range sc.q.sessions {
		s := &sc.sessions[i]
		if s.start, s.end, err = r.session(sc, w, times, root); err != nil {
			return err
		}
	}
	return nil
}

// scanArchive counts the rows below root.
func (r *Reader) scanArchive(sc *viewScan, root *node) (err error) {
	for i := range sc.planes {
		switch pl := &sc.planes[i]; {
		case pl.done:
		case pl.q.ordered:
			err = r.scanOrdered(sc, pl, root)
		case root != nil && len(pl.parts) > 0:
			err = r.scanPlane(sc, pl, root)
		}
		if err != nil {
			return err
		}
	}
	if root == nil {
		return nil
	}
	for i := range sc.lasts {
		if err := r.scanLast(sc, &sc.lasts[i], root); err != nil {
			return err
		}
	}
	if !sc.seen {
		sc.seen, err = r.anyRow(sc, root)
	}
	return err
}

// scanRows counts the rows of a head in planes and last-N windows. Most rows are out of reach: their time
// tells, before they are decoded.
func (r *Reader) scanRows(sc *viewScan, b []byte) error {
	reach := event.MaxTime
	for i := range sc.planes {
		if pl := &sc.planes[i]; !pl.done {
			reach = min(reach, pl.reach())
		}
	}
	for len(b) > 0 {
		_, rest, err := splitRow(b)
		if err != nil {
			return err
		}
		row := b
		b = rest
		t := rowTime(row)
		if t >= sc.asOf || (t < reach && (sc.seen || t < sc.since) && !sc.lastsWant(t)) {
			continue
		}
		if _, err := sc.q.v.c.next(row, &sc.row); err != nil {
			return err
		}
		if !sc.counts() {
			continue
		}
		sc.see(t)
		for i := range sc.planes {
			if err := r.addRow(sc, &sc.planes[i]); err != nil {
				return err
			}
		}
		for i := range sc.lasts {
			sc.lasts[i].add(&sc.row)
		}
	}
	return nil
}

// addRow counts sc.row in a plane.
func (r *Reader) addRow(sc *viewScan, pl *plane) error {
	if pl.done || !pl.has(sc.row.Time) {
		return nil
	}
	if pl.q.derived {
		if err := r.derive(sc, pl); err != nil {
			return err
		}
	}
	if sc.trace != nil {
		sc.trace.row(sc, pl)
	}
	if pl.q.ordered {
		pl.keepOrdered(&sc.row)
	} else {
		pl.add(&sc.row)
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

// within tells whether all offsets lie within the cut, if there is one.
func (sc *viewScan) within(offs []offset) bool {
	for _, o := range offs {
		if sc.cut != nil && o.next > sc.cut[o.part] {
			return false
		}
	}
	return true
}

// usable tells whether all rows below e are part of the past that is asked for, times apart.
func (sc *viewScan) usable(e *entry) bool {
	if !sc.within(e.offsets) {
		return false
	}
	if e.maxArrival > sc.arrived {
		if sc.served {
			return false
		}
		sc.later = true
	}
	return true
}

// summed tells whether the summary of e, which lies in one segment, answers for all rows below it.
func (sc *viewScan) summed(pl *plane, e *entry) bool {
	return !pl.q.derived && e.sum != nil && e.maxT < sc.asOf && sc.usable(e) && pl.none.Holds(e.sum)
}

// merge counts the rows below e, of a node of the level, by their summary.
func (r *Reader) merge(sc *viewScan, pl *plane, e *entry, level int) error {
	if sc.trace != nil {
		if err := sc.trace.summary(r, sc, pl, e, level); err != nil {
			return err
		}
	}
	if err := pl.part(pl.segment(e.minT)).MergeEncoded(e.sum); err != nil {
		return fmt.Errorf("merge block %d: %w", e.id, err)
	}
	sc.see(e.maxT)
	return nil
}

// scanPlane counts the archive below n: what lies in one segment by its summary, the rest by its rows.
func (r *Reader) scanPlane(sc *viewScan, pl *plane, n *node) error {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= sc.asOf {
			continue
		}
		some, within := pl.wants(e.minT, e.maxT)
		if !some {
			continue
		}
		if within && sc.summed(pl, e) {
			if err := r.merge(sc, pl, e, n.level); err != nil {
				return err
			}
			continue
		}
		if n.level > 0 {
			child, err := r.node(e)
			if err != nil {
				return err
			}
			if err := r.scanPlane(sc, pl, child); err != nil {
				return err
			}
			continue
		}
		if err := r.scanLeaf(sc, pl, e); err != nil {
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

// scanLeaf counts the rows of a leaf. They are sorted by time.
func (r *Reader) scanLeaf(sc *viewScan, pl *plane, e *entry) error {
	b, err := r.leaf(e.id, false)
	if err != nil {
		return err
	}
	reach := pl.reach()
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
			sc.see(t)
			if err := r.addRow(sc, pl); err != nil {
				return err
			}
		}
	}
	return nil
}

// see notes a row of the past that is asked for.
func (sc *viewScan) see(t event.Time) { sc.seen = sc.seen || t >= sc.since }

// anyRow tells whether the archive holds a row of the past that is asked for, recent enough to make the entity
// known.
func (r *Reader) anyRow(sc *viewScan, n *node) (bool, error) {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= sc.asOf || e.maxT < sc.since {
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
		sc.seen = sc.row.Time >= sc.since && sc.counts()
	}
	return nil
}
