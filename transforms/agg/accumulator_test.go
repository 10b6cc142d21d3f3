package agg

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// value reads an accumulator's exact number without its own code: Σ limb·2^(32·(base+i)).
func (a *accumulator) value() *big.Rat {
	sum := new(big.Rat)
	for i, x := range a.limbs {
		sum.Add(sum, timesPow2(new(big.Rat).SetInt64(x), 32*(a.base+i)))
	}
	return sum
}

func timesPow2(x *big.Rat, e int) *big.Rat {
	p := new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), uint(max(e, -e))))
	if e < 0 {
		return x.Quo(x, p)
	}
	return x.Mul(x, p)
}

func TestAccumulatorIsExact(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		var a, b accumulator
		want, all := new(big.Rat), new(big.Rat)
		for range r.IntN(30) {
			m, e, neg := r.Uint64()>>r.IntN(64), r.IntN(400)-200, r.IntN(2) == 0
			to := &a
			if r.IntN(2) == 0 {
				to = &b
			}
			// As if very many adds had come before: carries must not be lost.
			if r.IntN(8) == 0 {
				to.adds = maxAdds - uint32(1+r.IntN(2))
			}
			to.add(m, e, neg)
			x := timesPow2(new(big.Rat).SetInt(new(big.Int).SetUint64(m)), e)
			if neg {
				x.Neg(x)
			}
			want.Add(want, x)
			all.Set(want)
		}
		a.merge(&b)
		if got := a.value(); got.Cmp(all) != 0 {
			t.Fatalf("seed %d: merged %v, want %v", seed, got, all)
		}
		words, e, neg := a.magnitude(nil)
		got := timesPow2(new(big.Rat).SetInt(bigOf(words, neg)), e)
		if got.Cmp(all) != 0 {
			t.Fatalf("seed %d: magnitude %v, want %v", seed, got, all)
		}
		if len(words) == 0 && neg {
			t.Fatalf("seed %d: zero is negative", seed)
		}
		top := 0
		for i, x := range a.limbs {
			if i < len(a.limbs)-1 && (x < 0 || x > limbMask) {
				t.Fatalf("seed %d: limb %d is %d after the carries", seed, i, x)
			}
			top = i
		}
		if len(a.limbs) > 0 && (a.limbs[top] <= -1<<32 || a.limbs[top] >= 1<<32) {
			t.Fatalf("seed %d: the top limb is %d", seed, a.limbs[top])
		}
	}
}

// A limb never overflows, with as many adds as may come between two carries.
func TestAccumulatorFullLimbs(t *testing.T) {
	for _, negative := range []bool{false, true} {
		fill := func() *accumulator {
			a := &accumulator{limbs: make([]int64, 6), base: -2, adds: maxAdds - 1}
			for i := range 5 {
				a.limbs[i] = int64(maxAdds-1) * limbMask
				if negative {
					a.limbs[i] = -a.limbs[i]
				}
			}
			return a
		}
		a, b := fill(), fill()
		want := new(big.Rat).Add(a.value(), b.value())
		a.merge(b)
		if a.value().Cmp(want) != 0 {
			t.Fatalf("negative %v: a merge of full limbs is %v, want %v", negative, a.value(), want)
		}
		for range 3 {
			c := fill()
			want.Add(want, c.value())
			a.merge(c)
		}
		a.add(math.MaxUint64, -3, negative)
		x := timesPow2(new(big.Rat).SetInt(new(big.Int).SetUint64(math.MaxUint64)), -3)
		if negative {
			x.Neg(x)
		}
		if want.Add(want, x); a.value().Cmp(want) != 0 {
			t.Fatalf("negative %v: got %v, want %v", negative, a.value(), want)
		}
	}
}

// The roundings agree with big.Rat's, at subnormals, halves and the edge of overflow too.
func TestRounding(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 8_000 {
		words := make([]uint64, 1+r.IntN(4))
		for j := range words {
			switch r.IntN(4) {
			case 0: // ties and what is just beside them
				words[j] = 1<<r.IntN(64) | uint64(r.IntN(2))
			case 1:
				words[j] = math.MaxUint64 << r.IntN(64)
			case 2:
				words[j] = r.Uint64() >> r.IntN(64)
			}
		}
		e := []int{-1074, -1130, -1200, -1138, 0, 960, 900, -64}[r.IntN(8)] + r.IntN(5) - 2 - 64*(len(words)-1)
		exact := timesPow2(new(big.Rat).SetInt(bigOf(words, false)), e)
		want, _ := exact.Float64()
		if got := roundWords(append([]uint64{}, words...), e, false); got != want {
			t.Fatalf("case %d: %x·2^%d rounds to %v, want %v", i, words, e, got, want)
		}
		n := 1 + r.Uint64()>>r.IntN(64)
		if n == 0 {
			n = math.MaxUint64
		}
		want, _ = new(big.Rat).Quo(exact, new(big.Rat).SetInt(new(big.Int).SetUint64(n))).Float64()
		if got := divide(append([]uint64{}, words...), e, n); got != want {
			t.Fatalf("case %d: %x·2^%d/%d is %v, want %v", i, words, e, n, got, want)
		}
		num, den := bigOf(words, i&1 == 1), new(big.Int).Lsh(new(big.Int).SetUint64(n), uint(r.IntN(1200)))
		want, _ = new(big.Rat).SetFrac(num, den).Float64()
		if got := quotient(new(big.Int).Set(num), new(big.Int).Set(den)); got != want {
			t.Fatalf("case %d: %v/%v is %v, want %v", i, num, den, got, want)
		}
	}
}

func TestIntegers(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	draw := func() *big.Int {
		b := make([]byte, 1+r.IntN(20))
		for i := range b {
			b[i] = []byte{0, 0xff, 0x80, 0x7f, byte(r.Uint32())}[r.IntN(5)]
		}
		return event.ParseBig(string(b))
	}
	for range 4_000 {
		x, y := draw(), draw()
		sx, sy := string(event.AppendBig(nil, x)), string(event.AppendBig(nil, y))
		if got, want := compareIntegers(sx, sy), x.Cmp(y); got != want {
			t.Fatalf("compare %v with %v: %d, want %d", x, y, got, want)
		}
		padded := sx
		if x.Sign() < 0 {
			padded = "\xff\xff" + sx
		} else {
			padded = "\x00" + sx
		}
		if got := minimal(padded); got != sx {
			t.Fatalf("minimal of %x is %x, want %x", padded, got, sx)
		}
		words, neg := integerMagnitude(nil, padded)
		if got := bigOf(words, neg); got.Cmp(x) != 0 {
			t.Fatalf("magnitude of %x is %v, want %v", padded, got, x)
		}
		if got := string(appendInteger(nil, words, 0, neg)); got != sx {
			t.Fatalf("append %v: %x, want %x", x, got, sx)
		}
		var a accumulator
		a.addInteger(sx, nil)
		a.addIntegerSquare(sy, nil)
		want := new(big.Int).Add(x, new(big.Int).Mul(y, y))
		if got := a.value(); !got.IsInt() || got.Num().Cmp(want) != 0 {
			t.Fatalf("%v + %v² is %v, want %v", x, y, got, want)
		}
	}
}

func TestDoubleKeyKeepsOrder(t *testing.T) {
	in := []float64{math.Inf(-1), -math.MaxFloat64, -1.5, -1, -5e-324, 0, 5e-324, 1, 1.5, math.MaxFloat64, math.Inf(1)}
	for i, x := range in {
		if keyDouble(doubleKey(x)) != x {
			t.Errorf("%v does not come back from its key", x)
		}
		if i > 0 && doubleKey(in[i-1]) >= doubleKey(x) {
			t.Errorf("the keys of %v and %v are out of order", in[i-1], x)
		}
	}
}

// A quotient just above a tie between two doubles, by a bit far below, is rounded up.
func TestQuotientJustAboveTie(t *testing.T) {
	tie := new(big.Int).Lsh(big.NewInt(1<<53|1), 17) // a tie: 54 bits, the lowest set
	above := new(big.Int).Add(tie, big.NewInt(1))
	low, high := math.Ldexp(1<<53, 17), math.Ldexp(1<<53+2, 17)
	for _, c := range []struct {
		num  *big.Int
		want float64
	}{{tie, low}, {above, high}} {
		if got := quotient(new(big.Int).Set(c.num), big.NewInt(1)); got != c.want {
			t.Errorf("%v rounds to %v, want %v", c.num, got, c.want)
		}
	}
}

// Readers merge partials into each other, reset them and use them again for years.
func TestAccumulatorWidthIsBounded(t *testing.T) {
	var a, b accumulator
	for range 1000 {
		a.reset()
		a.addDouble(math.Float64bits(-12.5e20))
		a.merge(&b)
		a.normalise()
		b.reset()
		b.addDouble(math.Float64bits(0.1))
		b.merge(&a)
	}
	if n := len(b.limbs); n > 8 {
		t.Errorf("the sum of two doubles takes %d limbs", n)
	}
}

// The lowest limb of a sum of integers weighs 1, whatever it is merged from.
func TestMergeKeepsUnits(t *testing.T) {
	var a, b accumulator
	b.addLong(1 << 32)
	a.merge(&b)
	if words, e, negative := a.magnitude(nil); e != 0 || negative || len(words) != 1 || words[0] != 1<<32 {
		t.Errorf("1<<32 is %v times 2^%d, negative: %v", words, e, negative)
	}
}
