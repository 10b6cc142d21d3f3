package agg

import (
	"math/big"

	"github.com/penstock-ml/penstock/event"
)

// finishRate answers the sum (or, over "*", the count) · per / the length of the window.
func (p *Partial) finishRate(c *Call, g *group, at At) event.Value {
	if at.Start == event.MinTime || at.End <= at.Start {
		return event.Value{}
	}
	length := new(big.Int).SetUint64(uint64(at.End) - uint64(at.Start))
	num, e := big.NewInt(g.count), 0
	if g.class != classRows {
		if f, ok := g.notFinite(); ok {
			return event.DoubleOf(f)
		}
		num, e = g.sum.big()
		if g.class == classDecimal {
			length = timesPow10(length, g.scale)
		}
	}
	num.Mul(num, big.NewInt(int64(c.Per)))
	return event.DoubleOf(quotientOf(num, length, e))
}

// quotientOf is num·2^e/den, rounded once.
func quotientOf(num, den *big.Int, e int) float64 {
	if e < 0 {
		return quotient(num, scaled(den, -e))
	}
	return quotient(scaled(num, e), den)
}

// seconds is d/n microseconds as seconds, rounded once; n > 0.
func seconds(d uint64, n int64) event.Value {
	den := big.NewInt(n)
	return event.DoubleOf(quotient(new(big.Int).SetUint64(d), den.Mul(den, big.NewInt(int64(event.Second)))))
}

func (g *group) finishSince(at At) event.Value {
	if at.AsOf < g.newest {
		return event.DoubleOf(-seconds(uint64(g.newest)-uint64(at.AsOf), 1).Double())
	}
	return seconds(uint64(at.AsOf)-uint64(g.newest), 1)
}

func (g *group) finishBetween() event.Value {
	if g.count < 2 {
		return event.Value{}
	}
	return seconds(uint64(g.newest)-uint64(g.extra.oldest), g.count-1)
}

// ratio answers the quotient of two answers; null if either is, or the second is 0.
func (p *Partial) ratio(c *Call, at At) Answer {
	above := p.Answer(c.Above, at)
	a := Answer{Newest: above.Newest, Overflow: above.Overflow}
	num := 0.0
	if !above.Value.IsNull() {
		num = toDouble(above.Value) // before the next answer takes its memory
	}
	over := p.Answer(c.Over, at)
	a.Newest, a.Overflow = max(a.Newest, over.Newest), a.Overflow || over.Overflow
	if above.Value.IsNull() || over.Value.IsNull() {
		return a
	}
	if den := toDouble(over.Value); den != 0 {
		a.Value = event.DoubleOf(num / den)
	}
	return a
}
