package oracle

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Label answers a label of an entity for an instant: its aggregate over the rows of [at+From, at+To), whenever they
// arrived. It lists those rows first and asks about all of them, so that it does not rest on how a window ahead is
// read elsewhere.
func (w *Whole) Label(l *pipeline.Label, key []event.Value, at event.Time) Answer {
	x := w.View(l.Feature.View.Name)
	from, to := at.Add(l.From), at.Add(l.To)
	past, _ := x.past(keyText(key), to, event.MaxTime)
	f := *l.Feature
	f.TTL = 0
	if f.Inner == nil { // inner windows that end within reach back before it
		// Copies are judged before: one before the window leaves out another that lies in it.
		past = slices.DeleteFunc(slices.Clone(past), func(r Row) bool { return r.Time < from })
		if f.Func != agg.Ratio && f.Func != agg.Rate { // these two ask how long the window is
			f.Window = window.Spec{Kind: window.Lifetime}
		}
	}
	return w.answer(x, &f, past, true, to, event.MaxTime)
}

// Watermark is the least watermark of a view's sources, over all their partitions; MinTime while one has none.
func (x *WholeView) Watermark() event.Time {
	mark := event.MaxTime
	for _, in := range x.Feeds {
		if len(in.Watermarks) == 0 {
			return event.MinTime
		}
		for _, m := range in.Watermarks {
			mark = min(mark, m)
		}
	}
	return mark
}

// Counted lists the rows of a view that count, of every entity, each entity's in tie order.
func (x *WholeView) Counted() (out []Row) {
	for _, rows := range x.byKey {
		out = append(out, Kept(x.View, rows)...)
	}
	return out
}

// Known tells whether an entity has rows that make it known as of an instant: a look-up would not answer NotFound.
func (x *WholeView) Known(key []event.Value, asOf event.Time) bool {
	_, known := x.past(keyText(key), asOf, event.MaxTime)
	return known
}
