package agg

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/big"

	"github.com/cespare/xxhash/v2"

	"github.com/penstock-ml/penstock/event"
)

// form tells how the values of one type are kept in structures: as an int64 in their order (numbers,
// instants), or as bytes. Equal values have equal atoms: -0 is +0, there is one NaN, a decimal has no
// padding.
type form struct {
	class class
	kind  event.Kind
	scale uint64
}

func formOf(t event.Type) form {
	f := form{class: classOf(&Group{Type: t}), kind: t.Kind}
	if t.Kind == event.Decimal {
		f.scale = uint64(t.Scale)
	}
	return f
}

// atom is a value without its type; str may alias a buffer.
type atom struct {
	num int64
	str string
}

// held is an atom in memory of its own.
type held struct {
	num int64
	str []byte
}

func (h *held) set(a atom) { h.num, h.str = a.num, append(h.str[:0], a.str...) }

func (h *held) atom() atom { return atom{h.num, event.Alias(h.str)} }

// numeric tells whether atoms are in num; they are in str otherwise.
func (f form) numeric() bool { return f.class == classInteger || f.class == classDouble }

func (f form) atom(v event.Value) atom {
	switch f.class {
	case classInteger:
		return atom{num: v.Long()}
	case classDouble:
		return atom{num: doubleKey(event.DoubleOf(v.Double()).Double())}
	case classDecimal:
		return atom{str: minimal(v.Str)}
	}
	return atom{str: v.Str}
}

// value is the inverse of atom; it aliases a.
func (f form) value(a atom) event.Value {
	switch f.class {
	case classInteger:
		return event.Value{Kind: f.kind, Num: uint64(a.num)}
	case classDouble:
		return event.DoubleOf(keyDouble(a.num))
	}
	return event.Value{Kind: f.kind, Num: f.scale, Str: a.str}
}

// compare orders atoms as event.Compare does their values: NaN is above +Inf. Lists and maps, which have
// no order that users know, go bytewise.
func (f form) compare(a, b atom) int {
	switch {
	case f.numeric():
		return cmp.Compare(a.num, b.num)
	case f.class == classDecimal:
		return compareIntegers(a.str, b.str)
	}
	return cmp.Compare(a.str, b.str)
}

// hash is xxHash64 of the value as event.AppendValue writes it. Which values a bounded set keeps depends
// on it, so it is part of the format. scratch is returned for the next use.
func (f form) hash(a atom, scratch []byte) (uint64, []byte) {
	scratch = event.AppendValue(scratch[:0], f.value(a))
	return xxhash.Sum64(scratch), scratch
}

// append writes a: integers as a signed number, doubles as 8 bytes big-endian of doubleKey with its sign
// bit flipped, others as length and bytes.
func (f form) append(dst []byte, a atom) []byte {
	switch f.class {
	case classInteger:
		return binary.AppendVarint(dst, a.num)
	case classDouble:
		return binary.BigEndian.AppendUint64(dst, uint64(a.num)^1<<63)
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.str)))
	return append(dst, a.str...)
}

// read is the inverse of append, for any bytes; what it answers aliases them.
func (f form) read(d *decoder) atom {
	switch f.class {
	case classInteger:
		return atom{num: d.varint()}
	case classDouble:
		return f.atom(event.DoubleOf(keyDouble(d.key())))
	}
	s := event.Alias(d.bytes(d.uvarint()))
	if f.class == classDecimal {
		s = minimal(s)
	}
	return atom{str: s}
}

// appendNext writes an atom that comes after prev in a list in order: integers as the distance.
func (f form) appendNext(dst []byte, prev int64, a atom) []byte {
	if f.class == classInteger {
		return binary.AppendUvarint(dst, uint64(a.num)-uint64(prev))
	}
	return f.append(dst, a)
}

// readNext is the inverse of appendNext.
func (f form) readNext(d *decoder, prev int64) atom {
	if f.class == classInteger {
		return atom{num: int64(uint64(prev) + d.uvarint())}
	}
	return f.read(d)
}

// toDouble is the number that a numeric value is, rounded once.
func toDouble(v event.Value) float64 {
	switch v.Kind {
	case event.Double:
		return v.Double() + 0
	case event.Long:
		return float64(v.Long())
	}
	if len(v.Str) <= 8 && v.Num <= 22 {
		n := int64(0)
		if v.Str != "" && v.Str[0] >= 0x80 {
			n = -1
		}
		for i := range len(v.Str) {
			n = n<<8 | int64(v.Str[i])
		}
		if -1<<53 <= n && n <= 1<<53 { // both are exact, so the quotient is rounded once
			return float64(n) / exactTens[v.Num]
		}
	}
	return quotient(v.Unscaled(), timesPow10(big.NewInt(1), v.Num))
}

// exactTens are the powers of ten that doubles hold.
var exactTens = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// listOf is a list that aliases its elements' encoding.
func listOf(elems []byte) event.Value {
	return event.Value{Kind: event.List, Str: event.Alias(elems)}
}

// log2 is the binary logarithm of a positive, finite x, within 2 units in the last place; exact at powers
// of two. The same bits on every machine, which math.Log2 does not promise: every operation is rounded.
// log2(m·2^e) = e + 2·artanh((m-1)/(m+1))/ln 2, m in [√½, √2), by the series of artanh.
func log2(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	s := (m - 1) / (m + 1)
	z := float64(s * s)
	sum := 0.0
	for k := 27; k >= 3; k -= 2 { // z < 0.0295: the term of s^29 is below 2^-70
		sum = float64(z * (sum + 1/float64(k)))
	}
	const twoByLn2 = 2 / math.Ln2
	return float64(e) + float64(twoByLn2*float64(s+float64(s*sum)))
}
