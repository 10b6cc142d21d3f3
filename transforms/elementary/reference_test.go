package elementary

import (
	"math"
	"math/big"
)

// prec is the precision of the references, in bits.
const prec = 320

func newBig() *big.Float { return new(big.Float).SetPrec(prec) }

func bigOf(x float64) *big.Float { return newBig().SetFloat64(x) }

// series sums term, term·next(1), term·next(1)·next(2) … until it no longer matters.
func series(term *big.Float, next func(t *big.Float, k int64)) *big.Float {
	sum := newBig().Set(term)
	for k := int64(1); k < 10000; k++ {
		next(term, k)
		if term.Sign() == 0 || term.MantExp(nil) < sum.MantExp(nil)-prec-8 {
			break
		}
		sum.Add(sum, term)
	}
	return sum
}

// refLog is the natural logarithm of x > 0.
func refLog(x *big.Float) *big.Float {
	m := newBig()
	k := x.MantExp(m) // m between 1/2 and 1
	y := atanh(m)
	if k != 0 {
		y.Add(y, newBig().Mul(newBig().SetInt64(int64(k)), refLn2()))
	}
	return y
}

// atanh of (m-1)/(m+1), twice: log m.
func atanh(m *big.Float) *big.Float {
	one := bigOf(1)
	z := newBig().Quo(newBig().Sub(m, one), newBig().Add(m, one))
	square, power := newBig().Mul(z, z), newBig().Set(z)
	sum := newBig().Set(z)
	for k := int64(3); k < 10000 && power.Sign() != 0; k += 2 {
		power.Mul(power, square)
		t := newBig().Quo(power, newBig().SetInt64(k))
		if t.Sign() == 0 || t.MantExp(nil) < sum.MantExp(nil)-prec-8 {
			break
		}
		sum.Add(sum, t)
	}
	return sum.Mul(sum, bigOf(2))
}

func refLn2() *big.Float { return newBig().Neg(atanh(bigOf(0.5))) }

// refExp is e^x.
func refExp(x *big.Float) *big.Float {
	q, _ := newBig().Quo(x, refLn2()).Float64()
	k := int(math.Floor(q))
	r := newBig().Sub(x, newBig().Mul(newBig().SetInt64(int64(k)), refLn2()))
	y := series(bigOf(1), func(t *big.Float, k int64) { t.Quo(t.Mul(t, r), newBig().SetInt64(k)) })
	return y.SetMantExp(y, k)
}

// refSin is sin x, or cos x if shifted is true, for any finite x.
func refSin(x *big.Float, shifted bool) *big.Float {
	wide := func() *big.Float { return new(big.Float).SetPrec(2600) }
	turn := wide().Mul(halfPi(), bigOf(4))
	q, _ := wide().Quo(x, turn).Int(nil)
	r := newBig().Set(wide().Sub(x, wide().Mul(wide().SetInt(q), turn)))
	square := newBig().Mul(r, r)
	first, odd := r, int64(1)
	if shifted {
		first, odd = bigOf(1), 0
	}
	return series(newBig().Set(first), func(t *big.Float, k int64) {
		t.Neg(t.Quo(t.Mul(t, square), newBig().SetInt64((2*k+odd)*(2*k+odd-1))))
	})
}

// refAtan is atan t for t between 0 and 1.
func refAtan(t *big.Float) *big.Float {
	// Halve the angle five times: atan t = 2·atan(t / (1 + sqrt(1+t²))).
	x := newBig().Set(t)
	for range 5 {
		root := newBig().Sqrt(newBig().Add(bigOf(1), newBig().Mul(x, x)))
		x.Quo(x, root.Add(root, bigOf(1)))
	}
	square, power, sum := newBig().Mul(x, x), newBig().Set(x), newBig().Set(x)
	for k := int64(3); k < 1000 && power.Sign() != 0; k += 2 {
		power.Neg(power.Mul(power, square))
		sum.Add(sum, newBig().Quo(power, newBig().SetInt64(k)))
	}
	return sum.Mul(sum, bigOf(32))
}

// refAtan2 is the angle of (x, y), both finite and not both 0.
func refAtan2(y, x float64) *big.Float {
	a, b := bigOf(math.Abs(y)), bigOf(math.Abs(x))
	var angle *big.Float
	if a.Cmp(b) <= 0 {
		angle = refAtan(a.Quo(a, b))
	} else {
		angle = newBig().Sub(halfPi(), refAtan(b.Quo(b, a)))
	}
	if x < 0 {
		angle = newBig().Sub(newBig().Mul(halfPi(), bigOf(2)), angle)
	}
	if y < 0 {
		angle.Neg(angle)
	}
	return angle
}

// ulps is how far got is from want, in units of the last place of want.
func ulps(got float64, want *big.Float) float64 {
	w, _ := want.Float64()
	if w == got && (w == 0 || math.IsInf(w, 0)) {
		return 0
	}
	if math.IsInf(got, 0) != math.IsInf(w, 0) || math.IsNaN(got) {
		return math.Inf(1)
	}
	unit := max(want.MantExp(nil)-53, -1074)
	d := newBig().Sub(bigOf(got), want)
	d.SetMantExp(d, -unit)
	f, _ := d.Float64()
	return math.Abs(f)
}
