package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/expr"
	"github.com/penstock-ml/penstock/transforms/window"
)

// bound is an aggregate that is bound to groups.
type bound struct {
	call         agg.Call
	t            event.Type // of the answer
	needs        agg.Needs
	above, below *bound // of a ratio
	inner        *bound
}

// bind checks an aggregate against the types of its columns and finds its groups in the layout; false if
// something is wrong, and reported, or types are not known. outer is a condition that rows must pass beside the
// aggregate's own; last tells that it is over the latest rows.
func (v *viewScope) bind(a *aggregateDecl, outer *node, last bool) (bound, bool) {
	switch {
	case a.fn == agg.Ratio:
		return v.bindRatio(a, outer, last)
	case a.inner != nil:
		return v.bindInner(a)
	}
	g := agg.Group{Input: -1, Filter: -1}
	var ok bool
	if g.Filter, ok = v.filterOf(a.where, outer, a.in); !ok && v.typed {
		return bound{}, false
	}
	if !a.star && !v.bindColumns(a, &g) {
		return bound{}, false
	}
	if !v.bindBy(a, &g) {
		return bound{}, false
	}
	needs, call, t, ok := v.bindFunc(a, g.Type, g.SecondType)
	if !ok || !v.typed && !a.star {
		return bound{}, false
	}
	g.Parts, g.Keeps = needs.Parts, needs.Keeps
	call.Group = v.group(g, last)
	if a.by != nil && a.by.value && !t.Ordered() {
		v.c.fail(a.fnAt, "delete order: value", "%s: answers that are %s have no order", a.in, bare(t))
		return bound{}, false
	}
	b := bound{call: call, t: t, needs: needs}
	a.by.apply(&b)
	return b, true
}

// apply makes the answer a map; nil is no by.
func (by *byDecl) apply(b *bound) {
	if by == nil {
		return
	}
	elem := b.t
	b.call.By = &agg.By{Top: by.top, Rest: by.rest, Value: by.value}
	b.t = event.Type{Kind: event.Map, Nullable: true, Elem: &elem}
}

// bindColumns binds the columns of an aggregate to inputs. If types are not known it checks the syntax.
func (v *viewScope) bindColumns(a *aggregateDecl, g *agg.Group) bool {
	in := a.in + ": " + a.fn.String()
	if !v.typed {
		for _, n := range a.args {
			v.expression(n, in)
		}
		return true
	}
	for i, n := range a.args {
		if n.bad {
			return false
		}
		input, t, ok := v.input(n, in)
		switch {
		case !ok:
			return false
		case i == 0:
			g.Input, g.Type = input, t
			if a.fn == agg.Count && t.Kind == event.Bool && !v.named(n.text) {
				v.c.warn(n, `for those that are true write count: "*", where: `+oneLine(n.text), "%s counts what is false too", in)
			}
		default:
			g.Second, g.SecondType = input+1, t
		}
	}
	return true
}

// bindBy binds the column whose values are kept apart.
func (v *viewScope) bindBy(a *aggregateDecl, g *agg.Group) bool {
	by := cmp.Or(a.by, a.under)
	switch {
	case by == nil:
		return true
	case !v.typed:
		v.expression(by.column, a.in+": by")
		return true
	case by.column.bad:
		return false
	}
	input, t, ok := v.input(by.column, a.in+": by")
	if !ok {
		return false
	}
	if !t.Ordered() {
		v.c.fail(by.column, "keys are texts, numbers, booleans or instants", "%s: by %s is not known", a.in, bare(t))
		return false
	}
	g.By, g.ByType, g.ByLimit = input+1, t, by.limit
	return true
}

// bindFunc binds the function of an aggregate with its parameters to columns of these types.
func (v *viewScope) bindFunc(a *aggregateDecl, in, second event.Type) (agg.Needs, agg.Call, event.Type, bool) {
	if a.badParam() {
		return agg.Needs{}, agg.Call{}, event.Type{}, false
	}
	p := a.params()
	if !v.typed && !a.star && a.fn != agg.Ratio {
		in, second = guessTypes(a.fn, p)
	}
	needs, call, t, err := agg.Bind(a.fn, in, second, p)
	if err == nil {
		err = a.checkWindow(p)
	}
	if err == nil {
		return needs, call, t, true
	}
	message, hint, _ := strings.Cut(err.Error(), "; ")
	at := a.paramAt(message)
	if name, ok := strings.CutPrefix(message, a.fn.String()+" does not take "); ok && a.n.has(name) {
		at, hint = a.n.keyNode(name), paramHint(name)
	}
	switch {
	case at == nil && !v.typed && !a.star:
		return needs, call, t, false // a guessed type, perhaps
	case at == nil && a.of:
		at = a.fnAt
	case at == nil && len(a.args) > 1 && in.Numeric():
		at = a.args[1]
	case at == nil && len(a.args) > 0:
		at = a.args[0]
	case at == nil:
		at = a.fnAt
	}
	if !at.bad {
		v.c.failAt(at.span, hint, "%s: %s", a.in, message)
	}
	if a.of {
		at.bad = true
	}
	return needs, call, t, false
}

// guessTypes are types over which f works, to check parameters without a schema.
func guessTypes(f agg.Func, p agg.Params) (in, second event.Type) {
	in = event.Type{Kind: event.Double, Nullable: true}
	if p.Dim > 0 {
		elem := in
		in = event.Type{Kind: event.List, Elem: &elem}
	}
	if least, _, _ := f.Columns(); least == 2 {
		second = in
	}
	return in, second
}

// params reads the parameters beside an aggregate. In an `each` it takes those that its function takes.
func (a *aggregateDecl) params() agg.Params {
	takes := a.fn.Params()
	get := func(name string) *node {
		if a.of && !slices.Contains(takes, name) || name == "limit" && a.by != nil && a.by.flat {
			return nil
		}
		return a.n.get(name)
	}
	whole := func(name string) *int {
		if n := get(name); n != nil {
			if i, err := strconv.Atoi(n.text); err == nil {
				return &i
			}
		}
		return nil
	}
	p := agg.Params{
		K: whole("k"), N: whole("n"), Limit: whole("limit"),
		Quantiles: numbers(get("q")), Buckets: numbers(get("buckets")),
		Per: durationOr(get("per"), 0), HalfLife: durationOr(get("half_life"), 0),
	}
	if n := get("distinct"); n != nil {
		p.Distinct = n.text == "true"
	}
	if x := numbers(get("accuracy")); len(x) > 0 {
		p.Accuracy = x[0]
	}
	if dim := whole("dim"); dim != nil {
		p.Dim = *dim
	}
	return p
}

// badParam tells whether something is wrong with a parameter, and reported.
func (a *aggregateDecl) badParam() bool {
	return slices.ContainsFunc(a.n.fields, func(f field) bool {
		bad := f.key.bad || f.value.bad || slices.ContainsFunc(f.value.items, func(n *node) bool { return n.bad })
		return bad && slices.Contains(a.fn.Params(), f.key.text)
	})
}

// numbers reads a number or a list of them; nil without one.
func numbers(n *node) []float64 {
	switch {
	case n == nil || n.bad:
		return nil
	case n.kind == scalarNode:
		if f, ok := parseNumber(n.text); ok {
			return []float64{f}
		}
		return nil
	}
	var list []float64
	for _, item := range n.items {
		list = append(list, numbers(item)...)
	}
	return list
}

// paramAt finds the parameter that a message is about: its value if one was given, the function if it needs
// one; nil if the message is about something else.
func (a *aggregateDecl) paramAt(message string) *node {
	for _, p := range paramKeys() {
		if !paramWords()[p.name].MatchString(message) {
			continue
		}
		if n := a.n.get(p.name); n != nil {
			return n
		}
		if slices.Contains(a.fn.Params(), p.name) && strings.Contains(message, " needs "+p.name) {
			return a.fnAt
		}
	}
	return nil
}

// checkWindow refuses windows that a function cannot be over.
func (a *aggregateDecl) checkWindow(p agg.Params) error {
	if a.unsure {
		return nil
	}
	switch a.fn {
	case agg.Rate:
		if _, ok := windowLength(a.window); !ok {
			return fmt.Errorf("rate over %s is not defined: the window has no length; give it a window like 1h or {calendar: day}", windowName(a.window))
		}
	case agg.CollectList, agg.CollectSet:
		if a.window.Kind == window.Lifetime && p.Limit == nil {
			return fmt.Errorf("%s over the lifetime needs limit; write limit: 100 beside it, or a window", a.fn)
		}
	}
	return nil
}

// windowName names a window in messages.
func windowName(w window.Spec) string {
	switch w.Kind {
	case window.Lifetime:
		return "the lifetime"
	case window.LastN:
		return "the " + w.String() + " rows"
	}
	return "a " + w.String()
}

// windowLength is how long a window is at most; ok is false if rows decide.
func windowLength(w window.Spec) (event.Duration, bool) {
	switch w.Kind {
	case window.Rolling, window.Tumbling, window.Hopping:
		return w.Size, true
	case window.Offset:
		return w.From - w.To, true
	case window.Calendar:
		d, _ := window.Spec{Kind: window.Calendar, Unit: w.Unit, Zone: w.Zone, Current: true}.Reach()
		return d, true
	}
	return 0, false
}

// filterOf compiles the condition of an aggregate, and outer if it must hold too: -1 for none. It is false if
// one is wrong, or types are not known.
func (v *viewScope) filterOf(where, outer *node, in string) (int, bool) {
	if where == nil {
		where, outer = outer, nil
	}
	if where == nil {
		return -1, true
	}
	p, late := v.rowCondition(where, in)
	if p == nil || outer != nil && outer.bad {
		return -1, false
	}
	if outer != nil {
		both := *outer
		both.text, both.body = "("+outer.text+"\n) and ("+where.text+"\n)", 0
		if p, late = v.rowCondition(&both, in); p == nil {
			return -1, false
		}
	}
	return v.filter(p, late), true
}

// eventFilter is filterOf where other views cannot be read.
func (v *viewScope) eventFilter(where, outer *node, in string) (int, bool) {
	for _, n := range []*node{where, outer} {
		if n != nil && v.typed && v.readsOthers(n) {
			v.c.fail(n, "choose by what the events hold", "%s: where reads another view", in)
			return -1, false
		}
	}
	return v.filterOf(where, outer, in)
}

// rowCondition compiles the condition of a feature; late if it is over columns that read other views.
func (v *viewScope) rowCondition(n *node, in string) (p *expr.Program, late bool) {
	in += ": where"
	if !v.typed || !v.readsOthers(n) {
		return v.condition(n, in), false
	}
	return v.lateCondition(n, in), true
}
