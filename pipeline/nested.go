package pipeline

import (
	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
	"github.com/penstock-ml/penstock/transforms/window"
)

// maxInner bounds how many inner windows one answer of an aggregate of an aggregate reads.
const maxInner = 10_000

// bindRatio binds the two aggregates of a ratio; rows must pass the ratio's condition and each one's own.
func (v *viewScope) bindRatio(a *aggregateDecl, outer *node, last bool) (bound, bool) {
	if a.where != nil {
		if outer = a.where; v.condition(outer, a.in+": where") == nil && v.typed {
			return bound{}, false
		}
	}
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
	return bound{call: call, t: t, above: &above, below: &below}, true
}

// bindInner binds an aggregate of an aggregate: the call is over one group, whose input is the inner answer.
func (v *viewScope) bindInner(a *aggregateDecl) (bound, bool) {
	inner, ok := v.bind(a.inner, nil, false)
	if !ok {
		return bound{}, false
	}
	needs, call, t, ok := v.bindFunc(a, inner.t, event.Type{})
	if !ok {
		return bound{}, false
	}
	return bound{call: call, t: t, needs: needs, inner: &inner}, true
}

// bindOuter fills the Inner of a feature that is an aggregate of an aggregate.
func (v *viewScope) bindOuter(d *featureDecl, b *bound) bool {
	w := d.inner.window
	if !d.unsure {
		length, ok := windowLength(d.window)
		at := d.n.get("window")
		if at == nil {
			at = d.at
		}
		step := innerStep(w)
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
		}
	}
	d.feature.Inner = &Inner{
		Call: b.inner.call, Window: w, Empty: d.empty,
		Layout: agg.Layout{Groups: []agg.Group{{Input: 0, Type: b.inner.t, Filter: -1, Parts: b.needs.Parts, Keeps: b.needs.Keeps}}},
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
