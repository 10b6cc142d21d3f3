package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/expr"
)

// A column of a view may read features of other views: `columns: {usual: user_spend.avg_30d}`. Each row
// then has their values as of its own time. Such a column is derived when rows are read, and never stored.

// derivedBase is added to the numbers of derived columns until all inputs of the view are known.
const derivedBase = 1 << 20

// viewNamed finds the view that a dotted name of a column means, if it means one.
func (v *viewScope) viewNamed(name string) (other *viewScope, feature string) {
	head, feature, ok := strings.Cut(name, ".")
	if !ok || v.typed && v.isField(name) {
		return nil, ""
	}
	for _, x := range v.c.views {
		if x.view.Name == head {
			return x, feature
		}
	}
	return nil, ""
}

// readsViews tells whether one of the names is a feature of a view.
func (v *viewScope) readsViews(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		other, _ := v.viewNamed(name)
		return other != nil
	})
}

// readsOthers tells whether an expression is over features of other views, or columns that are.
func (v *viewScope) readsOthers(n *node) bool {
	names, err := expr.Names(n.text)
	return err == nil && (v.readsViews(names) || slices.ContainsFunc(names, func(name string) bool { _, ok := v.derived[name]; return ok }))
}

// noteLookups notes the fields that tell whose features the view's columns read.
func (v *viewScope) noteLookups() {
	if !v.typed {
		return
	}
	for _, f := range v.ownColumns() {
		if f.value.kind != scalarNode {
			continue
		}
		names, err := expr.Names(f.value.text)
		if err != nil {
			continue
		}
		for _, name := range names {
			if other, _ := v.viewNamed(name); other != nil && other.entity != nil {
				for _, k := range other.entity.entity.Keys {
					v.need(k.Name)
				}
			}
		}
	}
}

// compileOnce compiles the view, and before it those that it reads. false means that it is being
// compiled: it reads itself, perhaps by way of others.
func (v *viewScope) compileOnce() bool {
	switch v.stage {
	case compiling:
		return false
	case fresh:
		v.stage = compiling
		if v.n.kind == mappingNode {
			v.compile()
		}
		v.stage = compiled
	}
	return true
}

// stage is how far a view is compiled.
type stage uint8

const (
	fresh stage = iota
	compiling
	compiled
)

// derivedColumn compiles a column that reads features of other views.
func (v *viewScope) derivedColumn(f field, in string, names []string) {
	name := f.key.text
	v.broken[name] = true // until it compiles
	slots := map[string]int{}
	types := map[string]event.Type{}
	known := []string{}
	for _, ref := range names {
		other, feature := v.viewNamed(ref)
		if other == nil {
			if _, ok := v.derived[ref]; ok {
				v.c.fail(f.value, "write its features of other views here too", "%s: column %q reads other views itself", in, ref)
				return
			}
			if !v.typed {
				continue
			}
			if slot, t, ok := v.lookup(ref); ok {
				slots[ref], types[ref] = MaxLookups+v.slotInput(ref, slot, t), t
			}
			continue
		}
		i, ok := v.lookupFeature(f, in, ref, other, feature)
		if !ok {
			return
		}
		slots[ref], types[ref] = i, v.view.Lookups[i].Feature.Type
		known = append(known, ref)
	}
	if !v.typed {
		return
	}
	p, err := expr.Compile(f.value.text, func(name string) (int, event.Type, bool) {
		t, ok := types[name]
		t.Nullable = true // nothing may be known of the key
		return slots[name], t, ok
	}, append(known, v.known()...))
	if err != nil {
		v.c.exprError(f.value, in, err)
		return
	}
	v.derived[name] = len(v.view.Derived)
	v.view.Derived = append(v.view.Derived, &Derived{Name: name, Program: p})
	delete(v.broken, name)
}

// lateCondition compiles a condition over columns that read other views: it is evaluated when rows are read.
func (v *viewScope) lateCondition(n *node, in string) *expr.Program {
	names, _ := expr.Names(n.text)
	slots, types := map[string]int{}, map[string]event.Type{}
	known := v.known()
	for name, i := range v.derived {
		known = append(known, name)
		slots[name], types[name] = i, v.view.Derived[i].Program.Type()
	}
	for _, name := range names {
		if v.broken[name] {
			return nil // it is reported
		}
		i, derived := v.derived[name]
		if derived && i >= MaxLookups {
			v.c.fail(n, "split the view in two", "%s: of more than %d columns that read other views", in, MaxLookups)
			return nil
		}
		if derived {
			continue
		}
		if slot, t, ok := v.lookup(name); ok {
			slots[name], types[name] = MaxLookups+v.slotInput(name, slot, t), t
		}
	}
	p, err := expr.Compile(n.text, func(name string) (int, event.Type, bool) {
		t, ok := types[name]
		return slots[name], t, ok
	}, known)
	switch {
	case err != nil && v.readsViews(names):
		v.c.exprErrorHint(n, in, err, "features of other views are read under columns: of this view, and taken by the column's name")
		return nil
	case err != nil:
		v.c.exprError(n, in, err)
		return nil
	case p.Type().Kind != event.Bool:
		v.c.fail(n, "write a comparison, like amount > 0", "%s must be true or false, but this is %s", in, bare(p.Type()))
		return nil
	}
	return p
}

// lookupFeature finds or adds a feature of another view as an input.
func (v *viewScope) lookupFeature(at field, in, ref string, other *viewScope, feature string) (int, bool) {
	fail := func(hint, format string, args ...any) (int, bool) {
		v.c.fail(at.value, hint, "%s: "+format, append([]any{in}, args...)...)
		return 0, false
	}
	if !other.compileOnce() {
		return fail("compute one of them from events alone", "%s closes a circle: the views would read one another", ref)
	}
	x := other.view.Feature(feature)
	if x == nil {
		if slices.ContainsFunc(other.decls, func(d *featureDecl) bool { return d.name == feature }) {
			return 0, false // its mistake is reported
		}
		var names []string
		for _, x := range other.view.Features {
			names = append(names, x.Name)
		}
		return fail(diag.Suggest(feature, "features", names), "view %q has no feature %q", other.view.Name, feature)
	}
	if x.Type.Kind == event.Null || other.view.Entity == nil || !v.typed {
		return 0, false
	}
	if i := slices.IndexFunc(v.view.Lookups, func(l *Lookup) bool { return l.Feature == x }); i >= 0 {
		return i, true
	}
	if len(v.view.Lookups) == MaxLookups {
		return fail("split the view in two", "more than %d features of other views", MaxLookups)
	}
	l := &Lookup{Feature: x}
	for _, k := range other.view.Entity.Keys {
		slot, t, ok := v.lookup(k.Name)
		if !ok {
			return fail(fmt.Sprintf("compute it before: columns: {%s: …}", k.Name), "the events have no field %q, a key of view %q", k.Name, other.view.Name)
		}
		if t.Kind != k.Type.Kind {
			return fail("compute a column of that name and type", "key %q of view %q is %s, but the events' is %s", k.Name, other.view.Name, k.Type, bare(t))
		}
		l.Keys = append(l.Keys, v.slotInput(k.Name, slot, t))
	}
	v.reads = append(v.reads, other)
	v.view.Lookups = append(v.view.Lookups, l)
	return len(v.view.Lookups) - 1, true
}

// settleDerived gives derived columns and the conditions on them their numbers, behind the inputs and filters
// that are stored, and checks what reads them.
func (v *viewScope) settleDerived() {
	settle := func(i, base, stored int) int {
		if i >= derivedBase+base {
			return i - derivedBase + stored
		}
		return i
	}
	inputs, filters := len(v.view.Inputs), len(v.view.Filters)
	for i := range v.view.Layout.Groups {
		g := &v.view.Layout.Groups[i]
		g.Input, g.Second, g.By = settle(g.Input, 0, inputs), settle(g.Second, 1, inputs), settle(g.By, 1, inputs)
		g.Filter = settle(g.Filter, 0, filters)
	}
	for _, f := range slices.Concat(v.view.Features, v.view.Ahead) {
		f.Filter = settle(f.Filter, 0, filters)
	}
	if len(v.view.Derived) == 0 {
		return
	}
	for _, d := range v.decls {
		f := d.feature
		if f == nil || f.Type.Kind == event.Null {
			continue
		}
		call := &f.Call
		if f.Inner != nil {
			call = &f.Inner.Call
		}
		if !slices.ContainsFunc(call.Groups(nil), v.view.DerivedGroup) {
			continue
		}
		if _, bounded := f.Window.Reach(); !bounded {
			v.c.failAt(d.at.span, "give it a window, like window: 7d",
				"%s reads features of another view for each event, over %s: without a bound", d.in, f.Window)
		}
	}
}

// settleLookups lets every view answer as far back as those that read it ask, and writes the versions.
func (c *compiler) settleLookups() {
	for range c.views { // a chain of views is no longer than this
		for _, v := range c.views {
			for _, other := range v.reads {
				if more := v.view.Keep - other.view.History; more > 0 {
					other.view.History += more
					other.view.Keep += more
				}
			}
		}
	}
	c.settleHidden()
	for _, v := range c.views {
		if v.typed && v.view.Entity != nil && v.n.kind == mappingNode {
			v.view.Storage = v.storageText()
			v.view.Version = versionOf(v.view.Storage)
		}
	}
}

// settleHidden lets the views of labels and spines answer as far back as any view that users wrote.
func (c *compiler) settleHidden() {
	longest := event.Duration(0)
	for _, v := range c.views {
		longest = max(longest, v.view.History)
	}
	for _, v := range c.views {
		if v.view.Hidden {
			v.view.Keep += longest - v.view.History
			v.view.History = longest
		}
	}
}
