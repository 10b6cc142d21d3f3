package proof

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
)

// Table is what a declared export must hold, made row by row from the raw events as docs/exports.md and
// docs/labels.md say.
type Table struct {
	Columns []string
	Rows    []TableRow
	Seen    int64 // rows of the spine
	Left    Left
	Differ  []int64 // by feature: cells that differ between the two pasts; -1: some are not known to the bit
}

// Left counts the rows that are left out.
type Left struct{ Gap, Sampled, Unripe, Neutral, Rebalanced int64 }

// TableRow is one row.
type TableRow struct {
	Group string // rows of one stand one behind the other; the order of groups is the store's
	At    event.Time
	Part  int // of the split; 0 without
	Cells []Cell
}

// Cell is one cell: a value, or what a feature or label must be.
type Cell struct {
	Value  event.Value
	Type   event.Type
	Answer *oracle.Answer // nil: only Value is right
	Status bool           // the cell is the status of Answer
	Any    bool           // made of what is not known to the bit
}

// SpineRow is a row of a spine.
type SpineRow struct {
	Group  string
	At     event.Time
	Values []event.Value // by the spine's columns
}

// StoredSpine lists the rows of a spine that no file has.
func StoredSpine(w *oracle.Whole, x *pipeline.Export) (columns []pipeline.Column, rows []SpineRow) {
	of := &x.Spine
	for _, c := range of.Columns {
		columns = append(columns, c.Column)
	}
	view := w.View(of.View.Name)
	add := func(key []event.Value, at event.Time, values []event.Value) {
		r := SpineRow{Group: jsonOf(key...), At: at}
		for _, c := range of.Columns {
			switch {
			case c.Time:
				r.Values = append(r.Values, event.TimestampOf(at))
			case c.Key >= 0:
				r.Values = append(r.Values, key[c.Key])
			case c.Type.Kind == event.Double && !values[c.Input].IsNull():
				r.Values = append(r.Values, event.DoubleOf(values[c.Input].Double())) // -0 reads as 0
			default:
				r.Values = append(r.Values, values[c.Input])
			}
		}
		rows = append(rows, r)
	}
	if of.Grid != nil {
		to := of.To
		if to == event.MaxTime {
			to = view.Watermark()
		}
		instants := gridInstants(of.Grid, max(of.From, view.Horizon), to)
		var asked []string
		for _, r := range view.Rows {
			if text := jsonOf(r.Key...); !slices.Contains(asked, text) {
				asked = append(asked, text)
				for _, at := range instants {
					if view.Known(r.Key, at) {
						add(r.Key, at, nil)
					}
				}
			}
		}
		return columns, rows
	}
	for _, r := range view.Counted() {
		if r.Time >= max(of.From, view.Horizon) && r.Time < of.To && (of.Filter < 0 || r.Pass&(1<<of.Filter) != 0) {
			add(r.Key, r.Time, r.Values)
		}
	}
	return columns, rows
}

// gridInstants lists the instants of a grid in [from, to), by looking at every one since 1970.
func gridInstants(g *pipeline.Grid, from, to event.Time) (out []event.Time) {
	if g.Days == 0 {
		for t := event.Time(0); t < to; t = t.Add(g.Every) {
			if t >= from {
				out = append(out, t)
			}
		}
		return out
	}
	for day := 0; ; day += g.Days {
		// None of the zones that are drawn changes its clocks at midnight.
		t := event.FromGo(time.Date(1970, 1, 1+day, 0, 0, 0, 0, g.Zone))
		if t >= to {
			return out
		}
		if t >= from {
			out = append(out, t)
		}
	}
}

// tabler makes a table.
type tabler struct {
	w        *oracle.Whole
	x        *pipeline.Export
	columns  []pipeline.Column
	features []tableFeature
	out      *Table
}

// tableFeature is a column of a feature: of a view, or of a set.
type tableFeature struct {
	name string
	ref  *pipeline.Feature
	set  *pipeline.SetFeature
}

// Tabulate makes the table of an export over the rows of its spine.
func Tabulate(w *oracle.Whole, x *pipeline.Export, columns []pipeline.Column, rows []SpineRow) *Table {
	t := &tabler{w: w, x: x, columns: columns, out: &Table{}}
	for _, c := range columns {
		t.out.Columns = append(t.out.Columns, c.Name)
	}
	for _, l := range x.Labels {
		t.out.Columns = append(t.out.Columns, l.Name)
		if x.KeepUnripe {
			t.out.Columns = append(t.out.Columns, l.Name+"__ripe")
		}
	}
	if x.Rebalance != nil {
		t.out.Columns = append(t.out.Columns, "weight")
	}
	if x.Split != nil && !x.Split.Files {
		t.out.Columns = append(t.out.Columns, "split")
	}
	t.list()
	for _, f := range t.features {
		t.out.Columns = append(t.out.Columns, f.name)
	}
	if x.WithStatus {
		for _, f := range t.features {
			t.out.Columns = append(t.out.Columns, f.name+"__status")
		}
	}
	t.out.Differ = make([]int64, len(t.features))
	for _, r := range rows {
		t.row(r)
	}
	return t.out
}

// list lists the features.
func (t *tabler) list() {
	switch {
	case t.x.Set != "":
		for _, f := range t.w.Plan.Set(t.x.Set).Features {
			t.features = append(t.features, tableFeature{name: f.Name, set: f})
		}
	case t.x.View != "":
		for _, f := range t.w.Plan.View(t.x.View).Features {
			t.features = append(t.features, tableFeature{name: f.Name, ref: f})
		}
	default:
		for _, dotted := range t.x.Features {
			view, name, _ := strings.Cut(dotted, ".")
			list := t.w.Plan.View(view).Features
			f := list[slices.IndexFunc(list, func(f *pipeline.Feature) bool { return f.Name == name })]
			t.features = append(t.features, tableFeature{name: name, ref: f})
		}
	}
}

// value is what a column of the spine holds.
func (t *tabler) value(r SpineRow, name string) event.Value {
	return r.Values[slices.IndexFunc(t.columns, func(c pipeline.Column) bool { return c.Name == name })]
}

func (t *tabler) key(r SpineRow, columns []pipeline.Column) (key []event.Value) {
	for _, c := range columns {
		key = append(key, t.value(r, c.Name))
	}
	return key
}

// row answers a row of the spine, or leaves it out.
func (t *tabler) row(r SpineRow) {
	x, left := t.x, &t.out.Left
	t.out.Seen++
	row := TableRow{Group: r.Group, At: r.At}
	if s := x.Split; s != nil {
		if row.Part = t.part(r); row.Part < 0 {
			left.Gap++
			return
		}
	}
	if s := x.Sample; s != nil && t.bucket(r, s.By, s.Salt, false) >= s.Keep {
		left.Sampled++
		return
	}
	ripe := make([]bool, len(x.Labels))
	for i, l := range x.Labels {
		mark := t.w.View(l.Feature.View.Name).Watermark()
		ripe[i] = mark > event.MinTime && mark.Sub(r.At) >= l.Ripe
	}
	if !x.KeepUnripe && slices.Contains(ripe, false) {
		left.Unripe++
		return
	}
	labels := make([]oracle.Answer, len(x.Labels))
	for i, l := range x.Labels {
		labels[i] = t.w.Label(l, t.key(r, l.Key()), r.At)
	}
	for i, l := range x.Labels {
		if v := labels[i].Value; l.Neutral != nil && !v.IsNull() && !less(v, l.Neutral.From) && less(v, l.Neutral.To) {
			left.Neutral++
			return
		}
	}
	weight := 1.0
	if b := x.Rebalance; b != nil && !labels[b.Label].Value.IsNull() {
		share := b.Negative
		if positive(bucketed(x.Labels[b.Label], labels[b.Label].Value)) {
			share = b.Positive
		}
		if t.bucket(r, b.By, b.Salt, true) >= share {
			left.Rebalanced++
			return
		}
		weight = 1e6 / float64(share)
	}
	for i, c := range t.columns {
		row.Cells = append(row.Cells, Cell{Value: r.Values[i], Type: c.Type})
	}
	for i, l := range x.Labels {
		c := Cell{Value: bucketed(l, labels[i].Value), Type: l.Type}
		if l.Buckets == nil {
			c.Answer = &labels[i]
		}
		row.Cells = append(row.Cells, c)
		if x.KeepUnripe {
			row.Cells = append(row.Cells, Cell{Value: event.BoolOf(ripe[i])})
		}
	}
	if x.Rebalance != nil {
		row.Cells = append(row.Cells, Cell{Value: event.DoubleOf(weight)})
	}
	if x.Split != nil && !x.Split.Files {
		row.Cells = append(row.Cells, Cell{Value: event.StringOf(x.Split.Parts[row.Part].Name)})
	}
	row.Cells = append(row.Cells, t.answers(r)...)
	t.out.Rows = append(t.out.Rows, row)
}

// answers are the cells of the features, and their statuses.
func (t *tabler) answers(r SpineRow) (cells []Cell) {
	corrected, served := t.past(r, false), t.past(r, true)
	asked := corrected
	if t.x.AsServed {
		asked = served
	}
	for i := range asked {
		a, b := &corrected[i], &served[i]
		switch {
		case a.Any || b.Any || a.Answer != nil && (!a.Answer.Exact() || !b.Answer.Exact()):
			t.out.Differ[i] = -1
		case t.out.Differ[i] >= 0 && (jsonOf(a.Value) != jsonOf(b.Value) || a.Answer.Status != b.Answer.Status):
			t.out.Differ[i]++
		}
	}
	cells = append(cells, asked...)
	if t.x.WithStatus {
		for _, c := range asked {
			c.Status = true
			cells = append(cells, c)
		}
	}
	return cells
}

// past answers the features in one of the pasts.
func (t *tabler) past(r SpineRow, served bool) []Cell {
	known := map[*pipeline.View][]oracle.Answer{}
	read := func(f *pipeline.Feature) *oracle.Answer {
		if known[f.View] == nil {
			known[f.View] = t.w.Read(t.w.View(f.View.Name), t.key(r, f.View.Entity.Keys), r.At, served)
		}
		return &known[f.View][slices.Index(f.View.Features, f)]
	}
	cells := make([]Cell, len(t.features))
	for i, f := range t.features {
		switch {
		case f.ref != nil:
			a := read(f.ref)
			cells[i] = Cell{Value: a.Value, Type: f.ref.Type, Answer: a}
		case f.set.Ref != nil:
			a := *read(f.set.Ref)
			if a.Value.IsNull() && a.Status != oracle.BeforeHistory {
				a.Value = f.set.Default
			}
			cells[i] = Cell{Value: a.Value, Type: f.set.Type, Answer: &a}
		default:
			cells[i] = t.expression(r, f.set, cells, read)
		}
	}
	return cells
}

// expression evaluates a feature of a set over others and the request.
func (t *tabler) expression(r SpineRow, f *pipeline.SetFeature, before []Cell, read func(*pipeline.Feature) *oracle.Answer) Cell {
	var args []event.Value
	for _, c := range t.w.Plan.Set(t.x.Set).Request {
		args = append(args, t.value(r, c.Name))
	}
	c := Cell{Type: f.Type, Answer: &oracle.Answer{Status: oracle.Present}}
	unseen, early := len(f.Deps) > 0, false
	for _, d := range f.Deps {
		in := before[max(d.Earlier, 0)]
		if d.Ref != nil {
			a := read(d.Ref)
			in = Cell{Value: a.Value, Answer: a}
		}
		args = append(args, in.Value)
		c.Any = c.Any || in.Any || !in.Answer.Exact()
		unseen = unseen && in.Answer.Status == oracle.NotFound
		early = early || in.Answer.Status == oracle.BeforeHistory
	}
	c.Value = f.Expr.Eval(args).Clone()
	switch {
	case early:
		c.Value, c.Answer.Status = event.Value{}, oracle.BeforeHistory
	case c.Value.IsNull():
		c.Value, c.Answer.Status = f.Default, oracle.Null
		if unseen {
			c.Answer.Status = oracle.NotFound
		}
	}
	c.Answer.Value = c.Value
	return c
}

// part is the part of the split that a row is in; -1: none.
func (t *tabler) part(r SpineRow) int {
	s := t.x.Split
	bucket := int64(0)
	if !s.ByTime {
		bucket = t.bucket(r, s.By, s.Salt, false)
	}
	for i, p := range s.Parts {
		switch {
		case !s.ByTime && bucket < p.Below:
			return i
		case s.ByTime && r.At < p.Before:
			for _, q := range s.Parts[:i] {
				if r.At.Sub(q.Before) < s.Gap {
					return -1
				}
			}
			return i
		}
	}
	return -1
}

// bucket is the bucket of a row by columns, or by the keys and perhaps the instant.
func (t *tabler) bucket(r SpineRow, by []string, salt string, instant bool) int64 {
	var values []event.Value
	for _, name := range by {
		values = append(values, t.value(r, name))
	}
	if len(by) == 0 {
		values = t.key(r, t.x.Keys)
		if instant {
			values = append(values, event.TimestampOf(r.At))
		}
	}
	b := []byte(salt)
	for _, v := range values {
		if v.IsNull() {
			b = append(b, 1)
			continue
		}
		b = append(b, 0)
		switch v.Kind {
		case event.Bool:
			if v.Bool() {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		case event.Double:
			f := v.Double()
			switch {
			case f == 0:
				f = 0
			case math.IsNaN(f):
				f = math.NaN()
			}
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(event.DoubleOf(f).Double()))
		case event.String, event.Decimal:
			b = append(b, v.String()...)
		default:
			b = binary.LittleEndian.AppendUint64(b, v.Num)
		}
	}
	return int64(xxhash.Sum64(b) % 1_000_000)
}

// less tells whether a number is below x; NaN is above all.
func less(v event.Value, x float64) bool {
	if v.Kind == event.Double && (math.IsNaN(v.Double()) || math.IsInf(v.Double(), 0)) {
		return v.Double() < 0
	}
	n, ok := new(big.Rat).SetString(v.String())
	return ok && n.Cmp(new(big.Rat).SetFloat64(x)) < 0
}

// bucketed is in which bucket of a label a value lies: how many edges are at most it.
func bucketed(l *pipeline.Label, v event.Value) event.Value {
	if l.Buckets == nil || v.IsNull() {
		return v
	}
	n := int64(0)
	for _, edge := range l.Buckets {
		if !less(v, edge) {
			n++
		}
	}
	return event.LongOf(n)
}

// positive tells the class of a label: above 0, or true. NaN is not above 0.
func positive(v event.Value) bool {
	switch v.Kind {
	case event.Bool:
		return v.Bool()
	case event.Double:
		return v.Double() > 0
	}
	n, ok := new(big.Rat).SetString(v.String())
	return ok && n.Sign() > 0
}

// jsonOf is values as JSON, one behind the other.
func jsonOf(values ...event.Value) string {
	var b []byte
	for _, v := range values {
		b = append(event.AppendJSON(b, v), ' ')
	}
	return string(b)
}
