package feature

import (
	"context"
	"errors"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// Explanation tells what one answer rests on. It owns all that it holds.
type Explanation struct {
	Name string // the answer name
	Type event.Type
	Doc  string // of the feature; the text of a set's expression
	Asked
	// Corrected is the answer by all rows before AsOf, AsServed the one by those of them that had arrived by AsOf.
	Corrected, AsServed Answered
	Computed            bool    // an expression of a set over Bases and request columns
	Bases               []Basis // the views' features that it is made of
	Positions           []Place // how far each partition of their sources was counted when it was read
	Format              int     // of the state
}

// Asked is the entity and the instant of an Explanation.
type Asked struct {
	Keys    []event.Value // by Selector.Keys
	Request []event.Value // by Selector.Request
	Instant Instant
}

// Answered is one cell.
type Answered struct {
	Value     event.Value
	Status    Status
	EventTime event.Time
}

// Basis is what the answer of one view's feature rests on.
type Basis struct {
	View, Version, Feature, Doc, Window string

	Corrected, AsServed Answered
	Horizon             event.Time // before it nothing is answered; MinTime: none yet
	TTL                 event.Duration
	Start, End          event.Time // what the window covers, half-open; Start is MinTime without bound
	Inner               int        // of an aggregate of an aggregate: how many inner windows end within it
	Inputs              []string   // what Values of rows are

	// InWindow are the rows that the window covers, Counted those of them that the aggregate takes: they pass its
	// `where` and are not null. Both include the rows below Summaries. Of a ratio, Counted is the larger of the two
	// sides, and Rows are those that one of them takes.
	InWindow, Counted int64
	Trimmed           int64      // rows of the window that are not kept any more: a sum stands for them among Summaries
	Summaries         []Summary  // blocks that were read by their sum
	SummariesMore     int64      // left out of the list
	Rows              []BasisRow // counted, and read one by one; the newest last
	RowsMore          int64      // left out of the list: older ones
	Late              []BasisRow // counted in the corrected answer though they arrived after AsOf; not so in the one as served
	LateMore          int64      // left out of the list: older ones
	LookedUpLate      bool       // features of other views that rows have rest on late rows
}

// Place is a position with its names.
type Place struct {
	Source    string
	Log       string // the topic, or the file
	Partition int32
	Offset    int64
}

// BasisRow is one row.
type BasisRow struct {
	Place
	Index   int32 // within the record: a flattened record gives several rows
	Time    event.Time
	Arrival event.Time
	Values  []event.Value // by Basis.Inputs
	Late    bool          // arrived after the instant asked for

	row event.Row
}

// Row is the row as aggregates see it.
func (r *BasisRow) Row() event.Row { return r.row }

// Summary is a block of an entity's archive that was read by its sum.
type Summary struct {
	Trimmed    bool       // no block: what is left of rows that were trimmed
	Block      uint64     // its number among the entity's blocks
	Level      int        // 0: of rows; above: of blocks
	From, To   event.Time // of its first and its last row
	Rows       int64
	Counted    int64      // of them by the aggregate
	MaxArrival event.Time // of its rows
	Late       bool       // one of them arrived after the instant asked for
	Next       []Place    // by partition: beyond the largest offset within
}

// ExplainOptions bound an Explanation; the zero value is ready for use.
type ExplainOptions struct {
	Rows      int  // how many rows and summaries each list holds at most; 0: 100
	Summaries bool // list the rows below summaries too
}

// DefaultExplainRows is how many rows each list of an Explanation holds, unless asked otherwise.
const DefaultExplainRows = 100

// Explain reads one answer as Read does, in both pasts, and notes what it rests on. sel must have one column; a
// request is needed as Read needs one.
func (r *Reader) Explain(ctx context.Context, sel *Selector, keys, request []event.Value, at Instant, opt ExplainOptions) (*Explanation, error) {
	if len(sel.Columns) != 1 {
		return nil, errors.New("explain one feature at a time")
	}
	if opt.Rows <= 0 {
		opt.Rows = DefaultExplainRows
	}
	c := sel.Columns[0]
	x := &Explanation{
		Name: c.Name, Type: c.Type, Doc: c.Doc, Format: FormatVersion,
		Asked: Asked{Keys: cloned(keys), Request: cloned(request), Instant: at},
	}
	corrected, err := r.traced(ctx, sel, keys, request, Instant{AsOf: at.AsOf}, opt)
	if err != nil {
		return nil, err
	}
	served, err := r.traced(ctx, sel, keys, request, Instant{AsOf: at.AsOf, AsServed: true}, opt)
	if err != nil {
		return nil, err
	}
	x.Corrected, x.AsServed = corrected.answer, served.answer
	for i, o := range sel.outs {
		x.Computed = x.Computed || sel.outs[i].answers < 0 && o.expr != nil
	}
	asked := corrected
	if at.AsServed {
		asked = served
	}
	for i, col := range asked.features {
		b := col.basis
		b.Corrected, b.AsServed = corrected.features[i].cell, served.features[i].cell
		b.Rows, b.RowsMore = col.rows.list(), col.rows.more()
		late := &corrected.features[i].late
		b.Late, b.LateMore = late.list(), late.more()
		b.LookedUpLate = corrected.features[i].lookedUpLate
		x.Bases = append(x.Bases, b)
	}
	x.Positions = r.positions(sel)
	return x, nil
}

func cloned(list []event.Value) []event.Value {
	list = slices.Clone(list)
	for i := range list {
		list[i] = list[i].Clone()
	}
	return list
}

// traced reads once with a trace.
func (r *Reader) traced(ctx context.Context, sel *Selector, keys, request []event.Value, at Instant, opt ExplainOptions) (*trace, error) {
	// Serving reads blocks by their sums and rows. What an export's cache adds would only be further sums.
	one := Reader{s: r.s, cut: r.cut, scratch: map[*Selector]*scratch{}, trace: newTrace(r.s, sel, opt)}
	var out Vector
	if err := one.Read(ctx, sel, keys, request, at, &out); err != nil {
		return nil, err
	}
	t := one.trace
	t.answer = Answered{out.Values[0].Clone(), out.Status[0], out.EventTime[0]}
	x := one.scratch[sel]
	n := 0
	for i := range sel.views {
		q, sc := &sel.views[i], &x.views[i]
		for j := range q.features {
			f := &q.features[j]
			c := t.features[n]
			c.cell = Answered{x.values[f.slot].Clone(), x.status[f.slot], x.times[f.slot]}
			c.finish(sc, f)
			c.basis.Horizon = one.horizon(q.v)
			n++
		}
	}
	return t, nil
}

// Positions lists how far the sources of what sel reads have been counted: a row below them is in every answer from
// now on, one at or beyond them may be.
func (s *Store) Positions(sel *Selector) []Place { return (&Reader{s: s}).positions(sel) }

// Versions lists view@version of the views that sel reads, sorted.
func (sel *Selector) Versions() (out []string) {
	for i := range sel.views {
		out = append(out, sel.views[i].v.plan.Name+"@"+sel.views[i].v.plan.Version)
	}
	slices.Sort(out)
	return out
}

// positions lists how far the sources of sel, and of the views that its views look up, are counted: at the cut, or by
// now.
func (r *Reader) positions(sel *Selector) (out []Place) {
	used := map[*source]bool{}
	for v := range sel.reads() {
		for _, src := range v.srcs {
			used[src] = true
		}
	}
	for _, src := range r.s.sources {
		if !used[src] {
			continue
		}
		for _, p := range src.all() {
			next, ok := int64(0), false
			if r.cut == nil {
				next, ok = p.reached(), true
			} else {
				next, ok = r.cut.offsets[src][p.num]
			}
			if ok {
				out = append(out, place(src, p.num, next))
			}
		}
	}
	return out
}

// place names a position.
func place(src *source, partition int32, offset int64) Place {
	x := Place{Source: src.plan.Name, Partition: partition, Offset: offset}
	if src.plan.Kafka != nil {
		x.Log = src.plan.Kafka.Topic
		return x
	}
	src.mu.Lock()
	p := src.parts[partition]
	src.mu.Unlock()
	if p != nil {
		m, _ := ParseFileMark(p.Meta())
		x.Log = m.Name
	}
	return x
}

// inputNames are what the values of a view's rows are called.
func inputNames(v *pipeline.View) (out []string) {
	for _, in := range v.Inputs {
		name := in.Text
		if name == "" && in.Program == nil && in.Slot < len(v.Source.Columns) {
			name = v.Source.Columns[in.Slot].Name
		}
		out = append(out, name)
	}
	for _, d := range v.Derived {
		out = append(out, d.Name)
	}
	return out
}
