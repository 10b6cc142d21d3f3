package elementary

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// worst tracks the largest error of a function.
type worst struct {
	name  string
	bound float64
	ulps  float64
	at    [2]float64
}

func (w *worst) check(t *testing.T, got float64, want *big.Float, x, y float64) {
	t.Helper()
	d := ulps(got, want)
	if d > w.ulps {
		w.ulps, w.at = d, [2]float64{x, y}
	}
	if d > w.bound {
		t.Errorf("%s(%v, %v) = %v, %v units off", w.name, x, y, got, d)
	}
}

// wide is a random double of any exponent in [lo, hi).
func wide(r *rand.Rand, lo, hi int) float64 {
	return math.Ldexp(1+r.Float64(), lo+r.IntN(hi-lo))
}

func TestErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	e, e2 := &worst{name: "exp", bound: 0.51}, &worst{name: "exp2", bound: 0.51}
	l, l2, l10 := &worst{name: "log", bound: 0.51}, &worst{name: "log2", bound: 0.51}, &worst{name: "log10", bound: 0.51}
	p := &worst{name: "pow", bound: 0.51}
	s, c, a := &worst{name: "sin", bound: 1}, &worst{name: "cos", bound: 1}, &worst{name: "atan2", bound: 1}
	sign := func(x float64) float64 {
		if r.IntN(2) == 0 {
			return -x
		}
		return x
	}
	n := 500
	if testing.Short() {
		n = 200
	}
	for i := range n {
		x := sign(r.Float64() * 745)
		switch i % 4 {
		case 0:
			x = sign(wide(r, -60, 9))
		case 1:
			x = -707 - 40*r.Float64() // subnormal answers
		}
		if x < 709.7 {
			e.check(t, Exp(x), refExp(bigOf(x)), x, 0)
		}
		x2 := min(x*1.44, 1023.9)
		e2.check(t, Exp2(x2), refExp(newBig().Mul(bigOf(x2), refLn2())), x2, 0)

		x = wide(r, -1022, 1023)
		switch i % 4 {
		case 0:
			x = 1 + sign(wide(r, -53, -1))
		case 1:
			x = math.Float64frombits(r.Uint64N(1 << 53)) // subnormal
		}
		ref := refLog(bigOf(x))
		l.check(t, Log(x), ref, x, 0)
		l2.check(t, Log2(x), newBig().Quo(ref, refLn2()), x, 0)
		l10.check(t, Log10(x), newBig().Quo(ref, refLog(bigOf(10))), x, 0)

		y := sign(700 * r.Float64() / math.Abs(math.Log(x)))
		if y != 0 && !math.IsInf(y, 0) {
			p.check(t, Pow(x, y), refExp(newBig().Mul(bigOf(y), ref)), x, y)
		}

		x = sign(wide(r, -20, 21))
		switch i % 4 {
		case 0:
			x = sign(float64(r.IntN(1<<21)) * math.Pi / 4) // next to a zero
		case 1:
			x = sign(wide(r, 21, 1023))
		}
		s.check(t, Sin(x), refSin(bigOf(x), false), x, 0)
		c.check(t, Cos(x), refSin(bigOf(x), true), x, 0)
		x, y = sign(wide(r, -10, 10)), sign(wide(r, -10, 10))
		a.check(t, Atan2(y, x), refAtan2(y, x), y, x)
	}
	for _, w := range []*worst{e, e2, l, l2, l10, p, s, c, a} {
		t.Logf("%s: at most %.4f units in the last place, at %v", w.name, w.ulps, w.at)
		if w.ulps == 0 {
			t.Errorf("%s was not tried", w.name)
		}
	}
}

// TestExact takes answers that are doubles, or lie halfway between two.
func TestExact(t *testing.T) {
	for k := -1074; k < 1024; k++ {
		x := math.Ldexp(1, k)
		if Exp2(float64(k)) != x || Log2(x) != float64(k) || Pow(2, float64(k)) != x {
			t.Errorf("2^%d: %v, %v, %v", k, Exp2(float64(k)), Log2(x), Pow(2, float64(k)))
		}
	}
	for k := range 23 {
		x := 1.0
		for range k {
			x *= 10
		}
		if Log10(x) != float64(k) || Pow(10, float64(k)) != x {
			t.Errorf("10^%d: %v, %v", k, Log10(x), Pow(10, float64(k)))
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		x := float64(r.Uint64N(1 << (1 + r.IntN(53))))
		for _, k := range []int{0, -300, 300, -540} {
			x := math.Ldexp(x, k)
			if Pow(x, 2) != x*x || Pow(-x, 2) != x*x {
				t.Errorf("%v² = %v, want %v", x, Pow(x, 2), x*x)
			}
			if x != 0 && (Pow(x, -1) != 1/x || Pow(x, 1) != x || Pow(x, 0.5) != math.Sqrt(x)) {
				t.Errorf("%v: %v, %v, %v", x, Pow(x, -1), Pow(x, 1), Pow(x, 0.5))
			}
		}
		b, n := r.Uint64N(1<<(1+r.IntN(22))), 1+r.IntN(12)
		want, _ := new(big.Float).SetInt(new(big.Int).Exp(new(big.Int).SetUint64(b), big.NewInt(int64(n)), nil)).Float64()
		if got := Pow(float64(b), float64(n)); got != want {
			t.Errorf("%d^%d = %v, want %v", b, n, got, want)
		}
	}
}

// TestSpecial compares what is no plain number with the standard library, which follows the same rules.
func TestSpecial(t *testing.T) {
	values := []float64{
		0, math.Copysign(0, -1), 1, -1, 2, -2, 3, -3, 0.5, -0.5, 1.5, 1 << 53, 1<<53 + 2, -(1<<53 - 1), 1e300, -1e300, 5e-324,
		math.MaxFloat64, -math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(),
	}
	same := func(a, b float64) bool { return a == b || a != a && b != b || math.Abs(a-b) <= 1e-15*math.Abs(b) }
	for _, x := range values {
		for _, f := range []struct {
			name       string
			ours, libs func(float64) float64
		}{
			{"exp", Exp, math.Exp},
			{"exp2", Exp2, math.Exp2},
			{"log", Log, math.Log},
			{"log2", Log2, math.Log2},
			{"log10", Log10, math.Log10},
			{"sin", Sin, math.Sin},
			{"cos", Cos, math.Cos},
		} {
			if a := math.Abs(x); a == 5e-324 || a == math.MaxFloat64 {
				continue // there the standard library is less exact; TestErrors has such numbers
			}
			if got, want := f.ours(x), f.libs(x); !same(got, want) {
				t.Errorf("%s(%v) = %v, want %v", f.name, x, got, want)
			}
		}
		for _, y := range values {
			if got, want := Pow(x, y), math.Pow(x, y); !same(got, want) {
				t.Errorf("pow(%v, %v) = %v, want %v", x, y, got, want)
			}
			if got, want := Atan2(x, y), math.Atan2(x, y); !same(got, want) && x != 0 {
				t.Errorf("atan2(%v, %v) = %v, want %v", x, y, got, want)
			}
		}
	}
}

// TestBits pins the bits: they must be the same on every machine and in every release.
func TestBits(t *testing.T) {
	h := uint64(14695981039346656037)
	r := rand.New(rand.NewPCG(5, 6))
	for range 20000 {
		x, y := r.Float64()*80-40, r.Float64()*80-40
		for _, f := range []float64{Exp(x), Exp2(x), Log(x * x), Log2(x * x), Log10(x * x), Pow(x*x, y), Sin(x), Cos(x), Atan2(x, y)} {
			h = (h ^ math.Float64bits(f)) * 1099511628211
		}
	}
	if want := uint64(0xcb903379b3849b51); h != want {
		t.Errorf("bits %#x, want %#x", h, want)
	}
}

func TestAllocations(t *testing.T) {
	x := 1.2345
	if n := testing.AllocsPerRun(100, func() { x += Exp(x) + Log(x) + Pow(x, x) + Sin(x) + Atan2(x, 2); x = 1.2345 }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFunctions(b *testing.B) {
	x := 1.2345
	for name, f := range map[string]func(float64) float64{
		"exp": Exp, "log": Log, "log10": Log10, "sin": Sin,
		"pow":   func(x float64) float64 { return Pow(x, 1.7) },
		"atan2": func(x float64) float64 { return Atan2(x, 1.7) },
	} {
		b.Run(name, func(b *testing.B) {
			var sum float64
			for b.Loop() {
				sum += f(x)
			}
			_ = sum
		})
	}
}
