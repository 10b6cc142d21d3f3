package agg

import (
	"bytes"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/penstock-ml/penstock/event"
)

// roots are 2^(2^-i), i = 1 … 120.
var roots = func() (out []*big.Float) {
	x := new(big.Float).SetPrec(300).SetInt64(2)
	for range 120 {
		x = new(big.Float).SetPrec(300).Sqrt(x)
		out = append(out, x)
	}
	return out
}()

// weight is 2^(-d/h), to 100 bits and more.
func weight(d, h int64) *big.Float {
	whole, rest := d/h, d%h
	x := new(big.Float).SetPrec(300).SetInt64(1)
	fraction := new(big.Int).Lsh(big.NewInt(rest), uint(len(roots)))
	fraction.Quo(fraction, big.NewInt(h))
	for i, r := range roots {
		if fraction.Bit(len(roots)-1-i) != 0 {
			x.Mul(x, r)
		}
	}
	x.Quo(new(big.Float).SetPrec(300).SetInt64(1), x)
	return x.SetMantExp(x, -int(whole))
}

// Decayed answers are within 1e-14 of the true ones, relative to the sizes that they are sums of, and
// their bits do not depend on order, on splits or on the instants of adding.
func TestDecayIsAccurate(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	worst := 0.0
	for trial := range 400 {
		h := []int64{1, 7, 1e6, 3.6e9, 8.64e10, 1 << 50}[trial%6]
		span := h * []int64{1, 5, 300}[r.IntN(3)]
		start := r.Int64N(1<<52) - 1<<51
		rows := make([]event.Row, 1+r.IntN(40))
		newest := event.MinTime
		for i := range rows {
			x := math.Ldexp(r.Float64()-float64(trial%2)/2, r.IntN(60)-30)
			rows[i] = event.Row{
				Time: event.Time(start + r.Int64N(span)), Pos: event.Position{Offset: int64(i)}, Values: doubles(x),
			}
			newest = max(newest, rows[i].Time)
		}
		asOf := newest + 1 + event.Time(r.Int64N(2*h))
		needs, _, _, err := Bind(DecayedSum, double, event.Type{}, Params{HalfLife: event.Duration(h)})
		if err != nil {
			t.Fatal(err)
		}
		l := &Layout{Groups: []Group{{Type: double, Filter: -1, Keeps: needs.Keeps}}}
		p := partialOf(l, rows)

		sum, size, count := new(big.Float).SetPrec(300), new(big.Float).SetPrec(300), new(big.Float).SetPrec(300)
		for _, row := range rows {
			w := weight(int64(asOf-row.Time), h)
			count.Add(count, w)
			w.Mul(w, big.NewFloat(row.Values[0].Double()))
			sum.Add(sum, w)
			size.Add(size, w.Abs(w))
		}
		mean, meanSize := new(big.Float).Quo(sum, count), new(big.Float).Quo(size, count)
		for f, want := range map[Func][2]*big.Float{DecayedSum: {sum, size}, DecayedCount: {count, count}, DecayedMean: {mean, meanSize}} {
			got := p.Answer(&Call{Func: f}, At{AsOf: asOf}).Value.Double()
			off := new(big.Float).Sub(new(big.Float).SetPrec(300).SetFloat64(got), want[0])
			relative, _ := off.Quo(off, want[1]).Float64()
			if worst = max(worst, math.Abs(relative)); math.Abs(relative) > 1e-14 {
				t.Fatalf("half-life %d: %s of %d rows is %v, want %v: off by %v of the terms' sizes", h, f, len(rows), got, want[0], relative)
			}
		}

		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		cut := r.IntN(len(rows) + 1)
		q := merged(t, l, trial%2 == 0, partialOf(l, rows[:cut]), partialOf(l, rows[cut:]))
		if !bytes.Equal(p.Append(nil), q.Append(nil)) {
			t.Fatal("the encoding depends on the order")
		}
		for _, f := range []Func{DecayedSum, DecayedCount, DecayedMean} {
			c := &Call{Func: f}
			if a, b := p.Answer(c, At{AsOf: asOf}), q.Answer(c, At{AsOf: asOf}); a != b {
				t.Fatalf("%s depends on the order: %v, %v", f, a, b)
			}
		}
	}
	if worst == 0 {
		t.Error("nothing is ever off: the test compares nothing")
	}
	t.Logf("the worst is off by %.2g", worst)
}

// An exact sum of terms far apart does not lose the small ones, and no term overflows by itself.
func TestDecayIsExact(t *testing.T) {
	c := &Call{Func: DecayedSum}
	l := &Layout{Groups: []Group{{Type: double, Filter: -1, Keeps: Structure{Kind: KeepDecay, HalfLife: 100}}}}
	row := func(t event.Time, x float64) event.Row { return event.Row{Time: t, Values: doubles(x)} }
	for _, s := range []struct {
		rows []event.Row
		asOf event.Time
		want float64
	}{
		{[]event.Row{row(0, 1e300), row(0, 1), row(0, -1e300)}, 100, 0.5},
		{[]event.Row{row(50, math.MaxFloat64*0.999)}, 50, math.MaxFloat64 * 0.999},
		{[]event.Row{row(99, math.MaxFloat64), row(99, math.MaxFloat64)}, 299, math.MaxFloat64 / 2},
		{[]event.Row{row(0, math.MaxFloat64), row(0, math.MaxFloat64)}, 100, math.MaxFloat64},
		{[]event.Row{row(0, math.MaxFloat64), row(0, math.MaxFloat64)}, 0, math.Inf(1)},
		{[]event.Row{row(0, 5e-324)}, 0, 5e-324},
		{[]event.Row{row(-250, 8)}, 50, 1},
		{[]event.Row{row(-100*1024*4, 1), row(0, 0)}, 0, 0},
		{[]event.Row{row(-100*1023*3, math.MaxFloat64), row(0, 0)}, 0, 0}, // 2^-2045: below the least double
		{[]event.Row{row(-100*1024, math.MaxFloat64), row(0, 0)}, 0, 1 - 0x1p-53},
	} {
		got := partialOf(l, s.rows).Answer(c, At{AsOf: s.asOf}).Value.Double()
		if got != s.want && !(math.Abs(got-s.want) < 1e-6*s.want) {
			t.Errorf("%v as of %d is %v, want %v", s.rows, s.asOf, got, s.want)
		}
	}
}

// Decimals become doubles as by one division.
func TestFactorDouble(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var x factor
	for range 20_000 {
		scale := r.IntN(60)
		b := make([]byte, 1+r.IntN(30))
		for i := range b {
			b[i] = byte(r.Uint32() >> r.IntN(20))
		}
		v := event.Value{Kind: event.Decimal, Num: uint64(scale), Str: string(b)}
		x.set(v)
		if got, want := x.double(v.Num), nearest(rational(v)).Double(); got != want {
			t.Fatalf("%v is %v, want %v", v, got, want)
		}
	}
}
