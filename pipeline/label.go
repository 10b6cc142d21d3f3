package pipeline

import (
	"fmt"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/window"
)

// Label is an aggregate over the events from an instant T on: those of [T+From, T+To). It is read as of T+To,
// over a window that ends there, and by exports only.
type Label struct {
	Name     string
	Feature  *Feature // of View.Ahead: a rolling window of To-From
	From, To event.Duration
	Ripe     event.Duration // how far behind T the watermark must be: To, and the time to settle
	Neutral  *Band          // nil: none
	Buckets  []float64      // edges; nil: the value itself
	Type     event.Type     // of the column
	Doc      string         // one line that says what it is
}

// Band is the values of [From, To).
type Band struct{ From, To float64 }

// Key lists the key columns of the label's entity.
func (l *Label) Key() []Column { return l.Feature.View.Entity.Keys }

// Label finds a label by name, or nil.
func (p *Plan) Label(name string) *Label {
	for _, l := range p.Labels {
		if l.Name == name {
			return l
		}
	}
	return nil
}

// windowDoc says which events count.
func (l *Label) windowDoc() string {
	if l.From > 0 {
		return fmt.Sprintf("from %s to %s after", l.From, l.To)
	}
	return fmt.Sprintf("over the %s after", l.To)
}

// aheadHint says how the future is reached.
const aheadHint = "a feature's window looks back; what comes after the instant is a label's: " +
	`labels: {chargebacks: {view: user_spend, label: {count: "*", window: {after: 30d}}}}`

// labelHint says where a label belongs that stands among features.
func labelHint(name string) string {
	return name + " is a label, which lies ahead: name it under labels: of an export, beside the feature set"
}

// labelScope is a label while it is being compiled.
type labelScope struct {
	key   *node
	n     *node
	in    string
	label *Label
	view  *viewScope // nil if not known
	decl  *featureDecl
}

// declareLabels resolves what labels refer to, and has their views compute them.
func (c *compiler) declareLabels(n *node) {
	for _, f := range n.mapping() {
		l := &labelScope{key: f.key, n: f.value, in: fmt.Sprintf("label %q", f.key.text), label: &Label{Name: f.key.text}}
		c.labels = append(c.labels, l)
		if f.value.kind != mappingNode {
			continue
		}
		l.view = c.rowsOf(l.key, l.n, l.in)
		if l.view == nil {
			continue
		}
		if w, ok := c.readAhead(l); ok {
			l.declare(w)
		}
	}
}

// rowsOf finds the view whose rows a label or a spine reads: that of `view`, or the hidden one of `source`
// and `entity`. nil if there is none; then it is reported.
func (c *compiler) rowsOf(key, n *node, in string) *viewScope {
	entity := n.get("entity")
	if at := n.get("view"); at != nil {
		v := c.view(at.text)
		if v == nil || v.view.Hidden {
			var names []string
			for _, v := range c.views {
				if !v.view.Hidden {
					names = append(names, v.view.Name)
				}
			}
			c.fail(at, diag.Suggest(at.text, "views", names), "%s: there is no view %q", in, at.shown())
			return nil
		}
		if entity != nil && v.entity != nil && v.entity.entity.Name != entity.text {
			c.fail(entity, "leave it out: it is the view's", "%s: view %q is about entity %q", in, at.text, v.entity.entity.Name)
		}
		return v
	}
	source := n.get("source")
	if source == nil {
		return nil
	}
	if entity == nil {
		if !n.has("entity") {
			c.failAt(n.span, "say whose events, like entity: user", "%s: source needs an entity", in)
		}
		return nil
	}
	return c.hiddenView(key, source, entity, in)
}

// hiddenView finds or makes the view that keeps the rows of a source by an entity.
func (c *compiler) hiddenView(key, source, entity *node, in string) *viewScope {
	name := "_" + source.text + "." + entity.text
	if v := c.view(name); v != nil {
		if v.source == nil || v.entity == nil {
			return nil // reported
		}
		return v
	}
	named := *key
	named.text = name
	n := &node{span: source.span, kind: mappingNode, fields: []field{
		{&node{span: source.span, kind: scalarNode, text: "source"}, source},
		{&node{span: entity.span, kind: scalarNode, text: "entity"}, entity},
	}}
	v := newViewScope(c, &named, n)
	v.in, v.view.Hidden = in, true
	c.views = append(c.views, v)
	c.plan.Views = append(c.plan.Views, v.view)
	v.declare()
	if v.source == nil || v.entity == nil {
		return nil
	}
	return v
}

// readAhead reads the window of a label.
func (c *compiler) readAhead(l *labelScope) (window.Spec, bool) {
	n := l.n.get("label")
	w := n.get("window")
	after, delay := durationOr(w.get("after"), 0), durationOr(w.get("delay"), 0)
	if n == nil || n.kind != mappingNode || w == nil || w.kind != mappingNode || after <= 0 || w.has("delay") && w.get("delay") == nil {
		return window.Spec{}, false
	}
	x := l.label
	x.From, x.To = delay, delay+after
	x.Ripe = x.To + durationOr(l.n.get("settle"), 0)
	return window.Spec{Kind: window.Rolling, Size: after}, true
}

// declare adds the aggregate to those of the view.
func (l *labelScope) declare(w window.Spec) {
	l.decl = l.view.declareLabel(l, w)
	for _, b := range l.view.more {
		l.view.c.once(func() { b.declareLabel(l, w) })
	}
}

func (v *viewScope) declareLabel(l *labelScope, w window.Spec) *featureDecl {
	n := l.n.get("label")
	d := &featureDecl{
		aggregateDecl: aggregateDecl{in: l.in, n: n, where: n.get("where"), window: w},
		name:          l.label.Name, at: l.key, label: l,
	}
	if n.has("default") {
		d.def = n.get("default")
		d.noDef = d.def == nil
	}
	if !v.declareAggregate(&d.aggregateDecl, l.key.span, false) {
		return nil
	}
	v.decls = append(v.decls, d)
	v.noteFields()
	return d
}

// compileLabels finishes the labels, once their views are compiled.
func (c *compiler) compileLabels() {
	for _, l := range c.labels {
		c.plan.Labels = append(c.plan.Labels, l.label)
		if l.decl == nil || l.decl.feature == nil || l.decl.feature.Type.Kind == event.Null {
			continue
		}
		f := l.decl.feature
		l.label.Feature, l.label.Type, l.label.Doc = f, f.Type, f.Doc
		c.compileNeutral(l)
		c.compileBuckets(l)
	}
}

// number tells whether a label's value is a number, and reports where not.
func (l *labelScope) number(c *compiler, at *node, name string) bool {
	k := l.label.Feature.Type.Kind
	if k == event.Long || k == event.Double || k == event.Decimal {
		return true
	}
	c.failAt(at.span, "only numbers lie in bands and buckets", "%s: %s: the label is %s", l.in, name, bare(l.label.Feature.Type))
	return false
}

func (c *compiler) compileNeutral(l *labelScope) {
	n := l.n.get("neutral")
	from, to := numbers(n.get("from")), numbers(n.get("to"))
	if len(from) != 1 || len(to) != 1 || !l.number(c, l.n.keyNode("neutral"), "neutral") {
		return
	}
	if from[0] >= to[0] {
		c.fail(n.get("to"), "from is the least value of the band, to the least above it", "%s: neutral: from %s to %s holds nothing", l.in, n.get("from").shown(), n.get("to").shown())
		return
	}
	l.label.Neutral = &Band{from[0], to[0]}
}

func (c *compiler) compileBuckets(l *labelScope) {
	n := l.n.get("buckets")
	if n == nil || len(n.items) == 0 || len(numbers(n)) != len(n.items) || !l.number(c, l.n.keyNode("buckets"), "buckets") {
		return
	}
	edges := numbers(n)
	for i := 1; i < len(edges); i++ {
		if edges[i] <= edges[i-1] {
			c.fail(n.items[i], "", "%s: buckets: %s is not above %s", l.in, n.items[i].shown(), n.items[i-1].shown())
			return
		}
	}
	x := l.label
	x.Buckets = edges
	x.Type = event.Type{Kind: event.Long, Nullable: x.Feature.Type.Nullable}
	x.Doc += "; in buckets from " + joinNumbers(edges)
}

// findLabel resolves the name of a label; nil if there is none, which is reported.
func (c *compiler) findLabel(n *node, in string) *labelScope {
	var names []string
	for _, l := range c.labels {
		if l.label.Name == n.text {
			return l
		}
		names = append(names, l.label.Name)
	}
	c.fail(n, diag.Suggest(n.text, "labels", names), "%s: there is no label %q", in, n.shown())
	return nil
}
