package oracle

import (
	"encoding/binary"
	"math"
	"math/big"
	"slices"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// scalar answers c over samples of one column (or two).
func (e evaluation) scalar(c *agg.Call, g *agg.Group, in []sample) result {
	values := valuesOf(in)
	switch c.Func {
	case agg.ApproxDistinct:
		return approxDistinct(len(tallies(values)))
	case agg.CountDistinct:
		n := len(tallies(values))
		if g.Keeps.Limit > 0 {
			n = min(n, g.Keeps.Limit)
		}
		return exact(event.LongOf(int64(n)))
	case agg.Count:
		return exact(event.LongOf(int64(len(in))))
	}
	if len(in) == 0 {
		return exact(event.Value{})
	}
	switch c.Func {
	case agg.Covariance, agg.CovariancePop, agg.Correlation:
		return exact(pairs(c.Func, in))
	case agg.ArgMax, agg.ArgMin:
		return exact(argument(c.Func, in))
	case agg.Slope:
		return exact(slope(in, c.Per))
	case agg.Rate:
		return exact(e.rate(c, g, values))
	case agg.TimeSinceLast:
		newest := event.MinTime
		for _, s := range in {
			newest = max(newest, s.time)
		}
		return exact(seconds(newest, e.asOf, 1))
	case agg.TimeBetween:
		if len(in) < 2 {
			return exact(event.Value{})
		}
		return exact(seconds(in[0].time, in[len(in)-1].time, len(in)-1))
	case agg.DecayedSum, agg.DecayedCount, agg.DecayedMean:
		return e.decayed(c.Func, g.Keeps.HalfLife, in)
	case agg.FirstK, agg.LastK, agg.Nth, agg.Lag, agg.TopK, agg.BottomK, agg.CollectList:
		return places(c, g, values)
	case agg.Mode, agg.Frequent, agg.Entropy, agg.CollectSet:
		return distribution(c, g, values)
	case agg.Quantile, agg.Quantiles, agg.Median:
		return quantiles(c, g.Keeps.Accuracy, values)
	case agg.Histogram:
		return histogram(g.Keeps.Bounds, values)
	}
	return exact(aggregate(c.Func, g.Type, values))
}

// seconds is the time from a to b over n, rounded once.
func seconds(a, b event.Time, n int) event.Value {
	d := new(big.Int).Sub(instant(b), instant(a))
	return nearest(new(big.Rat).SetFrac(d, big.NewInt(int64(n)*1_000_000)))
}

// rate is the count or the sum per unit of time; null over a window without length.
func (e evaluation) rate(c *agg.Call, g *agg.Group, values []event.Value) event.Value {
	length := e.length()
	if length == nil || length.Sign() <= 0 {
		return event.Value{}
	}
	x := new(big.Rat).SetInt64(int64(len(values)))
	if g.Input >= 0 {
		if f, ok := notFinite(values); ok {
			return event.DoubleOf(f)
		}
		x = total(values)
	}
	x.Mul(x, new(big.Rat).SetInt64(int64(c.Per)))
	return nearest(x.Quo(x, length))
}

// places answers what picks values by their place in tie order, or by their size.
func places(c *agg.Call, g *agg.Group, values []event.Value) result {
	n := len(values)
	switch c.Func {
	case agg.Nth:
		i := c.K - 1
		if c.K < 0 {
			i = n + c.K
		}
		return pickAt(values, i)
	case agg.Lag:
		return pickAt(values, n-1-c.K)
	case agg.FirstK:
		if g.Keeps.Distinct {
			values = once(values)
		}
		return listOf(values[:min(len(values), c.K)])
	case agg.LastK:
		if g.Keeps.Distinct {
			values = slices.Clone(values)
			slices.Reverse(values)
			values = once(values)
			slices.Reverse(values)
		}
		return listOf(values[max(0, len(values)-c.K):])
	case agg.CollectList:
		return listOf(values[max(0, n-limitOf(c, g)):])
	}
	values = slices.Clone(values)
	slices.SortStableFunc(values, event.Compare)
	if c.Func == agg.TopK {
		slices.Reverse(values)
	}
	return listOf(values[:min(n, c.K)])
}

// limitOf is the bound of a collection, wherever the plan keeps it.
func limitOf(c *agg.Call, g *agg.Group) int {
	for _, n := range []int{c.K, g.Keeps.Limit, g.Keeps.K} {
		if n > 0 {
			return n
		}
	}
	return math.MaxInt
}

func pickAt(values []event.Value, i int) result {
	if i < 0 || i >= len(values) {
		return exact(event.Value{})
	}
	return exact(tidy(values[i]))
}

// once keeps the first of equal values.
func once(values []event.Value) (out []event.Value) {
	for _, v := range values {
		if !slices.ContainsFunc(out, func(x event.Value) bool { return event.Compare(x, v) == 0 }) {
			out = append(out, v)
		}
	}
	return out
}

// distribution answers what is made of how often each value is there.
func distribution(c *agg.Call, g *agg.Group, values []event.Value) result {
	kept := bound(tallies(values), g.Keeps.Limit)
	if c.Func == agg.CollectSet {
		kept = bound(tallies(values), limitOf(c, g))
	}
	total := 0
	for _, t := range kept {
		total += t.n
	}
	switch c.Func {
	case agg.Mode:
		return exact(frequent(kept)[0].value)
	case agg.Frequent:
		kept = frequent(kept)
		kept = kept[:min(len(kept), c.K)]
	case agg.Entropy:
		h := 0.0
		for _, t := range kept {
			p := float64(t.n) / float64(total)
			h -= p * math.Log2(p)
		}
		return around(max(h, 0), 1e-12*(1+h))
	}
	var out []event.Value
	for _, t := range kept {
		out = append(out, t.value)
	}
	return listOf(out)
}

// approxDistinct: an estimate within 4 % (five times the standard error of 2^14 registers), or 3.
func approxDistinct(n int) result {
	if n == 0 {
		return exact(event.LongOf(0))
	}
	slack := max(3, 0.04*float64(n))
	return result{value: event.LongOf(int64(n)), near: true, low: max(0, float64(n)-slack), high: float64(n) + slack}
}

// quantiles are the values at rank floor(q·(n-1)), each within the relative accuracy.
func quantiles(c *agg.Call, accuracy float64, values []event.Value) result {
	sorted := make([]float64, len(values))
	for i, v := range values {
		sorted[i] = asDouble(v)
	}
	slices.Sort(sorted) // NaN first
	at := func(q float64) result {
		if math.IsNaN(sorted[0]) {
			return exact(event.DoubleOf(math.NaN()))
		}
		// The product of q and n-1, and that product rounded to a double, may lie on two sides of a rank: then
		// both ranks will do.
		rank := int(math.Floor(q * float64(len(sorted)-1)))
		product := new(big.Rat).SetFloat64(q)
		product.Mul(product, rat(len(sorted)-1))
		other := int(new(big.Int).Div(product.Num(), product.Denom()).Int64())
		lo, hi := sorted[min(rank, other)], sorted[max(rank, other)]
		if lo == hi && (lo == 0 || math.IsInf(lo, 0)) {
			return exact(event.DoubleOf(lo))
		}
		slack := func(f float64) float64 {
			if math.IsInf(f, 0) {
				return 0
			}
			return math.Abs(f)*accuracy*(1+1e-9) + 1e-300
		}
		r := result{value: event.DoubleOf(sorted[rank]), near: true}
		r.low, r.high = min(lo-slack(lo), hi-slack(hi)), max(lo+slack(lo), hi+slack(hi))
		return r
	}
	if c.Func != agg.Quantiles {
		q := 0.5
		if c.Func == agg.Quantile {
			q = c.Quantiles[0]
		}
		return at(q)
	}
	var parts []result
	for _, q := range c.Quantiles {
		parts = append(parts, at(q))
	}
	return join(event.List, parts)
}

// histogram counts values by the bounds, each 8 bytes of a double's bits.
func histogram(bounds string, values []event.Value) result {
	var edges []float64
	for b := []byte(bounds); len(b) > 0; b = b[8:] {
		edges = append(edges, math.Float64frombits(binary.BigEndian.Uint64(b)))
	}
	counts := make([]int64, len(edges)+1)
	for _, v := range values {
		i := len(edges)
		if v.Kind != event.Double || !math.IsNaN(v.Double()) {
			for i = 0; i < len(edges) && !below(v, edges[i]); i++ {
			}
		}
		counts[i]++
	}
	var out []event.Value
	for _, n := range counts {
		out = append(out, event.LongOf(n))
	}
	return listOf(out)
}

// below compares a number with an edge, exactly.
func below(v event.Value, edge float64) bool {
	if v.Kind == event.Double {
		return v.Double() < edge
	}
	return number(v).Cmp(new(big.Rat).SetFloat64(edge)) < 0
}

// argument is the value of the sample whose second value is the greatest or least; ties: the greatest or least
// value.
func argument(f agg.Func, in []sample) event.Value {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b sample) int {
		if c := event.Compare(a.second, b.second); c != 0 {
			return c
		}
		return event.Compare(a.value, b.value)
	})
	if f == agg.ArgMin {
		return tidy(in[0].value)
	}
	return tidy(in[len(in)-1].value)
}
