package feature

import (
	"slices"
	"sort"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// planeQuery is a set of windows that are read together.
type planeQuery struct {
	windows []window.Spec
	groups  []int // of the view's layout
	base    []int // those of them that lifetime windows read
	ordered bool  // some group takes rows in tie order only
	nested  bool  // all windows end at the instant asked for
	derived bool  // some group reads features of other views
	slides  bool  // its windows can slide; told of queries that keep these apart
	// inner, for an aggregate of an aggregate: the plane's only window is the outer one, and what is read
	// are the windows of inner that end within it.
	inner *window.Spec
}

// plane is a planeQuery at one instant. Time is cut at the starts and ends of all windows into segments;
// each row counts in the one segment it lies in, and a window is the union of its segments.
type plane struct {
	q        *planeQuery
	layout   *agg.Layout
	spans    []span       // of q.windows; with q.inner of the inner windows, ascending
	outer    span         // with q.inner: the window that they end in
	bounds   []event.Time // ascending; segment i is [bounds[i], bounds[i+1])
	covered  []bool       // by segment: some window has it
	early    []bool       // by segment: some row reads another view before that view's history
	parts    []*agg.Partial
	spare    []*agg.Partial
	union    []*agg.Partial // by span, of windows of several segments
	united   []bool         // by span: its union is made
	none     *agg.Partial   // stays empty
	lifetime *agg.Partial   // stays empty, of the groups that lifetime windows read; nil: there are none
	pending  []event.Row    // of an ordered plane: rows that wait for their place
	done     bool           // an index has told what its segments hold, or its windows have slid
}

// span is a window as of one instant.
type span struct {
	start, end event.Time // half-open; empty if start is not before end
	from, to   int        // segments [from, to)
}

// maxInner bounds how many inner windows one answer reads; a plan asks for about half of it at most.
const maxInner = 20_000

func (pl *plane) init(q *planeQuery, layout *agg.Layout) {
	pl.q, pl.layout = q, layout
	pl.none = agg.NewPartial(layout, q.groups)
	if q.base != nil {
		pl.lifetime = agg.NewPartial(layout, q.base)
	}
}

// reset cuts time for an instant; sessions tells where a session window lies.
func (pl *plane) reset(at event.Time, sessions func(window.Spec) (start, end event.Time)) {
	for i, p := range pl.parts {
		if p != nil {
			p.Reset()
			pl.spare = append(pl.spare, p)
			pl.parts[i] = nil
		}
	}
	pl.spans, pl.bounds = pl.spans[:0], pl.bounds[:0]
	for _, w := range pl.q.windows {
		var s span
		if w.Kind == window.Session {
			s.start, s.end = sessions(w)
		} else {
			s.start, s.end = w.Range(at)
			s.end = min(s.end, at)
		}
		pl.spans = append(pl.spans, s)
	}
	if pl.q.inner != nil {
		pl.outer = pl.spans[0]
		pl.cutInner(pl.outer)
	}
	for _, s := range pl.spans {
		if s.start < s.end {
			pl.bounds = append(pl.bounds, s.start, s.end)
		}
	}
	slices.Sort(pl.bounds)
	pl.bounds = slices.Compact(pl.bounds)
	n := max(len(pl.bounds)-1, 0)
	pl.parts = resize(pl.parts, n)
	pl.covered = resize(pl.covered, n)
	clear(pl.covered)
	pl.early = resize(pl.early, n)
	clear(pl.early)
	clear(pl.united)
	for i := range pl.spans {
		s := &pl.spans[i]
		s.from, s.to = 0, 0
		if s.start >= s.end {
			continue
		}
		s.from, _ = slices.BinarySearch(pl.bounds, s.start)
		s.to, _ = slices.BinarySearch(pl.bounds, s.end)
		for j := s.from; j < s.to; j++ {
			pl.covered[j] = true
		}
	}
}

// cutInner makes the spans those of the inner windows that end within (start, end] of the outer one.
func (pl *plane) cutInner(outer span) {
	pl.spans = pl.spans[:0]
	if outer.start >= outer.end {
		return
	}
	for t := outer.end; len(pl.spans) < maxInner; {
		start, end := pl.q.inner.Range(t)
		if end <= outer.start || start >= end {
			break
		}
		pl.spans = append(pl.spans, span{start: start, end: end})
		t = end - 1
	}
	slices.Reverse(pl.spans)
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return append(s[:cap(s)], make([]T, n-cap(s))...)
	}
	return s[:n]
}

// reach is the earliest instant that the plane's windows cover; MaxTime if they cover none.
func (pl *plane) reach() event.Time {
	if len(pl.bounds) == 0 {
		return event.MaxTime
	}
	return pl.bounds[0]
}

// segment is the segment that t lies in: -1 before all, len(parts) or more behind all.
func (pl *plane) segment(t event.Time) int {
	if n := len(pl.bounds); n <= 16 {
		for i := n - 1; i >= 0; i-- {
			if t >= pl.bounds[i] {
				return i
			}
		}
		return -1
	}
	return sort.Search(len(pl.bounds), func(i int) bool { return pl.bounds[i] > t }) - 1
}

// wants tells whether some window has a part of [from, to], and whether all of it lies in one segment.
func (pl *plane) wants(from, to event.Time) (some, within bool) {
	i, j := pl.segment(from), pl.segment(to)
	within = i == j
	for i = max(i, 0); i <= j && i < len(pl.parts); i++ {
		if pl.covered[i] {
			return true, within
		}
	}
	return false, false
}

// part is the partial of a segment.
func (pl *plane) part(i int) *agg.Partial {
	p := pl.parts[i]
	if p == nil {
		if n := len(pl.spare); n > 0 {
			p, pl.spare = pl.spare[n-1], pl.spare[:n-1]
		} else {
			p = agg.NewPartial(pl.layout, pl.q.groups)
		}
		pl.parts[i] = p
	}
	return p
}

// has tells whether some window covers t.
func (pl *plane) has(t event.Time) bool {
	i := pl.segment(t)
	return i >= 0 && i < len(pl.parts) && pl.covered[i]
}

// add counts a row of a time that some window covers.
func (pl *plane) add(r *event.Row) { pl.part(pl.segment(r.Time)).Add(r) }

// readsEarly tells whether some row of feature f's windows reads another view before that view's history.
func (pl *plane) readsEarly(f *featureQuery) bool {
	spans := pl.spans
	if f.Inner == nil {
		spans = spans[f.at : f.at+1]
	}
	return slices.ContainsFunc(spans, func(s span) bool { return slices.Contains(pl.early[s.from:s.to], true) })
}

// fold unites the segments of nested windows: each is merged into the one before it in time, so that the
// first segment of a window then holds all of it. What is merged in is always later in time.
func (pl *plane) fold() {
	if !pl.q.nested {
		return
	}
	for i := len(pl.parts) - 2; i >= 0; i-- {
		if pl.parts[i+1] != nil {
			pl.part(i).Merge(pl.parts[i+1])
		}
	}
}

// result is what a span holds, after fold; valid until the next reset.
func (pl *plane) result(i int) *agg.Partial {
	s := &pl.spans[i]
	if s.from >= s.to {
		return pl.none
	}
	if pl.q.nested || s.to == s.from+1 {
		if p := pl.parts[s.from]; p != nil {
			return p
		}
		return pl.none
	}
	at := i
	if pl.q.inner != nil {
		at = 0 // the spans are read one after the other
	}
	if len(pl.union) <= at {
		pl.union, pl.united = resize(pl.union, at+1), resize(pl.united, at+1)
	}
	u := pl.union[at]
	if u == nil {
		u = agg.NewPartial(pl.layout, pl.q.groups)
		pl.union[at] = u
	}
	if pl.united[at] && pl.q.inner == nil {
		return u
	}
	pl.united[at] = true
	u.Reset()
	for _, p := range pl.parts[s.from:s.to] {
		if p != nil {
			u.Merge(p)
		}
	}
	return u
}
