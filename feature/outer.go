package feature

import (
	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// outer answers an aggregate of an aggregate: it reads a row for each inner window, at its end.
func (sc *viewScan) outer(pl *plane, f *featureQuery) agg.Answer {
	if f.Call.By != nil {
		return sc.outerBy(pl, f)
	}
	p := agg.NewPartial(&f.Inner.Layout, nil)
	newest, overflow := event.MinTime, false
	for i := range pl.spans {
		s := &pl.spans[i]
		part := pl.result(i)
		n := part.Count(f.Inner.Group)
		if !f.Inner.Empty && n == 0 {
			continue
		}
		a := part.Answer(&f.Inner.Call, agg.At{AsOf: s.end, Start: s.start, End: s.end})
		newest, overflow = max(newest, a.Newest), overflow || a.Overflow
		addInner(p, f.Inner, a, n, s.end, i)
	}
	a := p.Answer(&f.Call, agg.At{AsOf: sc.asOf, Start: pl.outer.start, End: pl.outer.end})
	a.Newest, a.Overflow = newest, overflow || a.Overflow
	return a
}

// addInner adds the answer of inner window i, which ends at end and counted n rows, to the outer aggregate.
func addInner(p *agg.Partial, in *pipeline.Inner, a agg.Answer, n int64, end event.Time, i int) {
	v := a.Value
	if v.IsNull() {
		if v = in.Default; n == 0 {
			v = in.Nothing
		}
	}
	p.Add(&event.Row{Time: end, Arrival: end, Pos: event.Position{Offset: int64(i)}, Values: []event.Value{v}})
}

// outerBy answers a map of aggregates of an aggregate: the keys are chosen by the rows of all inner windows
// together, then each inner window is answered for each of them.
func (sc *viewScan) outerBy(pl *plane, f *featureQuery) agg.Answer {
	inner := f.Inner.Call
	inner.By = f.Call.By
	all := agg.NewPartial(pl.layout, inner.Groups(nil))
	for _, p := range pl.parts {
		if p != nil {
			all.MergeKept(p)
		}
	}
	out := agg.Answer{Newest: all.Newest(inner.Groups(nil))}
	if all.Count(f.Inner.Group) == 0 {
		return out
	}
	keys := all.Keys(&inner)
	n := keys.Len()
	rest := keys.Rest && inner.By.Rest != ""
	if rest {
		n++
	}
	outers := make([]*agg.Partial, n)
	for k := range outers {
		outers[k] = agg.NewPartial(&f.Inner.Layout, nil)
	}
	for i := range pl.spans {
		s := &pl.spans[i]
		part, at := pl.result(i), agg.At{AsOf: s.end, Start: s.start, End: s.end}
		if !f.Inner.Empty && part.Count(f.Inner.Group) == 0 {
			continue
		}
		for k, p := range outers {
			var a agg.Answer
			var rows int64
			if k < keys.Len() {
				a, rows = part.Of(&inner, keys, k, at)
			} else {
				a, rows = part.OfRest(&inner, keys, at)
			}
			out.Overflow = out.Overflow || a.Overflow
			if rows > 0 || f.Inner.Empty {
				addInner(p, f.Inner, a, rows, s.end, i)
			}
		}
	}
	call := f.Call
	call.By = nil
	var m agg.Entries
	for k, p := range outers {
		a := p.Answer(&call, agg.At{AsOf: sc.asOf, Start: pl.outer.start, End: pl.outer.end})
		out.Overflow = out.Overflow || a.Overflow
		key := inner.By.Rest
		if k < keys.Len() {
			key = keys.Text(k)
		}
		m.Add(key, a.Value)
	}
	out.Value = m.Value()
	return out
}
