package agg

import (
	"encoding/binary"
	"math"

	"github.com/penstock-ml/penstock/event"
)

// The structures of vectors: lists of Dim doubles or longs, null ones passed over in their places. Each
// answers a list of Dim doubles, null where nothing was counted.

// vector is what they share.
type vector struct {
	dim   int
	elem  event.Kind
	words []uint64 // scratch
	out   []byte   // the answer
}

func vectorOf(g *Group) vector { return vector{dim: g.Keeps.Dim, elem: g.Type.Elem.Kind} }

// each calls f with the elements that count.
func (k *vector) each(v event.Value, f func(i int, e event.Value)) {
	s := v.Str
	for i := range k.dim {
		var e event.Value
		var err error
		if e, s, err = event.DecodeValue(s); err != nil {
			return
		}
		if e.Kind == k.elem {
			f(i, e)
		}
	}
}

// list makes the answer of its elements.
func (k *vector) list(at func(i int) event.Value) event.Value {
	k.out = k.out[:0]
	for i := range k.dim {
		k.out = event.AppendValue(k.out, at(i))
	}
	return event.Value{Kind: event.List, Str: event.Alias(k.out)}
}

// vectorSum keeps exact sums.
//
//	structure = Dim times:
//	            count (0: the element ends here)
//	            flags, one byte (doubles: 1 NaN, 2 +Inf, 4 -Inf)
//	            number (doubles: with an exponent)
type vectorSum struct {
	vector
	counts []int64
	flags  []byte
	sums   []accumulator
}

func newVectorSum(g *Group) *vectorSum {
	n := g.Keeps.Dim
	return &vectorSum{vector: vectorOf(g), counts: make([]int64, n), flags: make([]byte, n), sums: make([]accumulator, n)}
}

func (k *vectorSum) add(v, _ event.Value, _ *event.Row) { k.each(v, k.addElement) }

func (k *vectorSum) addElement(i int, e event.Value) {
	k.counts[i]++
	if k.elem == event.Long {
		k.sums[i].addLong(e.Long())
		return
	}
	if flag := flagOf(e.Double()); flag != 0 {
		k.flags[i] |= flag
		return
	}
	k.sums[i].addDouble(e.Num)
}

// flagOf is the flag of a double that is not finite, else 0.
func flagOf(f float64) byte {
	switch {
	case f != f:
		return hasNaN
	case math.IsInf(f, 1):
		return hasPosInf
	case math.IsInf(f, -1):
		return hasNegInf
	}
	return 0
}

func (k *vectorSum) merge(other keeper) {
	o := other.(*vectorSum)
	for i := range k.sums {
		k.counts[i] += o.counts[i]
		k.flags[i] |= o.flags[i]
		k.sums[i].merge(&o.sums[i])
	}
}

func (k *vectorSum) reset() {
	clear(k.counts)
	clear(k.flags)
	for i := range k.sums {
		k.sums[i].reset()
	}
}

func (k *vectorSum) append(dst []byte) []byte {
	for i := range k.sums {
		dst = binary.AppendUvarint(dst, uint64(k.counts[i]))
		if k.counts[i] == 0 {
			continue
		}
		if k.elem == event.Double {
			dst = append(dst, k.flags[i])
		}
		dst = k.sums[i].append(dst, k.elem == event.Double, &k.words)
	}
	return dst
}

func (k *vectorSum) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	for i := range k.sums {
		count := d.uvarint()
		if count == 0 {
			continue
		}
		if count > 1<<56 {
			return errCorrupt
		}
		if k.elem == event.Double {
			flags := d.byte()
			if flags > hasNaN|hasPosInf|hasNegInf {
				return errCorrupt
			}
			k.flags[i] |= flags
		}
		d.number(&k.sums[i], k.elem == event.Double, 1)
		k.counts[i] += int64(count)
	}
	return d.end()
}

func (k *vectorSum) answer(c *Call, _ *group, _ At) event.Value {
	return k.list(func(i int) event.Value {
		if k.counts[i] <= 0 {
			return event.Value{}
		}
		if f, ok := notFinite(k.flags[i]); ok {
			return event.DoubleOf(f)
		}
		words, e, negative := k.sums[i].magnitude(k.words)
		k.words = append(words, 0, 0) // room for divide
		f := 0.0
		if c.Func == Avg {
			f = divide(k.words[:len(words)], e, uint64(k.counts[i]))
		} else {
			f = roundWords(words, e, false)
		}
		return signed(f, negative)
	})
}

// vectorExtreme keeps the least or the greatest; NaN wins.
//
//	structure = Dim times one byte (0: nothing, 1: a value follows, 2: NaN), and
//	            the value (doubles: 8 bytes as an extreme of codec.go; longs: signed)
type vectorExtreme struct {
	vector
	greatest bool
	is       []byte
	keys     []int64
}

const (
	isNone byte = iota
	isValue
	isNaN
)

func newVectorExtreme(g *Group, greatest bool) *vectorExtreme {
	n := g.Keeps.Dim
	return &vectorExtreme{vector: vectorOf(g), greatest: greatest, is: make([]byte, n), keys: make([]int64, n)}
}

func (k *vectorExtreme) add(v, _ event.Value, _ *event.Row) { k.each(v, k.addElement) }

func (k *vectorExtreme) addElement(i int, e event.Value) {
	if k.elem == event.Long {
		k.offer(i, isValue, e.Long())
		return
	}
	f := e.Double() + 0 // -0 reads as +0
	if f != f {
		k.offer(i, isNaN, 0)
		return
	}
	k.offer(i, isValue, doubleKey(f))
}

func (k *vectorExtreme) offer(i int, is byte, key int64) {
	switch {
	case is > k.is[i]:
		k.is[i], k.keys[i] = is, key
	case is == k.is[i] && k.greatest:
		k.keys[i] = max(k.keys[i], key)
	case is == k.is[i]:
		k.keys[i] = min(k.keys[i], key)
	}
}

func (k *vectorExtreme) merge(other keeper) {
	o := other.(*vectorExtreme)
	for i, is := range o.is {
		k.offer(i, is, o.keys[i])
	}
}

func (k *vectorExtreme) reset() {
	clear(k.is)
	clear(k.keys)
}

func (k *vectorExtreme) append(dst []byte) []byte {
	for i, is := range k.is {
		dst = append(dst, is)
		switch {
		case is != isValue:
		case k.elem == event.Long:
			dst = binary.AppendVarint(dst, k.keys[i])
		default:
			dst = binary.BigEndian.AppendUint64(dst, uint64(k.keys[i])^1<<63)
		}
	}
	return dst
}

func (k *vectorExtreme) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	for i := range k.is {
		is, key := d.byte(), int64(0)
		switch {
		case is > isNaN:
			return errCorrupt
		case is != isValue:
		case k.elem == event.Long:
			key = d.varint()
		default:
			key = d.key()
		}
		k.offer(i, is, key)
	}
	return d.end()
}

func (k *vectorExtreme) answer(*Call, *group, At) event.Value {
	return k.list(func(i int) event.Value {
		switch {
		case k.is[i] == isNone:
			return event.Value{}
		case k.is[i] == isNaN:
			return event.DoubleOf(math.NaN())
		case k.elem == event.Long:
			return event.DoubleOf(float64(k.keys[i]))
		}
		return event.DoubleOf(keyDouble(k.keys[i]))
	})
}

// vectorDecay keeps decayed sums.
//
//	structure = Dim times: length and bytes of a decay structure (0: nothing)
type vectorDecay struct {
	vector
	sums []decay
	row  *event.Row // at hand
}

func newVectorDecay(g *Group) *vectorDecay {
	k := &vectorDecay{vector: vectorOf(g), sums: make([]decay, g.Keeps.Dim)}
	for i := range k.sums {
		k.sums[i] = *newDecay(g.Keeps.HalfLife, *g.Type.Elem)
	}
	return k
}

func (k *vectorDecay) add(v, _ event.Value, r *event.Row) {
	k.row = r
	k.each(v, k.addElement)
	k.row = nil
}

func (k *vectorDecay) addElement(i int, e event.Value) { k.sums[i].add(e, event.Value{}, k.row) }

func (k *vectorDecay) merge(other keeper) {
	o := other.(*vectorDecay)
	for i := range k.sums {
		k.sums[i].merge(&o.sums[i])
	}
}

func (k *vectorDecay) reset() {
	for i := range k.sums {
		k.sums[i].reset()
	}
}

func (k *vectorDecay) append(dst []byte) []byte {
	for i := range k.sums {
		start := len(dst)
		dst = append(dst, 0)
		if k.sums[i].any {
			dst = setLength(k.sums[i].append(dst), start)
		}
	}
	return dst
}

func (k *vectorDecay) mergeEncoded(b []byte) error {
	d := decoder{b: b}
	for i := range k.sums {
		if s := d.bytes(d.uvarint()); len(s) > 0 {
			if err := k.sums[i].mergeEncoded(s); err != nil {
				return err
			}
		}
	}
	return d.end()
}

func (k *vectorDecay) answer(c *Call, g *group, at At) event.Value {
	return k.list(func(i int) event.Value {
		if !k.sums[i].any {
			return event.Value{}
		}
		return k.sums[i].answer(c, g, at)
	})
}
