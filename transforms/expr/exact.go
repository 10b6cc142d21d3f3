package expr

import (
	"math"
	"math/bits"

	"github.com/penstock-ml/penstock/event"
)

// exactSum is an exact sum of doubles, longs and products of two doubles: a fixed-point number in limbs of 32
// bits, held in int64 so that carries may wait (R. Neal, "Fast exact summation using small and large
// superaccumulators", 2015). limbs[i] weighs 2^(32·(i-lowLimb)). The zero exactSum is 0.
type exactSum struct {
	limbs [lowLimb + 68]int64
	n     int     // terms
	extra float64 // the sum of infinities and NaN
}

const (
	lowLimb  = 68 // a product of two least doubles is 2^-2148
	limbMask = 1<<32 - 1
)

// add adds ±m·2^e.
func (a *exactSum) add(m uint64, e int, negative bool) {
	i, s := e>>5+lowLimb, uint(e&31)
	lo, hi := m<<s, m>>(64-s)
	l := a.limbs[i : i+3 : i+3]
	if negative {
		l[0] -= int64(lo & limbMask)
		l[1] -= int64(lo >> 32)
		l[2] -= int64(hi)
		return
	}
	l[0] += int64(lo & limbMask)
	l[1] += int64(lo >> 32)
	l[2] += int64(hi)
}

func (a *exactSum) addLong(n int64) { a.add(uint64(max(n, -n)), 0, n < 0) }

func (a *exactSum) addDouble(f float64) {
	if f-f != 0 {
		a.extra += f
		return
	}
	m, e := parts(f)
	a.add(m, e, f < 0)
}

// addProduct adds x·y.
func (a *exactSum) addProduct(x, y float64) {
	if x-x != 0 || y-y != 0 {
		a.extra += float64(x * y)
		return
	}
	m, e := parts(x)
	p, q := parts(y)
	hi, lo := bits.Mul64(m, p)
	a.add(lo, e+q, (x < 0) != (y < 0))
	a.add(hi, e+q+64, (x < 0) != (y < 0))
}

// parts is |f| as m·2^e, for a finite f.
func parts(f float64) (m uint64, e int) {
	b := math.Float64bits(f)
	m, e = b&(1<<52-1), int(b>>52&0x7ff)
	if e == 0 {
		return m, -1074
	}
	return m | 1<<52, e - 1075
}

// settle carries, so that all limbs are below 2^32, and returns the sign of what then is a magnitude.
func (a *exactSum) settle() (negative bool) {
	var carry int64
	for i := range a.limbs {
		x := a.limbs[i] + carry
		a.limbs[i], carry = x&limbMask, x>>32
	}
	if carry >= 0 {
		return false
	}
	up := int64(1)
	for i := range a.limbs {
		x := a.limbs[i] ^ limbMask + up
		a.limbs[i], up = x&limbMask, x>>32
	}
	return true
}

// over is the sum divided by n, rounded once to a double.
func (a *exactSum) over(n uint32) float64 {
	if a.extra != 0 {
		return a.extra // an infinity or NaN
	}
	m, e := a.rounded(n, -1074)
	return math.Ldexp(m, e)
}

// rounded is the sum divided by n as m·2^e, where m is a whole number of at most 53 bits and e is not below
// least. It leaves a useless.
func (a *exactSum) rounded(n uint32, least int) (m float64, e int) {
	negative := a.settle()
	var rest uint64
	top := -1
	for i := len(a.limbs) - 1; i >= 0; i-- {
		x := rest<<32 | uint64(a.limbs[i])
		a.limbs[i], rest = int64(x/uint64(n)), x%uint64(n)
		if top < 0 && a.limbs[i] != 0 {
			top = i
		}
	}
	if top < 0 {
		return 0, least // below half of the least double
	}
	at := func(i int) uint64 {
		if i < 0 {
			return 0
		}
		return uint64(a.limbs[i])
	}
	v := at(top)<<32 | at(top-1)
	e = 32 * (top - 1 - lowLimb)
	shift := bits.LeadingZeros64(v)
	v = v<<shift | at(top-2)<<32>>(64-shift)
	below := at(top-2) << shift & limbMask
	more := rest != 0 || below != 0
	for i := top - 3; i >= 0 && !more; i-- {
		more = a.limbs[i] != 0
	}
	e -= shift
	drop := max(11, least-e) // bits of v
	if drop > 64 {
		return 0, least
	}
	kept, lost := v>>drop, v<<(64-drop)
	if drop == 64 {
		kept, lost = 0, v
	}
	if lost > 1<<63 || lost == 1<<63 && (more || kept&1 != 0) {
		kept++
	}
	m = float64(kept)
	if negative {
		m = -m
	}
	return m, e + drop
}

// sumOf adds the numbers of an encoded array, nulls and what is no number aside; ok is false if it is
// corrupt.
func sumOf(s string, a *exactSum) (ok bool) {
	for s != "" {
		e, rest, err := event.DecodeValue(s)
		if err != nil {
			return false
		}
		s = rest
		switch e.Kind {
		case event.Long:
			a.addLong(e.Long())
		case event.Double:
			a.addDouble(e.Double())
		default:
			continue
		}
		a.n++
	}
	return true
}

// sumLongs is the sum of an array of longs; ok is false where it is none.
func sumLongs(s string) (sum int64, ok bool) {
	var hi, lo uint64
	n := 0
	for s != "" {
		e, rest, err := event.DecodeValue(s)
		if err != nil {
			return 0, false
		}
		if s = rest; e.Kind == event.Long {
			var carry uint64
			lo, carry = bits.Add64(lo, uint64(e.Long()), 0)
			hi, _ = bits.Add64(hi, uint64(e.Long()>>63), carry)
			n++
		}
	}
	return int64(lo), n > 0 && int64(hi) == int64(lo)>>63
}
