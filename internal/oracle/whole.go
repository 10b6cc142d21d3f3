package oracle

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
)

// Whole is what all views of a plan made of the records of all its sources. Not safe for concurrent use.
type Whole struct {
	Plan  *pipeline.Plan
	Views []*WholeView // as Plan.Views

	looked  map[looking]looked  // what lookups found
	derived map[deriving]looked // what was made of them
}

// WholeView is what a view made of the records of all its sources.
type WholeView struct {
	View    *pipeline.View
	Rows    []Row      // of all sources, duplicates too
	Feeds   []Ingested // what each source gave it, as View.Branches; copies of another source's events are Duplicate
	Horizon event.Time // may be set before the first Read: partitions that have left do not hold it back

	byKey map[string][]Row // in tie order
}

// looking is one question of a lookup.
type looking struct {
	feature     *pipeline.Feature
	key         string
	at, arrived event.Time
}

// deriving is one row that reads other views.
type deriving struct {
	view    *pipeline.View
	pos     event.Position
	arrived event.Time
}

// looked is the answer to either.
type looked struct {
	values []event.Value // of the feature; of the row, derived ones behind its own
	pass   uint64        // of the row: with the conditions over derived values
	early  bool          // before the history of a view that was asked
	vague  bool          // other values may be right
}

// IngestAll decides what each view makes of the records of all sources (see Ingest), which Record.Source tells
// apart.
func IngestAll(plan *pipeline.Plan, records []Record) *Whole {
	w := &Whole{Plan: plan, looked: map[looking]looked{}, derived: map[deriving]looked{}}
	of := map[*pipeline.Source][]Record{}
	for _, r := range records {
		src := plan.Sources[r.Source]
		of[src] = append(of[src], r)
	}
	for _, v := range plan.Views {
		x := &WholeView{View: v, byKey: map[string][]Row{}, Horizon: event.MaxTime}
		for _, b := range v.Branches() {
			in := Ingest(b.Source, []*pipeline.View{v}, of[b.Source])[0]
			x.Rows = append(x.Rows, in.Rows...)
			x.Feeds = append(x.Feeds, in)
			x.Horizon = min(x.Horizon, in.Horizon) // a source of which nothing is known holds it back
		}
		for _, r := range x.Rows {
			k := keyText(r.Key)
			x.byKey[k] = append(x.byKey[k], r)
		}
		for _, rows := range x.byKey {
			slices.SortFunc(rows, func(a, b Row) int { return a.Compare(&b.Row) })
		}
		x.countCopies()
		w.Views = append(w.Views, x)
	}
	return w
}

// countCopies sets the counts of what was applied and what is a copy, by the rows of all sources.
func (x *WholeView) countCopies() {
	if x.View.Dedupe == nil {
		return
	}
	kept := Kept(x.View, x.Rows)
	for i := range x.Feeds {
		in := &x.Feeds[i]
		n := int64(0)
		for _, r := range kept {
			if r.Pos.Source == in.branch.Source.Index {
				n++
			}
		}
		in.Counts[Applied], in.Counts[Duplicate] = n, in.Counts[Applied]+in.Counts[Duplicate]-n
	}
}

// View finds a view by its name.
func (w *Whole) View(name string) *WholeView {
	for _, x := range w.Views {
		if x.View.Name == name {
			return x
		}
	}
	panic("oracle: no view " + name)
}

func keyText(key []event.Value) string { return string(event.AppendList(nil, key...)) }

// Read answers every feature of a view, in order, for one entity as of an instant, features of other views
// in its columns too; see Read.
func (w *Whole) Read(x *WholeView, key []event.Value, asOf event.Time, asServed bool) []Answer {
	arrived := event.MaxTime
	if asServed {
		arrived = asOf
	}
	past, known := x.past(keyText(key), asOf, arrived)
	answers := make([]Answer, len(x.View.Features))
	for i, f := range x.View.Features {
		answers[i] = w.answer(x, f, past, known, asOf, arrived)
	}
	return answers
}

// past lists the rows of an entity that count before asOf, of those that had arrived, in tie order,
// and tells whether those and the copies make it known.
func (x *WholeView) past(key string, asOf, arrived event.Time) (past []Row, known bool) {
	for _, r := range x.byKey[key] {
		if r.Time < asOf && r.Arrival <= arrived {
			past = append(past, r)
		}
	}
	return Kept(x.View, past), isKnown(x.View, past, asOf)
}

// answer answers f over the entity's rows before asOf; those in its windows get their derived values first.
func (w *Whole) answer(x *WholeView, f *pipeline.Feature, past []Row, known bool, asOf, arrived event.Time) Answer {
	before := Answer{Status: BeforeHistory, EventTime: event.MinTime}
	if asOf < x.Horizon {
		return before
	}
	if !readsDerived(x.View, f) {
		return feature(x.View, f, past, asOf, known)
	}
	in := map[event.Position]bool{}
	for _, r := range counted(f, past, asOf) {
		in[r.Pos] = true
	}
	past = slices.Clone(past)
	vague := false
	for i, r := range past {
		if !in[r.Pos] {
			continue
		}
		d := w.derive(x.View, r, arrived)
		if d.early {
			return before
		}
		past[i].Values, past[i].Pass, vague = d.values, d.pass, vague || d.vague
	}
	a := feature(x.View, f, past, asOf, known)
	a.result.any = a.result.any || vague
	return a
}

// derive gives a row the values of the columns that read other views: as of its own time, of what had arrived.
func (w *Whole) derive(v *pipeline.View, r Row, arrived event.Time) looked {
	q := deriving{v, r.Pos, arrived}
	if d, ok := w.derived[q]; ok {
		return d
	}
	d := looked{values: slices.Clone(r.Values)}
	args := make([]event.Value, pipeline.MaxLookups+len(v.Inputs))
	copy(args[pipeline.MaxLookups:], r.Values)
	for i, l := range v.Lookups {
		var key []event.Value
		for _, in := range l.Keys {
			key = append(key, r.Values[in])
		}
		if slices.ContainsFunc(key, event.Value.IsNull) {
			continue // nobody's
		}
		x := w.look(l.Feature, keyText(key), r.Time, arrived)
		args[i] = x.values[0]
		d.early, d.vague = d.early || x.early, d.vague || x.vague
	}
	for _, p := range v.Derived {
		d.values = append(d.values, p.Program.Eval(args).Clone())
	}
	copy(args, d.values[len(v.Inputs):])
	d.pass = r.Pass
	for i, p := range v.Late {
		if isTrue(p, args) {
			d.pass |= 1 << (len(v.Filters) + i)
		}
	}
	w.derived[q] = d
	return d
}

// look answers one feature of another view.
func (w *Whole) look(f *pipeline.Feature, key string, at, arrived event.Time) looked {
	q := looking{f, key, at, arrived}
	if a, ok := w.looked[q]; ok {
		return a
	}
	x := w.View(f.View.Name)
	past, known := x.past(key, at, arrived)
	a := w.answer(x, f, past, known, at, arrived)
	found := looked{values: []event.Value{a.Value}, early: a.Status == BeforeHistory, vague: !a.Exact()}
	w.looked[q] = found
	return found
}

// readsDerived tells whether f reads a column over features of other views.
func readsDerived(v *pipeline.View, f *pipeline.Feature) bool {
	call := &f.Call
	if f.Inner != nil {
		call = &f.Inner.Call
	}
	return slices.ContainsFunc(call.Groups(nil), v.DerivedGroup)
}

// counted lists the rows that lie in the windows of f, whether they pass its filters or not.
func counted(f *pipeline.Feature, past []Row, asOf event.Time) (rows []Row) {
	if f.Inner == nil {
		return rowsIn(f.Window, f.Filter, past, asOf)
	}
	windows := innerWindows(f.Inner, past, spanOf(f.Window, asOf))
	for _, r := range past {
		if slices.ContainsFunc(windows, func(s span) bool { return s.holds(r.Time) }) {
			rows = append(rows, r)
		}
	}
	return rows
}
