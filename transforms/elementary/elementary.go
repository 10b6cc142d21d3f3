// Package elementary has the elementary functions of which every machine must give the same bits. The
// standard library's use assembly on some machines and let products fuse into sums on others.
//
// Everything here is IEEE addition, multiplication, division and square root, each rounded by itself, and
// fused multiply-adds where they are asked for, which are exact by definition. Exp, Exp2, Log, Log2, Log10
// and Pow carry about 70 bits and round once: they are within 0.51 units in the last place (in the range of
// subnormals too), and exact where the answer is a double. Sin, Cos and Atan2 are within one unit.
//
// The methods are the classic ones: arguments reduced by tables, short series, and pairs of doubles for
// what a double cannot hold (T. J. Dekker, "A floating-point technique for extending the available
// precision", 1971; P. T. P. Tang, "Table-driven implementation of the exponential function", 1989).
package elementary

import (
	"math"
	"math/bits"
)

// pair is the unrounded sum of two doubles, lo at most half a unit in the last place of hi.
type pair struct{ hi, lo float64 }

// add is a+b exactly.
func add(a, b float64) pair {
	s := a + b
	t := s - a
	return pair{s, (a - (s - t)) + (b - t)}
}

// addFast is a+b exactly, where a is 0 or not below b in magnitude.
func addFast(a, b float64) pair {
	s := a + b
	return pair{s, b - (s - a)}
}

// mul is a·b exactly, unless it underflows.
func mul(a, b float64) pair {
	p := float64(a * b)
	return pair{p, math.FMA(a, b, -p)}
}

func (p pair) plus(q pair) pair {
	s, t := add(p.hi, q.hi), add(p.lo, q.lo)
	s = addFast(s.hi, s.lo+t.hi)
	return addFast(s.hi, s.lo+t.lo)
}

func (p pair) times(q pair) pair {
	s := mul(p.hi, q.hi)
	return addFast(s.hi, s.lo+(float64(p.hi*q.lo)+float64(p.lo*q.hi)))
}

func (p pair) half() pair { return pair{p.hi / 2, p.lo / 2} }

// power is 2^k for k of a normal double.
func power(k int) float64 { return math.Float64frombits(uint64(k+1023) << 52) }

// scaled is p·2^k rounded once; p.hi is positive.
func (p pair) scaled(k int) float64 {
	if e := int(math.Float64bits(p.hi)>>52) - 1023 + k; e < -1080 {
		return 0
	} else if e >= -1022 {
		return float64(p.hi*power(k/2)) * power(k-k/2)
	}
	// Into the subnormals: hi is rounded already, and must not be rounded again. In units of the least
	// double, what is left behind the point decides.
	hi, lo := float64(p.hi*power(k+1074)), float64(p.lo*power(k+1074))
	n := math.Floor(hi)
	rest := hi - n + lo
	units := uint64(n)
	if rest > 0.5 || rest == 0.5 && units&1 != 0 {
		units++
	}
	return math.Float64frombits(units)
}

// Exp is e^x.
func Exp(x float64) float64 {
	switch {
	case x != x || x > 710:
		return x + math.Inf(1)
	case x < -746:
		return 0
	}
	return exp(pair{x, 0})
}

// Exp2 is 2^x.
func Exp2(x float64) float64 {
	switch {
	case x != x || x >= 1024:
		return x + math.Inf(1)
	case x < -1076:
		return 0
	}
	k := math.Floor(x + 0.5)
	if k == x {
		return pair{1, 0}.scaled(int(k))
	}
	m, n := expPair(mul(x-k, ln2.hi).plus(pair{float64((x - k) * ln2.lo), 0}))
	return m.scaled(n + int(k))
}

// exp is e^x for x between -746 and 710.
func exp(x pair) float64 {
	m, k := expPair(x)
	return m.scaled(k)
}

// expPair is e^x as m·2^k. x = (128·k + i)·ln2/128 + r, and 2^(i/128) is in a table.
func expPair(x pair) (m pair, k int) {
	n := math.Floor(float64(x.hi*stepsPerUnit) + 0.5)
	i := int(n)
	// n·step[0] and n·step[1] are exact: n has 18 bits, and they 33 each.
	r := add(x.hi, -float64(n*step[0]))
	r = r.plus(pair{-float64(n * step[1]), x.lo - float64(n*step[2])})
	h := r.hi // at most 0.0028
	series := float64(h*h) * (1.0/2 + float64(h*(1.0/6+float64(h*(1.0/24+float64(h*(1.0/120+float64(h/720))))))))
	e := addFast(h, series+(r.lo+float64(h*r.lo)))
	t := powersOfTwo[i&127]
	p := mul(t.hi, e.hi)
	s := addFast(t.hi, p.hi)
	low := p.lo + (float64(t.hi*e.lo) + float64(t.lo*e.hi)) + t.lo
	return addFast(s.hi, s.lo+low), i >> 7
}

// Log is the natural logarithm: -Inf of 0, NaN below.
func Log(x float64) float64 {
	if y, ok := logEdge(x); ok {
		return y
	}
	return log(x).hi
}

// Log2 is the logarithm to base 2.
func Log2(x float64) float64 {
	if y, ok := logEdge(x); ok {
		return y
	}
	return log(x).times(perLn2).hi
}

// Log10 is the logarithm to base 10.
func Log10(x float64) float64 {
	if y, ok := logEdge(x); ok {
		return y
	}
	return log(x).times(perLn10).hi
}

// logEdge is the logarithm of what is no positive finite number, and of 1.
func logEdge(x float64) (y float64, ok bool) {
	switch {
	case x == 0:
		return math.Inf(-1), true
	case x < 0 || x != x:
		return math.NaN(), true
	case x == 1:
		return 0, true
	}
	return x, math.IsInf(x, 1)
}

// log is the natural logarithm of a positive finite x. x = 2^k·m, and m times c, the short reciprocal of
// its neighbourhood, is 1 + r: log x = k·ln2 - log c + log(1+r).
func log(x float64) pair {
	k := 0
	if x < power(-1022) {
		x, k = x*power(54), -54
	}
	b := math.Float64bits(x)
	k += int(b>>52) - 1023
	m := math.Float64frombits(b&(1<<52-1) | 1023<<52)
	i := b >> 44 & 255
	if i >= upperHalf { // m between 0.707 and 1.414, so that what is near 1 is not a small difference
		m, k = m/2, k+1
	}
	p := mul(m, reciprocals[i])
	r := add(p.hi-1, p.lo) // at most 2^-8
	h := r.hi
	square := r.times(r)
	cube := square.times(r).times(third)
	series := -1.0/4 + float64(h*(1.0/5-float64(h*(1.0/6-float64(h*(1.0/7-float64(h*(1.0/8-float64(h*(1.0/9-float64(h*(1.0/10-float64(h/11)))))))))))))
	rest := cube.plus(pair{float64(float64(square.hi*square.hi) * series), 0})
	square = square.half()
	y := r.plus(pair{-square.hi, -square.lo}).plus(rest)
	if i != 0 && i != 255 {
		y = logarithms[i].plus(y)
	}
	if k != 0 {
		n := float64(k)
		y = mul(n, ln2.hi).plus(pair{float64(n * ln2.lo), 0}).plus(y)
	}
	return y
}

// Pow is x^y, with the special cases of IEEE 754 (and of math.Pow).
func Pow(x, y float64) float64 {
	switch {
	case y == 0 || x == 1:
		return 1
	case x != x || y != y:
		return math.NaN()
	case math.IsInf(y, 0) || x == 0 || math.IsInf(x, 0):
		return powEdge(x, y)
	}
	sign := 1.0
	if x < 0 {
		if y != math.Trunc(y) {
			return math.NaN()
		}
		if odd(y) {
			sign = -1
		}
		x = -x
	}
	switch y { // one operation, rounded by IEEE's rule
	case 2:
		return float64(x * x)
	case 1:
		return sign * x
	case 0.5:
		return math.Sqrt(x)
	case -1:
		return sign / x
	}
	if z, ok := powExact(x, y); ok {
		return sign * z
	}
	l := log(x)
	h := float64(l.hi * y)
	switch {
	case h > 710:
		return sign * math.Inf(1)
	case h < -746:
		return sign * 0
	case math.Abs(h) < 0x1p-60:
		return sign
	}
	t := mul(l.hi, y)
	return sign * exp(addFast(t.hi, t.lo+float64(l.lo*y)))
}

// odd tells whether a whole y is odd.
func odd(y float64) bool { return math.Abs(y) < 1<<53 && int64(y)&1 != 0 }

// powEdge is x^y where x is 0 or infinite, or y is infinite.
func powEdge(x, y float64) float64 {
	a := math.Abs(x)
	if a == 1 {
		return 1 // (-1)^±Inf
	}
	sign := 1.0
	if x < 0 && !math.IsInf(y, 0) && y == math.Trunc(y) && odd(y) {
		sign = -1
	}
	if a > 1 == (y > 0) {
		return sign * math.Inf(1)
	}
	return sign * 0
}

// powExact is x^y where it has at most 64 bits and y is a small whole number: what could lie halfway
// between two doubles.
func powExact(x, y float64) (float64, bool) {
	if y < 2 || y > 64 || y != math.Trunc(y) {
		return 0, false
	}
	frac, e := math.Frexp(x)
	m := uint64(frac * (1 << 53))
	z := bits.TrailingZeros64(m)
	m, e = m>>z, e-53+z
	n := int(y)
	if bits.Len64(m)*n > 64 {
		return 0, false
	}
	p := uint64(1)
	for range n {
		p *= m
	}
	top := bits.Len64(p)
	if k := e*n + top; k > -1021 && k <= 1024 {
		f := float64(p) * power(-top) // between 1/2 and 1
		return pair{f * 2, 0}.scaled(e*n + top - 1), true
	}
	return 0, false
}
