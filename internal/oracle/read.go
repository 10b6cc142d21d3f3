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
	result    result
}

// Agrees tells whether got is a right value: this one bit for bit, or one within the error that is stated
// where exactness is impossible.
func (a Answer) Agrees(got event.Value) bool {
	return got == a.Value || !a.Exact() && a.result.agrees(got)
}

// AgreesStatus tells whether got is a right status: where null and another value are both within the error, so
// are their statuses.
func (a Answer) AgreesStatus(got string) bool {
	return got == a.Status || a.result.any && (a.Status == Null || a.Status == Present) && (got == Null || got == Present)
}

// Exact tells whether only this value is right.
func (a Answer) Exact() bool {
	return a.Status == Expired || a.Status == BeforeHistory || !a.result.vague()
}

// Read answers every feature of v, in order, for one entity as of an instant. rows are all accepted
// rows of the view, of any entity, in any order. With asServed only those count that had arrived by
// asOf. An instant before horizon is before_history (MinTime: no horizon).
//
// A feature whose newest row is older than its TTL is expired: a row exactly TTL old is not, as a
// row exactly at the start of a window is in it.
func Read(v *pipeline.View, rows []Row, key []event.Value, asOf event.Time, asServed bool, horizon event.Time) []Answer {
	return ReadFeatures(v, v.Features, rows, key, asOf, asServed, horizon)
}

// ReadFeatures is Read for some features of v alone.
func ReadFeatures(v *pipeline.View, features []*pipeline.Feature, rows []Row, key []event.Value, asOf event.Time, asServed bool, horizon event.Time) []Answer {
	answers := make([]Answer, len(features))
	var past []Row // of the entity, before asOf, in tie order
	for _, r := range rows {
		if slices.Equal(r.Key, key) && r.Time < asOf && (!asServed || r.Arrival <= asOf) {
			past = append(past, r)
		}
	}
	known := isKnown(v, past, asOf)
	past = Kept(v, past)
	slices.SortFunc(past, func(a, b Row) int { return a.Compare(&b.Row) })
	for i, f := range features {
		if asOf < horizon {
			answers[i] = Answer{Status: BeforeHistory, EventTime: event.MinTime}
			continue
		}
		answers[i] = feature(v, f, past, asOf, known)
	}
	return answers
}

// isKnown tells whether rows of the past make their entity known: any if a feature's window has no bound, else one that
// is not older than the rows that the view keeps for the instant.
func isKnown(v *pipeline.View, past []Row, asOf event.Time) bool {
	for _, f := range v.Features {
		switch f.Window.Kind {
		case window.Lifetime, window.LastN, window.Session:
			return len(past) > 0
		}
	}
	return slices.ContainsFunc(past, func(r Row) bool { return r.Time.Add(v.Keep) >= asOf })
}

// feature answers f over the entity's rows before asOf, which are in tie order.
func feature(v *pipeline.View, f *pipeline.Feature, past []Row, asOf event.Time, known bool) Answer {
	r := answer(v, f, past, asOf)
	a := Answer{Value: r.value, EventTime: r.newest, result: r}
	switch {
	case !known:
		a.Status = NotFound
	case r.newest != event.MinTime && f.TTL > 0 && asOf.Sub(r.newest) > f.TTL:
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

// answer computes f, before its status is judged.
func answer(v *pipeline.View, f *pipeline.Feature, past []Row, asOf event.Time) result {
	s := spanOf(f.Window, asOf)
	if f.Inner != nil {
		return outer(v, f, past, asOf)
	}
	e := evaluation{groups: v.Layout.Groups, rows: rowsIn(f.Window, f.Filter, past, asOf), asOf: asOf, span: s}
	return e.call(&f.Call)
}

func passes(r Row, filter int) bool { return r.Pass&(1<<filter) != 0 }
