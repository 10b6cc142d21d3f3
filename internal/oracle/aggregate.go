package oracle

import (
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// aggregate answers f by its definition over the non-null values, which are in tie order. A sum of
// longs outside int64 is null.
func aggregate(f agg.Func, t event.Type, values []event.Value) event.Value {
	n := len(values)
	if f == agg.Count {
		return event.LongOf(int64(n))
	}
	if n == 0 {
		return event.Value{}
	}
	switch f {
	case agg.First:
		return tidy(values[0])
	case agg.Last:
		return tidy(values[n-1])
	case agg.Min:
		return extreme(values, -1)
	case agg.Max:
		return extreme(values, 1)
	case agg.Sum:
		return sum(t, values)
	case agg.Avg:
		if f, ok := notFinite(values); ok {
			return event.DoubleOf(f)
		}
		return nearest(mean(values))
	case agg.Variance:
		return variance(values, n-1)
	case agg.VariancePop:
		return variance(values, n)
	case agg.Stddev:
		return root(variance(values, n-1))
	case agg.StddevPop:
		return root(variance(values, n))
	case agg.Skew, agg.SkewPop, agg.Kurtosis, agg.KurtosisPop:
		return shape(f, values)
	case agg.Drawdown:
		return drawdown(values)
	case agg.BoolAnd:
		return event.BoolOf(allTrue(values))
	case agg.BoolOr:
		return event.BoolOf(anyTrue(values))
	}
	panic("oracle: unknown aggregate " + f.String())
}

// tidy is a value as it is answered: +0 for -0, a decimal without padding.
func tidy(v event.Value) event.Value {
	switch v.Kind {
	case event.Double:
		return event.DoubleOf(v.Double())
	case event.Decimal:
		return event.DecimalOf(v.Unscaled(), int32(v.Num))
	}
	return v
}

// extreme is the least (sign -1) or greatest (1) value; NaN wins in both.
func extreme(values []event.Value, sign int) event.Value {
	best := values[0]
	for _, v := range values {
		if v.Kind == event.Double && math.IsNaN(v.Double()) {
			return event.DoubleOf(math.NaN())
		}
		if event.Compare(v, best)*sign > 0 {
			best = v
		}
	}
	return tidy(best)
}

// notFinite is the sum of values that holds NaN or an infinity; ok is false if all are finite.
func notFinite(values []event.Value) (f float64, ok bool) {
	var nan, above, below bool
	for _, v := range values {
		if v.Kind != event.Double {
			continue
		}
		nan = nan || math.IsNaN(v.Double())
		above = above || math.IsInf(v.Double(), 1)
		below = below || math.IsInf(v.Double(), -1)
	}
	switch {
	case nan || above && below:
		return math.NaN(), true
	case above:
		return math.Inf(1), true
	case below:
		return math.Inf(-1), true
	}
	return 0, false
}

// number is the exact value of a finite number.
func number(v event.Value) *big.Rat {
	switch v.Kind {
	case event.Long:
		return new(big.Rat).SetInt64(v.Long())
	case event.Double:
		return new(big.Rat).SetFloat64(v.Double())
	case event.Decimal:
		x, _ := new(big.Rat).SetString(event.FormatDecimal(v.Unscaled(), int32(v.Num)))
		return x
	}
	panic("oracle: arithmetic on " + v.Kind.String())
}

func total(values []event.Value) *big.Rat {
	x := new(big.Rat)
	for _, v := range values {
		x.Add(x, number(v))
	}
	return x
}

func mean(values []event.Value) *big.Rat {
	return new(big.Rat).Quo(total(values), new(big.Rat).SetInt64(int64(len(values))))
}

// nearest rounds once to a double, ties to even.
func nearest(x *big.Rat) event.Value {
	f, _ := x.Float64()
	return event.DoubleOf(f)
}

func sum(t event.Type, values []event.Value) event.Value {
	if f, ok := notFinite(values); ok {
		return event.DoubleOf(f)
	}
	x := total(values)
	switch t.Kind {
	case event.Long:
		if !x.Num().IsInt64() {
			return event.Value{}
		}
		return event.LongOf(x.Num().Int64())
	case event.Decimal:
		for range t.Scale {
			x.Mul(x, big.NewRat(10, 1))
		}
		return event.DecimalOf(x.Num(), t.Scale)
	}
	return nearest(x)
}

// variance is the sum of squared distances from the mean over n; null if n is 0.
func variance(values []event.Value, n int) event.Value {
	if n == 0 {
		return event.Value{}
	}
	if _, ok := notFinite(values); ok {
		return event.DoubleOf(math.NaN())
	}
	m, x := mean(values), new(big.Rat)
	for _, v := range values {
		d := new(big.Rat).Sub(number(v), m)
		x.Add(x, d.Mul(d, d))
	}
	return nearest(x.Quo(x, new(big.Rat).SetInt64(int64(n))))
}

func root(v event.Value) event.Value {
	if v.IsNull() {
		return v
	}
	return event.DoubleOf(math.Sqrt(v.Double()))
}
