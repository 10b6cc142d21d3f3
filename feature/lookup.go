package feature

import (
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// A view may read features of other views: each of its rows then has their values as of its own time. They
// are computed whenever the row is read, from the rows of the other view, so a late event there is carried
// through, and nothing is counted twice. What it costs is a read of the other view for each row in the
// windows that use it.

// lookups reads the features of other views for the rows of one viewScan.
type lookups struct {
	reader     *Reader
	keys       []event.Value
	args       []event.Value
	out        Vector
	incomplete bool // some value rests on lost records
}

func newLookups(q *viewQuery) *lookups {
	return &lookups{
		keys: make([]event.Value, len(q.lookup.Keys)),
		args: make([]event.Value, pipeline.MaxLookups+len(q.v.plan.Inputs)),
	}
}

// selectLookups resolves what v reads of other views.
func (s *Store) selectLookups(v *pipeline.View) (sel *Selector, from []int) {
	b := &selectorBuilder{s: s, sel: &Selector{}, slotOf: map[*pipeline.Feature]int{}, queryOf: map[*view]int{}}
	for i, l := range v.Lookups {
		for j, k := range l.Feature.View.Entity.Keys {
			if !slices.ContainsFunc(b.sel.Keys, func(c pipeline.Column) bool { return c.Name == k.Name }) {
				b.sel.Keys = append(b.sel.Keys, k)
				from = append(from, l.Keys[j])
			}
		}
		if err := b.answer(SelectorColumn{Name: fmt.Sprint(i), Type: l.Feature.Type}, b.slot(l.Feature), i); err != nil {
			panic(err) // the names differ
		}
	}
	b.finish()
	return b.sel, from
}

// derive computes the derived values of sc.row, which pl reads.
func (r *Reader) derive(sc *viewScan, pl *plane) error {
	l, q := sc.lookups, sc.q
	if l.reader == nil {
		l.reader = r.s.NewReader()
		l.reader.cut, l.reader.cache = r.cut, r.cache
	}
	row := &sc.row
	for i, in := range q.from {
		l.keys[i] = row.Values[in]
	}
	clear(l.args)
	known := func(x *pipeline.Lookup) bool {
		return !slices.ContainsFunc(x.Keys, func(in int) bool { return row.Values[in].IsNull() })
	}
	if slices.ContainsFunc(q.v.plan.Lookups, known) {
		at := Instant{AsOf: row.Time, AsServed: sc.served, within: true, arrived: sc.arrived}
		if err := l.reader.Read(r.ctx, q.lookup, l.keys, nil, at, &l.out); err != nil {
			return err
		}
		for i, st := range l.out.Status {
			if !known(q.v.plan.Lookups[i]) { // a key that is null is nobody's
				continue
			}
			l.args[i] = l.out.Values[i]
			if st == BeforeHistory {
				pl.early[pl.segment(row.Time)] = true
			}
			l.incomplete = l.incomplete || st == Incomplete
		}
		sc.later = sc.later || l.out.Later
	}
	n := len(q.v.plan.Inputs)
	copy(l.args[pipeline.MaxLookups:], row.Values[:n])
	for i, d := range q.v.plan.Derived {
		row.Values[n+i] = d.Program.Eval(l.args)
	}
	l.passLate(q.v.plan, row)
	return nil
}

// passLate tells which conditions over derived values row passes.
func (l *lookups) passLate(v *pipeline.View, row *event.Row) {
	if len(v.Late) == 0 {
		return
	}
	copy(l.args[:pipeline.MaxLookups], row.Values[len(v.Inputs):])
	row.Pass &= 1<<len(v.Filters) - 1
	for i, p := range v.Late {
		if p.Eval(l.args).Bool() {
			row.Pass |= 1 << (len(v.Filters) + i)
		}
	}
}
