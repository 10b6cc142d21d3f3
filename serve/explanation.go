package serve

import (
	"encoding/json"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/pipeline"
)

// Explanation is what /v1/explain answers: what one value rests on. Instants are RFC 3339 with six digits, null if
// there is none; values are as look-ups write them.
type Explanation struct {
	Feature  string                     `json:"feature"`
	Type     string                     `json:"type"`
	Doc      string                     `json:"doc"`
	Entity   map[string]json.RawMessage `json:"entity"`
	Request  map[string]json.RawMessage `json:"request,omitempty"`
	AsOf     string                     `json:"as_of"`
	AsServed bool                       `json:"as_served"` // which of the two pasts was asked for

	ExplainedValue                // in the past that was asked for
	Corrected      ExplainedValue `json:"corrected"` // by all rows before as_of
	Served         ExplainedValue `json:"served"`    // by those that had arrived by as_of
	Differs        bool           `json:"differs"`   // the two are not the same

	Expression bool            `json:"expression"` // of a feature set, over what Inputs say and Request
	Inputs     []ExplainedView `json:"inputs"`     // the views' features that it is made of
	Positions  []ExplainedAt   `json:"positions"`  // how far their sources had been counted; next to read
	Format     int             `json:"format"`     // of the state
}

// ExplainedValue is one cell.
type ExplainedValue struct {
	Value     json.RawMessage `json:"value"`
	Status    string          `json:"status"`
	EventTime *string         `json:"event_time"`
}

// ExplainedView is what a view's feature rests on.
type ExplainedView struct {
	View    string  `json:"view"`
	Version string  `json:"version"`
	Feature string  `json:"feature"`
	Doc     string  `json:"doc"`
	Window  string  `json:"window"`
	Start   *string `json:"start"` // the window is [start, end); null: without bound
	End     *string `json:"end"`
	Inner   int     `json:"inner_windows,omitempty"` // of an aggregate of an aggregate
	Horizon *string `json:"horizon"`                 // instants before it are not answered
	TTL     string  `json:"ttl,omitempty"`

	Corrected ExplainedValue `json:"corrected"`
	Served    ExplainedValue `json:"served"`

	RowsInWindow  int64              `json:"rows_in_window"`
	RowsCounted   int64              `json:"rows_counted"` // of them: where the feature's `where` is true and its column not null
	Columns       []string           `json:"columns"`      // what the values of rows are
	Summaries     []ExplainedSummary `json:"summaries"`    // blocks of rows that were read by their sum
	SummariesMore int64              `json:"summaries_more"`
	Rows          []ExplainedRow     `json:"rows"` // counted and read one by one, the newest last
	RowsMore      int64              `json:"rows_more"`
	Late          []ExplainedRow     `json:"late"` // counted in the corrected value, and not as served: they arrived after as_of
	LateMore      int64              `json:"late_more"`
	LookedUpLate  bool               `json:"looked_up_late,omitempty"` // features of other views rest on late rows
}

// ExplainedAt is a position: of a record, or next to read.
type ExplainedAt struct {
	Source    string `json:"source"`
	Log       string `json:"log"` // the topic, or the file
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// ExplainedRow is one row.
type ExplainedRow struct {
	EventTime string `json:"event_time"`
	Arrival   string `json:"arrival"`
	ExplainedAt
	Index  int32             `json:"index,omitempty"` // within the record
	Values []json.RawMessage `json:"values"`          // by Columns
	Late   bool              `json:"late"`            // arrived after as_of
}

// ExplainedSummary is a block of rows.
type ExplainedSummary struct {
	Trimmed bool          `json:"trimmed,omitempty"` // no block: what is left of rows that are not kept any more
	Block   uint64        `json:"block"`
	Level   int           `json:"level"` // 0: of rows; above: of blocks
	From    string        `json:"from"`  // of its first row
	To      string        `json:"to"`    // of its last
	Rows    int64         `json:"rows"`
	Counted int64         `json:"counted"`
	Arrival string        `json:"arrival"` // the latest of its rows
	Late    bool          `json:"late"`
	Next    []ExplainedAt `json:"next"` // beyond its largest offset in each partition
}

// Explained writes x as /v1/explain answers it; sel is what it was asked with.
func Explained(x *feature.Explanation, sel *feature.Selector) *Explanation {
	out := &Explanation{
		Feature: x.Name, Type: x.Type.String(), Doc: x.Doc, Entity: Named(sel.Keys, x.Keys),
		AsOf: x.Instant.AsOf.String(), AsServed: x.Instant.AsServed,
		Corrected: explainedValue(x.Corrected), Served: explainedValue(x.AsServed),
		Expression: x.Computed, Inputs: []ExplainedView{}, Positions: explainedPlaces(x.Positions), Format: x.Format,
	}
	if len(sel.Request) > 0 {
		out.Request = Named(sel.Request, x.Request)
	}
	out.ExplainedValue = out.Corrected
	if x.Instant.AsServed {
		out.ExplainedValue = out.Served
	}
	out.Differs = x.Corrected != x.AsServed
	for i := range x.Bases {
		out.Inputs = append(out.Inputs, explainedView(&x.Bases[i]))
	}
	return out
}

func explainedView(b *feature.Basis) ExplainedView {
	out := ExplainedView{
		View: b.View, Version: b.Version, Feature: b.Feature, Doc: b.Doc, Window: b.Window, Start: instantOf(b.Start), End: instantOf(b.End),
		Inner: b.Inner, Horizon: instantOf(b.Horizon), Corrected: explainedValue(b.Corrected), Served: explainedValue(b.AsServed),
		RowsInWindow: b.InWindow, RowsCounted: b.Counted, Columns: b.Inputs, Summaries: []ExplainedSummary{}, SummariesMore: b.SummariesMore,
		Rows: explainedRows(b.Rows), RowsMore: b.RowsMore, Late: explainedRows(b.Late), LateMore: b.LateMore, LookedUpLate: b.LookedUpLate,
	}
	if b.TTL > 0 {
		out.TTL = b.TTL.String()
	}
	for i := range b.Summaries {
		s := &b.Summaries[i]
		out.Summaries = append(out.Summaries, ExplainedSummary{
			Trimmed: s.Trimmed, Block: s.Block, Level: s.Level, From: s.From.String(), To: s.To.String(), Rows: s.Rows, Counted: s.Counted,
			Arrival: s.MaxArrival.String(), Late: s.Late, Next: explainedPlaces(s.Next),
		})
	}
	return out
}

func explainedRows(rows []feature.BasisRow) []ExplainedRow {
	out := make([]ExplainedRow, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = ExplainedRow{
			EventTime: r.Time.String(), Arrival: r.Arrival.String(), ExplainedAt: ExplainedAt(r.Place), Index: r.Index,
			Values: make([]json.RawMessage, len(r.Values)), Late: r.Late,
		}
		for j, v := range r.Values {
			out[i].Values[j] = event.AppendJSON(nil, v)
		}
	}
	return out
}

func explainedPlaces(list []feature.Place) []ExplainedAt {
	out := make([]ExplainedAt, len(list))
	for i, p := range list {
		out[i] = ExplainedAt(p)
	}
	return out
}

func explainedValue(a feature.Answered) ExplainedValue {
	return ExplainedValue{Value: event.AppendJSON(nil, a.Value), Status: a.Status.String(), EventTime: instantOf(a.EventTime)}
}

func instantOf(t event.Time) *string {
	if t == event.MinTime {
		return nil
	}
	s := t.String()
	return &s
}

// Named are values by the names of their columns, as JSON; fewer values than columns name fewer.
func Named(cols []pipeline.Column, values []event.Value) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for i, c := range cols {
		if i < len(values) {
			out[c.Name] = event.AppendJSON(nil, values[i])
		}
	}
	return out
}
