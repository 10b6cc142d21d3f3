package feature

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/expr"
	"github.com/penstock-ml/penstock/transforms/window"
)

// viewQuery is what a Selector reads from one view.
type viewQuery struct {
	v        *view
	keys     []int // of Selector.Keys, in the order of the view's entity
	entity   int   // the same in Selector.entities
	features []featureQuery
	planes   []planeQuery
	lasts    []lastQuery
	sessions []window.Spec
	lookup   *Selector // of the view's Lookups, in order; nil if none is needed
	from     []int     // input that holds each of lookup.Keys
	apart    bool      // what can slide has planes of its own
}

// featureQuery is one feature, and where its rows are gathered.
type featureQuery struct {
	*pipeline.Feature
	slot  int // where its value goes
	plane int // of the query; -1 for a last-N
	at    int // the window in its plane; or the last-N
}

// lastQuery is one distinct window of the N latest rows that pass a filter.
type lastQuery struct {
	n, filter int
	ordered   bool
	groups    []int
}

// output is one answer, or a value that others need: a view's feature, or an expression.
type output struct {
	slot    int // of the values; an expression's own slot
	expr    *expr.Program
	args    []int // of the values; -1-i: request column i
	dflt    event.Value
	answers int // place among the Selector's columns, or -1
}

// maxSelectors bounds the cache of resolved selections.
const maxSelectors = 1000

// Select resolves what is asked for. The error is a *SelectError.
func (s *Store) Select(sel Selection) (*Selector, error) {
	id := fmt.Sprintf("%q %q %q", sel.Set, sel.View, sel.Features)
	s.selMu.Lock()
	x := s.selectors[id]
	s.selMu.Unlock()
	if x != nil {
		return x, nil
	}
	b := &selectorBuilder{s: s, sel: &Selector{}, slotOf: map[*pipeline.Feature]int{}, queryOf: map[*view]int{}}
	if err := b.build(sel); err != nil {
		return nil, err
	}
	s.selMu.Lock()
	defer s.selMu.Unlock()
	if len(s.selectors) >= maxSelectors {
		clear(s.selectors)
	}
	s.selectors[id] = b.sel
	return b.sel, nil
}

type selectorBuilder struct {
	s       *Store
	sel     *Selector
	queryOf map[*view]int
	slotOf  map[*pipeline.Feature]int
	setSlot map[int]int // by place in the set
	set     *pipeline.Set
}

func (b *selectorBuilder) build(sel Selection) error {
	named := 0
	if sel.Set != "" {
		named++
	}
	if sel.View != "" {
		named++
	}
	if named > 1 || (named == 0 && len(sel.Features) == 0) {
		return &SelectError{Code: "malformed", Message: "name exactly one of set, view, or features", Hint: `for example {"view": "user_spend"} or {"features": ["user_spend.spend_1h"]}`}
	}
	var err error
	switch {
	case sel.Set != "":
		err = b.fromSet(sel)
	case sel.View != "":
		err = b.fromView(sel)
	default:
		err = b.dotted(sel)
	}
	if err != nil {
		return err
	}
	b.finish()
	return nil
}

func (b *selectorBuilder) fromView(sel Selection) error {
	v := b.s.byName[sel.View]
	if v == nil || v.plan.Hidden {
		return unknown("unknown_view", "view", sel.View, "view", b.viewNames())
	}
	b.addKeys(v.plan.Entity.Keys)
	names := sel.Features
	if len(names) == 0 {
		for _, f := range v.plan.Features {
			names = append(names, f.Name)
		}
	}
	for i, name := range names {
		f := v.plan.Feature(strings.TrimPrefix(name, sel.View+"."))
		if f == nil {
			return unknown("unknown_feature", "feature", name, fmt.Sprintf("features[%d]", i), featureNames(v.plan))
		}
		if err := b.answer(SelectorColumn{f.Name, f.Type, sizeOf(f), f.Doc}, b.slot(f), i); err != nil {
			return err
		}
	}
	return nil
}

func (b *selectorBuilder) dotted(sel Selection) error {
	for i, name := range sel.Features {
		at := fmt.Sprintf("features[%d]", i)
		vn, fn, ok := strings.Cut(name, ".")
		if !ok {
			return &SelectError{Code: "unknown_feature", Message: fmt.Sprintf("feature %q has no view", name), Hint: "write view.feature, or name the view or set beside it", At: at}
		}
		v := b.s.byName[vn]
		if v == nil || v.plan.Hidden {
			return unknown("unknown_view", "view", vn, at, b.viewNames())
		}
		f := v.plan.Feature(fn)
		if f == nil {
			return unknown("unknown_feature", "feature", fn, at, featureNames(v.plan))
		}
		if k, ok := b.addKeys(v.plan.Entity.Keys); !ok {
			return &SelectError{Code: "malformed", Message: fmt.Sprintf("key %q is of another type in view %q than in those before it", k, vn), Hint: "ask for them apart", At: at}
		}
		if err := b.answer(SelectorColumn{f.Name, f.Type, sizeOf(f), f.Doc}, b.slot(f), i); err != nil {
			return err
		}
	}
	return nil
}

func (b *selectorBuilder) fromSet(sel Selection) error {
	set := b.s.plan.Set(sel.Set)
	if set == nil {
		var names []string
		for _, x := range b.s.plan.Sets {
			names = append(names, x.Name)
		}
		return unknown("unknown_set", "feature set", sel.Set, "set", names)
	}
	b.set, b.setSlot = set, map[int]int{}
	b.sel.Keys = slices.Clone(set.Keys)
	b.sel.Request = slices.Clone(set.Request)
	var names []string
	for _, f := range set.Features {
		names = append(names, f.Name)
	}
	chosen := sel.Features
	if len(chosen) == 0 {
		chosen = names
	}
	for i, name := range chosen {
		j := slices.Index(names, name)
		if j < 0 {
			return unknown("unknown_feature", "feature", name, fmt.Sprintf("features[%d]", i), names)
		}
		f := set.Features[j]
		doc, size := f.Name, 0
		if f.Ref != nil {
			doc = f.Ref.Doc
			if f.Default.IsNull() {
				size = sizeOf(f.Ref)
			}
		} else if f.Expr != nil {
			doc = f.Text
		}
		if err := b.answer(SelectorColumn{f.Name, f.Type, size, doc}, b.setFeature(j), i); err != nil {
			return err
		}
	}
	return nil
}

// setFeature returns the slot of feature j of the set, computing what it needs first.
func (b *selectorBuilder) setFeature(j int) int {
	if slot, ok := b.setSlot[j]; ok {
		return slot
	}
	f := b.set.Features[j]
	from := f.Text
	if f.Ref != nil {
		from = f.Ref.View.Name + "." + f.Ref.Name
	}
	b.sel.made = append(b.sel.made, pipeline.Part{
		Name: fmt.Sprintf("column %q", f.Name), Text: fmt.Sprintf("%q, default %s", from, event.AppendJSON(nil, f.Default)),
	})
	var slot int
	if f.Ref != nil && f.Default.IsNull() {
		slot = b.slot(f.Ref)
	} else {
		o := output{expr: f.Expr, dflt: f.Default, answers: -1}
		if f.Ref != nil {
			o.args = []int{b.slot(f.Ref)}
		} else {
			for i := range b.set.Request {
				o.args = append(o.args, -1-i)
			}
			for _, d := range f.Deps {
				if d.Ref != nil {
					o.args = append(o.args, b.slot(d.Ref))
				} else {
					o.args = append(o.args, b.setFeature(d.Earlier))
				}
			}
		}
		slot = b.sel.slots
		o.slot = slot
		b.sel.slots++
		b.sel.outs = append(b.sel.outs, o)
	}
	b.setSlot[j] = slot
	return slot
}

// slot returns the slot of a view's feature, adding it to the view's query.
func (b *selectorBuilder) slot(f *pipeline.Feature) int {
	if slot, ok := b.slotOf[f]; ok {
		return slot
	}
	v := b.s.byName[f.View.Name]
	qi, ok := b.queryOf[v]
	if !ok {
		qi = len(b.sel.views)
		b.queryOf[v] = qi
		b.sel.views = append(b.sel.views, viewQuery{v: v})
	}
	q := &b.sel.views[qi]
	slot := b.sel.slots
	q.features = append(q.features, featureQuery{Feature: f, slot: slot})
	b.sel.slots++
	b.slotOf[f] = slot
	return slot
}

// addKeys adds key columns that are not there yet; ok is false if one is there with another type.
func (b *selectorBuilder) addKeys(cols []pipeline.Column) (clash string, ok bool) {
	for _, c := range cols {
		i := slices.IndexFunc(b.sel.Keys, func(k pipeline.Column) bool { return k.Name == c.Name })
		if i < 0 {
			b.sel.Keys = append(b.sel.Keys, c)
		} else if b.sel.Keys[i].Type.Kind != c.Type.Kind {
			return c.Name, false
		}
	}
	return "", true
}

func (b *selectorBuilder) answer(col SelectorColumn, slot, i int) error {
	for _, c := range b.sel.Columns {
		if c.Name == col.Name {
			return &SelectError{Code: "malformed", Message: fmt.Sprintf("two features would answer as %q", col.Name), Hint: "ask for them apart, or name them in a feature set", At: fmt.Sprintf("features[%d]", i)}
		}
	}
	b.sel.outs = append(b.sel.outs, output{slot: slot, answers: len(b.sel.Columns)})
	b.sel.Columns = append(b.sel.Columns, col)
	return nil
}

// finish lays the windows of each view's query out.
func (b *selectorBuilder) finish() {
	for i := range b.sel.views {
		q := &b.sel.views[i]
		for _, k := range q.v.plan.Entity.Keys {
			q.keys = append(q.keys, slices.IndexFunc(b.sel.Keys, func(c pipeline.Column) bool { return c.Name == k.Name }))
		}
		q.entity = slices.IndexFunc(b.sel.entities, func(keys []int) bool { return slices.Equal(keys, q.keys) })
		if q.entity < 0 {
			q.entity = len(b.sel.entities)
			b.sel.entities = append(b.sel.entities, q.keys)
		}
		apart := viewQuery{v: q.v, keys: q.keys, entity: q.entity, features: slices.Clone(q.features), apart: true}
		for j := range q.features {
			q.place(&q.features[j])
			apart.place(&apart.features[j])
		}
		if slices.ContainsFunc(q.planes, func(p planeQuery) bool { return p.derived }) {
			q.lookup, q.from = b.s.selectLookups(q.v.plan)
			apart.lookup, apart.from = q.lookup, q.from
		}
		b.sel.apart = append(b.sel.apart, apart)
	}
}

// place decides where the rows of a feature are gathered.
func (q *viewQuery) place(f *featureQuery) {
	call := &f.Call
	if f.Inner != nil {
		call = &f.Inner.Call
	}
	layout := &q.v.plan.Layout
	groups := call.Groups(nil)
	ordered := slices.ContainsFunc(groups, func(g int) bool { return layout.Groups[g].Ordered() })
	if f.Window.Kind == window.Session && !slices.Contains(q.sessions, f.Window) {
		q.sessions = append(q.sessions, f.Window)
	}
	if f.Window.Kind == window.LastN && f.Inner == nil {
		f.plane, f.at = -1, q.last(f, groups, ordered)
		return
	}
	derived := slices.ContainsFunc(groups, q.v.plan.DerivedGroup)
	slides := q.apart && !ordered && !derived && f.Inner == nil && canSlide(f.Window, layout, groups)
	f.plane = q.plane(f, ordered, derived, slides)
	p := &q.planes[f.plane]
	if f.Inner == nil {
		if f.at = slices.Index(p.windows, f.Window); f.at < 0 {
			f.at = len(p.windows)
			p.windows = append(p.windows, f.Window)
		}
	}
	for _, g := range groups {
		if !slices.Contains(p.groups, g) {
			p.groups = append(p.groups, g)
		}
		if f.Window.Kind == window.Lifetime && !slices.Contains(p.base, g) {
			p.base = append(p.base, g)
		}
	}
}

// plane finds or adds the plane that a feature is read in.
func (q *viewQuery) plane(f *featureQuery, ordered, derived, slides bool) int {
	i := slices.IndexFunc(q.planes, func(p planeQuery) bool {
		if p.ordered != ordered || p.derived != derived || p.slides != slides || (p.inner != nil) != (f.Inner != nil) {
			return false
		}
		if f.Inner != nil {
			return *p.inner == f.Inner.Window && p.windows[0] == f.Window
		}
		return p.nested == endsNow(f.Window)
	})
	if i >= 0 {
		return i
	}
	p := planeQuery{ordered: ordered, derived: derived, slides: slides}
	if f.Inner != nil {
		p.inner, p.windows = &f.Inner.Window, []window.Spec{f.Window}
	} else {
		p.nested = endsNow(f.Window)
	}
	q.planes = append(q.planes, p)
	return len(q.planes) - 1
}

// endsNow tells whether a window ends at the instant asked for. Such windows lie within each other.
func endsNow(w window.Spec) bool {
	switch w.Kind {
	case window.Rolling, window.Lifetime:
		return true
	case window.Tumbling, window.Calendar:
		return w.Current
	}
	return false
}

// last finds or adds the last-N window of f.
func (q *viewQuery) last(f *featureQuery, groups []int, ordered bool) int {
	i := slices.IndexFunc(q.lasts, func(l lastQuery) bool {
		return l.n == f.Window.N && l.filter == f.Filter && l.ordered == ordered
	})
	if i < 0 {
		i = len(q.lasts)
		q.lasts = append(q.lasts, lastQuery{n: f.Window.N, filter: f.Filter, ordered: ordered})
	}
	for _, g := range groups {
		if !slices.Contains(q.lasts[i].groups, g) {
			q.lasts[i].groups = append(q.lasts[i].groups, g)
		}
	}
	return i
}

func (b *selectorBuilder) viewNames() (names []string) {
	for _, v := range b.s.plan.Views {
		if !v.Hidden {
			names = append(names, v.Name)
		}
	}
	return names
}

func featureNames(v *pipeline.View) (names []string) {
	for _, f := range v.Features {
		names = append(names, f.Name)
	}
	return names
}

// unknown is the error for a name that does not exist.
func unknown(code, what, name, at string, known []string) error {
	e := &SelectError{Code: code, Message: fmt.Sprintf("%s %q does not exist", what, name), At: at}
	if near, ok := expr.Nearest(name, known); ok {
		e.Hint = fmt.Sprintf("did you mean %q?", near)
	} else if len(known) > 0 && len(known) <= 20 {
		e.Hint = map[bool]string{true: "there is ", false: "there are "}[len(known) == 1] + strings.Join(known, ", ")
	}
	return e
}
