package feature

import (
	"fmt"
	"slices"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// An export asks for an entity at many instants, in order. Where these are dense among the entity's rows, windows
// are not gathered for each of them: they slide. Each row is decoded once, enters the windows as they reach it and
// leaves them as they pass it (agg.Slide); a lifetime window only grows. Where instants are few among many rows, the
// sums of an index are cheaper.
//
// As with an index, nothing here knows what is aggregated, or how a value is finished.

const (
	rowsPerInstant = 512      // an index is cheaper where more rows than this pass by between two instants
	slideBytes     = 48 << 20 // about what the rows may take that sliding windows hold
	leastRow       = 2 + 8    // bytes: a length and an event time
)

// Expect tells that the next n reads are of one entity, at instants in ascending order up to until: the reader may
// then choose another way to the same answers. Only readers of a cut make use of it.
func (r *Reader) Expect(n int, until event.Time) {
	r.run++
	r.reads, r.until = n, until
}

// slider moves the windows of a viewScan over the rows of the entity that was read last.
type slider struct {
	made    bool
	windows []slideWindow // with a start
	planes  []int         // those that slide
	grown   *grownWindow  // of lifetime windows; nil: there are none
	cols    *agg.Columns  // rows that windows with a start may reach

	run    int        // of the reader, that this was begun for
	on     bool       // it slides
	asOf   event.Time // of the last read
	from   event.Time // rows before it only grow lifetime windows
	newest event.Time // event time of the newest row that was taken
	latest event.Time // arrival of the one that arrived last
	head   []rowRef   // of the entity's head, those to come
	headT  event.Time // of the first of them; MaxTime if there is none
	leaf   int        // the next to open
	rows   []byte     // of the one that is open, those to come
	rowT   event.Time // of the first of them; MaxTime if there is none
	part   bool       // some of them lie beyond the cut
	ties   []event.Row
}

// slideWindow is a window that has a start.
type slideWindow struct {
	plane, at int // of the query, and in it
	spec      window.Spec
	pasts     [2]slidePast // corrected, and as served
}

// slidePast is a window in one of the two pasts.
type slidePast struct {
	on     bool
	slide  *agg.Slide
	lo, hi int
}

// slide makes the windows that can slide do so, up to sc.asOf; it tells whether there are such, and marks their
// planes as done.
func (r *Reader) slide(sc *viewScan) (bool, error) {
	s, ix := &sc.slider, &sc.index
	if r.cut == nil || r.run == 0 || !ix.known || sc.trace != nil || sc.arrived != sc.asOf {
		return false, nil
	}
	if s.run != r.run {
		if err := s.begin(r, sc); err != nil {
			return false, err
		}
	}
	if s.on = s.on && sc.asOf >= s.asOf; !s.on {
		return false, nil
	}
	ix.r, ix.sc = r, sc
	if err := s.take(r, sc); err != nil || !s.on {
		return false, err
	}
	s.asOf = sc.asOf
	for _, i := range s.planes {
		pl := &sc.planes[i]
		pl.done, pl.slides, pl.slid = true, true, resize(pl.slid, len(pl.q.windows))
		pl.spans = resize(pl.spans, len(pl.q.windows))
	}
	s.move(sc)
	if s.grown != nil {
		pl := &sc.planes[s.grown.plane]
		pl.spans[s.grown.at] = span{start: event.MinTime, end: sc.asOf}
		pl.slid[s.grown.at] = s.grown.partial(sc.served, sc.asOf)
	}
	sc.later = sc.later || s.latest > sc.asOf
	return true, s.see(r, sc)
}

// make finds what can slide.
func (s *slider) make(sc *viewScan) {
	s.made = true
	layout := &sc.q.v.plan.Layout
	var all []int // groups
	for i := range sc.q.planes {
		q := &sc.q.planes[i]
		if !q.slides {
			continue
		}
		s.planes = append(s.planes, i)
		for at, w := range q.windows {
			groups := sc.q.groupsOf(i, at)
			if w.Kind == window.Lifetime {
				s.grown = newGrownWindow(i, at, layout, groups)
				continue
			}
			s.windows = append(s.windows, slideWindow{plane: i, at: at, spec: w})
			all = append(all, groups...)
		}
	}
	if len(s.windows) == 0 {
		return
	}
	s.cols = agg.NewColumns(layout, all)
	for i := range s.windows {
		w := &s.windows[i]
		for p := range w.pasts {
			w.pasts[p].slide = agg.NewSlide(layout, sc.q.groupsOf(w.plane, w.at), s.cols)
		}
	}
}

// canSlide tells whether a window can slide over what is kept of groups. Any can grow; a session may begin earlier
// than the one before.
func canSlide(w window.Spec, layout *agg.Layout, groups []int) bool {
	switch w.Kind {
	case window.Lifetime:
		return true
	case window.Session:
		return false
	}
	return !slices.ContainsFunc(groups, func(g int) bool { return !layout.Groups[g].Slides() })
}

// groupsOf lists the groups that features read of a window.
func (q *viewQuery) groupsOf(plane, at int) (groups []int) {
	for i := range q.features {
		if f := &q.features[i]; f.plane == plane && f.at == at {
			groups = f.Call.Groups(groups)
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// begin decides whether the reads to come slide, and starts before the first row that they need.
func (s *slider) begin(r *Reader, sc *viewScan) error {
	ix := &sc.index
	s.run, s.on = r.run, false
	if !s.made {
		s.make(sc)
	}
	if len(s.planes) == 0 || ix.refused {
		return nil
	}
	if s.grown != nil && ix.root != nil && ix.root.base != nil && !s.grown.holds(ix.root.base) {
		return nil
	}
	s.from = sc.asOf
	for i := range s.windows {
		start, _ := s.windows[i].spec.Range(sc.asOf)
		s.from = min(s.from, start)
	}
	if ix.root != nil && !s.dense(ix.root, r) {
		return nil
	}
	if err := ix.lay(r, sc); err != nil || ix.refused {
		return err
	}
	s.on, s.asOf, s.newest, s.latest = true, sc.asOf, event.MinTime, event.MinTime
	if s.cols != nil {
		s.cols.Reset()
	}
	for i := range s.windows {
		for p := range s.windows[i].pasts {
			s.windows[i].pasts[p].on = false
		}
	}
	s.head, s.rows, s.leaf = ix.head.rows, nil, 0
	if s.grown == nil {
		s.leaf = sort.Search(len(ix.leaves), func(i int) bool { return ix.leaves[i].maxT >= s.from })
		s.head = s.head[sort.Search(len(s.head), func(i int) bool { return s.head[i].t >= s.from }):]
	} else if err := s.grown.begin(s, sc); err != nil {
		return err
	}
	s.headT, s.rowT = s.peek()
	return nil
}

// dense tells whether the instants to come are dense among the rows of the archive.
func (s *slider) dense(root *node, r *Reader) bool {
	rows := int64(0)
	for i := range root.entries {
		e := &root.entries[i]
		if e.minT < r.until && e.maxT >= s.from {
			rows += e.rows
		}
	}
	return rows <= int64(r.reads)*rowsPerInstant
}

// take takes the rows before sc.asOf, in tie order.
func (s *slider) take(r *Reader, sc *viewScan) error {
	if err := s.open(r, sc); err != nil {
		return err
	}
	for {
		t := min(s.headT, s.rowT)
		if t >= sc.asOf {
			return nil
		}
		if s.cols != nil && s.cols.Held()*s.cols.RowSize() > slideBytes {
			s.on = false
			return nil
		}
		counts, err := s.pull(r, sc, &sc.row)
		if err != nil {
			return err
		}
		if min(s.headT, s.rowT) > t { // as nearly always
			if counts {
				s.count(&sc.row, sc.asOf)
			}
			continue
		}
		if err := s.takeTies(r, sc, t, counts); err != nil {
			return err
		}
	}
}

// takeTies takes the rows of an instant, of which sc.row is the first.
func (s *slider) takeTies(r *Reader, sc *viewScan, t event.Time, counts bool) error {
	s.ties = s.ties[:0]
	if counts {
		row := s.tie(len(sc.row.Values))
		values := append(row.Values[:0], sc.row.Values...)
		*row = sc.row
		row.Values = values
	}
	for min(s.headT, s.rowT) == t {
		counts, err := s.pull(r, sc, s.tie(len(sc.row.Values)))
		if err != nil {
			return err
		}
		if !counts {
			s.ties = s.ties[:len(s.ties)-1]
		}
	}
	slices.SortFunc(s.ties, func(a, b event.Row) int { return a.Compare(&b) })
	for i := range s.ties {
		s.count(&s.ties[i], sc.asOf)
	}
	return nil
}

// pull decodes the next row; it tells whether it lies within the cut.
func (s *slider) pull(r *Reader, sc *viewScan, row *event.Row) (counts bool, err error) {
	if s.headT < s.rowT {
		b := s.head[0].b
		s.head = s.head[1:]
		s.headT, _ = s.peek()
		_, err = sc.q.v.c.next(b, row)
		return true, err
	}
	part := s.part
	if s.rows, err = sc.q.v.c.next(s.rows, row); err != nil {
		return false, err
	}
	if n := len(s.rows); n > 0 && n < leastRow {
		return false, errCorruptRow
	}
	if _, s.rowT = s.peek(); len(s.rows) == 0 {
		err = s.open(r, sc)
	}
	return !part || row.Pos.Offset < sc.cut[sc.q.v.c.lanes.of(row.Pos)], err
}

// peek tells the times of the next rows.
func (s *slider) peek() (head, row event.Time) {
	head, row = event.MaxTime, event.MaxTime
	if len(s.head) > 0 {
		head = s.head[0].t
	}
	if len(s.rows) > 0 {
		row = rowTime(s.rows)
	}
	return head, row
}

// open opens the next leaf that has rows before sc.asOf, if none is open.
func (s *slider) open(r *Reader, sc *viewScan) (err error) {
	leaves := sc.index.leaves
	for ; len(s.rows) == 0 && s.leaf < len(leaves) && leaves[s.leaf].minT < sc.asOf; s.leaf++ {
		l := &leaves[s.leaf]
		if s.rows, err = r.leaf(l.id, true); err != nil {
			return err
		}
		s.part = l.part
		for b := s.rows; len(b) > 0; {
			_, rest, err := splitRow(b)
			if err != nil {
				return fmt.Errorf("read block %d: %w", l.id, err)
			}
			if s.grown != nil || rowTime(b) >= s.from {
				break
			}
			b = rest
			s.rows = rest
		}
		_, s.rowT = s.peek()
	}
	return nil
}

// tie is memory for another row of an instant.
func (s *slider) tie(values int) *event.Row {
	n := len(s.ties)
	if n == cap(s.ties) {
		s.ties = append(s.ties, event.Row{})
	}
	s.ties = s.ties[:n+1]
	row := &s.ties[n]
	row.Values = resize(row.Values, values)
	return row
}

// count counts the next row.
func (s *slider) count(row *event.Row, asOf event.Time) {
	s.newest, s.latest = row.Time, max(s.latest, row.Arrival)
	if s.cols != nil && row.Time >= s.from {
		s.cols.Append(row)
	}
	if s.grown != nil {
		s.grown.add(row, asOf)
	}
}

// move moves the windows that have a start to sc.asOf.
func (s *slider) move(sc *viewScan) {
	past, arrived := 0, event.MaxTime
	if sc.served {
		past, arrived = 1, sc.asOf
	}
	low := 0
	for i := range s.windows {
		w := &s.windows[i]
		x := &w.pasts[past]
		if !x.on {
			x.on, x.lo, x.hi = true, s.cols.Begin(), s.cols.Begin()
			x.slide.Reset()
		}
		start, end := w.spec.Range(sc.asOf)
		end = min(end, sc.asOf)
		x.lo = s.cols.Seek(x.lo, start)
		x.hi = s.cols.Seek(max(x.lo, x.hi), end)
		x.slide.Advance(x.lo, x.hi, arrived)
		pl := &sc.planes[w.plane]
		pl.spans[w.at] = span{start: start, end: end}
		pl.slid[w.at] = x.slide.Partial()
		if i == 0 || x.lo < low {
			low = x.lo
		}
	}
	if len(s.windows) == 0 || !s.cols.Drop(low) {
		return
	}
	for i := range s.windows { // what lags behind in the other past begins anew when it is asked for
		x := &s.windows[i].pasts[1-past]
		x.on = x.on && x.lo >= low
	}
}

// see tells the scan whether the entity is known: mostly the newest row tells.
func (s *slider) see(r *Reader, sc *viewScan) error {
	if s.newest >= sc.since && s.newest != event.MinTime && (!sc.served || s.latest <= sc.asOf) {
		sc.seen = true
		return nil
	}
	rows := sc.index.head.rows
	for _, row := range rows[sort.Search(len(rows), func(i int) bool { return rows[i].t >= sc.since }):] {
		if sc.seen || row.t >= sc.asOf {
			break
		}
		if _, err := sc.q.v.c.next(row.b, &sc.row); err != nil {
			return err
		}
		sc.seen = sc.counts()
	}
	if sc.seen || sc.index.root == nil {
		return nil
	}
	var err error
	sc.seen, err = r.anyRow(sc, sc.index.root)
	return err
}
