package verify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// Past is what is verified: a cut of a state, or what a server tells of one. feature.Cut says what its methods do.
type Past interface {
	Select(sel feature.Selection) (*feature.Selector, error)
	Offsets() []feature.Offset
	Horizon(v *pipeline.View) event.Time
	SampleKeys(v *pipeline.View, n int, seed uint64) ([][]event.Value, error)
	RawRows(v *pipeline.View, keys []event.Value) ([]event.Row, error)
	Trimmed(v *pipeline.View, keys []event.Value) (int64, error)
}

// OfState is the truth by the rows that a state keeps.
func OfState(plan *pipeline.Plan, past Past) *Truth {
	t := &Truth{
		Plan: plan, Horizon: past.Horizon, Trimmed: past.Trimmed,
		Rows: func(v *pipeline.View, keys []event.Value) ([]oracle.Row, error) {
			raw, err := past.RawRows(v, keys)
			rows := make([]oracle.Row, len(raw))
			for i := range raw {
				rows[i] = oracle.Row{Key: keys, Row: raw[i]}
			}
			return rows, err
		},
	}
	if m, ok := past.(*Moment); ok {
		t.Ahead = m.Fetch
	}
	return t
}

// Difference is a cell that is not what the rows give.
type Difference struct {
	Feature  string
	Question Question
	Got      feature.Answered
	Text     string // what was found, where it is not a cell of the store
	Want     Cell
}

// String is the difference for people.
func (d *Difference) String() string {
	got := d.Text
	if got == "" {
		got = cellText(d.Got.Value, d.Got.Status.String(), d.Got.EventTime)
	}
	past := ""
	if d.Question.Served {
		past = " as served"
	}
	return fmt.Sprintf("%s of %s as of %s%s: found %s, the rows give %s", d.Feature, d.Question.entity(), d.Question.AsOf, past, got, d.Want.String())
}

func (q *Question) entity() string {
	text := ""
	for i, c := range q.Names {
		if i > 0 {
			text += " "
		}
		text += c.Name + "=" + q.Keys[i].String()
	}
	return text
}

// Report is what a comparison found.
type Report struct {
	Questions int64       // pairs of an entity and an instant
	Cells     int64       // compared
	Differ    int64       // of them
	Unknown   int64       // cells that could not be compared
	First     *Difference // nil: none
}

// add counts one cell.
func (r *Report) add(d *Difference) {
	r.Differ++
	if r.First == nil {
		r.First = d
	}
}

// Sample says what of a state is compared.
type Sample struct {
	Entities int    // of each view; 0: 50
	Instants int    // of each entity; 0: 8
	Seed     uint64 // other seeds choose other entities and instants

	Also map[*pipeline.View][][]event.Value // further entities, by view
}

// full is s with its defaults.
func (s Sample) full() Sample {
	if s.Entities <= 0 {
		s.Entities = 50
	}
	if s.Instants <= 0 {
		s.Instants = 8
	}
	return s
}

// State compares what a cut answers with the truth, for a sample of entities and of instants: at their events, just
// behind them, where windows' edges fall on them, and anywhere in the history, in both pasts.
func State(ctx context.Context, cut *feature.Cut, t *Truth, sel feature.Selection, s Sample) (*Report, error) {
	s = s.full()
	selector, err := cut.Select(sel)
	if err != nil {
		return nil, err
	}
	cols := Columns(t.Plan, sel)
	entities, err := sampleKeys(cut, selector, cols, s)
	if err != nil {
		return nil, err
	}
	rep, reader := &Report{}, cut.NewReader()
	var out feature.Vector
	for i, keys := range entities {
		rng := rand.New(rand.NewPCG(s.Seed, uint64(i)))
		instants, err := t.instants(rng, cols, selector, keys, s.Instants)
		if err != nil {
			return nil, err
		}
		for _, at := range instants {
			q := Question{Keys: keys, Names: selector.Keys, AsOf: at, Served: rng.IntN(3) == 0, Request: requestOf(rng, selector.Request)}
			if err := reader.Read(ctx, selector, keys, q.Request, feature.Instant{AsOf: at, AsServed: q.Served}, &out); err != nil {
				return nil, err
			}
			want, err := t.Answer(cols, &q)
			if err != nil {
				return nil, err
			}
			rep.Questions++
			for j := range cols {
				got := feature.Answered{Value: out.Values[j], Status: out.Status[j], EventTime: out.EventTime[j]}
				rep.compare(cols[j].Name, &q, got, want[j])
			}
		}
	}
	return rep, nil
}

// compare compares one cell of the store with the truth.
func (r *Report) compare(name string, q *Question, got feature.Answered, want Cell) {
	if want.Unknown {
		r.Unknown++
		return
	}
	r.Cells++
	status := got.Status.String()
	if got.Status == feature.Incomplete { // what is lost is lost to the rows too
		status = want.Status
	}
	if want.Agrees(got.Value) && status == want.Status && got.EventTime == want.EventTime {
		return
	}
	got.Value = got.Value.Clone()
	r.add(&Difference{Feature: name, Question: *q, Got: got, Want: want})
}

// sampleKeys chooses entities of the views that cols read by a hash with the seed. Of a selection of several
// entities, each is completed by key values of the others.
func sampleKeys(past Past, sel *feature.Selector, cols []Column, s Sample) ([][]event.Value, error) {
	values := make([][]event.Value, len(sel.Keys)) // by key column: those of the chosen entities
	var out [][]event.Value
	for _, v := range viewsOf(cols) {
		chosen, err := past.SampleKeys(v, s.Entities, s.Seed)
		if err != nil {
			return nil, err
		}
		for _, keys := range slices.Concat(chosen, s.Also[v]) {
			full := make([]event.Value, len(sel.Keys))
			for i, k := range v.Entity.Keys {
				j := slices.IndexFunc(sel.Keys, func(c pipeline.Column) bool { return c.Name == k.Name })
				full[j] = keys[i]
				values[j] = append(values[j], keys[i])
			}
			out = append(out, full)
		}
	}
	rng := rand.New(rand.NewPCG(s.Seed, 1<<40))
	for _, full := range out {
		for j := range full {
			if full[j].IsNull() && len(values[j]) > 0 {
				full[j] = values[j][rng.IntN(len(values[j]))]
			}
		}
	}
	return out, nil
}

// viewsOf are the views whose features cols are, or are made of.
func viewsOf(cols []Column) (out []*pipeline.View) {
	add := func(f *pipeline.Feature) {
		if f != nil && !slices.Contains(out, f.View) {
			out = append(out, f.View)
		}
	}
	var ofSet func(set *pipeline.Set, at int)
	ofSet = func(set *pipeline.Set, at int) {
		f := set.Features[at]
		add(f.Ref)
		for _, d := range f.Deps {
			if add(d.Ref); d.Ref == nil {
				ofSet(set, d.Earlier)
			}
		}
	}
	for _, c := range cols {
		if add(c.ref); c.set != nil {
			ofSet(c.set, c.at)
		}
	}
	return out
}

// instants are those that an entity is asked at.
func (t *Truth) instants(rng *rand.Rand, cols []Column, sel *feature.Selector, keys []event.Value, n int) ([]event.Time, error) {
	var rows []oracle.Row
	var spans []event.Duration
	low, high := event.MinTime, event.MinTime
	for _, v := range viewsOf(cols) {
		list, err := t.rowsOf(v, ownKeys(v, sel.Keys, keys))
		if err != nil {
			return nil, err
		}
		rows = append(rows, list...)
		low = max(low, t.Horizon(v))
		for _, f := range v.Features {
			if d, ok := f.Window.Reach(); ok {
				spans = append(spans, d, d+1)
			}
		}
	}
	for _, r := range rows {
		high = max(high, r.Time)
	}
	if high == event.MinTime {
		return []event.Time{max(low, 0)}, nil
	}
	spans = append(spans, 0, 1, 1, event.Second)
	low = max(low, high.Add(-400*event.Day))
	out := []event.Time{high.Add(1)}
	for tries := 0; len(out) < n && tries < 20*n; tries++ {
		at := rows[rng.IntN(len(rows))].Time.Add(spans[rng.IntN(len(spans))])
		if rng.IntN(4) == 0 && high > low {
			at = low.Add(event.Duration(rng.Int64N(int64(high.Sub(low)) + 1)))
		}
		if at >= low && at < high.Add(400*event.Day) {
			out = append(out, at)
		}
	}
	slices.Sort(out)
	return out, nil
}

// requestOf makes values for request columns: the same for the same seed.
func requestOf(rng *rand.Rand, cols []pipeline.Column) (out []event.Value) {
	for _, c := range cols {
		n := 1 + rng.Int64N(100)
		switch c.Type.Kind {
		case event.Double:
			out = append(out, event.DoubleOf(float64(n)/4))
		case event.String:
			out = append(out, event.StringOf(fmt.Sprint("v", n)))
		case event.Bool:
			out = append(out, event.BoolOf(n%2 == 0))
		case event.Bytes, event.Decimal:
			out = append(out, event.Value{}) // null stands for them
		case event.Timestamp, event.LocalTimestamp:
			out = append(out, event.Value{Kind: c.Type.Kind, Num: uint64(n) * uint64(event.Day)})
		case event.List, event.Map:
			out = append(out, event.Value{})
		default:
			out = append(out, event.Value{Kind: c.Type.Kind, Num: uint64(n)})
		}
	}
	return out
}

// ownKeys are the values of a view's keys among those of a selection.
func ownKeys(v *pipeline.View, names []pipeline.Column, keys []event.Value) []event.Value {
	own := make([]event.Value, len(v.Entity.Keys))
	for i, k := range v.Entity.Keys {
		own[i] = keys[slices.IndexFunc(names, func(c pipeline.Column) bool { return c.Name == k.Name })]
	}
	return own
}
