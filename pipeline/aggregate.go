package pipeline

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-ml/penstock/internal/diag"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// aggregateDecl is one aggregate as written: a feature's, one of the two of a ratio, or the inner one of
// an aggregate of an aggregate.
type aggregateDecl struct {
	in     string // for messages
	n      *node  // the mapping that it stands in, beside its parameters
	fnAt   *node  // the function's name
	fn     agg.Func
	args   []*node // its columns; none for "*", a ratio, or over an inner aggregate
	star   bool
	window window.Spec
	unsure bool // the window is wrong, and reported: say nothing that depends on it
	where  *node
	of     bool // it comes from an `each`
	by     *byDecl
	above  *aggregateDecl // of a ratio
	below  *aggregateDecl
	inner  *aggregateDecl
	empty  bool    // inner windows without a row count too
	under  *byDecl // of what this one is a part of
}

// byDecl is `by:` as written.
type byDecl struct {
	column     *node
	top, limit int
	rest       string
	value      bool // the top by the answers
	flat       bool // its bounds stand beside it
}

// each calls f with a and the aggregates that it is made of.
func (a *aggregateDecl) each(f func(*aggregateDecl)) {
	if a == nil {
		return
	}
	f(a)
	a.above.each(f)
	a.below.each(f)
	a.inner.each(f)
}

// declareAggregate finds the aggregate of a mapping; false if it is wrong. at is what lacks it. With
// windowed, `last` beside another aggregate is a window.
func (v *viewScope) declareAggregate(a *aggregateDecl, at span, windowed bool) bool {
	c := v.c
	var keys []field
	var last field
	unknown := false
	for _, f := range a.n.fields {
		if f.key.bad {
			unknown = true
			continue
		}
		if f.key.text == "last" && windowed {
			last = f
		} else if _, ok := agg.ByName(f.key.text); ok {
			keys = append(keys, f)
		}
	}
	switch {
	case len(keys) > 1:
		hint := "make a feature of each, or use each:"
		if !windowed {
			hint = "delete one of them"
		}
		c.fail(keys[1].key, hint, "%s has two aggregates, %s and %s", a.in, keys[0].key.text, keys[1].key.text)
		return false
	case len(keys) == 0 && last.key == nil && unknown:
		return false // the unknown key was meant for it, perhaps
	case len(keys) == 0 && last.key == nil:
		c.failAt(at, "name one, like {sum: amount}: "+aggregateList(), "%s has no aggregate", a.in)
		return false
	case len(keys) == 0 && isInteger(last.value.text) && !last.value.bad:
		c.fail(last.value, "write the aggregate beside it, like {avg: amount, last: "+last.value.text+"}",
			"%s has no aggregate for its last %s rows", a.in, last.value.shown())
		return false
	case len(keys) == 1 && last.key != nil:
		if !v.lastWindow(a, last) {
			return false
		}
	}
	use := last
	if len(keys) == 1 {
		use = keys[0]
	}
	return v.declareArguments(a, use)
}

// lastWindow reads `last: N` beside an aggregate.
func (v *viewScope) lastWindow(a *aggregateDecl, last field) bool {
	if last.value.bad || last.value.kind != scalarNode {
		return false
	}
	w, ok := v.c.readLast(last.value, a.in)
	if ok && a.n.has("window") {
		v.c.fail(a.n.keyNode("window"), "delete one of them", "%s has both window and last", a.in)
		ok = false
	}
	a.window = w
	return ok
}

// declareArguments reads what an aggregate is over.
func (v *viewScope) declareArguments(a *aggregateDecl, use field) bool {
	a.fnAt = use.key
	a.fn, _ = agg.ByName(use.key.text)
	if use.value.bad {
		return false
	}
	least, most, _ := a.fn.Columns()
	ok := false
	switch use.value.kind {
	case scalarNode:
		a.args = []*node{use.value}
		ok = most > 0 && least < 2 && v.checkStar(a)
	case sequenceNode:
		a.args = use.value.items
		ok = v.checkColumns(a, use.value)
	case mappingNode:
		if most == 0 {
			ok = v.declareRatio(a, use.value)
		} else {
			ok = v.declareInner(a, use.value)
		}
	}
	nested := use.value.kind == mappingNode && most > 0
	return v.declareBy(a) && v.declareEmpty(a, nested) && v.checkPositive(a) && ok
}

// checkPositive reports a zero where Params have it mean that nothing was given.
func (v *viewScope) checkPositive(a *aggregateDecl) bool {
	for _, name := range []string{"accuracy", "dim"} {
		n := a.n.get(name)
		if x := numbers(n); len(x) == 1 && x[0] <= 0 && slices.Contains(a.fn.Params(), name) {
			v.c.fail(n, "", "%s: %s: %s is %s; it must be above 0", a.in, a.fn, name, n.shown())
			return false
		}
	}
	return true
}

// checkColumns reports a list of columns that is not of two.
func (v *viewScope) checkColumns(a *aggregateDecl, list *node) bool {
	for _, n := range a.args {
		if n.bad || n.kind != scalarNode {
			return false
		}
		if strings.TrimSpace(n.text) == "*" {
			v.c.fail(n, "name two columns", "%s: %s of \"*\" is not known", a.in, a.fn)
			return false
		}
	}
	if len(a.args) != 2 {
		v.c.fail(list, fmt.Sprintf("write %s: [x, y]", a.fn), "%s: %s is of two columns, not %d", a.in, a.fn, len(a.args))
		return false
	}
	return true
}

func (v *viewScope) checkStar(a *aggregateDecl) bool {
	_, _, star := a.fn.Columns()
	a.star = strings.TrimSpace(a.args[0].text) == "*"
	if a.star && !star {
		at := a.args[0]
		if a.of {
			at = a.fnAt
		}
		v.c.fail(at, starHint(), "%s: %s of \"*\" is not known", a.in, a.fn)
		return false
	}
	return true
}

func starHint() string {
	var names []string
	for _, name := range agg.Names() {
		f, _ := agg.ByName(name)
		if _, _, star := f.Columns(); star {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		return "name a column; only " + names[0] + " takes \"*\""
	}
	return "name a column; only " + diag.Enumerate(names) + " take \"*\""
}

// declareRatio reads `ratio: {of: {…}, to: {…}}`.
func (v *viewScope) declareRatio(a *aggregateDecl, n *node) bool {
	term := func(key string) *aggregateDecl {
		t := n.get(key)
		if t == nil || t.kind != mappingNode {
			return nil
		}
		d := &aggregateDecl{in: a.in + ": " + key, n: t, window: a.window, unsure: a.unsure, where: t.get("where")}
		if !v.declareAggregate(d, t.span, false) {
			return nil
		}
		return d
	}
	a.above, a.below = term("of"), term("to")
	return a.above != nil && a.below != nil
}

// declareInner reads the inner aggregate of an aggregate of an aggregate.
func (v *viewScope) declareInner(a *aggregateDecl, n *node) bool {
	d := &aggregateDecl{in: a.in + ": " + a.fn.String(), n: n, where: n.get("where")}
	windowed := v.innerWindow(d)
	if !v.declareAggregate(d, n.span, false) || !windowed {
		return false
	}
	if a.where != nil {
		v.c.fail(a.n.keyNode("where"), "write it inside, beside "+d.fn.String(), "%s: where beside an aggregate of an aggregate is not known", a.in)
		return false
	}
	a.inner = d
	return true
}

// innerWindow reads the window of an inner aggregate.
func (v *viewScope) innerWindow(d *aggregateDecl) bool {
	n := d.n.get("window")
	var ok bool
	if d.window, ok = v.c.windowOf(n, d.in); !ok {
		return false
	}
	switch {
	case !d.window.Aligned():
		v.c.fail(n, "its windows follow one another by the clock: {tumbling: 1d}, {hopping: 1d, every: 1h} or {calendar: day}",
			"%s: window %s cannot be that of an inner aggregate", d.in, d.window)
		return false
	case d.window.Current:
		v.c.fail(n, "delete current: the windows that count are complete", "%s: window %s cannot be that of an inner aggregate", d.in, d.window)
		return false
	}
	return true
}

// declareEmpty reads `empty:`.
func (v *viewScope) declareEmpty(a *aggregateDecl, nested bool) bool {
	at := a.n.keyNode("empty")
	if at != nil && !at.bad && !nested {
		v.c.fail(at, "it belongs to an aggregate of an aggregate, like {avg: {sum: amount, window: {tumbling: 1d}}, window: 30d, empty: count}",
			"%s: empty means nothing beside %s of events", a.in, a.fn)
		return false
	}
	n := a.n.get("empty")
	a.empty = n != nil && strings.EqualFold(n.text, "count")
	return true
}

// The bounds of `by`.
const (
	maxTop        = 10_000
	maxByLimit    = 100_000
	standardLimit = 1_000
)

// declareBy reads `by`, with what bounds it beside it or within it.
func (v *viewScope) declareBy(a *aggregateDecl) bool {
	n := a.n.get("by")
	if !a.n.has("by") {
		for _, key := range []string{"top", "rest", "order"} {
			if at := a.n.keyNode(key); at != nil && !at.bad {
				v.c.fail(at, "it belongs to by, like {count: \"*\", by: country, top: 10, rest: other}", "%s: %s means nothing without by", a.in, key)
				return false
			}
		}
		return true
	}
	if n == nil {
		return false
	}
	holder, column := a.n, n
	if n.kind == mappingNode {
		if holder, column = n, n.get("column"); column == nil {
			return false
		}
		for _, key := range []string{"top", "rest", "order"} {
			if at := a.n.keyNode(key); at != nil && !at.bad {
				v.c.fail(at, "write it within by", "%s: %s stands beside by, whose bounds are within it", a.in, key)
				return false
			}
		}
	} else if limit := a.n.keyNode("limit"); limit != nil && slices.Contains(a.fn.Params(), "limit") {
		v.c.fail(limit, fmt.Sprintf("write by: {column: %s, limit: …} for how many keys; limit beside it is then that of %s", oneLine(n.text), a.fn),
			"%s: limit could be that of by or of %s", a.in, a.fn)
		return false
	}
	if f, ordered := a.ordered(); ordered {
		if at := holder.keyNode("rest"); at != nil && !at.bad {
			v.c.fail(at, "delete it: the other values are left out", "%s: rest beside %s is not known: it is of one series of events", a.in, f)
			return false
		}
	}
	a.by = &byDecl{column: column, rest: textOr(holder.get("rest"), ""), flat: holder == a.n}
	return v.orderBy(a, holder) && v.boundBy(a, holder)
}

// orderBy reads what the top is by.
func (v *viewScope) orderBy(a *aggregateDecl, holder *node) bool {
	n := holder.get("order")
	if n == nil || !strings.EqualFold(n.text, "value") {
		return true
	}
	switch a.by.value = true; {
	case a.above != nil || a.inner != nil:
		v.c.fail(n, "its keys are those with the most events", "%s: order: value beside %s is not known", a.in,
			map[bool]string{true: "an aggregate of an aggregate", false: "ratio"}[a.inner != nil])
		return false
	case !holder.has("top"):
		v.c.fail(n, "add top: 10 for the 10 greatest answers", "%s: order means nothing without top", a.in)
		return false
	}
	return true
}

// ordered finds an aggregate of events that depends on their order.
func (a *aggregateDecl) ordered() (f agg.Func, ok bool) {
	a.each(func(x *aggregateDecl) {
		if x.inner == nil && x.fn.Ordered() {
			f, ok = x.fn, true
		}
	})
	return f, ok
}

// boundBy reads how many keys are kept apart and answered.
func (v *viewScope) boundBy(a *aggregateDecl, holder *node) bool {
	b := a.by
	top, limit := holder.get("top"), holder.get("limit")
	if holder.has("top") && top == nil || holder.has("limit") && limit == nil {
		return false
	}
	if top == nil && limit == nil {
		v.c.fail(a.n.keyNode("by"), "add top: 10 for the 10 values with the most events, or limit: 1000 for how many are kept apart", "%s: by has no bound", a.in)
		return false
	}
	ok := true
	number := func(n *node, name string, most int) int {
		if n == nil {
			return 0
		}
		i, err := strconv.Atoi(n.text)
		if err != nil || i < 1 || i > most {
			v.c.fail(n, "", "%s: %s is %s; it must be 1 to %d", a.in, name, n.shown(), most)
			ok = false
		}
		return i
	}
	b.top, b.limit = number(top, "top", maxTop), number(limit, "limit", maxByLimit)
	if limit == nil {
		b.limit = max(b.top, standardLimit)
	}
	if ok && b.top > b.limit {
		v.c.fail(top, "raise limit", "%s: top %d is more than the %d values that are kept apart", a.in, b.top, b.limit)
		ok = false
	}
	if top == nil {
		b.top = b.limit
	}
	return ok
}

func isInteger(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}
