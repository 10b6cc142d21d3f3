package pipeline

import (
	"cmp"
	"fmt"
	"math/big"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// maxInner bounds how many inner windows one answer of an aggregate of an aggregate reads.
const maxInner = 10_000

// maxInnerKeys bounds the inner windows times the keys of a map, which are all answered for one read.
const maxInnerKeys = 1_000_000

// bindRatio binds the two aggregates of a ratio; rows must pass the ratio's condition and each one's own.
func (v *viewScope) bindRatio(a *aggregateDecl, outer *node, last bool) (bound, bool) {
	if a.where != nil {
		outer = a.where
		if p, _ := v.rowCondition(outer, a.in); p == nil && v.typed {
			return bound{}, false
		}
	}
	a.above.under, a.below.under = cmp.Or(a.by, a.under), cmp.Or(a.by, a.under)
	above, ok := v.bind(a.above, outer, last)
	below, okBelow := v.bind(a.below, outer, last)
	if !ok || !okBelow {
		return bound{}, false
	}
	_, call, t, ok := v.bindFunc(a, above.t, below.t)
	if !ok {
		return bound{}, false
	}
	call.Above, call.Over, call.Group = &above.call, &below.call, below.call.Group
	b := bound{call: call, t: t, above: &above, below: &below}
	a.by.apply(&b)
	return b, true
}

// bindInner binds an aggregate of an aggregate: the call is over one group, whose input is the inner answer.
func (v *viewScope) bindInner(a *aggregateDecl) (bound, bool) {
	a.inner.under = a.by
	inner, ok := v.bind(a.inner, nil, false)
	if !ok {
		return bound{}, false
	}
	needs, call, t, ok := v.bindFunc(a, inner.t, event.Type{})
	if !ok {
		return bound{}, false
	}
	b := bound{call: call, t: t, needs: needs, inner: &inner}
	a.by.apply(&b)
	return b, true
}

// bindOuter fills the Inner of a feature that is an aggregate of an aggregate.
func (v *viewScope) bindOuter(d *featureDecl, b *bound) bool {
	if !d.unsure && !v.checkOuter(d) {
		return false
	}
	in := &Inner{
		Call: b.inner.call, Window: d.inner.window, Empty: d.empty,
		Layout: agg.Layout{Groups: []agg.Group{{Input: 0, Type: b.inner.t, Filter: -1, Parts: b.needs.Parts, Keeps: b.needs.Keeps}}},
	}
	d.feature.Inner = in
	if def := d.inner.n.get("default"); def != nil {
		value, ok := v.c.defaultOf(def, b.inner.t, "", "%s: %s: ", d.in, d.fn)
		if !ok {
			return false
		}
		in.Default, in.Nothing = value, value
		return true
	}
	if !d.empty {
		return true
	}
	in.Nothing = zeroOf(d.inner.fn, b.inner.t)
	if in.Nothing.IsNull() && b.inner.t.Nullable {
		v.c.warn(d.n.keyNode("empty"), fmt.Sprintf("say what an empty window answers: default: 0 beside %s", d.inner.fn),
			"%s: empty: count changes nothing: %s over no events is null, which is skipped", d.in, d.inner.fn)
	}
	return true
}

// zeroOf is what an aggregate answers over a window without events that counts all the same: 0 for sums. Null
// if nothing is to be said of such a window.
func zeroOf(f agg.Func, t event.Type) event.Value {
	switch f {
	case agg.Sum, agg.Rate, agg.DecayedSum, agg.DecayedCount:
	default:
		return event.Value{}
	}
	switch t.Kind {
	case event.Long:
		return event.LongOf(0)
	case event.Double:
		return event.DoubleOf(0)
	case event.Decimal:
		return event.DecimalOf(new(big.Int), t.Scale)
	}
	return event.Value{} // of vectors
}

// checkOuter reports an outer window that cannot be cut into inner ones, or into too many.
func (v *viewScope) checkOuter(d *featureDecl) bool {
	length, ok := windowLength(d.window)
	at := d.n.get("window")
	if at == nil {
		at = d.at
	}
	step := innerStep(d.inner.window)
	switch {
	case !ok:
		v.c.fail(at, "give it a window that bounds how many inner windows there are, like 30d",
			"%s: an aggregate of an aggregate over %s is not defined", d.in, windowName(d.window))
		return false
	case length < step:
		v.c.fail(at, "the outer window is some of the inner ones long, like window: "+(7*step).String(),
			"%s: window %s is shorter than the %s between inner windows", d.in, d.window, step)
		return false
	case length/step > maxInner:
		v.c.fail(at, "make the inner windows longer, or the outer one shorter",
			"%s: window %s has %d inner windows, and %d is the most", d.in, d.window, length/step, maxInner)
		return false
	case d.by != nil && int64(length/step)*int64(d.by.top) > maxInnerKeys:
		v.c.fail(d.n.keyNode("by"), "lower top, or make the inner windows longer",
			"%s: %d inner windows for each of %d values are too many: %d is the most of both multiplied", d.in, length/step, d.by.top, maxInnerKeys)
		return false
	}
	return true
}

// innerStep is the least time between the ends of two inner windows.
func innerStep(w window.Spec) event.Duration {
	switch w.Kind {
	case window.Hopping:
		return w.Every
	case window.Calendar:
		return [...]event.Duration{0, event.Day, event.Week, 28 * event.Day}[w.Unit]
	}
	return w.Size
}

// innerSpan is how long an inner window is at most.
func innerSpan(w window.Spec) event.Duration {
	length, _ := windowLength(w)
	return length
}
