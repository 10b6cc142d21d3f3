package oracle

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/expr"
)

// Record is one record of a source.
type Record struct {
	Source    uint16 // Source.Index; only IngestAll looks at it
	Partition int32
	Offset    int64
	Arrival   event.Time
	Slots     []event.Value // one per Source.Columns
	Dead      string        // why it could not be decoded; empty if it could
}

// The outcomes of a record in a view, by the names that metrics use.
const (
	Applied   = "applied"
	Filtered  = "filtered"
	Duplicate = "duplicate"
	Late      = "late"
	Dead      = "dead"
)

// Verdict is what a view did with a record.
type Verdict struct {
	Partition int32
	Offset    int64
	Outcome   string
	Reason    string // of Late and Dead, as dead letters carry it
}

// Ingested is what a view made of the records of its source.
type Ingested struct {
	View       *pipeline.View
	branch     *pipeline.Branch     // of the source
	Rows       []Row                // those applied and the duplicates, by partition and offset
	Verdicts   []Verdict            // one for each record, by partition and offset
	Counts     map[string]int64     // records by outcome
	Watermarks map[int32]event.Time // by partition; MinTime for one without an accepted event
	Horizon    event.Time           // if no other partition exists and none has left
}

// Ingest decides what each view makes of the records of src, which may come in any order; of records
// at one position the first counts. Records are checked in this order, and the first that applies
// decides:
//
//	dead "…"    it could not be decoded
//	dead "time" its event time is null, or not within the range of event.Time
//	dead "ahead" its event time is more than Ahead after its arrival
//	(now the watermark of its partition advances; lateness is judged by the one before)
//	filtered    the view's where is not true
//	dead "key"  a key column is null
//	late        its event time is more than Keep behind the watermark
//	duplicate   the view has dedupe, and the row is a copy (see Kept); of a view of several sources only
//	            the copies within this one are told
//	applied
//
// So the watermark is the largest event time of the records that pass the first three, whatever
// views do with them.
func Ingest(src *pipeline.Source, views []*pipeline.View, records []Record) []Ingested {
	records = slices.Clone(records)
	slices.SortStableFunc(records, comparePositions)
	records = slices.CompactFunc(records, func(a, b Record) bool { return comparePositions(a, b) == 0 })
	g := NewIngester(src, views)
	for _, r := range records {
		g.Add(r)
	}
	return g.Done()
}

// Ingester is Ingest for records that come one at a time: those of each partition in the order of offsets, each
// once.
type Ingester struct {
	// Keep chooses the rows that are kept; nil: all. With it no verdicts are, and duplicates are those of kept rows.
	Keep  func(v *pipeline.View, key []event.Value) bool
	src   *pipeline.Source
	out   []Ingested
	marks map[int32]event.Time
}

// NewIngester begins without a record.
func NewIngester(src *pipeline.Source, views []*pipeline.View) *Ingester {
	g := &Ingester{src: src, out: make([]Ingested, len(views)), marks: map[int32]event.Time{}}
	for i, v := range views {
		b := v.Branches()[slices.IndexFunc(v.Branches(), func(b *pipeline.Branch) bool { return b.Source == src })]
		g.out[i] = Ingested{View: v, branch: b, Counts: map[string]int64{}, Watermarks: map[int32]event.Time{}}
	}
	return g
}

// Add decides what each view makes of a record, of which nothing is kept but copies.
func (g *Ingester) Add(r Record) {
	mark, ok := g.marks[r.Partition]
	if !ok {
		mark = event.MinTime
	}
	t, reason := judge(g.src, r)
	g.marks[r.Partition] = mark
	if reason == "" {
		g.marks[r.Partition] = max(mark, t)
	}
	for i := range g.out {
		g.out[i].take(r, t, reason, mark, g.Keep)
	}
}

// Done is what the views made of all records.
func (g *Ingester) Done() []Ingested {
	for i := range g.out {
		in := &g.out[i]
		var all []event.Time
		for p, m := range g.marks {
			in.Watermarks[p] = m
			all = append(all, m)
		}
		in.Horizon = Horizon(in.View, all...)
		if n := int64(len(in.Rows) - len(Kept(in.View, in.Rows))); n > 0 {
			in.Counts[Applied] -= n
			in.Counts[Duplicate] += n
		}
	}
	return g.out
}

// Horizon is how far back v may be asked, by the watermarks of the partitions that have not left;
// MinTime if there are none.
func Horizon(v *pipeline.View, watermarks ...event.Time) event.Time {
	if len(watermarks) == 0 {
		return event.MinTime
	}
	return slices.Min(watermarks).Add(-v.History)
}

func comparePositions(a, b Record) int {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// judge reads the event time of r, or tells why it is dead in every view.
func judge(src *pipeline.Source, r Record) (t event.Time, reason string) {
	if r.Dead != "" {
		return 0, r.Dead
	}
	t, ok := eventTime(src.Time, r.Slots[src.Time.Slot])
	switch {
	case !ok:
		return 0, "time"
	case t > r.Arrival.Add(src.Ahead):
		return 0, "ahead"
	}
	return t, ""
}

// eventTime reads an event time, nanoseconds floored; ok is false for null and out of range.
func eventTime(f pipeline.TimeField, v event.Value) (t event.Time, ok bool) {
	if v.IsNull() {
		return 0, false
	}
	x := number(event.LongOf(v.Long()))
	switch {
	case f.Unit < 0:
		x.Quo(x, number(event.LongOf(-f.Unit)))
	case f.Unit > 0:
		x.Mul(x, number(event.LongOf(f.Unit)))
	}
	// Div is Euclidean: with a divisor above 0 it floors.
	n := new(big.Int).Div(x.Num(), x.Denom())
	return event.Time(n.Int64()), n.IsInt64()
}

// take counts one record in the view; mark is its partition's watermark before it.
func (in *Ingested) take(r Record, t event.Time, reason string, mark event.Time, keep func(*pipeline.View, []event.Value) bool) {
	outcome := Dead
	if reason == "" {
		var rows []Row
		rows, outcome, reason = acceptAll(in.View, in.branch, r, t, mark)
		for _, row := range rows {
			if keep == nil || keep(in.View, row.Key) {
				in.Rows = append(in.Rows, row)
			}
		}
	}
	in.Counts[outcome]++
	if keep == nil {
		in.Verdicts = append(in.Verdicts, Verdict{r.Partition, r.Offset, outcome, reason})
	}
}

// acceptAll decides what v makes of a record, which is a row for each element of the arrays that v flattens:
// one that is dead or late speaks for all; without one that passes the record is filtered.
func acceptAll(v *pipeline.View, b *pipeline.Branch, r Record, t, mark event.Time) (rows []Row, outcome, reason string) {
	if len(b.Flatten) == 0 {
		row, outcome, reason := accept(v, b, r, t, mark)
		if outcome == Applied {
			rows = []Row{row}
		}
		return rows, outcome, reason
	}
	outcome = Filtered
	var lists [][]event.Value
	for _, slot := range b.Flatten {
		lists = append(lists, items(r.Slots[slot]))
	}
	for i := range lists[0] {
		one := r
		one.Slots = slices.Clone(r.Slots)
		for j, slot := range b.Flatten {
			one.Slots[slot] = lists[j][i]
		}
		row, got, why := accept(v, b, one, t, mark)
		row.Pos.Index = int32(i)
		switch got {
		case Dead, Late:
			return nil, got, why
		case Applied:
			rows, outcome = append(rows, row), Applied
		}
	}
	return rows, outcome, ""
}

// items lists what an array holds; none of null.
func items(v event.Value) (out []event.Value) {
	_ = event.EachElem(v.Str, func(_ int, e event.Value) error {
		out = append(out, e)
		return nil
	})
	return out
}

// accept decides what v makes of a record whose event time is good.
func accept(v *pipeline.View, b *pipeline.Branch, r Record, t, mark event.Time) (row Row, outcome, reason string) {
	slots := slices.Clone(r.Slots)
	for _, p := range b.Computed {
		slots = append(slots, p.Eval(slots))
	}
	if b.Where != nil && !isTrue(b.Where, slots) {
		return row, Filtered, ""
	}
	for _, slot := range b.Keys {
		if slots[slot].IsNull() {
			return row, Dead, "key"
		}
		row.Key = append(row.Key, slots[slot].Clone())
	}
	if t.Add(v.Keep) < mark {
		return row, Late, "late"
	}
	row.Row = event.Row{
		Time: t, Arrival: r.Arrival,
		Pos: event.Position{Source: b.Source.Index, Partition: r.Partition, Offset: r.Offset},
	}
	if b.Source.Order >= 0 {
		row.Order = slots[b.Source.Order].Clone()
	}
	for i, p := range b.Filters {
		if isTrue(p, slots) {
			row.Pass |= 1 << i
		}
	}
	for _, in := range b.Inputs {
		x := event.Value{}
		if in.Program != nil {
			x = in.Program.Eval(slots)
		} else {
			x = slots[in.Slot]
		}
		row.Values = append(row.Values, x.Clone())
	}
	return row, Applied, ""
}

// isTrue tells whether a condition holds: neither false nor null.
func isTrue(p *expr.Program, slots []event.Value) bool {
	v := p.Eval(slots)
	return v.Kind == event.Bool && v.Bool()
}
