package agg

import (
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
)

// cross keeps what covariance and correlation of two columns need.
//
//	structure = one byte: 1 if a value is not finite (nothing follows), else 0
//	            numbers: Σx, Σy, Σx², Σy², Σxy, each as codec.go has them (with an exponent if its
//	            factors are doubles; if one of x and y is, Σxy has one)
type cross struct {
	doubles     [2]bool
	notFinite   bool
	sums        [5]accumulator // Σx, Σy, Σx², Σy², Σxy
	x, y, power factor         // scratch
	words       []uint64
}

func newCross(g *Group) *cross {
	return &cross{doubles: [2]bool{g.Type.Kind == event.Double, g.SecondType.Kind == event.Double}}
}

func (k *cross) add(v, second event.Value, _ *event.Row) {
	if !k.x.set(v) || !k.y.set(second) {
		k.notFinite = true
		return
	}
	k.sums[0].addFactor(&k.x)
	k.sums[1].addFactor(&k.y)
	for i, p := range [...][2]*factor{{&k.x, &k.x}, {&k.y, &k.y}, {&k.x, &k.y}} {
		k.power.setProduct(p[0], p[1])
		k.sums[2+i].addFactor(&k.power)
	}
}

func (k *cross) merge(other keeper) {
	o := other.(*cross)
	k.notFinite = k.notFinite || o.notFinite
	for i := range k.sums {
		k.sums[i].merge(&o.sums[i])
	}
}

func (k *cross) reset() {
	k.notFinite = false
	for i := range k.sums {
		k.sums[i].reset()
	}
}

// form tells how sum i is encoded: whether of doubles, and of how many factors.
func (k *cross) form(i int) (floating bool, factors int64) {
	x, y := k.doubles[0], k.doubles[1]
	both := int64(2)
	if x != y { // the other may be a decimal of many digits
		both = 16
	}
	return [...]bool{x, y, x, y, x || y}[i], [...]int64{1, 1, 2, 2, both}[i]
}

func (k *cross) append(dst []byte) []byte {
	if k.notFinite {
		return append(dst, 1)
	}
	dst = append(dst, 0)
	for i := range k.sums {
		floating, _ := k.form(i)
		dst = k.sums[i].append(dst, floating, &k.words)
	}
	return dst
}

func (k *cross) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	switch d.byte() {
	case 0:
		for i := range k.sums {
			floating, factors := k.form(i)
			d.number(&k.sums[i], floating, factors)
		}
	case 1:
		k.notFinite = true
	default:
		d.fail()
	}
	return d.end()
}

func (k *cross) answer(c *Call, g *group, _ At) event.Value {
	if g.count < 2 && c.Func != CovariancePop {
		return event.Value{}
	}
	if k.notFinite {
		return event.DoubleOf(math.NaN())
	}
	var s [5]*big.Int
	var e [5]int
	for i := range k.sums {
		s[i], e[i] = k.sums[i].big()
	}
	// Both columns over units of their own, Σxy over the product of the units.
	ex, ey := unitOf(s[0], e[0], s[2], e[2]), unitOf(s[1], e[1], s[3], e[3])
	if s[4].Sign() != 0 { // bytes that no rows have made
		ex = min(ex, e[4]-ey)
	}
	for i, unit := range [...]int{ex, ey, 2 * ex, 2 * ey, ex + ey} {
		if s[i].Sign() != 0 {
			scaled(s[i], e[i]-unit)
		}
	}
	n := big.NewInt(g.count)
	both := product(n, s[4])
	both.Sub(both, product(s[0], s[1]))
	if c.Func == Correlation {
		cxx, cyy := secondMoment(n, []*big.Int{s[0], s[2]}), secondMoment(n, []*big.Int{s[1], s[3]})
		if cxx.Sign() <= 0 || cyy.Sign() <= 0 {
			return event.Value{}
		}
		return rootOf(both.Sign(), product(both, both), product(cxx, cyy))
	}
	less := int64(1)
	if c.Func == CovariancePop {
		less = 0
	}
	den := product(n, big.NewInt(g.count-less))
	extra := g.extra.of
	for _, t := range []event.Type{extra.Type, extra.SecondType} {
		if t.Kind == event.Decimal {
			den = timesPow10(den, uint64(t.Scale))
		}
	}
	return event.DoubleOf(quotientOf(both, den, ex+ey))
}

// unitOf is an exponent e such that sum is a multiple of 2^e and squares of 2^2e.
func unitOf(sum *big.Int, e int, squares *big.Int, e2 int) int {
	unit := math.MaxInt
	if sum.Sign() != 0 {
		unit = e
	}
	if squares.Sign() != 0 {
		unit = min(unit, floorDiv(e2, 2))
	}
	if unit == math.MaxInt {
		return 0
	}
	return unit
}
