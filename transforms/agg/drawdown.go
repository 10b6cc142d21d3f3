package agg

import (
	"encoding/binary"
	"math"

	"github.com/penstock-ml/penstock/event"
)

// drawdown is KeepDrawdown: the largest fraction that was lost from an earlier peak. With the values as
// doubles x in tie order and P their running maximum, it is the greatest 1 - max(x, 0)/P, the quotient
// rounded; where P is not positive there is no loss, and where x is P there is none either (infinities
// too). NaN wins.
//
// It unites in tie order only: for all rows of the other, which come later, a peak of this one counts
// that is greater than theirs. Of those rows the least is enough to know: if it came after a peak of
// their own that is greater still, its loss from that one is greater, and known.
//
//	structure = 1 (NaN)
//	          | 0, peak, least, kept (8 bytes big-endian each, of a double's bits)
type drawdown struct {
	any, nan    bool
	peak, least float64 // the greatest and least value
	kept        float64 // the least max(x, 0)/P; 1 without a loss
}

func newDrawdown(*Group) keeper {
	k := &drawdown{}
	k.reset()
	return k
}

func (k *drawdown) reset() { *k = drawdown{kept: 1} }

func (k *drawdown) add(v, _ event.Value, _ *event.Row) {
	x := toDouble(v)
	k.follow(&drawdown{any: true, nan: x != x, peak: x, least: x, kept: 1})
}

// follow adds what comes after.
func (k *drawdown) follow(o *drawdown) {
	switch {
	case !o.any:
		return
	case !k.any:
		*k = *o
		return
	}
	k.nan = k.nan || o.nan
	if k.nan {
		return
	}
	k.kept = min(k.kept, o.kept)
	if k.peak > 0 && o.least < k.peak {
		k.kept = min(k.kept, max(o.least, 0)/k.peak)
	}
	k.peak, k.least = max(k.peak, o.peak), min(k.least, o.least)
}

func (k *drawdown) merge(other keeper) { k.follow(other.(*drawdown)) }

func (k *drawdown) append(dst []byte) []byte {
	if k.nan {
		return append(dst, 1)
	}
	dst = append(dst, 0)
	for _, x := range []float64{k.peak, k.least, k.kept} {
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(x+0))
	}
	return dst
}

func (k *drawdown) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	o := drawdown{any: true}
	switch d.byte() {
	case 0:
		o.peak, o.least, o.kept = d.number8(), d.number8(), d.number8()
		if o.least > o.peak || o.kept < 0 || o.kept > 1 {
			d.fail()
		}
	case 1:
		o.nan = true
	default:
		d.fail()
	}
	if err := d.end(); err != nil {
		return err
	}
	k.follow(&o)
	return nil
}

// number8 reads the bits of a double that is not NaN.
func (d *decoder) number8() float64 {
	b := d.bytes(8)
	if len(b) != 8 {
		return 0
	}
	x := math.Float64frombits(binary.BigEndian.Uint64(b)) + 0
	if x != x {
		d.fail()
	}
	return x
}

func (k *drawdown) answer(*Call, *group, At) event.Value {
	if k.nan {
		return event.DoubleOf(math.NaN())
	}
	return event.DoubleOf(1 - k.kept)
}
