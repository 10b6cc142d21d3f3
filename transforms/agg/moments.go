package agg

import (
	"math"
	"math/big"

	"github.com/penstock-ml/penstock/event"
)

// moments keeps what skew and kurtosis need beside the sum and the sum of squares.
type moments struct {
	cubes, fourths   accumulator
	x, square, power factor // scratch
}

// add adds a value; away takes it away again.
func (m *moments) add(v *event.Value, parts Parts, away bool) {
	if !m.x.set(*v) {
		return // the group's flags tell
	}
	m.square.setProduct(&m.x, &m.x)
	if parts&PartCubes != 0 {
		m.power.setProduct(&m.square, &m.x)
		m.power.negative = m.power.negative != away
		m.cubes.addFactor(&m.power)
	}
	if parts&PartFourths != 0 {
		m.power.setProduct(&m.square, &m.square)
		m.power.negative = away
		m.fourths.addFactor(&m.power)
	}
}

// finishSkew answers m3/m2^(3/2), by ddof adjusted to the sample: ·√(n(n-1))/(n-2). It is the root of its
// square, an exact rational.
func (g *group) finishSkew(sample bool) event.Value {
	if sample && g.count < 3 {
		return event.Value{}
	}
	if g.flags != 0 {
		return event.DoubleOf(math.NaN())
	}
	s := powers(&g.sum, &g.squares, &g.extra.cubes)
	n := big.NewInt(g.count)
	m2, m3 := secondMoment(n, s), thirdMoment(n, s)
	if m2.Sign() <= 0 {
		return event.Value{}
	}
	num, den := product(m3, m3), product(m2, m2, m2)
	if sample {
		less := big.NewInt(g.count - 2)
		num, den = product(num, n, big.NewInt(g.count-1)), product(den, less, less)
	}
	return rootOf(m3.Sign(), num, den)
}

// finishKurtosis answers m4/m2² - 3, for a sample adjusted: (n-1)/((n-2)(n-3))·((n+1)·that + 6).
func (g *group) finishKurtosis(sample bool) event.Value {
	if sample && g.count < 4 {
		return event.Value{}
	}
	if g.flags != 0 {
		return event.DoubleOf(math.NaN())
	}
	s := powers(&g.sum, &g.squares, &g.extra.cubes, &g.extra.fourths)
	n := big.NewInt(g.count)
	m2, num := secondMoment(n, s), fourthMoment(n, s)
	if m2.Sign() <= 0 {
		return event.Value{}
	}
	den := product(m2, m2)
	num.Sub(num, product(big.NewInt(3), den))
	if sample {
		num.Mul(num, big.NewInt(g.count+1))
		num.Add(num, product(big.NewInt(6), den))
		num.Mul(num, big.NewInt(g.count-1))
		den = product(den, big.NewInt(g.count-2), big.NewInt(g.count-3))
	}
	return event.DoubleOf(quotient(num, den))
}

// secondMoment is n²·m2 = n·Σx² - (Σx)², over the unit of powers, squared.
func secondMoment(n *big.Int, s []*big.Int) *big.Int {
	m := product(n, s[1])
	return m.Sub(m, product(s[0], s[0]))
}

// thirdMoment is n³·m3 = n²·Σx³ - 3n·Σx·Σx² + 2(Σx)³.
func thirdMoment(n *big.Int, s []*big.Int) *big.Int {
	m := product(n, n, s[2])
	m.Sub(m, product(big.NewInt(3), n, s[0], s[1]))
	return m.Add(m, product(big.NewInt(2), s[0], s[0], s[0]))
}

// fourthMoment is n⁴·m4 = n³·Σx⁴ - 4n²·Σx·Σx³ + 6n·(Σx)²·Σx² - 3(Σx)⁴.
func fourthMoment(n *big.Int, s []*big.Int) *big.Int {
	m := product(n, n, n, s[3])
	m.Sub(m, product(big.NewInt(4), n, n, s[0], s[2]))
	m.Add(m, product(big.NewInt(6), n, s[0], s[0], s[1]))
	return m.Sub(m, product(big.NewInt(3), s[0], s[0], s[0], s[0]))
}
