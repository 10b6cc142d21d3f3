package pipeline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
)

// Export is a training table: the rows of a spine with labels, and features as of each row's instant.
type Export struct {
	Name       string
	Set        string   // what is exported: exactly one of Set, View and Features
	View       string   //
	Features   []string // dotted
	Keys       []Column // key columns of what is exported, then further ones of the labels
	Spine      Spine
	Labels     []*Label
	KeepUnripe bool
	Sample     *RowSample // nil: all rows
	Rebalance  *Rebalance
	Split      *Split
	AsServed   bool
	WithStatus bool
	Out        string // relative to the pipeline file's folder unless absolute; empty: none
}

// RowSample is a share of rows, chosen by the hash of columns.
type RowSample struct {
	By   []string // columns of the spine; none: the keys
	Keep int64    // buckets of a million
	Salt string
}

// Rebalance keeps a share of the rows of each class of a label.
type Rebalance struct {
	Label              int      // of Export.Labels
	By                 []string // columns of the spine; none: the keys and the instant
	Negative, Positive int64    // buckets of a million
	Salt               string
}

// Export finds an export by name, or nil.
func (p *Plan) Export(name string) *Export {
	for _, x := range p.Exports {
		if x.Name == name {
			return x
		}
	}
	return nil
}

// The columns that exports add.
const (
	WeightColumn = "weight"
	SplitColumn  = "split"
	RipeSuffix   = "__ripe"
	TimeColumn   = "event_time" // of spines that are not files
)

// exportScope is an export while it is being compiled.
type exportScope struct {
	c       *compiler
	key     *node
	n       *node
	in      string
	export  *Export
	request []Column     // of the set
	views   []*viewScope // whose features are exported
	labels  []*labelScope
	sure    bool // what is exported is known
	spine   *spineScope
}

// declareExports resolves what exports refer to, and has views keep what their spines carry.
func (c *compiler) declareExports(root *node) {
	for _, f := range root.get("exports").mapping() {
		x := &exportScope{c: c, key: f.key, n: f.value, in: fmt.Sprintf("export %q", f.key.text), export: &Export{Name: f.key.text}}
		c.exports = append(c.exports, x)
		if f.value.kind != mappingNode {
			continue
		}
		x.declareSelection(root)
		x.declareLabels()
		x.declareSpine()
	}
}

// declareSelection finds the keys and request columns of what is exported.
func (x *exportScope) declareSelection(root *node) {
	set, view, list := x.n.get("set"), x.n.get("view"), x.n.get("features")
	switch {
	case set != nil && set.kind == scalarNode:
		x.declareSet(set, root.get("feature_sets"))
	case view != nil && view.kind == scalarNode:
		x.export.View = view.text
		v := x.c.view(view.text)
		if v == nil || v.view.Hidden {
			x.c.fail(view, diag.Suggest(view.text, "views", x.c.viewNames()), "%s: there is no view %q", x.in, view.shown())
			return
		}
		x.sure = x.addView(view, v)
	case list != nil:
		x.sure = len(list.items) > 0
		for _, item := range list.items {
			name, _, _ := strings.Cut(item.text, ".")
			v := x.c.view(name)
			if item.bad || item.kind != scalarNode || v == nil {
				x.sure = false
				continue // reported when the feature is looked for
			}
			x.export.Features = append(x.export.Features, item.text)
			x.sure = x.addView(item, v) && x.sure
		}
	}
}

func (c *compiler) viewNames() (names []string) {
	for _, v := range c.views {
		if !v.view.Hidden {
			names = append(names, v.view.Name)
		}
	}
	return names
}

func (x *exportScope) addView(at *node, v *viewScope) bool {
	if v.entity == nil {
		return false
	}
	if !slices.Contains(x.views, v) {
		x.views = append(x.views, v)
	}
	return x.addKeys(at, v.entity.entity.Keys, fmt.Sprintf("view %q", v.view.Name))
}

// addKeys adds key columns that are not there yet.
func (x *exportScope) addKeys(at *node, keys []Column, of string) bool {
	ok := true
	for _, k := range keys {
		i := slices.IndexFunc(x.export.Keys, func(o Column) bool { return o.Name == k.Name })
		switch {
		case i < 0:
			x.export.Keys = append(x.export.Keys, k)
		case x.export.Keys[i].Type != k.Type:
			x.c.fail(at, "give the key one type in all entities, or another name", "%s: key %q is %s in %s, and %s before", x.in, k.Name, k.Type, of, x.export.Keys[i].Type)
			ok = false
		}
	}
	return ok
}

// declareSet reads the keys and request columns of a feature set, which is compiled later.
func (x *exportScope) declareSet(at, sets *node) {
	x.export.Set = at.text
	set := sets.get(at.text)
	if set == nil {
		if sets.has(at.text) {
			return
		}
		var names []string
		for _, f := range sets.mapping() {
			names = append(names, f.key.text)
		}
		x.c.fail(at, diag.Suggest(at.text, "feature sets", names), "%s: there is no feature set %q", x.in, at.shown())
		return
	}
	entities := set.get("entities")
	if entities == nil {
		return
	}
	x.sure = true
	for _, item := range entities.items {
		e := x.c.entity(item.text)
		if item.bad || e == nil {
			x.sure = false
			continue
		}
		x.addKeys(at, e.entity.Keys, fmt.Sprintf("entity %q", item.text))
	}
	for _, f := range set.get("request").mapping() {
		if kind, ok := columnKinds[f.value.text]; ok && !f.value.bad {
			x.request = append(x.request, Column{f.key.text, event.Type{Kind: kind, Nullable: true}})
		} else {
			x.sure = false
		}
	}
}

func (x *exportScope) declareLabels() {
	list := x.n.get("labels")
	if list == nil {
		return
	}
	for _, item := range list.items {
		if item.bad || item.kind != scalarNode {
			continue
		}
		l := x.c.findLabel(item, x.in)
		switch {
		case l == nil:
			x.sure = false
		case slices.Contains(x.labels, l):
			x.c.fail(item, "", "%s: label %q is there twice", x.in, item.text)
		default:
			x.labels = append(x.labels, l)
			x.export.Labels = append(x.export.Labels, l.label)
			if l.view == nil || l.view.entity == nil {
				x.sure = false
				continue
			}
			x.sure = x.addKeys(item, l.view.entity.entity.Keys, fmt.Sprintf("label %q", item.text)) && x.sure
		}
	}
}

// compileExports finishes the exports, once views, sets and labels are compiled.
func (c *compiler) compileExports() {
	for _, x := range c.exports {
		c.plan.Exports = append(c.plan.Exports, x.export)
		if x.n.kind != mappingNode {
			continue
		}
		is := func(key string) bool { n := x.n.get(key); return n != nil && n.text == "true" }
		x.export.AsServed, x.export.WithStatus = is("as_served"), is("with_status")
		x.export.Out = textOr(x.n.get("out"), "")
		x.export.KeepUnripe = strings.EqualFold(textOr(x.n.get("unripe"), "drop"), "keep")
		x.checkSelection()
		x.checkRipe()
		x.compileSpine()
		x.compileSample()
		x.compileRebalance()
		x.compileSplit()
		x.checkNames()
	}
}

// checkSelection looks the features up that are named, and notes the views of a set.
func (x *exportScope) checkSelection() {
	if list := x.n.get("features"); list != nil {
		for _, item := range list.items {
			if !item.bad && item.kind == scalarNode {
				x.c.viewFeature(item, x.in)
			}
		}
	}
	for _, s := range x.c.plan.Sets {
		if s.Name != x.export.Set {
			continue
		}
		for _, f := range s.Features {
			refs := []*Feature{f.Ref}
			for _, d := range f.Deps {
				refs = append(refs, d.Ref)
			}
			for _, ref := range refs {
				if ref == nil {
					continue
				}
				if v := x.c.view(ref.View.Name); v != nil && !slices.Contains(x.views, v) {
					x.views = append(x.views, v)
				}
			}
		}
	}
}

// checkRipe refuses labels that are never ripe while the features can still be asked for.
func (x *exportScope) checkRipe() {
	list := x.n.get("labels")
	if list == nil {
		return
	}
	for _, l := range x.labels {
		for _, v := range x.views {
			if l.label.Ripe == 0 || v.view.History == 0 || v.view.History > l.label.Ripe {
				continue
			}
			at := list
			for _, item := range list.items {
				if item.text == l.label.Name {
					at = item
				}
			}
			x.c.fail(at, fmt.Sprintf("give the view a longer history, like history: %s", 2*l.label.Ripe),
				"%s: label %q is ripe after %s, but view %q answers only %s back: no row can have both",
				x.in, l.label.Name, l.label.Ripe, v.view.Name, v.view.History)
			break
		}
	}
}

func (x *exportScope) compileSample() {
	n := x.n.get("sample")
	if n == nil {
		return
	}
	s := &RowSample{Salt: textOr(n.get("salt"), "sample")}
	keep := n
	if n.kind == mappingNode {
		keep = n.get("keep")
		s.By = x.columnsOf(n.get("by"), "sample: by")
	}
	if keep == nil {
		return
	}
	var ok bool
	if s.Keep, ok = parseShare(keep.text); ok {
		x.export.Sample = s
	}
}

func (x *exportScope) compileRebalance() {
	n := x.n.get("rebalance")
	at := n.get("label")
	if at == nil || at.kind != scalarNode {
		return
	}
	i := slices.IndexFunc(x.export.Labels, func(l *Label) bool { return l.Name == at.text })
	if i < 0 {
		x.c.fail(at, fmt.Sprintf("add it: labels: [%s]", at.shown()), "%s: rebalance: the export has no label %q", x.in, at.shown())
		return
	}
	switch k := x.export.Labels[i].Type.Kind; k {
	case event.Null, event.Bool, event.Long, event.Double, event.Decimal:
	default:
		x.c.fail(at, "", "%s: rebalance: label %q is %s; classes are of numbers or booleans", x.in, at.text, bare(x.export.Labels[i].Type))
		return
	}
	r := &Rebalance{Label: i, Negative: shareBuckets, Positive: shareBuckets, Salt: textOr(n.get("salt"), "rebalance"), By: x.columnsOf(n.get("by"), "rebalance: by")}
	if s := n.get("negative"); s != nil {
		r.Negative, _ = parseShare(s.text)
	}
	if s := n.get("positive"); s != nil {
		r.Positive, _ = parseShare(s.text)
	}
	x.export.Rebalance = r
}

// columnsOf reads which columns of the spine are hashed.
func (x *exportScope) columnsOf(n *node, what string) (names []string) {
	if n == nil {
		return nil
	}
	items := n.items
	if n.kind == scalarNode {
		items = []*node{n}
	}
	for _, item := range items {
		if item.bad || item.kind != scalarNode {
			continue
		}
		if have, known := x.spineColumns(); known && !slices.Contains(have, item.text) {
			x.c.fail(item, diag.Suggest(item.text, "columns of the spine", have), "%s: %s: the spine has no column %q", x.in, what, item.shown())
		}
		names = append(names, item.text)
	}
	return names
}

// checkNames finds two columns of one name, as far as they are known here.
func (x *exportScope) checkNames() {
	from := map[string]string{}
	put := func(name, what string) {
		if other, ok := from[name]; ok {
			x.c.failAt(x.key.span, "give one of them another name", "%s: two columns would be called %q: %s and %s", x.in, name, other, what)
			return
		}
		from[name] = what
	}
	if have, known := x.spineColumns(); known {
		for _, name := range have {
			put(name, "one of the spine")
		}
	}
	for _, l := range x.export.Labels {
		put(l.Name, "the label")
		if x.export.KeepUnripe {
			put(l.Name+RipeSuffix, "whether the label is ripe")
		}
	}
	if x.export.Rebalance != nil {
		put(WeightColumn, "the weight")
	}
	if s := x.export.Split; s != nil && !s.Files {
		put(SplitColumn, "the split")
	}
	for _, name := range x.answerNames() {
		put(name, "the feature")
		if x.export.WithStatus {
			put(name+"__status", "the status of "+name)
		}
	}
}

// answerNames are the columns of the features.
func (x *exportScope) answerNames() (names []string) {
	for _, s := range x.c.plan.Sets {
		if s.Name == x.export.Set {
			for _, f := range s.Features {
				names = append(names, f.Name)
			}
		}
	}
	if v := x.c.view(x.export.View); v != nil {
		for _, f := range v.view.Features {
			names = append(names, f.Name)
		}
	}
	for _, dotted := range x.export.Features {
		_, name, _ := strings.Cut(dotted, ".")
		names = append(names, name)
	}
	return names
}
