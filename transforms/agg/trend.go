package agg

import (
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
)

// trend keeps what the slope of values against their event times needs, in microseconds since the epoch.
//
//	structure = number Σt, number Σt² (both without exponent)
//	            one byte: 1 if a value is not finite (nothing follows), else 0
//	            number Σx, number Σtx (with exponents if x is a double)
type trend struct {
	double    bool
	notFinite bool
	times     accumulator
	squares   accumulator
	values    accumulator
	products  accumulator
	x, t, p   factor // scratch
	words     []uint64
}

func newTrend(g *Group) *trend { return &trend{double: g.Type.Kind == event.Double} }

func (k *trend) add(v, _ event.Value, r *event.Row) {
	k.t.set(event.LongOf(int64(r.Time)))
	k.times.addFactor(&k.t)
	k.p.setProduct(&k.t, &k.t)
	k.squares.addFactor(&k.p)
	if !k.x.set(v) {
		k.notFinite = true
		return
	}
	k.values.addFactor(&k.x)
	k.p.setProduct(&k.t, &k.x)
	k.products.addFactor(&k.p)
}

func (k *trend) merge(other keeper) {
	o := other.(*trend)
	k.notFinite = k.notFinite || o.notFinite
	k.times.merge(&o.times)
	k.squares.merge(&o.squares)
	k.values.merge(&o.values)
	k.products.merge(&o.products)
}

func (k *trend) reset() {
	k.notFinite = false
	k.times.reset()
	k.squares.reset()
	k.values.reset()
	k.products.reset()
}

func (k *trend) append(dst []byte) []byte {
	dst = k.times.append(dst, false, &k.words)
	dst = k.squares.append(dst, false, &k.words)
	if k.notFinite {
		return append(dst, 1)
	}
	dst = k.values.append(append(dst, 0), k.double, &k.words)
	return k.products.append(dst, k.double, &k.words)
}

func (k *trend) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	d.number(&k.times, false, 1)
	d.number(&k.squares, false, 2)
	switch d.byte() {
	case 0:
		d.number(&k.values, k.double, 1)
		d.number(&k.products, k.double, 2)
	case 1:
		k.notFinite = true
	default:
		d.fail()
	}
	return d.end()
}

// answer is (n·Σtx - Σt·Σx) / (n·Σt² - (Σt)²), per unit of time.
func (k *trend) answer(c *Call, g *group, _ At) event.Value {
	n := big.NewInt(g.count)
	times, te := k.times.big()
	squares, se := k.squares.big()
	times = scaled(times, te)
	den := product(n, scaled(squares, se))
	den.Sub(den, product(times, times))
	if den.Sign() <= 0 { // a single instant
		return event.Value{}
	}
	if k.notFinite {
		return event.DoubleOf(math.NaN())
	}
	values, ve := k.values.big()
	products, pe := k.products.big()
	unit := min(ve, pe)
	num := product(n, scaled(products, pe-unit))
	num.Sub(num, product(times, scaled(values, ve-unit)))
	num.Mul(num, big.NewInt(int64(c.Per)))
	if g.class == classDecimal {
		den = timesPow10(den, g.scale)
	}
	return event.DoubleOf(quotientOf(num, den, unit))
}
