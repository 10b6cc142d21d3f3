package feature

import (
	"slices"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// An export asks for an entity at many instants, in order. Where these are dense among the entity's rows, windows
// are not gathered for each of them: they slide. Each row is decoded once, into columns. Most of what is asked of a
// window is told by running sums and by the extremes of blocks of rows (agg.Ranges); else rows enter a window as it
// reaches them and leave it as it passes them (agg.Slide). A lifetime window only grows. Where instants are few among
// many rows, the sums of an index are cheaper.
//
// As with an index, nothing here knows what is aggregated, or how a value is finished.

const (
	rowsPerInstant = 512      // an index is cheaper where more rows than this pass by between two instants
	slideBytes     = 48 << 20 // about what the rows may take that sliding windows hold, without what slices have to spare
	rowsAtOnce     = 2 << 10  // rows that are decoded before windows move over them
)

// slider moves the windows of a viewScan over the rows of the entity that was read last.
type slider struct {
	made    bool
	windows []slideWindow // with a start
	grown   *grownWindow  // of lifetime windows; nil: there are none
	cols    *agg.Columns  // rows that windows may reach
	ranges  []*agg.Ranges // of them
	calls   []*featureQuery

	run    int  // of the reader, that this was begun for
	on     bool // it slides
	asOf   event.Time
	rows   rowStream
	now    int        // the first row that lies not before the last instant
	newest event.Time // event time of the row before it
	latest event.Time // arrival of the one before it that arrived last
}

// slideWindow is a window that has a start.
type slideWindow struct {
	plane    int // of the query
	spec     window.Spec
	lo, hi   int // its rows
	features []*featureQuery
	ranged   []rangedFeatures
	rest     []*featureQuery // that no ranges answer
	slides   [3]slidePart
}

// rangedFeatures are those that the ranges of a group answer.
type rangedFeatures struct {
	ranges   *agg.Ranges
	features []*featureQuery
}

// The slides of a window.
const (
	slideRest   = iota // of the features that no ranges answer
	slideAll           // of all: where ranges cannot
	slideServed        // of all, of rows that had arrived
)

// slidePart is a window over some of its groups. It may lag behind.
type slidePart struct {
	on    bool
	lo    int
	slide *agg.Slide
}

// make finds what can slide.
func (s *slider) make(sc *viewScan) {
	s.made = true
	plan := sc.q.v.plan
	var windows, grown []int // groups
	for i := range sc.q.planes {
		q := &sc.q.planes[i]
		if !q.slides {
			continue
		}
		for at, w := range q.windows {
			features := sc.q.featuresOf(i, at)
			s.calls = append(s.calls, features...)
			groups := groupsOf(features)
			if w.Kind == window.Lifetime {
				grown = groups
				s.grown = newGrownWindow(features, &plan.Layout, groups)
				continue
			}
			windows = append(windows, groups...)
			s.windows = append(s.windows, slideWindow{plane: i, spec: w, features: features})
		}
	}
	if len(s.calls) == 0 {
		return
	}
	s.cols = agg.NewColumns(&plan.Layout, windows, grown, len(plan.Inputs)+len(plan.Derived), sc.q.v.c.order)
	ranges := map[int]*agg.Ranges{}
	for i := range s.windows {
		s.windows[i].make(&plan.Layout, s.cols, ranges)
	}
	for _, x := range ranges {
		s.ranges = append(s.ranges, x)
	}
}

// make decides how each feature is answered; ranges are by group.
func (w *slideWindow) make(layout *agg.Layout, cols *agg.Columns, ranges map[int]*agg.Ranges) {
	for _, f := range w.features {
		group := f.Call.Group
		of := ranges[group]
		if of == nil && f.Call.Func != agg.Ratio {
			if of = agg.NewRanges(layout, group, cols); of != nil {
				ranges[group] = of
			}
		}
		if of == nil || !of.Answers(&f.Call) {
			w.rest = append(w.rest, f)
			continue
		}
		i := slices.IndexFunc(w.ranged, func(x rangedFeatures) bool { return x.ranges == of })
		if i < 0 {
			i = len(w.ranged)
			w.ranged = append(w.ranged, rangedFeatures{ranges: of})
		}
		w.ranged[i].features = append(w.ranged[i].features, f)
	}
	for i := range w.slides {
		features := w.features
		if i == slideRest {
			features = w.rest
		}
		w.slides[i].slide = agg.NewSlide(layout, groupsOf(features), cols)
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

// featuresOf lists the features that are read of a window.
func (q *viewQuery) featuresOf(plane, at int) (features []*featureQuery) {
	for i := range q.features {
		if f := &q.features[i]; f.plane == plane && f.at == at {
			features = append(features, f)
		}
	}
	return features
}

// groupsOf lists the groups that features read.
func groupsOf(features []*featureQuery) (groups []int) {
	for _, f := range features {
		groups = f.Call.Groups(groups)
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// begin decides whether the reads to come slide, and starts before the first row that they need. The entity is at
// hand.
func (s *slider) begin(r *Reader, sc *viewScan, asOf event.Time) error {
	ix := &sc.index
	s.run, s.on = r.run, false
	if !s.made {
		s.make(sc)
	}
	if len(s.calls) == 0 || ix.refused {
		return nil
	}
	if s.grown != nil && ix.root != nil && ix.root.base != nil && !s.grown.holds(ix.root.base) {
		return nil
	}
	from := asOf
	for i := range s.windows {
		start, _ := s.windows[i].spec.Range(asOf)
		from = min(from, start)
	}
	if ix.root != nil && !r.dense(ix.root, from) {
		return nil
	}
	if err := ix.lay(r, sc); err != nil || ix.refused {
		return err
	}
	s.on, s.asOf, s.now, s.newest, s.latest = true, asOf, 0, event.MinTime, event.MinTime
	s.cols.Reset()
	for _, x := range s.ranges {
		x.Reset()
	}
	for i := range s.windows {
		w := &s.windows[i]
		w.lo, w.hi = 0, 0
		for p := range w.slides {
			w.slides[p].on = false
		}
	}
	if ix.root != nil && ix.root.base != nil {
		s.newest = ix.root.base.maxT
	}
	leaf := 0
	if s.grown != nil {
		var err error
		if leaf, err = s.grown.begin(s, sc, from); err != nil {
			return err
		}
		from = event.MinTime
	}
	s.rows.begin(ix, from, leaf)
	return nil
}

// dense tells whether the instants to come are dense among the rows of the archive.
func (r *Reader) dense(root *node, from event.Time) bool {
	rows := int64(0)
	for i := range root.entries {
		e := &root.entries[i]
		if e.minT < r.until && e.maxT >= from {
			rows += e.rows
		}
	}
	return rows <= int64(r.reads)*rowsPerInstant
}

// walk answers the features that slide at instants in ascending order, in both pasts where these may differ. It
// tells at how many: the others are to be read otherwise.
func (s *slider) walk(r *Reader, sc *viewScan, asOf []event.Time, x *runAnswers) (done int, err error) {
	defer func() { s.on = s.on && err == nil }()
	if s.run != r.run {
		if err := s.begin(r, sc, asOf[0]); err != nil {
			return 0, err
		}
	}
	if s.on = s.on && asOf[0] >= s.asOf; !s.on {
		return 0, nil
	}
	last := asOf[len(asOf)-1]
	s.asOf = last
	for done < len(asOf) {
		next, err := s.rows.take(r, sc, s.cols, last, rowsAtOnce)
		if err != nil {
			return 0, err
		}
		for _, of := range s.ranges {
			of.Extend()
		}
		to := done
		for to < len(asOf) && asOf[to] <= next {
			to++
		}
		if to == done {
			if s.pass(sc, asOf[done]); s.full() {
				return done, nil
			}
			continue
		}
		for k := done; k < to; k++ {
			if err := s.behindBase(r, sc, asOf[k]); err != nil {
				return 0, err
			}
			s.count(sc, asOf[k])
			x.known[0][k] = s.newest != event.MinTime && s.newest >= sc.q.v.since(asOf[k])
			x.known[1][k] = x.known[0][k] && s.latest <= asOf[k]
			x.stops[k], sc.lateSlid[k] = s.now, !r.Corrected && s.latest > asOf[k]
			if s.grown != nil {
				s.grown.answer(x, k, asOf[k], sc.lateSlid[k])
			}
		}
		for i := range s.windows {
			s.windows[i].answer(s.cols, asOf, done, to, sc.lateSlid, x)
		}
		s.drop()
		if err := s.see(r, sc, asOf, done, to, x); err != nil {
			return 0, err
		}
		if done = to; s.full() {
			return done, nil
		}
	}
	return done, nil
}

// full tells whether windows hold more rows than there is room for; they slide no further then.
func (s *slider) full() bool {
	size := s.cols.RowSize()
	for _, x := range s.ranges {
		size += x.RowSize()
	}
	s.on = s.cols.Held()*size <= slideBytes
	return !s.on
}

// behindBase tells of an instant within the view's history whether all windows but lifetimes begin behind what was
// trimmed, which these begin with.
func (s *slider) behindBase(r *Reader, sc *viewScan, asOf event.Time) error {
	root := sc.index.root
	if root == nil || root.base == nil || asOf < r.horizon(sc.q.v) {
		return nil
	}
	e := root.base
	if e.maxT >= asOf || !r.Corrected && e.maxArrival > asOf || !sc.within(e.offsets) {
		return ErrTrimmed
	}
	for i := range s.windows {
		w := &s.windows[i]
		if start, _ := w.spec.Range(asOf); sc.q.planes[w.plane].base != nil && start <= e.maxT {
			return ErrTrimmed
		}
	}
	return nil
}

// count takes notice of the rows before an instant.
func (s *slider) count(sc *viewScan, asOf event.Time) {
	from := s.now
	if s.now = s.cols.Seek(from, asOf); s.now == from {
		return
	}
	latest := event.MinTime
	for row := from; row < s.now; row++ {
		latest = max(latest, s.cols.Arrival(row))
	}
	s.newest, s.latest = max(s.newest, s.cols.Time(s.now-1)), max(s.latest, latest)
	if s.grown != nil {
		s.grown.take(s.cols, from, s.now, latest, asOf, &sc.row)
	}
}

// pass moves the starts of windows to an instant that more rows lie before than are held.
func (s *slider) pass(sc *viewScan, asOf event.Time) {
	s.count(sc, asOf)
	for i := range s.windows {
		w := &s.windows[i]
		start, _ := w.spec.Range(asOf)
		w.lo = s.cols.Seek(w.lo, start)
		w.hi = max(w.lo, w.hi)
	}
	s.drop()
}

// drop lets rows go that lie before all windows.
func (s *slider) drop() {
	low := s.now
	s.cols.Added(low)
	for i := range s.windows {
		low = min(low, s.windows[i].lo)
	}
	if !s.cols.Drop(low) {
		return
	}
	for _, x := range s.ranges {
		x.Drop()
	}
	for i := range s.windows {
		for p := range s.windows[i].slides {
			x := &s.windows[i].slides[p]
			x.on = x.on && x.lo >= low // what lags behind begins anew when it is asked for
		}
	}
}

// answer moves the window to instants [from, to) and answers its features: as served, too, where that is another past.
func (w *slideWindow) answer(cols *agg.Columns, asOf []event.Time, from, to int, late []bool, x *runAnswers) {
	for k := from; k < to; k++ {
		at := agg.At{AsOf: asOf[k]}
		at.Start, at.End = w.spec.Range(at.AsOf)
		w.lo = cols.Seek(w.lo, at.Start)
		if at.End >= at.AsOf {
			at.End, w.hi = at.AsOf, x.stops[k]
		} else {
			w.hi = cols.Seek(max(w.lo, w.hi), at.End)
		}
		for i := range w.ranged {
			g := &w.ranged[i]
			if !g.ranges.Range(w.lo, w.hi) {
				w.slide(slideAll, event.MaxTime, g.features, cols, k, at, &x.pasts[0], x)
				continue
			}
			for _, f := range g.features {
				x.pasts[0].set(f.slot, k, g.ranges.Answer(&f.Call), x)
			}
		}
		if len(w.rest) > 0 {
			w.slide(slideRest, event.MaxTime, w.rest, cols, k, at, &x.pasts[0], x)
		}
		if late[k] {
			w.slide(slideServed, at.AsOf, w.features, cols, k, at, &x.pasts[1], x)
		}
	}
}

// slide answers features by one of the slides: of the rows that arrived by then.
func (w *slideWindow) slide(which int, arrived event.Time, features []*featureQuery, cols *agg.Columns, k int, at agg.At, to *pastAnswers, x *runAnswers) {
	p := &w.slides[which]
	if !p.on {
		p.on = true
		p.slide.Reset()
	}
	p.lo = w.lo
	p.slide.Advance(w.lo, w.hi, arrived)
	for _, f := range features {
		to.set(f.slot, k, p.slide.Answer(&f.Call, at), x)
	}
}

// see tells whether the entity is known where the newest row does not tell.
func (s *slider) see(r *Reader, sc *viewScan, asOf []event.Time, from, to int, x *runAnswers) (err error) {
	for k := from; k < to; k++ {
		late := sc.lateSlid[k]
		if !x.known[0][k] {
			sc.reset(Instant{AsOf: asOf[k]})
			if x.known[0][k], err = r.seeAny(sc); err != nil {
				return err
			}
			late = late || sc.later
		}
		if !late || x.known[1][k] {
			continue
		}
		sc.reset(Instant{AsOf: asOf[k], AsServed: true})
		if x.known[1][k], err = r.seeAny(sc); err != nil {
			return err
		}
		if !sc.lateSlid[k] && x.known[1][k] != x.known[0][k] { // by a row before all windows, which tell nothing of it
			sc.lateSlid[k] = true
			s.serveSame(x, k)
		}
	}
	return nil
}

// serveSame answers an instant as served by what the windows hold anyway.
func (s *slider) serveSame(x *runAnswers, k int) {
	from, to := &x.pasts[0], &x.pasts[1]
	for _, f := range s.calls {
		to.values[f.slot][k], to.status[f.slot][k], to.times[f.slot][k] = from.values[f.slot][k], from.status[f.slot][k], from.times[f.slot][k]
	}
}

// seeAny tells whether a row of the entity at hand makes it known.
func (r *Reader) seeAny(sc *viewScan) (bool, error) {
	rows := sc.index.head.rows
	for _, row := range rows[sort.Search(len(rows), func(i int) bool { return rows[i].t >= sc.since }):] {
		if sc.seen || row.t >= sc.asOf {
			break
		}
		if _, err := sc.q.v.c.next(row.b, &sc.row); err != nil {
			return false, err
		}
		sc.seen = sc.counts()
	}
	if sc.seen || sc.index.root == nil {
		return sc.seen, nil
	}
	return r.anyRow(sc, sc.index.root)
}
