package agg

import (
	"math"
	"math/bits"
)

// accumulator is an exact sum: a fixed-point number of as many 32-bit limbs as its terms have needed,
// held in int64 so that carries may wait (R. Neal, "Fast exact summation using small and large
// superaccumulators", 2015). limbs[i] weighs 2^(32·(base+i)) and may have either sign; the number is
// their sum. The zero accumulator is 0 and ready for use.
//
// Any double, any square of a double, and any integer is a sum of limbs; a double needs limbs
// -34 … 31, a square of one -68 … 63, and a count of up to 2^63 terms two more.
type accumulator struct {
	limbs []int64
	base  int
	adds  uint32 // |limbs[i]| <= adds·2^32
}

// maxAdds is when carries are propagated at the latest: two accumulators of this many adds unite
// without overflow of a limb.
const maxAdds = 1 << 29

const limbMask = 1<<32 - 1

// add adds ±m·2^e.
func (a *accumulator) add(m uint64, e int, negative bool) {
	if m == 0 { // must not widen the limbs
		return
	}
	k, s := e>>5, uint(e&31)
	i := k - a.base
	if i < 0 || i+3 > len(a.limbs) {
		a.grow(k, k+4) // one to spare, for carries
		i = k - a.base
	}
	if a.adds++; a.adds >= maxAdds {
		a.normalise()
		a.adds++
		i = k - a.base
	}
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

// addLong adds n.
func (a *accumulator) addLong(n int64) {
	if n < 0 {
		a.add(-uint64(n), 0, true)
		return
	}
	a.add(uint64(n), 0, false)
}

// addDouble adds the double of these bits, which must be finite.
func (a *accumulator) addDouble(b uint64) {
	m, e := split(b)
	a.add(m, e, b>>63 != 0)
}

// addDoubleSquare adds the exact square of the double of these bits, which must be finite.
func (a *accumulator) addDoubleSquare(b uint64) {
	m, e := split(b)
	a.addProduct(m, m, 2*e)
}

// addProduct adds x·y·2^e.
func (a *accumulator) addProduct(x, y uint64, e int) {
	hi, lo := bits.Mul64(x, y)
	a.add(lo, e, false)
	a.add(hi, e+64, false)
}

// split takes the magnitude of a finite double apart: m·2^e.
func split(b uint64) (m uint64, e int) {
	m, e = b&(1<<52-1), int(b>>52&0x7ff)
	if e == 0 {
		return m, -1074
	}
	return m | 1<<52, e - 1075
}

// addWords adds the magnitude words (little-endian) times ±2^e.
func (a *accumulator) addWords(words []uint64, e int, negative bool) {
	for i, w := range words {
		a.add(w, e+64*i, negative)
	}
}

// merge adds b. What b has to spare above is left out: partials that are merged and used again in turn
// would otherwise widen each other without end. Its lowest limb stays the lowest: that of integers weighs 1.
func (a *accumulator) merge(b *accumulator) {
	n := len(b.limbs)
	for n > 0 && b.limbs[n-1] == 0 {
		n--
	}
	if n == 0 {
		return
	}
	if top := b.base + n; len(a.limbs) == 0 || b.base < a.base || top > a.base+len(a.limbs) {
		a.grow(b.base, top)
	}
	off := b.base - a.base
	for i, x := range b.limbs[:n] {
		a.limbs[off+i] += x
	}
	if a.adds += b.adds; a.adds >= maxAdds {
		a.normalise()
	}
}

// grow widens the limbs to hold at least [lo, hi).
func (a *accumulator) grow(lo, hi int) {
	if len(a.limbs) == 0 {
		a.base = lo
	} else {
		lo, hi = min(lo, a.base), max(hi, a.base+len(a.limbs))
	}
	limbs := make([]int64, hi-lo)
	copy(limbs[a.base-lo:], a.limbs)
	a.limbs, a.base = limbs, lo
}

// normalise propagates the carries: all limbs but the top one are then in [0, 2^32), the top one in
// (-2^32, 2^32), and its sign is the sign of the number.
func (a *accumulator) normalise() {
	if len(a.limbs) == 0 {
		return
	}
	for {
		carry, last := int64(0), len(a.limbs)-1
		for i, x := range a.limbs[:last] {
			x += carry
			a.limbs[i], carry = x&limbMask, x>>32
		}
		a.limbs[last] += carry
		a.adds = 1
		if top := a.limbs[last]; top > -1<<32 && top < 1<<32 {
			return
		}
		a.grow(a.base, a.base+len(a.limbs)+1)
	}
}

// reset makes a 0 and keeps its memory.
func (a *accumulator) reset() {
	clear(a.limbs)
	a.adds = 0
}

// magnitude writes |a| into dst (its memory is reused) as little-endian words without leading zeros;
// the lowest weighs 2^e.
func (a *accumulator) magnitude(dst []uint64) (words []uint64, e int, negative bool) {
	a.normalise()
	words = dst[:0]
	n := len(a.limbs)
	if n == 0 {
		return words, 0, false
	}
	sign := int64(1)
	if a.limbs[n-1] < 0 {
		sign, negative = -1, true
	}
	carry, low := int64(0), uint64(0)
	for i, x := range a.limbs {
		x = sign*x + carry
		carry = x >> 32
		if i&1 == 0 {
			low = uint64(x & limbMask)
		} else {
			words = append(words, low|uint64(x)<<32)
		}
	}
	// The top limb was below 2^32, so nothing is carried out of it.
	if n&1 == 1 {
		words = append(words, low)
	}
	return trim(words), 32 * a.base, negative
}

// trim cuts leading zeros off little-endian words.
func trim(words []uint64) []uint64 {
	for len(words) > 0 && words[len(words)-1] == 0 {
		words = words[:len(words)-1]
	}
	return words
}

// roundWords returns the double nearest to words·2^e, ties to even; more tells that the true number
// is larger by less than one unit of the lowest bit (words must then have more than 64 bits).
func roundWords(words []uint64, e int, more bool) float64 {
	words = trim(words)
	n := len(words)
	if n == 0 {
		return 0
	}
	top := words[n-1]
	e += 64 * (n - 1)
	if n > 1 {
		s := uint(bits.LeadingZeros64(top))
		top = top<<s | words[n-2]>>(64-s)
		e -= int(s)
		more = more || words[n-2]<<s != 0
		for _, w := range words[:n-2] {
			more = more || w != 0
		}
	}
	return round(top, e, more)
}

// round returns the double nearest to top·2^e, ties to even; more tells that the true number is
// larger by less than one unit of top (which must then have its highest bit set).
func round(top uint64, e int, more bool) float64 {
	if top == 0 {
		return 0
	}
	s := bits.LeadingZeros64(top)
	top <<= uint(s)
	e -= s
	keep := 53
	if low := e + 63 + 1022; low < 0 { // below the normal numbers: fewer bits
		keep += low
	}
	if keep < 0 {
		return 0
	}
	m, rest := top>>uint(64-keep), top<<uint(keep)
	if rest > 1<<63 || rest == 1<<63 && (more || m&1 == 1) {
		m++
	}
	return math.Ldexp(float64(m), e+64-keep)
}

// divide returns words·2^e/n, rounded once; n is not 0. words is overwritten and may be extended
// within its capacity.
func divide(words []uint64, e int, n uint64) float64 {
	// Two words more below make the quotient longer than 64 bits, since n has at most 64.
	words = append(words, 0, 0)
	copy(words[2:], words[:len(words)-2])
	words[0], words[1] = 0, 0
	rest := uint64(0)
	for i := len(words) - 1; i >= 0; i-- {
		words[i], rest = bits.Div64(rest, words[i], n)
	}
	return roundWords(words, e-128, rest != 0)
}

// leadingZeros counts the zero bits above the number; words has none above.
func leadingZeros(words []uint64) int { return bits.LeadingZeros64(words[len(words)-1]) }
