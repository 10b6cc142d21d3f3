package elementary

import (
	"math"
	"math/big"
	"sync"
)

// Sin is the sine of x radians; NaN of infinities.
func Sin(x float64) float64 {
	r, n := quarter(x)
	switch n & 3 {
	case 0:
		return sine(r)
	case 1:
		return cosine(r)
	case 2:
		return -sine(r)
	}
	return -cosine(r)
}

// Cos is the cosine of x radians; NaN of infinities.
func Cos(x float64) float64 {
	r, n := quarter(x)
	switch n & 3 {
	case 0:
		return cosine(r)
	case 1:
		return -sine(r)
	case 2:
		return -cosine(r)
	}
	return sine(r)
}

// maxPlain is up to where multiples of a quarter turn are subtracted in doubles.
const maxPlain = 1 << 20

// quarter takes whole quarter turns off x: x = n·π/2 + r, with n modulo 4 and r at most π/4 and a bit.
func quarter(x float64) (r pair, n int) {
	switch {
	case math.Abs(x) <= math.Pi/4:
		return pair{x, 0}, 0
	case x != x || math.IsInf(x, 0):
		return pair{math.NaN(), 0}, 0
	case math.Abs(x) > maxPlain:
		return quarterBig(x)
	}
	q := math.Floor(float64(x*quartersPerUnit) + 0.5)
	// The first three products are exact: q has 20 bits and the parts of π/2 have 33.
	r = add(x, -float64(q*quarterTurn[0]))
	r = r.plus(pair{-float64(q * quarterTurn[1]), 0})
	r = r.plus(pair{-float64(q * quarterTurn[2]), 0})
	r = r.plus(pair{-float64(q * quarterTurn[3]), 0})
	return r, int(q)
}

// halfPi is π/2 to more bits than the greatest double has, and a double's.
var halfPi = sync.OnceValue(func() *big.Float {
	// Machin: π/4 = 4·atan(1/5) - atan(1/239), in units of 2^-1300.
	atan := func(n int64) *big.Int {
		term := new(big.Int).Lsh(big.NewInt(1), 1300)
		term.Quo(term, big.NewInt(n))
		sum, square := new(big.Int).Set(term), big.NewInt(n*n)
		for k := int64(3); term.Sign() != 0; k += 2 {
			term.Neg(term.Quo(term, square))
			sum.Add(sum, new(big.Int).Quo(term, big.NewInt(k)))
		}
		return sum
	}
	pi := atan(5)
	pi.Sub(pi.Lsh(pi, 2), atan(239))
	f := new(big.Float).SetPrec(1300).SetInt(pi)
	return f.SetMantExp(f, -1299)
})

// quarterBig is quarter for any finite x: slowly.
func quarterBig(x float64) (r pair, n int) {
	f := new(big.Float).SetPrec(2600).SetFloat64(x)
	q := new(big.Float).SetPrec(1300).Quo(f, halfPi())
	half := big.NewFloat(0.5)
	if x < 0 {
		half.Neg(half)
	}
	turns, _ := q.Add(q, half).Int(nil)
	f.Sub(f, new(big.Float).SetPrec(2600).Mul(new(big.Float).SetInt(turns), halfPi()))
	r.hi, _ = f.Float64()
	r.lo, _ = f.Sub(f, new(big.Float).SetFloat64(r.hi)).Float64()
	return r, int(turns.And(turns, big.NewInt(3)).Int64())
}

// sine is sin r for r at most π/4, by its series.
func sine(r pair) float64 {
	x := r.hi
	z := float64(x * x)
	series := -1.0/6 + float64(z*(1.0/120-float64(z*(1.0/5040-float64(z*(1.0/362880-float64(z*(1.0/39916800-float64(z*(1.0/6227020800-float64(z*(1.0/1307674368000-float64(z/355687428096000)))))))))))))
	return x + (float64(float64(z*x)*series) + float64(r.lo*(1-z/2)))
}

// cosine is cos r for r at most π/4, by its series.
func cosine(r pair) float64 {
	x := r.hi
	square := mul(x, x)
	z := square.hi
	series := 1.0/24 - float64(z*(1.0/720-float64(z*(1.0/40320-float64(z*(1.0/3628800-float64(z*(1.0/479001600-float64(z*(1.0/87178291200-float64(z*(1.0/20922789888000-float64(z/6402373705728000)))))))))))))
	s := addFast(1, -z/2)
	return s.hi + (s.lo + (float64(float64(z*z)*series) - (square.lo/2 + float64(x*r.lo))))
}

// Atan2 is the angle of the point (x, y), between -π and π; 0 of (0, 0), NaN if one is NaN. An infinite
// coordinate counts as far beyond a finite one, and as far as another infinite one.
func Atan2(y, x float64) float64 {
	a, b := math.Abs(y), math.Abs(x)
	switch {
	case a != a || b != b:
		return math.NaN()
	case math.IsInf(a, 1) && math.IsInf(b, 1):
		a, b = 1, 1
	case a == 0 && b == 0:
		return 0
	}
	steep := a > b
	if steep {
		a, b = b, a
	}
	t := pair{a / b, 0}
	if t.hi > 0x1p-900 && b < 0x1p900 { // else what is left of the division may underflow, and matters not
		t.lo = math.FMA(-t.hi, b, a) / b
	}
	angle := arcTan(t)
	if steep {
		angle = quarterPair.plus(pair{-angle.hi, -angle.lo})
	}
	if x < 0 {
		angle = pair{2 * quarterPair.hi, 2 * quarterPair.lo}.plus(pair{-angle.hi, -angle.lo})
	}
	if y < 0 {
		return -angle.hi
	}
	return angle.hi
}

// arcTan is the arc tangent of t between 0 and 1: atan t = atan c + atan((t-c)/(1+t·c)) with c = i/16.
func arcTan(t pair) pair {
	i := math.Floor(float64(t.hi*16) + 0.5)
	u := t
	if t.hi <= 1.0/16 {
		i = 0
	} else {
		c := i / 16
		u = pair{(t.hi - c + t.lo) / (1 + float64(t.hi*c)), 0}
	}
	z := float64(u.hi * u.hi)
	series := -1.0/3 + float64(z*(1.0/5-float64(z*(1.0/7-float64(z*(1.0/9-float64(z*(1.0/11-float64(z/13)))))))))
	return arcTangents[int(i)].plus(add(u.hi, u.lo+float64(float64(z*u.hi)*series)))
}
