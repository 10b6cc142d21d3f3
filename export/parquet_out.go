package export

import (
	"fmt"
	"io"
	"reflect"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/penstock-ml/penstock/event"
)

// parquetSink writes Parquet: columns in the order given, zstd, features optional. Longs are INT64,
// doubles DOUBLE, instants TIMESTAMP(MICROS, UTC); decimals are STRING, since the sum of decimals
// has no bound on its digits; lists are LIST, maps MAP. Nothing in the file tells when or where it was written.
type parquetSink struct {
	//lint:ignore SA1019 the generic writer needs Go types of every column; only rows are written here
	w     *parquet.Writer
	l     *layout
	base  []int          // by column: its first leaf column
	kinds []parquet.Kind // by flat column
	rows  []parquet.Row
	size  int // bytes of the values of the row group
	have  int // rows of it
}

// A row group holds a million rows, or 128 MiB of values before they are encoded: what readers like, and
// what the writer holds in memory, compressed.
const (
	rowsOfGroup  = 1 << 20
	bytesOfGroup = 128 << 20
	rowsOfWrite  = 256
	bytesOfDict  = 1 << 20
	createdBy    = "penstock"
)

func newParquetSink(w io.Writer, l *layout) (*parquetSink, error) {
	s := &parquetSink{l: l, rows: make([]parquet.Row, 0, rowsOfWrite)}
	root := &orderedGroup{}
	leaf := 0
	for i := range l.table {
		c := &l.table[i]
		node := c.node
		if node == nil {
			node = nodeOf(c.typ, c.typ.Nullable)
		}
		kind := parquet.Kind(-1)
		if node.Leaf() {
			kind = node.Type().Kind()
		}
		s.kinds = append(s.kinds, kind)
		s.base = append(s.base, leaf)
		leaf += leaves(node)
		root.add(c.name, node)
	}
	config, err := parquet.NewWriterConfig(
		parquet.NewSchema("row", root),
		parquet.Compression(&parquet.Zstd),
		parquet.MaxRowsPerRowGroup(rowsOfGroup),
		parquet.DictionaryMaxBytes(bytesOfDict),
		parquet.DataPageStatistics(true),
		parquet.CreatedBy(createdBy, "", ""),
	)
	if err != nil {
		return nil, fmt.Errorf("write parquet: %w", err)
	}
	s.w = parquet.NewWriter(w, config)
	return s, nil
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
	for r := range c.rows {
		row := s.row()
		for i := range s.l.table {
			if i < len(c.raw) {
				row = s.carry(row, &c.raw[i], r, s.base[i])
				continue
			}
			col := &s.l.table[i]
			v := c.cell(s.l, i, r)
			if col.typ.Elem != nil {
				row = appendNested(row, v, &col.typ, s.base[i])
				continue
			}
			if err := fits(v, col.typ.Kind); err != nil && s.kinds[i] != parquet.ByteArray {
				return s.l.cellError(c, r, i, err)
			}
			row = append(row, parquetValue(v, s.kinds[i], s.base[i], col.optional()))
		}
		s.rows[len(s.rows)-1] = row
		for i := range row {
			s.size += sizeOfValue(&row[i])
		}
		if s.have++; len(s.rows) == rowsOfWrite || s.have == rowsOfGroup || s.size >= bytesOfGroup {
			if err := s.flush(); err != nil {
				return err
			}
		}
		if s.have == rowsOfGroup || s.size >= bytesOfGroup {
			if err := s.w.Flush(); err != nil {
				return fmt.Errorf("write a row group: %w", err)
			}
			s.have, s.size = 0, 0
		}
	}
	return s.flush() // the rows alias the chunk
}

// sizeOfValue is what a value takes before it is encoded.
func sizeOfValue(v *parquet.Value) int {
	switch v.Kind() {
	case parquet.ByteArray, parquet.FixedLenByteArray:
		return 4 + len(v.ByteArray())
	}
	return 8
}

// row makes room for one more row.
func (s *parquetSink) row() parquet.Row {
	s.rows = s.rows[:len(s.rows)+1]
	return s.rows[len(s.rows)-1][:0]
}

func (s *parquetSink) flush() error {
	if len(s.rows) == 0 {
		return nil
	}
	_, err := s.w.WriteRows(s.rows)
	s.rows = s.rows[:0]
	return err
}

func (s *parquetSink) close() error {
	if err := s.w.Close(); err != nil {
		return fmt.Errorf("write parquet: %w", err)
	}
	return nil
}

// carry appends a column's values as they were read, in their new place.
func (s *parquetSink) carry(row parquet.Row, raw *rawColumn, r, base int) parquet.Row {
	from := int32(0)
	if r > 0 {
		from = raw.ends[r-1]
	}
	vals := raw.vals[from:raw.ends[r]]
	if len(vals) == 0 {
		return row
	}
	old := vals[0].Column() // a row's values come in the order of leaf columns
	for _, v := range vals {
		row = append(row, v.Level(v.RepetitionLevel(), v.DefinitionLevel(), base+v.Column()-old))
	}
	return row
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
