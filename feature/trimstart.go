package feature

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// In a view with dedupe it is the rows before one that tell whether it counts, and an aggregate over the lifetime
// that depends on order takes rows one after the other. So of such views only a beginning goes, in tie order.
//
// All rows before an instant are settled if they had arrived by the horizon and none is to come: every past from
// the horizon on has them, so which of them count is the same in all. What goes before an end within that:
//
//   - With dedupe the end is the horizon of copies before the last settled instant. So no row to come can be a copy
//     of one that goes. Those that are there already are told by the rows that go, and go with them: they lie less
//     than the horizon behind the end. What is left is judged by itself as it was before.
//   - What last-N windows and sessions need is found among the settled rows that count. Rows behind those can only
//     make them need less.
//   - Lifetime windows get the sum of the rows that count (folding), which must be followed by the rest in order.

// fromStart tells whether rows of a view go from the earliest on.
func fromStart(v *pipeline.View) bool {
	return v.Dedupe != nil || slices.ContainsFunc(lifetimeGroups(v), func(g int) bool { return v.Layout.Groups[g].Ordered() })
}

// beginning is what goes from the beginning of one head.
type beginning struct {
	t       *trimmer
	v       *view
	x       *captured
	within  event.Duration // the horizon of copies; 0: there are none
	settled event.Time     // all rows before it are
	end     event.Time     // what is before it goes
	walk    tieWalk
}

// mayBegin is trimmable for views whose rows go from the earliest on.
func (t *trimmer) mayBegin(v *view, root *node, rows []byte) bool {
	end := t.old.Add(-v.copyHorizon())
	if root != nil && len(root.entries) > 0 {
		if e := &root.entries[0]; e.minT < end && (root.level > 0 || e.maxT < end && e.maxArrival <= t.horizon) {
			return true
		}
	}
	size, n := 0, 0
	for b := rows; len(b) > 0; n++ {
		row, at, arrival, err := splitTimes(b)
		if err != nil {
			return true // whoever reads them next tells
		}
		b = b[len(row):]
		if at < end && arrival <= t.horizon {
			size += len(row)
		}
	}
	if root == nil && n <= specsAll(v.lasts) {
		return false
	}
	return size > 0 && size*4 >= len(rows) && (v.bounded || size > leastBase)
}

// copyHorizon is how far apart copies may be.
func (v *view) copyHorizon() event.Duration {
	if v.plan.Dedupe == nil {
		return 0
	}
	return v.plan.Dedupe.Within
}

// trimStart is trim for views whose rows go from the earliest on.
func (t *trimmer) trimStart(x *captured, v *view) (changed, empty bool, err error) {
	p := &beginning{t: t, v: v, x: x, within: v.copyHorizon(), settled: t.old}
	if err := p.findEnd(); err != nil || !p.worth() {
		return false, false, err
	}
	if need, err := p.needs(); err != nil || !need {
		return false, false, err
	}
	return p.cut()
}

// findEnd finds what is settled, and by that the end.
func (p *beginning) findEnd() error {
	for b := p.x.rows; len(b) > 0; {
		row, at, arrival, err := splitTimes(b)
		if err != nil {
			return err
		}
		b = b[len(row):]
		if at < p.settled && arrival > p.t.horizon {
			p.settled = at
		}
	}
	if p.x.root != nil {
		if err := p.settle(p.x.root); err != nil {
			return err
		}
	}
	p.end = p.settled.Add(-p.within)
	return p.align(p.x.root)
}

// settle takes from what is settled the leaves with a row that arrived later, and what follows them.
func (p *beginning) settle(n *node) error {
	for i := range n.entries {
		e := &n.entries[i]
		if e.minT >= p.settled {
			return nil
		}
		if e.maxArrival <= p.t.horizon {
			continue
		}
		if n.level == 0 {
			p.settled = e.minT
			return nil
		}
		if err := p.t.under(e, p.settle); err != nil {
			return err
		}
	}
	return nil
}

// align moves the end back to the beginning of a leaf that it would cut.
func (p *beginning) align(n *node) error {
	if n == nil {
		return nil
	}
	for i := len(n.entries) - 1; i >= 0; i-- {
		e := &n.entries[i]
		switch {
		case e.minT >= p.end:
		case e.maxT < p.end:
			return nil
		case n.level == 0:
			p.end = e.minT
		default:
			if err := p.t.under(e, p.align); err != nil {
				return err
			}
		}
	}
	return nil
}

// cuts tells that leaves go.
func (p *beginning) cuts() bool {
	root := p.x.root
	return root != nil && len(root.entries) > 0 && root.entries[0].minT < p.end
}

// worth tells that a head is worth to be written for what goes: for a leaf, or a quarter of its own rows.
func (p *beginning) worth() bool {
	if p.cuts() {
		return true
	}
	size := 0
	for b := p.x.rows; len(b) > 0; {
		row, at, _, err := splitTimes(b)
		if err != nil {
			return true
		}
		b = b[len(row):]
		if at < p.end {
			size += len(row)
		}
	}
	return size > 0 && size*4 >= len(p.x.rows)
}

// needs moves the end back to what windows without a bound need, and a bounded view's witness; ok tells that
// something goes still.
func (p *beginning) needs() (ok bool, err error) {
	witness := p.v.bounded && !p.witnessed()
	if !witness && len(p.v.lasts)+len(p.v.sessions) == 0 {
		return true, nil
	}
	found := make([]lastRows, len(p.v.lasts))
	for i, s := range p.v.lasts {
		found[i] = lastRows{n: s.n, filter: s.filter}
	}
	runs := make([]sessionRun, len(p.v.sessions))
	for i, s := range p.v.sessions {
		runs[i] = sessionRun{gap: s.Size, closed: s.Closed, whole: event.MinTime}
	}
	newest, counts := event.MinTime, event.MinTime // the newest row, and the one that counts for it
	err = p.shown(p.settled, func(r *event.Row, of event.Time, kept bool) {
		if newest, counts = r.Time, of; !kept {
			return
		}
		row := *r
		row.Values = nil
		for i := range found {
			found[i].add(&row)
		}
		for i := range runs {
			runs[i].add(r.Time)
		}
	})
	if err != nil {
		return false, err
	}
	for i := range found {
		from, full := found[i].full()
		if !full {
			from = event.MinTime
		}
		p.end = min(p.end, from)
	}
	for i := range runs {
		p.end = min(p.end, runs[i].start(p.settled))
	}
	if witness && newest >= p.t.unknown {
		p.end = min(p.end, counts) // a copy stays with what it is a copy of
	}
	if err := p.align(p.x.root); err != nil {
		return false, err
	}
	return p.worth(), nil
}

// witnessed tells for certain that a row makes the entity known for longer than those that are settled.
func (p *beginning) witnessed() bool {
	for b := p.x.rows; len(b) > 0; {
		row, at, arrival, err := splitTimes(b)
		if err != nil {
			return false
		}
		b = b[len(row):]
		if at >= p.settled && at < p.t.horizon && arrival <= p.t.horizon {
			return true
		}
	}
	return p.x.root != nil && slices.ContainsFunc(p.x.root.entries, func(e entry) bool {
		return e.minT >= p.settled && e.maxT < p.t.horizon && e.maxArrival <= p.t.horizon
	})
}

// sessionRun finds the session that a window needs, by the rows that count from the earliest to the latest.
type sessionRun struct {
	gap    event.Duration
	closed bool
	any    bool
	from   event.Time // of the run under way
	last   event.Time
	whole  event.Time // the beginning of the run before it; MinTime: there is none
}

func (s *sessionRun) add(t event.Time) {
	if s.any && t.Sub(s.last) > s.gap {
		s.whole = s.from
	}
	if !s.any || t.Sub(s.last) > s.gap {
		s.from = t
	}
	s.any, s.last = true, t
}

// start is from where on rows stay. What is yet to come may join what lies up to a gap before settled.
func (s *sessionRun) start(settled event.Time) event.Time {
	if !s.any || s.closed && settled.Sub(s.last) <= s.gap {
		return s.whole
	}
	return s.from
}

// cut lets go what is before the end.
func (p *beginning) cut() (changed, empty bool, err error) {
	t, x := p.t, p.x
	var base *entry
	if t.w.fold != nil {
		f := &folding{}
		if err := f.begin(t.w, x.root); err != nil {
			return false, false, err
		}
		if err := p.fold(f); err != nil {
			return false, false, err
		}
		base = f.done()
	} else if p.within > 0 {
		if err := p.shown(p.end, func(*event.Row, event.Time, bool) {}); err != nil {
			return false, false, err
		}
	}
	t.old = p.end
	if p.within > 0 {
		p.walk.copies.forget(p.end)
		t.copies, t.copiesEnd = p.walk.copies.newest, p.end.Add(p.within)
	}
	rest, n, err := p.head()
	if err != nil {
		return false, false, err
	}
	if base != nil {
		var old *entry
		if x.root != nil {
			old = x.root.base
		}
		saved := len(x.rows) - len(rest) - (base.size() - old.size())
		if base.size() > maxBase || !p.cuts() && saved*4 < len(x.rows)+old.size() {
			return false, false, nil
		}
	}
	root, _, err := t.tree(x.root)
	if err != nil {
		return false, false, err
	}
	if base != nil {
		if root == nil {
			root = &node{}
		}
		root = &node{level: root.level, entries: root.entries, base: base}
	}
	if x.root == nil && root == nil && len(rest) == 0 {
		empty = x.replayed(p.v)
	}
	x.rows, x.n, x.archive = rest, n, archive{root, t.w.lastID}
	return true, empty, nil
}

// fold sums up what counts before the end.
func (p *beginning) fold(f *folding) error {
	return p.shown(p.end, func(r *event.Row, _ event.Time, kept bool) {
		one := [1]offset{{p.v.c.lanes.of(r.Pos), r.Pos.Offset + 1}}
		e := entry{minT: r.Time, maxT: r.Time, maxArrival: r.Arrival, offsets: one[:]}
		if kept {
			e.rows, e.bytes = 1, int64(p.walk.size)
			f.sum.Add(r)
		}
		f.extend(&e)
	})
}

// head returns the head's rows that stay, and how many they are.
func (p *beginning) head() (rest []byte, n int32, err error) {
	rest = make([]byte, 0, len(p.x.rows))
	for b := p.x.rows; len(b) > 0; {
		_, tail, err := splitRow(b)
		if err != nil {
			return nil, 0, err
		}
		row := b[:len(b)-len(tail)]
		b = tail
		goes := rowTime(row) < p.end
		if !goes {
			if goes, err = p.t.copyGoes(row); err != nil {
				return nil, 0, err
			}
		}
		if !goes {
			rest = append(rest, row...)
			n++
		}
	}
	return rest, n, nil
}
