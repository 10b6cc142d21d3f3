// Package verify recomputes features from raw rows by the naive evaluator, which shares nothing with the store's
// reader but the plan, and compares: with what the store answers, with what serving has logged, and with the
// cells of an export. The rows are those that the state keeps, or those that the sources still have.
package verify

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/feature"
	"github.com/penstock-ml/penstock/internal/oracle"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Truth answers questions the naive way.
type Truth struct {
	Plan    *pipeline.Plan
	Rows    func(v *pipeline.View, keys []event.Value) ([]oracle.Row, error) // accepted ones of an entity; Values of Inputs
	Horizon func(v *pipeline.View) event.Time                                // before it nothing is answered

	Trimmed func(v *pipeline.View, keys []event.Value) (int64, error) // rows that Rows lacks, which lifetime features count; nil: none
	Kept    func(v *pipeline.View) event.Time                         // before it rows may be missing; nil: nowhere
	Ahead   func(v *pipeline.View, entities [][]event.Value) error    // is told whose rows will be asked for; nil: nobody is

	last map[*pipeline.View]map[string][]oracle.Row // of entities asked for lately
}

// maxRemembered is of how many entities of a view the rows are remembered.
const maxRemembered = 64

// Question is one entity as of an instant.
type Question struct {
	Keys    []event.Value // by Selector.Keys
	Request []event.Value // by Selector.Request
	AsOf    event.Time
	Served  bool                            // only rows that had arrived by AsOf
	Past    func(r *event.Row) bool         // further bounds of what counts, nil: none
	Names   []pipeline.Column               // Selector.Keys
	Horizon func(*pipeline.View) event.Time // nil: the Truth's
}

// Cell is what an answer must be.
type Cell struct {
	Value     event.Value
	Status    string
	EventTime event.Time
	Unknown   bool // it cannot be told from the rows that are known
	vague     bool // other values are right too
	agrees    func(got event.Value) bool
}

// Agrees tells whether got is a right value.
func (c *Cell) Agrees(got event.Value) bool { return c.agrees(got) }

// String is the cell for people.
func (c *Cell) String() string { return cellText(c.Value, c.Status, c.EventTime) }

func cellText(v event.Value, status string, at event.Time) string {
	text := fmt.Sprintf("%s (%s", event.AppendJSON(nil, v), status)
	if at != event.MinTime {
		text += ", newest row " + at.String()
	}
	return text + ")"
}

// Column is one answer: a view's feature, or one of a set.
type Column struct {
	Name string
	ref  *pipeline.Feature
	set  *pipeline.Set
	at   int // of the set's features
}

// Columns resolves a selection, which the store has resolved before, in its own way.
func Columns(plan *pipeline.Plan, sel feature.Selection) []Column {
	var out []Column
	switch {
	case sel.Set != "":
		set := plan.Set(sel.Set)
		for i, f := range set.Features {
			if len(sel.Features) == 0 {
				out = append(out, Column{Name: f.Name, set: set, at: i})
			}
		}
		for _, name := range sel.Features {
			i := slices.IndexFunc(set.Features, func(f *pipeline.SetFeature) bool { return f.Name == name })
			out = append(out, Column{Name: name, set: set, at: i})
		}
	case sel.View != "":
		v := plan.View(sel.View)
		for _, f := range v.Features {
			if len(sel.Features) == 0 {
				out = append(out, Column{Name: f.Name, ref: f})
			}
		}
		for _, name := range sel.Features {
			f := v.Feature(strings.TrimPrefix(name, v.Name+"."))
			out = append(out, Column{Name: f.Name, ref: f})
		}
	default:
		for _, name := range sel.Features {
			vn, fn, _ := strings.Cut(name, ".")
			f := plan.View(vn).Feature(fn)
			out = append(out, Column{Name: f.Name, ref: f})
		}
	}
	return out
}

// Answer answers columns for one question.
func (t *Truth) Answer(cols []Column, q *Question) ([]Cell, error) {
	a := answering{t: t, q: q, done: map[*pipeline.Feature]Cell{}}
	out := make([]Cell, len(cols))
	for i, c := range cols {
		var err error
		if c.ref != nil {
			out[i], err = a.feature(c.ref)
		} else {
			out[i], err = a.ofSet(c.set, c.at)
		}
		if errors.Is(err, errTooMany) {
			for j := range out {
				out[j] = Cell{Unknown: true}
			}
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// errTooMany tells that an entity has more rows than a server answers.
var errTooMany = errors.New("the entity has too many rows")

// ahead tells Ahead whose rows questions need, but for those of lookups.
func (t *Truth) ahead(cols []Column, questions []*Question) error {
	if t.Ahead == nil {
		return nil
	}
	for _, v := range viewsOf(cols) {
		var entities [][]event.Value
		for _, q := range questions {
			entities = append(entities, ownKeys(v, q.Names, q.Keys))
		}
		if err := t.Ahead(v, entities); err != nil {
			return err
		}
	}
	return nil
}

// answering is one question under way.
type answering struct {
	t    *Truth
	q    *Question
	done map[*pipeline.Feature]Cell
}

// feature answers a view's feature.
func (a *answering) feature(f *pipeline.Feature) (Cell, error) {
	if c, ok := a.done[f]; ok {
		return c, nil
	}
	v := f.View
	c, err := a.t.viewFeature(f, ownKeys(v, a.q.Names, a.q.Keys), a.q, a.q.AsOf)
	a.done[f] = c
	return c, err
}

// ofSet answers a feature of a set as SURFACE and docs/serving.md say, from the naive answers of its inputs.
func (a *answering) ofSet(set *pipeline.Set, at int) (Cell, error) {
	f := set.Features[at]
	if f.Ref != nil {
		c, err := a.feature(f.Ref)
		if err == nil && !f.Default.IsNull() && c.Value.IsNull() && c.Status != oracle.BeforeHistory {
			c.Value, c.agrees = f.Default, func(got event.Value) bool { return got == f.Default }
		}
		return c, err
	}
	args := slices.Clone(a.q.Request)
	out := Cell{Status: oracle.Present, EventTime: event.MinTime}
	unseen := len(f.Deps) > 0
	for _, d := range f.Deps {
		var c Cell
		var err error
		if d.Ref != nil {
			c, err = a.feature(d.Ref)
		} else {
			c, err = a.ofSet(set, d.Earlier)
		}
		if err != nil {
			return c, err
		}
		args = append(args, c.Value)
		out.EventTime = max(out.EventTime, c.EventTime)
		unseen = unseen && c.Status == oracle.NotFound
		out.Unknown = out.Unknown || c.Unknown || c.vague
		if c.Status == oracle.BeforeHistory {
			out.Status = oracle.BeforeHistory
		}
	}
	if out.Status != oracle.BeforeHistory {
		out.Value = f.Expr.Eval(args).Clone()
		if out.Value.IsNull() {
			out.Value, out.Status = f.Default, oracle.Null
			if unseen {
				out.Status = oracle.NotFound
			}
		}
	}
	value := out.Value
	out.agrees = func(got event.Value) bool { return got == value }
	return out, nil
}

// viewFeature answers a view's feature for keys as of an instant.
func (t *Truth) viewFeature(f *pipeline.Feature, keys []event.Value, q *Question, asOf event.Time) (Cell, error) {
	v := f.View
	rows, err := t.rowsOf(v, keys)
	if err != nil {
		return Cell{}, err
	}
	var past []oracle.Row
	for _, r := range rows {
		if r.Time < asOf && (!q.Served || r.Arrival <= q.AsOf) && (q.Past == nil || q.Past(&r.Row)) {
			past = append(past, r)
		}
	}
	early := false
	if asOf != q.AsOf || readsDerived(f) { // what lies before the window cannot matter to it
		past = within(f, past, asOf)
	}
	if readsDerived(f) {
		if past, early, err = t.derive(v, past, q); err != nil {
			return Cell{}, err
		}
	}
	horizon := t.Horizon
	if q.Horizon != nil {
		horizon = q.Horizon
	}
	a := oracle.ReadFeatures(v, []*pipeline.Feature{f}, past, keys, asOf, false, horizon(v))[0]
	trimmed := int64(0)
	if t.Trimmed != nil {
		if trimmed, err = t.Trimmed(v, keys); err != nil {
			return Cell{}, err
		}
	}
	if trimmed > 0 && (f.Window.Kind == window.Lifetime || a.Status == oracle.NotFound) || t.Kept != nil && asOf < t.Kept(v) {
		early = early || a.Status != oracle.BeforeHistory
	}
	return Cell{Value: a.Value, Status: a.Status, EventTime: a.EventTime, Unknown: early, vague: !a.Exact(), agrees: a.Agrees}, nil
}

// readsDerived tells whether a feature reads features of other views.
func readsDerived(f *pipeline.Feature) bool {
	call := &f.Call
	if f.Inner != nil {
		call = &f.Inner.Call
	}
	return slices.ContainsFunc(call.Groups(nil), f.View.DerivedGroup) || f.Filter >= len(f.View.Filters)
}

// within are the rows that a window may cover as of an instant, and the latest: so that the entity stays known.
func within(f *pipeline.Feature, rows []oracle.Row, asOf event.Time) []oracle.Row {
	reach, bounded := f.Window.Reach()
	if !bounded || f.Inner != nil || f.View.Dedupe != nil || len(rows) == 0 {
		return rows
	}
	latest := slices.MaxFunc(rows, func(a, b oracle.Row) int { return cmp.Compare(a.Time, b.Time) }).Time
	from := min(asOf.Add(-reach), latest)
	return slices.DeleteFunc(slices.Clone(rows), func(r oracle.Row) bool { return r.Time < from })
}

// derive gives rows the features of other views that they read, as of each row's time. early tells that one of
// them lies before the other view's history: which features that makes null is not told here.
func (t *Truth) derive(v *pipeline.View, rows []oracle.Row, q *Question) (out []oracle.Row, early bool, err error) {
	n := len(v.Inputs)
	for _, l := range v.Lookups {
		if t.Ahead == nil {
			break
		}
		var entities [][]event.Value
		for i := range rows {
			if keys := lookupKeys(l, &rows[i]); keys != nil {
				entities = append(entities, keys)
			}
		}
		if err := t.Ahead(l.Feature.View, entities); err != nil {
			return nil, false, err
		}
	}
	for _, r := range rows {
		args := make([]event.Value, pipeline.MaxLookups+n)
		copy(args[pipeline.MaxLookups:], r.Values[:n])
		for i, l := range v.Lookups {
			keys := lookupKeys(l, &r)
			if keys == nil {
				continue
			}
			c, err := t.viewFeature(l.Feature, keys, q, r.Time)
			if err != nil {
				return nil, false, err
			}
			early = early || c.Status == oracle.BeforeHistory || c.Unknown
			args[i] = c.Value
		}
		r.Values = slices.Clone(r.Values[:n])
		for _, d := range v.Derived {
			r.Values = append(r.Values, d.Program.Eval(args).Clone())
		}
		copy(args[:pipeline.MaxLookups], r.Values[n:])
		for i, p := range v.Late { // conditions over derived values
			if bit := uint64(1) << (len(v.Filters) + i); isTrue(p.Eval(args)) {
				r.Pass |= bit
			} else {
				r.Pass &^= bit
			}
		}
		out = append(out, r)
	}
	return out, early, nil
}

// lookupKeys is whose feature a row reads; nil if one of the keys is null.
func lookupKeys(l *pipeline.Lookup, r *oracle.Row) []event.Value {
	keys := make([]event.Value, len(l.Keys))
	for j, in := range l.Keys {
		if keys[j] = r.Values[in]; keys[j].IsNull() {
			return nil
		}
	}
	return keys
}

func isTrue(v event.Value) bool { return v.Kind == event.Bool && v.Bool() }

// rowsOf are the rows of an entity; those of the last one of each view are remembered.
func (t *Truth) rowsOf(v *pipeline.View, keys []event.Value) ([]oracle.Row, error) {
	key := keyText(keys)
	if rows, ok := t.last[v][key]; ok {
		return rows, nil
	}
	rows, err := t.Rows(v, keys)
	if err != nil {
		return nil, err
	}
	if t.last == nil {
		t.last = map[*pipeline.View]map[string][]oracle.Row{}
	}
	if t.last[v] == nil || len(t.last[v]) >= maxRemembered {
		t.last[v] = map[string][]oracle.Row{}
	}
	t.last[v][key] = rows
	return rows, nil
}

// keyText names an entity: equal for equal keys only.
func keyText(keys []event.Value) string {
	var b []byte
	for _, k := range keys {
		b = event.AppendValue(b, k)
	}
	return string(b)
}
