package oracle

import (
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/transforms/agg"
)

const decayPrec = 200

func float(x *big.Rat) *big.Float { return new(big.Float).SetPrec(decayPrec).SetRat(x) }

// ln2 is Σ 1/(k·2^k).
var ln2 = func() *big.Float {
	s := new(big.Rat)
	for k := int64(1); k <= decayPrec+10; k++ {
		s.Add(s, new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Mul(big.NewInt(k), new(big.Int).Lsh(big.NewInt(1), uint(k)))))
	}
	return float(s)
}()

// halvings is 2^(-d/h) for d >= 0; 0 below 2^-8000.
func halvings(d *big.Int, h event.Duration) *big.Float {
	n, rest := new(big.Int).DivMod(d, big.NewInt(int64(h)), new(big.Int))
	if !n.IsInt64() || n.Int64() > 8000 {
		return new(big.Float).SetPrec(decayPrec)
	}
	// e^(-x), x = rest/h·ln 2 < 0.7: the series' terms shrink faster than 2^-k.
	x := float(new(big.Rat).SetFrac(rest, big.NewInt(int64(h))))
	x.Mul(x, ln2).Neg(x)
	sum, term := float(rat(1)), float(rat(1))
	for k := int64(1); k < 60; k++ {
		term.Mul(term, x)
		term.Quo(term, new(big.Float).SetInt64(k))
		sum.Add(sum, term)
	}
	return new(big.Float).SetMantExp(sum, -int(n.Int64()))
}

// decayed weighs each row by 2^(-age/h). The right answer is known to 200 bits; a computation in doubles
// may be off by some units in the last place of the sum of the terms' sizes. Near the largest double a
// computation may overflow on its way: then any double will do.
func (e evaluation) decayed(f agg.Func, h event.Duration, in []sample) result {
	if f != agg.DecayedCount {
		if x, ok := notFinite(valuesOf(in)); ok {
			return exact(event.DoubleOf(x))
		}
	}
	newest := event.MinTime
	for _, s := range in {
		newest = max(newest, s.time)
	}
	zero := func() *big.Float { return new(big.Float).SetPrec(decayPrec) }
	sum, size, weights, huge := zero(), zero(), zero(), false
	for _, s := range in {
		w := halvings(new(big.Int).Sub(instant(newest), instant(s.time)), h)
		weights.Add(weights, w)
		if f == agg.DecayedCount {
			continue
		}
		x := float(number(s.value))
		huge = huge || math.Abs(asDouble(s.value)) > 1e300
		x.Mul(x, w)
		sum.Add(sum, x)
		size.Add(size, x.Abs(x))
	}
	if f == agg.DecayedCount {
		sum, size = weights, zero().Set(weights)
	}
	last := halvings(new(big.Int).Sub(instant(e.asOf), instant(newest)), h)
	if f == agg.DecayedMean {
		sum.Quo(sum, weights)
		size.Quo(size, weights)
	} else {
		sum.Mul(sum, last)
		size.Mul(size, last)
	}
	x, _ := sum.Float64()
	slack, _ := size.Float64()
	r := around(x, slack*0x1p-48+float64(len(in)+8)*0x1p-1074*16)
	r.any = r.any || huge
	return r
}
