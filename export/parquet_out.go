package export

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/penstock-ml/penstock/event"
)

// parquetSink writes Parquet: columns in the order given, zstd, features optional. Longs are INT64,
// doubles DOUBLE, instants TIMESTAMP(MICROS, UTC); decimals are STRING, since the sum of decimals
// has no bound on its digits; lists are LIST, maps MAP. Nothing in the file tells when or where it was written.
//
// Every column is encoded by itself, so some may be at the same time; the bytes do not depend on it. The library has
// the schema, the encodings of levels and indexes, and the structures of the footer.
type parquetSink struct {
	w         io.Writer
	at        int64 // offset of what is written next
	l         *layout
	crew      crew
	meta      format.FileMetaData
	cols      []parquetColumn
	zstds     []*zstd.Encoder // by worker of the crew
	index     [][]*leafIndex  // by row group
	size      int             // bytes of the values of the row group
	have      int             // rows of it
	mostRows  int             // of a row group
	mostBytes int             // of its values
}

// parquetColumn is a column of the table.
type parquetColumn struct {
	kind   parquet.Kind // of a flat one; else -1
	leaves []*leafColumn
	row    parquet.Row // of a nested one
}

// A row group holds a million rows, or 128 MiB of values before they are encoded: what readers like, and
// what the writer holds in memory, compressed.
const (
	rowsOfGroup  = 1 << 20
	bytesOfGroup = 128 << 20
	rowsOfCount  = 1024 // after so many it is seen whether a row group is full
	createdBy    = "penstock"
	magic        = "PAR1"
)

func newParquetSink(w io.Writer, l *layout, by crew) (*parquetSink, error) {
	s := &parquetSink{w: w, l: l, crew: by, mostRows: rowsOfGroup, mostBytes: bytesOfGroup}
	root := &orderedGroup{}
	for i := range l.table {
		c := &l.table[i]
		node := c.node
		if node == nil {
			node = nodeOf(c.typ, c.typ.Nullable)
		}
		kind := parquet.Kind(-1)
		if node.Leaf() && !node.Repeated() {
			kind = node.Type().Kind()
		}
		s.cols = append(s.cols, parquetColumn{kind: kind})
		root.add(c.name, node)
	}
	empty, err := emptyParquet(root)
	if err != nil {
		return nil, err
	}
	s.meta = *empty.Metadata()
	for i, c := range empty.Root().Columns() {
		s.cols[i].leaves = leavesUnder(c, nil)
	}
	for range max(by.workers, 1) {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false))
		if err != nil {
			return nil, fmt.Errorf("write parquet: %w", err)
		}
		s.zstds = append(s.zstds, z)
	}
	return s, s.put([]byte(magic))
}

// emptyParquet is a file without rows, for what the library makes of a schema.
func emptyParquet(root parquet.Node) (*parquet.File, error) {
	config, err := parquet.NewWriterConfig(parquet.NewSchema("row", root), parquet.CreatedBy(createdBy, "", ""))
	if err != nil {
		return nil, fmt.Errorf("write parquet: %w", err)
	}
	var b bytes.Buffer
	if err := parquet.NewWriter(&b, config).Close(); err != nil {
		return nil, fmt.Errorf("write parquet: %w", err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		return nil, fmt.Errorf("write parquet: %w", err)
	}
	return f, nil
}

func leavesUnder(c *parquet.Column, to []*leafColumn) []*leafColumn {
	if c.Leaf() {
		return append(to, newLeafColumn(c))
	}
	for _, below := range c.Columns() {
		to = leavesUnder(below, to)
	}
	return to
}

// nodeOf is how values of a type are written.
func nodeOf(t event.Type, optional bool) parquet.Node {
	var n parquet.Node
	switch t.Kind {
	case event.Bool:
		n = parquet.Leaf(parquet.BooleanType)
	case event.Long:
		n = parquet.Leaf(parquet.Int64Type)
	case event.Double:
		n = parquet.Leaf(parquet.DoubleType)
	case event.Bytes:
		n = parquet.Leaf(parquet.ByteArrayType)
	case event.Timestamp:
		n = parquet.Timestamp(parquet.Microsecond)
	case event.LocalTimestamp:
		n = parquet.TimestampAdjusted(parquet.Microsecond, false)
	case event.Date:
		n = parquet.Date()
	case event.TimeOfDay:
		n = parquet.TimeAdjusted(parquet.Microsecond, false)
	case event.List:
		n = parquet.List(nodeOf(*t.Elem, true))
	case event.Map:
		n = parquet.Map(nodeOf(event.Type{Kind: event.String}, false), nodeOf(*t.Elem, true))
	default:
		n = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	}
	if optional {
		n = parquet.Optional(n)
	}
	return n
}

func (s *parquetSink) write(c *chunk) error {
	for from := 0; from < c.rows; {
		to := from
		for to < c.rows && s.have < s.mostRows && s.size < s.mostBytes {
			n := min(rowsOfCount, c.rows-to, s.mostRows-s.have)
			s.size += s.sizeOf(c, to, to+n)
			s.have += n
			to += n
		}
		if err := s.add(c, from, to); err != nil {
			return err
		}
		if s.have == s.mostRows || s.size >= s.mostBytes {
			if err := s.endGroup(); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// sizeOf is what some rows take before they are encoded.
func (s *parquetSink) sizeOf(c *chunk, from, to int) int {
	size := 0
	for i := range s.cols {
		if c.isRaw(i) {
			for _, v := range c.raw[i].of(from, to) {
				if k := v.Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
					size += len(v.ByteArray())
				}
				size += 8
			}
			continue
		}
		size += 8 * (to - from)
		if s.cols[i].kind == parquet.ByteArray || s.cols[i].kind < 0 {
			size += c.bytesOf(s.l, i, from, to)
		}
	}
	return size
}

// add adds some rows, a column at a time.
func (s *parquetSink) add(c *chunk, from, to int) error {
	errs := make([]error, len(s.cols))
	bad := make([]int, len(s.cols))
	s.each(func(i int, z *zstd.Encoder) {
		bad[i], errs[i] = s.addColumn(c, i, from, to, z)
	})
	first := -1
	for i, err := range errs {
		if err != nil && (first < 0 || bad[i] < bad[first]) {
			first = i
		}
	}
	if first < 0 {
		return nil
	}
	if bad[first] < 0 {
		return errs[first]
	}
	return s.l.cellError(c, bad[first], first, errs[first])
}

// each does something for all columns.
func (s *parquetSink) each(do func(i int, z *zstd.Encoder)) {
	s.crew.each(len(s.cols), func(worker, i int) { do(i, s.zstds[worker]) })
}

// parquetValue is v as a value of a flat column. What it points to is v's.
func parquetValue(v event.Value, kind parquet.Kind, col int, optional bool) parquet.Value {
	if v.IsNull() {
		return parquet.NullValue().Level(0, 0, col)
	}
	var p parquet.Value
	switch kind {
	case parquet.Boolean:
		p = parquet.BooleanValue(v.Bool())
	case parquet.Int32:
		p = parquet.Int32Value(int32(v.Long()))
	case parquet.Int64:
		p = parquet.Int64Value(v.Long())
	case parquet.Float:
		p = parquet.FloatValue(float32(v.Double()))
	case parquet.Double:
		p = parquet.DoubleValue(v.Double())
	default:
		text := v.Str
		if v.Kind != event.String && v.Kind != event.Bytes {
			text = v.String()
		}
		p = parquet.ByteArrayValue(viewBytes(text))
	}
	if optional {
		return p.Level(0, 1, col)
	}
	return p.Level(0, 0, col)
}

// viewBytes views s as bytes that must not be written.
func viewBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// orderedGroup is a parquet.Group whose fields keep the order they were added in.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

func (g *orderedGroup) add(name string, n parquet.Node) {
	g.fields = append(g.fields, &namedNode{n, name})
}

// Fields lists the columns in order.
func (g *orderedGroup) Fields() []parquet.Field { return g.fields }

// GoType is not used: rows are written, never Go values.
func (g *orderedGroup) GoType() reflect.Type { return reflect.TypeFor[map[string]any]() }

type namedNode struct {
	parquet.Node
	name string
}

// Name is the column's.
func (n *namedNode) Name() string { return n.name }

// Value is not used: rows are written, never Go values.
func (n *namedNode) Value(reflect.Value) reflect.Value { return reflect.Value{} }

// carried is a node of another file, to be written with our encoding and compression. An ENUM
// becomes a STRING, as everywhere.
type carried struct{ parquet.Node }

// Encoding is our choice by the physical type.
func (n carried) Encoding() encoding.Encoding {
	if n.Leaf() && n.Node.Type().Kind() == parquet.ByteArray {
		return &parquet.RLEDictionary
	}
	return nil
}

// Compression is that of the file.
func (n carried) Compression() compress.Codec { return nil }

// Type is that of the other file, but for an ENUM.
func (n carried) Type() parquet.Type {
	t := n.Node.Type()
	if n.Leaf() && t.LogicalType() != nil {
		if _, ok := t.LogicalType().Value.(*format.EnumType); ok {
			return parquet.String().Type()
		}
	}
	return t
}

// Fields are those of the other file, carried too.
func (n carried) Fields() []parquet.Field {
	fields := n.Node.Fields()
	out := make([]parquet.Field, len(fields))
	for i, f := range fields {
		out[i] = &namedNode{carried{f}, f.Name()}
	}
	return out
}

// GoType is not used: rows are written, never Go values.
func (n carried) GoType() reflect.Type { return reflect.TypeFor[any]() }
