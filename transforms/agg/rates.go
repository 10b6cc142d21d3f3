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
	if c.By != nil {
		return p.ratioBy(c, at)
	}
	x := dividendOf(p.Answer(c.Above, at))
	return x.by(p.Answer(c.Over, at))
}

// dividend is the first answer of a ratio, read before the second takes its memory.
type dividend struct {
	Answer
	x float64
}

func dividendOf(a Answer) dividend {
	d := dividend{Answer: a}
	if !a.Value.IsNull() {
		d.x = toDouble(a.Value)
	}
	return d
}

// by answers the quotient.
func (d dividend) by(over Answer) Answer {
	a := Answer{Newest: max(d.Newest, over.Newest), Overflow: d.Overflow || over.Overflow}
	if d.Value.IsNull() || over.Value.IsNull() {
		return a
	}
	if den := toDouble(over.Value); den != 0 {
		a.Value = event.DoubleOf(d.x / den)
	}
	return a
}
