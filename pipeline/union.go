package pipeline

import (
	"fmt"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/expr"
)

// A view of several sources is compiled once for each: the same text, over the fields of that source and
// the columns that its entry of `sources:` maps. What rows keep must come out the same.

// feed is one source of a view as declared.
type feed struct {
	name    *node
	columns []field // mapped before the view's own
	where   *node
}

// feeds lists what `source:` or `sources:` names.
func (v *viewScope) feeds() (out []feed) {
	if n := v.n.get("source"); n != nil {
		return []feed{{name: n}}
	}
	list := v.n.get("sources")
	if list == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, item := range list.items {
		f := feed{name: item}
		if item.kind == mappingNode {
			f = feed{name: item.get("source"), columns: item.get("columns").mapping(), where: item.get("where")}
		}
		if item.bad || f.name == nil || f.name.bad || f.name.kind != scalarNode {
			continue
		}
		if seen[f.name.text] {
			v.c.fail(f.name, "", "%s: sources names %q twice", v.in, f.name.shown())
			continue
		}
		seen[f.name.text] = true
		out = append(out, f)
	}
	if len(out) == 0 && len(list.items) == 0 {
		v.c.fail(list, "name the sources, like sources: [cards, cash]", "%s: sources is empty", v.in)
	}
	return out
}

// declareSources resolves the sources. The scope itself is that of the first.
func (v *viewScope) declareSources() {
	feeds := v.feeds()
	if len(feeds) == 0 {
		return
	}
	v.bindFeed(feeds[0])
	for _, f := range feeds[1:] {
		b := newViewScope(v.c, v.key, v.n)
		b.in = fmt.Sprintf("%s of source %q", v.in, f.name.shown())
		b.bindFeed(f)
		v.more = append(v.more, b)
	}
}

func (v *viewScope) bindFeed(f feed) {
	var names []string
	for _, s := range v.c.sources {
		names = append(names, s.src.Name)
		if s.src.Name == f.name.text {
			v.source = s
		}
	}
	v.feed = f
	if v.source == nil {
		v.c.fail(f.name, diag.Suggest(f.name.text, "sources", names), "%s: there is no source %q", v.in, f.name.shown())
		return
	}
	v.source.used = true
	v.view.Source = v.source.src
}

// declareMore declares the view for its further sources. What was said of the first is not said again.
func (v *viewScope) declareMore() {
	for _, b := range v.more {
		b.entity, b.view.Entity = v.entity, v.view.Entity
		v.c.once(b.declareBranch)
	}
}

// compileMore compiles the view for its further sources, and adds the branches.
func (v *viewScope) compileMore() {
	for _, b := range v.more {
		v.c.once(b.compile)
		if v.typed && b.typed && v.sameInputs(b) {
			v.view.More = append(v.view.More, &b.view.Branch)
		}
	}
}

// once drops what f reports at places that are reported already.
func (c *compiler) once(f func()) {
	type place struct{ line, column int }
	known := map[place]bool{}
	for _, d := range c.diags {
		known[place{d.Line, d.Column}] = true
	}
	old := len(c.diags)
	f()
	kept := c.diags[:old]
	for _, d := range c.diags[old:] {
		if !known[place{d.Line, d.Column}] {
			kept = append(kept, d)
		}
	}
	c.diags = kept
}

// sameInputs tells whether the rows of another source keep the same, and reports where not.
func (v *viewScope) sameInputs(b *viewScope) bool {
	for i := range min(len(v.view.Inputs), len(b.view.Inputs)) {
		x, y := v.view.Inputs[i], b.view.Inputs[i]
		x.Type.Nullable, y.Type.Nullable = false, false
		if x.Text != y.Text {
			break // a mistake is reported
		}
		if !sameType(x.Type, y.Type) {
			v.c.fail(b.feed.name, "convert it in this entry: columns: {…: …}", "%s: %s is %s in source %q, and %s in source %q",
				v.in, x.Text, x.Type, v.source.src.Name, y.Type, b.source.src.Name)
			return false
		}
	}
	return len(v.view.Inputs) == len(b.view.Inputs) && len(v.view.Filters) == len(b.view.Filters) && len(v.view.Keys) == len(b.view.Keys)
}

func sameType(a, b event.Type) bool {
	if a.Kind != b.Kind || a.Scale != b.Scale || (a.Elem == nil) != (b.Elem == nil) {
		return false
	}
	return a.Elem == nil || sameType(*a.Elem, *b.Elem)
}

// compileWhere unites what decides whether an event counts: the view's where, that of its source's entry,
// and the sample.
func (v *viewScope) compileWhere() {
	var texts []string
	add := func(n *node, format string, args ...any) {
		if n == nil || n.bad || n.kind != scalarNode {
			return
		}
		if v.readsOthers(n) {
			v.c.fail(n, "write it as where of the features", "%s reads another view, but which events count is decided once, when they come", fmt.Sprintf(format, args...))
			return
		}
		if p := v.condition(n, fmt.Sprintf(format, args...)); p != nil {
			v.view.Where = p
			texts = append(texts, "("+n.text+")")
		}
	}
	if v.feed.where != nil {
		add(v.feed.where, "%s: source %q: where", v.in, v.feed.name.shown())
	}
	add(v.n.get("where"), "%s: where", v.in)
	if s := v.sampleText(); s != "" {
		texts = append(texts, s)
	}
	if len(texts) == 0 || len(texts) == 1 && v.view.Where != nil {
		return
	}
	p, err := expr.Compile(strings.Join(texts, " and "), v.lookup, v.known())
	if err != nil {
		v.c.failAt(v.key.span, "", "%s: the conditions together: %v", v.in, err)
		return
	}
	v.view.Where = p
}

// branchText is what the storage text says of a further source.
func (v *viewScope) branchText(line func(format string, args ...any)) {
	v.sourceText(line)
	for i, k := range v.view.Keys {
		line("key %d from %s", i, fieldText(v.view, k))
	}
	v.rowText(line)
}

// sourceText is what the storage text says of where a source's events come from, and when they happened.
func (v *viewScope) sourceText(line func(format string, args ...any)) {
	s := v.view.Source
	line("source %d %q", s.Index, s.Name)
	if s.Kafka != nil {
		line("kafka topic %q", s.Kafka.Topic)
	}
	if s.File != nil {
		line("file path %q format %q arrival_lag %s", s.File.Path, s.File.Format, s.ArrivalLag)
	}
	line("time %s unit %d ahead %s", fieldText(v.view, s.Time.Slot), s.Time.Unit, s.Ahead)
	if s.Order >= 0 {
		line("order %s", fieldText(v.view, s.Order))
	}
}

// rowText is what the storage text says of how a source's events become rows.
func (v *viewScope) rowText(line func(format string, args ...any)) {
	if v.flat != "" {
		line("flatten %q", v.flat)
	}
	for slot, c := range v.view.Source.Columns {
		if v.fields[c.Name] {
			line("field %s", fieldText(v.view, slot))
		}
	}
	for i, p := range v.view.Computed {
		line("column %q %s = %s", v.computed[i], p.Type(), p)
	}
	if v.view.Where != nil {
		line("where %s", v.view.Where)
	}
	for i, in := range v.view.Inputs {
		if in.Program != nil {
			line("input %d %s = %s", i, in.Type, in.Program)
		} else {
			line("input %d %s", i, fieldText(v.view, in.Slot))
		}
	}
}
