package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/twmb/avro"
	"github.com/twmb/avro/ocf"

	"github.com/penstock-ml/penstock/event"
)

// avroSpine reads an Avro object container file of records. Flat columns keep their types; arrays,
// maps, records and unions of several types are carried as JSON text.
type avroSpine struct {
	f    *os.File
	name string
	r    *ocf.Reader
	cols []spineColumn
	from []func(any) (event.Value, error)
	row  int64
}

func newAvroSpine(f *os.File, name string) (*avroSpine, error) {
	r, err := ocf.NewReader(bufio.NewReaderSize(f, 256<<10))
	if err != nil {
		return nil, mistake("malformed", "", "spine %s is not an Avro container file: %v", name, err)
	}
	s := &avroSpine{f: f, name: name, r: r}
	root := r.Schema().Root()
	if root.Type != "record" {
		return nil, mistake("malformed", "", "spine %s holds a %s in each row, not a record", name, root.Type)
	}
	for i := range root.Fields {
		field := &root.Fields[i]
		col := spineColumn{name: field.Name}
		var from func(any) (event.Value, error)
		col.typ, col.node, from = avroColumn(&field.Type)
		s.cols = append(s.cols, col)
		s.from = append(s.from, from)
	}
	return s, nil
}

func (s *avroSpine) columns() []spineColumn { return s.cols }
func (s *avroSpine) need([]bool)            {}

func (s *avroSpine) close() error {
	_ = s.r.Close()
	return s.f.Close()
}

func (s *avroSpine) read(c *chunk) error {
	c.first = s.row + 1
	for c.rows < c.most {
		var datum any
		if err := s.r.Decode(&datum); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return mistake("malformed", "", "spine %s: row %d: %v", s.name, s.row+1, err)
		}
		record, ok := datum.(map[string]any)
		if !ok {
			return mistake("malformed", "", "spine %s: row %d is not a record", s.name, s.row+1)
		}
		for i := range s.cols {
			var v event.Value
			if x := record[s.cols[i].name]; x != nil {
				var err error
				if v, err = s.from[i](x); err != nil {
					return mistake("row", "", "spine %s: row %d: column %q: %v", s.name, s.row+1, s.cols[i].name, err)
				}
			}
			c.put(i, v)
		}
		c.rows++
		s.row++
	}
	return nil
}

// avroColumn tells how a field's values are read, and how Parquet writes them (nil: by the type).
func avroColumn(n *avro.SchemaNode) (event.Type, parquet.Node, func(any) (event.Value, error)) {
	nullable := false
	if n.Type == "union" {
		var only *avro.SchemaNode
		branches := 0
		for i := range n.Branches {
			if n.Branches[i].Type == "null" {
				nullable = true
				continue
			}
			only = &n.Branches[i]
			branches++
		}
		if branches != 1 {
			return event.Type{Kind: event.String, Nullable: nullable}, nil, avroJSON(n)
		}
		n = only
	}
	if n.Type == "null" {
		return event.Type{Kind: event.String, Nullable: true}, nil, avroValue
	}
	narrow := func(t parquet.Type) parquet.Node {
		if nullable {
			return parquet.Optional(parquet.Leaf(t))
		}
		return parquet.Leaf(t)
	}
	t := event.Type{Nullable: nullable}
	switch n = n.ExpandReferences(); n.Type {
	case "boolean":
		t.Kind = event.Bool
	case "float":
		t.Kind = event.Double
		return t, narrow(parquet.FloatType), avroValue
	case "double":
		t.Kind = event.Double
	case "string", "enum":
		t.Kind = event.String
	case "int", "long":
		t.Kind = avroLogical(n.LogicalType)
		if n.Type == "int" && t.Kind == event.Long {
			return t, narrow(parquet.Int32Type), avroValue
		}
		return t, nil, avroInstant(t.Kind)
	case "bytes", "fixed":
		switch n.LogicalType {
		case "decimal":
			t.Kind, t.Scale = event.Decimal, int32(n.Scale)
			return t, nil, avroDecimal(int32(n.Scale))
		case "uuid":
			t.Kind = event.String
			return t, nil, avroUUID
		}
		t.Kind = event.Bytes
	default:
		t.Kind = event.String
		return t, nil, avroJSON(n)
	}
	return t, nil, avroValue
}

// avroLogical is the kind of an int or long of a logical type.
func avroLogical(name string) event.Kind {
	switch name {
	case "date":
		return event.Date
	case "time-millis", "time-micros":
		return event.TimeOfDay
	case "timestamp-millis", "timestamp-micros", "timestamp-nanos":
		return event.Timestamp
	case "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos":
		return event.LocalTimestamp
	}
	return event.Long
}

// avroValue reads what the decoder gives for types without a logical one.
func avroValue(x any) (event.Value, error) {
	switch v := x.(type) {
	case bool:
		return event.BoolOf(v), nil
	case int32:
		return event.LongOf(int64(v)), nil
	case int64:
		return event.LongOf(v), nil
	case float32:
		return event.DoubleOf(float64(v)), nil
	case float64:
		return event.DoubleOf(v), nil
	case string:
		return event.StringOf(v), nil
	case []byte:
		return event.BytesOf(v), nil
	case avro.Duration:
		b := v.Bytes()
		return event.BytesOf(b[:]), nil
	}
	return event.Value{}, fmt.Errorf("a value of Go type %T is not understood", x)
}

func avroInstant(kind event.Kind) func(any) (event.Value, error) {
	return func(x any) (event.Value, error) {
		switch v := x.(type) {
		case time.Time:
			if kind == event.Date {
				return event.Value{Kind: kind, Num: uint64(v.Unix() / 86400)}, nil
			}
			return event.Value{Kind: kind, Num: uint64(v.UnixMicro())}, nil
		case time.Duration:
			return event.Value{Kind: kind, Num: uint64(v.Microseconds())}, nil
		}
		return avroValue(x)
	}
}

func avroDecimal(scale int32) func(any) (event.Value, error) {
	return func(x any) (event.Value, error) {
		r, ok := x.(*big.Rat)
		if !ok {
			return avroValue(x)
		}
		n := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
		n.Mul(n, r.Num())
		return event.DecimalOf(n.Quo(n, r.Denom()), scale), nil
	}
}

func avroUUID(x any) (event.Value, error) {
	if b, ok := x.([16]byte); ok {
		return uuid(parquet.FixedLenByteArrayValue(b[:])), nil
	}
	return avroValue(x)
}

// avroJSON writes values as JSON, the members of objects sorted.
func avroJSON(n *avro.SchemaNode) func(any) (event.Value, error) {
	schema, bad := n.Schema()
	return func(x any) (event.Value, error) {
		if bad != nil {
			return event.Value{}, bad
		}
		b, err := schema.EncodeJSON(x)
		if err != nil {
			return event.Value{}, err
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var tree any
		if err := d.Decode(&tree); err != nil {
			return event.Value{}, err
		}
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		if err := e.Encode(tree); err != nil {
			return event.Value{}, err
		}
		return event.StringOf(string(bytes.TrimRight(out.Bytes(), "\n"))), nil
	}
}
