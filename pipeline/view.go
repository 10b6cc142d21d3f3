package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/expr"
)

type entityScope struct {
	entity *Entity
	key    *node
	used   bool
}

func (e *entityScope) hasKey(name string) bool {
	return slices.ContainsFunc(e.entity.Keys, func(k Column) bool { return k.Name == name })
}

// columnKinds are the kinds that users name.
var columnKinds = map[string]event.Kind{
	"string": event.String, "long": event.Long, "int": event.Long, "boolean": event.Bool, "bytes": event.Bytes,
	"date": event.Date, "timestamp": event.Timestamp, "float": event.Double, "double": event.Double,
}

func (c *compiler) compileEntities(n *node) {
	if n == nil || n.kind != mappingNode {
		return
	}
	for _, f := range n.fields {
		e := &entityScope{entity: &Entity{Name: f.key.text}, key: f.key}
		c.entities = append(c.entities, e)
		c.plan.Entities = append(c.plan.Entities, e.entity)
		for _, k := range f.value.fields {
			if k.value.bad || k.value.kind != scalarNode {
				continue
			}
			e.entity.Keys = append(e.entity.Keys, Column{k.key.text, event.Type{Kind: columnKinds[k.value.text]}})
		}
	}
}

// viewScope is a view while it is being compiled.
type viewScope struct {
	c        *compiler
	n        *node // the view's mapping
	key      *node
	in       string
	view     *View
	source   *sourceScope // nil if not known
	entity   *entityScope
	typed    bool            // the source's fields are known
	fields   map[string]bool // of the source that the view uses
	columns  map[string]int  // computed columns so far, by name
	computed []string        // their names
	types    []event.Type    // of Computed
	broken   map[string]bool
	decls    []*featureDecl
	spines   []*spineScope // whose rows are the view's

	feed    feed
	more    []*viewScope // of its further sources
	flat    string       // path of the array that is flattened
	stage   stage
	derived map[string]int // columns that read other views, by name: number in Derived
	reads   []*viewScope   // the views they read

	inputs  map[string]int
	filters map[string]int
	groups  map[groupKey]int
	names   map[string]*node
}

// groupKey tells groups of the layout apart.
type groupKey struct {
	input, second, filter, by, limit int
	keeps                            agg.Structure
	last                             bool
}

func newViewScope(c *compiler, key, n *node) *viewScope {
	return &viewScope{
		c: c, n: n, key: key, in: fmt.Sprintf("view %q", key.text),
		view:   &View{Name: key.text},
		fields: map[string]bool{}, columns: map[string]int{}, broken: map[string]bool{}, inputs: map[string]int{}, filters: map[string]int{},
		groups: map[groupKey]int{}, names: map[string]*node{}, derived: map[string]int{},
	}
}

func (c *compiler) compileViews(root *node) {
	n := root.get("views")
	if n == nil || n.kind != mappingNode {
		c.fixSources()
		return
	}
	for _, f := range n.fields {
		v := newViewScope(c, f.key, f.value)
		c.views = append(c.views, v)
		c.plan.Views = append(c.plan.Views, v.view)
		if f.value.kind == mappingNode {
			v.declare()
		}
	}
	for _, v := range c.views {
		if v.n.kind == mappingNode {
			v.noteLookups()
			for _, b := range v.more {
				b.noteLookups()
			}
		}
	}
	c.declareLabels(root.get("labels"))
	c.declareExports(root)
	c.fixSources()
	for _, v := range c.views {
		v.compileOnce()
	}
	c.settleLookups()
}

func (c *compiler) fixSources() {
	for _, s := range c.sources {
		s.fix()
	}
}

// declare resolves what the view refers to, and notes which fields of the source it uses.
func (v *viewScope) declare() {
	c := v.c
	v.declareSources()
	if n := v.n.get("entity"); n != nil {
		var names []string
		for _, e := range c.entities {
			names = append(names, e.entity.Name)
			if e.entity.Name == n.text {
				v.entity = e
			}
		}
		if v.entity == nil {
			c.fail(n, diag.Suggest(n.text, "entities", names), "%s: there is no entity %q", v.in, n.shown())
		} else {
			v.entity.used = true
			v.view.Entity = v.entity.entity
		}
	}
	v.declareBranch()
	v.declareMore()
}

// declareBranch notes what the view uses of one source.
func (v *viewScope) declareBranch() {
	v.typed = v.source.known()
	v.declareFlatten()
	v.declareFeatures()
	v.noteFields()
}

// noteFields notes the fields that the view's expressions and keys use.
func (v *viewScope) noteFields() {
	if !v.typed {
		return
	}
	note := func(n *node) {
		if n == nil || n.kind != scalarNode {
			return
		}
		if text := strings.TrimSpace(n.text); v.isField(text) {
			v.need(text) // a field may have a name that is a word of expressions
			return
		}
		names, err := expr.Names(n.text)
		if err != nil {
			return
		}
		for _, name := range names {
			v.need(name)
		}
	}
	note(v.n.get("where"))
	note(v.n.get("sample").get("by"))
	note(v.n.get("dedupe").get("by"))
	note(v.feed.where)
	for _, s := range v.spines {
		note(s.n.get("where"))
		for _, w := range s.columns {
			note(w.expr)
		}
	}
	for _, f := range v.ownColumns() {
		note(f.value)
	}
	for _, d := range v.decls {
		d.each(func(a *aggregateDecl) {
			note(a.where)
			if !a.star {
				for _, n := range a.args {
					note(n)
				}
			}
			if a.by != nil {
				note(a.by.column)
			}
		})
	}
	if v.entity != nil {
		for _, k := range v.entity.entity.Keys {
			v.need(k.Name)
		}
	}
}

func (v *viewScope) isField(path string) bool {
	_, ok := v.source.src.Schema.Field(path)
	return ok
}

// need notes that the view uses a name, if it is a field.
func (v *viewScope) need(name string) {
	if field := v.source.need(name); field != "" {
		v.fields[field] = true
	}
}

// compile fills the view, once the slots of the source's columns are settled.
func (v *viewScope) compile() {
	v.compileFlatten()
	v.compileColumns()
	v.compileKeys()
	v.compileWhere()
	for _, d := range v.decls {
		v.compileFeature(d)
	}
	v.compileSpines()
	v.compileDefault()
	v.compileDedupe()
	v.settleHistory()
	if n := len(v.view.Filters) + len(v.view.Late); n > 64 {
		v.c.failAt(v.key.span, "split the view in two", "%s has %d different conditions on features, and 64 is the most", v.in, n)
	}
	v.settleDerived()
	v.compileMore()
}

// ownColumns lists the columns that are mapped for the source, then the view's.
func (v *viewScope) ownColumns() []field {
	return append(v.feed.columns[:len(v.feed.columns):len(v.feed.columns)], v.n.get("columns").mapping()...)
}

func (v *viewScope) compileColumns() {
	for _, f := range v.ownColumns() {
		if f.value.bad || f.value.kind != scalarNode || f.key.bad {
			v.broken[f.key.text] = true
			continue
		}
		in := fmt.Sprintf("%s: column %q", v.in, f.key.text)
		if v.typed {
			if v.isField(f.key.text) {
				v.c.fail(f.key, "give the column another name", "%s: the events already have a field of this name", in)
				v.broken[f.key.text] = true
				continue
			}
		}
		if names, err := expr.Names(f.value.text); err == nil && v.readsViews(names) {
			v.derivedColumn(f, in, names)
			continue
		}
		p := v.expression(f.value, in)
		if p == nil {
			v.broken[f.key.text] = true
			continue
		}
		v.columns[f.key.text] = len(v.view.Computed)
		v.view.Computed = append(v.view.Computed, p)
		v.computed = append(v.computed, f.key.text)
		v.types = append(v.types, p.Type())
	}
}

// lookup resolves a name in the view's expressions.
func (v *viewScope) lookup(name string) (int, event.Type, bool) {
	if i, ok := v.columns[name]; ok {
		return len(v.source.src.Columns) + i, v.types[i], true
	}
	slot, ok := v.source.slots[name]
	if !ok {
		return 0, event.Type{}, false
	}
	t := v.source.src.Columns[slot].Type
	if v.isFlat(name) {
		t = *t.Elem
	}
	return slot, t, true
}

// known lists the names that expressions can use.
func (v *viewScope) known() []string {
	names := v.source.paths()
	for _, f := range v.ownColumns() {
		if _, ok := v.columns[f.key.text]; ok {
			names = append(names, f.key.text)
		}
	}
	return names
}

// mapping returns the entries of n, none for nil.
func (n *node) mapping() []field {
	if n == nil {
		return nil
	}
	return n.fields
}

// expression compiles a row expression over the view's columns; nil if it is wrong (and reported),
// or if the fields are not known (then only its syntax is checked).
func (v *viewScope) expression(n *node, in string) *expr.Program {
	names, err := expr.Names(n.text)
	if err != nil {
		v.c.exprError(n, in, err)
		return nil
	}
	if !v.typed {
		return nil
	}
	for _, name := range names {
		head, _, _ := strings.Cut(name, ".")
		if v.broken[head] {
			return nil // its column is reported
		}
	}
	p, err := expr.Compile(n.text, v.lookup, v.known())
	if err != nil {
		for _, name := range names {
			if _, ok := v.derived[name]; ok {
				v.c.exprErrorHint(n, in, err, fmt.Sprintf("column %s reads another view: write this as a column of its own, over the other view's feature", name))
				return nil
			}
		}
		if v.readsViews(names) {
			v.c.exprErrorHint(n, in, err, "features of other views are read under columns: of this view; aggregates take such a column by its name")
			return nil
		}
		if why := v.notColumn(names); why != "" {
			v.c.exprErrorHint(n, in, err, why)
		} else {
			v.c.exprError(n, in, err)
		}
		return nil
	}
	return p
}

// notColumn says why one of the names is no column though the schema has it.
func (v *viewScope) notColumn(names []string) string {
	for _, name := range names {
		if _, _, ok := v.lookup(name); ok {
			continue
		}
		if why, ok := v.source.src.Schema.NotColumn(name); ok {
			return fmt.Sprintf("%s: %s", name, why)
		}
	}
	return ""
}

// condition compiles an expression that must be boolean.
func (v *viewScope) condition(n *node, in string) *expr.Program {
	p := v.expression(n, in)
	if p == nil {
		return nil
	}
	if p.Type().Kind != event.Bool {
		v.c.fail(n, "write a comparison, like amount > 0", "%s must be true or false, but this is %s", in, bare(p.Type()))
		return nil
	}
	return p
}

// exprError reports a mistake in an expression, at its place within n if that is to be seen.
func (c *compiler) exprError(n *node, in string, err error) { c.exprErrorHint(n, in, err, "") }

func (c *compiler) exprErrorHint(n *node, in string, err error, hint string) {
	var e *expr.Error
	if !errors.As(err, &e) {
		c.fail(n, hint, "%s: %v", in, err)
		return
	}
	if hint == "" {
		hint = e.Hint
	}
	at := n.span
	if n.body > 0 && e.Offset >= 0 && e.Offset <= len(n.text) {
		end := min(max(e.Offset+e.Len, e.Offset), len(n.text))
		at.column = n.body + utf8.RuneCountInString(n.text[:e.Offset])
		at.width = max(utf8.RuneCountInString(n.text[e.Offset:end]), 1)
	}
	n.bad = true
	c.failAt(at, hint, "%s", where(in, e.Msg))
}

// compileKeys binds the entity's key columns to slots.
func (v *viewScope) compileKeys() {
	if !v.typed || v.entity == nil {
		return
	}
	at := v.n.get("entity")
	for _, k := range v.entity.entity.Keys {
		if v.broken[k.Name] {
			continue
		}
		slot, t, ok := v.lookup(k.Name)
		switch {
		case !ok:
			hint := diag.Suggest(k.Name, "fields", v.known())
			if near := diag.Nearest(k.Name, v.known()); near != "" {
				hint = fmt.Sprintf("did you mean %s? Or compute it: columns: {%s: …}", near, k.Name)
			}
			v.c.failAt(at.span, hint, "%s: the events have no field %q, a key of entity %q", v.in, k.Name, v.entity.entity.Name)
		case t.Kind != k.Type.Kind:
			v.c.failAt(at.span, fmt.Sprintf("declare it as %s, or compute a column of another name", keyTypeOf(t)),
				"%s: key %q of entity %q is %s, but the events' is %s", v.in, k.Name, v.entity.entity.Name, k.Type, bare(t))
		}
		v.view.Keys = append(v.view.Keys, slot)
	}
}

// bare is t without the mark of what may be null, for messages.
func bare(t event.Type) event.Type {
	t.Nullable = false
	return t
}

func keyTypeOf(t event.Type) string {
	for _, name := range keyTypes {
		if columnKinds[name] == t.Kind {
			return name
		}
	}
	return "one of " + strings.Join(keyTypes, ", ")
}

// input finds or adds an input of the view's rows.
func (v *viewScope) input(n *node, in string) (int, event.Type, bool) {
	text := strings.TrimSpace(n.text)
	if v.broken[text] {
		return 0, event.Type{}, false
	}
	if i, ok := v.derived[text]; ok {
		return derivedBase + i, v.view.Derived[i].Program.Type(), true
	}
	if slot, t, ok := v.lookup(text); ok {
		return v.slotInput(text, slot, t), t, true
	}
	p := v.expression(n, in)
	if p == nil {
		return 0, event.Type{}, false
	}
	return v.addInput(p.String(), Input{Slot: -1, Program: p, Type: p.Type(), Text: text}), p.Type(), true
}

// slotInput finds or adds the input that keeps a slot.
func (v *viewScope) slotInput(text string, slot int, t event.Type) int {
	return v.addInput(fmt.Sprint(slot), Input{Slot: slot, Type: t, Text: text})
}

// addInput adds an input, unless there is one of the same id.
func (v *viewScope) addInput(id string, input Input) int {
	i, ok := v.inputs[id]
	if !ok {
		i = len(v.view.Inputs)
		v.inputs[id] = i
		v.view.Inputs = append(v.view.Inputs, input)
	}
	return i
}

// filter finds or adds a condition: of the events, or (late) of columns that read other views.
func (v *viewScope) filter(p *expr.Program, late bool) int {
	list, id, base := &v.view.Filters, p.String(), 0
	if late {
		list, id, base = &v.view.Late, "late "+id, derivedBase
	}
	i, ok := v.filters[id]
	if !ok {
		i = base + len(*list)
		v.filters[id] = i
		*list = append(*list, p)
	}
	return i
}

// group finds or adds a group of the layout that is like g, and lets it keep g's parts. The groups of last-N
// windows are apart from those that tiles keep.
func (v *viewScope) group(g agg.Group, last bool) int {
	k := groupKey{g.Input, g.Second, g.Filter, g.By, g.ByLimit, g.Keeps, last}
	i, ok := v.groups[k]
	if !ok {
		i = len(v.view.Layout.Groups)
		v.groups[k] = i
		v.view.Layout.Groups = append(v.view.Layout.Groups, g)
	}
	v.view.Layout.Groups[i].Parts |= g.Parts
	return i
}

// settleHistory sets how far back the view answers, and how long rows are kept.
func (v *viewScope) settleHistory() {
	longest := event.Duration(0)
	for _, d := range v.decls {
		if reach, ok := d.window.Reach(); ok {
			if d.inner != nil {
				reach += innerSpan(d.inner.window) // an inner window that ends where the outer begins
			}
			longest = max(longest, reach)
		}
	}
	v.view.History = durationOr(v.n.get("history"), max(longest, 30*event.Day))
	v.view.Keep = v.view.History + longest
	if d := v.view.Dedupe; d != nil {
		v.view.Keep += d.Within
	}
}
