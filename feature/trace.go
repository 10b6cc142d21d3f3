package feature

import (
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// trace notes what a read rests on, while it is read: there is no second way of finding out. Readers but that of
// Explain have none.
type trace struct {
	s        *Store
	opt      ExplainOptions
	answer   Answered
	features []*featureTrace // of all views of the selector, one after the other
}

// featureTrace is what one view's feature rests on.
type featureTrace struct {
	t            *trace
	q            *viewQuery
	f            *featureQuery
	groups       []int
	counted      []int64 // rows that each of groups takes
	basis        Basis
	cell         Answered
	rows, late   rowList
	lookedUpLate bool
	sum, one     *agg.Partial // scratch: of a summary, of a row
}

func newTrace(s *Store, sel *Selector, opt ExplainOptions) *trace {
	t := &trace{s: s, opt: opt}
	for i := range sel.views {
		q := &sel.views[i]
		for j := range q.features {
			f := &q.features[j]
			c := &featureTrace{t: t, q: q, f: f}
			call := &f.Call
			if f.Inner != nil {
				call = &f.Inner.Call
			}
			c.groups = call.Groups(nil)
			t.features = append(t.features, c)
		}
	}
	return t
}

// begin forgets what an attempt to read a view has noted.
func (t *trace) begin(q *viewQuery) {
	for _, c := range t.features {
		if c.q != q {
			continue
		}
		v := q.v.plan
		c.basis = Basis{
			View: v.Name, Version: v.Version, Feature: c.f.Name, Doc: c.f.Doc, Window: c.f.Window.String(), TTL: c.f.TTL,
			Start: event.MinTime, End: event.MinTime, Inputs: inputNames(v),
		}
		c.counted = make([]int64, len(c.groups))
		c.rows, c.late = rowList{most: t.opt.Rows}, rowList{most: t.opt.Rows}
	}
}

// span is what the window of the feature covers.
func (c *featureTrace) span(sc *viewScan) (start, end event.Time) {
	if c.f.plane < 0 {
		return event.MinTime, sc.asOf
	}
	pl := &sc.planes[c.f.plane]
	if c.f.Inner != nil {
		if len(pl.spans) == 0 {
			return pl.outer.start, pl.outer.end
		}
		return pl.spans[0].start, pl.spans[len(pl.spans)-1].end
	}
	return pl.spans[c.f.at].start, pl.spans[c.f.at].end
}

// reads tells whether what lies between from and to in a plane is of the feature's window.
func (c *featureTrace) reads(sc *viewScan, pl *plane, from, to event.Time) bool {
	if c.q != sc.q || c.f.plane < 0 || pl != &sc.planes[c.f.plane] {
		return false
	}
	start, end := c.span(sc)
	return from >= start && to < end
}

// row notes that sc.row was counted in a plane.
func (t *trace) row(sc *viewScan, pl *plane) {
	for _, c := range t.features {
		if c.reads(sc, pl, sc.row.Time, sc.row.Time) {
			c.row(sc, &sc.row, true)
		}
	}
}

// row notes a row of the window; listed tells that it was read by itself, and not below a summary.
func (c *featureTrace) row(sc *viewScan, r *event.Row, listed bool) {
	if listed {
		c.basis.InWindow++
	}
	if c.one == nil {
		c.one = agg.NewPartial(&c.q.v.plan.Layout, c.groups)
	}
	c.one.Reset()
	c.one.Add(r)
	taken := false
	for i, g := range c.groups {
		n := c.one.Count(g)
		taken = taken || n > 0
		if listed {
			c.counted[i] += n
		}
	}
	if !taken {
		return
	}
	late := r.Arrival > sc.asOf
	if late {
		c.late.add(c, r, late)
	}
	if listed || c.t.opt.Summaries {
		c.rows.add(c, r, late)
	}
}

// summary notes that the block of e was counted by its sum. What arrived late below it is looked for.
func (t *trace) summary(r *Reader, sc *viewScan, pl *plane, e *entry, level int) error {
	for _, c := range t.features {
		if !c.reads(sc, pl, e.minT, e.maxT) {
			continue
		}
		n, err := c.countOf(e)
		if err != nil {
			return err
		}
		late := e.maxArrival > sc.asOf
		c.basis.InWindow += e.rows
		c.note(Summary{
			Block: e.id, Level: level, From: e.minT, To: e.maxT, Rows: e.rows, Counted: n, MaxArrival: e.maxArrival, Late: late,
		}, sc, e)
		if late || t.opt.Summaries {
			if err := c.below(r, sc, e, level); err != nil {
				return err
			}
		}
	}
	return nil
}

// trimmed notes what stands for rows that are not kept any more: their sum is left, and nothing below it.
func (t *trace) trimmed(sc *viewScan, pl *plane, e *entry) error {
	for _, c := range t.features {
		if !c.reads(sc, pl, e.minT, e.maxT) {
			continue
		}
		n, err := c.countOf(e)
		if err != nil {
			return err
		}
		c.basis.InWindow += e.rows
		c.basis.Trimmed += e.rows
		c.note(Summary{Trimmed: true, From: e.minT, To: e.maxT, Rows: e.rows, Counted: n, MaxArrival: e.maxArrival}, sc, e)
	}
	return nil
}

// note lists a summary, if there is room.
func (c *featureTrace) note(s Summary, sc *viewScan, e *entry) {
	if len(c.basis.Summaries) >= c.t.opt.Rows {
		c.basis.SummariesMore++
		return
	}
	for _, o := range e.offsets {
		source, partition := sc.q.v.c.lanes.source(o.part)
		s.Next = append(s.Next, place(c.t.s.sources[source], partition, o.next))
	}
	c.basis.Summaries = append(c.basis.Summaries, s)
}

// countOf is how many rows below e the feature's aggregate takes, by the sum: of several groups the most.
func (c *featureTrace) countOf(e *entry) (most int64, err error) {
	if c.sum == nil {
		c.sum = agg.NewPartial(&c.q.v.plan.Layout, c.groups)
	}
	c.sum.Reset()
	if err := c.sum.MergeEncoded(e.sum); err != nil {
		return 0, fmt.Errorf("merge block %d: %w", e.id, err)
	}
	for i, g := range c.groups {
		n := c.sum.Count(g)
		c.counted[i] += n
		most = max(most, n)
	}
	return most, nil
}

// below shows the rows below e: all if they are to be listed, else the late ones.
func (c *featureTrace) below(r *Reader, sc *viewScan, e *entry, level int) error {
	if e.maxArrival <= sc.asOf && !c.t.opt.Summaries {
		return nil
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if level > 0 {
		n, err := r.node(e)
		if err != nil {
			return err
		}
		for i := range n.entries {
			if err := c.below(r, sc, &n.entries[i], n.level); err != nil {
				return err
			}
		}
		return nil
	}
	b, err := r.leaf(e.id, true)
	if err != nil {
		return err
	}
	row := event.Row{Values: make([]event.Value, len(sc.row.Values))}
	for len(b) > 0 {
		if b, err = sc.q.v.c.next(b, &row); err != nil {
			return fmt.Errorf("read block %d: %w", e.id, err)
		}
		c.row(sc, &row, false)
	}
	return nil
}

// finish notes what is known once all rows are gathered.
func (c *featureTrace) finish(sc *viewScan, f *featureQuery) {
	b := &c.basis
	b.Start, b.End = c.span(sc)
	if f.Inner != nil {
		pl := &sc.planes[f.plane]
		b.Inner = len(pl.spans)
		b.Window += " of " + f.Inner.Window.String()
		b.Start, b.End = pl.outer.start, pl.outer.end
	}
	if f.Window.Kind == window.LastN && f.plane < 0 {
		rows := sc.lasts[f.at].heap
		for i := range rows {
			c.row(sc, &rows[i], true)
		}
	}
	b.Counted = slices.Max(c.counted)
	c.lookedUpLate = sc.later && sc.lookups != nil && c.late.total == 0
}

// rowList keeps the latest rows that it is shown, up to a bound.
type rowList struct {
	most  int
	total int64
	rows  []BasisRow
	floor event.Time // rows before it are not wanted any more; only if full
	full  bool
}

func (l *rowList) add(c *featureTrace, r *event.Row, late bool) {
	l.total++
	if l.full && r.Time < l.floor {
		return
	}
	x := BasisRow{
		Place: place(c.t.s.sources[r.Pos.Source], r.Pos.Partition, r.Pos.Offset), Index: r.Pos.Index,
		Time: r.Time, Arrival: r.Arrival, Late: late, Values: cloned(r.Values), row: *r,
	}
	x.row.Values, x.row.Order = x.Values, r.Order.Clone()
	if l.rows = append(l.rows, x); len(l.rows) >= 2*l.most {
		l.cut()
	}
}

// cut leaves the latest.
func (l *rowList) cut() {
	slices.SortFunc(l.rows, func(a, b BasisRow) int { return a.row.Compare(&b.row) })
	if n := len(l.rows) - l.most; n > 0 {
		l.rows = slices.Delete(l.rows, 0, n)
		l.floor, l.full = l.rows[0].Time, true
	}
}

func (l *rowList) list() []BasisRow {
	l.cut()
	return l.rows
}

func (l *rowList) more() int64 { return l.total - int64(len(l.rows)) }
