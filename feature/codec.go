package feature

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/penstock-ml/penstock/event"
	"github.com/penstock-ml/penstock/pipeline"
	"github.com/penstock-ml/penstock/transforms/agg"
)

// maxRowBytes bounds one stored row; a larger one is a dead letter of reason "size".
const maxRowBytes = math.MaxUint16

var errCorruptRow = errors.New("corrupt row")

// codec encodes the rows of one view. The layout of a row, in order (docs/format/head.md):
//
//	2  length of what follows, little-endian
//	8  event time, little-endian
//	v  arrival - event time, zigzag varint
//	v  lane, uvarint: the partition, in views of one source
//	v  offset, uvarint
//	v  index within the record, uvarint   (views with `flatten:`)
//	v  filters passed, uvarint            (views with filters)
//	*  order value, event.AppendValue     (sources with `order:`)
//	n  bitmap of null inputs, 1 bit each  (ceil(inputs/8) bytes)
//	*  the inputs that are not null, by their kind
type codec struct {
	lanes   lanes
	kinds   []event.Kind
	scales  []uint64
	flat    bool
	filters bool
	order   bool
}

func newCodec(v *pipeline.View) *codec {
	c := &codec{lanes: lanesOf(v), filters: len(v.Filters) > 0}
	for _, b := range v.Branches() {
		c.flat = c.flat || len(b.Flatten) > 0
		c.order = c.order || b.Source.Order >= 0
	}
	for _, in := range v.Inputs {
		c.kinds = append(c.kinds, in.Type.Kind)
		c.scales = append(c.scales, uint64(in.Type.Scale))
	}
	return c
}

// append appends the encoding of r; ok is false if the row is too large, and dst is then as before.
func (c *codec) append(dst []byte, r *event.Row) (_ []byte, ok bool) {
	start := len(dst)
	dst = append(dst, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Time))
	dst = binary.AppendVarint(dst, int64(r.Arrival-r.Time))
	dst = binary.AppendUvarint(dst, uint64(c.lanes.of(r.Pos)))
	dst = binary.AppendUvarint(dst, uint64(r.Pos.Offset))
	if c.flat {
		dst = binary.AppendUvarint(dst, uint64(r.Pos.Index))
	}
	if c.filters {
		dst = binary.AppendUvarint(dst, r.Pass)
	}
	if c.order {
		dst = event.AppendValue(dst, r.Order)
	}
	nulls := len(dst)
	for i := 0; i < len(c.kinds); i += 8 {
		dst = append(dst, 0)
	}
	for i := range c.kinds {
		v := &r.Values[i]
		switch v.Kind {
		case event.Null:
			dst[nulls+i/8] |= 1 << (i % 8)
		case event.Double:
			dst = binary.LittleEndian.AppendUint64(dst, v.Num)
		case event.Bool, event.Long, event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay:
			dst = binary.AppendVarint(dst, int64(v.Num))
		default:
			dst = binary.AppendUvarint(dst, uint64(len(v.Str)))
			dst = append(dst, v.Str...)
		}
	}
	n := len(dst) - start - 2
	if n > maxRowBytes {
		return dst[:start], false
	}
	binary.LittleEndian.PutUint16(dst[start:], uint16(n))
	return dst, true
}

// next decodes the first row of b into r, whose Values must have the view's number of inputs, and
// returns the rest. What r holds aliases b.
func (c *codec) next(b []byte, r *event.Row) ([]byte, error) {
	row, rest, err := splitRow(b)
	if err != nil {
		return nil, err
	}
	r.Time = rowTime(b)
	row = row[8:]
	lag, w := binary.Varint(row)
	if w <= 0 {
		return nil, errCorruptRow
	}
	row = row[w:]
	r.Arrival = r.Time + event.Time(lag)
	part, w := binary.Uvarint(row)
	if w <= 0 {
		return nil, errCorruptRow
	}
	row = row[w:]
	off, w := binary.Uvarint(row)
	if w <= 0 {
		return nil, errCorruptRow
	}
	row = row[w:]
	if part > math.MaxInt32 {
		return nil, errCorruptRow
	}
	source, partition := c.lanes.source(int32(part))
	r.Pos = event.Position{Source: source, Partition: partition, Offset: int64(off)}
	if c.flat {
		i, w := binary.Uvarint(row)
		if w <= 0 || i > math.MaxInt32 {
			return nil, errCorruptRow
		}
		row = row[w:]
		r.Pos.Index = int32(i)
	}
	if c.filters {
		if r.Pass, w = binary.Uvarint(row); w <= 0 {
			return nil, errCorruptRow
		}
		row = row[w:]
	}
	if c.order {
		s := event.Alias(row)
		v, tail, err := event.DecodeValue(s)
		if err != nil {
			return nil, errCorruptRow
		}
		r.Order = v
		row = row[len(s)-len(tail):]
	}
	return rest, c.values(row, r.Values)
}

// values decodes the null bitmap and the inputs, which must fill row exactly.
func (c *codec) values(row []byte, out []event.Value) error {
	n := (len(c.kinds) + 7) / 8
	if len(row) < n {
		return errCorruptRow
	}
	nulls := row[:n]
	row = row[n:]
	for i, k := range c.kinds {
		if nulls[i/8]&(1<<(i%8)) != 0 {
			out[i] = event.Value{}
			continue
		}
		switch k {
		case event.Double:
			if len(row) < 8 {
				return errCorruptRow
			}
			out[i] = event.Value{Kind: k, Num: binary.LittleEndian.Uint64(row)}
			row = row[8:]
		case event.Bool, event.Long, event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay:
			x, w := binary.Varint(row)
			if w <= 0 {
				return errCorruptRow
			}
			out[i] = event.Value{Kind: k, Num: uint64(x)}
			row = row[w:]
		default:
			x, w := binary.Uvarint(row)
			if w <= 0 || x > uint64(len(row)-w) {
				return errCorruptRow
			}
			out[i] = event.Value{Kind: k, Num: c.scales[i], Str: event.Alias(row[w : w+int(x)])}
			row = row[w+int(x):]
		}
	}
	if len(row) != 0 {
		return errCorruptRow
	}
	return nil
}

// appendTo decodes the first row of b into cols, as far as they keep it, and returns the rest. The text of its
// values aliases b.
func (c *codec) appendTo(cols *agg.Columns, b []byte) ([]byte, error) {
	row, rest, err := splitRow(b)
	if err != nil {
		return nil, err
	}
	t := rowTime(b)
	row = row[8:]
	lag, w := binary.Varint(row)
	if w <= 0 {
		return nil, errCorruptRow
	}
	row = row[w:]
	cols.Times, cols.Arrived = append(cols.Times, t), append(cols.Arrived, t+event.Time(lag))
	lane, w := binary.Uvarint(row)
	if w <= 0 || lane > math.MaxInt32 {
		return nil, errCorruptRow
	}
	row = row[w:]
	offset, w := binary.Uvarint(row)
	if w <= 0 {
		return nil, errCorruptRow
	}
	row = row[w:]
	index := uint64(0)
	if c.flat {
		if index, w = binary.Uvarint(row); w <= 0 || index > math.MaxInt32 {
			return nil, errCorruptRow
		}
		row = row[w:]
	}
	if cols.Placed {
		source, partition := c.lanes.source(int32(lane))
		cols.Places = append(cols.Places, event.Position{Source: source, Partition: partition, Offset: int64(offset), Index: int32(index)})
	}
	if c.filters {
		pass, w := binary.Uvarint(row)
		if w <= 0 {
			return nil, errCorruptRow
		}
		row = row[w:]
		if cols.Passes {
			cols.Pass = append(cols.Pass, pass)
		}
	}
	if c.order {
		s := event.Alias(row)
		v, tail, err := event.DecodeValue(s)
		if err != nil {
			return nil, errCorruptRow
		}
		row = row[len(s)-len(tail):]
		if cols.Ordered {
			cols.Orders = append(cols.Orders, v)
		}
	}
	return rest, c.valuesTo(cols, row)
}

// valuesTo is values, by column.
func (c *codec) valuesTo(cols *agg.Columns, row []byte) error {
	n := (len(c.kinds) + 7) / 8
	if len(row) < n {
		return errCorruptRow
	}
	nulls := row[:n]
	row = row[n:]
	for i, k := range c.kinds {
		in := &cols.Inputs[i]
		num, text := uint64(0), row[:0]
		if nulls[i/8]&(1<<(i%8)) != 0 {
			k = event.Null
		}
		switch k {
		case event.Null:
		case event.Double:
			if len(row) < 8 {
				return errCorruptRow
			}
			num, row = binary.LittleEndian.Uint64(row), row[8:]
		case event.Bool, event.Long, event.Timestamp, event.LocalTimestamp, event.Date, event.TimeOfDay:
			x, w := binary.Varint(row)
			if w <= 0 {
				return errCorruptRow
			}
			num, row = uint64(x), row[w:]
		default:
			x, w := binary.Uvarint(row)
			if w <= 0 || x > uint64(len(row)-w) {
				return errCorruptRow
			}
			num, text, row = c.scales[i], row[w:w+int(x)], row[w+int(x):]
		}
		if !in.Used {
			continue
		}
		in.Kinds, in.Nums = append(in.Kinds, k), append(in.Nums, num)
		if in.Text {
			in.Texts = append(in.Texts, event.Alias(text))
		}
	}
	if len(row) != 0 {
		return errCorruptRow
	}
	return nil
}

// splitRow returns the first row of b without its length, and what follows.
func splitRow(b []byte) (row, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, errCorruptRow
	}
	n := int(binary.LittleEndian.Uint16(b))
	if n < 8 || len(b) < 2+n {
		return nil, nil, errCorruptRow
	}
	return b[2 : 2+n], b[2+n:], nil
}

// rowTime reads the event time of the row at the head of b, which splitRow has accepted.
func rowTime(b []byte) event.Time { return event.Time(binary.LittleEndian.Uint64(b[2:])) }

// rowPosition reads the partition and the offset of the row at the head of b, which splitRow has accepted.
func rowPosition(b []byte) (part int32, off int64, err error) {
	b = b[10:]
	for i := range 3 {
		x, w := binary.Uvarint(b)
		if w <= 0 {
			return 0, 0, errCorruptRow
		}
		b = b[w:]
		switch i { // the first is the arrival
		case 1:
			part = int32(x)
		case 2:
			off = int64(x)
		}
	}
	return part, off, nil
}
