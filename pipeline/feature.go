package pipeline

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// featureDecl is one feature as written, by itself or as one of an `each`.
type featureDecl struct {
	name    string
	in      string // for messages
	at      *node  // the feature's name, or the aggregate in `each`
	of      bool   // it comes from an `each`
	fn      agg.Func
	arg     *node
	star    bool
	window  window.Spec
	unsure  bool // the window is wrong, and reported: say nothing that depends on it
	where   *node
	ttl     *node
	def     *node // `default:`
	noDef   bool  // `default: null`
	feature *Feature
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
	if !v.n.has("features") && !v.n.has("each") {
		v.c.failAt(v.key.span, "add features: {tx_1h: {count: \"*\", window: 1h}}", "%s has neither features nor each", v.in)
	}
}

func (v *viewScope) declareFeature(f field) *featureDecl {
	n := f.value
	d := &featureDecl{
		name: f.key.text, in: fmt.Sprintf("feature %q", f.key.text), at: f.key,
		where: n.get("where"), ttl: n.get("ttl"), window: window.Spec{Kind: window.Lifetime},
	}
	if n.has("default") {
		d.def = n.get("default")
		d.noDef = d.def == nil
	}
	if !v.declareAggregate(d, n) {
		return nil
	}
	if n.has("window") && d.window.Kind == window.Lifetime {
		if w, ok := v.c.windowOf(n.get("window"), d.in); ok {
			d.window = w
		} else {
			d.unsure = true
		}
	}
	return d
}

// declareAggregate finds the aggregate of a feature and its last-N window: beside another aggregate
// `last` is how many rows.
func (v *viewScope) declareAggregate(d *featureDecl, n *node) bool {
	c := v.c
	var keys []field
	var last field
	unknown := false
	for _, f := range n.fields {
		if f.key.bad {
			unknown = true
			continue
		}
		if f.key.text == "last" {
			last = f
		} else if _, ok := agg.ByName(f.key.text); ok {
			keys = append(keys, f)
		}
	}
	switch {
	case len(keys) > 1:
		c.fail(keys[1].key, "make a feature of each, or use each:", "%s has two aggregates, %s and %s", d.in, keys[0].key.text, keys[1].key.text)
		return false
	case len(keys) == 0 && last.key == nil && unknown:
		return false // the unknown key was meant for it, perhaps
	case len(keys) == 0 && last.key == nil:
		c.failAt(d.at.span, "name one of "+strings.Join(agg.Names(), ", "), "%s has no aggregate", d.in)
		return false
	case len(keys) == 0 && isInteger(last.value.text) && !last.value.bad:
		c.fail(last.value, "write the aggregate beside it, like {avg: amount, last: "+last.value.text+"}",
			"%s has no aggregate for its last %s rows", d.in, last.value.shown())
		return false
	case len(keys) == 1 && last.key != nil:
		if !v.lastWindow(d, n, last) {
			return false
		}
	}
	use := last
	if len(keys) == 1 {
		use = keys[0]
	}
	d.fn, _ = agg.ByName(use.key.text)
	d.arg = use.value
	if d.arg.bad || d.arg.kind != scalarNode {
		return false
	}
	return v.checkStar(d)
}

// lastWindow reads `last: N`.
func (v *viewScope) lastWindow(d *featureDecl, n *node, last field) bool {
	if last.value.bad || last.value.kind != scalarNode {
		return false
	}
	w, ok := v.c.readLast(last.value, d.in)
	if ok && n.has("window") {
		v.c.fail(n.keyNode("window"), "delete one of them", "%s has both window and last", d.in)
		ok = false
	}
	d.window = w
	return ok
}

func (v *viewScope) checkStar(d *featureDecl) bool {
	d.star = strings.TrimSpace(d.arg.text) == "*"
	if d.star && d.fn != agg.Count {
		at := d.arg
		if d.of {
			at = d.at
		}
		v.c.fail(at, "name a column; only count takes \"*\"", "%s: %s of \"*\" is not known", d.in, d.fn)
		return false
	}
	return true
}

func isInteger(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
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
	for _, fn := range do.items {
		f, ok := agg.ByName(fn.text)
		if !ok || fn.bad {
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
			d := &featureDecl{name: name, in: fmt.Sprintf("feature %q", name), at: fn, of: true, fn: f, arg: of, window: w}
			if before := v.names[name]; before != nil {
				c.failAt(at.span, fmt.Sprintf("the first is in line %d", before.line), "%s: feature %q is there twice", v.in, name)
				continue
			}
			v.names[name] = at
			if v.c.checkEachName(d, fn) && v.checkStar(d) {
				v.decls = append(v.decls, d)
			}
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
	v.view.Features = append(v.view.Features, &Feature{
		View: v.view, Name: d.name, Call: agg.Call{Func: d.fn}, Filter: -1, Window: d.window,
		TTL: durationOr(d.ttl, durationOr(v.n.get("ttl"), 0)),
	})
	d.feature = v.view.Features[len(v.view.Features)-1]
	if v.entity != nil && v.entity.hasKey(d.name) {
		v.c.warn(d.at, "an export of the view would have two columns of that name; give the feature another", "%s has the name of a key of entity %q", d.in, v.entity.entity.Name)
	}
	key := groupKey{input: -1, filter: -1, last: d.window.Kind == window.LastN}
	if d.where != nil {
		p := v.condition(d.where, d.in+": where")
		if p == nil && v.typed {
			return
		}
		if p != nil {
			key.filter = v.filter(p)
			d.feature.Filter = key.filter
		}
	}
	var in event.Type
	if !d.star {
		if !v.typed {
			v.expression(d.arg, d.in+": "+d.fn.String())
			return
		}
		if d.arg.bad {
			return
		}
		var ok bool
		if key.input, in, ok = v.input(d.arg, d.in+": "+d.fn.String()); !ok {
			return
		}
	}
	t, err := d.fn.Result(in)
	if err != nil {
		at := d.arg.span
		if d.of {
			if d.at.bad {
				return
			}
			at, d.at.bad = d.at.span, true
		}
		message, hint, _ := strings.Cut(err.Error(), "; ")
		v.c.failAt(at, hint, "%s: %s", d.in, message)
		return
	}
	d.feature.Type = t
	d.feature.Group = v.group(key, in, d.fn.Parts())
	d.feature.Doc = d.doc()
	if d.def != nil {
		value, problem := constant(d.def, t)
		if problem != "" {
			v.c.fail(d.def, "", "%s: default %q %s, and the feature is %s", d.in, d.def.shown(), problem, bare(t))
			return
		}
		d.feature.Default = value
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
		if d.noDef || d.def != nil || f == nil || f.Type.Kind == event.Null {
			continue
		}
		value, problem := constant(n, f.Type)
		if problem != "" {
			v.c.fail(n, "give that feature a default of its own, or default: null for none",
				"%s: default %q %s, and feature %q is %s", v.in, n.shown(), problem, d.name, bare(f.Type))
			return
		}
		f.Default = value
	}
}

// doc is one line that says what the feature is.
func (d *featureDecl) doc() string {
	var b strings.Builder
	b.WriteString(d.fn.String())
	if d.star {
		b.WriteString(" of events")
	} else {
		b.WriteString(" of " + oneLine(d.arg.text))
	}
	b.WriteString(" " + windowDoc(d.window))
	if d.where != nil {
		b.WriteString(", where " + oneLine(d.where.text))
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
