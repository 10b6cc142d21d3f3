package agg

import (
	"encoding/binary"
	"math"
	"math/big"
	"sort"

	"github.com/penstock-ml/penstock/event"
)

// histogram is KeepHistogram: how many values lie below the first of the Bounds, between each two, and at
// the last or above; NaN is in the last. Longs and decimals are compared with the bounds exactly.
//
//	structure = a count for each bucket
type histogram struct {
	form   form
	bounds []held // the least atom that is not below each bound; of double, its doubleKey
	above  []bool // no value of the type reaches the bound
	counts []uint64
	out    []byte
}

func newHistogram(g *Group) keeper {
	k := &histogram{form: formOf(g.Type)}
	for s := g.Keeps.Bounds; len(s) >= 8; s = s[8:] {
		bound := math.Float64frombits(binary.BigEndian.Uint64([]byte(s[:8])))
		least, beyond := k.least(bound)
		k.bounds = append(k.bounds, held{})
		k.bounds[len(k.bounds)-1].set(least)
		k.above = append(k.above, beyond)
	}
	k.counts = make([]uint64, len(k.bounds)+1)
	return k
}

// boundsOf writes ascending edges as a Structure keeps them.
func boundsOf(edges []float64) string {
	b := make([]byte, 0, 8*len(edges))
	for _, x := range edges {
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(x+0))
	}
	return string(b)
}

// least is the least value of the type that is not below a finite bound; beyond tells that there is none.
func (k *histogram) least(bound float64) (a atom, beyond bool) {
	if k.form.class == classDouble {
		return k.form.atom(event.DoubleOf(bound)), false
	}
	x := new(big.Rat).SetFloat64(bound)
	x.Mul(x, new(big.Rat).SetInt(timesPow10(big.NewInt(1), k.form.scale)))
	ceil := new(big.Int).Neg(x.Num())
	ceil.Div(ceil, x.Denom()) // floors, for a positive denominator
	ceil.Neg(ceil)
	if k.form.class == classDecimal {
		return atom{str: string(event.AppendBig(nil, ceil))}, false
	}
	if !ceil.IsInt64() {
		return atom{num: math.MinInt64}, ceil.Sign() > 0
	}
	return atom{num: ceil.Int64()}, false
}

func (k *histogram) add(v, _ event.Value, _ *event.Row) {
	a := k.form.atom(v)
	k.counts[sort.Search(len(k.bounds), func(i int) bool {
		return k.above[i] || k.form.compare(a, k.bounds[i].atom()) < 0
	})]++
}

func (k *histogram) merge(other keeper) {
	for i, n := range other.(*histogram).counts {
		k.counts[i] += n
	}
}

func (k *histogram) reset() { clear(k.counts) }

func (k *histogram) append(dst []byte) []byte {
	for _, n := range k.counts {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func (k *histogram) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	for i := range k.counts {
		n := d.uvarint()
		if n > maxCount {
			d.fail()
		}
		k.counts[i] = min(k.counts[i]+n, maxCount)
	}
	return d.end()
}

func (k *histogram) answer(*Call, *group, At) event.Value {
	k.out = k.out[:0]
	for _, n := range k.counts {
		k.out = event.AppendValue(k.out, event.LongOf(int64(n)))
	}
	return listOf(k.out)
}
