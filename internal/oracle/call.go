package oracle

import (
	"math"
	"math/big"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// evaluation answers aggregates over the rows of one window, which are in tie order.
type evaluation struct {
	groups []agg.Group
	rows   []Row
	asOf   event.Time
	span   span
}

// sample is one counted row as an aggregate sees it.
type sample struct {
	value, second event.Value
	time          event.Time
}

// call answers c.
func (e evaluation) call(c *agg.Call) result {
	if c.Func == agg.Ratio && c.By != nil {
		return e.ratioBy(c)
	}
	if c.Func == agg.Ratio {
		return ratio(e.call(c.Above), e.call(c.Over))
	}
	g := &e.groups[c.Group]
	if c.By != nil {
		return e.by(c, g)
	}
	return e.over(c, g, e.samples(g, e.rows))
}

// samples picks the rows that g counts.
func (e evaluation) samples(g *agg.Group, rows []Row) (out []sample) {
	for _, r := range rows {
		if g.Filter >= 0 && !passes(r, g.Filter) {
			continue
		}
		s := sample{value: event.BoolOf(true), time: r.Time} // a row, for "*"
		if g.Input >= 0 {
			s.value = r.Values[g.Input]
		}
		if g.Second > 0 {
			s.second = r.Values[g.Second-1]
		}
		if s.value.IsNull() || g.Second > 0 && s.second.IsNull() {
			continue
		}
		if g.Keeps.Dim > 0 {
			if elems, ok := elements(s.value); !ok || len(elems) != g.Keeps.Dim {
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// over answers c over the samples of one group.
func (e evaluation) over(c *agg.Call, g *agg.Group, in []sample) result {
	var r result
	if g.Keeps.Dim > 0 && c.Func != agg.Count {
		r = e.vector(c, g, in)
	} else {
		r = e.scalar(c, g, in)
	}
	r.n, r.newest = len(in), event.MinTime
	for _, s := range in {
		r.newest = max(r.newest, s.time)
	}
	return r
}

// vector answers c for every place of vectors.
func (e evaluation) vector(c *agg.Call, g *agg.Group, in []sample) result {
	if len(in) == 0 {
		return exact(event.Value{})
	}
	if c.Func == agg.Last {
		return exact(in[len(in)-1].value) // as it is
	}
	elem := *g
	elem.Keeps.Dim = 0
	elem.Type = *g.Type.Elem
	var parts []result
	for i := range g.Keeps.Dim {
		var column []sample
		for _, s := range in {
			elems, _ := elements(s.value)
			if x := elems[i]; !x.IsNull() {
				column = append(column, sample{value: x, time: s.time})
			}
		}
		r := e.scalar(c, &elem, column)
		if c.Func == agg.Sum && elem.Type.Kind == event.Long && len(column) > 0 {
			r = exact(nearest(total(valuesOf(column)))) // not bound to int64
		}
		if r.value.Kind == event.Long {
			r = exact(nearest(number(r.value)))
		}
		parts = append(parts, r)
	}
	return join(event.List, parts)
}

// ratio is a/b.
func ratio(a, b result) result {
	r := result{newest: max(a.newest, b.newest), n: b.n}
	if a.any || b.any {
		r.any = true
	}
	if a.value.IsNull() || b.value.IsNull() {
		return r
	}
	x, y := asDouble(a.value), asDouble(b.value)
	if y == 0 {
		return r
	}
	q := x / y
	r.value = event.DoubleOf(q)
	if (a.near || b.near) && !math.IsNaN(q) && !math.IsInf(q, 0) {
		r.near, r.low, r.high = true, math.Inf(1), math.Inf(-1)
		for _, x := range ends(a) {
			for _, y := range ends(b) {
				slack := math.Abs(x/y) * 1e-15
				r.low, r.high = min(r.low, x/y-slack), max(r.high, x/y+slack)
			}
		}
		if b.near && b.low <= 0 && b.high >= 0 {
			r.any = true
		}
	}
	return r
}

func ends(r result) []float64 {
	if r.near {
		return []float64{r.low, r.high}
	}
	return []float64{asDouble(r.value)}
}

// asDouble is a number as a double, rounded once.
func asDouble(v event.Value) float64 {
	if v.Kind == event.Double {
		return v.Double()
	}
	return nearest(number(v)).Double()
}

func valuesOf(in []sample) []event.Value {
	out := make([]event.Value, len(in))
	for i, s := range in {
		out[i] = s.value
	}
	return out
}

// tally is how often a value is there.
type tally struct {
	value event.Value
	n     int
}

// tallies counts distinct values, ascending.
func tallies(values []event.Value) []tally {
	values = slices.Clone(values)
	for i, v := range values {
		values[i] = tidy(v)
	}
	slices.SortStableFunc(values, event.Compare)
	var out []tally
	for _, v := range values {
		if n := len(out); n > 0 && event.Compare(out[n-1].value, v) == 0 {
			out[n-1].n++
			continue
		}
		out = append(out, tally{v, 1})
	}
	return out
}

// bound keeps the limit values with the smallest hash, ascending by value.
func bound(all []tally, limit int) []tally {
	if limit <= 0 || len(all) <= limit {
		return all
	}
	hash := func(t tally) uint64 { return xxhash.Sum64(event.AppendValue(nil, t.value)) }
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b tally) int {
		switch x, y := hash(a), hash(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return event.Compare(a.value, b.value)
	})
	all = all[:limit]
	slices.SortFunc(all, func(a, b tally) int { return event.Compare(a.value, b.value) })
	return all
}

// frequent sorts tallies by how many there are, most first; ties: the least value.
func frequent(all []tally) []tally {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b tally) int { return b.n - a.n })
	return all
}

// by answers a map: the answer of c for each value of the group's column.
func (e evaluation) by(c *agg.Call, g *agg.Group) result {
	one, plain := *c, *g
	one.By, plain.By = nil, 0
	of := func(r Row) event.Value { return tidy(r.Values[g.By-1]) }
	var keys []event.Value
	var counted []Row
	for _, r := range e.rows {
		if len(e.samples(g, []Row{r})) == 1 && !of(r).IsNull() {
			counted, keys = append(counted, r), append(keys, of(r))
		}
	}
	whole := e.over(&one, &plain, e.samples(g, counted))
	if len(counted) == 0 {
		return exact(event.Value{}).counted(whole)
	}
	// A key that is written as the rest is part of the rest.
	kept := slices.DeleteFunc(frequent(bound(tallies(keys), g.ByLimit)), func(t tally) bool {
		return c.By.Rest != "" && t.value.String() == c.By.Rest
	})
	if c.By.Value {
		e.byAnswer(&one, &plain, kept, counted, keys)
	}
	if c.By.Top > 0 {
		kept = kept[:min(len(kept), c.By.Top)]
	}
	answers := map[string]result{}
	var rest []Row
	for i, r := range counted {
		if !slices.ContainsFunc(kept, func(t tally) bool { return event.Compare(t.value, keys[i]) == 0 }) {
			rest = append(rest, r)
		}
	}
	for _, t := range kept {
		var mine []Row
		for i, r := range counted {
			if event.Compare(t.value, keys[i]) == 0 {
				mine = append(mine, r)
			}
		}
		answers[t.value.String()] = e.over(&one, &plain, e.samples(g, mine))
	}
	if c.By.Rest != "" && len(rest) > 0 && c.Func != agg.Drawdown { // rows of several keys have no peak in common
		answers[c.By.Rest] = e.over(&one, &plain, e.samples(g, rest))
	}
	var names []string
	for name := range answers {
		names = append(names, name)
	}
	slices.Sort(names)
	var parts []result
	for _, name := range names {
		parts = append(parts, exact(event.StringOf(name)), answers[name])
	}
	return join(event.Map, parts).counted(whole)
}

// byAnswer sorts keys by the answers of their rows, the greatest first, null last; ties: the least key.
func (e evaluation) byAnswer(c *agg.Call, g *agg.Group, kept []tally, rows []Row, keys []event.Value) {
	answer := func(t tally) event.Value {
		var mine []Row
		for i, r := range rows {
			if event.Compare(t.value, keys[i]) == 0 {
				mine = append(mine, r)
			}
		}
		return e.over(c, g, e.samples(g, mine)).value
	}
	slices.SortFunc(kept, func(a, b tally) int { return event.Compare(a.value, b.value) })
	slices.SortStableFunc(kept, func(a, b tally) int { return event.Compare(answer(b), answer(a)) })
}

func (r result) counted(by result) result {
	r.n, r.newest = by.n, by.newest
	return r
}

// length is how long the window is, in microseconds; nil for one without bound.
func (e evaluation) length() *big.Rat {
	if e.span.start == nil {
		return nil
	}
	return new(big.Rat).SetInt(new(big.Int).Sub(e.span.end, e.span.start))
}
