package agg

import (
	"cmp"
	"math"
	"math/big"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// naiveStructure answers c over the counted rows by its definition, with slices.
func naiveStructure(rows []event.Row, g Group, c Call) event.Value {
	rows = slices.Clone(rows)
	slices.SortFunc(rows, func(x, y event.Row) int { return x.Compare(&y) })
	var all []event.Value
	for _, r := range rows {
		all = append(all, tidy(r.Values[g.Input]))
	}
	if len(all) == 0 {
		if c.Func == CountDistinct || c.Func == ApproxDistinct {
			return event.LongOf(0)
		}
		return event.Value{}
	}
	switch c.Func {
	case FirstK, LastK, Nth, Lag, CollectList:
		return naivePlace(all, g, c)
	case TopK, BottomK:
		slices.SortFunc(all, event.Compare)
		if c.Func == TopK {
			slices.Reverse(all)
		}
		return naiveList(all[:min(c.K, len(all))])
	case ApproxDistinct:
		return event.LongOf(int64(len(naiveDistinct(all))))
	case Mode, Frequent, Entropy, CountDistinct, CollectSet:
		return naiveValues(all, g.Keeps.Limit, c)
	case Quantile, Median:
		return naiveQuantile(all, c.Quantiles[0])
	case Quantiles:
		var out []event.Value
		for _, q := range c.Quantiles {
			out = append(out, naiveQuantile(all, q))
		}
		return naiveList(out)
	case Histogram:
		return naiveHistogram(all, g)
	}
	return naiveDrawdown(all)
}

func naiveList(values []event.Value) event.Value {
	return event.Value{Kind: event.List, Str: string(event.AppendList(nil, values...))}
}

func naivePlace(all []event.Value, g Group, c Call) event.Value {
	at := func(i int) event.Value {
		if i < 0 || i >= len(all) {
			return event.Value{}
		}
		return all[i]
	}
	switch {
	case c.Func == Nth && c.K > 0:
		return at(c.K - 1)
	case c.Func == Nth:
		return at(len(all) + c.K)
	case c.Func == Lag:
		return at(len(all) - 1 - c.K)
	case c.Func == FirstK:
		if g.Keeps.Distinct {
			all = naiveOnce(all)
		}
		return naiveList(all[:min(c.K, len(all))])
	}
	if g.Keeps.Distinct {
		slices.Reverse(all)
		all = naiveOnce(all)
		slices.Reverse(all)
	}
	return naiveList(all[max(0, len(all)-c.K):])
}

// naiveOnce leaves the first occurrence of every value.
func naiveOnce(all []event.Value) (out []event.Value) {
	for _, v := range all {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// naiveDistinct lists the distinct values, ascending.
func naiveDistinct(all []event.Value) []event.Value {
	out := naiveOnce(all)
	slices.SortFunc(out, event.Compare)
	return out
}

func naiveValues(all []event.Value, limit int, c Call) event.Value {
	kept := naiveDistinct(all)
	if len(kept) > limit {
		slices.SortFunc(kept, compareHashes)
		kept = kept[:limit]
		slices.SortFunc(kept, event.Compare)
	}
	count := func(v event.Value) (n int) {
		for _, w := range all {
			if v == w {
				n++
			}
		}
		return n
	}
	switch c.Func {
	case CountDistinct:
		return event.LongOf(int64(len(kept)))
	case CollectSet:
		return naiveList(kept)
	case Entropy:
		total, h := 0, 0.0
		for _, v := range kept {
			total += count(v)
		}
		for _, v := range kept {
			p := float64(count(v)) / float64(total)
			h -= p * math.Log2(p)
		}
		return event.DoubleOf(h)
	}
	slices.SortStableFunc(kept, func(x, y event.Value) int { return -cmp.Compare(count(x), count(y)) })
	if c.Func == Mode {
		return kept[0]
	}
	return naiveList(kept[:min(c.K, len(kept))])
}

// naiveDoubles are the values as doubles, rounded once.
func naiveDoubles(all []event.Value) (out []float64, nan bool) {
	for _, v := range all {
		if v.Kind == event.Double {
			out = append(out, v.Double())
			nan = nan || math.IsNaN(v.Double())
			continue
		}
		f, _ := rational(v).Float64()
		out = append(out, f)
	}
	return out, nan
}

func naiveQuantile(all []event.Value, q float64) event.Value {
	xs, nan := naiveDoubles(all)
	if nan {
		return event.DoubleOf(math.NaN())
	}
	slices.Sort(xs)
	return event.DoubleOf(xs[int(math.Floor(q*float64(len(xs)-1)))])
}

func naiveHistogram(all []event.Value, g Group) event.Value {
	var edges []*big.Rat
	for s := []byte(g.Keeps.Bounds); len(s) > 0; s = s[8:] {
		edges = append(edges, new(big.Rat).SetFloat64(math.Float64frombits(new(big.Int).SetBytes(s[:8]).Uint64())))
	}
	counts := make([]int64, len(edges)+1)
	for _, v := range all {
		i := 0
		switch f := v.Double(); {
		case v.Kind == event.Double && (math.IsNaN(f) || math.IsInf(f, 1)):
			i = len(edges)
		case v.Kind == event.Double && math.IsInf(f, -1):
		default:
			for i < len(edges) && rational(v).Cmp(edges[i]) >= 0 {
				i++
			}
		}
		counts[i]++
	}
	var out []event.Value
	for _, n := range counts {
		out = append(out, event.LongOf(n))
	}
	return naiveList(out)
}

func naiveDrawdown(all []event.Value) event.Value {
	xs, nan := naiveDoubles(all)
	if nan {
		return event.DoubleOf(math.NaN())
	}
	peak, worst := math.Inf(-1), 0.0
	for _, x := range xs {
		peak = max(peak, x)
		if peak > 0 && x < peak {
			worst = max(worst, 1-max(x, 0)/peak)
		}
	}
	return event.DoubleOf(worst)
}
