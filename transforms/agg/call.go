package agg

import (
	"fmt"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// Call is an aggregate as a feature asks for it: the function, the group of the Layout that it reads,
// and the parameters that decide only how the answer is made of what is kept.
type Call struct {
	Func      Func
	Group     int            // of the Layout
	K         int            // first_k, last_k, top_k, bottom_k, frequent: how many; nth, lag: which
	Quantiles []float64      // quantile: one of them
	Per       event.Duration // rate, slope: the unit of time
	By        *By            // answers a map: the group's By; for a ratio that of both its groups
	Over      *Call          // ratio: the denominator; Func is Ratio, and Above the numerator
	Above     *Call
}

// By tells how the answers of a group that is kept apart by a column are made a map: the Top keys with the
// most rows, or with Value those with the greatest answers (ties: the smaller key; null is below all); all
// others are united under Rest, if it has a name. Value is known for answers that have an order, and for Calls
// over one group.
type By struct {
	Top   int
	Rest  string
	Value bool
}

// At is the window that an answer is about.
type At struct {
	AsOf       event.Time
	Start, End event.Time // half-open; Start is MinTime for a window without bound
}

// Answer is what a Call gives.
type Answer struct {
	Value    event.Value // null over nothing, but counts are 0; may alias the Partial
	Newest   event.Time  // event time of the newest row counted; MinTime over nothing
	Overflow bool        // a sum of longs fell outside int64: the value is null
}

// overNothing answers c where nothing counts.
func overNothing(c *Call) Answer {
	a := Answer{Newest: event.MinTime}
	if c.Func.of().zero && c.By == nil {
		a.Value = event.LongOf(0)
	}
	return a
}

// Answer answers c over the window at. The value may alias p: it is valid until p changes or is asked
// again. Asking for what the group does not keep is a mistake of the plan, and panics.
func (p *Partial) Answer(c *Call, at At) Answer {
	if c.Func == Ratio {
		return p.ratio(c, at)
	}
	g := p.group(c.Group)
	d := c.Func.of()
	structured := c.By != nil || g.keep != nil && slices.Contains(d.keeps, g.keeps)
	parts := d.parts
	if c.Func == Rate && g.class != classRows {
		parts = PartSum
	}
	if d.name == "" || c.By != nil != g.by || !structured && (parts&^g.parts != 0 || len(d.keeps) > 0 && parts == 0) {
		panic(fmt.Sprintf("agg: group %d does not keep what %s needs", c.Group, c.Func))
	}
	a := Answer{Newest: g.newest}
	switch {
	case g.count == 0:
		return overNothing(c)
	case structured:
		a.Value = g.keep.answer(c, g, at)
		if k, ok := g.keep.(*keyed); ok {
			a.Overflow = k.overflow
		}
	default:
		a.Value, a.Overflow = p.scalar(c, g, at)
	}
	return a
}
