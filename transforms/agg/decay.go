package agg

import (
	"encoding/binary"
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/elementary"
)

// decay keeps exponentially decayed sums of values and of ones. A row at time t is k = floor(t/h) whole
// half-lives h and a fraction f of one after the epoch; its term is x·2^f, rounded to 53 bits, times 2^k.
// Terms are added exactly, so the sum depends on the set of rows alone; only what is answered is scaled
// to the instant of asking.
//
// So that sums have a bounded width, they are kept by generation: floor(k/1024). Beside the newest
// generation only the three before it are kept; what is left out weighs less than 2^-2048 of a unit.
//
//	structure = flags, one byte (doubles that are summed: 1 NaN, 2 +Inf, 4 -Inf)
//	            newest generation (signed)
//	            then for it and the three before it:
//	            number, the sum of 2^f (with an exponent; 0: no rows, the generation ends here)
//	            number, the sum of x·2^f (with an exponent), of a numeric input
type decay struct {
	halfLife int64
	sums     bool // the input is numeric
	scale    uint64
	flags    byte
	any      bool
	newest   int64          // the newest generation
	kept     [4]*generation // generation g is at g modulo 4; nil: none yet
	x        factor         // scratch
	words    []uint64
}

type generation struct {
	number  int64
	used    bool
	weights accumulator // Σ 2^f·2^(k - 1024·number)
	values  accumulator
}

// generationBits is the binary logarithm of the half-lives in a generation.
const generationBits = 10

func newDecay(halfLife event.Duration, t event.Type) *decay {
	return &decay{halfLife: int64(halfLife), sums: t.Numeric(), scale: uint64(t.Scale)}
}

// phase takes an instant apart: k whole half-lives since the epoch, and the fraction of one beyond.
func (k *decay) phase(t event.Time) (whole int64, fraction float64) {
	h := k.halfLife
	whole = int64(t) / h
	rest := int64(t) % h
	if rest < 0 {
		whole--
		rest += h
	}
	fraction = float64(rest) / float64(h)
	return whole, min(fraction, 1-0x1p-53) // a half-life of more than 2^53 µs
}

// at finds the generation of that number, empties it if it holds an older one, and makes it the newest
// if it is; nil if it is too old to be kept.
func (k *decay) at(number int64) *generation {
	switch {
	case !k.any || number > k.newest:
		k.any, k.newest = true, number
	case number < k.newest-3:
		return nil
	}
	g := k.kept[number&3]
	if g == nil {
		g = &generation{}
		k.kept[number&3] = g
	}
	if !g.used || g.number != number {
		g.reset()
		g.number, g.used = number, true
	}
	return g
}

func (g *generation) reset() {
	g.used = false
	g.weights.reset()
	g.values.reset()
}

// live is the generation of that number if it has rows.
func (k *decay) live(number int64) *generation {
	if g := k.kept[number&3]; g != nil && g.used && g.number == number {
		return g
	}
	return nil
}

func (k *decay) add(v, _ event.Value, r *event.Row) {
	whole, fraction := k.phase(r.Time)
	g := k.at(whole >> generationBits)
	weight := elementary.Exp2(fraction)
	shift := int(whole & (1<<generationBits - 1))
	if g != nil {
		g.weights.addScaled(weight, shift)
	}
	if !k.sums {
		return
	}
	x := 0.0
	switch v.Kind {
	case event.Double:
		x = v.Double()
	case event.Long:
		x = float64(v.Long())
	case event.Decimal:
		k.x.set(v)
		x = k.x.double(k.scale)
	}
	switch flag := flagOf(x); {
	case flag != 0:
		k.flags |= flag
	case g != nil && x != 0:
		// The mantissa is multiplied, so that no term overflows or loses bits below.
		m, e := math.Frexp(x)
		g.values.addScaled(float64(m*weight), shift+e)
	}
}

// addScaled adds f·2^e.
func (a *accumulator) addScaled(f float64, e int) {
	b := math.Float64bits(f)
	m, x := split(b)
	a.add(m, x+e, b>>63 != 0)
}

func (k *decay) merge(other keeper) {
	o := other.(*decay)
	k.flags |= o.flags
	if !o.any {
		return
	}
	for n := o.newest; n > o.newest-4; n-- {
		from := o.live(n)
		if from == nil {
			continue
		}
		if to := k.at(n); to != nil {
			to.weights.merge(&from.weights)
			to.values.merge(&from.values)
		}
	}
}

func (k *decay) reset() {
	k.flags, k.any = 0, false
	for _, g := range k.kept {
		if g != nil {
			g.reset()
		}
	}
}

func (k *decay) append(dst []byte) []byte {
	dst = binary.AppendVarint(append(dst, k.flags), k.newest)
	for n := k.newest; n > k.newest-4; n-- {
		g := k.live(n)
		if g == nil {
			dst = append(dst, 0)
			continue
		}
		before := len(dst)
		dst = g.weights.append(dst, true, &k.words)
		if k.sums && len(dst) > before+1 {
			dst = g.values.append(dst, true, &k.words)
		}
	}
	return dst
}

func (k *decay) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	flags, newest := d.byte(), d.varint()
	if flags > hasNaN|hasPosInf|hasNegInf || flags != 0 && !k.sums || newest != newest<<generationBits>>generationBits {
		return errCorrupt
	}
	k.flags |= flags
	k.at(newest)
	for n := newest; n > newest-4; n-- {
		if len(d.b) > 0 && d.b[0] == 0 {
			d.byte()
			continue
		}
		g := k.at(n)
		if g == nil {
			g = &generation{} // too old: read over
		}
		d.number(&g.weights, true, 2)
		if k.sums {
			d.number(&g.values, true, 2)
		}
	}
	return d.end()
}

// total is the sum over the generations kept, of weights or of values, as of the beginning of the oldest.
func (k *decay) total(values bool) (sum accumulator) {
	oldest := k.newest - 3
	for n := oldest; n <= k.newest; n++ {
		g := k.live(n)
		if g == nil {
			continue
		}
		a := &g.weights
		if values {
			a = &g.values
		}
		moved := *a
		moved.base += int(n-oldest) << (generationBits - 5) // limbs have 32 bits
		sum.merge(&moved)
	}
	return sum
}

func (k *decay) answer(c *Call, _ *group, at At) event.Value {
	if f, ok := notFinite(k.flags); ok && c.Func != DecayedCount {
		return event.DoubleOf(f)
	}
	switch c.Func {
	case DecayedMean:
		values, weights := k.total(true), k.total(false)
		num, e := values.big()
		den, e2 := weights.big()
		if den.Sign() == 0 {
			return event.Value{} // corrupt bytes alone
		}
		return event.DoubleOf(signedQuotient(num, den, e-e2))
	case DecayedCount:
		return event.DoubleOf(k.scaled(false, at.AsOf))
	}
	return event.DoubleOf(k.scaled(true, at.AsOf))
}

// signedQuotient is num·2^e/den, rounded once; den is not 0.
func signedQuotient(num, den *big.Int, e int) float64 {
	if den.Sign() < 0 {
		num.Neg(num)
		den.Neg(den)
	}
	return quotientOf(num, den, e)
}

// scaled is the total as of an instant: rounded once, then decayed by the fraction of a half-life.
func (k *decay) scaled(values bool, asOf event.Time) float64 {
	sum := k.total(values)
	words, e, negative := sum.magnitude(k.words)
	k.words = words
	if len(words) == 0 {
		return 0
	}
	whole, fraction := k.phase(asOf)
	// The mantissa lies in [1, 2] whatever the exponent is, so that only the answer can overflow.
	top := e + 64*len(words) - 1 - leadingZeros(words)
	m := float64(roundWords(words, e-top, false) * elementary.Exp2(-fraction))
	// Beyond these there is only 0 and infinity.
	behind := max(min(event.Time(whole).Sub(event.Time(k.newest)<<generationBits), 1<<20), -1<<20)
	f := math.Ldexp(m, top-3<<generationBits-int(behind))
	if negative {
		return -f
	}
	return f
}
