package agg

import (
	"math"
	"math/big"
	"math/bits"

	"github.com/penstock-ml/penstock/event"
)

// factor is a finite long, double or decimal taken apart: ±words·2^e, and for a decimal its unscaled
// integer. Its memory is reused.
type factor struct {
	words    []uint64 // little-endian, without leading zeros
	e        int
	negative bool
}

// set takes v apart; ok is false if it is not finite.
func (x *factor) set(v event.Value) (ok bool) {
	x.e, x.negative = 0, false
	switch v.Kind {
	case event.Decimal:
		x.words, x.negative = integerMagnitude(x.words, v.Str)
		return true
	case event.Double:
		if v.Num>>52&0x7ff == 0x7ff {
			return false
		}
		m, e := split(v.Num)
		x.words, x.e, x.negative = append(x.words[:0], m), e, v.Num>>63 != 0
	default:
		n := v.Long()
		m := uint64(n)
		if n < 0 {
			m, x.negative = -m, true
		}
		x.words = append(x.words[:0], m)
	}
	x.words = trim(x.words)
	return true
}

// setProduct makes x the product of a and b, which are other factors.
func (x *factor) setProduct(a, b *factor) {
	x.words = x.words[:0]
	for range len(a.words) + len(b.words) {
		x.words = append(x.words, 0)
	}
	for i, m := range a.words {
		carry := uint64(0)
		for j, n := range b.words {
			hi, lo := bits.Mul64(m, n)
			sum, c := bits.Add64(lo, x.words[i+j], 0)
			hi += c
			sum, c = bits.Add64(sum, carry, 0)
			x.words[i+j], carry = sum, hi+c
		}
		x.words[i+len(b.words)] = carry
	}
	x.words, x.e, x.negative = trim(x.words), a.e+b.e, a.negative != b.negative
}

// double is x·10^-scale, rounded once.
func (x *factor) double(scale uint64) float64 {
	if len(x.words) == 0 {
		return 0
	}
	// Enough words below to make the quotient longer than 64 bits. A quotient of quotients, all rounded
	// down, is the quotient by the product.
	words, more := x.words, false
	if scale > 0 {
		below := 2 + int(scale+18)/19
		for range below {
			words = append(words, 0)
		}
		copy(words[below:], words[:len(words)-below])
		clear(words[:below])
		x.words, x.e = words, x.e-64*below
	}
	for ; scale > 0; scale -= min(scale, 19) {
		n, rest := tenTo(min(scale, 19)), uint64(0)
		for i := len(words) - 1; i >= 0; i-- {
			words[i], rest = bits.Div64(rest, words[i], n)
		}
		more = more || rest != 0
	}
	f := roundWords(words, x.e, more)
	if x.negative {
		return -f
	}
	return f
}

// addFactor adds x.
func (a *accumulator) addFactor(x *factor) { a.addWords(x.words, x.e, x.negative) }

// big is the number: n·2^e.
func (a *accumulator) big() (n *big.Int, e int) {
	words, e, negative := a.magnitude(nil)
	return bigOf(words, negative), e
}

// powers are sums of powers over one unit: Σx^k is sums[k-1]·unit^k, unit a power of two.
func powers(sums ...*accumulator) (out []*big.Int) {
	unit := math.MaxInt
	es := make([]int, len(sums))
	for i, a := range sums {
		n, e := a.big()
		out, es[i] = append(out, n), e
		if n.Sign() != 0 {
			unit = min(unit, floorDiv(e, i+1))
		}
	}
	for i, n := range out {
		if n.Sign() != 0 {
			scaled(n, es[i]-(i+1)*unit)
		}
	}
	return out
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// product multiplies what it is given.
func product(factors ...*big.Int) *big.Int {
	p := big.NewInt(1)
	for _, f := range factors {
		p.Mul(p, f)
	}
	return p
}

// rootOf is sign·√(num/den), the quotient rounded before the root is taken.
func rootOf(sign int, num, den *big.Int) event.Value {
	return signed(math.Sqrt(quotient(num, den)), sign < 0)
}
