package agg

import (
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/elementary"
)

// naiveLength is how many elements a list has; -1 for what is none.
func naiveLength(v event.Value) int {
	if v.Kind != event.List {
		return -1
	}
	n := 0
	if err := event.EachElem(v.Str, func(int, event.Value) error { n++; return nil }); err != nil {
		return -1
	}
	return n
}

// whole is a finite number as an integer over unit, which depends on its type alone.
func whole(v event.Value) (n, unit *big.Int) {
	switch v.Kind {
	case event.Double:
		unit = new(big.Int).Lsh(big.NewInt(1), 1074)
		x := rational(v)
		x.Mul(x, new(big.Rat).SetInt(unit))
		return x.Num(), unit
	case event.Decimal:
		return v.Unscaled(), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Num)), nil)
	}
	return big.NewInt(v.Long()), big.NewInt(1)
}

// deviations are n·(x - mean) of the values of an input over their unit; ok is false if one is not finite.
func deviations(rows []event.Row, input int) (ds []*big.Int, unit *big.Int, ok bool) {
	sum, n := new(big.Int), big.NewInt(int64(len(rows)))
	for _, r := range rows {
		v := r.Values[input]
		if f := v.Double(); v.Kind == event.Double && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return nil, nil, false
		}
		var x *big.Int
		x, unit = whole(v)
		sum.Add(sum, x)
		ds = append(ds, x.Mul(x, n))
	}
	for _, d := range ds {
		d.Sub(d, sum)
	}
	return ds, unit, true
}

// sumOf is the sum of the products of as many as are given.
func sumOf(factors ...[]*big.Int) *big.Int {
	total := new(big.Int)
	for i := range factors[0] {
		p := big.NewInt(1)
		for _, f := range factors {
			p.Mul(p, f[i])
		}
		total.Add(total, p)
	}
	return total
}

func long(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

// naiveMoment answers skew and kurtosis from the deviations: Σd^k is n^(k+1)·mk.
func naiveMoment(rows []event.Row, g Group, f Func) event.Value {
	n := int64(len(rows))
	if f == Skew && n < 3 || f == Kurtosis && n < 4 {
		return event.Value{}
	}
	d, _, ok := deviations(rows, g.Input)
	if !ok {
		return event.DoubleOf(math.NaN())
	}
	d2 := sumOf(d, d)
	if d2.Sign() == 0 {
		return event.Value{}
	}
	if f == Skew || f == SkewPop {
		d3 := sumOf(d, d, d)
		square := new(big.Rat).SetFrac(new(big.Int).Mul(d3, d3), new(big.Int).Exp(d2, big.NewInt(3), nil))
		square.Mul(square, long(n))
		if f == Skew {
			square.Mul(square, big.NewRat(n*(n-1), (n-2)*(n-2)))
		}
		return event.DoubleOf(float64(d3.Sign()) * math.Sqrt(nearest(square).Double()))
	}
	excess := new(big.Rat).SetFrac(sumOf(d, d, d, d), new(big.Int).Mul(d2, d2))
	excess.Mul(excess, long(n))
	excess.Sub(excess, long(3))
	if f == Kurtosis {
		excess.Mul(excess, long(n+1))
		excess.Add(excess, long(6))
		excess.Mul(excess, big.NewRat(n-1, (n-2)*(n-3)))
	}
	return nearest(excess)
}

// naivePair answers what is of two columns, or of one and the event time.
func naivePair(rows []event.Row, g Group, c *Call) event.Value {
	n := int64(len(rows))
	if n < 2 && c.Func != CovariancePop {
		return event.Value{}
	}
	if c.Func == Slope {
		timed := make([]event.Row, len(rows))
		for i, r := range rows {
			timed[i] = event.Row{Values: []event.Value{event.LongOf(int64(r.Time))}}
		}
		t, _, _ := deviations(timed, 0)
		tt := sumOf(t, t)
		if tt.Sign() == 0 {
			return event.Value{}
		}
		x, unit, ok := deviations(rows, g.Input)
		if !ok {
			return event.DoubleOf(math.NaN())
		}
		slope := new(big.Rat).SetFrac(sumOf(t, x), tt)
		slope.Quo(slope, new(big.Rat).SetInt(unit))
		return nearest(slope.Mul(slope, long(int64(c.Per))))
	}
	x, ux, ok := deviations(rows, g.Input)
	y, uy, ok2 := deviations(rows, g.Second-1)
	if !ok || !ok2 {
		return event.DoubleOf(math.NaN())
	}
	xy := sumOf(x, y)
	if c.Func == Correlation {
		den := new(big.Int).Mul(sumOf(x, x), sumOf(y, y))
		if den.Sign() == 0 {
			return event.Value{}
		}
		square := new(big.Rat).SetFrac(new(big.Int).Mul(xy, xy), den)
		return event.DoubleOf(float64(xy.Sign()) * math.Sqrt(nearest(square).Double()))
	}
	less := n
	if c.Func == Covariance {
		less--
	}
	cov := new(big.Rat).SetFrac(xy, new(big.Int).Mul(ux, uy))
	return nearest(cov.Quo(cov, new(big.Rat).Mul(long(n), new(big.Rat).Mul(long(n), long(less)))))
}

func naiveTimes(rows []event.Row, g Group, c *Call, at At) event.Value {
	oldest, newest := event.MaxTime, event.MinTime
	for _, r := range rows {
		oldest, newest = min(oldest, r.Time), max(newest, r.Time)
	}
	micros := func(a, b event.Time) *big.Rat {
		d := new(big.Int).Sub(big.NewInt(int64(a)), big.NewInt(int64(b)))
		return new(big.Rat).SetInt(d)
	}
	switch c.Func {
	case TimeSinceLast:
		return nearest(new(big.Rat).Quo(micros(at.AsOf, newest), long(1_000_000)))
	case TimeBetween:
		if len(rows) < 2 {
			return event.Value{}
		}
		d := new(big.Rat).Quo(micros(newest, oldest), long(1_000_000))
		return nearest(d.Quo(d, long(int64(len(rows)-1))))
	}
	sum := long(int64(len(rows)))
	if g.Input >= 0 {
		special := 0.0
		sum = new(big.Rat)
		for _, r := range rows {
			v := r.Values[g.Input]
			if f := v.Double(); v.Kind == event.Double && (math.IsNaN(f) || math.IsInf(f, 0)) {
				special += f
				continue
			}
			sum.Add(sum, rational(v))
		}
		if special != 0 {
			return event.DoubleOf(special)
		}
	}
	sum.Mul(sum, long(int64(c.Per)))
	return nearest(sum.Quo(sum, micros(at.End, at.Start)))
}

// naiveDecay follows the definition with big.Float, wide enough to be exact.
func naiveDecay(rows []event.Row, g Group, c *Call, at At) event.Value {
	const wide = 12_000
	h := int64(g.Keeps.HalfLife)
	newest := int64(math.MinInt64)
	for _, r := range rows {
		k, _ := phase(r.Time, h)
		newest = max(newest, generationOf(k))
	}
	sum, weights := new(big.Float).SetPrec(wide), new(big.Float).SetPrec(wide)
	special := 0.0
	for _, r := range rows {
		k, f := phase(r.Time, h)
		x := 1.0
		if g.Input >= 0 && c.Func != DecayedCount {
			switch v := r.Values[g.Input]; v.Kind {
			case event.Double:
				x = v.Double()
			default:
				x = nearest(rational(v)).Double()
			}
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			special += x
			continue
		}
		if generationOf(k) < newest-3 {
			continue
		}
		// Rounded to 53 bits, whatever the exponent.
		term := new(big.Float).SetPrec(53).Mul(big.NewFloat(x), big.NewFloat(elementary.Exp2(f)))
		e := int(k - (newest-3)*1024)
		sum.Add(sum, term.SetMantExp(term, e))
		weight := big.NewFloat(elementary.Exp2(f))
		weights.Add(weights, weight.SetMantExp(weight, e))
	}
	if special != 0 {
		return event.DoubleOf(special)
	}
	if c.Func == DecayedMean {
		a, _ := sum.Rat(nil)
		b, _ := weights.Rat(nil)
		return nearest(a.Quo(a, b))
	}
	whole, f := phase(at.AsOf, h)
	rounded := new(big.Float).SetPrec(53).Set(sum)
	behind := new(big.Int).Sub(big.NewInt(whole), new(big.Int).Mul(big.NewInt(newest-3), big.NewInt(1024)))
	if sum.Sign() == 0 || behind.Cmp(big.NewInt(1<<30)) > 0 {
		return event.DoubleOf(0)
	}
	rounded.Mul(rounded, big.NewFloat(elementary.Exp2(-f)))
	x, _ := rounded.SetMantExp(rounded, -int(behind.Int64())).Float64()
	return event.DoubleOf(x)
}

// phase takes t apart: k half-lives of h and a fraction of one.
func phase(t event.Time, h int64) (k int64, f float64) {
	var q, m big.Int
	q.DivMod(big.NewInt(int64(t)), big.NewInt(h), &m) // Euclidean: m >= 0
	a, _ := new(big.Float).SetInt(&m).Float64()
	return q.Int64(), a / float64(h)
}

func generationOf(k int64) int64 {
	return new(big.Int).Div(big.NewInt(k), big.NewInt(1024)).Int64()
}

// naiveVector answers c for each element as if it were a column, as doubles.
func naiveVector(rows []event.Row, g Group, c *Call, at At) event.Value {
	var out []byte
	for i := range g.Keeps.Dim {
		var column []event.Row
		for _, r := range rows {
			_ = event.EachElem(r.Values[g.Input].Str, func(j int, e event.Value) error {
				if j == i && !e.IsNull() {
					column = append(column, event.Row{Time: r.Time, Values: []event.Value{e}})
				}
				return nil
			})
		}
		one := Group{Type: *g.Type.Elem, Keeps: Structure{HalfLife: g.Keeps.HalfLife}}
		var v event.Value
		if c.Func == Sum && one.Type.Kind == event.Long && len(column) > 0 {
			total := new(big.Rat)
			for _, r := range column {
				total.Add(total, rational(r.Values[0]))
			}
			v = nearest(total)
		} else {
			v = naive(column, one, c, at).Value
		}
		if v.Kind == event.Long {
			v = nearest(rational(v))
		}
		out = event.AppendValue(out, v)
	}
	return event.Value{Kind: event.List, Str: string(out)}
}
