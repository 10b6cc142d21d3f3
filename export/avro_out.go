package export

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/penstock-ml/penstock/event"
)

// avroSink writes an Avro object container file of records, deflated. The marker between its blocks is made of
// the schema, so that nothing in the file is drawn by chance.
type avroSink struct {
	w     io.Writer
	l     *layout
	sync  [16]byte
	rows  int64 // of the block
	block []byte
	buf   bytes.Buffer
	z     *flate.Writer
}

// A block is closed with this many bytes or rows.
const (
	bytesOfBlock = 256 << 10
	rowsOfBlock  = 16 << 10
)

func newAvroSink(w io.Writer, l *layout) (*avroSink, error) {
	schema := avroSchema(l)
	sum := sha256.Sum256(schema)
	s := &avroSink{w: w, l: l, sync: [16]byte(sum[:16])}
	var err error
	if s.z, err = flate.NewWriter(io.Discard, flate.DefaultCompression); err != nil {
		return nil, fmt.Errorf("write avro: %w", err)
	}
	head := append([]byte("Obj\x01"), 4) // two pairs, zigzag
	for _, text := range [][]byte{[]byte("avro.codec"), []byte("deflate"), []byte("avro.schema"), schema} {
		head = append(binary.AppendVarint(head, int64(len(text))), text...)
	}
	head = append(append(head, 0), s.sync[:]...)
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("write avro: %w", err)
	}
	return s, nil
}

// avroSchema is the schema of the table's rows.
func avroSchema(l *layout) []byte {
	b := []byte(`{"type":"record","name":"row","fields":[`)
	for i := range l.table {
		c := &l.table[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(event.AppendJSONString(append(b, `{"name":`...), c.name), `,"type":`...)
		b = appendAvroType(b, &c.typ, c.typ.Nullable)
		if c.typ.Nullable {
			b = append(b, `,"default":null`...)
		}
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func appendAvroType(b []byte, t *event.Type, nullable bool) []byte {
	if nullable {
		b = append(appendAvroType(append(b, `["null",`...), t, false), ']')
		return b
	}
	switch t.Kind {
	case event.Bool:
		return append(b, `"boolean"`...)
	case event.Long:
		return append(b, `"long"`...)
	case event.Double:
		return append(b, `"double"`...)
	case event.Bytes:
		return append(b, `"bytes"`...)
	case event.Timestamp:
		return append(b, `{"type":"long","logicalType":"timestamp-micros"}`...)
	case event.LocalTimestamp:
		return append(b, `{"type":"long","logicalType":"local-timestamp-micros"}`...)
	case event.Date:
		return append(b, `{"type":"int","logicalType":"date"}`...)
	case event.TimeOfDay:
		return append(b, `{"type":"long","logicalType":"time-micros"}`...)
	case event.List:
		return append(appendAvroType(append(b, `{"type":"array","items":`...), t.Elem, true), '}')
	case event.Map:
		return append(appendAvroType(append(b, `{"type":"map","values":`...), t.Elem, true), '}')
	}
	return append(b, `"string"`...)
}

// avroName tells whether a name can be one of Avro.
func avroName(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

func (s *avroSink) write(c *chunk) error {
	for r := range c.rows {
		for i := range s.l.table {
			t := &s.l.table[i].typ
			var err error
			if s.block, err = appendAvro(s.block, c.cell(s.l, i, r), t, t.Nullable); err != nil {
				return s.l.cellError(c, r, i, err)
			}
		}
		if s.rows++; s.rows == rowsOfBlock || len(s.block) >= bytesOfBlock {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendAvro appends v in Avro's binary encoding.
func appendAvro(b []byte, v event.Value, t *event.Type, nullable bool) ([]byte, error) {
	if nullable {
		if v.IsNull() {
			return append(b, 0), nil
		}
		b = append(b, 2)
	}
	switch t.Kind {
	case event.String, event.Decimal:
		text := v.String()
		return append(binary.AppendVarint(b, int64(len(text))), text...), nil
	}
	if v.Kind != t.Kind {
		return b, fits(v, t.Kind)
	}
	switch t.Kind {
	case event.Bool:
		return append(b, byte(v.Num)), nil
	case event.Double:
		return binary.LittleEndian.AppendUint64(b, v.Num), nil
	case event.Bytes:
		return append(binary.AppendVarint(b, int64(len(v.Str))), v.Str...), nil
	case event.List, event.Map:
		return appendAvroElements(b, v, t)
	}
	return binary.AppendVarint(b, v.Long()), nil
}

// appendAvroElements appends a list or a map as one block.
func appendAvroElements(b []byte, v event.Value, t *event.Type) ([]byte, error) {
	n, text := 0, event.Type{Kind: event.String}
	if err := event.EachElem(v.Str, func(int, event.Value) error { n++; return nil }); err != nil {
		return b, err
	}
	if t.Kind == event.Map {
		n /= 2
	}
	if n == 0 {
		return append(b, 0), nil
	}
	b = binary.AppendVarint(b, int64(n))
	err := event.EachElem(v.Str, func(i int, e event.Value) (err error) {
		if t.Kind == event.Map && i%2 == 0 {
			b, err = appendAvro(b, e, &text, false)
		} else {
			b, err = appendAvro(b, e, t.Elem, true)
		}
		return err
	})
	return append(b, 0), err
}

// flush writes the block.
func (s *avroSink) flush() error {
	if s.rows == 0 {
		return nil
	}
	s.buf.Reset()
	s.z.Reset(&s.buf)
	if _, err := s.z.Write(s.block); err != nil {
		return fmt.Errorf("write a block: %w", err)
	}
	if err := s.z.Close(); err != nil {
		return fmt.Errorf("write a block: %w", err)
	}
	head := binary.AppendVarint(binary.AppendVarint(nil, s.rows), int64(s.buf.Len()))
	for _, part := range [][]byte{head, s.buf.Bytes(), s.sync[:]} {
		if _, err := s.w.Write(part); err != nil {
			return fmt.Errorf("write a block: %w", err)
		}
	}
	s.rows, s.block = 0, s.block[:0]
	return nil
}

func (s *avroSink) close() error { return s.flush() }
