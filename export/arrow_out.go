package export

import (
	"bufio"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/penstock-ml/penstock/event"
)

// arrowSink writes an Arrow IPC file (Feather V2): record batches that are not compressed, so that readers can
// map them into memory. Lists are lists, vectors of one length fixed-size lists; decimals are text, as in the
// other formats. What lies under a null is zero, so the bytes depend on the values only.
type arrowSink struct {
	buf    *bufio.Writer
	w      *ipc.FileWriter
	l      *layout
	schema *arrow.Schema
	cols   []array.Builder
	put    []func(event.Value) error
	rows   int
	size   int // bytes of the batch
}

// A record batch is closed with this many rows or bytes.
const (
	rowsOfBatch  = 64 << 10
	bytesOfBatch = 64 << 20
)

func newArrowSink(w io.Writer, l *layout) (*arrowSink, error) {
	s := &arrowSink{l: l, buf: bufio.NewWriterSize(w, 256<<10)}
	mem := memory.NewGoAllocator()
	fields := make([]arrow.Field, 0, len(l.table))
	for i := range l.table {
		c := &l.table[i]
		typ := arrowType(&c.typ, c.size)
		fields = append(fields, arrow.Field{Name: c.name, Type: typ, Nullable: c.typ.Nullable})
		b := array.NewBuilder(mem, typ)
		s.cols = append(s.cols, b)
		s.put = append(s.put, putter(b, &c.typ, c.size))
	}
	s.schema = arrow.NewSchema(fields, nil)
	var err error
	if s.w, err = ipc.NewFileWriter(s.buf, ipc.WithSchema(s.schema), ipc.WithAllocator(mem)); err != nil {
		return nil, fmt.Errorf("write arrow: %w", err)
	}
	return s, nil
}

// arrowType is how values of a type are written; size is how many elements each list has, 0 any number.
func arrowType(t *event.Type, size int) arrow.DataType {
	switch t.Kind {
	case event.Bool:
		return arrow.FixedWidthTypes.Boolean
	case event.Long:
		return arrow.PrimitiveTypes.Int64
	case event.Double:
		return arrow.PrimitiveTypes.Float64
	case event.Bytes:
		return arrow.BinaryTypes.Binary
	case event.Timestamp:
		return arrow.FixedWidthTypes.Timestamp_us
	case event.LocalTimestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case event.Date:
		return arrow.FixedWidthTypes.Date32
	case event.TimeOfDay:
		return arrow.FixedWidthTypes.Time64us
	case event.List:
		item := arrowType(t.Elem, 0)
		if size > 0 {
			return arrow.FixedSizeListOf(int32(size), item)
		}
		return arrow.ListOf(item)
	case event.Map:
		return arrow.MapOf(arrow.BinaryTypes.String, arrowType(t.Elem, 0))
	}
	return arrow.BinaryTypes.String
}

// putter appends values of a type to their builder.
func putter(b array.Builder, t *event.Type, size int) func(event.Value) error {
	switch b := b.(type) {
	case *array.StringBuilder:
		return func(v event.Value) error {
			if v.IsNull() {
				b.AppendNull()
			} else {
				b.Append(v.String())
			}
			return nil
		}
	case *array.FixedSizeListBuilder, *array.ListBuilder, *array.MapBuilder:
		return putElements(b, t, size)
	}
	plain := putPlain(b)
	return func(v event.Value) error {
		if v.IsNull() {
			b.AppendNull()
			return nil
		}
		if err := fits(v, t.Kind); err != nil {
			return err
		}
		plain(v)
		return nil
	}
}

// putPlain appends values that are not null to a builder of a flat type.
func putPlain(b array.Builder) func(event.Value) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		return func(v event.Value) { b.Append(v.Bool()) }
	case *array.Int64Builder:
		return func(v event.Value) { b.Append(v.Long()) }
	case *array.Float64Builder:
		return func(v event.Value) { b.Append(v.Double()) }
	case *array.BinaryBuilder:
		return func(v event.Value) { b.Append(viewBytes(v.Str)) }
	case *array.TimestampBuilder:
		return func(v event.Value) { b.Append(arrow.Timestamp(v.Long())) }
	case *array.Date32Builder:
		return func(v event.Value) { b.Append(arrow.Date32(v.Long())) }
	case *array.Time64Builder:
		return func(v event.Value) { b.Append(arrow.Time64(v.Long())) }
	}
	panic(fmt.Sprintf("no values are appended to a %T", b)) // arrowType names no other
}

// putElements appends lists and maps.
func putElements(b array.Builder, t *event.Type, size int) func(event.Value) error {
	var open func()
	var elem [2]func(event.Value) error // by place: of a list one, of a map key and value
	switch b := b.(type) {
	case *array.ListBuilder:
		e := putter(b.ValueBuilder(), t.Elem, 0)
		open, elem = func() { b.Append(true) }, [2]func(event.Value) error{e, e}
	case *array.FixedSizeListBuilder:
		e := putter(b.ValueBuilder(), t.Elem, 0)
		open, elem = func() { b.Append(true) }, [2]func(event.Value) error{e, e}
	case *array.MapBuilder:
		key := event.Type{Kind: event.String}
		open = func() { b.Append(true) }
		elem = [2]func(event.Value) error{putter(b.KeyBuilder(), &key, 0), putter(b.ItemBuilder(), t.Elem, 0)}
	}
	return func(v event.Value) error {
		if v.IsNull() {
			b.AppendNull()
			return nil
		}
		if err := fits(v, t.Kind); err != nil {
			return err
		}
		if size > 0 {
			if n := elements(v); n != size {
				return fmt.Errorf("the list has %d elements, not %d", n, size)
			}
		}
		open()
		return event.EachElem(v.Str, func(i int, e event.Value) error { return elem[i%2](e) })
	}
}

// elements counts what a list holds, and keys and values of a map; damaged bytes hold none.
func elements(v event.Value) (n int) {
	if event.EachElem(v.Str, func(int, event.Value) error { n++; return nil }) != nil {
		return 0
	}
	return n
}

func (s *arrowSink) write(c *chunk) error {
	for r := range c.rows {
		for i, put := range s.put {
			v := c.cell(s.l, i, r)
			if err := put(v); err != nil {
				return s.l.cellError(c, r, i, err)
			}
			s.size += 8 + len(v.Str)
		}
		if s.rows++; s.rows == rowsOfBatch || s.size >= bytesOfBatch {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes the batch.
func (s *arrowSink) flush() error {
	cols := make([]arrow.Array, len(s.cols))
	for i, b := range s.cols {
		cols[i] = b.NewArray()
	}
	batch := array.NewRecordBatch(s.schema, cols, int64(s.rows))
	defer batch.Release()
	if err := s.w.Write(batch); err != nil {
		return fmt.Errorf("write a record batch: %w", err)
	}
	s.rows, s.size = 0, 0
	return nil
}

func (s *arrowSink) close() error {
	if s.rows > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if err := s.w.Close(); err != nil {
		return fmt.Errorf("write arrow: %w", err)
	}
	if err := s.buf.Flush(); err != nil {
		return fmt.Errorf("write arrow: %w", err)
	}
	return nil
}
