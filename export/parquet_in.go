package export

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/penstock-ml/penstock/event"
)

// parquetSpine reads Parquet. Every column is carried as it is, nested ones too; flat ones that are
// needed are read as values.
type parquetSpine struct {
	f      *os.File
	name   string
	groups []parquet.RowGroup
	rows   parquet.Rows // of the group that is read, or nil
	cols   []spineColumn
	read1  []func(parquet.Value) event.Value // by column; nil for a nested one
	needed []bool
	top    []int // by leaf column: the column it belongs to
	buf    []parquet.Row
	have   int // rows of buf that are read
	used   int // rows of buf that are given
	row    int64
}

func newParquetSpine(f *os.File, name string) (s *parquetSpine, err error) {
	defer recoverParquet(&err, name)
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read spine %s: %w", name, err)
	}
	file, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, mistake("malformed", "", "spine %s is not Parquet: %v", name, err)
	}
	s = &parquetSpine{f: f, name: name, groups: file.RowGroups(), buf: make([]parquet.Row, 256)}
	for i, field := range file.Root().Fields() {
		col := spineColumn{name: field.Name(), node: carried{field}}
		var read func(parquet.Value) event.Value
		if col.nested = !field.Leaf() || field.Repeated(); !col.nested {
			col.typ, read = leafType(field.Type())
			col.typ.Nullable = field.Optional()
		}
		s.cols = append(s.cols, col)
		s.read1 = append(s.read1, read)
		for range leaves(field) {
			s.top = append(s.top, i)
		}
	}
	return s, nil
}

// recoverParquet turns a panic of the Parquet reader over a damaged file into an error.
func recoverParquet(err *error, name string) {
	if p := recover(); p != nil {
		*err = mistake("malformed", "", "spine %s is damaged: %v", name, p)
	}
}

// leaves is the number of leaf columns under n.
func leaves(n parquet.Node) int {
	if n.Leaf() {
		return 1
	}
	total := 0
	for _, f := range n.Fields() {
		total += leaves(f)
	}
	return total
}

func (s *parquetSpine) columns() []spineColumn { return s.cols }
func (s *parquetSpine) need(cols []bool)       { s.needed = cols }

func (s *parquetSpine) close() error {
	if s.rows != nil {
		_ = s.rows.Close()
	}
	return s.f.Close()
}

func (s *parquetSpine) read(c *chunk) (err error) {
	defer recoverParquet(&err, s.name)
	c.first = s.row + 1
	if c.raw == nil {
		c.raw = make([]rawColumn, len(s.cols))
	}
	for c.rows < c.most {
		if s.used == s.have {
			if err := s.fill(); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return mistake("malformed", "", "spine %s: row %d: %v", s.name, s.row+1, err)
			}
		}
		s.take(c, s.buf[s.used])
		s.used++
	}
	return nil
}

// fill reads the next rows into s.buf, at least one.
func (s *parquetSpine) fill() error {
	s.have, s.used = 0, 0
	for s.have == 0 {
		if s.rows == nil {
			for len(s.groups) > 0 && s.groups[0].NumRows() == 0 { // the reader has nowhere to begin in such a group
				s.groups = s.groups[1:]
			}
			if len(s.groups) == 0 {
				return io.EOF
			}
			s.rows, s.groups = s.groups[0].Rows(), s.groups[1:]
		}
		n, err := s.rows.ReadRows(s.buf)
		s.have = n
		if errors.Is(err, io.EOF) {
			err = s.rows.Close()
			s.rows = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take copies one row into c.
func (s *parquetSpine) take(c *chunk, row parquet.Row) {
	for _, v := range row {
		col := v.Column()
		if !v.IsNull() && (v.Kind() == parquet.ByteArray || v.Kind() == parquet.FixedLenByteArray) {
			own := []byte(nil)
			if b := v.ByteArray(); len(b) > 0 {
				own = viewBytes(c.own(event.Alias(b)))
			}
			rep, def := v.RepetitionLevel(), v.DefinitionLevel()
			if v.Kind() == parquet.ByteArray {
				v = parquet.ByteArrayValue(own).Level(rep, def, col)
			} else {
				v = parquet.FixedLenByteArrayValue(own).Level(rep, def, col)
			}
		}
		top := s.top[col]
		c.raw[top].vals = append(c.raw[top].vals, v)
		if s.needed[top] && s.read1[top] != nil {
			var value event.Value
			if !v.IsNull() {
				value = s.read1[top](v)
			}
			c.vals[top] = append(c.vals[top], value)
		}
	}
	for i := range c.raw {
		c.raw[i].ends = append(c.raw[i].ends, int32(len(c.raw[i].vals)))
	}
	c.rows++
	s.row++
}

// leafType tells how values of a leaf column are read. Strings alias the value.
func leafType(t parquet.Type) (event.Type, func(parquet.Value) event.Value) {
	if lt := t.LogicalType(); lt != nil {
		switch x := lt.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			return event.Type{Kind: event.String}, func(v parquet.Value) event.Value { return event.StringOf(event.Alias(v.ByteArray())) }
		case *format.UUIDType:
			return event.Type{Kind: event.String}, uuid
		case *format.DateType:
			return event.Type{Kind: event.Date}, func(v parquet.Value) event.Value {
				return event.Value{Kind: event.Date, Num: uint64(int64(v.Int32()))}
			}
		case *format.DecimalType:
			return event.Type{Kind: event.Decimal, Scale: x.Scale}, decimal(t.Kind(), x.Scale)
		case *format.TimeType:
			return event.Type{Kind: event.TimeOfDay}, instant(event.TimeOfDay, t.Kind(), &x.Unit)
		case *format.TimestampType:
			kind := event.LocalTimestamp
			if x.IsAdjustedToUTC {
				kind = event.Timestamp
			}
			return event.Type{Kind: kind}, instant(kind, t.Kind(), &x.Unit)
		case *format.IntType:
			if !x.IsSigned {
				return event.Type{Kind: event.Long}, unsigned(t.Kind())
			}
		}
	}
	switch t.Kind() {
	case parquet.Boolean:
		return event.Type{Kind: event.Bool}, func(v parquet.Value) event.Value { return event.BoolOf(v.Boolean()) }
	case parquet.Int32:
		return event.Type{Kind: event.Long}, func(v parquet.Value) event.Value { return event.LongOf(int64(v.Int32())) }
	case parquet.Int64:
		return event.Type{Kind: event.Long}, func(v parquet.Value) event.Value { return event.LongOf(v.Int64()) }
	case parquet.Int96:
		return event.Type{Kind: event.Timestamp}, int96
	case parquet.Float:
		return event.Type{Kind: event.Double}, func(v parquet.Value) event.Value { return event.DoubleOf(float64(v.Float())) }
	case parquet.Double:
		return event.Type{Kind: event.Double}, func(v parquet.Value) event.Value { return event.DoubleOf(v.Double()) }
	}
	return event.Type{Kind: event.Bytes}, func(v parquet.Value) event.Value { return event.BytesOf(v.ByteArray()) }
}

// instant reads a number of a unit, floored to microseconds.
func instant(kind event.Kind, physical parquet.Kind, unit *format.TimeUnit) func(parquet.Value) event.Value {
	times, by := int64(1), int64(1)
	switch unit.Value.(type) {
	case *format.MilliSeconds:
		times = 1000
	case *format.NanoSeconds:
		by = 1000
	}
	return func(v parquet.Value) event.Value {
		var n int64
		if physical == parquet.Int32 {
			n = int64(v.Int32())
		} else {
			n = v.Int64()
		}
		if n *= times; n%by < 0 {
			n -= by
		}
		return event.Value{Kind: kind, Num: uint64(n / by)}
	}
}

// int96 reads the deprecated instant: nanoseconds of a day, and the Julian day.
func int96(v parquet.Value) event.Value {
	const epoch = 2_440_588 // the Julian day of 1970-01-01
	x := v.Int96()
	nanos := int64(uint64(x[1])<<32 | uint64(x[0]))
	at := time.Unix((int64(x[2])-epoch)*86400, nanos)
	return event.TimestampOf(event.FromGo(at))
}

// unsigned reads what fits as a long, and the rest as a decimal without a fraction.
func unsigned(kind parquet.Kind) func(parquet.Value) event.Value {
	return func(v parquet.Value) event.Value {
		if kind == parquet.Int32 {
			return event.LongOf(int64(v.Uint32()))
		}
		if n := v.Uint64(); n>>63 != 0 {
			return event.DecimalOf(new(big.Int).SetUint64(n), 0)
		}
		return event.LongOf(v.Int64())
	}
}

func decimal(kind parquet.Kind, scale int32) func(parquet.Value) event.Value {
	return func(v parquet.Value) event.Value {
		switch kind {
		case parquet.Int32:
			return event.DecimalOf(big.NewInt(int64(v.Int32())), scale)
		case parquet.Int64:
			return event.DecimalOf(big.NewInt(v.Int64()), scale)
		}
		return event.DecimalOf(event.ParseBig(event.Alias(v.ByteArray())), scale)
	}
}

// uuid writes 16 bytes in the canonical form.
func uuid(v parquet.Value) event.Value {
	b := v.ByteArray()
	if len(b) != 16 {
		return event.BytesOf(b)
	}
	h := hex.EncodeToString(b)
	return event.StringOf(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
}
