package oracle

import (
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

func rat(n int) *big.Rat { return new(big.Rat).SetInt64(int64(n)) }

func product(factors ...*big.Rat) *big.Rat {
	x := rat(1)
	for _, f := range factors {
		x.Mul(x, f)
	}
	return x
}

func quotient(a, b *big.Rat) *big.Rat { return new(big.Rat).Quo(a, b) }

// moment is the mean of the k-th powers of the distances from the mean.
func moment(values []event.Value, k int) *big.Rat {
	m, x := mean(values), new(big.Rat)
	for _, v := range values {
		d := new(big.Rat).Sub(number(v), m)
		p := rat(1)
		for range k {
			p.Mul(p, d)
		}
		x.Add(x, p)
	}
	return x.Quo(x, rat(len(values)))
}

// shape is skew or kurtosis: of the population g1 = m3/m2^(3/2) and g2 = m4/m2²-3, of the sample
// G1 = g1·sqrt(n(n-1))/(n-2) and G2 = (n-1)/((n-2)(n-3))·((n+1)g2+6).
func shape(f agg.Func, values []event.Value) event.Value {
	n := len(values)
	if f == agg.Skew && n < 3 || f == agg.Kurtosis && n < 4 {
		return event.Value{}
	}
	if _, ok := notFinite(values); ok {
		return event.DoubleOf(math.NaN())
	}
	m2 := moment(values, 2)
	if m2.Sign() == 0 {
		return event.Value{}
	}
	switch f {
	case agg.Skew, agg.SkewPop:
		m3 := moment(values, 3)
		square := quotient(product(m3, m3), product(m2, m2, m2))
		if f == agg.Skew {
			square.Mul(square, quotient(rat(n*(n-1)), rat((n-2)*(n-2))))
		}
		return signedRoot(m3.Sign(), square)
	}
	g2 := quotient(moment(values, 4), product(m2, m2))
	g2.Sub(g2, rat(3))
	if f == agg.Kurtosis {
		g2.Mul(g2, rat(n+1))
		g2.Add(g2, rat(6))
		g2.Mul(g2, quotient(rat(n-1), rat((n-2)*(n-3))))
	}
	return nearest(g2)
}

// signedRoot is the square root of the rounded square.
func signedRoot(sign int, square *big.Rat) event.Value {
	r := math.Sqrt(nearest(square).Double())
	if sign < 0 {
		r = -r
	}
	return event.DoubleOf(r)
}

// comoment is the sum of the products of the distances from the means.
func comoment(x, y []*big.Rat) *big.Rat {
	center := func(x []*big.Rat) *big.Rat {
		s := new(big.Rat)
		for _, v := range x {
			s.Add(s, v)
		}
		return s.Quo(s, rat(len(x)))
	}
	mx, my, s := center(x), center(y), new(big.Rat)
	for i := range x {
		s.Add(s, product(new(big.Rat).Sub(x[i], mx), new(big.Rat).Sub(y[i], my)))
	}
	return s
}

// pairs are covariance and correlation of two columns.
func pairs(f agg.Func, in []sample) event.Value {
	n := len(in)
	if n < 2 && f != agg.CovariancePop {
		return event.Value{}
	}
	var x, y []*big.Rat
	for _, s := range in {
		if _, ok := notFinite([]event.Value{s.value, s.second}); ok {
			return event.DoubleOf(math.NaN())
		}
		x, y = append(x, number(s.value)), append(y, number(s.second))
	}
	xy := comoment(x, y)
	switch f {
	case agg.Covariance:
		return nearest(xy.Quo(xy, rat(n-1)))
	case agg.CovariancePop:
		return nearest(xy.Quo(xy, rat(n)))
	}
	xx, yy := comoment(x, x), comoment(y, y)
	if xx.Sign() == 0 || yy.Sign() == 0 {
		return event.Value{}
	}
	r := signedRoot(xy.Sign(), quotient(product(xy, xy), product(xx, yy)))
	return event.DoubleOf(min(max(r.Double(), -1), 1))
}

// slope is that of the least-squares line of the values against event time, per unit.
func slope(in []sample, per event.Duration) event.Value {
	var t, v []*big.Rat
	same := true
	for _, s := range in {
		t = append(t, new(big.Rat).SetInt64(int64(s.time)))
		same = same && s.time == in[0].time
	}
	if len(in) < 2 || same {
		return event.Value{}
	}
	if _, ok := notFinite(valuesOf(in)); ok {
		return event.DoubleOf(math.NaN())
	}
	for _, s := range in {
		v = append(v, number(s.value))
	}
	x := quotient(comoment(t, v), comoment(t, t))
	return nearest(x.Mul(x, new(big.Rat).SetInt64(int64(per))))
}

// drawdown is the largest fraction lost from an earlier peak.
func drawdown(values []event.Value) event.Value {
	peak, most := math.Inf(-1), 0.0
	for _, v := range values {
		x := asDouble(v)
		if math.IsNaN(x) {
			return event.DoubleOf(math.NaN())
		}
		peak = max(peak, x)
		if peak <= 0 || x == peak {
			continue
		}
		share := max(x, 0) / peak
		most = max(most, 1-share)
	}
	return event.DoubleOf(most)
}

func allTrue(values []event.Value) bool {
	for _, v := range values {
		if !v.Bool() {
			return false
		}
	}
	return true
}

func anyTrue(values []event.Value) bool {
	for _, v := range values {
		if v.Bool() {
			return true
		}
	}
	return false
}
