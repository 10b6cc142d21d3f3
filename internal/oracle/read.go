// Package oracle answers views the slow, obvious way: from all accepted rows, by definition, over
// big.Rat and sorting. Tests compare it with what the store answers. It shares the vocabulary, the
// plan, windows and expressions with the rest, and neither partials nor state.
package oracle

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Row is an accepted row with the key of its entity.
type Row struct {
	Key []event.Value // one per key column of the view's entity
	event.Row
}

// The statuses of an Answer, by the names that answers and exports use.
const (
	Present       = "present"
	Null          = "null"
	Expired       = "expired"
	NotFound      = "not_found"
	BeforeHistory = "before_history"
)

// Answer is one feature's value as of an instant.
type Answer struct {
	Value     event.Value
	Status    string
	EventTime event.Time // of the newest row counted; MinTime over none
}

// Read answers every feature of v, in order, for one entity as of an instant. rows are all accepted
// rows of the view, of any entity, in any order. With asServed only those count that had arrived by
// asOf. An instant before horizon is before_history (MinTime: no horizon).
//
// A feature whose newest row is older than its TTL is expired: a row exactly TTL old is not, as a
// row exactly at the start of a window is in it.
func Read(v *pipeline.View, rows []Row, key []event.Value, asOf event.Time, asServed bool, horizon event.Time) []Answer {
	answers := make([]Answer, len(v.Features))
	var past []Row // of the entity, before asOf, in tie order
	for _, r := range rows {
		if slices.Equal(r.Key, key) && r.Time < asOf && (!asServed || r.Arrival <= asOf) {
			past = append(past, r)
		}
	}
	slices.SortFunc(past, func(a, b Row) int { return a.Compare(&b.Row) })
	for i, f := range v.Features {
		if asOf < horizon {
			answers[i] = Answer{Status: BeforeHistory, EventTime: event.MinTime}
			continue
		}
		answers[i] = feature(v, f, past, asOf)
	}
	return answers
}

// feature answers f over the entity's rows before asOf, which are in tie order.
func feature(v *pipeline.View, f *pipeline.Feature, past []Row, asOf event.Time) Answer {
	g := v.Layout.Groups[f.Group]
	var values []event.Value
	a := Answer{EventTime: event.MinTime}
	for _, r := range inWindow(f, past, asOf) {
		if g.Filter >= 0 && !passes(r, g.Filter) {
			continue
		}
		x := event.BoolOf(true) // a row, for count "*"
		if g.Input >= 0 {
			x = r.Values[g.Input]
		}
		if x.IsNull() {
			continue
		}
		values = append(values, x)
		a.EventTime = max(a.EventTime, r.Time)
	}
	a.Value = aggregate(f.Func, g.Type, values)
	switch {
	case len(past) == 0:
		a.Status = NotFound
	case len(values) > 0 && f.TTL > 0 && asOf.Sub(a.EventTime) > f.TTL:
		a.Value, a.Status = event.Value{}, Expired
	case a.Value.IsNull():
		a.Status = Null
	default:
		a.Status = Present
	}
	if a.Value.IsNull() {
		a.Value = f.Default
	}
	return a
}

// inWindow picks the rows that the feature's window covers, nulls included.
func inWindow(f *pipeline.Feature, past []Row, asOf event.Time) []Row {
	var in []Row
	switch f.Window.Kind {
	case window.Lifetime:
		return past
	case window.Rolling:
		for _, r := range past {
			if asOf.Sub(r.Time) <= f.Window.Size {
				in = append(in, r)
			}
		}
		return in
	case window.LastN:
		for _, r := range past {
			if f.Filter < 0 || passes(r, f.Filter) {
				in = append(in, r)
			}
		}
		return in[max(0, len(in)-f.Window.N):]
	}
	panic("oracle: unknown kind of window")
}

func passes(r Row, filter int) bool { return r.Pass&(1<<filter) != 0 }
