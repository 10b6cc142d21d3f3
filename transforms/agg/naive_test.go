package agg

import (
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
)

// The oracle: every function by its definition, over big.Rat.

// naiveRows are the rows counted in g.
func naiveRows(rows []event.Row, g Group) []event.Row {
	var out []event.Row
	for _, r := range rows {
		if g.Filter >= 0 && r.Pass&(1<<g.Filter) == 0 {
			continue
		}
		if g.Input >= 0 && r.Values[g.Input].IsNull() || g.Second > 0 && r.Values[g.Second-1].IsNull() {
			continue
		}
		if v := g.Keeps.Dim; v > 0 && naiveLength(r.Values[g.Input]) != v {
			continue
		}
		out = append(out, r)
	}
	return out
}

// naive answers c over the counted rows.
func naive(rows []event.Row, g Group, c *Call, at At) Answer {
	a := Answer{Newest: event.MinTime}
	for _, r := range rows {
		a.Newest = max(a.Newest, r.Time)
	}
	f := c.Func
	if f == Count {
		a.Value = event.LongOf(int64(len(rows)))
		return a
	}
	if len(rows) == 0 {
		return a
	}
	if g.Keeps.Dim > 0 && f != Last {
		a.Value = naiveVector(rows, g, c, at)
		return a
	}
	switch f {
	case Min, BoolAnd:
		a.Value = naiveExtreme(rows, g, Min)
	case Max, BoolOr:
		a.Value = naiveExtreme(rows, g, Max)
	case First, Last:
		best := rows[0]
		for _, r := range rows[1:] {
			if c := r.Compare(&best); f == First && c < 0 || f == Last && c > 0 {
				best = r
			}
		}
		a.Value = tidy(best.Values[g.Input])
	case Rate, TimeSinceLast, TimeBetween:
		a.Value = naiveTimes(rows, g, c, at)
	case ArgMax, ArgMin:
		a.Value = naiveArgument(rows, g, f)
	case Slope, Covariance, CovariancePop, Correlation:
		a.Value = naivePair(rows, g, c)
	case Skew, SkewPop, Kurtosis, KurtosisPop:
		a.Value = naiveMoment(rows, g, f)
	case DecayedSum, DecayedCount, DecayedMean:
		a.Value = naiveDecay(rows, g, c, at)
	default:
		a.Value, a.Overflow = naiveNumber(rows, g, f)
	}
	return a
}

// tidy is the value as it is answered: no -0, no padding.
func tidy(v event.Value) event.Value {
	switch v.Kind {
	case event.Double:
		return event.DoubleOf(v.Double())
	case event.Decimal:
		return event.DecimalOf(v.Unscaled(), int32(v.Num))
	}
	return v
}

func naiveExtreme(rows []event.Row, g Group, f Func) event.Value {
	best := rows[0].Values[g.Input]
	for _, r := range rows {
		v := r.Values[g.Input]
		if v.Kind == event.Double && math.IsNaN(v.Double()) {
			return event.DoubleOf(math.NaN())
		}
		if c := event.Compare(v, best); f == Min && c < 0 || f == Max && c > 0 {
			best = v
		}
	}
	return tidy(best)
}

// rational is the exact value of a finite number.
func rational(v event.Value) *big.Rat {
	switch v.Kind {
	case event.Long:
		return new(big.Rat).SetInt64(v.Long())
	case event.Double:
		return new(big.Rat).SetFloat64(v.Double())
	}
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Num)), nil)
	return new(big.Rat).SetFrac(v.Unscaled(), ten)
}

func naiveNumber(rows []event.Row, g Group, f Func) (v event.Value, overflow bool) {
	special := 0.0 // the sum of those that are not finite, by IEEE 754's own rules
	sum, squares := new(big.Rat), new(big.Rat)
	for _, r := range rows {
		v := r.Values[g.Input]
		if x := v.Double(); v.Kind == event.Double && (math.IsNaN(x) || math.IsInf(x, 0)) {
			special += x
			continue
		}
		x := rational(v)
		sum.Add(sum, x)
		squares.Add(squares, new(big.Rat).Mul(x, x))
	}
	n := new(big.Rat).SetInt64(int64(len(rows)))
	switch f {
	case Sum, Avg:
		if special != 0 {
			if math.IsNaN(special) {
				special = math.NaN()
			}
			return event.DoubleOf(special), false
		}
		if f == Avg {
			return nearest(sum.Quo(sum, n)), false
		}
		return naiveSum(sum, g)
	}
	less := new(big.Rat).Set(n)
	if f == Variance || f == Stddev {
		if len(rows) < 2 {
			return event.Value{}, false
		}
		less.Sub(less, big.NewRat(1, 1))
	}
	if special != 0 {
		return event.DoubleOf(math.NaN()), false
	}
	// Σ(x - mean)² / less, the other form of the definition.
	mean := new(big.Rat).Quo(sum, n)
	total := new(big.Rat).Sub(squares, mean.Mul(mean, sum))
	v = nearest(total.Quo(total, less))
	if f == Stddev || f == StddevPop {
		v = event.DoubleOf(math.Sqrt(v.Double()))
	}
	return v, false
}

func nearest(x *big.Rat) event.Value {
	f, _ := x.Float64()
	return event.DoubleOf(f)
}

func naiveSum(sum *big.Rat, g Group) (v event.Value, overflow bool) {
	switch g.Type.Kind {
	case event.Long:
		if !sum.Num().IsInt64() {
			return event.Value{}, true
		}
		return event.LongOf(sum.Num().Int64()), false
	case event.Decimal:
		ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(g.Type.Scale)), nil)
		sum.Mul(sum, new(big.Rat).SetInt(ten))
		return event.DecimalOf(sum.Num(), g.Type.Scale), false
	}
	return nearest(sum), false
}
