package export

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// order is how the values of a leaf column compare, for their bounds.
type order uint8

const (
	noOrder order = iota // or in a way that readers do not agree on: no bounds are written
	signedOrder
	unsignedOrder
	floatOrder
	byteOrder
)

// textOfBound is the longest text that is written as a bound.
const textOfBound = 256

func orderOf(t parquet.Type) order {
	var logical any
	if lt := t.LogicalType(); lt != nil {
		logical = lt.Value
	}
	switch t.Kind() {
	case parquet.Int32, parquet.Int64:
		if x, ok := logical.(*format.IntType); ok && !x.IsSigned {
			return unsignedOrder
		}
		if c := t.ConvertedType(); c != nil && *c >= deprecated.Uint8 && *c <= deprecated.Uint64 {
			return unsignedOrder
		}
		return signedOrder
	case parquet.Float, parquet.Double:
		return floatOrder
	case parquet.ByteArray:
		if c := t.ConvertedType(); c != nil && (*c == deprecated.Decimal || *c == deprecated.Interval) {
			return noOrder
		}
		switch logical.(type) {
		case nil, *format.StringType, *format.EnumType, *format.JsonType:
			return byteOrder
		}
	}
	return noOrder
}

// bound notes the bounds of the page under way in the index of the column's pages, and in those of the row group.
func (w *leafColumn) bound(nulls int) {
	if w.blind {
		return
	}
	low, high, ok := w.bounds()
	if !ok && w.values > 0 { // all are NaN, or one is too long: readers take the index for whole
		w.blind = true
		return
	}
	x := &w.index
	x.NullPages = append(x.NullPages, w.values == 0)
	x.MinValues, x.MaxValues = append(x.MinValues, low), append(x.MaxValues, high)
	x.NullCounts = append(x.NullCounts, int64(nulls))
	if w.values == 0 {
		return
	}
	if w.low == nil || w.compare(low, w.low) < 0 {
		w.low = low
	}
	if w.high == nil || w.compare(high, w.high) > 0 {
		w.high = high
	}
}

// bounds are the least and the greatest value of the page under way, as PLAIN has them without a length. NaN has no
// place among others, and of a zero readers need not know the sign: the least is -0, the greatest +0.
func (w *leafColumn) bounds() (low, high []byte, ok bool) {
	switch w.order {
	case signedOrder:
		if w.kind == parquet.Int32 {
			low, high = spread[int32](w)
		} else {
			low, high = spread[int64](w)
		}
	case unsignedOrder:
		low, high = spread[uint64](w)
	case floatOrder:
		return w.boundsOfFloats()
	case byteOrder:
		return w.boundsOfText()
	}
	return low, high, len(w.nums) > 0
}

func spread[T int32 | int64 | uint64](w *leafColumn) (low, high []byte) {
	if len(w.nums) == 0 {
		return nil, nil
	}
	least := T(w.nums[0])
	most := least
	for _, n := range w.nums {
		least, most = min(least, T(n)), max(most, T(n))
	}
	return w.appendPlain(nil, []uint64{uint64(least)}, nil), w.appendPlain(nil, []uint64{uint64(most)}, nil)
}

func (w *leafColumn) boundsOfFloats() (low, high []byte, ok bool) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, n := range w.nums {
		x := w.float(n)
		if x != x {
			continue
		}
		ok = true
		if x < least {
			least = x
		}
		if x > most {
			most = x
		}
	}
	if !ok {
		return nil, nil, false
	}
	if least == 0 {
		least = math.Copysign(0, -1)
	}
	if most == 0 {
		most = math.Abs(most)
	}
	return w.appendPlain(nil, []uint64{w.bitsOf(least)}, nil), w.appendPlain(nil, []uint64{w.bitsOf(most)}, nil), true
}

func (w *leafColumn) float(bits uint64) float64 {
	if w.kind == parquet.Float {
		return float64(math.Float32frombits(uint32(bits)))
	}
	return math.Float64frombits(bits)
}

func (w *leafColumn) bitsOf(x float64) uint64 {
	if w.kind == parquet.Float {
		return uint64(math.Float32bits(float32(x)))
	}
	return math.Float64bits(x)
}

func (w *leafColumn) boundsOfText() (low, high []byte, ok bool) {
	for at := 0; at < len(w.text); {
		end := at + 4 + int(binary.LittleEndian.Uint32(w.text[at:]))
		text := w.text[at+4 : end]
		if !ok || bytes.Compare(text, low) < 0 {
			low = text
		}
		if !ok || bytes.Compare(text, high) > 0 {
			high = text
		}
		ok, at = true, end
	}
	if len(low) > textOfBound || len(high) > textOfBound {
		return nil, nil, false
	}
	return append([]byte{}, low...), append([]byte{}, high...), ok
}

func (w *leafColumn) compare(a, b []byte) int {
	switch w.order {
	case signedOrder:
		if w.kind == parquet.Int32 {
			return cmp.Compare(int32(binary.LittleEndian.Uint32(a)), int32(binary.LittleEndian.Uint32(b)))
		}
		return cmp.Compare(int64(binary.LittleEndian.Uint64(a)), int64(binary.LittleEndian.Uint64(b)))
	case unsignedOrder:
		return cmp.Compare(w.plain(a), w.plain(b))
	case floatOrder:
		return cmp.Compare(w.float(w.plain(a)), w.float(w.plain(b)))
	}
	return bytes.Compare(a, b)
}

func (w *leafColumn) plain(b []byte) uint64 {
	if len(b) == 4 {
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}
