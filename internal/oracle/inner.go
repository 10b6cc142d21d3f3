package oracle

import (
	"math/big"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/window"
)

// outer answers an aggregate over the answers of the inner windows that end within (start, end] of the
// outer window.
func outer(v *pipeline.View, f *pipeline.Feature, past []Row, asOf event.Time) result {
	if f.Call.By != nil {
		return outerBy(v, f, past, asOf)
	}
	s := spanOf(f.Window, asOf)
	var rows []Row
	var vague []bool
	newest := event.MinTime
	for _, w := range innerWindows(f.Inner, past, s) {
		at := event.Time(w.end.Int64())
		e := evaluation{groups: v.Layout.Groups, asOf: at, span: w}
		for _, r := range past {
			if w.holds(r.Time) {
				e.rows = append(e.rows, r)
			}
		}
		a := e.call(&f.Inner.Call)
		if a.n == 0 && !f.Inner.Empty {
			continue
		}
		newest = max(newest, a.newest)
		value := a.value
		switch {
		case value.IsNull() && a.n == 0:
			value = f.Inner.Nothing
		case value.IsNull():
			value = f.Inner.Default
		}
		rows = append(rows, Row{Row: event.Row{Time: at, Values: []event.Value{value}, Pass: 1}})
		vague = append(vague, a.vague())
	}
	if f.Window.Kind == window.LastN {
		rows = rows[max(0, len(rows)-f.Window.N):]
	}
	e := evaluation{groups: f.Inner.Layout.Groups, rows: rows, asOf: asOf, span: s}
	r := e.call(&f.Call)
	r.newest = newest // of the rows that the inner answers rest on
	if slices.Contains(vague, true) {
		r.any = true
	}
	return r
}

// innerWindows are the inner windows that end within (start, end] of s, in order: those with a row of past
// in them, or all if empty ones count too.
func innerWindows(in *pipeline.Inner, past []Row, s span) []span {
	ends := map[int64]bool{}
	add := func(end *big.Int) bool {
		if end.Cmp(s.end) > 0 {
			return false
		}
		if end.IsInt64() && (s.start == nil || end.Cmp(s.start) > 0) {
			ends[end.Int64()] = true
		}
		return true
	}
	from := func(t event.Time) *big.Int { return nextEnd(in.Window, instant(t)) }
	if in.Empty && s.start != nil {
		for end := nextEnd(in.Window, s.start); add(end); end = nextEnd(in.Window, end) {
		}
	} else {
		for _, r := range past {
			end := from(r.Time)
			for add(end) && spanEnding(in.Window, end).holds(r.Time) {
				end = nextEnd(in.Window, end)
			}
			if in.Empty { // without bound: from the first row on
				for add(end) {
					end = nextEnd(in.Window, end)
				}
				break
			}
		}
	}
	var out []span
	for end := range ends {
		out = append(out, spanEnding(in.Window, big.NewInt(end)))
	}
	slices.SortFunc(out, func(a, b span) int { return a.end.Cmp(b.end) })
	return out
}

// nextEnd is the first instant after t at which a window of w ends.
func nextEnd(w window.Spec, t *big.Int) *big.Int {
	switch w.Kind {
	case window.Tumbling:
		return plus(aligned(t, w.Size), w.Size)
	case window.Hopping:
		return plus(aligned(t, w.Every), w.Every)
	}
	at := event.Time(t.Int64())
	begin := unitBegin(w.Unit, w.Zone, at)
	next := at
	for unitBegin(w.Unit, w.Zone, next) == begin {
		next = next.Add(12 * event.Hour)
	}
	return instant(unitBegin(w.Unit, w.Zone, next))
}

// spanEnding is the window of w that ends at end.
func spanEnding(w window.Spec, end *big.Int) span {
	if w.Kind == window.Calendar {
		return span{instant(unitBegin(w.Unit, w.Zone, event.Time(end.Int64())-1)), end}
	}
	return span{minus(end, w.Size), end}
}
