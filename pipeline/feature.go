package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// featureDecl is one feature as written, by itself or as one of an `each`.
type featureDecl struct {
	aggregateDecl
	name    string
	at      *node // the feature's name, or the aggregate in `each`
	ttl     *node
	def     *node // `default:`
	noDef   bool  // `default: null`
	feature *Feature
	label   *labelScope // it is a label's, not a feature of the view
}

// declareFeatures reads `features` and `each`.
func (v *viewScope) declareFeatures() {
	for _, f := range v.n.get("features").mapping() {
		if f.value.kind != mappingNode || f.value.bad {
			v.names[f.key.text] = f.key
			continue
		}
		if d := v.declareFeature(f); d != nil {
			v.decls = append(v.decls, d)
		}
		v.names[f.key.text] = f.key
	}
	if each := v.n.get("each"); each != nil {
		for _, item := range each.items {
			if item.kind == mappingNode && !item.bad {
				v.declareEach(item)
			}
		}
	}
	if !v.view.Hidden && !v.n.has("features") && !v.n.has("each") {
		v.c.failAt(v.key.span, "add features: {tx_1h: {count: \"*\", window: 1h}}", "%s has neither features nor each", v.in)
	}
}

func (v *viewScope) declareFeature(f field) *featureDecl {
	n := f.value
	d := &featureDecl{
		aggregateDecl: aggregateDecl{in: fmt.Sprintf("feature %q", f.key.text), n: n, where: n.get("where"), window: window.Spec{Kind: window.Lifetime}},
		name:          f.key.text, at: f.key, ttl: n.get("ttl"),
	}
	if n.has("default") {
		d.def = n.get("default")
		d.noDef = d.def == nil
	}
	if n.has("window") {
		if w, ok := v.c.windowOf(n.get("window"), d.in); ok {
			d.window = w
		} else {
			d.unsure = true
		}
	}
	if !v.declareAggregate(&d.aggregateDecl, d.at.span, true) {
		return nil
	}
	return d
}

// declareEach reads one entry of `each`.
func (v *viewScope) declareEach(n *node) {
	c := v.c
	of, do, over := n.get("of"), n.get("do"), n.get("over")
	if of == nil || do == nil || over == nil || of.kind != scalarNode {
		return
	}
	text := strings.TrimSpace(of.text)
	if text != "*" && !isName(text) {
		hint := "give it a name under columns, and use that"
		c.fail(of, hint, "%s: each: of %q is not a column's name, which the features' names begin with", v.in, of.shown())
		return
	}
	v.dropRepeated(do, "do")
	v.dropRepeated(over, "over")
	windows := v.windowsOf(over)
	v.checkEachParams(n, do)
	for _, fn := range do.items {
		f, ok := agg.ByName(fn.text)
		if !ok || fn.bad || !v.checkEachFunc(f, fn) {
			continue
		}
		for i, at := range over.items {
			w, ok := windows[i]
			if !ok || fn.bad {
				continue
			}
			name := f.String()
			if text != "*" {
				name = text + "_" + name
			}
			name += windowSuffix(at, w)
			d := &featureDecl{
				aggregateDecl: aggregateDecl{in: fmt.Sprintf("feature %q", name), n: n, fnAt: fn, of: true, fn: f, args: []*node{of}, window: w},
				name:          name, at: fn,
			}
			if before := v.names[name]; before != nil {
				c.failAt(at.span, fmt.Sprintf("the first is in line %d", before.line), "%s: feature %q is there twice", v.in, name)
				continue
			}
			v.names[name] = at
			if v.c.checkEachName(d, fn) && v.checkStar(&d.aggregateDecl) {
				v.decls = append(v.decls, d)
			}
		}
	}
}

// checkEachFunc reports an aggregate that an `each` cannot give its arguments.
func (v *viewScope) checkEachFunc(f agg.Func, at *node) bool {
	if least, most, _ := f.Columns(); least < 2 && most > 0 {
		return true
	}
	v.c.fail(at, "make a feature of it", "%s: each: %s is not of one column", v.in, f)
	return false
}

// checkEachParams reports parameters that no aggregate of an `each` takes.
func (v *viewScope) checkEachParams(n, do *node) {
	for _, p := range paramKeys() {
		at := n.keyNode(p.name)
		if at == nil || at.bad {
			continue
		}
		taken := slices.ContainsFunc(do.items, func(fn *node) bool {
			f, ok := agg.ByName(fn.text)
			return !ok || slices.Contains(f.Params(), p.name)
		})
		if !taken {
			v.c.fail(at, paramHint(p.name), "%s: each: none of do takes %s", v.in, p.name)
		}
	}
}

// windowsOf reads the windows of an `each`, by their place in the list; wrong and repeated ones are missing.
func (v *viewScope) windowsOf(over *node) map[int]window.Spec {
	windows, seen := map[int]window.Spec{}, map[window.Spec]bool{}
	for i, n := range over.items {
		w, ok := v.c.windowOf(n, v.in+": each: over")
		if !ok {
			continue
		}
		if n.kind == mappingNode && seen[w] { // scalars are told apart by their text
			v.c.fail(n, "", "%s: each: over names %s twice", v.in, w)
			continue
		}
		windows[i], seen[w] = w, true
	}
	return windows
}

// dropRepeated reports what a list of an `each` names twice.
func (v *viewScope) dropRepeated(list *node, name string) {
	seen := map[string]bool{}
	for _, item := range list.items {
		if item.kind != scalarNode {
			continue
		}
		if seen[item.text] && !item.bad {
			v.c.fail(item, "", "%s: each: %s names %q twice", v.in, name, item.shown())
		}
		seen[item.text] = true
	}
}

// checkEachName refuses a made name that is reserved.
func (c *compiler) checkEachName(d *featureDecl, at *node) bool {
	if d.name[0] == '_' {
		c.fail(at, "names that begin with _ are reserved; use a column of another name", "%s is a reserved name", d.in)
		return false
	}
	return true
}

// compileFeature binds a feature to the view's inputs, filters and groups.
func (v *viewScope) compileFeature(d *featureDecl) {
	d.feature = &Feature{View: v.view, Name: d.name, Call: agg.Call{Func: d.fn}, Filter: -1, Window: d.window}
	if d.label != nil {
		v.view.Ahead = append(v.view.Ahead, d.feature)
	} else {
		v.view.Features = append(v.view.Features, d.feature)
		d.feature.TTL = durationOr(d.ttl, durationOr(v.n.get("ttl"), 0))
	}
	if v.entity != nil && v.entity.hasKey(d.name) {
		v.c.warn(d.at, "an export of the view would have two columns of that name; give the feature another", "%s has the name of a key of entity %q", d.in, v.entity.entity.Name)
	}
	if d.fn != agg.Ratio || d.window.Kind == window.LastN {
		filter, ok := v.filterOf(d.where, nil, d.in)
		if !ok && v.typed {
			return
		}
		d.feature.Filter = filter
	}
	b, ok := v.bind(&d.aggregateDecl, nil, d.window.Kind == window.LastN)
	if !ok {
		return
	}
	d.feature.Call, d.feature.Type = b.call, b.t
	if d.inner != nil && !v.bindOuter(d, &b) {
		return
	}
	d.feature.Doc = d.doc(&b)
	if d.def != nil {
		d.feature.Default, _ = v.c.defaultOf(d.def, b.t, "", "%s: ", d.in)
	}
}

// compileDefault gives the view's default to the features without one of their own.
func (v *viewScope) compileDefault() {
	n := v.n.get("default")
	if n == nil {
		return
	}
	for _, d := range v.decls {
		f := d.feature
		if d.label != nil || d.noDef || d.def != nil || f == nil || f.Type.Kind == event.Null {
			continue
		}
		value, ok := v.c.defaultOf(n, f.Type, "give that feature a default of its own, or default: null for none", "%s: feature %q: ", v.in, d.name)
		if !ok {
			return
		}
		f.Default = value
	}
}
