package agg

import (
	"math"
	"math/big"
	"math/bits"
	"slices"

	"github.com/penstock-ml/penstock/event"
)

// scalar answers c from the parts of a group that has counted something.
func (p *Partial) scalar(c *Call, g *group, at At) (v event.Value, overflow bool) {
	switch c.Func {
	case Count:
		v = event.LongOf(g.count)
	case Sum:
		v, overflow = p.finishSum(g)
	case Avg:
		v = p.finishAvg(g)
	case Min:
		v = g.extreme(g.low, true)
	case Max:
		v = g.extreme(g.high, false)
	case First:
		v = g.ends.first.value.get()
	case Last:
		v = g.ends.last.value.get()
	case Variance, Stddev:
		v = p.finishVariance(g, 1, c.Func == Stddev)
	case VariancePop, StddevPop:
		v = p.finishVariance(g, 0, c.Func == StddevPop)
	case Skew, SkewPop:
		v = g.finishSkew(c.Func == Skew)
	case Kurtosis, KurtosisPop:
		v = g.finishKurtosis(c.Func == Kurtosis)
	case BoolAnd:
		v = g.extreme(g.low, true)
	case BoolOr:
		v = g.extreme(g.high, false)
	case Rate:
		v = p.finishRate(c, g, at)
	case TimeSinceLast:
		v = g.finishSince(at)
	case TimeBetween:
		v = g.finishBetween()
	}
	return v, overflow
}

func (g *group) notFinite() (f float64, ok bool) { return notFinite(g.flags) }

// notFinite is the sum of what is not a number; ok is false if all are.
func notFinite(flags byte) (f float64, ok bool) {
	switch flags {
	case 0:
		return 0, false
	case hasPosInf:
		return math.Inf(1), true
	case hasNegInf:
		return math.Inf(-1), true
	}
	return math.NaN(), true
}

// signed returns ±f as a value.
func signed(f float64, negative bool) event.Value {
	if negative {
		f = -f
	}
	return event.DoubleOf(f)
}

func (p *Partial) finishSum(g *group) (v event.Value, overflow bool) {
	if f, ok := g.notFinite(); ok {
		return event.DoubleOf(f), false
	}
	words, e, negative := g.sum.magnitude(p.words)
	p.words = words
	switch g.class {
	case classDouble:
		return signed(roundWords(words, e, false), negative), false
	case classDecimal:
		g.ends.out = appendInteger(g.ends.out[:0], words, e, negative)
		return event.Value{Kind: event.Decimal, Num: g.scale, Str: event.Alias(g.ends.out)}, false
	}
	return longOf(words, negative) // e is 0
}

// longOf is ±words as a long, or nothing if it is none.
func longOf(words []uint64, negative bool) (v event.Value, overflow bool) {
	switch {
	case len(words) == 0:
		return event.LongOf(0), false
	case len(words) > 1 || words[0] > 1<<63 || words[0] == 1<<63 && !negative:
		return event.Value{}, true
	case negative:
		return event.LongOf(int64(-words[0])), false
	}
	return event.LongOf(int64(words[0])), false
}

func (p *Partial) finishAvg(g *group) event.Value {
	if f, ok := g.notFinite(); ok {
		return event.DoubleOf(f)
	}
	words, e, negative := g.sum.magnitude(p.words)
	words = slices.Grow(words, 2)[:len(words)] // room for divide
	p.words = words
	n := uint64(g.count)
	if g.class == classDecimal {
		over, low := uint64(0), uint64(0)
		if g.scale <= 19 {
			over, low = bits.Mul64(n, tenTo(g.scale))
		}
		if g.scale > 19 || over != 0 {
			sum := scaled(bigOf(words, negative), e)
			return event.DoubleOf(quotient(sum, timesPow10(big.NewInt(g.count), g.scale)))
		}
		n = low
	}
	return signed(divide(words, e, n), negative)
}

// finishVariance answers (n·Σx² - (Σx)²) / (n·(n-ddof)), rounded once, or its square root.
func (p *Partial) finishVariance(g *group, ddof int64, root bool) event.Value {
	if g.count <= ddof {
		return event.Value{}
	}
	if _, ok := g.notFinite(); ok {
		return event.DoubleOf(math.NaN())
	}
	words, e, negative := g.sum.magnitude(p.words)
	sum := bigOf(words, negative)
	words, e2, _ := g.squares.magnitude(words)
	squares := bigOf(words, false)
	p.words = words
	// Both over the same power of two.
	low := min(2*e, e2)
	n := big.NewInt(g.count)
	num := scaled(squares.Mul(squares, n), e2-low)
	num.Sub(num, scaled(sum.Mul(sum, sum), 2*e-low))
	den := new(big.Int).Mul(n, big.NewInt(g.count-ddof))
	if low > 0 {
		num = scaled(num, low)
	} else {
		den = scaled(den, -low)
	}
	if g.class == classDecimal {
		den = timesPow10(den, 2*g.scale)
	}
	f := quotient(num, den)
	if root {
		f = math.Sqrt(f)
	}
	return event.DoubleOf(f)
}

// extreme is the least or greatest value; NaN wins.
func (g *group) extreme(key int64, least bool) event.Value {
	switch g.class {
	case classInteger:
		return event.Value{Kind: g.kind, Num: uint64(key)}
	case classDouble:
		if g.flags&hasNaN != 0 {
			return event.DoubleOf(math.NaN())
		}
		return event.DoubleOf(keyDouble(key))
	}
	v := event.Value{Kind: g.kind, Num: g.scale, Str: event.Alias(g.ends.high)}
	if least {
		v.Str = event.Alias(g.ends.low)
	}
	return v
}

// tenTo returns 10^n, n <= 19.
func tenTo(n uint64) uint64 {
	x := uint64(1)
	for ; n > 0; n-- {
		x *= 10
	}
	return x
}

// bigOf returns ±words.
func bigOf(words []uint64, negative bool) *big.Int {
	b := make([]byte, 0, 8*len(words))
	for i := len(words) - 1; i >= 0; i-- {
		w := words[i]
		b = append(b, byte(w>>56), byte(w>>48), byte(w>>40), byte(w>>32), byte(w>>24), byte(w>>16), byte(w>>8), byte(w))
	}
	n := new(big.Int).SetBytes(b)
	if negative {
		n.Neg(n)
	}
	return n
}

// scaled returns n·2^e in n's memory, e >= 0.
func scaled(n *big.Int, e int) *big.Int { return n.Lsh(n, uint(e)) }

// timesPow10 returns n·10^scale in n's memory.
func timesPow10(n *big.Int, scale uint64) *big.Int {
	return n.Mul(n, new(big.Int).Exp(big.NewInt(10), new(big.Int).SetUint64(scale), nil))
}

// quotient returns num/den rounded once to the nearest double, ties to even; den > 0. Both are overwritten.
func quotient(num, den *big.Int) float64 {
	if num.Sign() == 0 {
		return 0
	}
	negative := num.Sign() < 0
	num.Abs(num)
	// Make the quotient longer than 64 bits.
	e := 0
	if s := den.BitLen() - num.BitLen() + 66; s > 0 {
		num.Lsh(num, uint(s))
		e = -s
	}
	num.QuoRem(num, den, den)
	more := den.Sign() != 0
	drop := num.BitLen() - 64
	more = more || int(num.TrailingZeroBits()) < drop
	f := round(num.Rsh(num, uint(drop)).Uint64(), e+drop, more)
	if negative {
		return -f
	}
	return f
}
