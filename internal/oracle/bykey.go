package oracle

import (
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// Maps of ratios, and of aggregates of an aggregate: the rows are divided by key, and each part is answered
// as if there were no other.

// part is a key of a map with its rows.
type part struct {
	name string
	rows []Row
}

// divide lists the keys that by shows of rows, with their rows, and the rest. The aggregate c (a ratio, or one
// over a group) counts a row if one of its groups does; its keys are those that its last group counts.
func (e evaluation) divide(c *agg.Call, by *agg.By, rows []Row) (parts []part, counted []Row) {
	lead := &e.groups[c.Group]
	key := func(r Row) event.Value { return tidy(r.Values[lead.By-1]) }
	counts := func(r Row, g *agg.Group) bool { return !key(r).IsNull() && len(e.samples(g, []Row{r})) == 1 }
	var all, leading []event.Value
	for _, r := range rows {
		if slices.ContainsFunc(c.Groups(nil), func(i int) bool { return counts(r, &e.groups[i]) }) {
			counted, all = append(counted, r), append(all, key(r))
		}
		if counts(r, lead) {
			leading = append(leading, key(r))
		}
	}
	within := bound(tallies(all), lead.ByLimit)
	for _, t := range frequent(tallies(leading)) {
		kept := slices.ContainsFunc(within, func(w tally) bool { return event.Compare(w.value, t.value) == 0 })
		if kept && (by.Rest == "" || t.value.String() != by.Rest) && (by.Top == 0 || len(parts) < by.Top) {
			parts = append(parts, part{name: t.value.String()})
		}
	}
	if by.Rest == "" {
		parts = append(parts, part{}) // not to be shown
	} else {
		parts = append(parts, part{name: by.Rest})
	}
	last := len(parts) - 1
	for _, r := range counted {
		i := slices.IndexFunc(parts[:last], func(p part) bool { return p.name == key(r).String() })
		if i < 0 {
			i = last
		}
		parts[i].rows = append(parts[i].rows, r)
	}
	if by.Rest == "" || !slices.ContainsFunc(parts[last].rows, func(r Row) bool { return counts(r, lead) }) {
		parts = parts[:last]
	}
	slices.SortFunc(parts, func(x, y part) int {
		if x.name < y.name {
			return -1
		}
		return 1
	})
	if len(leading) == 0 {
		return nil, counted
	}
	return parts, counted
}

// mapOf answers a map, of what each part answers; null if nothing counts.
func mapOf(parts []part, n int, newest event.Time, of func(p part) result) result {
	r := result{n: n, newest: newest}
	if parts == nil {
		return r
	}
	var list []result
	for _, p := range parts {
		list = append(list, exact(event.StringOf(p.name)), of(p))
	}
	return join(event.Map, list).counted(r)
}

func newestOf(rows []Row) event.Time {
	newest := event.MinTime
	for _, r := range rows {
		newest = max(newest, r.Time)
	}
	return newest
}

// ratioBy answers a map of ratios.
func (e evaluation) ratioBy(c *agg.Call) result {
	parts, counted := e.divide(c, c.By, e.rows)
	one := *c
	one.By = nil
	return mapOf(parts, len(counted), newestOf(counted), func(p part) result {
		alone := e
		alone.rows = p.rows
		return alone.call(&one)
	})
}

// outerBy answers a map of aggregates of an aggregate. The keys are those of the rows that some inner window
// has.
func outerBy(v *pipeline.View, f *pipeline.Feature, past []Row, asOf event.Time) result {
	windows := innerWindows(f.Inner, past, spanOf(f.Window, asOf))
	held := slices.DeleteFunc(slices.Clone(past), func(r Row) bool {
		return !slices.ContainsFunc(windows, func(w span) bool { return w.holds(r.Time) })
	})
	e := evaluation{groups: v.Layout.Groups, asOf: asOf}
	parts, counted := e.divide(&f.Inner.Call, f.Call.By, held)
	one := *f
	one.Call.By = nil
	return mapOf(parts, len(counted), newestOf(counted), func(p part) result { return outer(v, &one, p.rows, asOf) })
}
